"""The file types of a mesh repository: what may stand in `mesh/` (people) and `facts/` (the robot).

Knows shapes and single-document rules. Knows no paths, no YAML, no other documents: `paths` says where a document
stands, `reading` how it is read, and rules between documents are in `workers.tree`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Final, Literal

import msgspec
from msgspec import Meta, field

from syncer.protocol.names import ServiceKey
from syncer.protocol.observation import Foreign, GatewayAddress
from syncer.protocol.offer import Port

API_VERSION: Final = "peermesh.io/v1alpha1"

Label = Annotated[str, Meta(pattern=r"^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$", description="a DNS label (RFC 1123)")]
HostPattern = Annotated[
    str,
    Meta(
        pattern=r"^(\*\.)?[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?$",
        description="a host name; `*.` in front covers all below",
    ),
]
TrustDomain = Annotated[
    str,
    Meta(
        pattern=r"^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?(\.[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)*$",
        description="a SPIFFE trust domain that a name constraint can hold: no underscore, no IP address",
    ),
]
PortNumber = Annotated[int, Meta(ge=1, le=65535)]
PublicKey = Annotated[
    str, Meta(pattern=r"^ed25519:[A-Za-z0-9+/]{43}=$", description="what the syncer logs at its start")
]
Version = Literal["peermesh.io/v1alpha1"]


class _Strict(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True, rename="camel"
):
    """Immutable; an unknown key is an error; defaults aren't written."""


# --- people's documents


class Name(_Strict, frozen=True, kw_only=True):
    name: Label


class AdditionalHosts(_Strict, frozen=True, kw_only=True):
    """Which namespace may claim which further host names."""

    pattern: HostPattern
    namespace: Label


class Hosts(_Strict, frozen=True, kw_only=True):
    """How hosts of the mesh are called, and the range of their virtual addresses."""

    template: str = "{service}.{namespace}.mesh.internal"
    virtual_ips: Annotated[tuple[str, ...], Meta(min_length=1)] = field(name="virtualIPs", default=("240.8.0.0/13",))
    additional: tuple[AdditionalHosts, ...] = ()


class Forge(_Strict, frozen=True, kw_only=True):
    """Where proposals are reviewed: a row of `workers.forge.FORGES`."""

    type: Literal["git"] = "git"


ProposalClass = Literal["export", "provider", "change", "withdrawal", "cluster", "address", "follow-up", "held"]
AutomaticClass = Literal["export", "change", "withdrawal", "address", "follow-up"]


class Approval(_Strict, frozen=True, kw_only=True):
    """Which classes the robot may merge by itself. `provider`, `cluster` and `held` always need a person."""

    automatic: tuple[AutomaticClass, ...] = ()
    forge: Forge = Forge()


class Guard(_Strict, frozen=True, kw_only=True):
    """The brake: how much of a cluster may disappear at once without a person.

    Held are the losses of a cluster that loses more than `atMost` hosts, or more than `share` of what it provides if it
    provides at least `from`.
    """

    at_most: Annotated[int, Meta(ge=0)] = 5
    share: Annotated[float, Meta(ge=0, le=1)] = 0.5
    from_: Annotated[int, Meta(ge=1)] = field(name="from", default=2)


class MeshSpec(_Strict, frozen=True, kw_only=True):
    rendering: int = 1
    hosts: Hosts = Hosts()
    approval: Approval = Approval()
    guard: Guard = Guard()


class Mesh(_Strict, frozen=True, kw_only=True):
    """`mesh/mesh.yaml`: what holds for all clusters."""

    api_version: Version = API_VERSION
    kind: Literal["Mesh"] = "Mesh"
    metadata: Name
    spec: MeshSpec = MeshSpec()


class NameAndLabels(_Strict, frozen=True, kw_only=True):
    name: Label
    labels: dict[str, str] = {}


class GatewaySettings(_Strict, frozen=True, kw_only=True):
    """The east-west gateway: where its pods are, and how peers reach it (empty `addresses`: as observed)."""

    namespace: Label = "istio-eastwest"
    selector: dict[str, str] = {"istio": "eastwestgateway"}
    port: PortNumber = 15443
    addresses: tuple[str, ...] = ()


