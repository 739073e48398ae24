"""Reach: who can call what, from where, through whom, or why not.

A pure value of a tree. Guard, rendering, proposal texts, `explain` and `status` all read it, so they can't disagree.
Knows nothing of Istio objects, of observations or of what is about to change.
"""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Literal, NamedTuple, TypeVar

from syncer.protocol.names import HostName, ServiceKey
from syncer.protocol.observation import GatewayAddress
from workers.conflict import Conflict, Resolution, age, resolve
from workers.documents.kinds import Cluster, Export, Mesh
from workers.tree import Tree

BlockReason = Literal["NotConsumer", "NoAddress", "NotAllowed", "Clash", "Conflict", "UnknownCluster"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Block:
    """Why a consumer can't call a host through `provider` (empty: through nobody)."""

    provider: str
    reason: BlockReason
    detail: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Provider:
    """A cluster that answers, as one consumer reaches it; `identities` are SPIFFE URIs, sorted, never empty."""

    cluster: str
    network: str
    locality: str
    addresses: tuple[GatewayAddress, ...]
    identities: tuple[str, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class PortWay:
    """A port that can be called, and the clusters that answer it (names, sorted, never empty)."""

    number: int
    name: str
    protocol: str | None
    providers: tuple[str, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Way:
    """How one consumer calls one host. Equal consumers share one object."""

    ports: tuple[PortWay, ...]
    providers: tuple[Provider, ...]
    """Those that answer some port, by cluster."""
    blocked: tuple[Block, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class HostReach:
    """Everything about one host name; an additional name is a host of its own with the same `key`."""

    name: HostName
    key: ServiceKey
    address: str
    ways: Mapping[str, Way]
    """By consuming cluster, all clusters of the mesh (exporters included)."""
    conflicts: tuple[Conflict, ...]

    def callers(self) -> frozenset[str]:
        """The clusters that can call it."""
        return frozenset(consumer for consumer, way in self.ways.items() if way.ports)

    def providers(self) -> frozenset[str]:
        """The clusters that answer somebody."""
        distinct = {id(way): way for way in self.ways.values()}  # equal consumers share one object: no deep hashes
        return frozenset(provider.cluster for way in distinct.values() for provider in way.providers)


Reach = Mapping[HostName, HostReach]


def host_name(mesh: Mesh, key: ServiceKey) -> HostName:
    """The name that the template gives a service."""
    return mesh.host_name(key)


def may_claim(mesh: Mesh, namespace: str, host: str) -> bool:
    """Whether people allow a namespace this additional name; `*.` in a pattern stands for one or more labels."""
    return mesh.may_claim(namespace, host)


def may_export(cluster: Cluster, namespace: str) -> bool:
    """Whether people allow a cluster to export from a namespace (`mayExport`, shell patterns; absent: all)."""
    allowed = cluster.spec.may_export
    return allowed is None or any(fnmatch.fnmatchcase(namespace, pattern) for pattern in allowed)


def may_consume(export: Export, cluster: Cluster) -> bool:
    """Whether an export is meant for a cluster: by name or by label; its own cluster is always meant."""
    consumers = export.spec.consumers
    if consumers is None or cluster.name == export.cluster:
        return True
    labels = {f"{key}={value}" for key, value in cluster.metadata.labels.items()}
    return any(consumer == cluster.name or consumer in labels for consumer in consumers)


_ADDRESS = re.compile(r"(?P<name>[^:\s]+)(:(?P<port>\d+))?")
_IPV4 = re.compile(r"\d+\.\d+\.\d+\.\d+")


def gateway_addresses(tree: Tree, cluster: Cluster) -> tuple[GatewayAddress, ...]:
    """How peers reach a cluster's gateway: what people wrote in `mesh/clusters/`, else what was observed."""
    written = cluster.spec.gateway.addresses
    if not written:
        facts = tree.facts.clusters.get(cluster.name)
        return facts.spec.gateway.addresses if facts else ()
    addresses = []
    for text in written:
        match = _ADDRESS.fullmatch(text)
        assert match is not None, text  # the reader of documents has checked it
        port = int(match["port"] or cluster.spec.gateway.port)
        kind = "ip" if _IPV4.fullmatch(match["name"]) else "host"
        addresses.append(GatewayAddress(**{kind: match["name"]}, port=port))
    return tuple(addresses)


def reach(tree: Tree, known: tuple[Tree, Reach] | None = None) -> Reach:
    """The reach of a tree, by host name, sorted.

    `known` is an earlier tree with its reach: hosts of which no input changed keep their objects.
    """
    if known and _same_ground(tree, known[0]):
        found = _moved(tree, *known)
    else:
        found = dict(_hosts(tree, tree.facts.exports, _claims(tree)))
    return dict(sorted(found.items()))


def _moved(tree: Tree, old_tree: Tree, old: Reach) -> dict[HostName, HostReach]:
    """The reach of a tree of which only exports and Hosts differ from an older one's; costs what differs."""
    moved = set(_differing(tree.facts.exports, old_tree.facts.exports))
    moved.update(_differing(tree.facts.hosts, old_tree.facts.hosts))
    claims: Mapping[HostName, ServiceKey] = {}
    exports = (facts.exports.get(key, {}) for key in moved for facts in (tree.facts, old_tree.facts))
    if any(export.spec.hosts for by_cluster in exports for export in by_cluster.values()):
        # An additional name may pass to another service.
        claims = _claims(tree)
        moved.update(claims.values())
        moved.update(host.key for host in old.values() if host.name != host_name(tree.mesh, host.key))
    kept = {name: host for name, host in old.items() if host.key not in moved}
    return {**kept, **dict(_hosts(tree, moved, claims))}


_K = TypeVar("_K")
_V = TypeVar("_V")


def _differing(new: Mapping[_K, _V], old: Mapping[_K, _V]) -> Iterator[_K]:
    """What doesn't differ is mostly the same object: looking at identity first touches no document."""
    for key, value in new.items():
        was = old.get(key)
        if was is not value and was != value:
            yield key
    yield from old.keys() - new.keys()


def _hosts(
    tree: Tree, keys: Iterable[ServiceKey], claims: Mapping[HostName, ServiceKey]
) -> Iterator[tuple[HostName, HostReach]]:
    """The hosts of these services: the name of the template, and those that they claim."""
    claimed: dict[ServiceKey, list[HostName]] = {}
    for name, owner in claims.items():
        claimed.setdefault(owner, []).append(name)
    for key in keys:
        exports, host = tree.facts.exports.get(key), tree.facts.hosts.get(key)
        if not exports or host is None:
            continue  # `check` reports it; nothing can be rendered without an address
        base = host_name(tree.mesh, key)
        for name in (base, *claimed.get(key, ())):
            address = host.spec.addresses.get(name)
            if address is not None:
                yield name, _host_reach(tree, key, name, address, exports, alias=name != base)


def _same_ground(tree: Tree, old: Tree) -> bool:
    """Equal documents that were read twice are the same objects (`read_tree` keeps them by blob), so `==` is cheap."""
    return tree.mesh == old.mesh and tree.clusters == old.clusters and tree.facts.clusters == old.facts.clusters


def _claims(tree: Tree) -> dict[HostName, ServiceKey]:
    """Which service an additional name belongs to: that of the oldest export that may claim it."""
    claims: dict[HostName, tuple[tuple[bool, str, str], ServiceKey]] = {}
    for key, exports in tree.facts.exports.items():
        for export in exports.values():
            for host in export.spec.hosts:
                if may_claim(tree.mesh, key.namespace, host):
                    name, claim = HostName(host), (age(export), key)
                    claims[name] = min(claims.get(name, claim), claim)
    return {name: key for name, (_, key) in claims.items()}


def _host_reach(
    tree: Tree, key: ServiceKey, name: HostName, address: str, exports: Mapping[str, Export], *, alias: bool
) -> HostReach:
    if alias:
        exports = {cluster: export for cluster, export in exports.items() if name in export.spec.hosts}
    blocks: list[Block] = []
    allowed: dict[str, Export] = {}
    for cluster, export in exports.items():
        said = tree.clusters.get(cluster)
        if said is None:
            blocks.append(
                Block(provider=cluster, reason="UnknownCluster", detail=f"mesh/clusters/{cluster}.yaml is missing")
            )
        elif not may_export(said, key.namespace):
            detail = f"mayExport in mesh/clusters/{cluster}.yaml doesn't name namespace {key.namespace}"
            blocks.append(Block(provider=cluster, reason="NotAllowed", detail=detail))
        else:
            allowed[cluster] = export
    service = _Service(key=key, exports=allowed, resolution=resolve(allowed.values()), blocks=tuple(blocks))
    ways: dict[str, Way] = {}
    shared: dict[_Caller, Way] = {}
    for consumer in tree.clusters.values():
        mine = tuple(cluster for cluster, export in allowed.items() if may_consume(export, consumer))
        own = consumer.name if consumer.name in mine else ""
        caller = _Caller(own=own, mine=mine, clash=_clash(tree, consumer.name, name))
        if caller not in shared:
            shared[caller] = _way(tree, service, caller)
        ways[consumer.name] = shared[caller]
    return HostReach(name=name, key=key, address=address, ways=ways, conflicts=service.resolution.conflicts)


class _Caller(NamedTuple):
    """All in which one consumer may differ from another: itself if it exports, who exports to it, people's objects."""

    own: str
    mine: tuple[str, ...]
    clash: str


@dataclass(frozen=True, kw_only=True, slots=True)
class _Service:
    """What is the same for all consumers; `exports` are those that may be."""

    key: ServiceKey
    exports: Mapping[str, Export]
    resolution: Resolution
    blocks: tuple[Block, ...]


def _clash(tree: Tree, consumer: str, name: HostName) -> str:
    facts = tree.facts.clusters.get(consumer)
    return ", ".join(
        f"{foreign.kind} {foreign.namespace}/{foreign.name}"
        for foreign in (facts.spec.foreign if facts else ())
        if foreign.host == name and foreign.kind != "Gateway"
    )


def _way(tree: Tree, service: _Service, caller: _Caller) -> Way:
    blocked = list(service.blocks)
    providers: dict[str, Provider] = {}
    for cluster, export in service.exports.items():
        if cluster not in caller.mine:
            blocked.append(
                Block(provider=cluster, reason="NotConsumer", detail="its consumers don't name this cluster")
            )
            continue
        provider = _provider(tree, service.key, tree.clusters[cluster], export, own=caller.own == cluster)
        if not provider.addresses:
            detail = (
                f"its gateway has no address: give its Service a load balancer, or write spec.gateway.addresses in "
                f"mesh/clusters/{cluster}.yaml"
            )
            blocked.append(Block(provider=cluster, reason="NoAddress", detail=detail))
        elif not any(cluster in port.target_ports for port in service.resolution.ports):
            blocked.append(Block(provider=cluster, reason="Conflict", detail="an older export decides all its ports"))
        else:
            providers[cluster] = provider
    if caller.clash:
        blocked.append(Block(provider="", reason="Clash", detail=f"people's own {caller.clash} is for this host"))
        providers = {}
    ports = tuple(
        PortWay(number=port.number, name=port.name, protocol=port.protocol, providers=answering)
        for port in service.resolution.ports
        if (answering := tuple(cluster for cluster in port.target_ports if cluster in providers))
    )
    return Way(ports=ports, providers=tuple(providers.values()), blocked=tuple(blocked))


def _provider(tree: Tree, key: ServiceKey, cluster: Cluster, export: Export, *, own: bool) -> Provider:
    addresses = gateway_addresses(tree, cluster)
    facts = tree.facts.clusters.get(cluster.name)
    if own and facts is not None and facts.spec.gateway.cluster_ip is not None:
        # An exporter calls its own gateway by the Service's cluster address, not through the load balancer outside.
        gateway = facts.spec.gateway
        addresses = (GatewayAddress(ip=gateway.cluster_ip, port=gateway.cluster_port or cluster.spec.gateway.port),)
    return Provider(
        cluster=cluster.name,
        network=cluster.spec.network,
        locality=cluster.spec.locality,
        addresses=addresses,
        identities=tuple(
            f"spiffe://{cluster.spec.trust_domain}/ns/{key.namespace}/sa/{account}"
            for account in export.spec.service_accounts
        ),
    )
