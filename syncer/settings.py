"""The settings of a syncer: the only place that reads its environment.

Knows names, meanings and defaults, and refuses what can't be meant. Opens no connection and no file.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from syncer.debounce import Timing
from syncer.foreign import MeshHosts
from syncer.gateway import GatewayPlace
from syncer.observe import Scope
from syncer.protocol.broker import broker_url
from syncer.protocol.environment import Setting, Values, address, bad_setting, label, port, seconds, subdomain
from syncer.protocol.names import is_subdomain
from syncer.protocol.secret import Secret
from syncer.rounds import Probing

MESH: Final = Setting(name="PEERMESH_MESH", meaning="name of the mesh, as in `mesh/mesh.yaml`")
CLUSTER: Final = Setting(name="PEERMESH_CLUSTER", meaning="name of this cluster, as in `mesh/clusters/`")
BROKER: Final = Setting(
    name="PEERMESH_BROKER_URL",
    meaning="Redis in Celery's form (`redis://`, `rediss://`, `redis+socket://`), with the user of this cluster alone",
)
DIRECTORY: Final = Setting(
    name="PEERMESH_DIRECTORY",
    meaning="directory of manifests that stands for the cluster; not set: the Kubernetes API is read",
)
NAMESPACE: Final = Setting(
    name="PEERMESH_NAMESPACE", meaning="namespace of manifests that name none", default="default"
)
KUBECONFIG: Final = Setting(
    name="PEERMESH_KUBECONFIG",
    meaning="kubeconfig file that leads to the API server; not set: the service account of this pod does",
)
CONTEXT: Final = Setting(name="PEERMESH_CONTEXT", meaning="context of the kubeconfig file; not set: its current one")
POD_NAMESPACE: Final = Setting(
    name="PEERMESH_POD_NAMESPACE",
    meaning="namespace of the Lease and of the Secret with the key; not set: neither can be used",
)
POD_NAME: Final = Setting(
    name="PEERMESH_POD_NAME", meaning="name of this replica, as the Lease shows it; not set: the host name"
)
KEY_FILE: Final = Setting(
    name="PEERMESH_KEY_FILE",
    meaning="file of the key that observations are signed with; made at the first start",
    default="peermesh-syncer.key",
)
KEY_SECRET: Final = Setting(
    name="PEERMESH_KEY_SECRET",
    meaning="name of the Secret that keeps that key, under `key`, in place of a file; not set: a file does",
)
LEASE: Final = Setting(
    name="PEERMESH_LEASE",
    meaning="name of the Lease by which one of several replicas is chosen to publish; not set: this is the only one",
)
LEASE_DURATION: Final = Setting(
    name="PEERMESH_LEASE_DURATION",
    meaning="seconds after which another replica takes over from one that is no longer heard of",
    default="15",
)
LISTEN: Final = Setting(
    name="PEERMESH_LISTEN",
    meaning="`host:port` on which `/healthz`, `/readyz` and `/metrics` are served; not set: they aren't",
)
ISTIO_NAMESPACE: Final = Setting(
    name="PEERMESH_ISTIO_NAMESPACE", meaning="namespace of Istio's control plane", default="istio-system"
)
GATEWAY_NAMESPACE: Final = Setting(
    name="PEERMESH_GATEWAY_NAMESPACE", meaning="namespace of the east-west gateway's pods", default="istio-eastwest"
)
GATEWAY_SELECTOR: Final = Setting(
    name="PEERMESH_GATEWAY_SELECTOR",
    meaning="labels of the gateway's pods: `key=value`, separated by commas",
    default="istio=eastwestgateway",
)
GATEWAY_PORT: Final = Setting(
    name="PEERMESH_GATEWAY_PORT", meaning="port on which the gateway passes callers through", default="15443"
)
HOST_TEMPLATE: Final = Setting(
    name="PEERMESH_HOST_TEMPLATE",
    meaning="`spec.hosts.template` of the mesh",
    default="{service}.{namespace}.mesh.internal",
)
HOST_PATTERNS: Final = Setting(
    name="PEERMESH_HOST_PATTERNS",
    meaning="patterns of `spec.hosts.additional` of the mesh, separated by commas; not set: there are none",
)
QUIET: Final = Setting(
    name="PEERMESH_QUIET", meaning="seconds without a change before the cluster is read again", default="1"
)
LONGEST: Final = Setting(
    name="PEERMESH_LONGEST", meaning="seconds after a change after which it is read, quiet or not", default="10"
)
HEARTBEAT: Final = Setting(
    name="PEERMESH_HEARTBEAT",
    meaning="seconds after which is said again what is so; the centre refuses what is older than 900",
    default="300",
)
PROBE: Final = Setting(
    name="PEERMESH_PROBE",
    meaning="pods that are asked in a round which roots they trust, by a TLS handshake without a certificate; 0: none, "
    "and no istiod; a directory has none to ask",
    default="50",
)
PROBE_PORT: Final = Setting(
    name="PEERMESH_PROBE_PORT",
    meaning="port of a pod at which its sidecar is asked: any that it intercepts, and nothing needs to listen on it",
    default="15099",
)

SETTINGS: Final = (
    MESH,
    CLUSTER,
    BROKER,
    DIRECTORY,
    NAMESPACE,
    KUBECONFIG,
    CONTEXT,
    POD_NAMESPACE,
    POD_NAME,
    KEY_FILE,
    KEY_SECRET,
    LEASE,
    LEASE_DURATION,
    LISTEN,
    ISTIO_NAMESPACE,
    GATEWAY_NAMESPACE,
    GATEWAY_SELECTOR,
    GATEWAY_PORT,
    HOST_TEMPLATE,
    HOST_PATTERNS,
    QUIET,
    LONGEST,
    HEARTBEAT,
    PROBE,
    PROBE_PORT,
)

_MOST_PODS: Final = 1000
"""In a round: so many that don't answer take six minutes."""


