"""What must hold inside one of the robot's documents beyond the shape of its type.

With the grammar that `workers.accept` holds an offer against, so that an edited file can't bring in what a cluster
can't. Knows one document. Knows no paths, no lines, no YAML and no other document.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any, Final

from syncer.protocol.names import is_label, is_subdomain
from syncer.protocol.offer import Port
from workers.documents.grammar import (
    PROTOCOLS,
    is_consumer,
    is_foreign,
    is_gateway_address,
    is_ip,
    is_ipv4,
    is_port_number,
    is_selector_text,
    is_time,
)
from workers.documents.kinds import ClusterFacts, Export, Fact, Host
from workers.documents.pki_rules import pki_faults
from workers.documents.shape import Fault, Where, dotted, shown

_ROBOT: Final = "The robot writes this file: take its version back from Git."


def fact_faults(fact: Fact) -> Iterator[Fault]:
    """All faults of one fact whose shape is right."""
    match fact:
        case ClusterFacts():
            return _cluster_facts(fact)
        case Export():
            return _export(fact)
        case Host():
            return _host(fact)
        case _:
            return pki_faults(fact)


def _cluster_facts(facts: ClusterFacts) -> Iterator[Fault]:
    gateway, where = facts.spec.gateway, ("spec", "gateway")
    yield from _each(gateway.addresses, is_gateway_address, (*where, "addresses"), "the address of a gateway")
    if gateway.cluster_ip is not None and not is_ip(gateway.cluster_ip):
        yield _isnt((*where, "clusterIP"), gateway.cluster_ip, "an IP address")
    if gateway.cluster_port is not None and not is_port_number(gateway.cluster_port):
        yield _isnt((*where, "clusterPort"), gateway.cluster_port, "a port")
    yield from _each(facts.spec.sources, is_label, ("spec", "sources"), "the name of a source")
    yield from _each(facts.spec.foreign, is_foreign, ("spec", "foreign"), "an object for a host")


def _export(export: Export) -> Iterator[Fault]:
    spec = export.spec
    if not is_label(spec.source):
        yield _isnt(("spec", "source"), spec.source, "the name of a source")
    if spec.since is not None and not is_time(spec.since):
        yield _isnt(("spec", "since"), spec.since, "a time like 2026-01-31T08:00:00Z")
    yield from _each(spec.ports, _is_port, ("spec", "ports"), "a port")
    yield from _ordered([port.number for port in spec.ports], ("spec", "ports"))
    if names := repeated(tuple(port.name for port in spec.ports)):
        yield Fault(("spec", "ports", names[0]), "two ports have the same name", _ROBOT)
    selector = (text for pair in spec.selector.items() for text in pair)
    if not all(map(is_selector_text, selector)):
        yield Fault(("spec", "selector"), "`spec.selector` has what no label can be", _ROBOT)
    yield from _each(spec.service_accounts, is_subdomain, ("spec", "serviceAccounts"), "a service account")
    yield from _each(spec.consumers or (), is_consumer, ("spec", "consumers"), "a cluster's name or key=value")
    yield from _each(spec.hosts, is_subdomain, ("spec", "hosts"), "a host name")
    yield from _ordered(spec.service_accounts, ("spec", "serviceAccounts"))
    yield from _ordered(spec.consumers or (), ("spec", "consumers"))
    yield from _ordered(spec.hosts, ("spec", "hosts"))


def _host(host: Host) -> Iterator[Fault]:
    for name, address in host.spec.addresses.items():
        if not is_subdomain(name) or not is_ipv4(address):
            what = f"{shown(name)} at {shown(address)} isn't a host at an IPv4 address"
            yield Fault(("spec", "addresses", name), what, _ROBOT)
    yield from _each(host.spec.providers, is_label, ("spec", "providers"), "the name of a cluster")
    if twice := repeated(host.spec.providers):
        yield Fault(("spec", "providers", twice[0]), "a cluster stands twice", _ROBOT)


def _isnt(where: Where, value: object, what: str) -> Fault:
    return Fault(where, f"{dotted(where)} is {shown(value)}, which isn't {what}", _ROBOT)


def _each(values: Iterable[Any], good: Callable[[Any], bool], where: Where, what: str) -> Iterator[Fault]:
    for i, value in enumerate(values):
        if not good(value):
            yield _isnt((*where, i), value, what)


def _ordered(values: Iterable[Any], where: Where) -> Iterator[Fault]:
    given = list(values)
    if given != sorted(set(given)):
        yield Fault(where, f"{dotted(where)} isn't sorted, each value once", _ROBOT)


def _is_port(port: Port) -> bool:
    numbers = is_port_number(port.number) and is_port_number(port.target_port)
    return numbers and is_label(port.name) and (port.protocol is None or port.protocol in PROTOCOLS)


def repeated(values: tuple[Any, ...]) -> list[int]:
    """Positions of values that stood before."""
    return [i for i, value in enumerate(values) if value in values[:i]]
