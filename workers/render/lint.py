"""What Istio takes without a word although it harms, across all objects of a cluster and between clusters.

Looks at rendered objects as data, so that it catches a wrong renderer; what is right comes from the tree and reach.
Goes through what it is given once, equal contents once, so a part costs what the part is. Knows no YAML, mends nothing.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import chain, product
from typing import Final, NamedTuple

from syncer.protocol.names import HostName, Namespace, ServiceKey, ServiceName
from workers.documents import paths
from workers.documents.kinds import Cluster
from workers.reach import HostReach, Reach, gateway_addresses
from workers.render import Rendered, rules
from workers.render.authority_shapes import Authority, ConfigMap, SealedSecret, authority_faults, files_of
from workers.render.metadata import Object
from workers.render.shapes import Endpoint, Gateway, name_of, shape
from workers.render.view import cluster_local
from workers.tree import Problem, Tree

_REMEDY: Final = "Don't apply it: a renderer is wrong, please report it together with this tree"


class _File(NamedTuple):
    """Where a content stands."""

    path: str
    cluster: str
    folder: str
    namespace: str


@dataclass(frozen=True, kw_only=True)
class _Content:
    """What stands in a file, or in many equal ones."""

    names: tuple[str, ...]
    """Of all its objects, also of those that have none of our shapes."""
    hosts: tuple[rules.HostObjects, ...]
    gateways: tuple[Gateway, ...]
    authorities: tuple[Authority, ...]
    problems: tuple[str, ...]
    """Of single objects."""

    @cached_property
    def endpoints(self) -> tuple[Endpoint, ...]:
        return tuple(endpoint for host in self.hosts for endpoint in host.endpoints())

    @cached_property
    def providers(self) -> frozenset[str]:
        return frozenset(endpoint.labels.cluster for endpoint in self.endpoints)

    @cached_property
    def networks(self) -> frozenset[str]:
        return frozenset(endpoint.network for endpoint in self.endpoints)

    @cached_property
    def let_in(self) -> tuple[str, ...]:
        return tuple(host for gateway in self.gateways for server in gateway.spec.servers for host in server.hosts)


class _Kept(NamedTuple):
    """What rules between files need of a content: contents themselves, thousands of them, aren't kept."""

    once: tuple[str, ...]
    """What may stand in one file of a cluster only, and once."""
    let_in: frozenset[str]
    calls: frozenset[tuple[str, ServiceKey]]
    """Services, and clusters that provide them."""


@dataclass(frozen=True, kw_only=True)
class _Mesh:
    tree: Tree
    reach: Reach

    @cached_property
    def hosts(self) -> Mapping[str, set[str]]:
        """Host names by virtual address."""
        hosts: dict[str, set[str]] = {}
        for host in self.reach.values():
            hosts.setdefault(host.address, set()).add(host.name)
        return hosts


def lint(
    tree: Tree, reach: Reach, rendered: Mapping[str, Rendered | None], *, whole: bool = False
) -> tuple[Problem, ...]:
    """What must not be applied, sorted; empty for what `render` returns.

    `rendered` may be any part of a rendering. `whole`: it is all of it, so that a file that isn't in it isn't there.
    """
    mesh = _Mesh(tree=tree, reach=reach)
    found = {*_clusters(tree)}
    kept: dict[str, _Kept] = {}
    for file, paths_of_file in _by_content(rendered):
        content = _read(file.objects)
        found.update(_content(mesh, content, [_file(path) for path in paths_of_file]))
        kept |= dict.fromkeys(paths_of_file, _keep(reach, content))
    found.update(_once(tree, kept))
    found.update(_let_in(tree, kept, rendered.keys(), whole=whole))
    return tuple(sorted(found))


def _problem(path: str, what: str, remedy: str = _REMEDY) -> Problem:
    return Problem(path=path, line=0, what=what, remedy=remedy)


def _by_content(rendered: Mapping[str, Rendered | None]) -> Iterable[tuple[Rendered, list[str]]]:
    """Files with all paths where they stand, sorted. `render` gives equal files as one object."""
    found: dict[int, tuple[Rendered, list[str]]] = {}
    for path in sorted(rendered):
        file = rendered[path]
        if file is not None:
            found.setdefault(id(file), (file, []))[1].append(path)
    return found.values()


def _file(path: str) -> _File:
    _, cluster, folder, rest = path.split("/", 3)
    return _File(path, cluster, folder, paths.name_in(rest.split("/")[0]))


