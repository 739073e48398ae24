"""Small hand-made meshes, so that a test says only what it is about.

Builders for every document with defaults that are valid together, and `tree_of`, which completes them: a cluster
without facts gets a gateway address, an exported service its Host. What is filled in depends on names alone, so it
stays the same when a test adds something. Random meshes are in `tests.random_meshes`.
"""

from __future__ import annotations

import ipaddress
import re
import zlib
from collections.abc import Container, Iterable, Mapping

from syncer.protocol.names import ServiceKey
from syncer.protocol.observation import Foreign, GatewayAddress
from syncer.protocol.offer import Port
from workers.conflict import age
from workers.documents import kinds, paths
from workers.documents.kinds import Cluster, ClusterFacts, Document, Export, Host, Mesh
from workers.documents.strict import Name
from workers.documents.trust import ClusterTrust, MeshTrust, PkiDocument
from workers.documents.writing import write
from workers.reach import host_name, may_claim
from workers.tree import Facts, Pki, Tree

OLD, NEWER, NEWEST = "2026-01-01T00:00:00Z", "2026-02-01T00:00:00Z", "2026-03-01T00:00:00Z"
"""Ages of exports: the oldest decides a conflict."""


def key(text: str) -> ServiceKey:
    """`namespace/service`."""
    namespace, _, service = text.partition("/")
    return ServiceKey(namespace, service)  # type: ignore[arg-type]


def mesh(
    *,
    template: str = "{service}.{namespace}.mesh.internal",
    virtual_ips: tuple[str, ...] = ("240.8.0.0/13",),
    additional: Iterable[tuple[str, str]] = (("*.shop.example.com", "bookinfo"),),
    automatic: tuple[kinds.AutomaticClass, ...] = (),
    guard: kinds.Guard | None = None,
    rendering: int = 1,
    forge: kinds.Forge | None = None,
    trust: MeshTrust | None = None,
) -> Mesh:
    """`additional`: pairs of host pattern and namespace."""
    hosts = kinds.Hosts(
        template=template,
        virtual_ips=virtual_ips,
        additional=tuple(kinds.AdditionalHosts(pattern=pattern, namespace=name) for pattern, name in additional),
    )
    return Mesh(
        metadata=Name(name="acme"),
        spec=kinds.MeshSpec(
            rendering=rendering,
            hosts=hosts,
            approval=kinds.Approval(automatic=automatic, forge=forge or kinds.Forge()),
            guard=guard or kinds.Guard(),
            trust=trust,
        ),
    )


def cluster(
    name: str,
    *,
    network: str | None = None,
    trust_domain: str | None = None,
    locality: str = "",
    labels: Mapping[str, str] | None = None,
    gateway: kinds.GatewaySettings | None = None,
    addresses: tuple[str, ...] = (),
    may_export: tuple[str, ...] | None = None,
    keys: tuple[str, ...] = (),
    trust: ClusterTrust | None = None,
) -> Cluster:
    """Network `<name>`, trust domain `<name>.acme.example`; `addresses` as people write them for the gateway."""
    return Cluster(
        metadata=kinds.NameAndLabels(name=name, labels=dict(labels or {})),
        spec=kinds.ClusterSpec(
            network=network or name,
            trust_domain=trust_domain or f"{name}.acme.example",
            locality=locality,
            gateway=gateway or kinds.GatewaySettings(addresses=addresses),
            syncer=kinds.SyncerSettings(public_keys=keys),
            may_export=may_export,
            trust=trust,
        ),
    )


def address(text: str) -> GatewayAddress:
    """`203.0.113.10`, `203.0.113.10:30443` or `gateway.example:15443`."""
    name, _, number = text.partition(":")
    kind = "ip" if re.fullmatch(r"[\d.]+", name) else "host"
    return GatewayAddress(**{kind: name}, port=int(number or 15443))


def facts(
    name: str,
    *addresses: str,
    cluster_ip: str | None = None,
    cluster_port: int = 15443,
    wildcard: bool = False,
    sources: tuple[str, ...] = ("label",),
    foreign: Iterable[Foreign] = (),
) -> ClusterFacts:
    """What was accepted of a cluster; without addresses its gateway has none."""
    gateway = kinds.GatewayFacts(
        addresses=tuple(sorted(map(address, addresses), key=repr)),
        cluster_ip=cluster_ip,
        cluster_port=cluster_port,
        wildcard=wildcard,
    )
    spec = kinds.ClusterFactsSpec(gateway=gateway, sources=sources, foreign=tuple(sorted(foreign)))
    return ClusterFacts(metadata=Name(name=name), spec=spec)


def port(number: int, name: str | None = None, protocol: str | None = None, *, target: int | None = None) -> Port:
    """Without a name `p<number>`, without a target the number itself."""
    return Port(name=name or f"p{number}", number=number, protocol=protocol, target_port=target or number)


def export(
    service: str,
    by: str,
    *,
    ports: Iterable[Port] = (port(9080, "http", "HTTP"),),
    accounts: tuple[str, ...] | None = None,
    since: str | None = OLD,
    consumers: tuple[str, ...] | None = None,
    hosts: tuple[str, ...] = (),
    headless: bool = False,
    source: str = "label",
) -> Export:
    """`service` as `namespace/name`, exported `by` a cluster; the service account is called like the service."""
    namespace, name = key(service)
    return Export(
        metadata=kinds.ExportName(name=name, namespace=namespace, cluster=by),
        spec=kinds.ExportSpec(
            source=source,
            since=since,
            headless=headless,
            ports=tuple(sorted(ports, key=lambda port: port.number)),
            service_accounts=tuple(sorted(accounts or (name,))),
            selector={"app": name},
            consumers=consumers,
            hosts=tuple(sorted(hosts)),
        ),
    )


