"""`init` and `cluster`: a repository that is valid at once, and clusters that are only written if the mesh stays so."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
import yaml

from tests.cli.calls import KEY, OTHER_KEY, THIRD_KEY, call, done, files_in, mesh_with_clusters
from tests.house.code import ROOT
from workers.cli.rendered import valid_tree
from workers.documents import paths
from workers.folder import read_folder


def test_init_makes_a_valid_repository_with_one_commit_of_the_person_on_main(tmp_path):
    folder = tmp_path / "acme"
    said = done("init", folder)
    assert "repository of mesh acme" in said
    assert "Ann Example main Begin mesh acme" == git(folder, "log", "--format=%an %D %s").replace("HEAD -> ", "")
    assert "" == git(folder, "status", "--porcelain")
    assert "acme" == valid_tree(read_folder(folder)).mesh.metadata.name
    assert "Nothing wrong" in done("check", "--repo", folder)


def test_init_copies_the_whole_template(tmp_path):
    done("init", tmp_path / "mesh")
    assert files_in(ROOT / "repo-template") == files_in(tmp_path / "mesh")


@pytest.mark.parametrize(("name", "mesh"), [("Not_A_Label", "mesh"), ("acme.git", "acme")])
def test_a_mesh_is_called_like_its_folder_if_that_can_be_a_name(tmp_path, name, mesh):
    assert f"repository of mesh {mesh}," in done("init", tmp_path / name)


def test_init_leaves_a_folder_alone_that_holds_something(tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("x")
    said = call("init", tmp_path / "mine")
    expected = f"error: {tmp_path}/mine: not an empty folder. Name one that doesn't exist, or an empty one."
    assert (1, "", expected) == (said.code, said.stdout, said.stderr.strip())
    assert ["mine/thesis.txt"] == list(files_in(tmp_path))


def test_init_writes_nothing_for_somebody_whom_git_does_not_know(tmp_path, person):
    person.write_text("[user]\nuseConfigOnly = true\n")
    said = call("init", tmp_path / "mesh")
    assert 1 == said.code
    assert said.stderr.startswith("error: git doesn't know who commits. `git config --global user.name")
    assert not (tmp_path / "mesh").exists()


def test_a_cluster_gets_its_document_its_delivery_and_folders_that_stay(tmp_path):
    mesh = mesh_with_clusters(tmp_path / "mesh", "west")
    written = set(files_in(mesh)) - set(files_in(ROOT / "repo-template"))
    assert {
        "mesh/clusters/west.yaml",
        "delivery/clusters/west/README.md",
        "delivery/clusters/west/namespaces.yaml",
        "delivery/clusters/west/rights.yaml",
        "delivery/clusters/west/settings.yaml",
        "delivery/clusters/west/syncer.yaml",
        *(f"delivery/redis/{name}" for name in ("README.md", "redis.conf", "users.acl")),
        *(f"delivery/flux/west/{name}.yaml" for name in ("applier", "source", "units")),
        "delivery/argocd/applicationsets.yaml",
        "delivery/argocd/projects/west.yaml",
        *(f"clusters/west/{folder}/README.md" for folder in ("gateway", "imports", "ca")),
    } == written
    assert not any(map(paths.is_rendered, written))
    assert "Nothing wrong" in done("check", "--repo", mesh)


def test_the_syncer_is_told_where_the_gateway_is(tmp_path):
    done("init", tmp_path / "mesh")
    done(
        *("cluster", "add", "edge", "--repo", tmp_path / "mesh", "--network", "n1", "--trust-domain", "edge.example"),
        *("--gateway-namespace", "gw", "--gateway-selector", "app=gw", "--gateway-selector", "tier=edge"),
        *("--gateway-port", "30443", "--gateway-address", "198.51.100.7:30443", "--label", "env=prod"),
        *("--locality", "eu/eu-1"),
    )
    told = yaml.safe_load((tmp_path / "mesh/delivery/clusters/edge/settings.yaml").read_text())["data"]
    assert {
        "PEERMESH_MESH": "mesh",
        "PEERMESH_CLUSTER": "edge",
        "PEERMESH_GATEWAY_NAMESPACE": "gw",
        "PEERMESH_GATEWAY_SELECTOR": "app=gw,tier=edge",
        "PEERMESH_GATEWAY_PORT": "30443",
        "PEERMESH_HOST_TEMPLATE": "{service}.{namespace}.mesh.internal",
        "PEERMESH_HOST_PATTERNS": "",
        "PEERMESH_KEY_SECRET": "peermesh-syncer-key",
        "PEERMESH_LEASE": "peermesh-syncer",
        "PEERMESH_LISTEN": "0.0.0.0:8080",
    } == told
    cluster = valid_tree(read_folder(tmp_path / "mesh")).clusters["edge"]
    assert ({"env": "prod"}, "eu/eu-1") == (cluster.metadata.labels, cluster.spec.locality)
    assert ("198.51.100.7:30443",) == cluster.spec.gateway.addresses


def test_namespaces_are_peoples_to_apply(tmp_path):
    mesh = mesh_with_clusters(tmp_path / "mesh", "west")
    documents = list(yaml.safe_load_all((mesh / "delivery/clusters/west/namespaces.yaml").read_text()))
    assert ["peermesh-imports", "peermesh-system"] == [document["metadata"]["name"] for document in documents]


@pytest.mark.parametrize(
    ("name", "network", "trust_domain", "told"),
    [
        ("east", "west", "east.example", "`spec.network` is west"),
        ("east", "east", "west.shop.example", "`spec.trustDomain` is west.shop.example"),
        ("east", "east", "a.west.shop.example", "is below west.shop.example"),
        ("east", "east", "under_score.example", "trustDomain"),
        ("west", "other", "other.example", "this cluster is there already. Edit the file."),
        ("Ea.st", "east", "east.example", "Ea.st"),
        ("../east", "east", "east.example", "../east"),
    ],
)
def test_a_cluster_that_the_mesh_cannot_have_is_refused_and_nothing_is_written(
    tmp_path, name, network, trust_domain, told
):
    mesh = mesh_with_clusters(tmp_path / "mesh", "west")
    before = files_in(tmp_path)
    said = call("cluster", "add", name, "--repo", mesh, "--network", network, "--trust-domain", trust_domain)
    assert (1, "") == (said.code, said.stdout)
    assert told in said.stderr
    assert before == files_in(tmp_path)


def test_a_mesh_that_is_not_valid_is_mended_first(tmp_path):
    mesh = mesh_with_clusters(tmp_path / "mesh", "west")
    (mesh / "mesh/mesh.yaml").write_text("kind: Mesh\n")
    said = call("cluster", "add", "east", "--repo", mesh, "--network", "east", "--trust-domain", "east.example")
    assert 1 == said.code
    assert said.stderr.startswith("error: mesh/mesh.yaml:1: `apiVersion` is missing.")


def test_what_stands_in_a_clusters_folder_already_is_left_alone(tmp_path):
    mesh = mesh_with_clusters(tmp_path / "mesh", "west")
    own = mesh / "delivery/clusters/east/README.md"
    own.parent.mkdir(parents=True)
    own.write_text("ours\n")
    done("cluster", "add", "east", "--repo", mesh, "--network", "east", "--trust-domain", "east.example")
    assert "ours\n" == own.read_text()


def test_trust_says_what_to_commit_and_is_idempotent(tmp_path):
    mesh = mesh_with_clusters(tmp_path / "mesh", "west")
    said = done("cluster", "trust", "west", KEY, "--repo", mesh)
    assert f"  git -C {mesh} add mesh/clusters/west.yaml && git -C {mesh} commit" in said
    assert "west: this key is trusted already.\n" == done("cluster", "trust", "west", KEY, "--repo", mesh)
    done("cluster", "trust", "west", OTHER_KEY, "--repo", mesh)
    assert (KEY, OTHER_KEY) == valid_tree(read_folder(mesh)).clusters["west"].spec.syncer.public_keys


@pytest.mark.parametrize(
    ("cluster", "key", "told"),
    [
        ("west", THIRD_KEY, "two keys are trusted already"),
        ("nowhere", KEY, "nowhere: no such cluster. There are: east, west."),
        ("east", "ed25519:short", "mesh/clusters/east.yaml"),
        ("east", KEY, "this key is also in mesh/clusters/"),
    ],
)
def test_a_key_that_cannot_be_trusted_is_refused(tmp_path, cluster, key, told):
    mesh = mesh_with_clusters(tmp_path / "mesh", "west", "east")
    for trusted in (KEY, OTHER_KEY):
        done("cluster", "trust", "west", trusted, "--repo", mesh)
    before = files_in(mesh)
    said = call("cluster", "trust", cluster, key, "--repo", mesh)
    assert (1, "") == (said.code, said.stdout)
    assert told in said.stderr
    assert before == files_in(mesh)


def git(folder: Path, *arguments: str) -> str:
    return subprocess.run(
        ["git", "-C", str(folder), *arguments], check=True, capture_output=True, text=True
    ).stdout.strip()
