"""What `cluster add` writes for reconcilers: the repository without secrets, and rights for what is rendered."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests import meshes
from tests.cli.calls import call, done, files_in
from workers.cli.delivery.origin import PLACEHOLDER, reconcilers_url
from workers.cli.delivery.units import units_of
from workers.documents.paths import IMPORTS_NAMESPACE
from workers.documents.trust import ClusterTrust
from workers.folder import read_folder
from workers.render import RENDERERS
from workers.tree import Tree, read_tree

HTTPS = "https://git.acme.example/platform/mesh.git"


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        (HTTPS, HTTPS),
        ("https://robot:s3cret@git.acme.example:8443/mesh.git", "https://git.acme.example:8443/mesh.git"),
        ("https://ghp_token@git.acme.example/mesh.git", "https://git.acme.example/mesh.git"),
        ("ssh://git@git.acme.example:2222/mesh.git", "ssh://git@git.acme.example:2222/mesh.git"),
        ("ssh://git:s3cret@git.acme.example/mesh.git", "ssh://git@git.acme.example/mesh.git"),
        ("git@git.acme.example:platform/mesh.git", "ssh://git@git.acme.example/platform/mesh.git"),
        ("git.acme.example:/srv/mesh.git", "ssh://git.acme.example/srv/mesh.git"),
    ],
)
def test_an_origin_becomes_an_address_that_reconcilers_take_without_its_secrets(tmp_path, url, expected):
    assert expected == reconcilers_url(url)
    mesh = added(tmp_path, origin=url)
    assert {expected} == addresses(mesh)
    assert not any(b"s3cret" in data or b"ghp_token" in data for data in files_in(mesh).values())


@pytest.mark.parametrize("origin", ["", "/srv/mesh.git", "../mesh.git", "file:///srv/mesh.git"])
def test_without_an_origin_that_a_cluster_reaches_a_placeholder_says_so_and_the_command_too(tmp_path, origin):
    said: list[str] = []
    mesh = added(tmp_path, origin=origin, said=said)
    assert {PLACEHOLDER} == addresses(mesh)
    assert f"delivery/flux/west/ and delivery/argocd/ in place of {PLACEHOLDER}." in said[0]
    assert "Nothing wrong" in done("check", "--repo", mesh)


def test_what_is_named_wins_over_the_origin(tmp_path):
    assert {HTTPS} == addresses(added(tmp_path, "--remote", HTTPS, origin="https://elsewhere.example/x.git"))


def test_a_remote_that_no_reconciler_could_fetch_from_is_refused_and_nothing_is_written(tmp_path):
    mesh = tmp_path / "mesh"
    done("init", mesh)
    before = files_in(mesh)
    said = call(*add(mesh, "west"), "--remote", "/srv/mesh.git")
    assert 1 == said.code
    assert said.stderr.startswith("error: /srv/mesh.git: not a URL that a reconciler in a cluster can fetch from.")
    assert before == files_in(mesh)


def test_a_second_cluster_leaves_what_the_first_brought_as_people_edited_it(tmp_path):
    mesh = added(tmp_path, origin=HTTPS)
    sets = mesh / "delivery/argocd/applicationsets.yaml"
    sets.write_text(sets.read_text().replace("3m", "9m"))
    before = reconcilers_files(mesh)
    done(*add(mesh, "east"))
    after = reconcilers_files(mesh)
    assert before == {path: data for path, data in after.items() if path in before}
    assert {"delivery/flux/east/units.yaml", "delivery/argocd/projects/east.yaml"} < after.keys() - before.keys()


def test_the_kinds_that_may_be_applied_are_those_that_are_rendered(tmp_path):
    [cluster] = tree(added(tmp_path, origin=HTTPS)).clusters.values()
    delivered = {
        delivery: meshes.cluster("west", trust=ClusterTrust(delivery=delivery))
        for delivery in ("request", "sealed-secrets")
    }
    made = {delivery: {kind for unit in units_of(one) for kind in unit.kinds} for delivery, one in delivered.items()}
    istio = set(RENDERERS) - {"cacerts"}
    assert {"request": istio | {"ConfigMap"}, "sealed-secrets": istio | {"SealedSecret"}} == made
    assert made["request"] == {kind for unit in units_of(cluster) for kind in unit.kinds}


def test_each_unit_may_touch_one_namespace_and_nothing_of_the_cluster(tmp_path):
    mesh = added(tmp_path, "--gateway-namespace", "gw", origin=HTTPS)
    applier = objects(mesh / "delivery/flux/west/applier.yaml")
    assert {"ServiceAccount", "Role", "RoleBinding"} == {item["kind"] for item in applier}
    rules = {item["metadata"]["namespace"]: item["rules"][0]["resources"] for item in applier if item["kind"] == "Role"}
    assert {
        "gw": ["gateways"],
        IMPORTS_NAMESPACE: ["destinationrules", "serviceentries"],
        "peermesh-system": ["configmaps"],
    } == rules
    for project in objects(mesh / "delivery/argocd/projects/west.yaml"):
        [destination] = project["spec"]["destinations"]
        assert ("west", []) == (destination["name"], project["spec"]["clusterResourceWhitelist"])
        kinds = [kind["kind"] for kind in project["spec"]["namespaceResourceWhitelist"]]
        allowed = {
            "gw": ["Gateway"],
            IMPORTS_NAMESPACE: ["DestinationRule", "ServiceEntry"],
            "peermesh-system": ["ConfigMap"],
        }
        assert allowed[destination["namespace"]] == kinds


def test_what_brings_the_certificate_is_one_object_that_nobody_may_delete(tmp_path):
    mesh = added(tmp_path, origin=HTTPS)
    [role] = [
        item
        for item in objects(mesh / "delivery/flux/west/applier.yaml")
        if (item["kind"], item["metadata"]["name"]) == ("Role", "peermesh-applier-ca")
    ]
    create, rest = role["rules"]
    assert (["create"], ["get", "patch"]) == (create["verbs"], rest["verbs"])
    assert ([""], ["configmaps"], ["peermesh-cacerts"]) == (rest["apiGroups"], rest["resources"], rest["resourceNames"])


def test_units_prune_wait_and_outlive_what_applied_them(tmp_path):
    mesh = added(tmp_path, origin=HTTPS)
    for item in objects(mesh / "delivery/flux/west/units.yaml"):
        spec, unit = item["spec"], item["metadata"]["name"].removeprefix("peermesh-west-")
        assert (True, True, "Orphan") == (spec["prune"], spec["wait"], spec["deletionPolicy"])
        assert (f"./clusters/west/{unit}", f"peermesh-applier-{unit}") == (spec["path"], spec["serviceAccountName"])
        assert (mesh / spec["path"] / "README.md").exists()
    for item in objects(mesh / "delivery/argocd/applicationsets.yaml"):
        spec = item["spec"]
        assert {"applicationsSync": "create-update", "preserveResourcesOnDeletion": True} == spec["syncPolicy"]
        automated = spec["template"]["spec"]["syncPolicy"]["automated"]
        assert {"prune": True, "selfHeal": True, "allowEmpty": True} == automated


def test_everything_is_labelled_so_that_the_syncer_finds_what_applies(tmp_path):
    mesh = added(tmp_path, origin=HTTPS)
    found = [item for path in reconcilers_files(mesh) for item in objects(mesh / path)]
    found += [item["spec"]["template"] for item in found if item["kind"] == "ApplicationSet"]
    assert {"peermesh"} == {item["metadata"]["labels"]["app.kubernetes.io/part-of"] for item in found}


def added(folder: Path, *options: str, origin: str, said: list[str] | None = None) -> Path:
    """A mesh with cluster west, whose checkout has this origin."""
    mesh = folder / "mesh"
    done("init", mesh)
    if origin:
        subprocess.run(["git", "-C", mesh, "remote", "add", "origin", origin], check=True)
    told = done(*add(mesh, "west"), *options)
    if said is not None:
        said.append(told)
    return mesh


def add(mesh: Path, name: str) -> list[object]:
    return ["cluster", "add", name, "--repo", mesh, "--network", name, "--trust-domain", f"{name}.acme.example"]


def objects(path: Path) -> list[dict[str, Any]]:
    return list(yaml.safe_load_all(path.read_text()))


def reconcilers_files(mesh: Path) -> dict[str, bytes]:
    folders = ("delivery/flux/", "delivery/argocd/")
    return {path: data for path, data in files_in(mesh).items() if path.startswith(folders)}


def addresses(mesh: Path) -> set[str]:
    """Every address of the repository that the manifests name."""
    found = {objects(mesh / "delivery/flux/west/source.yaml")[0]["spec"]["url"]}
    for item in objects(mesh / "delivery/argocd/applicationsets.yaml"):
        found.add(item["spec"]["template"]["spec"]["source"]["repoURL"])
        found |= {generator["git"]["repoURL"] for generator in item["spec"]["generators"]}
    for item in objects(mesh / "delivery/argocd/projects/west.yaml"):
        found |= set(item["spec"]["sourceRepos"])
    return found


def tree(mesh: Path) -> Tree:
    found, problems = read_tree(read_folder(mesh))
    assert () == problems
    assert found is not None
    return found