def host(service: str, addresses: Mapping[str, str], providers: tuple[str, ...]) -> Host:
    """A Host written out, where `tree_of` shall not make one up."""
    namespace, name = key(service)
    return Host(
        metadata=kinds.HostNameAndNamespace(name=name, namespace=namespace),
        spec=kinds.HostSpec(addresses=dict(sorted(addresses.items())), providers=providers),
    )


def tree_of(*documents: Document) -> Tree:
    """The tree of these documents, in any order, completed: mesh, facts of clusters, hosts of exports."""
    said = next((document for document in documents if isinstance(document, Mesh)), mesh())
    clusters = {document.name: document for document in documents if isinstance(document, Cluster)}
    known = {name: default_facts(name) for name in clusters}
    known |= {document.metadata.name: document for document in documents if isinstance(document, ClusterFacts)}
    exports: dict[ServiceKey, dict[str, Export]] = {}
    for document in documents:
        if isinstance(document, Export):
            exports.setdefault(document.key, {})[document.cluster] = document
    given = {document.key: document for document in documents if isinstance(document, Host)}
    pki = {paths.path_of(document): document for document in documents if isinstance(document, PkiDocument)}
    return Tree(
        mesh=said,
        clusters=dict(sorted(clusters.items())),
        facts=Facts(
            clusters=dict(sorted(known.items())),
            exports={name: dict(sorted(exports[name].items())) for name in sorted(exports)},
            hosts=hosts_of(said, exports, given),
            pki=Pki().with_changes(pki),
        ),
    )


def default_facts(name: str) -> ClusterFacts:
    """A gateway with an address outside and one inside, both by the cluster's name."""
    low, high = divmod(zlib.crc32(name.encode()) % (1 << 16), 256)
    return facts(name, f"198.18.{low}.{high}", cluster_ip=f"10.96.{low}.{high}")


def hosts_of(
    said: Mesh, exports: Mapping[ServiceKey, Mapping[str, Export]], known: Mapping[ServiceKey, Host]
) -> dict[ServiceKey, Host]:
    """A Host for every exported service: those known with what they lack; every name has one address of its own."""
    given = {name: address for document in known.values() for name, address in document.spec.addresses.items()}
    hosts = dict(known)
    for service in sorted(exports):
        by_age = sorted(exports[service].values(), key=age)
        claims = {claim for made in by_age for claim in made.spec.hosts if may_claim(said, service.namespace, claim)}
        old = known[service].spec if service in known else kinds.HostSpec(addresses={}, providers=())
        addresses = dict(old.addresses)
        for name in (host_name(said, service), *sorted(claims)):
            addresses[name] = given.setdefault(name, _free_address(said, name, frozenset(given.values())))
        providers = dict.fromkeys((*old.providers, *(made.cluster for made in by_age)))
        hosts[service] = host(str(service), addresses, tuple(providers))
    return dict(sorted(hosts.items()))


def _free_address(said: Mesh, name: str, taken: Container[str]) -> str:
    network = ipaddress.ip_network(said.spec.hosts.virtual_ips[0])
    usable = network.num_addresses - 2  # neither the first nor the last
    start = zlib.crc32(name.encode())
    candidates = (str(network[1 + (start + step) % usable]) for step in range(usable))
    return next(candidate for candidate in candidates if candidate not in taken)


def with_exports(tree: Tree, *exports: Export) -> Tree:
    """The tree after these were exported, too (or anew)."""
    changes = {paths.export_path(made.key, made.cluster): made for made in exports}
    return completed(tree.with_facts(tree.facts.with_changes(changes)))


def without_exports(tree: Tree, *names: tuple[str, str]) -> Tree:
    """The tree after exports were withdrawn, each named as (`namespace/service`, cluster); Hosts stay."""
    changes = {paths.export_path(key(service), by): None for service, by in names}
    return tree.with_facts(tree.facts.with_changes(changes))


def completed(tree: Tree) -> Tree:
    """The tree with a Host for every exported service; addresses that stand are kept."""
    hosts = hosts_of(tree.mesh, tree.facts.exports, tree.facts.hosts)
    changes = {paths.host_path(name): made for name, made in hosts.items() if made != tree.facts.hosts.get(name)}
    return tree.with_facts(tree.facts.with_changes(changes))


def documents_of(tree: Tree) -> tuple[Document, ...]:
    """All documents of a tree, by path."""
    exports = (made for by_cluster in tree.facts.exports.values() for made in by_cluster.values())
    facts = tree.facts
    found: list[Document] = [
        tree.mesh,
        *tree.clusters.values(),
        *facts.clusters.values(),
        *exports,
        *facts.hosts.values(),
        *facts.pki.roots.values(),
        *facts.pki.requests.values(),
        *facts.pki.intermediates.values(),
        *facts.pki.sealing.values(),
        *([facts.pki.trust] if facts.pki.trust else ()),
    ]
    return tuple(sorted(found, key=paths.path_of))


def files_of(tree: Tree) -> dict[str, bytes]:
    """`mesh/`, `facts/` and `pki/` of a tree as they stand in a repository."""
    return {paths.path_of(document): write(document) for document in documents_of(tree)}
