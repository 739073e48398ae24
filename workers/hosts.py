"""Hosts: virtual addresses that are given once and kept for ever.

Knows which names a service has and which addresses are taken. An address is a hash of the name into the mesh's ranges,
probed upwards over what is taken, so that equal input gives equal addresses everywhere.
"""

from __future__ import annotations

import hashlib
import ipaddress
from collections.abc import Iterable, Mapping
from itertools import chain

from syncer.protocol.names import ServiceKey
from workers.conflict import age
from workers.documents import paths
from workers.documents.kinds import Export, Fact, Host, HostNameAndNamespace, HostSpec, Mesh
from workers.reach import host_name, may_claim
from workers.tree import FactChanges, Tree


class Addresses:
    """The virtual addresses of a mesh while a plan is made: which are taken, and the next free one for a name."""

    def __init__(self, mesh: Mesh, hosts: Iterable[Host]) -> None:
        """Of hosts that say the same address for two names, or two for one name, the first has it."""
        self._ranges = [ipaddress.IPv4Network(text) for text in mesh.spec.hosts.virtual_ips]
        self._owners: dict[str, str] = {}
        self._given: dict[str, str] = {}
        for host in hosts:
            for name, address in host.spec.addresses.items():
                if self._owners.setdefault(address, name) == name:
                    self._given.setdefault(name, address)

    def take(self, name: str) -> str | None:
        """The address that a name has (it keeps it, also when it passes to another service), else a free one.

        None if none is left.
        """
        if name in self._given:
            return self._given[name]
        size = sum(network.num_addresses - 2 for network in self._ranges)  # each has at least 4 (documents.rules)
        start = int.from_bytes(hashlib.sha256(name.encode()).digest()[:8]) % size
        for offset in chain(range(start, size), range(start)):
            address = self._at(offset)
            if address not in self._owners:
                self._owners[address] = name
                self._given[name] = address
                return address
        return None

    def _at(self, offset: int) -> str:
        """The address at an offset into all ranges, without the first and last of each."""
        for network in self._ranges:
            if offset < network.num_addresses - 2:
                return str(network[offset + 1])
            offset -= network.num_addresses - 2
        raise AssertionError(offset)


def names(mesh: Mesh, key: ServiceKey, exports: Mapping[str, Export]) -> tuple[str, ...]:
    """The host names of a service: that of the template, then those that its exports may claim, sorted."""
    claimed = {
        host for export in exports.values() for host in export.spec.hosts if may_claim(mesh, key.namespace, host)
    }
    return (host_name(mesh, key), *sorted(claimed))


def host_changes(
    tree: Tree, keys: Iterable[ServiceKey], addresses: Addresses
) -> tuple[FactChanges, tuple[ServiceKey, ...]]:
    """The Host documents that services of `tree` need and that it lacks, and the services that got no address."""
    changes: dict[str, Fact | None] = {}
    without: list[ServiceKey] = []
    for key in sorted(keys):
        exports = tree.facts.exports.get(key)
        if not exports:
            continue
        host = tree.facts.hosts.get(key)
        given = dict(host.spec.addresses) if host else {}
        for name in names(tree.mesh, key, exports):
            if name not in given and (address := addresses.take(name)):
                given[name] = address
        providers = dict.fromkeys(host.spec.providers if host else ())
        providers |= dict.fromkeys(export.cluster for export in sorted(exports.values(), key=age))
        if host_name(tree.mesh, key) not in given:
            without.append(key)
            continue
        wanted = Host(
            metadata=HostNameAndNamespace(name=key.service, namespace=key.namespace),
            spec=HostSpec(addresses=dict(sorted(given.items())), providers=tuple(providers)),
        )
        if wanted != host:
            changes[paths.host_path(key)] = wanted
    return changes, tuple(without)


def separated(tree: Tree) -> FactChanges:
    """New addresses for hosts that share one on main (two branches merged by hand): the younger host moves."""
    pairs = {pair for host in tree.facts.hosts.values() for pair in host.spec.addresses.items()}
    if len({name for name, _ in pairs}) == len(pairs) == len({address for _, address in pairs}):
        return {}
    first_seen = {
        key: min((age(export) for export in tree.facts.exports.get(key, {}).values()), default=(True, "", ""))
        for key in tree.facts.hosts
    }
    by_age = sorted(tree.facts.hosts.values(), key=lambda host: (first_seen[host.key], host.key))
    addresses = Addresses(tree.mesh, by_age)
    changes: dict[str, Fact | None] = {}
    for host in by_age:
        given = {name: addresses.take(name) or address for name, address in host.spec.addresses.items()}
        if given != host.spec.addresses:
            spec = HostSpec(addresses=given, providers=host.spec.providers)
            changes[paths.host_path(host.key)] = Host(metadata=host.metadata, spec=spec)
    return changes
