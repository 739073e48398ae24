"""Builders for what a cluster says, matching `tests.meshes`."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime

from msgspec import UNSET, UnsetType

from syncer.protocol.observation import Foreign, Observation, ObservedGateway
from syncer.protocol.offer import Offer, Port, Refused
from tests import meshes

NOW = datetime(2026, 4, 1, 8, 0, tzinfo=UTC)


def offer(
    service: str,
    *,
    ports: Iterable[Port] = (meshes.port(9080, "http", "HTTP"),),
    accounts: tuple[str, ...] | None = None,
    since: str | None = meshes.OLD,
    consumers: tuple[str, ...] | None = None,
    hosts: tuple[str, ...] | None = None,
    headless: bool = False,
    source: str = "label",
) -> Offer:
    """`service` as `namespace/name`; the same defaults as `meshes.export`."""
    namespace, name = meshes.key(service)
    return Offer(
        namespace=namespace,
        service=name,
        source=source,
        since=since,
        headless=headless,
        ports=tuple(ports),
        service_accounts=(name,) if accounts is None else accounts,
        selector={"app": name},
        consumers=consumers,
        hosts=hosts,
    )


def says(
    cluster: str,
    *offers: Offer,
    address: str | None = None,
    cluster_ip: str | None = None,
    wildcard: bool = False,
    sources: tuple[str, ...] = ("label",),
    foreign: tuple[Foreign, ...] = (),
    refused: tuple[Refused, ...] = (),
    sequence: int = 1,
    observed_at: datetime = NOW,
) -> Observation:
    """An observation; without `address` the cluster says nothing of its gateway."""
    gateway: ObservedGateway | UnsetType = UNSET
    if address is not None:
        gateway = ObservedGateway(addresses=(meshes.address(address),), cluster_ip=cluster_ip, wildcard=wildcard)
    return Observation(
        mesh="acme",
        cluster=cluster,
        sequence=sequence,
        observed_at=observed_at,
        sources=sources,
        offers=tuple(offers),
        foreign=foreign,
        refused=refused,
        gateway=gateway,
    )
