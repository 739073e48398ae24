"""Every manifest that people apply is taken by a real API server: those of `deploy/`, and what `cluster add` writes.

On a cluster of its own, for it gets the kinds of everybody that a manifest is for.
"""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.cli.calls import done
from tests.cli.conftest import as_person
from tests.deploy.manifests import CENTER, DEPLOY
from tests.e2e import build, flux
from tests.e2e.kubernetes import Cluster, clusters, install_crds, wait_for_crds
from workers.settings import read_settings

NAMESPACES = ("istio-eastwest", "istio-system", "argocd", "monitoring", "peermesh-imports")
EDGE = ("syncer", "ca-agent")
"""Bases of what runs in the clusters; the second lies in a namespace of the first."""
_ARGO = ("application", "applicationset", "appproject")
_CERT_MANAGER = ("certificates", "issuers")
_PROMETHEUS = ("podmonitors", "prometheusrules")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with clusters(tmp_path_factory.mktemp("clusters"), "site") as (made,):
        install_crds(made)
        flux.install(made)
        folder = build.module_folder("crds-argocd", "github.com/argoproj/argo-cd/v3") / "manifests" / "crds"
        for kind in _ARGO:
            made.apply(folder / f"{kind}-crd.yaml")
        folder = build.module_folder("crds-operators", "github.com/prometheus-operator/prometheus-operator")
        for kind in _PROMETHEUS:
            made.apply(folder / "example" / "prometheus-operator-crd" / f"monitoring.coreos.com_{kind}.yaml")
        folder = build.module_folder("crds-operators", "github.com/cert-manager/cert-manager") / "deploy" / "crds"
        for kind in _CERT_MANAGER:
            made.apply(without_helm(folder / f"crd-{kind}.yaml"))
        wait_for_crds(made)
        for name in NAMESPACES:
            made.kubectl("create", "namespace", name)
        yield made


def without_helm(path: Path) -> str:
    """A CRD of a chart: what Helm would fill in is metadata that nobody here reads."""
    crd = yaml.safe_load(path.read_text())
    crd["metadata"] = {"name": crd["metadata"]["name"]}
    return json.dumps(crd)


def kustomized(folder: Path) -> str:
    """What Kustomize makes of a folder."""
    command = [str(build.build("kubectl")), "kustomize", str(folder)]
    return subprocess.run(command, check=True, capture_output=True, text=True, timeout=120).stdout


def taken(site: Cluster, manifests: str) -> list[dict[str, Any]]:
    """The objects as the server would keep them; it refuses unknown fields, and warnings count as refusals."""
    every = [one for one in yaml.safe_load_all(manifests) if one]
    for one in every:
        if one["kind"] == "Namespace":
            site.apply(json.dumps(one))
    said = site.kubectl(
        *("apply", "--server-side", "--dry-run=server", "--validate=strict", "--warnings-as-errors"),
        *("--output=name", "-f", "-"),
        stdin=manifests,
    )
    assert len(every) == len(said.splitlines())
    return every


def overlay(folder: Path) -> Path:
    """The one of the README, on this checkout."""
    text = (CENTER / "README.md").read_text()
    found = re.search(r"```yaml\n(# kustomization.yaml\n.*?)```", text, re.DOTALL)
    assert found
    kustomization = yaml.safe_load(found[1])
    to = Path("../" * len(folder.parts[1:])) / DEPLOY.relative_to("/")

    def here(url: str) -> str:
        return str(to / url.partition("//deploy/")[2].partition("?")[0])

    for key in ("resources", "components"):
        kustomization[key] = [here(url.partition("://")[2]) for url in kustomization[key]]
    [image] = kustomization["images"]
    image["digest"] = f"sha256:{'0' * 64}"
    (folder / "kustomization.yaml").write_text(yaml.safe_dump(kustomization))
    (folder / "users.acl").write_text("user default off\n")
    return folder


def test_the_centre_is_taken_as_it_stands(site: Cluster) -> None:
    kinds = {one["kind"] for one in taken(site, kustomized(CENTER))}
    assert {"Deployment", "StatefulSet", "NetworkPolicy", "PodDisruptionBudget", "PriorityClass"} <= kinds


def test_the_overlay_of_the_readme_adds_what_it_says(site: Cluster, tmp_path: Path) -> None:
    every = taken(site, kustomized(overlay(tmp_path)))
    named = {(one["kind"], one["metadata"]["name"]): one for one in every}
    assert {("Deployment", "peermesh-webhook"), ("Deployment", "peermesh-signer")} <= named.keys()
    assert ("Certificate", "peermesh-redis") in named
    assert {"peermesh-center"} == {one["metadata"]["namespace"] for one in every if "namespace" in one["metadata"]}
    worker = named["Deployment", "peermesh-worker"]["spec"]["template"]["spec"]["containers"][0]
    assert f"registry.example/peermesh@sha256:{'0' * 64}" == worker["image"]
    settings = named["ConfigMap", worker["envFrom"][0]["configMapRef"]["name"]]["data"]
    assert "https://git.example/platform/mesh.git" == settings["PEERMESH_REPO"]
    assert "0.0.0.0:8080" == settings["PEERMESH_METRICS"]
    redis = named["StatefulSet", "peermesh-redis"]["spec"]["template"]["spec"]["volumes"]
    users = [one["secret"]["name"] for volume in redis for one in volume["projected"]["sources"] if "secret" in one]
    assert {users[0]} == {name for kind, name in named if kind == "Secret"}


