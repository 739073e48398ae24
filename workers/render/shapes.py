"""The shapes that rendered objects may have: every field that one of ours carries, strictly.

A field that isn't listed, is missing, or has a value that Istio takes without a word although it harms, is an error
with its path. What can be said of one object alone stands here; `rules` holds what spans objects. Written from what
running istiods and Envoys did (Istio 1.31), independent of the renderers: it must catch a wrong one.
"""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal

import msgspec
from msgspec import Meta, field

from syncer.protocol.labels import CLUSTER, DIGEST, MANAGED_BY, MANAGER, SOURCE
from workers.documents.kinds import PortNumber
from workers.documents.paths import IMPORTS_NAMESPACE
from workers.documents.strict import Label
from workers.render.authority_shapes import ConfigMap, SealedSecret
from workers.render.metadata import Object, digest

_LABEL: Final = r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?"
_DOMAIN: Final = rf"{_LABEL}(\.{_LABEL})*"

HostName = Annotated[str, Meta(pattern=rf"^{_DOMAIN}$", max_length=253)]
Identity = Annotated[str, Meta(pattern=rf"^spiffe://{_DOMAIN}/ns/{_LABEL}/sa/{_DOMAIN}$")]
"""Whole: `serviceAccount` of an endpoint would mean the caller's own trust domain and the entry's namespace."""
LocalName = Annotated[str, Meta(pattern=rf"^{_LABEL}\.{_LABEL}\.svc\.cluster\.local$")]
"""Exact and cluster-local. A name of the mesh in two clusters' gateways loops: 3,700 connections by one request."""
Sni = Annotated[str, Meta(pattern=rf"^outbound_\.[0-9]+_\._\.{_LABEL}\.{_LABEL}\.svc\.cluster\.local$")]
Everywhere = Annotated[tuple[str, ...], Meta(min_length=1)]
Version = Literal["networking.istio.io/v1"]


class _Shape(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, rename="camel"):
    """Strict; a field without default must be there."""


class Metadata(_Shape, frozen=True, kw_only=True):
    """Our label, our annotations, and names that the API server takes."""

    name: HostName
    namespace: Label
    labels: dict[str, str]
    annotations: dict[str, str]


class ImportMetadata(Metadata, frozen=True, kw_only=True):
    """In our own namespace: the team's may be missing here, and pruning must never touch it."""

    namespace: Annotated[str, Meta(pattern=rf"^{IMPORTS_NAMESPACE}$")]


class GatewayMetadata(Metadata, frozen=True, kw_only=True):
    """Istio's webhook refuses dots in a Gateway's name."""

    name: Label


# --- ServiceEntry


class EntryPort(_Shape, frozen=True, kw_only=True):
    """A port as the provider's Service has it; `protocol` only where its owner declared one."""

    number: PortNumber
    name: Label
    protocol: str | None = None


class EndpointLabels(_Shape, frozen=True, kw_only=True):
    """It speaks mTLS, and whose gateway it is."""

    tls_mode: Literal["istio"] = field(name="security.istio.io/tlsMode")
    cluster: Label = field(name=CLUSTER)


class Endpoint(_Shape, frozen=True, kw_only=True):
    """`network` keeps it out of the caller's own gateway; a weight of 0 would mean 1."""

    address: Annotated[str, Meta(min_length=1)]
    network: Label
    locality: str = ""
    labels: EndpointLabels
    ports: dict[str, PortNumber]
    weight: Annotated[int, Meta(ge=1)] = 1


class EntrySpec(_Shape, frozen=True, kw_only=True):
    """One host (several are refused beside a TCP port) with one address (another is a second answer of DNS)."""

    hosts: Annotated[tuple[HostName, ...], Meta(min_length=1, max_length=1)]
    addresses: Annotated[tuple[str, ...], Meta(min_length=1, max_length=1)]
    export_to: Everywhere
    location: Literal["MESH_INTERNAL"]
    resolution: Literal["STATIC", "DNS"]
    ports: Annotated[tuple[EntryPort, ...], Meta(min_length=1)]
    endpoints: Annotated[tuple[Endpoint, ...], Meta(min_length=1)]


class ServiceEntry(_Shape, frozen=True, kw_only=True, tag_field="kind"):
    """`spec.endpoints` of one host for the ports that the same clusters have."""

    api_version: Version
    metadata: ImportMetadata
    spec: EntrySpec


# --- DestinationRule


class BlockPort(_Shape, frozen=True, kw_only=True):
    """A block names its port by number."""

    number: PortNumber


