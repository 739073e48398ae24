# ruff: noqa: D101 - the classes are called as the API calls them, and described there
"""Kubernetes and Istio objects, as far as they are read.

Knows field names and types of the API, nothing of what they mean for exports. A field that isn't here is ignored, one
of another type is an error: an API server would have refused it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Final, Literal

import msgspec
from msgspec import field

from syncer.protocol.labels import MANAGED_BY, MANAGER, PART_OF
from syncer.protocol.trust import AGENT_NAMESPACE, STATUS_NAME

# \Z, not $: that would let a line feed at the end pass.
Label = Annotated[str, msgspec.Meta(pattern=r"^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\Z")]
Name = Annotated[
    str, msgspec.Meta(pattern=r"^[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*\Z", max_length=253)
]
MaybeName = Annotated[str, msgspec.Meta(pattern=r"^([a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?)?\Z")]
PortName = Annotated[str, msgspec.Meta(pattern=r"^([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)?\Z")]
PortNumber = Annotated[int, msgspec.Meta(ge=1, le=65535)]


class Object(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """Immutable; unknown fields are ignored; null is absent (readers leave it out)."""


class Owner(Object, frozen=True, kw_only=True):
    controller: bool = False


class Metadata(Object, frozen=True, kw_only=True):
    name: Name
    namespace: Label = "default"
    labels: dict[str, str] = {}
    annotations: dict[str, str] = {}
    creation_timestamp: str | None = None
    owner_references: tuple[Owner, ...] = ()

    @property
    def managed(self) -> bool:
        """True for an object that peermesh rendered."""
        return self.labels.get(MANAGED_BY) == MANAGER


class ServiceMetadata(Metadata, frozen=True, kw_only=True):
    """The name of a Service is one label: it becomes part of a host name."""

    name: Label


# --- core/v1


class ServicePort(Object, frozen=True, kw_only=True):
    """`target_port`: a number, the name of a container's port, or absent: the same as `port`."""

    name: PortName = ""
    protocol: Literal["TCP", "UDP", "SCTP"] = "TCP"
    app_protocol: str | None = None
    port: PortNumber
    target_port: int | str = 0
    node_port: int = 0

    @property
    def called(self) -> str:
        """Its name; a port without one is called `p<number>`."""
        return self.name or f"p{self.port}"


class ServiceSpec(Object, frozen=True, kw_only=True):
    type: Literal["ClusterIP", "NodePort", "LoadBalancer", "ExternalName"] = "ClusterIP"
    selector: dict[str, str] = {}
    ports: tuple[ServicePort, ...] = ()
    cluster_ip: str = field(name="clusterIP", default="")
    external_ips: tuple[str, ...] = field(name="externalIPs", default=())


class Ingress(Object, frozen=True, kw_only=True):
    ip: str = ""
    hostname: str = ""


class LoadBalancer(Object, frozen=True, kw_only=True):
    ingress: tuple[Ingress, ...] = ()


class ServiceStatus(Object, frozen=True, kw_only=True):
    load_balancer: LoadBalancer = LoadBalancer()


class Service(Object, frozen=True, kw_only=True):
    metadata: ServiceMetadata
    spec: ServiceSpec = ServiceSpec()
    status: ServiceStatus = ServiceStatus()


class ContainerPort(Object, frozen=True, kw_only=True):
    name: str = ""
    container_port: PortNumber
    protocol: str = "TCP"


class Variable(Object, frozen=True, kw_only=True):
    """`value` is empty, too, where it comes from elsewhere."""

    name: str
    value: str = ""


class Container(Object, frozen=True, kw_only=True):
    name: str = ""
    image: str = ""
    env: tuple[Variable, ...] = ()
    ports: tuple[ContainerPort, ...] = ()
    restart_policy: str = ""


class PodSpec(Object, frozen=True, kw_only=True):
    """`service_account` is the older spelling; an API server fills in both."""

    service_account_name: MaybeName = ""
    service_account: MaybeName = ""
    containers: tuple[Container, ...] = ()
    init_containers: tuple[Container, ...] = ()


class PodStatus(Object, frozen=True, kw_only=True):
    """`host_ip` is the address of its node."""

    phase: str = ""
    pod_ip: str = field(name="podIP", default="")
    host_ip: str = field(name="hostIP", default="")
    start_time: str = ""


class Pod(Object, frozen=True, kw_only=True):
    metadata: Metadata
    spec: PodSpec = PodSpec()
    status: PodStatus = PodStatus()


