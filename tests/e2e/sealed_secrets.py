"""The real Sealed Secrets controller beside an API server.

It knows in-cluster configuration only, so it gets a mount namespace of its own with what a pod would find there. Its
rights are those of its chart.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import urllib3

from syncer.protocol.certificates import Certificate, read_sealing_certificate
from tests.e2e import build
from tests.e2e.kubernetes import Cluster, Process, free_port, wait_for_crds

NAMESPACE = "sealed-secrets"
_RULES: list[dict[str, Any]] = [
    {"apiGroups": ["bitnami.com"], "resources": ["sealedsecrets"], "verbs": ["get", "list", "watch"]},
    {"apiGroups": ["bitnami.com"], "resources": ["sealedsecrets/status"], "verbs": ["update"]},
    {"apiGroups": [""], "resources": ["secrets"], "verbs": ["get", "list", "create", "update", "delete", "watch"]},
    {"apiGroups": [""], "resources": ["events"], "verbs": ["create", "patch"]},
]
_FOUND = "/run/secrets/kubernetes.io/serviceaccount"
"""What `/var/run/secrets/…` leads to."""


class Controller:
    """A controller that runs, and the certificate that it made for itself."""

    def __init__(self, process: Process, certificate: Certificate) -> None:
        self.process = process
        self.certificate = certificate


@contextmanager
def controller(cluster: Cluster, folder: Path) -> Iterator[Controller]:
    """Sealed Secrets in this cluster, ready; gone at the end of the block."""
    module = build.module_folder("sealed-secrets", "github.com/bitnami/sealed-secrets")
    cluster.apply(module / "helm" / "sealed-secrets" / "crds")
    wait_for_crds(cluster)
    cluster.apply("\n---\n".join(json.dumps(one) for one in _account()))
    pod = folder / "pod"
    pod.mkdir()
    (pod / "token").write_text(cluster.service_account(NAMESPACE, "controller"))
    (pod / "ca.crt").write_bytes(cluster.ca.read_bytes())
    (pod / "namespace").write_text(NAMESPACE)
    address, metrics = (f"127.0.0.1:{free_port()}" for _ in range(2))
    command = [build.build("sealed-secrets-controller"), "--listen-addr", address, "--listen-metrics-addr", metrics,
               "--update-status", "--key-size", "2048"]  # fmt: skip
    script = (
        # The tmpfs hides the rest of /run from it alone.
        f"mount -t tmpfs tmpfs /run && mkdir -p {_FOUND} && cp {shlex.quote(str(pod))}/* {_FOUND} && "
        f"exec {shlex.join(map(str, command))}"
    )
    process = Process(
        "sealed-secrets",
        ["unshare", "--map-root-user", "--mount", "sh", "-c", script],
        folder,
        KUBERNETES_SERVICE_HOST="127.0.0.1",
        KUBERNETES_SERVICE_PORT=str(cluster.port),
    )
    try:
        process.wait_ready(lambda: _status(f"http://{address}/healthz") == 200)
        pem = urllib3.request("GET", f"http://{address}/v1/cert.pem", timeout=30).data.decode()
        yield Controller(process, read_sealing_certificate(pem, subject="the controller's certificate"))
    finally:
        process.end()


def _account() -> list[dict[str, Any]]:
    names = {"name": "controller", "namespace": NAMESPACE}
    rbac = "rbac.authorization.k8s.io/v1"
    own = {"apiGroups": [""], "resources": ["secrets"], "verbs": ["create", "list"]}
    return [
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}},
        {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": names},
        {"apiVersion": rbac, "kind": "ClusterRole", "metadata": {"name": "sealed-secrets"}, "rules": [*_RULES, own]},
        {
            "apiVersion": rbac,
            "kind": "ClusterRoleBinding",
            "metadata": {"name": "sealed-secrets"},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "sealed-secrets"},
            "subjects": [{"kind": "ServiceAccount", **names}],
        },
    ]


def _status(url: str) -> int:
    try:
        return urllib3.request("GET", url, timeout=5, retries=False).status
    except urllib3.exceptions.HTTPError:
        return 0