class ClientTls(_Shape, frozen=True, kw_only=True):
    """Without identities any workload under the common root would be accepted as the service."""

    mode: Literal["ISTIO_MUTUAL"]
    sni: Sni
    subject_alt_names: Annotated[tuple[Identity, ...], Meta(min_length=1)]


class OutlierDetection(_Shape, frozen=True, kw_only=True):
    """At 100 % an outage of 3 s lasts 10; `consecutive5xxErrors` left out means 5, a cluster put out by one bad URL."""

    split_external_local_origin_errors: bool
    consecutive_local_origin_failures: int
    consecutive_gateway_errors: int
    consecutive_5xx_errors: int = field(name="consecutive5xxErrors")
    interval: str
    base_ejection_time: str
    max_ejection_percent: Annotated[int, Meta(ge=1, le=99)]


class TcpPool(_Shape, frozen=True, kw_only=True):
    """`connectTimeout` left out means 10 s: a gateway that swallows packets holds all callers that long."""

    connect_timeout: str
    tcp_keepalive: dict[str, str | int]


class ConnectionPool(_Shape, frozen=True, kw_only=True):
    """See TcpPool."""

    tcp: TcpPool


class Locality(_Shape, frozen=True, kw_only=True):
    """Who is called first."""

    enabled: bool
    failover_priority: tuple[str, ...] = ()


class LoadBalancer(_Shape, frozen=True, kw_only=True):
    """See Locality."""

    simple: str
    locality_lb_setting: Locality


class PortBlock(_Shape, frozen=True, kw_only=True):
    """Complete: a block takes nothing from the policy above it."""

    port: BlockPort
    tls: ClientTls
    outlier_detection: OutlierDetection
    connection_pool: ConnectionPool
    load_balancer: LoadBalancer


class TrafficPolicy(_Shape, frozen=True, kw_only=True):
    """All in blocks: what stands beside them is not merged into them."""

    port_level_settings: Annotated[tuple[PortBlock, ...], Meta(min_length=1)]


class RuleSpec(_Shape, frozen=True, kw_only=True):
    """One host, seen by whoever sees its entries."""

    host: HostName
    export_to: Everywhere
    traffic_policy: TrafficPolicy


class DestinationRule(_Shape, frozen=True, kw_only=True, tag_field="kind"):
    """How a host is called."""

    api_version: Version
    metadata: ImportMetadata
    spec: RuleSpec


# --- Gateway


class ServerPort(_Shape, frozen=True, kw_only=True):
    """The port of the gateway itself."""

    number: PortNumber
    name: Label
    protocol: Literal["TLS"]


class ServerTls(_Shape, frozen=True, kw_only=True):
    """Terminates nothing: the caller's identity reaches the pod."""

    mode: Literal["AUTO_PASSTHROUGH"]


class Server(_Shape, frozen=True, kw_only=True):
    """What is let in on one port."""

    port: ServerPort
    tls: ServerTls
    hosts: Annotated[tuple[LocalName, ...], Meta(min_length=1)]


class GatewaySpec(_Shape, frozen=True, kw_only=True):
    """For the gateway's pods."""

    selector: Annotated[dict[str, str], Meta(min_length=1)]
    servers: Annotated[tuple[Server, ...], Meta(min_length=1)]


class Gateway(_Shape, frozen=True, kw_only=True, tag_field="kind"):
    """What a cluster lets in."""

    api_version: Version
    metadata: GatewayMetadata
    spec: GatewaySpec


Shape = ServiceEntry | DestinationRule | Gateway | ConfigMap | SealedSecret
"""The kinds that may be rendered; nothing else is applied by the robot."""


def name_of(content: Object) -> str:
    """`<kind> <namespace>/<name>` of any object, for messages and for the uniqueness of ids."""
    metadata: Any = content.get("metadata", {})
    return f"{content.get('kind')} {metadata.get('namespace')}/{metadata.get('name')}"


def shape(content: Object) -> Shape:
    """The object, if it has one of our shapes.

    Raises:
        ValueError: it hasn't; with what and where.
    """
    shaped: Shape = msgspec.convert(content, Shape)
    annotations = shaped.metadata.annotations
    if shaped.metadata.labels.get(MANAGED_BY) != MANAGER:
        raise ValueError(f"label {MANAGED_BY} isn't {MANAGER}: nobody would prune or observe it")
    if not annotations.get(SOURCE):
        raise ValueError(f"annotation {SOURCE} is missing")
    if annotations.get(DIGEST) != (own := digest(content)):
        raise ValueError(f"annotation {DIGEST} is {annotations.get(DIGEST)}, its content's is {own}")
    return shaped