class ConfigMap(Object, frozen=True, kw_only=True):
    metadata: Metadata
    data: dict[str, str] = {}


class Namespace(Object, frozen=True, kw_only=True):
    metadata: Metadata


# --- apps/v1


class TemplateMetadata(Object, frozen=True, kw_only=True):
    labels: dict[str, str] = {}


class Template(Object, frozen=True, kw_only=True):
    metadata: TemplateMetadata = TemplateMetadata()
    spec: PodSpec = PodSpec()


class WorkloadSpec(Object, frozen=True, kw_only=True):
    template: Template = Template()


class Workload(Object, frozen=True, kw_only=True):
    """What makes pods from a template: Deployment, StatefulSet, DaemonSet."""

    metadata: Metadata
    spec: WorkloadSpec = WorkloadSpec()


class ReplicaSet(Workload, frozen=True, kw_only=True):
    """Most belong to a Deployment, which keeps those of earlier versions."""


# --- multicluster.x-k8s.io


class ServiceExport(Object, frozen=True, kw_only=True):
    """KEP-1645; v1alpha1 and v1beta1 differ only in fields that aren't read."""

    metadata: ServiceMetadata


# --- networking.istio.io


class ServerPort(Object, frozen=True, kw_only=True):
    number: int = 0


class ServerTls(Object, frozen=True, kw_only=True):
    mode: str = ""


class Server(Object, frozen=True, kw_only=True):
    port: ServerPort = ServerPort()
    tls: ServerTls = ServerTls()
    hosts: tuple[str, ...] = ()


class GatewaySpec(Object, frozen=True, kw_only=True):
    selector: dict[str, str] = {}
    servers: tuple[Server, ...] = ()


class Gateway(Object, frozen=True, kw_only=True):
    metadata: Metadata
    spec: GatewaySpec = GatewaySpec()


class ServiceEntrySpec(Object, frozen=True, kw_only=True):
    hosts: tuple[str, ...] = ()


class ServiceEntry(Object, frozen=True, kw_only=True):
    metadata: Metadata
    spec: ServiceEntrySpec = ServiceEntrySpec()


class VirtualServiceSpec(Object, frozen=True, kw_only=True):
    hosts: tuple[str, ...] = ()
    gateways: tuple[str, ...] = ()


class VirtualService(Object, frozen=True, kw_only=True):
    metadata: Metadata
    spec: VirtualServiceSpec = VirtualServiceSpec()


class ClientTls(Object, frozen=True, kw_only=True):
    mode: str = ""


class PortTraffic(Object, frozen=True, kw_only=True):
    tls: ClientTls = ClientTls()


class TrafficPolicy(Object, frozen=True, kw_only=True):
    tls: ClientTls = ClientTls()
    port_level_settings: tuple[PortTraffic, ...] = ()


class DestinationRuleSpec(Object, frozen=True, kw_only=True):
    host: str = ""
    traffic_policy: TrafficPolicy = TrafficPolicy()
    export_to: tuple[str, ...] = ()


class DestinationRule(Object, frozen=True, kw_only=True):
    metadata: Metadata
    spec: DestinationRuleSpec = DestinationRuleSpec()


# --- security.istio.io


class LabelSelector(Object, frozen=True, kw_only=True):
    match_labels: dict[str, str] = {}


class MutualTls(Object, frozen=True, kw_only=True):
    mode: str = ""


class PeerAuthenticationSpec(Object, frozen=True, kw_only=True):
    selector: LabelSelector = LabelSelector()
    mtls: MutualTls = MutualTls()


class PeerAuthentication(Object, frozen=True, kw_only=True):
    metadata: Metadata
    spec: PeerAuthenticationSpec = PeerAuthenticationSpec()


# --- kustomize.toolkit.fluxcd.io


class Condition(Object, frozen=True, kw_only=True):
    type: str = ""
    status: str = ""
    message: str = ""


class KustomizationSpec(Object, frozen=True, kw_only=True):
    path: str = ""


class KustomizationStatus(Object, frozen=True, kw_only=True):
    conditions: tuple[Condition, ...] = ()
    last_applied_revision: str = ""


class Kustomization(Object, frozen=True, kw_only=True):
    metadata: Metadata
    spec: KustomizationSpec = KustomizationSpec()
    status: KustomizationStatus = KustomizationStatus()


# --- argoproj.io


