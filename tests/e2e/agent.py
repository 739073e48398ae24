"""A cluster with a CA agent's manifests, what stands for its istiod, and the mesh that signs for it.

Knows the API as administrator, and how the agent is told where all of it is.
"""

from __future__ import annotations

import base64
import json
import socket
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import yaml

from syncer.agent.content import Content, Standing, load_key
from syncer.agent.names import AGENT, AGENT_NAMESPACE, CACERTS, COMMITTED, OWN_SECRET, STATUS_NAME
from syncer.cluster.connection import Connection
from syncer.keys import key_of_secret
from syncer.protocol.certificates import read_certificate, write_certificates
from syncer.protocol.message import parse_arguments
from syncer.protocol.request import SIGN_REQUEST_PURPOSE, SignRequest, read_csr, unpack
from syncer.protocol.signature import verify
from tests.cli.test_agent_manifests import west
from tests.e2e.edge import QUEUE
from tests.e2e.kubernetes import Cluster, free_port
from tests.meshes import mesh
from tests.pki.authority import Authority, Leaf, Mesh, key_pem, leaf
from tests.servers.tls import tls
from tests.servers.valkey import Valkey
from workers.cli.delivery.agent import agent_files
from workers.pki.issue import issue

ISTIO = "istio-system"
OTHER = "other"
SECRETS = f"/api/v1/namespaces/{ISTIO}/secrets"
PATIENCE = 4
"""Seconds."""


