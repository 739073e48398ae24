"""The mesh that budgets speak of: 100 clusters, 1,000 services, ten different contents for each host.

Knows how it is spread and what its clusters say. Everything is made from numbers, so each run has the same.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

import msgspec

from syncer.protocol.observation import Observation, ObservedGateway
from syncer.protocol.offer import Offer
from syncer.protocol.signature import SigningKey
from tests import meshes
from workers.documents.kinds import AutomaticClass, ClusterFacts, Export
from workers.tree import Tree

NOW = datetime(2026, 4, 1, 8, 0, tzinfo=UTC)


@dataclass(frozen=True, kw_only=True)
class Size:
    """Each service is exported by `providers` clusters: each of them has its own import, all others share one.

    `strides`: how far the first exporters of two services, and two exporters of one, are from each other.
    """

    clusters: int = 100
    services: int = 1000
    namespaces: int = 20
    providers: int = 9
    strides: tuple[int, int] = (7, 11)
    automatic: tuple[AutomaticClass, ...] = ()

    def __str__(self) -> str:
        return f"{self.clusters} × {self.services:,}"

    @property
    def names(self) -> tuple[str, ...]:
        """The clusters."""
        return tuple(f"c{number:03d}" for number in range(self.clusters))


WHOLE = Size()
SMALL = Size(clusters=20, services=100, namespaces=5)


def large_tree(size: Size) -> Tree:
    """Documents of the mesh: facts of every cluster, `providers` exports and a Host for every service."""
    clusters = [
        meshes.cluster(name, locality=f"region-{number % 5}/zone-{number % 3}", keys=(key_of(name).public,))
        for number, name in enumerate(size.names)
    ]
    exports = [
        meshes.export(f"team-{service % size.namespaces:02d}/service-{service:04d}", by, ports=[_PORT])
        for service in range(size.services)
        for by in _exporters(size, service)
    ]
    return meshes.tree_of(meshes.mesh(automatic=size.automatic), *clusters, _first_cluster(size), *exports)


_PORT: Final = meshes.port(9080, "http", "HTTP", target=8080)


def _first_cluster(size: Size) -> ClusterFacts:
    """As its manifests say it in `latency`."""
    sources = ("label", "serviceexport")
    return meshes.facts(size.names[0], "203.0.113.10", cluster_ip="10.0.3.7", sources=sources)


def _exporters(size: Size, service: int) -> tuple[str, ...]:
    services, exporters = size.strides
    places = (service * services + step * exporters for step in range(size.providers))
    return tuple(size.names[place % size.clusters] for place in places)


def key_of(cluster: str) -> SigningKey:
    """The key that a cluster signs with."""
    return SigningKey.from_seed(hashlib.sha256(cluster.encode()).digest())


def observations_of(tree: Tree) -> dict[str, Observation]:
    """What every cluster says where nothing has changed."""
    offers: dict[str, list[Offer]] = {name: [] for name in tree.clusters}
    for by_cluster in tree.facts.exports.values():
        for name, export in by_cluster.items():
            offers[name].append(_offer(export))
    return {name: _observation(tree, name, tuple(offers[name])) for name in tree.clusters}


def _observation(tree: Tree, cluster: str, offers: tuple[Offer, ...]) -> Observation:
    facts = tree.facts.clusters[cluster].spec
    return Observation(
        mesh=tree.mesh.metadata.name,
        cluster=cluster,
        sequence=0,
        observed_at=NOW,
        sources=facts.sources,
        offers=offers,
        gateway=ObservedGateway(
            addresses=facts.gateway.addresses,
            cluster_ip=facts.gateway.cluster_ip,
            cluster_port=facts.gateway.cluster_port,
        ),
        foreign=(),
    )


def _offer(export: Export) -> Offer:
    said = export.spec
    return Offer(
        namespace=export.key.namespace,
        service=export.key.service,
        source=said.source,
        since=said.since,
        ports=said.ports,
        service_accounts=said.service_accounts,
        selector=said.selector,
        consumers=said.consumers,
        hosts=None,
    )


def changed(said: Mapping[str, Observation], number: int) -> dict[str, Observation]:
    """The same after one service began to run under a further account; another service for each number."""
    others = sorted(said)[1:]  # the first one says what its manifests say
    name = others[number * 37 % len(others)]
    return {**said, name: grown(said[name], number % len(said[name].offers), number)}


def grown(said: Observation, place: int, number: int) -> Observation:
    """The same after the service of its offer number `place` began to run under a further account."""
    offers = list(said.offers)
    accounts = (*(offers[place].service_accounts or ()), f"since-{number:04d}")
    offers[place] = msgspec.structs.replace(offers[place], service_accounts=tuple(sorted(accounts)))
    return msgspec.structs.replace(said, offers=tuple(offers))


def joined(said: Observation, names: Iterable[str]) -> Observation:
    """The same with more services of these names (`namespace/service`), each like its first."""
    new = (
        msgspec.structs.replace(said.offers[0], namespace=namespace, service=service, service_accounts=(service,))
        for namespace, _, service in (name.partition("/") for name in names)
    )
    offers = sorted((*said.offers, *new), key=lambda offer: (offer.namespace, offer.service))
    return msgspec.structs.replace(said, offers=tuple(offers))
