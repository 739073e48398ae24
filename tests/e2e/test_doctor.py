"""`peermesh doctor cluster` on a real API server: nothing wrong with exactly what was written, and each thing broken in
turn is seen. Its gateway is a TLS server on loopback, as a peer sees one.
"""

from __future__ import annotations

import base64
import json
import os
import re
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from syncer.protocol.observation import GatewayAddress
from syncer.protocol.signature import SigningKey
from tests import meshes
from tests.cli.calls import Said, call
from tests.doctor.gateways import CATALOG, IDENTITY, Authority, gateway
from tests.e2e import build
from tests.e2e.kubernetes import Cluster, clusters, install_crds
from workers.cli.delivery.syncer import syncer_files
from workers.documents.paths import path_of
from workers.documents.writing import write
from workers.folder import write_folder

KEY = SigningKey.from_seed(bytes(32))
MESH_CONFIG = """\
trustDomain: west.acme.example
caCertificates: [{trustDomains: [east.acme.example]}]
defaultConfig: {proxyMetadata: {ISTIO_META_DNS_CAPTURE: "true"}}
"""
ISTIO = """\
apiVersion: v1
kind: Namespace
metadata: {name: istio-system, labels: {topology.istio.io/network: west}}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: istiod, namespace: istio-system}
spec:
  selector: {matchLabels: {app: istiod}}
  template:
    metadata: {labels: {app: istiod}}
    spec: {containers: [{name: discovery, image: "docker.io/istio/pilot:1.31.0-distroless"}]}
---
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: {name: default, namespace: istio-system}
spec: {mtls: {mode: STRICT}}
"""


@dataclass(frozen=True, kw_only=True)
class Site:
    """A cluster with Istio's objects and everything that `cluster add` writes for it, and the mesh repository."""

    west: Cluster
    repo: Path
    roots: str

    def doctor(self, *arguments: object, kubeconfig: Path | None = None) -> Said:
        where = ("--repo", self.repo, "--kubeconfig", kubeconfig or self.west.kubeconfig, "--context", "west")
        return call("doctor", "cluster", "west", *where, *arguments)

    def findings(self, kubeconfig: Path | None = None) -> list[dict[str, str]]:
        said = self.doctor("--output", "json", kubeconfig=kubeconfig)
        assert said.stdout, said
        found: list[dict[str, str]] = json.loads(said.stdout)["findings"]
        return found

    def trouble(self) -> list[tuple[str, str, str]]:
        """Status, subject and text of what isn't ok, but that Redis wasn't asked."""
        return [
            (one["status"], one["subject"], one["what"])
            for one in self.findings()
            if one["status"] != "ok" and one["subject"] != "observation"
        ]

    def heal(self) -> None:
        """Everything as it should be."""
        west = self.west
        files = syncer_files(meshes.mesh(), mesh_of(GatewayAddress(port=1)).clusters["west"])
        west.apply(files["delivery/clusters/west/namespaces.yaml"])
        west.apply(ISTIO)
        for name, data in (("istio", {"mesh": MESH_CONFIG}), ("istio-ca-root-cert", {"root-cert.pem": self.roots})):
            metadata = {"name": name, "namespace": "istio-system"}
            west.apply(json.dumps({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data}))
        for file in ("rights", "settings", "syncer"):
            west.apply(files[f"delivery/clusters/west/{file}.yaml"])
        kept = base64.b64encode(base64.b64encode(KEY.seed())).decode()
        west.kubectl(
            *(
                "-n",
                "peermesh-system",
                "patch",
                "secret",
                "peermesh-syncer-key",
                "-p",
                json.dumps({"data": {"key": kept}}),
            )
        )
        west.set_status(DEPLOYMENT, {"replicas": 2, "readyReplicas": 2, "conditions": []})


ACCEPTS_NOBODY = {"data": {"mesh": MESH_CONFIG.replace("east.acme.example", "south.acme.example")}}
TAKES_FOR_ITSELF = {"data": {"mesh": f"{MESH_CONFIG}trustDomainAliases: [east.acme.example]\n"}}
DEPLOYMENT = "/apis/apps/v1/namespaces/peermesh-system/deployments/peermesh-syncer"


