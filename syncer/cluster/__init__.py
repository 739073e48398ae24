"""The state of one cluster as a value, and what it takes to read one.

Knows which kinds of objects matter and what a reader promises. Knows no files, no API server, and not what an object
means for exports: `syncer.sources`, `syncer.gateway` and `syncer.foreign` say that.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol, TypeVar

from syncer.cluster.objects import (
    Application,
    ConfigMap,
    DestinationRule,
    Gateway,
    Kustomization,
    Namespace,
    PeerAuthentication,
    Pod,
    Service,
    ServiceEntry,
    ServiceExport,
    VirtualService,
    Workload,
)

_Namespaced = TypeVar("_Namespaced", Service, Pod, Workload, DestinationRule)


@dataclass(frozen=True, kw_only=True)
class ClusterState:
    """Everything that was read of a cluster, complete, in any order.

    `service_exports` is None where the cluster doesn't serve that kind: nothing is known then, which isn't "none". The
    same holds for all of Istio's routing objects where not `istio`.
    """

    services: tuple[Service, ...] = ()
    pods: tuple[Pod, ...] = ()
    workloads: tuple[Workload, ...] = ()
    service_exports: tuple[ServiceExport, ...] | None = ()
    gateways: tuple[Gateway, ...] = ()
    service_entries: tuple[ServiceEntry, ...] = ()
    virtual_services: tuple[VirtualService, ...] = ()
    destination_rules: tuple[DestinationRule, ...] = ()
    istio: bool = True
    peer_authentications: tuple[PeerAuthentication, ...] | None = ()
    config_maps: tuple[ConfigMap, ...] = ()
    namespaces: tuple[Namespace, ...] = ()
    kustomizations: tuple[Kustomization, ...] = ()
    applications: tuple[Application, ...] = ()
    kubernetes_version: str = ""

    @cached_property
    def services_by_namespace(self) -> Mapping[str, Mapping[str, Service]]:
        """Services by namespace and name."""
        return {
            namespace: {service.metadata.name: service for service in services}
            for namespace, services in _by_namespace(self.services).items()
        }

    @cached_property
    def pods_by_namespace(self) -> Mapping[str, list[Pod]]:
        """Pods by namespace: without it, 500 exports would look at 20,000 pods each."""
        return _by_namespace(self.pods)

    @cached_property
    def workloads_by_namespace(self) -> Mapping[str, list[Workload]]:
        return _by_namespace(self.workloads)

    @cached_property
    def destination_rules_by_namespace(self) -> Mapping[str, list[DestinationRule]]:
        return _by_namespace(self.destination_rules)


def _by_namespace(objects: Iterable[_Namespaced]) -> dict[str, list[_Namespaced]]:
    found: dict[str, list[_Namespaced]] = {}
    for item in objects:
        found.setdefault(item.metadata.namespace, []).append(item)
    return found


class Reader(Protocol):
    """Reads one cluster: a directory of manifests, or an API server."""

    def read(self) -> ClusterState:
        """The whole state now.

        Raises:
            Rejected, Transient, HumanNeeded: it couldn't be read completely, so nothing is known.
        """
        ...

    def refresh(self) -> None:
        """Trust nothing that is known so far: from now on `read` raises Transient until all of it was listed anew.

        For a replica that begins to lead: its watches may lag behind what the one before it has said, for a connection
        that broke silently tells nothing for minutes. `changes` yields when it is listed.
        """
        ...

    def changes(self, stop: threading.Event) -> Iterator[None]:
        """Yield as soon as changes are watched, and each time when something may have changed, until `stop` is set.

        Raises:
            HumanNeeded: this place can't be watched.
        """
        ...