def _read(objects: Iterable[Object]) -> _Content:
    names, shapes, problems = [], [], []
    for content in objects:
        names.append(name_of(content))
        try:
            shapes.append(shape(content))
        except ValueError as error:  # msgspec's ValidationError is one
            problems.append(f"{names[-1]}: {error}")
    return _Content(
        names=tuple(names),
        hosts=rules.by_host(shapes) if not problems else (),  # one wrong object would be many problems of its host
        gateways=tuple(shaped for shaped in shapes if isinstance(shaped, Gateway)),
        authorities=tuple(shaped for shaped in shapes if isinstance(shaped, ConfigMap | SealedSecret)),
        problems=tuple(problems),
    )


def _keep(reach: Reach, content: _Content) -> _Kept:
    once = (
        *content.names,
        *(f"host {host.name}" for host in content.hosts),
        *(f"{host} in a server of a Gateway" for host in content.let_in),
    )
    keys = {reach[HostName(host.name)].key for host in content.hosts if host.name in reach}
    return _Kept(once, frozenset(content.let_in), frozenset(product(content.providers, keys)))


# --- rules of one content, wherever it stands


def _content(mesh: _Mesh, content: _Content, files: Sequence[_File]) -> Iterator[Problem]:
    for what in content.problems:
        yield _problem(files[0].path, what)
    for file in files:
        match file.folder:
            case "gateway":
                yield from _gateway(mesh.tree, content, file)
            case "imports":
                yield from _import(mesh.tree, content, file)
            case "ca":
                yield from _authority(mesh.tree, content, file)
    for host in content.hosts:
        yield from _host(mesh, host, files)


def _gateway(tree: Tree, content: _Content, file: _File) -> Iterator[Problem]:
    """In the namespace of the gateway's pods, for them and their port, with what this cluster exports there."""
    cluster, facts = tree.clusters.get(file.cluster), tree.facts.clusters.get(file.cluster)
    if cluster is None or content.hosts or content.authorities:
        yield _problem(file.path, "only Gateways of a known cluster may stand here")
        return
    if facts is not None and facts.spec.gateway.wildcard:
        yield _problem(file.path, "people's own gateway lets everything in: beside it the whole listener is refused")
    settings = cluster.spec.gateway
    for gateway in content.gateways:
        if gateway.metadata.namespace != settings.namespace or gateway.spec.selector != settings.selector:
            yield _problem(file.path, f"not for the gateway's pods, {settings.selector} in {settings.namespace}")
        if {server.port.number for server in gateway.spec.servers} != {settings.port}:
            yield _problem(file.path, f"not on the gateway's port {settings.port}")
    for host in content.let_in:
        service, namespace = host.split(".")[:2]
        key = ServiceKey(Namespace(namespace), ServiceName(service))
        if namespace != file.namespace or file.cluster not in tree.facts.exports.get(key, {}):
            yield _problem(file.path, f"{host} isn't exported from namespace {file.namespace} here")


def _import(tree: Tree, content: _Content, file: _File) -> Iterator[Problem]:
    """The own gateway by its cluster address, in the own network; no host for which people have their own object."""
    cluster, facts = tree.clusters.get(file.cluster), tree.facts.clusters.get(file.cluster)
    if cluster is None or content.gateways or content.authorities:
        yield _problem(file.path, "only imports of a known cluster may stand here")
        return
    for own in facts.spec.foreign if facts else ():
        if own.kind != "Gateway" and any(host.name == own.host for host in content.hosts):
            yield _problem(file.path, f"{own.kind} {own.namespace}/{own.name} of people is for {own.host}")
    if file.cluster not in content.providers and cluster.spec.network not in content.networks:
        return
    addresses = _own_addresses(tree, cluster)
    for endpoint in content.endpoints:
        of, is_own = endpoint.labels.cluster, endpoint.labels.cluster == file.cluster
        if is_own != (endpoint.network == cluster.spec.network):
            yield _problem(file.path, f"endpoint {endpoint.address} of {of}: network {endpoint.network}")
        if is_own and not addresses.issuperset((endpoint.address, number) for number in endpoint.ports.values()):
            yield _problem(file.path, f"the own gateway at {endpoint.address} instead of its cluster address")


def _authority(tree: Tree, content: _Content, file: _File) -> Iterator[Problem]:
    """What one managed cluster signs with and trusts: exactly what `pki/` says of it."""
    cluster, step = tree.clusters.get(file.cluster), tree.facts.pki.steps.get(file.cluster)
    others = content.hosts or content.gateways or len(content.authorities) > 1
    if cluster is None or cluster.spec.trust is None or step is None or others:
        yield _problem(file.path, "only the trust of one managed cluster may stand here")
        return
    standing, roots = tree.facts.pki.intermediates.get(file.cluster), tree.facts.pki.roots
    for authority in content.authorities:
        names = {"mesh": tree.mesh.metadata.name, "cluster": file.cluster, "trust_domain": cluster.spec.trust_domain}
        for what in authority_faults(authority, **names):
            yield _problem(file.path, what)
        files = files_of(authority)
        if files.certificate != (standing.spec.certificate if standing else None):
            yield _problem(file.path, f"its certificate isn't that of {paths.intermediate_path(file.cluster)}")
        bundle = "".join(roots[name].spec.certificate for name in step.bundle if name in roots)
        if files.roots.rstrip("\n") != bundle.rstrip("\n"):
            yield _problem(file.path, f"its bundle isn't {', '.join(step.bundle)}, as {paths.TRUST} says")


