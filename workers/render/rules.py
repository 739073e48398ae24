"""What must hold between the objects of one host, and between them and what reach says of it.

Knows shapes and reach, yields sentences. Knows no files and no other hosts: `lint` goes through those.
"""

from __future__ import annotations

import ipaddress
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

from syncer.protocol.names import ServiceKey
from workers.reach import Provider, Way
from workers.render.shapes import DestinationRule, Endpoint, EntryPort, PortBlock, ServiceEntry, Shape
from workers.tree import Tree

_ISTIO_RANGE = ipaddress.ip_network("240.240.0.0/16")
"""istiod allocates from it what has no address (pilot, auto-allocated addresses)."""


@dataclass(frozen=True, kw_only=True)
class HostObjects:
    """The objects of one host name in one file."""

    name: str
    rules: tuple[DestinationRule, ...]
    entries: tuple[ServiceEntry, ...]

    def blocks(self) -> tuple[PortBlock, ...]:
        return tuple(block for rule in self.rules for block in rule.spec.traffic_policy.port_level_settings)

    def ports(self) -> tuple[EntryPort, ...]:
        return tuple(port for entry in self.entries for port in entry.spec.ports)

    def endpoints(self) -> tuple[Endpoint, ...]:
        return tuple(endpoint for entry in self.entries for endpoint in entry.spec.endpoints)

    def answering(self, port: int) -> frozenset[str]:
        """The clusters whose gateways are endpoints of a port."""
        return frozenset(
            endpoint.labels.cluster
            for entry in self.entries
            if any(port == own.number for own in entry.spec.ports)
            for endpoint in entry.spec.endpoints
        )


def by_host(shapes: Iterable[Shape]) -> tuple[HostObjects, ...]:
    """The objects of a file by the host that they are for."""
    rules: dict[str, list[DestinationRule]] = {}
    entries: dict[str, list[ServiceEntry]] = {}
    for shaped in shapes:
        if isinstance(shaped, DestinationRule):
            rules.setdefault(shaped.spec.host, []).append(shaped)
        elif isinstance(shaped, ServiceEntry):
            entries.setdefault(shaped.spec.hosts[0], []).append(shaped)
    return tuple(
        HostObjects(name=name, rules=tuple(rules.get(name, ())), entries=tuple(entries.get(name, ())))
        for name in sorted(rules.keys() | entries.keys())
    )


def agreement(host: HostObjects) -> Iterator[str]:
    """One rule, and entries that Istio merges: unequal ones lose their ports or stop the whole host, silently."""
    if len(host.rules) != 1 or not host.entries:
        yield f"has {len(host.rules)} DestinationRules and {len(host.entries)} ServiceEntries; one rule and its entries"
        return
    specs = [entry.spec for entry in host.entries]
    rule = host.rules[0]
    if len({spec.addresses for spec in specs}) > 1:
        yield "entries with different addresses: all of them become answers of DNS"
    if len({spec.resolution for spec in specs}) > 1:
        yield "entries with different resolutions can't be merged"
    if len({rule.spec.export_to, *(spec.export_to for spec in specs)}) > 1:
        yield "different exportTo: callers that see one object without the other fail"
    if len({frozenset(entry.metadata.labels.items()) for entry in host.entries}) > 1:
        yield "entries with different labels: the ports of the younger one vanish"
    for what, number in Counter(
        [*(port.name for port in host.ports()), *(port.number for port in host.ports())]
    ).items():
        if number > 1:
            yield f"port {what} stands in it more than once"


