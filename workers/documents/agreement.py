"""What must hold between the documents of a mesh.

Knows documents and where they stand. Knows no files, no lines, and nothing that follows from the documents.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from syncer.protocol.names import ServiceKey
from workers.documents import paths
from workers.documents.kinds import Cluster, ClusterFacts, Export, Host, Mesh
from workers.documents.shape import Fault


class Disagreement(NamedTuple):
    """A fault of the document at `path` that only another document shows."""

    path: str
    fault: Fault


def cluster_faults(clusters: Mapping[str, Cluster]) -> Iterator[Disagreement]:
    """What two clusters may not have in common."""
    networks: dict[str, str] = {}
    keys: dict[str, str] = {}
    for name, cluster in clusters.items():
        spec, path = cluster.spec, paths.cluster_path(name)
        if (other := networks.setdefault(spec.network, name)) != name:
            what = f"`spec.network` is {spec.network}, as in {paths.cluster_path(other)}"
            fault = Fault(("spec", "network"), what, "Each cluster has a network of its own.")
            yield Disagreement(path, fault)
        for i, key in enumerate(spec.syncer.public_keys):
            if (other := keys.setdefault(key, name)) != name:
                what = f"this key is also in {paths.cluster_path(other)}"
                remedy = "Each syncer has a key of its own: copy the one that this cluster's syncer logs at its start."
                yield Disagreement(path, Fault(("spec", "syncer", "publicKeys", i), what, remedy))
    yield from _trust_domains(clusters)


def _trust_domains(clusters: Mapping[str, Cluster]) -> Iterator[Disagreement]:
    """A name constraint on a domain also covers what is below it, so a parent could sign for its subdomain."""
    owners: dict[str, str] = {}
    for name, cluster in clusters.items():
        domain = cluster.spec.trust_domain
        if (other := owners.setdefault(domain, name)) != name:
            what = f"`spec.trustDomain` is {domain}, as in {paths.cluster_path(other)}"
            yield _trust_domain(name, what)
    for domain, name in owners.items():
        above = domain
        while "." in above:
            above = above.partition(".")[2]
            if above in owners:
                what = f"`spec.trustDomain` {domain} is below {above} of {paths.cluster_path(owners[above])}"
                yield _trust_domain(name, what)


def _trust_domain(cluster: str, what: str) -> Disagreement:
    remedy = "Each cluster has a trust domain of its own, none below another's."
    return Disagreement(paths.cluster_path(cluster), Fault(("spec", "trustDomain"), what, remedy))


def missing_clusters(
    known: Mapping[str, Cluster],
    cluster_facts: Mapping[str, ClusterFacts],
    exports: Mapping[ServiceKey, Mapping[str, Export]],
) -> Iterator[Disagreement]:
    """Clusters that the facts name and that have no document: somebody deleted it."""
    named = {*cluster_facts, *(cluster for by_cluster in exports.values() for cluster in by_cluster)}
    for cluster in sorted(named - known.keys()):
        path = paths.cluster_path(cluster)
        what = "missing, but there are facts of this cluster; a Cluster file can't be deleted yet"
        remedy = f"Take it back (`git log -- {path}`); `mayExport: []` in it ends all its exports."
        yield Disagreement(path, Fault((), what, remedy))


def host_faults(
    mesh: Mesh, exports: Mapping[ServiceKey, Mapping[str, Export]], hosts: Mapping[ServiceKey, Host]
) -> Iterator[Disagreement]:
    """What Host documents must hold for the mesh, for exports and beside each other."""
    yield from _addresses(mesh, hosts)
    for key, by_cluster in exports.items():
        host = hosts.get(key)
        path = paths.host_path(key)
        if host is None:
            what = f"missing, but {key} is exported by {', '.join(by_cluster)}"
            yield Disagreement(path, Fault((), what, _TAKE_BACK))
            continue
        claimed = {
            name for export in by_cluster.values() for name in export.spec.hosts if mesh.may_claim(key.namespace, name)
        }
        for name in (mesh.host_name(key), *sorted(claimed)):
            if name not in host.spec.addresses:
                what = f"{name} has no address, but {key} is exported"
                remedy = f"{_TAKE_BACK} If spec.hosts in {paths.MESH} was changed, change it back."
                yield Disagreement(path, Fault(("spec", "addresses"), what, remedy))
        for cluster in by_cluster:
            if cluster not in host.spec.providers:
                what = f"{cluster} exports {key}, but isn't among its providers"
                yield Disagreement(path, Fault(("spec", "providers"), what, _TAKE_BACK))


_TAKE_BACK = "Take the robot's version back from Git."


def _addresses(mesh: Mesh, hosts: Mapping[ServiceKey, Host]) -> Iterator[Disagreement]:
    ranges = [ipaddress.IPv4Network(text) for text in mesh.spec.hosts.virtual_ips]
    bounds = [(int(network.network_address), int(network.broadcast_address)) for network in ranges]
    by_address: dict[str, tuple[str, str]] = {}
    by_name: dict[str, tuple[str, str]] = {}
    for key, host in hosts.items():
        path = paths.host_path(key)
        for name, address in host.spec.addresses.items():
            where = ("spec", "addresses", name)
            value = int.from_bytes(map(int, address.split(".")))
            if not any(low < value < high for low, high in bounds):
                what = f"{address} of {name} isn't inside `spec.hosts.virtualIPs` of {paths.MESH}"
                yield Disagreement(path, Fault(where, what, "An address stays for ever: give the range back."))
            other, its_path = by_address.setdefault(address, (name, path))
            if other != name:
                what = f"{address} of {name} is also the address of {other} in {its_path}"
                yield Disagreement(path, Fault(where, what, "The next run of the worker gives one of them another."))
            first, its_path = by_name.setdefault(name, (address, path))
            if first != address:
                what = f"{name} has {address} here and {first} in {its_path}"
                yield Disagreement(path, Fault(where, what, _TAKE_BACK))