def test_the_patch_of_the_readme_gives_the_signer_a_token_in_place_of_a_key(site: Cluster, tmp_path: Path) -> None:
    path, text = overlay(tmp_path) / "kustomization.yaml", (CENTER / "README.md").read_text()
    patch = re.search(r"```yaml\n# kustomization.yaml, beside.*?\n(.*?)```", text, re.DOTALL)
    assert patch
    path.write_text(path.read_text() + patch[1].replace("sha256:…", f"sha256:{'0' * 64}"))
    named = {(one["kind"], one["metadata"]["name"]): one for one in taken(site, kustomized(tmp_path))}
    pod = named["Deployment", "peermesh-signer"]["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    told = {one["name"]: one["value"] for one in container["env"] if "value" in one}
    read = read_settings({**told, "PEERMESH_REPO": "x", "PEERMESH_BROKER_URL": "redis://x"})
    place = read.signer_place
    assert ("pkcs11", "mesh", "root-2026") == (read.signer, place.token, place.label)
    mounts = {one["name"]: Path(one["mountPath"]) for one in container["volumeMounts"]}
    (files,) = (one["secret"]["items"] for one in pod["volumes"] if one["name"] == "key")
    assert {place.issuers, place.pin} == {mounts["key"] / one["path"] for one in files}
    assert place.module is not None
    assert mounts["module"] == place.module.parent
    metadata = {"name": "signer", "namespace": "peermesh-center"}
    pods = {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": pod}
    site.apply(json.dumps(pods), "--dry-run=server", "--validate=strict")


def test_what_runs_in_clusters_is_taken(site: Cluster) -> None:
    for base in EDGE:
        taken(site, kustomized(DEPLOY / base))


def test_rules_and_monitors_are_taken_by_an_api_server_with_the_prometheus_operator(site: Cluster) -> None:
    every = taken(site, kustomized(DEPLOY / "prometheus" / "operator"))
    assert ["PodMonitor", "PrometheusRule"] == [one["kind"] for one in every]


def test_every_pod_passes_the_restricted_standard(site: Cluster, tmp_path: Path) -> None:
    folder = overlay(tmp_path)
    every = [
        *taken(site, kustomized(folder)),
        *(one for base in EDGE for one in taken(site, kustomized(DEPLOY / base))),
    ]
    pods = {one["metadata"]["name"]: one for one in every if one["kind"] in {"Deployment", "StatefulSet"}}
    for name, one in pods.items():
        namespace = one["metadata"]["namespace"]
        labels = json.loads(site.kubectl("get", "namespace", namespace, "-o", "json"))["metadata"]["labels"]
        assert "restricted" == labels["pod-security.kubernetes.io/enforce"]
        # Refused here, not only warned about as it is for what makes pods.
        spec = {**one["spec"]["template"]["spec"], "priorityClassName": None}
        claims = [claim["metadata"]["name"] for claim in one["spec"].get("volumeClaimTemplates", ())]
        spec["volumes"] += [{"name": claim, "emptyDir": {}} for claim in claims]
        pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "namespace": namespace}, "spec": spec}
        site.apply(json.dumps(pod), "--dry-run=server", "--validate=strict")
    centre = {"peermesh-receive", "peermesh-worker", "peermesh-webhook", "peermesh-signer", "peermesh-redis"}
    assert {*centre, "peermesh-syncer", "peermesh-ca-agent"} == set(pods)


def test_a_pod_that_may_write_its_root_as_root_is_refused_there(site: Cluster) -> None:
    site.apply((CENTER / "namespace.yaml").read_text())
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "loose", "namespace": "peermesh-center"},
        "spec": {"containers": [{"name": "loose", "image": "loose"}]},
    }
    with pytest.raises(AssertionError, match="violates PodSecurity"):
        site.apply(json.dumps(pod), "--dry-run=server")


def test_all_that_init_and_cluster_add_write_is_taken(
    site: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    as_person(tmp_path, monkeypatch)
    mesh = tmp_path / "mesh"
    done("init", mesh)
    for name in ("west", "east"):
        done(
            *("cluster", "add", name, "--repo", mesh, "--remote", "https://git.example/mesh.git"),
            *("--network", name, "--trust-domain", f"{name}.acme.example", "--trust"),
        )
    manifests = [path for path in sorted((mesh / "delivery").rglob("*.yaml")) if path.name != "kustomization.yaml"]
    # Namespaces first, as people are told to.
    for path in sorted(manifests, key=lambda path: path.name != "namespaces.yaml"):
        taken(site, path.read_text())
    folders = {path.relative_to(mesh / "delivery").parts[0] for path in manifests}
    assert {"argocd", "clusters", "flux"} <= folders
