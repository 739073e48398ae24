"""What is read of an API server: one row for each resource, and the rights that follow.

Data: the reader walks these rows, and the manifests of RBAC are rendered from the same ones. A row says no more than
what of a resource is asked for; what of an answer is kept says `syncer.cluster.lean`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from syncer.cluster.objects import ISTIO_CONFIG, KINDS, ROOTS_CONFIG
from syncer.protocol.labels import MANAGER, PART_OF
from syncer.protocol.trust import AGENT_NAMESPACE, STATUS_NAME

ISTIO_SYSTEM: Final = "istio-system"
"""Where Istio's control plane lies unless the syncer is told another namespace."""
VERBS: Final = ("list", "watch")
"""What is done with every resource; nothing is ever got by itself, or written."""
_ISTIO: Final = ("v1", "v1beta1", "v1alpha3")
_OURS: Final = f"{PART_OF}={MANAGER}"


@dataclass(frozen=True, kw_only=True)
class Resource:
    """One kind in one place. `group` is empty for core.

    `versions`: those whose fields we know, newest first; the first one that the server has is read.
    `namespace`: only there; `name`: only objects so called (`{istio}` in either is Istio's own namespace).
    `labels`, `fields`: selectors, so that what doesn't matter never crosses the wire.
    `page`: objects in one answer. `custom`: a CRD makes it, so it may be absent, and come and go.
    """

    group: str = ""
    kind: str
    plural: str
    versions: tuple[str, ...] = ("v1",)
    namespace: str = ""
    name: str = ""
    labels: str = ""
    fields: str = ""
    page: int = 500
    custom: bool = False

    @property
    def field(self) -> str:
        """The field of `ClusterState` that holds it."""
        return KINDS[self.group, self.kind][0]

    @property
    def shape(self) -> type[Any]:
        return KINDS[self.group, self.kind][1]

    def path(self, version: str, istio_namespace: str) -> str:
        """Where a list of it is asked for."""
        root = f"/apis/{self.group}/{version}" if self.group else f"/api/{version}"
        place = self.placed(istio_namespace)
        return f"{root}/namespaces/{place}/{self.plural}" if place else f"{root}/{self.plural}"

    def query(self, istio_namespace: str) -> dict[str, str]:
        """The selectors, as parameters of a list or watch."""
        fields = f"metadata.name={self.named(istio_namespace)}" if self.name else self.fields
        return {key: value for key, value in (("labelSelector", self.labels), ("fieldSelector", fields)) if value}

    def placed(self, istio_namespace: str) -> str:
        """The only namespace that is read; empty: all are."""
        return self.namespace.format(istio=istio_namespace)

    def named(self, istio_namespace: str) -> str:
        """The name of the only object that is read; empty: all are."""
        return self.name.format(istio=istio_namespace)


RESOURCES: Final = (
    # All of them: a Service that a ServiceExport names, the gateway's, and one that bears the export as an annotation
    # by mistake have no label to select them by.
    Resource(kind="Service", plural="services"),
    # Finished pods are nobody's endpoints. Small pages: a pod of a mesh has 10 to 20 KB.
    Resource(kind="Pod", plural="pods", fields="status.phase!=Succeeded,status.phase!=Failed", page=100),
    Resource(group="apps", kind="Deployment", plural="deployments"),
    Resource(group="apps", kind="StatefulSet", plural="statefulsets"),
    Resource(group="apps", kind="DaemonSet", plural="daemonsets"),
    # Deployments keep ten old ones each, which say nothing; all of theirs have this label.
    Resource(group="apps", kind="ReplicaSet", plural="replicasets", labels="!pod-template-hash"),
    Resource(
        group="multicluster.x-k8s.io",
        kind="ServiceExport",
        plural="serviceexports",
        versions=("v1beta1", "v1alpha1"),
        custom=True,
    ),
    # Both ours (what is applied) and people's own (clashes).
    Resource(group="networking.istio.io", kind="Gateway", plural="gateways", versions=_ISTIO, custom=True),
    Resource(group="networking.istio.io", kind="ServiceEntry", plural="serviceentries", versions=_ISTIO, custom=True),
    Resource(
        group="networking.istio.io", kind="VirtualService", plural="virtualservices", versions=_ISTIO, custom=True
    ),
    Resource(
        group="networking.istio.io", kind="DestinationRule", plural="destinationrules", versions=_ISTIO, custom=True
    ),
    Resource(
        group="security.istio.io",
        kind="PeerAuthentication",
        plural="peerauthentications",
        versions=("v1", "v1beta1"),
        namespace="{istio}",
        custom=True,
    ),
    Resource(kind="ConfigMap", plural="configmaps", namespace="{istio}", name=ISTIO_CONFIG),
    # The roots that istiod publishes, a copy in every namespace; and how the CA agent fares, where there is one.
    Resource(kind="ConfigMap", plural="configmaps", name=ROOTS_CONFIG),
    Resource(kind="ConfigMap", plural="configmaps", namespace=AGENT_NAMESPACE, name=STATUS_NAME),
    Resource(kind="Namespace", plural="namespaces", name="{istio}"),
    Resource(
        group="kustomize.toolkit.fluxcd.io",
        kind="Kustomization",
        plural="kustomizations",
        versions=("v1", "v1beta2"),
        labels=_OURS,
        custom=True,
    ),
    Resource(
        group="argoproj.io",
        kind="Application",
        plural="applications",
        versions=("v1alpha1",),
        labels=_OURS,
        custom=True,
    ),
)
"""Beside these, what every authenticated user may look at: `/apis/*` (which kinds there are) and `/version`."""

ROUTING: Final = ("Gateway", "ServiceEntry", "VirtualService", "DestinationRule")
"""The kinds of `networking.istio.io`; where one of them is absent, Istio isn't (all) there."""


@dataclass(frozen=True, kw_only=True)
class Right:
    """A rule of a Role in `namespace`, or of a ClusterRole where that is empty; `names`: only objects so called."""

    namespace: str
    group: str
    resource: str
    verbs: tuple[str, ...]
    names: tuple[str, ...] = ()


def rights(istio_namespace: str = ISTIO_SYSTEM) -> tuple[Right, ...]:
    """Exactly what reading needs, in the order of `RESOURCES`.

    The API server holds a list or watch that selects by `metadata.name` against `names`.
    """
    return tuple(
        Right(
            namespace=resource.placed(istio_namespace),
            group=resource.group,
            resource=resource.plural,
            verbs=VERBS,
            names=(resource.named(istio_namespace),) if resource.name else (),
        )
        for resource in RESOURCES
    )


BY_FIELD: Final[Mapping[str, tuple[Resource, ...]]] = {
    field: tuple(resource for resource in RESOURCES if resource.field == field)
    for field in dict.fromkeys(resource.field for resource in RESOURCES)
}
"""Several resources may fill one field: Deployments and StatefulSets are workloads."""
