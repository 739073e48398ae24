"""People's own Istio objects that are for hosts of the mesh, or that open what peermesh would open.

Knows which hosts belong to the mesh. Says what is there; what follows from it is decided in the centre.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from syncer.cluster import ClusterState
from syncer.cluster.objects import Metadata
from syncer.gateway import GatewayPlace, passed_hosts
from syncer.protocol.observation import Foreign


@dataclass(frozen=True, kw_only=True)
class MeshHosts:
    """The hosts of the mesh, as `mesh/mesh.yaml` says them: the template, and patterns of additional names.

    `*.` in front of a pattern stands for one or more labels.
    """

    template: str = "{service}.{namespace}.mesh.internal"
    patterns: tuple[str, ...] = ()

    def include(self, host: str) -> bool:
        """Whether `host` may be one of them."""
        label = "[a-z0-9]([a-z0-9-]*[a-z0-9])?"
        template = re.escape(self.template).replace(r"\{service\}", label).replace(r"\{namespace\}", label)
        return re.fullmatch(template, host) is not None or any(
            host == pattern or (pattern.startswith("*.") and host.endswith(pattern[1:])) for pattern in self.patterns
        )


def foreign(state: ClusterState, hosts: MeshHosts, place: GatewayPlace) -> tuple[Foreign, ...]:
    """ServiceEntries, VirtualServices, DestinationRules for hosts of the mesh, and Gateways for cluster-local ones."""
    found = {
        Foreign(kind=kind, namespace=metadata.namespace, name=metadata.name, host=host)
        for kind, metadata, host in _objects(state)
        if not metadata.managed and hosts.include(host)
    }
    found |= {
        Foreign(kind="Gateway", namespace=gateway.metadata.namespace, name=gateway.metadata.name, host=host)
        for gateway, host in passed_hosts(state, place)
        if host.endswith(".svc.cluster.local") and not host.startswith("*")
    }
    return tuple(sorted(found))


def _objects(state: ClusterState) -> Iterator[tuple[str, Metadata, str]]:
    for entry in state.service_entries:
        yield from _each("ServiceEntry", entry.metadata, entry.spec.hosts)
    for virtual in state.virtual_services:
        # One that is for gateways only doesn't change what callers in the mesh do.
        if not virtual.spec.gateways or "mesh" in virtual.spec.gateways:
            yield from _each("VirtualService", virtual.metadata, virtual.spec.hosts)
    for rule in state.destination_rules:
        yield from _each("DestinationRule", rule.metadata, [rule.spec.host])


def _each(kind: str, metadata: Metadata, hosts: Iterable[str]) -> Iterator[tuple[str, Metadata, str]]:
    return ((kind, metadata, host.lower()) for host in hosts)