@dataclass(frozen=True, kw_only=True)
class Api:
    """How the API server is reached: a kubeconfig file and its context; with neither, this pod's service account."""

    kubeconfig: Path | None = None
    context: str = ""


@dataclass(frozen=True, kw_only=True)
class KeySecret:
    """A Secret that keeps the signing key."""

    namespace: str
    name: str


@dataclass(frozen=True, kw_only=True)
class Lease:
    """What replicas agree by; `holder` is this one. `duration` in seconds."""

    namespace: str
    name: str
    holder: str
    duration: float


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What a syncer is told; prints without secrets. `source` is a directory of manifests, or an API server."""

    scope: Scope
    broker: Secret
    source: Path | Api
    key: Path | KeySecret
    lease: Lease | None = None
    listen: tuple[str, int] | None = None
    namespace: str = "default"
    istio_namespace: str = "istio-system"
    timing: Timing = field(default_factory=Timing)
    probing: Probing = field(default_factory=Probing)


def settings_from_environment() -> Settings:
    """The settings of this process. Raises HumanNeeded, naming the variable."""
    return read_settings(os.environ)


def read_settings(environment: Mapping[str, str]) -> Settings:
    """The settings that these variables say; one that is empty is as good as not set.

    Raises:
        HumanNeeded: a variable that must be set isn't, or a value that can't be meant.
    """
    values = Values(environment)
    value = values.read
    heartbeat = value(HEARTBEAT, seconds)
    return Settings(
        scope=Scope(
            mesh=value(MESH, label),
            cluster=value(CLUSTER, label),
            gateway=GatewayPlace(
                namespace=value(GATEWAY_NAMESPACE, label),
                selector=value(GATEWAY_SELECTOR, _pairs),
                port=value(GATEWAY_PORT, port),
            ),
            hosts=MeshHosts(template=value(HOST_TEMPLATE, _template), patterns=value(HOST_PATTERNS, _patterns)),
            istio_namespace=value(ISTIO_NAMESPACE, label),
        ),
        broker=value(BROKER, broker_url),
        source=_source(values),
        key=_key(values),
        lease=_lease(values),
        listen=values.optional(LISTEN, address),
        namespace=value(NAMESPACE, label),
        istio_namespace=value(ISTIO_NAMESPACE, label),
        timing=Timing(quiet=value(QUIET, seconds), longest=value(LONGEST, seconds), heartbeat=heartbeat),
        probing=_probing(values, heartbeat),
    )


def _source(values: Values) -> Path | Api:
    values.apart(DIRECTORY, KUBECONFIG, CONTEXT, KEY_SECRET, LEASE)
    if values.said(DIRECTORY):
        return values.read(DIRECTORY, Path)
    return Api(kubeconfig=values.optional(KUBECONFIG, Path), context=values.said(CONTEXT))


def _key(values: Values) -> Path | KeySecret:
    values.apart(KEY_SECRET, KEY_FILE)
    if not values.said(KEY_SECRET):
        return values.read(KEY_FILE, Path)
    return KeySecret(namespace=_pod_namespace(values, KEY_SECRET), name=values.read(KEY_SECRET, subdomain))


def _lease(values: Values) -> Lease | None:
    if not values.said(LEASE):
        return None
    return Lease(
        namespace=_pod_namespace(values, LEASE),
        name=values.read(LEASE, subdomain),
        holder=values.said(POD_NAME) or socket.gethostname(),
        duration=values.read(LEASE_DURATION, seconds),
    )


def _pod_namespace(values: Values, wanted_for: Setting) -> str:
    if not values.said(POD_NAMESPACE):
        raise bad_setting(POD_NAMESPACE, f"it isn't set, and {wanted_for.name} is")
    return values.read(POD_NAMESPACE, label)


def _pairs(text: str) -> dict[str, str]:
    pairs = [pair.strip().partition("=") for pair in text.split(",")]
    if not all(key and equals and said for key, equals, said in pairs):
        raise ValueError(f"{text[:80]!r} isn't key=value, separated by commas")
    return {key: said for key, _, said in sorted(pairs)}


def _probing(values: Values, heartbeat: float) -> Probing:
    pods = values.read(PROBE, _count)
    return Probing(
        pods=0 if values.said(DIRECTORY) else pods,
        port=values.read(PROBE_PORT, port),
        # What a round showed is sent at its end, and puts the next heartbeat off.
        every=0.9 * heartbeat,
        hurry=min(Probing.hurry, 0.9 * heartbeat),
    )


def _count(text: str) -> int:
    if not text.isdecimal() or int(text) > _MOST_PODS:
        raise ValueError(f"{text[:80]!r} isn't a number from 0 to {_MOST_PODS}")
    return int(text)


def _template(text: str) -> str:
    labels = text.split(".")
    if not {"{service}", "{namespace}"} <= set(labels) or not is_subdomain(text.translate({123: None, 125: None})):
        raise ValueError(f"{text[:80]!r} isn't a host with labels {{service}} and {{namespace}}")
    return text


def _patterns(text: str) -> tuple[str, ...]:
    patterns = tuple(part.strip() for part in text.split(",") if part.strip())
    for pattern in patterns:
        if not is_subdomain(pattern.removeprefix("*.")):
            raise ValueError(f"{pattern[:80]!r} isn't a host, with or without `*.` in front")
    return patterns
