"""What of an offer may become a fact: every value from a cluster is checked here, once.

Knows the grammar of names, ports and hosts. What passes needs no escaping in paths, YAML or texts; what doesn't is
refused by name, and only that offer.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final

from msgspec import UNSET

from syncer.protocol.names import is_label, is_subdomain
from syncer.protocol.observation import Foreign, ObservedGateway
from syncer.protocol.offer import Offer, Port, Refused
from workers.documents.grammar import (
    PROTOCOLS,
    is_consumer,
    is_foreign,
    is_gateway_address,
    is_ip,
    is_port_number,
    is_selector_text,
    is_time,
)

MAX_VALUES: Final = 256
"""Ports, identities, consumers or hosts of one export; an EndpointSlice of 1,000 pods has far fewer identities."""


MAX_ADDRESSES: Final = 16
"""Of one gateway: weights of endpoints are multiples of their number."""
MAX_FOREIGN: Final = 1000
"""People's own objects of one cluster that are looked at."""


class Unacceptable(Exception):
    """An offer that can't become a fact; `keeps`: the fact on main stays, because people still ask for it."""

    def __init__(self, reason: str, what: str, *, keeps: bool = True) -> None:
        super().__init__(reason, what)
        self.reason = reason
        self.what = what
        self.keeps = keeps

    def refused(self, offer: Offer) -> Refused:
        """The refusal as people read it."""
        return Refused(
            namespace=offer.namespace, service=offer.service, source=offer.source, reason=self.reason, message=self.what
        )


@dataclass(frozen=True, kw_only=True)
class Said:
    """The checked parts of an offer; None where nothing was said."""

    since: str | None
    ports: tuple[Port, ...]
    service_accounts: tuple[str, ...]
    selector: dict[str, str] | None
    consumers: tuple[str, ...] | None
    hosts: tuple[str, ...] | None


def is_key(offer: Offer) -> bool:
    """Whether namespace, service and source are names."""
    return is_label(offer.namespace) and is_label(offer.service) and is_label(offer.source)


def accept(offer: Offer) -> Said:
    """Check every value of an offer. Raises Unacceptable, naming the first that can't be."""
    since = offer.since if isinstance(offer.since, str) else None
    if since is not None and not is_time(since):
        raise Unacceptable("BadTime", f"since is {since[:40]!r}, not a time like 2026-01-31T08:00:00Z")
    accounts = () if offer.service_accounts is UNSET else offer.service_accounts
    consumers = None if offer.consumers is UNSET or offer.consumers is None else offer.consumers
    hosts = None if offer.hosts is UNSET or offer.hosts is None else offer.hosts
    selector = None if offer.selector is UNSET else offer.selector
    _all("service account", accounts, is_subdomain)
    _all("consumer", consumers or (), is_consumer)
    _all("host", hosts or (), is_subdomain)
    _all("selector", [text for pair in (selector or {}).items() for text in pair], is_selector_text)
    return Said(
        since=since,
        ports=_ports(offer.ports),
        service_accounts=tuple(sorted(set(accounts))),
        selector=None if selector is None else dict(sorted(selector.items())),
        consumers=None if consumers is None else tuple(sorted(set(consumers))),
        hosts=None if hosts is None else tuple(sorted(set(hosts))),
    )


def _all(what: str, values: Iterable[str], good: Callable[[str], bool]) -> None:
    values = list(values)
    if len(values) > MAX_VALUES:
        raise Unacceptable("TooMany", f"{len(values)} values for {what}; at most {MAX_VALUES}")
    for value in values:
        if not good(value):
            raise Unacceptable("BadName", f"{what} {value[:80]!r} isn't a name that Kubernetes allows")


def _ports(ports: tuple[Port, ...]) -> tuple[Port, ...]:
    if not ports:
        raise Unacceptable("NoPort", "no port that can be exported")
    _all("port", [port.name for port in ports], is_label)
    for port in ports:
        if not (is_port_number(port.number) and is_port_number(port.target_port)):
            raise Unacceptable("BadPort", f"port {port.name}: {port.number} or its target isn't between 1 and 65535")
        if port.protocol is not None and port.protocol not in PROTOCOLS:
            raise Unacceptable("BadProtocol", f"port {port.name}: protocol {port.protocol[:40]!r} isn't one of Istio's")
    for what, values in (("number", [port.number for port in ports]), ("name", [port.name for port in ports])):
        if len(set(values)) < len(values):
            raise Unacceptable("BadPort", f"two ports have the same {what}")
    return tuple(sorted(ports, key=lambda port: port.number))


def accept_gateway(gateway: ObservedGateway) -> ObservedGateway:
    """The gateway with those addresses that are addresses; without any if they are too many to be true."""
    addresses = {address for address in gateway.addresses if is_gateway_address(address)}
    return ObservedGateway(
        addresses=tuple(sorted(addresses, key=repr)) if len(addresses) <= MAX_ADDRESSES else (),
        cluster_ip=gateway.cluster_ip if gateway.cluster_ip and is_ip(gateway.cluster_ip) else None,
        cluster_port=gateway.cluster_port if is_port_number(gateway.cluster_port or 0) else None,
        wildcard=gateway.wildcard,
    )


def accept_foreign(foreign: Iterable[Foreign]) -> tuple[Foreign, ...]:
    """People's own objects whose names are names, sorted; the first MAX_FOREIGN of them."""
    return tuple(sorted(set(filter(is_foreign, foreign)))[:MAX_FOREIGN])
