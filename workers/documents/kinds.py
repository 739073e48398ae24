"""The file types of a mesh repository: what may stand in `mesh/` (people), `facts/` and `pki/` (the robot).

Knows shapes, and what each field means: `docs/formats.md`, the JSON Schema and the messages of `shape` are made from
what is said here (`title`: what a value is; `description`: what it is for). Knows no paths, no YAML, no other
documents: `paths` says where a document stands, `reading` how it is read, `rules` what else holds in it, `agreement`
what holds between documents.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Final, Literal

from msgspec import Meta, field

from syncer.protocol.names import HostName, Namespace, ServiceKey, ServiceName
from syncer.protocol.observation import Foreign, GatewayAddress
from syncer.protocol.offer import Port
from workers.documents.strict import API_VERSION, Label, Name, PublicKey, Strict, Version
from workers.documents.trust import PKI_KINDS, ClusterTrust, MeshTrust, PkiDocument

RENDERINGS: Final = (1,)
"""Versions of the rendering that this program knows, the newest last."""

HostPattern = Annotated[
    str, Meta(pattern=r"^(\*\.)?[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?$", title="a host name, or `*.` and a domain")
]
TrustDomain = Annotated[
    str,
    Meta(
        pattern=r"^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?(\.[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)*$",
        title="a SPIFFE trust domain that a name constraint can hold: a DNS name without underscores",
    ),
]
PortNumber = Annotated[int, Meta(ge=1, le=65535)]


# --- people's documents


class AdditionalHosts(Strict, frozen=True, kw_only=True):
    """Which namespace may claim which further host names."""

    pattern: Annotated[HostPattern, Meta(description="The names; `*.` in front stands for one or more labels.")]
    namespace: Annotated[Label, Meta(description="Only its services may claim them, in every cluster.")]


class Hosts(Strict, frozen=True, kw_only=True):
    """How hosts of the mesh are called, and the ranges of their virtual addresses."""

    template: Annotated[
        str, Meta(description="The name of every host: `{service}` and `{namespace}`, each a whole DNS label.")
    ] = "{service}.{namespace}.mesh.internal"
    virtual_ips: Annotated[
        tuple[str, ...],
        Meta(
            min_length=1,
            description="IPv4 ranges that no real network uses; never in 240.240.0.0/16, which is Istio's. "
            "An address that was given stays for ever, so ranges may be added but not taken away.",
        ),
    ] = field(name="virtualIPs", default=("240.8.0.0/13",))
    additional: Annotated[
        tuple[AdditionalHosts, ...], Meta(description="Further names that services may claim; empty: none.")
    ] = ()


class Forge(Strict, frozen=True, kw_only=True):
    """Where proposals are reviewed."""

    type: Annotated[
        Literal["git", "gitea"],
        Meta(
            description="`git`: plain branches, read and approved with `peermesh`; `gitea`: pull requests of Gitea or "
            "Forgejo, made with the token that the worker's settings name."
        ),
    ] = "git"
    url: Annotated[str, Meta(description="`gitea`: where the forge is, as in a browser; with `git` absent.")] = ""
    repository: Annotated[
        str, Meta(description="`gitea`: the mesh repository there, as `owner/name`; with `git` absent.")
    ] = ""

    def page(self, branch: str) -> str:
        """Where a browser shows what a branch proposes, with the way to its pull request; empty: nowhere."""
        if self.type == "git":
            return ""
        return f"{self.url.rstrip('/')}/{self.repository}/compare/main...{branch}"


ProposalClass = Literal[
    "export",
    "provider",
    "change",
    "withdrawal",
    "cluster",
    "address",
    "follow-up",
    "held",
    "request",
    "renewal",
    "rollover",
]
AutomaticClass = Literal["export", "change", "withdrawal", "address", "follow-up", "renewal"]


class Approval(Strict, frozen=True, kw_only=True):
    """What needs a person."""

    automatic: Annotated[
        tuple[AutomaticClass, ...],
        Meta(
            description="Classes of proposals that the robot may merge by itself. "
            "The classes `provider`, `cluster`, `held`, `request` and `rollover` always need a person."
        ),
    ] = ()
    forge: Forge = Forge()


class Guard(Strict, frozen=True, kw_only=True):
    """The brake: how much of a cluster may disappear at once without a person.

    Held are the losses of a cluster that loses more than `atMost` hosts, or more than `share` of what it provides if it
    provides at least `from`.
    """

    at_most: Annotated[
        int, Meta(ge=0, description="The losses of a cluster that loses more hosts than this are held.")
    ] = 5
    share: Annotated[
        float, Meta(ge=0, le=1, description="So are those of a cluster that loses more than this part of its hosts.")
    ] = 0.5
    from_: Annotated[int, Meta(ge=1, description="`share` counts for clusters that provide this many hosts.")] = field(
        name="from", default=2
    )


class MeshSpec(Strict, frozen=True, kw_only=True):
    """What people want of the mesh as a whole."""

    rendering: Annotated[
        int,
        Meta(
            description="Version of what is rendered. An upgrade of the program changes no file until people raise it."
        ),
    ] = 1
    hosts: Hosts = Hosts()
    approval: Approval = Approval()
    guard: Guard = Guard()
    trust: Annotated[MeshTrust | None, Meta(description="The meshes' certificates; absent: they are left alone.")] = (
        None
    )


class Mesh(Strict, frozen=True, kw_only=True):
    """What holds for all clusters."""

    api_version: Version = API_VERSION
    kind: Literal["Mesh"] = "Mesh"
    metadata: Name
    spec: MeshSpec = MeshSpec()

    def host_name(self, key: ServiceKey) -> HostName:
        """The name that the template gives a service."""
        return HostName(self.spec.hosts.template.format(service=key.service, namespace=key.namespace))

    def may_claim(self, namespace: str, host: str) -> bool:
        """Whether people allow a namespace this additional name; `*.` in a pattern stands for one or more labels."""
        return any(
            entry.namespace == namespace
            and (host == entry.pattern or (entry.pattern.startswith("*.") and host.endswith(entry.pattern[1:])))
            for entry in self.spec.hosts.additional
        )


class NameAndLabels(Strict, frozen=True, kw_only=True):
    """What a document is called, and labels that others choose it by."""

    name: Annotated[Label, Meta(description="Never changes.")]
    labels: Annotated[dict[str, str], Meta(description="What exports may name as `key=value` in `consumers`.")] = field(
        default_factory=dict
    )


class GatewaySettings(Strict, frozen=True, kw_only=True):
    """The east-west gateway: where its pods are, and how peers reach it."""

    namespace: Annotated[Label, Meta(description="Where the gateway's Service and pods are.")] = "istio-eastwest"
    selector: Annotated[dict[str, str], Meta(description="Labels of the gateway's pods.")] = field(
        default_factory=lambda: {"istio": "eastwestgateway"}
    )
    port: Annotated[PortNumber, Meta(description="The port of `addresses` without one.")] = 15443
    addresses: Annotated[
        tuple[str, ...],
        Meta(
            description="`host` or `host:port` as peers reach it (NodePort, NAT), where host is an IPv4 address or a "
            "name; empty: as observed on the gateway's Service."
        ),
    ] = ()


class SyncerSettings(Strict, frozen=True, kw_only=True):
    """How the cluster's syncer is known."""

    public_keys: Annotated[
        tuple[PublicKey, ...],
        Meta(
            max_length=2,
            description="What it signs with; it logs the key at its start. Two during a change of key; none: "
            "nothing it says is believed.",
        ),
    ] = ()


