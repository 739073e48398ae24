"""What a reader says of an API server is what a folder of the same objects would say, at the cost of what changed."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from syncer.cluster import ClusterState
from syncer.cluster.api import read
from syncer.cluster.connection import Connection
from syncer.cluster.directory import read as read_directory
from syncer.cluster.lean import lean
from syncer.cluster.resources import BY_FIELD, RESOURCES
from syncer.protocol.errors import HumanNeeded
from syncer.protocol.labels import MANAGER, PART_OF
from tests.cli.calls import done, files_in, mesh_with_clusters, process
from tests.e2e.kubernetes import Cluster, clusters, install_crds
from tests.e2e.reading import admin, create, names, namespace, pod, service, watched
from tests.syncer.clusters import observed

ROOT = Path(__file__).parents[2]
FOLDERS = (
    *(ROOT / "tests" / "pipeline" / "manifests" / name for name in ("west", "east")),
    *(ROOT / "workers" / "cli" / "demo" / "manifests" / name for name in ("west", "east", "north")),
    Path(__file__).parent / "manifests" / "mixed",
)


UNITS = (("kustomize.toolkit.fluxcd.io", "Kustomization", "v1"), ("argoproj.io", "Application", "v1alpha1"))


def any_kind(group: str, kind: str, version: str) -> dict[str, Any]:
    """A CRD that takes whatever its controller would write."""
    plural = f"{kind.lower()}s"
    schema = {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}}
    served = {"name": version, "served": True, "storage": True, "schema": schema, "subresources": {"status": {}}}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{plural}.{group}"},
        "spec": {
            "group": group,
            "names": {"kind": kind, "plural": plural, "singular": kind.lower()},
            "scope": "Namespaced",
            "versions": [served],
        },
    }


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A cluster of this file's own: what it holds is compared as a whole."""
    with clusters(tmp_path_factory.mktemp("reader"), "west") as (west,):
        install_crds(west)
        for group, kind, version in UNITS:
            west.apply(json.dumps(any_kind(group, kind, version)))
        west.kubectl("wait", "--for=condition=Established", "--timeout=60s", "crd", "--all")
        yield west


def applied(cluster: Cluster, folder: Path) -> list[dict[str, Any]]:
    """Apply the manifests of a folder, with what a server gives by itself left out; controllers' statuses, too."""
    read = (yaml.safe_load_all(path.read_text()) for path in sorted(folder.iterdir()))
    items = [item for documents in read for item in documents if item["kind"] != "Namespace"]
    for item in items:
        namespace(cluster, item["metadata"]["namespace"])
        item["metadata"].pop("creationTimestamp", None)
        if item["kind"] == "Service" and item["spec"].get("clusterIP") != "None":
            item["spec"].pop("clusterIP", None)
    statuses = [(item, item.pop("status")) for item in items if "status" in item]
    cluster.apply(yaml.safe_dump_all(items))
    for item, status in statuses:
        patch = ("-p", json.dumps({"status": status}), "--type=merge", "--subresource=status")
        where = item["metadata"]
        cluster.kubectl("-n", where["namespace"], "patch", item["kind"], where["name"], *patch)
    return items


def dumped(cluster: Cluster, folder: Path) -> Path:
    """What README says: a folder with everything that the cluster holds."""
    kinds = [
        f"{one.plural}.{one.group}" if one.group else one.plural for one in RESOURCES if _served(cluster, one.group)
    ]
    for kind in kinds:
        (folder / f"{kind}.json").write_text(cluster.kubectl("get", kind, "-A", "-o", "json"))
    return folder


def _served(cluster: Cluster, group: str) -> bool:
    return not group or cluster.request("GET", f"/apis/{group}")[0] == 200


def leaned(state: ClusterState) -> dict[str, list[str]]:
    """Everything that is kept of a state, in an order that doesn't matter."""
    return {
        field: sorted(str(kept) for item in getattr(state, field) or () if (kept := lean(item)) is not None)
        for field in BY_FIELD
    }


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: f"{folder.parent.parent.name}-{folder.name}")
def test_an_api_server_and_a_folder_of_what_it_holds_say_the_same(
    cluster: Cluster, folder: Path, tmp_path: Path
) -> None:
    items = applied(cluster, folder)
    try:
        with watched(admin(cluster)) as watching:
            state = watching.now()
        assert isinstance(state, ClusterState)
        held = read_directory(dumped(cluster, tmp_path))
        assert leaned(held) == leaned(state)
        assert leaned(state) == leaned(read(admin(cluster)))
        told, wanted = observed(state), observed(held)
        assert told.settings == {**(wanted.settings or {}), "kubernetes.version": "v1.37.2"}
        assert wanted.content() == told.content()
        # And what its authors wrote says so, too, but for times and addresses that the server gives.
        authors = observed(read_directory(folder))
        assert [_timeless(offer) for offer in authors.offers] == [_timeless(offer) for offer in told.offers]
        assert (authors.sources, authors.foreign, authors.refused) == (told.sources, told.foreign, told.refused)
        assert authors.gateway
        assert told.gateway
        assert authors.gateway.addresses == told.gateway.addresses
    finally:
        cluster.kubectl("delete", "--wait=false", "-f", "-", stdin=yaml.safe_dump_all(items))