class Istiod:
    """What stands for istiod: on a port of loopback it shows what it signs with, and it publishes its roots."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self.refuses = False
        self.taken: Content | None = None

    def serve(self, connection: socket.socket) -> None:
        """One handshake. Without `cacerts` it has nothing to show."""
        self.look()
        if self.taken is not None:
            tls(self._chain(self.taken))(connection)

    def look(self) -> None:
        found = self._site.cacerts()
        if found is not None and not self.refuses:
            self.taken = found
        if self.taken is not None:
            self._site.publish(self.taken.cacerts.roots)

    def _chain(self, content: Content) -> list[Authority | Leaf]:
        key: Any = load_key(content.key)
        signer = Authority(certificate=read_certificate(content.cacerts.certificate, subject="istiod"), key=key)
        serving = leaf(signer, "spiffe://west.acme.example/ns/istio-system/sa/istiod", now=datetime.now(UTC))
        return [serving, signer]


class Site:
    """A cluster with the agent's manifests, a broker, and the mesh that signs. Nothing is installed yet."""

    def __init__(self, cluster: Cluster, broker: Valkey, folder: Path) -> None:
        self.cluster = cluster
        self.broker = broker
        self.folder = folder
        self.authority = Mesh(now=datetime.now(UTC).replace(microsecond=0))
        self.istiod = Istiod(self)
        self.port = 0
        for name in (AGENT_NAMESPACE, ISTIO, OTHER):
            cluster.kubectl("create", "namespace", name)
        files = {Path(path).name: data for path, data in agent_files(mesh(), west()).items()}
        for name in sorted(files):
            if name.endswith(".yaml"):
                cluster.apply(files[name])
        self.told: dict[str, str] = yaml.safe_load(files["settings.yaml"])["data"]
        self.kubeconfig = cluster.write_kubeconfig("agent", {"token": cluster.service_account(AGENT_NAMESPACE, AGENT)})
        self.agents = Connection(kubeconfig=self.kubeconfig)
        self._add_istiod()

    def environment(self, **more: str) -> dict[str, str]:
        """As written, but where things are, and how fast."""
        return {
            **self.told,
            "PEERMESH_KUBECONFIG": str(self.kubeconfig),
            "PEERMESH_BROKER_URL": self.broker.url_for("syncer-west", "canary"),
            "PEERMESH_LISTEN": f"127.0.0.1:{free_port()}",
            "PEERMESH_ISTIOD_PORT": str(self.port),
            "PEERMESH_PATIENCE": str(PATIENCE),
            "PEERMESH_LOOK": "0.2",
            **more,
        }

    # --- as an administrator

    def secret(self, namespace: str, name: str) -> dict[str, Any] | None:
        code, answer = self.cluster.request("GET", f"/api/v1/namespaces/{namespace}/secrets/{name}")
        return answer if code == 200 else None

    def cacerts(self) -> Content | None:
        found = self.secret(ISTIO, CACERTS)
        data = (found or {}).get("data") or {}
        return Content({name: base64.b64decode(value) for name, value in data.items()}) if data else None

    def rotation(self) -> int:
        found = self.cacerts()
        return Standing(content=found, mesh="acme", cluster="west").rotation if found else 0

    def status(self) -> dict[str, Any]:
        path = f"/api/v1/namespaces/{AGENT_NAMESPACE}/configmaps/{STATUS_NAME}"
        data = self.cluster.request("GET", path)[1].get("data") or {}
        return dict(json.loads(data.get("status") or "{}"))

    def publish(self, roots: str) -> None:
        self._config_map(ISTIO, "istio-ca-root-cert", {"root-cert.pem": roots})

    def commit(self, certificate: str = "", **more: str) -> None:
        """What the mesh repository says, applied."""
        rotation = more.get("rotation", "0")
        files = {"ca-cert.pem": certificate, "cert-chain.pem": certificate} if certificate else {}
        said = {"mesh": "acme", "cluster": "west", "trustDomain": "west.acme.example", "root": "a", "wanted": rotation}
        roots = write_certificates([self.authority.root("a").certificate])
        self._config_map(AGENT_NAMESPACE, COMMITTED, {**said, "root-cert.pem": roots, **files, **more})

    def empty(self) -> None:
        """As it was applied, so that a key is made."""
        for namespace, name in ((ISTIO, CACERTS), (AGENT_NAMESPACE, OWN_SECRET)):
            self.cluster.kubectl("-n", namespace, "delete", "secret", name, "--ignore-not-found")
        body = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": OWN_SECRET}}
        assert 201 == self.cluster.request("POST", f"/api/v1/namespaces/{AGENT_NAMESPACE}/secrets", body)[0]
        self._config_map(AGENT_NAMESPACE, STATUS_NAME, {"status": "{}"})
        self.istiod.taken, self.istiod.refuses = None, False
        self.broker.wipe()

    def install(self, rotation: int, kind: str = "Opaque") -> None:
        """As somebody who writes `cacerts` by hand."""
        one = self.authority.intermediate("west", rotation)
        texts = one.cacerts(self.authority.root("a"))
        files = {"ca-cert.pem": texts.certificate, "cert-chain.pem": texts.chain, "root-cert.pem": texts.roots}
        files["ca-key.pem"] = key_pem(one.key)
        if kind != "Opaque":
            files = {"tls.crt": texts.chain, "tls.key": key_pem(one.key), "ca.crt": texts.roots}
        body = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": CACERTS}, "type": kind, "stringData": files}
        assert 201 == self.cluster.request("POST", SECRETS, body)[0]
        self.istiod.look()

    # --- the mesh

    def asked(self) -> SignRequest:
        """The next request that arrives, verified as the border does."""
        with self.broker.client() as client:
            popped = client.brpop([QUEUE], timeout=90)
        assert isinstance(popped, list | tuple), "no request arrived"
        message = json.loads(popped[1])
        assert "sign_request" == message["headers"]["task"]
        _, packed, signature = parse_arguments(json.loads(base64.b64decode(message["body"]))[0])
        kept = key_of_secret(Connection(kubeconfig=self.cluster.kubeconfig), namespace=AGENT_NAMESPACE, name=OWN_SECRET)
        verify([kept.public], SIGN_REQUEST_PURPOSE, "acme", "west", packed, signature)
        return unpack(packed)

    def sign(self, request: SignRequest) -> str:
        """Its certificate."""
        root = self.authority.root("a")
        template = self.authority.template("west", request.rotation)
        public = read_csr(request.csr, subject="west").public_key()
        now, serial = datetime.now(UTC).replace(microsecond=0), self.authority.serial()
        return write_certificates([issue(template, public, root.certificate, root.key, now=now, serial=serial)])

    # --- inside

    def _config_map(self, namespace: str, name: str, data: Mapping[str, str]) -> None:
        body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": dict(data)}
        path = f"/api/v1/namespaces/{namespace}/configmaps"
        code, answer = self.cluster.request("PUT", f"{path}/{name}", body)
        if code == 404:
            code, answer = self.cluster.request("POST", path, body)
        assert code < 300, answer

    def _add_istiod(self) -> None:
        pods = f"/api/v1/namespaces/{ISTIO}/pods"
        pod = {
            "metadata": {"name": "istiod-1", "labels": {"app": "istiod"}},
            "spec": {"containers": [{"name": "discovery", "image": "istiod"}]},
        }
        assert 201 == self.cluster.request("POST", pods, pod)[0]
        self.cluster.set_status(f"{pods}/istiod-1", {"podIP": "127.0.0.1", "podIPs": [{"ip": "127.0.0.1"}]})
