"""The syncer's manifests: what `cluster add` writes, what `deploy/syncer/` has, and what the syncer reads, agree."""

from __future__ import annotations

import re
from collections.abc import Mapping
from itertools import product
from typing import Any

import pytest
import yaml

from syncer import settings
from syncer.cluster.resources import RESOURCES
from syncer.settings import Api, KeySecret, Lease, read_settings
from tests.house.code import ROOT
from tests.meshes import mesh
from workers.cli.delivery.syncer import syncer_base, syncer_files
from workers.documents.kinds import Cluster, ClusterSpec, NameAndLabels

BASE = ROOT / "deploy" / "syncer"
FOLDER = "delivery/clusters/west"
WEST = Cluster(metadata=NameAndLabels(name="west"), spec=ClusterSpec(network="west", trust_domain="west.acme.example"))


def written() -> Mapping[str, bytes]:
    return syncer_files(mesh(), WEST)


def objects(*names: str) -> list[dict[str, Any]]:
    """What these files of a cluster hold."""
    return [one for name in names for one in yaml.safe_load_all(written()[f"{FOLDER}/{name}"])]


def of_kind(kind: str) -> dict[str, Any]:
    found = [one for one in objects("settings.yaml", "syncer.yaml") if one["kind"] == kind]
    assert 1 == len(found)
    return found[0]


@pytest.mark.golden
def test_the_base_of_kustomize_is_written_by_the_same_functions(golden: bool) -> None:
    if golden:
        BASE.mkdir(parents=True, exist_ok=True)
        for name, data in syncer_base().items():
            (BASE / name).write_bytes(data)
    assert syncer_base() == {path.name: path.read_bytes() for path in BASE.glob("*.yaml")}


def test_a_cluster_gets_what_the_base_has_and_its_own_settings() -> None:
    own = {name.removeprefix(f"{FOLDER}/"): data for name, data in written().items() if name.endswith(".yaml")}
    base = {name: data for name, data in syncer_base().items() if name != "kustomization.yaml"}
    assert base | {"settings.yaml": b""} == own | {"settings.yaml": b""}
    assert yaml.safe_load(base["settings.yaml"])["data"].items() <= of_kind("ConfigMap")["data"].items()


def test_whatever_is_read_may_be_read_and_written_may_be_only_the_lease_and_the_key() -> None:
    rules = [rule for role in objects("rights.yaml") for rule in role.get("rules", ())]
    may = {one for rule in rules for one in product(rule["apiGroups"], rule["resources"], rule["verbs"])}
    read = {(resource.group, resource.plural, verb) for resource in RESOURCES for verb in ("list", "watch")}
    own = {(*one, verb) for one in (("coordination.k8s.io", "leases"), ("", "secrets")) for verb in ("get", "update")}
    assert read | own == may
    names = [rule.get("resourceNames") for rule in rules if {"leases", "secrets"} & {*rule["resources"]}]
    assert [["peermesh-syncer"], ["peermesh-syncer-key"]] == names


def test_a_pod_understands_what_it_is_told() -> None:
    container = of_kind("Deployment")["spec"]["template"]["spec"]["containers"][0]
    given = {
        "PEERMESH_POD_NAMESPACE": "peermesh-system",
        "PEERMESH_POD_NAME": "p",
        "PEERMESH_BROKER_URL": "redis://x/0",
    }
    assert given.keys() == {one["name"] for one in container["env"]}
    told = read_settings(of_kind("ConfigMap")["data"] | given)
    assert Api() == told.source
    assert KeySecret(namespace="peermesh-system", name=named("Secret")) == told.key
    assert Lease(namespace="peermesh-system", name=named("Lease"), holder="p", duration=15) == told.lease
    assert told.listen is not None
    assert told.listen[1] == container["ports"][0]["containerPort"]


def named(kind: str) -> str:
    return str(of_kind(kind)["metadata"]["name"])


def test_a_pod_may_do_nothing_to_its_node() -> None:
    """The "restricted" Pod Security Standard, which its namespace enforces, and a root that can't be written."""
    pod = of_kind("Deployment")["spec"]["template"]["spec"]
    container = pod["containers"][0]
    assert pod["securityContext"]["runAsNonRoot"]
    assert {"type": "RuntimeDefault"} == pod["securityContext"]["seccompProfile"]
    assert {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    } == container["securityContext"]


def test_one_replica_goes_at_a_time_and_the_other_takes_over() -> None:
    deployment, budget = of_kind("Deployment"), of_kind("PodDisruptionBudget")
    assert (2, 1) == (deployment["spec"]["replicas"], budget["spec"]["maxUnavailable"])


@pytest.mark.parametrize("kind", ["PodDisruptionBudget", "NetworkPolicy", "Deployment"])
def test_what_selects_pods_selects_the_syncers(kind: str) -> None:
    pods = of_kind("Deployment")["spec"]["template"]["metadata"]["labels"]
    spec = of_kind(kind)["spec"]
    selected = (spec.get("selector") or spec["podSelector"])["matchLabels"]
    assert selected
    assert selected.items() <= pods.items()


def test_it_may_reach_what_it_asks_unless_it_is_told_another_port() -> None:
    open_to = {port["port"] for rule in of_kind("NetworkPolicy")["spec"]["egress"] for port in rule["ports"]}
    told = read_settings(
        of_kind("ConfigMap")["data"] | {"PEERMESH_POD_NAMESPACE": "x", "PEERMESH_BROKER_URL": "redis://x/0"}
    )
    assert told.probing.pods
    assert {told.probing.port, told.probing.istiod_port} <= open_to


def test_no_password_is_written() -> None:
    assert "data" not in of_kind("Secret")
    assert not [name for name, data in written().items() if re.search("://(?!USER:PASSWORD@|…)", data.decode())]


def test_the_readme_names_every_file_and_only_settings_that_there_are() -> None:
    text = written()[f"{FOLDER}/README.md"].decode()
    files = {name.removeprefix(f"{FOLDER}/") for name in written()} - {"README.md"}
    assert files == set(re.findall(r"^\| `([a-z]+\.yaml)` \|", text, re.MULTILINE))
    assert set(re.findall(r"PEERMESH_[A-Z_]+", text)) <= {setting.name for setting in settings.SETTINGS}