def _timeless(offer: Any) -> Any:
    return {**json.loads(json.dumps(offer, default=_fields)), "since": None}


def _fields(value: Any) -> Any:
    return {name: getattr(value, name) for name in value.__struct_fields__ if str(getattr(value, name)) != "UNSET"}


def test_hundreds_of_objects_come_in_pages(cluster: Cluster) -> None:
    space = namespace(cluster, "many")
    create(cluster, space, *(service(f"s{n}") for n in range(503)), *(pod(f"p{n}", f"s{n % 7}") for n in range(210)))
    connection = admin(cluster)
    state = read(connection)
    assert {f"many/s{n}" for n in range(503)} <= set(names(state.services))
    assert [f"many/p{n}" for n in sorted(range(210), key=str)] == names(state.pods)
    assert [("500", False), ("500", True)] == [(q["limit"], "continue" in q) for q in connection.lists("services")]
    assert [("100", False), ("100", True), ("100", True)] == [
        (q["limit"], "continue" in q) for q in connection.lists("pods")
    ]
    cluster.kubectl("delete", "pods,services", "--all", "-n", "many", "--wait=false")


def test_a_change_costs_no_list_and_what_nobody_looks_at_is_no_change(cluster: Cluster) -> None:
    space = namespace(cluster, "changes")
    connection = admin(cluster)
    with watched(connection) as watching:
        before = len(connection.lists())
        create(cluster, space, service("a", exported=False), pod("a-1", "a"))
        watching.state(lambda state: "changes/a" in names(state.services) and "changes/a-1" in names(state.pods))
        cluster.kubectl("-n", space, "label", "service", "a", "peermesh.io/export=true")
        watching.state(lambda state: [offer.service for offer in observed(state).offers] == ["a"])
        heard = len(watching.said)
        for n in range(5):
            cluster.kubectl("-n", space, "annotate", "--overwrite", "pod", "a-1", f"note={n}")
        cluster.kubectl("-n", space, "label", "service", "a", "peermesh.io/export-")
        watching.state(lambda state: not observed(state).offers)
        # The five notes came before the label went: had they been news, they would have been told.
        assert len(watching.said) <= heard + 2
        cluster.set_status(f"/api/v1/namespaces/{space}/pods/a-1", {"phase": "Succeeded"})
        watching.state(lambda state: not [name for name in names(state.pods) if name.startswith("changes/")])
        cluster.kubectl("-n", space, "delete", "service", "a")
        watching.state(lambda state: "changes/a" not in names(state.services))
        assert before == len(connection.lists())


def test_only_what_matters_crosses_the_wire(cluster: Cluster) -> None:
    space = namespace(cluster, "filtered")
    template = {"metadata": {"labels": {"app": "a"}}, "spec": pod("a", "a")["spec"]}
    for name, labels in (("kept-of-a-deployment", {"pod-template-hash": "1"}), ("alone", {})):
        replicas = {"selector": {"matchLabels": {"app": "a"}}, "template": template}
        create(
            cluster,
            space,
            {
                "apiVersion": "apps/v1",
                "kind": "ReplicaSet",
                "metadata": {"name": name, "labels": labels},
                "spec": replicas,
            },
        )
    create(cluster, space, {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "large"}, "data": {"a": "b"}})
    state = read(admin(cluster))
    assert ["filtered/alone"] == [name for name in names(state.workloads) if name.startswith("filtered/")]
    assert () == state.config_maps