def port_blocks(host: HostObjects, provider_name: str) -> Iterator[str]:
    """A complete block for every port and none for others, with the provider's own name as SNI."""
    blocks = [block.port.number for block in host.blocks()]
    ports = [port.number for port in host.ports()]
    if sorted(blocks) != sorted(ports):
        yield f"ports {sorted(ports)} but blocks in the rule for {sorted(blocks)}: a port without its block fails"
    by_dns = any(entry.spec.resolution == "DNS" for entry in host.entries)
    for block in host.blocks():
        number, balancer = block.port.number, block.load_balancer.locality_lb_setting
        sni = f"outbound_.{number}_._.{provider_name}"
        if block.tls.sni != sni:
            yield f"port {number}: sni {block.tls.sni}, gateways of its providers know {sni}"
        if by_dns and balancer.failover_priority:
            yield f"port {number}: failoverPriority with resolution DNS makes istiod panic"
        if by_dns and balancer.enabled:
            yield f"port {number}: locality balancing with resolution DNS sends all calls to the nearest region"


def identities(host: HostObjects, tree: Tree, key: ServiceKey) -> Iterator[str]:
    """Of the providers that have the port, exactly those that they export, each in its cluster's trust domain."""
    exports = tree.facts.exports.get(key, {})
    for block in host.blocks():
        answering = host.answering(block.port.number) & exports.keys() & tree.clusters.keys()
        exported = {
            f"spiffe://{tree.clusters[cluster].spec.trust_domain}/ns/{key.namespace}/sa/{account}"
            for cluster in answering
            for account in exports[cluster].spec.service_accounts
        }
        accepted = set(block.tls.subject_alt_names)
        for identity in sorted(exported - accepted):
            yield f"port {block.port.number}: {identity} isn't accepted, its pods would be refused"
        for identity in sorted(accepted - exported):
            yield f"port {block.port.number}: {identity} is accepted, which no provider of the port exports"


def endpoints(host: HostObjects, way: Way) -> Iterator[str]:
    """Only gateways through which reach says that the host can be called, each with all ports of its entry."""
    providers = {provider.cluster: provider for provider in way.providers}
    having = {port.number: port.providers for port in way.ports}
    for entry in host.entries:
        names = {port.name for port in entry.spec.ports}
        for endpoint in entry.spec.endpoints:
            yield from _endpoint(endpoint, entry.spec.resolution, names, providers)
        clusters = {endpoint.labels.cluster for endpoint in entry.spec.endpoints}
        for port in entry.spec.ports:
            for cluster in sorted(clusters.difference(having.get(port.number, ()))):
                yield f"endpoint of {cluster}: it doesn't answer port {port.number} for this cluster"


def _endpoint(endpoint: Endpoint, resolution: str, names: set[str], providers: Mapping[str, Provider]) -> Iterator[str]:
    cluster, numbers = endpoint.labels.cluster, set(endpoint.ports.values())
    if endpoint.ports.keys() != names:
        differing = sorted(names ^ endpoint.ports.keys())
        yield f"endpoint of {cluster}: its ports aren't the entry's ({differing}): called at the port's own number"
    if resolution == "STATIC" and not _is_ip(endpoint.address):
        yield f"endpoint of {cluster}: {endpoint.address} is a host name, which resolution STATIC refuses"
    provider = providers.get(cluster)
    if provider is None:
        return  # said by port
    known = {(address.ip or address.host, address.port) for address in provider.addresses}
    if {(endpoint.address, number) for number in numbers} - known:
        yield f"endpoint of {cluster}: its gateway isn't reached at {endpoint.address}, port {sorted(numbers)}"
    if endpoint.network != provider.network:
        yield f"endpoint of {cluster}: network {endpoint.network}, its cluster's is {provider.network}"


def virtual_address(address: str, ranges: Sequence[str]) -> Iterator[str]:
    """Inside the mesh's own ranges, outside the one that Istio allocates from."""
    if not _is_ip(address):
        yield f"address {address} isn't an IP address"
        return
    parsed = ipaddress.ip_address(address)
    if not any(parsed in ipaddress.ip_network(own) for own in ranges):
        yield f"address {address} is outside spec.hosts.virtualIPs"
    if parsed in _ISTIO_RANGE:
        yield f"address {address} is in {_ISTIO_RANGE}, from which istiod allocates"


@lru_cache(maxsize=4096)
def _is_ip(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True
