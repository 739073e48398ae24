"""What renderers see: one host name as one consumer calls it, and what one cluster lets into one namespace.

What they see of trust is in `authority`.

A view holds everything that its objects depend on and nothing else, and is hashable: equal views are rendered once.
Knows reach and the documents of clusters. Knows no Istio object and no YAML.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from syncer.protocol.names import HostName, ServiceKey
from workers.documents import paths
from workers.documents.kinds import Cluster
from workers.reach import HostReach, PortWay, Provider, Reach, Way, host_name
from workers.render.authority import AuthorityView
from workers.tree import Tree

MAX_NAME = 253
"""Kubernetes refuses longer names of objects (RFC 1123 subdomain)."""


@dataclass(frozen=True, kw_only=True, slots=True)
class HostView:
    """A host name as a consumer calls it: ports by number, never empty; the providers of some port, by cluster."""

    name: HostName
    key: ServiceKey
    address: str
    object_name: str
    """Of its DestinationRule and its first ServiceEntry."""
    ports: tuple[PortWay, ...]
    providers: tuple[Provider, ...]

    @property
    def source(self) -> str:
        return paths.host_path(self.key)

    @property
    def by_dns(self) -> bool:
        """Whether a gateway is known by host name only. Then sidecars resolve all of them: the kinds don't mix."""
        return any(address.host is not None for provider in self.providers for address in provider.addresses)

    def answering(self, port: PortWay) -> tuple[Provider, ...]:
        """The providers that have a port."""
        return tuple(provider for provider in self.providers if provider.cluster in port.providers)


@dataclass(frozen=True, kw_only=True, slots=True)
class GatewayView:
    """What a cluster's east-west gateway lets in to `namespace`; `hosts` are cluster-local, sorted, never empty."""

    namespace: str
    gateway_namespace: str
    selector: tuple[tuple[str, str], ...]
    port: int
    hosts: tuple[str, ...]

    @property
    def source(self) -> str:
        return f"{paths.FACTS}exports/{self.namespace}/"


View = HostView | GatewayView | AuthorityView
Views = tuple[View, ...]
"""What one file is rendered from; empty where no file should stand."""


def cluster_local(key: ServiceKey) -> str:
    """The name under which the provider's own mesh knows the service: no loop is possible with it."""
    return f"{key.service}.{key.namespace}.svc.cluster.local"


def imports(tree: Tree, reach: Reach, services: Iterable[ServiceKey]) -> Iterator[tuple[str, Views]]:
    """Path and views of the import files of these services in all clusters; equal consumers share one object."""
    by_service: dict[ServiceKey, list[HostReach]] = {key: [] for key in services}
    for host in reach.values():
        if host.key in by_service:
            by_service[host.key].append(host)
    for key, hosts in by_service.items():
        base = host_name(tree.mesh, key)
        hosts.sort(key=lambda host: (host.name != base, host.name))
        shared: dict[tuple[int, ...], Views] = {}
        for cluster in tree.clusters:
            ways = [host.ways[cluster] for host in hosts]
            same = tuple(map(id, ways))
            if same not in shared:
                pairs = zip(hosts, ways, strict=True)
                shared[same] = tuple(_host_view(host, way, alias=host.name != base) for host, way in pairs if way.ports)
            yield paths.import_path(cluster, key), shared[same]


def _host_view(host: HostReach, way: Way, *, alias: bool) -> HostView:
    name = paths.alias_name(host.key, host.name) if alias else paths.import_name(host.key)
    return HostView(
        name=host.name,
        key=host.key,
        address=host.address,
        object_name=paths.shortened(name, MAX_NAME),
        ports=way.ports,
        providers=tuple(sorted(way.providers, key=lambda provider: provider.cluster)),
    )


def gateways(tree: Tree, reach: Reach, places: Iterable[tuple[str, str]]) -> Iterator[tuple[str, Views]]:
    """Path and views of the gateway files of these places (cluster, exporting namespace)."""
    places = tuple(places)
    let_in = _let_in(reach, {namespace for _, namespace in places})
    for name, namespace in places:
        cluster = tree.clusters.get(name)
        hosts = let_in[namespace].get(name, set()) - _opened_by_people(tree, name)
        if cluster is None or not hosts or _lets_everything_in(tree, name):
            yield paths.gateway_path(name, namespace), ()
        else:
            yield paths.gateway_path(name, namespace), (_gateway_view(cluster, namespace, hosts),)


def _let_in(reach: Reach, namespaces: Iterable[str]) -> Mapping[str, Mapping[str, set[str]]]:
    """Cluster-local names by namespace and providing cluster: of every service that somebody can call there."""
    found: dict[str, dict[str, set[str]]] = {namespace: {} for namespace in namespaces}
    for host in reach.values():
        if host.key.namespace in found:
            for provider in host.providers():
                found[host.key.namespace].setdefault(provider, set()).add(cluster_local(host.key))
    return found


def _opened_by_people(tree: Tree, cluster: str) -> frozenset[str]:
    """Hosts of people's own Gateways: the same host in two servers drops the younger server with all its hosts."""
    facts = tree.facts.clusters.get(cluster)
    return frozenset(foreign.host for foreign in (facts.spec.foreign if facts else ()) if foreign.kind == "Gateway")


def _lets_everything_in(tree: Tree, cluster: str) -> bool:
    """Beside people's own wildcard Envoy would refuse the whole listener, and a new gateway pod never gets ready."""
    facts = tree.facts.clusters.get(cluster)
    return facts is not None and facts.spec.gateway.wildcard


def _gateway_view(cluster: Cluster, namespace: str, hosts: Iterable[str]) -> GatewayView:
    gateway = cluster.spec.gateway
    return GatewayView(
        namespace=namespace,
        gateway_namespace=gateway.namespace,
        selector=tuple(sorted(gateway.selector.items())),
        port=gateway.port,
        hosts=tuple(sorted(hosts)),
    )