def test_how_istio_is_set_up_is_seen_and_seen_to_change(cluster: Cluster) -> None:
    system = namespace(cluster, "istio-system")
    cluster.kubectl("label", "namespace", system, "topology.istio.io/network=west")
    with watched(admin(cluster)) as watching:
        cluster.apply(ISTIO, "-n", system)
        state = watching.state(lambda state: "istio.version" in (observed(state).settings or {}) and state.config_maps)
        settings = dict(observed(watching.state(lambda state: state.peer_authentications)).settings or {})
        assert settings.pop("syncer.version")
        assert {
            "istio.dnsCapture": "true",
            "istio.followsRoots": "false",
            "istio.mtls": "STRICT",
            "istio.multiroot": "false",
            "istio.network": "west",
            "istio.trustDomain": "west.acme.example",
            "istio.trustDomains": "east.acme.example,old.acme.example,west.acme.example",
            "istio.version": "1.31.0",
            "kubernetes.version": "v1.37.2",
        } == settings
        cluster.kubectl("-n", system, "delete", "peerauthentication", "default")
        watching.state(lambda state: (observed(state).settings or {}).get("istio.mtls") == "UNSET")
    assert state.istio
    cluster.kubectl("-n", system, "delete", "deployment,configmap", "istiod", "istio", "--ignore-not-found")


ISTIO = f"""
apiVersion: v1
kind: ConfigMap
metadata: {{name: istio}}
data:
  mesh: |
    trustDomain: west.acme.example
    trustDomainAliases: [old.acme.example]
    caCertificates: [{{trustDomains: [east.acme.example]}}]
    defaultConfig: {{proxyMetadata: {{ISTIO_META_DNS_CAPTURE: "true"}}}}
---
apiVersion: apps/v1
kind: Deployment
metadata: {{name: istiod}}
spec:
  selector: {{matchLabels: {{app: istiod}}}}
  template:
    metadata: {{labels: {{app: istiod}}}}
    spec: {{containers: [{{name: discovery, image: "docker.io/istio/pilot:1.31.0-distroless"}}]}}
---
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: {{name: default, labels: {{{PART_OF}: {MANAGER}}}}}
spec: {{mtls: {{mode: STRICT}}}}
"""


def test_both_versions_of_service_exports_are_read(pair: tuple[Cluster, Cluster]) -> None:
    marker = {"kind": "ServiceExport", "metadata": {"name": "a"}}
    for cluster, version in zip(pair, ("v1beta1", "v1alpha1"), strict=True):
        space = namespace(cluster, "reader-versions")
        create(cluster, space, {"apiVersion": f"multicluster.x-k8s.io/{version}", **marker})
        connection = admin(cluster)
        assert ["reader-versions/a"] == names(read(connection).service_exports)
        assert any(f"/multicluster.x-k8s.io/{version}/serviceexports" in path for path, _ in connection.asked)


def test_what_a_restricted_account_may_not_read_is_said_with_the_remedy(cluster: Cluster) -> None:
    namespace(cluster, "restricted")
    cluster.kubectl("-n", "restricted", "create", "serviceaccount", "nobody")
    token = cluster.service_account("restricted", "nobody")
    with pytest.raises(HumanNeeded) as caught:
        read(Connection(kubeconfig=cluster.write_kubeconfig("nobody", {"token": token})))
    assert "Forbidden" == caught.value.reason
    assert "GET /api/v1/services: 403 services is forbidden" in str(caught.value)
    assert "delivery/clusters/<cluster>/" in caught.value.remedy
    assert token not in str(caught.value)


def test_a_plan_from_a_context_is_the_plan_from_its_manifests(cluster: Cluster, tmp_path: Path) -> None:
    items = applied(cluster, FOLDERS[0])
    try:
        mesh = mesh_with_clusters(tmp_path / "mesh")
        dump = tmp_path / "dump"
        dump.mkdir()
        dumped(cluster, dump)
        done("plan", "--repo", mesh, "--from", f"west={dump}", "--write", tmp_path / "of-manifests")
        # As with kubectl: several files, of which one has the context.
        where = {"KUBECONFIG": f"{tmp_path / 'absent'}:{cluster.kubeconfig}"}
        said = process(
            "plan", "--repo", mesh, "--from", "west=context:west", "--write", tmp_path / "of-context", **where
        )
        assert 0 == said.code, said
        assert files_in(tmp_path / "of-manifests") == files_in(tmp_path / "of-context")
        assert "facts/exports/library/west/catalogue.yaml" in files_in(tmp_path / "of-context")
        said = process("plan", "--repo", mesh, "--from", "west=context:east", **where)
        assert 3 == said.code
        assert "context east: can't be used" in said.stderr
    finally:
        cluster.kubectl("delete", "--wait=false", "-f", "-", stdin=yaml.safe_dump_all(items))