def _own_addresses(tree: Tree, cluster: Cluster) -> set[tuple[str | None, int]]:
    """Where a cluster calls its own gateway: through the load balancer outside only if nothing else is known."""
    facts = tree.facts.clusters.get(cluster.name)
    if facts is not None and facts.spec.gateway.cluster_ip is not None:
        return {(facts.spec.gateway.cluster_ip, facts.spec.gateway.cluster_port or cluster.spec.gateway.port)}
    return {(address.ip or address.host, address.port) for address in gateway_addresses(tree, cluster)}


def _host(mesh: _Mesh, host: rules.HostObjects, files: Iterable[_File]) -> Iterator[Problem]:
    """Against what reach says; consumers with the same way are looked at once."""
    found = mesh.reach.get(HostName(host.name))
    seen: set[int] = set()
    for file in files:
        way = found.ways.get(file.cluster) if found else None
        if found is None or way is None:
            yield _problem(file.path, f"{host.name} isn't a host of this mesh")
        elif id(way) not in seen:
            seen.add(id(way))
            checks = (
                rules.agreement(host),
                rules.port_blocks(host, cluster_local(found.key)),
                rules.identities(host, mesh.tree, found.key),
                rules.endpoints(host, way),
                _addresses(mesh, host, found),
            )
            for what in chain(*checks):
                yield _problem(file.path, f"{host.name}: {what}")


def _addresses(mesh: _Mesh, host: rules.HostObjects, found: HostReach) -> Iterator[str]:
    """One address per host in the whole mesh, one host per address."""
    for address in sorted({entry.spec.addresses[0] for entry in host.entries}):
        yield from rules.virtual_address(address, mesh.tree.mesh.spec.hosts.virtual_ips)
        if address != found.address:
            yield f"address {address}, elsewhere it has {found.address}"
        if others := mesh.hosts.get(address, set()) - {host.name}:
            yield f"address {address} is also that of {', '.join(sorted(others))}"


# --- rules between files, and between clusters


def _clusters(tree: Tree) -> Iterator[Problem]:
    """Two clusters with one trust domain can't be told apart by identities, with one network not by endpoints."""
    owners: dict[tuple[str, str], str] = {}
    for name, cluster in tree.clusters.items():
        for what, value in (("network", cluster.spec.network), ("trustDomain", cluster.spec.trust_domain)):
            if (owner := owners.setdefault((what, value), name)) != name:
                said = f"spec.{what} {value} is also cluster {owner}'s"
                yield _problem(paths.cluster_path(name), said, "Give every cluster its own")


def _once(tree: Tree, kept: Mapping[str, _Kept]) -> Iterator[Problem]:
    """Ids, hosts, and what Gateways let in, people's own included: the younger server is dropped with all its hosts."""
    standing: dict[str, dict[str, str]] = {}
    for name, facts in tree.facts.clusters.items():
        opened = (own for own in facts.spec.foreign if own.kind == "Gateway")
        standing[name] = {
            f"{own.host} in a server of a Gateway": f"{own.kind} {own.namespace}/{own.name}" for own in opened
        }
    for path in sorted(kept):
        here = standing.setdefault(_file(path).cluster, {})
        for what in kept[path].once:
            if what in here:
                yield _problem(path, f"{what} stands in {here[what]}, too")
            here[what] = path


def _let_in(tree: Tree, kept: Mapping[str, _Kept], looked_at: Container[str], *, whole: bool) -> Iterator[Problem]:
    """What imports call must stand in the provider's Gateways, ours or people's, or connections are closed."""
    callers: dict[tuple[str, ServiceKey], str] = {}
    for path in sorted(kept, reverse=True):
        callers |= dict.fromkeys(kept[path].calls, path)
    for (provider, key), caller in callers.items():
        path, name = paths.gateway_path(provider, key.namespace), cluster_local(key)
        let_in = kept[path].let_in if path in kept else ()
        if (whole or path in looked_at) and name not in let_in and not _opened_by_people(tree, provider, name):
            yield _problem(path, f"{name} isn't let in, but {caller} calls it there")


def _opened_by_people(tree: Tree, cluster: str, host: str) -> bool:
    facts = tree.facts.clusters.get(cluster)
    return facts is not None and (
        facts.spec.gateway.wildcard or any(own.kind == "Gateway" and own.host == host for own in facts.spec.foreign)
    )