def mesh_of(address: GatewayAddress) -> Any:
    return meshes.tree_of(
        meshes.cluster("west", keys=(KEY.public,), addresses=(f"localhost:{address.port}",)),
        meshes.cluster("east"),
        meshes.export("shop/catalog", "west"),
    )


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("doctor")
    authority = Authority()
    with (
        clusters(folder, "west") as (west,),
        gateway({CATALOG: authority.leaf(IDENTITY, folder)}, authority) as address,
    ):
        install_crds(west)
        mesh = mesh_of(address)
        documents = {path_of(document): write(document) for document in meshes.documents_of(mesh)}
        write_folder(folder / "mesh", {**documents, **syncer_files(mesh.mesh, mesh.clusters["west"])})
        made = Site(west=west, repo=folder / "mesh", roots=authority.pem)
        made.heal()
        yield made


def test_with_exactly_what_cluster_add_writes_nothing_is_wrong(site: Site):
    assert [] == site.trouble()
    subjects = {one["subject"] for one in site.findings()}
    assert {
        "Istio",
        "mutual TLS",
        "DNS",
        "network",
        "gateway",
        "namespaces",
        "kinds",
        "rights",
        "syncer",
        "key",
    } < subjects
    rights = next(one["what"] for one in site.findings() if one["subject"] == "rights")
    assert "none of those that would be dangerous" in rights
    assert 0 == site.doctor().code


SECRETS = """\
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: too-much}
rules: [{apiGroups: [""], resources: [secrets], verbs: [list]}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {name: too-much}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: too-much}
subjects: [{apiGroup: rbac.authorization.k8s.io, kind: Group, name: "system:serviceaccounts"}]
"""
IN_ISTIO, IN_SYSTEM = ("-n", "istio-system"), ("-n", "peermesh-system")


@pytest.mark.parametrize(
    ("subject", "what", "command"),
    [
        (
            "mutual TLS",
            "PERMISSIVE",
            (
                *IN_ISTIO,
                "patch",
                "peerauthentication",
                "default",
                "--type=merge",
                "-p",
                '{"spec":{"mtls":{"mode":"PERMISSIVE"}}}',
            ),
        ),
        ("mutual TLS", "not set", (*IN_ISTIO, "delete", "peerauthentication", "default")),
        ("network", "has no label", ("label", "namespace", "istio-system", "topology.istio.io/network-")),
        (
            "peers' trust domains",
            "east.acme.example (east)",
            (*IN_ISTIO, "patch", "configmap", "istio", "-p", json.dumps(ACCEPTS_NOBODY)),
        ),
        (
            "aliases",
            "aliases of its own: east.acme.example (east)",
            (*IN_ISTIO, "patch", "configmap", "istio", "-p", json.dumps(TAKES_FOR_ITSELF)),
        ),
        (
            "rights",
            "its syncer lacks: get leases.coordination.k8s.io peermesh-syncer in peermesh-system",
            (
                *IN_SYSTEM,
                "patch",
                "role",
                "peermesh-syncer",
                "--type=json",
                "-p",
                '[{"op":"test","path":"/rules/1/apiGroups/0","value":"coordination.k8s.io"},{"op":"replace","path":"/rules/1/verbs","value":["update"]}]',
            ),
        ),
        ("syncer", "no Deployment", (*IN_SYSTEM, "delete", "deployment", "peermesh-syncer")),
        ("key", "holds none", (*IN_SYSTEM, "patch", "secret", "peermesh-syncer-key", "-p", '{"data":{"key":""}}')),
        ("key", "no Secret", (*IN_SYSTEM, "delete", "secret", "peermesh-syncer-key")),
    ],
)
def test_each_thing_that_is_broken_is_seen_and_nothing_else(
    site: Site, subject: str, what: str, command: tuple[str, ...]
):
    site.west.kubectl(*command)
    try:
        (found,) = site.trouble()
    finally:
        site.heal()
    assert ("wrong", subject) == found[:2]
    assert what in found[2]
    assert [] == site.trouble()


def test_a_right_that_came_from_a_group_is_seen(site: Site):
    site.west.apply(SECRETS)
    try:
        (found,) = site.trouble()
    finally:
        site.west.kubectl("delete", "clusterrolebinding,clusterrole", "too-much")
    assert ("wrong", "rights") == found[:2]
    assert "its syncer has more than it needs: list secrets; list secrets in peermesh-system" == found[2]


