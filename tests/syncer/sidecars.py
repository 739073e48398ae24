"""Workloads of a mesh for tests: their objects in a cluster, and what they show in a handshake."""

from __future__ import annotations

import json

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from syncer.trust import Handshake
from tests.pki.authority import Mesh
from tests.servers.tls import Holder

MESH = Mesh()
TRUST_DOMAIN = "west.acme.example"
A, B = MESH.root("a"), MESH.root("b")
WEST_1 = MESH.intermediate("west", 1)
WEST_2 = MESH.intermediate("west", 2, under=B)
LEAF = WEST_1.leaf(TRUST_DOMAIN)
SYSTEM = "istio-system"
STARTED = "2026-11-24T07:00:00Z"


def roots(namespace: str, *texts: str) -> str:
    """The ConfigMap that istiod puts into this namespace."""
    return config_map("istio-ca-root-cert", namespace, {"root-cert.pem": "".join(texts)})


def config_map(name: str, namespace: str, data: dict[str, str]) -> str:
    metadata = {"name": name, "namespace": namespace}
    return json.dumps({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data})


def status(text: str, *, namespace: str = "peermesh-system") -> str:
    """What the CA agent says of itself."""
    return config_map("peermesh-ca-status", namespace, {"status": text})


def workload(
    name: str = "a-1",
    namespace: str = "shop",
    *,
    ip: str = "10.0.0.1",
    started: str = STARTED,
    labels: dict[str, str] | None = None,
    env: dict[str, str] | None = None,
    native: bool = False,
) -> str:
    """A pod with a sidecar, as injection leaves it."""
    proxy = {"name": "istio-proxy", "env": [{"name": key, "value": value} for key, value in (env or {}).items()]}
    side = {"initContainers": [{**proxy, "restartPolicy": "Always"}]} if native else {"containers": [proxy]}
    labels = {"security.istio.io/tlsMode": "istio"} if labels is None else labels
    pod = {
        "metadata": {"name": name, "namespace": namespace, "labels": labels},
        "spec": {"serviceAccountName": "a", **side},
        "status": {"phase": "Running", "podIP": ip, "hostIP": "10.1.0.1", "startTime": started},
    }
    return json.dumps({"apiVersion": "v1", "kind": "Pod", **pod})


def istiod(name: str = "istiod-1", namespace: str = SYSTEM, *, ip: str = "10.0.9.1") -> str:
    return workload(name, namespace, ip=ip, labels={"app": "istiod"})


def der(holder: Holder) -> bytes:
    return holder.certificate.public_bytes(Encoding.DER)


def shown(*chain: Holder, names: tuple[x509.Certificate, ...] = (A.certificate,)) -> Handshake:
    return Handshake(
        chain=tuple(der(one) for one in chain), authorities=tuple(name.subject.public_bytes() for name in names)
    )
