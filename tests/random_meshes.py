"""Random meshes and random changes of their facts, for properties that must hold for all of them.

Small worlds in which everything meets often: few names, ports that disagree, consumers by label, additional names,
gateways by host name or without address, wildcard and foreign Gateways, clashes. All trees are valid: written as files
they are read without a problem.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from random import Random
from typing import Any

from hypothesis import strategies as st
from msgspec.structs import replace

from syncer.protocol.names import ServiceKey
from syncer.protocol.observation import Foreign
from syncer.protocol.offer import Port
from tests.meshes import NEWER, NEWEST, OLD, cluster, completed, export, facts, key, mesh, port, tree_of
from workers.documents import paths
from workers.documents.kinds import Cluster, ClusterFacts, Export, GatewaySettings
from workers.reach import host_name
from workers.tree import Facts, Tree

CLUSTERS = ("east", "mid", "north", "south", "west")
SERVICES = ("bookinfo/ratings", "bookinfo/reviews", "payments/ledger", "shop/cart", "shop/reviews")
ADDITIONAL = (("*.books.example.com", "bookinfo"), ("*.shop.example.com", "shop"), ("pay.example.com", "payments"))
CLAIMS = ("a.books.example.com", "a.shop.example.com", "b.shop.example.com", "pay.example.com", "nobody.example.com")
_PORTS = (
    port(80, "http", "HTTP"),
    port(80, "web"),
    port(9080, "http", "HTTP"),
    port(9080, "http"),
    port(9080, "http", "HTTP2", target=8080),
    port(3306, "tcp-db", "TCP"),
    port(9443, "https", "HTTPS"),
)
_OUTSIDE = ("198.51.100.{}", "198.51.100.{}:30443", "gw-{}.example", "192.0.2.{}")


def trees(*, clusters: int = 5, services: int = 5) -> st.SearchStrategy[Tree]:
    """A mesh of at most so many clusters and services."""
    return _trees(clusters, services)


@st.composite
def _trees(draw: st.DrawFn, most_clusters: int, most_services: int) -> Tree:
    names = draw(st.lists(st.sampled_from(CLUSTERS), min_size=1, max_size=most_clusters, unique=True))
    services = draw(st.lists(st.sampled_from(SERVICES), max_size=most_services, unique=True))
    documents: list[Any] = [mesh(additional=ADDITIONAL)]
    for name in names:
        documents += [draw(some_cluster(name)), draw(cluster_facts(name))]
    for service in services:
        by = draw(st.lists(st.sampled_from(names), min_size=1, unique=True))
        documents += [draw(exports(service, name, names)) for name in by]
    return tree_of(*documents)


@st.composite
def some_cluster(draw: st.DrawFn, name: str) -> Cluster:
    """What people may say of a cluster."""
    number = CLUSTERS.index(name) + 1
    gateway = GatewaySettings(
        namespace=draw(st.sampled_from(("istio-eastwest", "istio-system"))),
        selector={"istio": "eastwestgateway"},
        addresses=draw(st.sampled_from(((), (), (), (f"203.0.113.{number}",), (f"{name}.example:31443",)))),
    )
    return cluster(
        name,
        locality=draw(st.sampled_from(("", "eu/eu-1", "us/us-1/a"))),
        labels=draw(st.dictionaries(st.just("env"), st.sampled_from(("prod", "test")))),
        gateway=gateway,
        may_export=draw(st.sampled_from((None, None, None, ("shop", "book*")))),
    )


@st.composite
def cluster_facts(draw: st.DrawFn, name: str) -> ClusterFacts:
    """What may have been observed of a cluster: addresses, wildcard and foreign objects included."""
    number = CLUSTERS.index(name) + 1
    outside = draw(st.lists(st.sampled_from(_OUTSIDE), max_size=3, unique=True))
    return facts(
        name,
        *(address.format(number) for address in outside),
        cluster_ip=draw(st.sampled_from((None, f"10.96.0.{number}", f"fd00::{number}"))),
        cluster_port=draw(st.sampled_from((15443, 15444))),
        wildcard=draw(st.sampled_from((False, False, False, True))),
        foreign=draw(st.lists(foreign_objects(), max_size=2, unique=True)),
    )


@st.composite
def foreign_objects(draw: st.DrawFn) -> Foreign:
    """People's own object for a host of the mesh, or a Gateway that opens a service already."""
    of = key(draw(st.sampled_from(SERVICES)))
    if draw(st.booleans()):
        host = f"{of.service}.{of.namespace}.svc.cluster.local"
        return Foreign(kind="Gateway", namespace="istio-eastwest", name="own", host=host)
    kind = draw(st.sampled_from(("DestinationRule", "VirtualService", "ServiceEntry")))
    return Foreign(kind=kind, namespace="team", name="own", host=host_name(mesh(), of))