class ApplicationSource(Object, frozen=True, kw_only=True):
    path: str = ""


class ApplicationSpec(Object, frozen=True, kw_only=True):
    source: ApplicationSource = ApplicationSource()


class Sync(Object, frozen=True, kw_only=True):
    status: str = ""
    revision: str = ""


class Operation(Object, frozen=True, kw_only=True):
    phase: str = ""
    message: str = ""


class Synced(Object, frozen=True, kw_only=True):
    revision: str = ""


class ApplicationStatus(Object, frozen=True, kw_only=True):
    """`history`: what was applied, the newest last; `conditions`: what is wrong, with a type and a message only."""

    sync: Sync = Sync()
    history: tuple[Synced, ...] = ()
    operation_state: Operation = Operation()
    conditions: tuple[Condition, ...] = ()


class Application(Object, frozen=True, kw_only=True):
    metadata: Metadata
    spec: ApplicationSpec = ApplicationSpec()
    status: ApplicationStatus = ApplicationStatus()


KINDS: Final[Mapping[tuple[str, str], tuple[str, type[Any]]]] = {
    ("", "Service"): ("services", Service),
    ("", "Pod"): ("pods", Pod),
    ("apps", "Deployment"): ("workloads", Workload),
    ("apps", "StatefulSet"): ("workloads", Workload),
    ("apps", "DaemonSet"): ("workloads", Workload),
    ("apps", "ReplicaSet"): ("workloads", ReplicaSet),
    ("multicluster.x-k8s.io", "ServiceExport"): ("service_exports", ServiceExport),
    ("networking.istio.io", "Gateway"): ("gateways", Gateway),
    ("networking.istio.io", "ServiceEntry"): ("service_entries", ServiceEntry),
    ("networking.istio.io", "VirtualService"): ("virtual_services", VirtualService),
    ("networking.istio.io", "DestinationRule"): ("destination_rules", DestinationRule),
    ("security.istio.io", "PeerAuthentication"): ("peer_authentications", PeerAuthentication),
    ("", "ConfigMap"): ("config_maps", ConfigMap),
    ("", "Namespace"): ("namespaces", Namespace),
    ("kustomize.toolkit.fluxcd.io", "Kustomization"): ("kustomizations", Kustomization),
    ("argoproj.io", "Application"): ("applications", Application),
}
"""What is read, by API group and kind: the field of `ClusterState` that holds it, and its type.

Jobs aren't read: their templates stay after their pods have ended; pods that run count as pods.
"""

ISTIO_CONFIG: Final = "istio"
"""The ConfigMap in Istio's own namespace that holds `meshConfig`."""
ROOTS_CONFIG: Final = "istio-ca-root-cert"
"""The ConfigMap, one in every namespace, in which istiod publishes the roots that it has."""
NETWORK: Final = "topology.istio.io/network"
"""Label on Istio's own namespace: the network of all pods that don't say another one."""
TLS_MODE: Final = ("security.istio.io/tlsMode", "istio")
"""Label that istiod puts on a pod with its sidecar (not on gateways): it takes mutual TLS."""
MULTIROOT: Final = "ISTIO_MULTIROOT_MESH"
"""Variable of istiod: it takes a changed bundle of roots while it runs."""
PROXY: Final = "istio-proxy"
"""The container of a sidecar, whether among `containers` or as a native one."""
FOLLOWS_ROOTS: Final = "PROXY_CONFIG_XDS_AGENT"
"""Variable of `PROXY`: its agent is told changed roots at once, not just at its next renewal. Injection writes it there
from `proxyMetadata`, so what the mesh's defaults say now is nothing to a pod that was made before."""


def is_read(group: str, kind: str, metadata: Mapping[str, Any]) -> bool:
    """Whether an object of `KINDS` is one that is looked at; of some kinds only few are, and the others may be odd."""
    labels = metadata.get("labels")
    labels = labels if isinstance(labels, dict) else {}
    match group, kind:
        case "", "ConfigMap":
            status = (metadata.get("name"), metadata.get("namespace")) == (STATUS_NAME, AGENT_NAMESPACE)
            return status or metadata.get("name") in {ISTIO_CONFIG, ROOTS_CONFIG}
        case "", "Namespace":
            return NETWORK in labels
        case ("kustomize.toolkit.fluxcd.io", "Kustomization") | ("argoproj.io", "Application"):
            return labels.get(PART_OF) == MANAGER
    return True