class ClusterSpec(Strict, frozen=True, kw_only=True):
    """What people say of one cluster."""

    network: Annotated[Label, Meta(description="As in istiod's settings; each cluster has its own.")]
    trust_domain: Annotated[
        TrustDomain,
        Meta(description="As in istiod's settings; each cluster has its own, none below another's; no IP address."),
    ]
    locality: Annotated[
        str, Meta(description="`region`, `region/zone` or `region/zone/subzone` of its gateway; empty: not said.")
    ] = ""
    gateway: GatewaySettings = GatewaySettings()
    syncer: SyncerSettings = SyncerSettings()
    may_export: Annotated[
        tuple[str, ...] | None,
        Meta(description="Namespaces that may export from here, with `*` and `?`; absent: all; empty: none."),
    ] = None
    trust: Annotated[
        ClusterTrust | None, Meta(description="Its signing certificate; absent: peermesh leaves that alone.")
    ] = None


class Cluster(Strict, frozen=True, kw_only=True):
    """What people say of one cluster. Its file can't be deleted yet."""

    api_version: Version = API_VERSION
    kind: Literal["Cluster"] = "Cluster"
    metadata: NameAndLabels
    spec: ClusterSpec

    @property
    def name(self) -> str:
        """The cluster's name."""
        return self.metadata.name


# --- the robot's documents