class SyncerSettings(_Strict, frozen=True, kw_only=True):
    """The keys that the cluster's syncer signs with: one, or two during a change of key."""

    public_keys: Annotated[tuple[PublicKey, ...], Meta(max_length=2)] = ()


class ClusterSpec(_Strict, frozen=True, kw_only=True):
    network: Label
    trust_domain: TrustDomain
    locality: str = ""
    gateway: GatewaySettings = GatewaySettings()
    syncer: SyncerSettings = SyncerSettings()
    may_export: tuple[str, ...] | None = None


class Cluster(_Strict, frozen=True, kw_only=True):
    """`mesh/clusters/<cluster>.yaml`: what people say of one cluster. Its name never changes."""

    api_version: Version = API_VERSION
    kind: Literal["Cluster"] = "Cluster"
    metadata: NameAndLabels
    spec: ClusterSpec

    @property
    def name(self) -> str:
        return self.metadata.name


# --- the robot's documents


class GatewayFacts(_Strict, frozen=True, kw_only=True):
    """`wildcard`: people's own gateway already lets everything in, so none of ours may be rendered."""

    addresses: tuple[GatewayAddress, ...] = ()
    cluster_ip: str | None = field(name="clusterIP", default=None)
    cluster_port: int = 15443
    wildcard: bool = False


class ClusterFactsSpec(_Strict, frozen=True, kw_only=True):
    gateway: GatewayFacts = GatewayFacts()
    sources: tuple[str, ...] = ()
    foreign: tuple[Foreign, ...] = ()


class ClusterFacts(_Strict, frozen=True, kw_only=True):
    """`facts/clusters/<cluster>.yaml`: what was accepted of one cluster as such."""

    api_version: Version = API_VERSION
    kind: Literal["ClusterFacts"] = "ClusterFacts"
    metadata: Name
    spec: ClusterFactsSpec = ClusterFactsSpec()


class ExportName(_Strict, frozen=True, kw_only=True):
    name: Label
    namespace: Label
    cluster: Label


class ExportSpec(_Strict, frozen=True, kw_only=True):
    """What one cluster exports under one name.

    `since` decides conflicts (absent: youngest). `service_accounts` is never empty: an empty SAN list would accept any
    identity under the root. `consumers`: cluster names or `key=value`; None: every cluster; empty: nobody else.
    """

    source: str
    since: str | None = None
    headless: bool = False
    ports: Annotated[tuple[Port, ...], Meta(min_length=1)]
    service_accounts: Annotated[tuple[str, ...], Meta(min_length=1)]
    selector: dict[str, str] = {}
    consumers: tuple[str, ...] | None = None
    hosts: tuple[str, ...] = ()


class Export(_Strict, frozen=True, kw_only=True):
    """`facts/exports/<namespace>/<cluster>/<service>.yaml`."""

    api_version: Version = API_VERSION
    kind: Literal["Export"] = "Export"
    metadata: ExportName
    spec: ExportSpec

    @property
    def key(self) -> ServiceKey:
        return ServiceKey(self.metadata.namespace, self.metadata.name)  # type: ignore[arg-type]

    @property
    def cluster(self) -> str:
        return self.metadata.cluster


class HostNameAndNamespace(_Strict, frozen=True, kw_only=True):
    name: Label
    namespace: Label


class HostSpec(_Strict, frozen=True, kw_only=True):
    """`addresses`: virtual IP by host name; `providers`: all clusters there ever were, first first."""

    addresses: dict[str, str]
    providers: tuple[str, ...]


class Host(_Strict, frozen=True, kw_only=True):
    """`facts/hosts/<namespace>/<service>.yaml`: stays when the host goes, so an address is never reused."""

    api_version: Version = API_VERSION
    kind: Literal["Host"] = "Host"
    metadata: HostNameAndNamespace
    spec: HostSpec

    @property
    def key(self) -> ServiceKey:
        return ServiceKey(self.metadata.namespace, self.metadata.name)  # type: ignore[arg-type]


Document = Mesh | Cluster | ClusterFacts | Export | Host
Fact = ClusterFacts | Export | Host

KINDS: Final[Mapping[str, type[Any]]] = {
    "Mesh": Mesh,
    "Cluster": Cluster,
    "ClusterFacts": ClusterFacts,
    "Export": Export,
    "Host": Host,
}