@st.composite
def exports(draw: st.DrawFn, service: str, by: str, clusters: Sequence[str]) -> Export:
    """What one cluster may export under a name."""
    return export(
        service,
        by,
        ports=draw(ports()),
        accounts=tuple(draw(st.lists(st.sampled_from(("a", "b", "c")), min_size=1, unique=True))),
        since=draw(st.sampled_from((OLD, NEWER, NEWEST, None))),
        consumers=draw(consumers(clusters)),
        hosts=tuple(draw(st.lists(st.sampled_from(CLAIMS), max_size=2, unique=True))),
        headless=draw(st.sampled_from((False, False, False, True))),
    )


def ports() -> st.SearchStrategy[tuple[Port, ...]]:
    """One to four ports; numbers and names are unique in one Service, as Kubernetes demands."""
    unique = (lambda made: made.number, lambda made: made.name)
    return st.lists(st.sampled_from(_PORTS), min_size=1, max_size=4, unique_by=unique).map(tuple)


def consumers(clusters: Sequence[str]) -> st.SearchStrategy[tuple[str, ...] | None]:
    """Everybody, nobody else, or some by name and label."""
    some = st.lists(st.sampled_from((*clusters, "env=prod", "env=test")), max_size=3, unique=True)
    return st.none() | some.map(sorted).map(tuple)


@st.composite
def changed(draw: st.DrawFn, tree: Tree) -> tuple[Tree, frozenset[ServiceKey], frozenset[str]]:
    """The tree after some facts changed; with the services and the clusters of which they did."""
    names, changes = list(tree.clusters), dict[str, Export | ClusterFacts | None]()
    for service in draw(st.lists(st.sampled_from(SERVICES), max_size=3, unique=True)):
        by = draw(st.sampled_from(names))
        fact = draw(st.none() | exports(service, by, names))
        if fact is not None or by in tree.facts.exports.get(key(service), {}):
            changes[paths.export_path(key(service), by)] = fact
    services = frozenset(key(_service_of(path)) for path in changes)
    clusters = frozenset(draw(st.lists(st.sampled_from(names), max_size=1)))
    changes |= {paths.cluster_facts_path(name): draw(cluster_facts(name)) for name in sorted(clusters)}
    return completed(tree.with_facts(tree.facts.with_changes(changes))), services, clusters


def _service_of(path: str) -> str:
    """`namespace/service` of the path of an Export."""
    place = paths.place(path)
    assert place is not None, path
    return f"{place.namespace}/{place.name}"


def shuffled(tree: Tree, random: Random) -> Tree:
    """An equal tree: every mapping of it was filled in another order."""

    def mixed(mapping: Mapping[Any, Any]) -> dict[Any, Any]:
        items = list(mapping.items())
        random.shuffle(items)
        return dict(items)

    hosts = {
        name: replace(host, spec=replace(host.spec, addresses=mixed(host.spec.addresses)))
        for name, host in tree.facts.hosts.items()
    }
    known = Facts(
        clusters=mixed(tree.facts.clusters),
        exports=mixed({name: mixed(exported) for name, exported in tree.facts.exports.items()}),
        hosts=mixed(hosts),
    )
    return Tree(mesh=tree.mesh, clusters=mixed(tree.clusters), facts=known)