def test_a_syncer_of_which_no_replica_is_ready_is_seen(site: Site):
    condition = {"type": "Available", "status": "False", "message": "no image"}
    site.west.set_status(DEPLOYMENT, {"replicas": 2, "readyReplicas": None, "conditions": [condition]})
    try:
        assert [("wrong", "syncer", "0 of 2 replicas are ready: no image")] == site.trouble()
    finally:
        site.heal()


def test_the_commands_that_are_printed_mend_it_as_they_stand(site: Site, tmp_path: Path):
    west = site.west
    west.kubectl(*IN_ISTIO, "delete", "peerauthentication", "default")
    west.kubectl("label", "namespace", "istio-system", "topology.istio.io/network=other", "--overwrite")
    west.kubectl("delete", "clusterrole", "peermesh-syncer")
    west.kubectl(*IN_SYSTEM, "delete", "deployment", "peermesh-syncer")
    west.kubectl(*IN_SYSTEM, "delete", "secret", "peermesh-syncer-key")
    try:
        found = [one for one in site.findings() if one["status"] == "wrong"]
        assert ["mutual TLS", "network", "rights", "syncer", "key"] == [one["subject"] for one in found]
        (tmp_path / "kubectl").symlink_to(build.build("kubectl"))
        for one in found:
            for command in re.findall(r"^\$ (.*(?:\n    .*)*)", one["remedy"], re.MULTILINE):
                environment = {"PATH": f"{tmp_path}:{os.environ['PATH']}", "HOME": str(tmp_path)}
                subprocess.run(["sh", "-c", command], cwd=site.repo, env=environment, check=True, capture_output=True)
        # What is left takes running pods: replicas that get ready, and make a key.
        assert ["syncer", "key"] == [subject for _, subject, _ in site.trouble()]
    finally:
        site.heal()


def test_another_key_than_main_trusts_is_told_with_the_command_that_trusts_it(site: Site):
    other = SigningKey.generate()
    data = {"data": {"key": base64.b64encode(base64.b64encode(other.seed())).decode()}}
    site.west.kubectl(*IN_SYSTEM, "patch", "secret", "peermesh-syncer-key", "-p", json.dumps(data))
    try:
        said = site.doctor()
    finally:
        site.heal()
    assert 3 == said.code
    assert f"          $ peermesh cluster trust west {other.public}\n" in said.stdout
    assert base64.b64encode(other.seed()).decode() not in said.stdout + said.stderr


def test_a_person_who_may_nothing_sees_what_can_be_seen_without(site: Site):
    site.west.kubectl("create", "namespace", "people")
    site.west.kubectl("-n", "people", "create", "serviceaccount", "ann")
    ann = site.west.write_kubeconfig("ann", {"token": site.west.service_account("people", "ann")})
    found = {one["subject"]: one["status"] for one in site.findings(ann)}
    hidden = ("namespaces", "rights", "syncer", "key", "Istio")
    assert dict.fromkeys(hidden, "unknown") == {name: found[name] for name in hidden}
    assert ("ok", "ok") == (found["kinds"], found["clock"])
    assert "unknown" not in {
        one["status"] for one in site.findings(ann) if one["subject"] == "gateway" and "root" not in one["what"]
    }


def test_an_api_server_that_does_not_let_us_in_is_one_line(site: Site):
    stranger = site.west.write_kubeconfig("stranger", {"token": "not-a-token"})
    (found,) = (one for one in site.findings(stranger) if one["subject"] == "API server")
    assert ("wrong", "401" in found["what"]) == (found["status"], True)


def test_a_context_that_does_not_exist_is_told(site: Site):
    said = call(
        *(
            "doctor",
            "cluster",
            "west",
            "--repo",
            site.repo,
            "--kubeconfig",
            site.west.kubeconfig,
            "--context",
            "nowhere",
        )
    )
    assert 3 == said.code
    assert "nowhere" in said.stdout
    assert "not-a-token" not in said.stdout


def test_a_cluster_that_main_does_not_have_is_refused(site: Site):
    said = call("doctor", "cluster", "south", "--repo", site.repo)
    assert (1, "error: south: no such cluster. There are: east, west.\n") == (said.code, said.stderr)