class GatewayFacts(Strict, frozen=True, kw_only=True):
    """The east-west gateway as its Service shows it."""

    addresses: Annotated[
        tuple[GatewayAddress, ...],
        Meta(description="Where peers reach it: each an `ip` or a `host`, and the `port` that leads to its 15443."),
    ] = ()
    cluster_ip: Annotated[str | None, Meta(description="Where callers inside the cluster reach it.")] = field(
        name="clusterIP", default=None
    )
    cluster_port: Annotated[int | None, Meta(description="The port of `clusterIP`; absent: the gateway's own.")] = None
    wildcard: Annotated[
        bool, Meta(description="People's own gateway already lets everything in, so none of ours is rendered.")
    ] = False


class ClusterFactsSpec(Strict, frozen=True, kw_only=True):
    """What was accepted of one cluster as such."""

    gateway: GatewayFacts = GatewayFacts()
    sources: Annotated[
        tuple[str, ...],
        Meta(description="Ways to export that were seen to work: one that fails later withdraws nothing."),
    ] = ()
    foreign: Annotated[
        tuple[Foreign, ...], Meta(description="People's own objects for hosts of the mesh; ours stay away from them.")
    ] = ()


class ClusterFacts(Strict, frozen=True, kw_only=True):
    """What was accepted of one cluster as such."""

    api_version: Version = API_VERSION
    kind: Literal["ClusterFacts"] = "ClusterFacts"
    metadata: Name
    spec: ClusterFactsSpec = ClusterFactsSpec()


class ExportName(Strict, frozen=True, kw_only=True):
    """The service, and who exports it."""

    name: Annotated[Label, Meta(description="The Service.")]
    namespace: Annotated[Label, Meta(description="Its namespace; the same team in every cluster (KEP-1645).")]
    cluster: Annotated[Label, Meta(description="Where it runs.")]


class ExportSpec(Strict, frozen=True, kw_only=True):
    """What one cluster exports under one name."""

    source: Annotated[str, Meta(description="How it was exported: `label` or `serviceexport`.")]
    since: Annotated[
        str | None,
        Meta(
            description="When the exporting object was made, as first seen, in UTC. The oldest export decides "
            "conflicts; absent: youngest."
        ),
    ] = None
    headless: Annotated[bool, Meta(description="A Service without a cluster address.")] = False
    ports: Annotated[
        tuple[Port, ...], Meta(min_length=1, description="By number; `protocol` only where its owner declares one.")
    ]
    service_accounts: Annotated[
        tuple[str, ...],
        Meta(
            min_length=1,
            description="Whom callers accept as its servers. "
            "Never empty: that would accept any identity under the root.",
        ),
    ]
    selector: Annotated[dict[str, str], Meta(description="Labels of its pods.")] = field(default_factory=dict)
    consumers: Annotated[
        tuple[str, ...] | None,
        Meta(
            description="Clusters that get it, by name or by label (`key=value`); absent: all; empty: no other. "
            "It says who is told of the service; it doesn't keep anybody out."
        ),
    ] = None
    hosts: Annotated[tuple[str, ...], Meta(description="Further names that it claims.")] = ()


class Export(Strict, frozen=True, kw_only=True):
    """What one cluster exports under one name."""

    api_version: Version = API_VERSION
    kind: Literal["Export"] = "Export"
    metadata: ExportName
    spec: ExportSpec

    @property
    def key(self) -> ServiceKey:
        """The service."""
        return ServiceKey(Namespace(self.metadata.namespace), ServiceName(self.metadata.name))

    @property
    def cluster(self) -> str:
        """The exporting cluster."""
        return self.metadata.cluster


class HostNameAndNamespace(Strict, frozen=True, kw_only=True):
    """The service that the host stands for."""

    name: Label
    namespace: Label


class HostSpec(Strict, frozen=True, kw_only=True):
    """What a service has for ever once it was exported."""

    addresses: Annotated[dict[str, str], Meta(description="Virtual IP by host name; never given to another host.")]
    providers: Annotated[tuple[str, ...], Meta(description="All clusters that ever exported it, the first one first.")]


class Host(Strict, frozen=True, kw_only=True):
    """What a service has for ever once it was exported: the file stays when the exports go."""

    api_version: Version = API_VERSION
    kind: Literal["Host"] = "Host"
    metadata: HostNameAndNamespace
    spec: HostSpec

    @property
    def key(self) -> ServiceKey:
        """The service."""
        return ServiceKey(Namespace(self.metadata.namespace), ServiceName(self.metadata.name))


Fact = ClusterFacts | Export | Host | PkiDocument
Document = Mesh | Cluster | Fact

KINDS: Final[Mapping[str, type[Any]]] = {
    "Mesh": Mesh,
    "Cluster": Cluster,
    "ClusterFacts": ClusterFacts,
    "Export": Export,
    "Host": Host,
    **PKI_KINDS,
}
