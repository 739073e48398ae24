"""The CA agent's manifests: what `cluster add` writes, what `deploy/ca-agent/` has, and what the agent is told and may
do, agree.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from itertools import product
from pathlib import Path
from typing import Any

import pytest
import yaml

from syncer.agent import settings
from syncer.agent.names import AGENT, OWN_SECRET
from syncer.agent.settings import read_settings
from syncer.settings import Api
from tests.cli.calls import done, files_in
from tests.house.code import ROOT
from tests.meshes import mesh
from workers.cli.delivery.agent import agent_base, agent_files
from workers.cli.delivery.agent_pods import agent_pod_manifests
from workers.cli.delivery.agent_rights import agent_rights
from workers.cli.delivery.syncer_pods import pod_manifests
from workers.documents.kinds import Cluster, ClusterSpec, NameAndLabels
from workers.documents.trust import ClusterTrust

BASE = ROOT / "deploy" / "ca-agent"
README = Path(__file__).parent / "golden" / "ca-agent" / "README.md"
FOLDER = "delivery/clusters/west/ca-agent"


def west(**trust: Any) -> Cluster:
    spec = ClusterSpec(network="west", trust_domain="west.acme.example", trust=ClusterTrust(**trust))
    return Cluster(metadata=NameAndLabels(name="west"), spec=spec)


def written() -> Mapping[str, bytes]:
    return {path.removeprefix(f"{FOLDER}/"): data for path, data in agent_files(mesh(), west()).items()}


def objects() -> list[dict[str, Any]]:
    files = [data for name, data in written().items() if name.endswith(".yaml")]
    return [one for data in files for one in yaml.safe_load_all(data)]


def of_kind(kind: str) -> list[dict[str, Any]]:
    return [one for one in objects() if one["kind"] == kind]


@pytest.mark.golden
def test_the_base_of_kustomize_is_written_by_the_same_functions(golden: bool) -> None:
    if golden:
        BASE.mkdir(parents=True, exist_ok=True)
        for name, data in agent_base().items():
            (BASE / name).write_bytes(data)
    assert agent_base() == {path.name: path.read_bytes() for path in BASE.glob("*.yaml")}


def test_a_cluster_gets_what_the_base_has_and_its_own_settings() -> None:
    own = {name: data for name, data in written().items() if name.endswith(".yaml")}
    base = {name: data for name, data in agent_base().items() if name != "kustomization.yaml"}
    assert base | {"settings.yaml": b""} == own | {"settings.yaml": b""}
    told, of_all = (yaml.safe_load(files["settings.yaml"])["data"] for files in (own, base))
    assert of_all.items() <= told.items()
    assert {"PEERMESH_MESH", "PEERMESH_CLUSTER", "PEERMESH_TRUST_DOMAIN"} == told.keys() - of_all.keys()


@pytest.mark.golden
def test_the_readme_is_as_it_was_reviewed(golden: bool) -> None:
    if golden:
        README.write_bytes(written()["README.md"])
    assert written()["README.md"] == README.read_bytes()


def test_syncer_and_agent_run_alike_but_for_what_is_their_own() -> None:
    """A pod of either kind is built of the same lines, so what is said of one of them once holds for both."""
    pods = [
        one["spec"]["template"]["spec"]
        for data in (agent_pod_manifests(), pod_manifests())
        for one in yaml.safe_load_all(data)
        if one["kind"] == "Deployment"
    ]
    agent, syncer = ({**pod, "containers": None, "serviceAccountName": None} for pod in pods)
    assert {"topologySpreadConstraints"} == syncer.keys() - agent.keys()
    assert agent == {key: value for key, value in syncer.items() if key in agent}
    mine, its = (pod["containers"][0] for pod in pods)
    assert {"command", "env", "envFrom", "name", "resources"} == {key for key in its if mine[key] != its[key]}


def test_only_a_cluster_that_asks_for_its_certificates_gets_an_agent() -> None:
    without = Cluster(metadata=NameAndLabels(name="west"), spec=ClusterSpec(network="w", trust_domain="w.example"))
    sealing = "sha256:" + 64 * "0"
    assert {} == agent_files(mesh(), without)
    assert {} == agent_files(mesh(), west(delivery="sealed-secrets", sealing=sealing))
    assert {"README.md", "agent.yaml", "rights.yaml", "settings.yaml"} == {*written()}


@pytest.mark.parametrize("flags", [(), ("--trust",)], ids=["without", "with"])
def test_cluster_add_writes_the_agent_if_it_is_asked_to(tmp_path: Path, flags: tuple[str, ...]) -> None:
    done("init", tmp_path / "mesh")
    done(
        *("cluster", "add", "west", "--repo", tmp_path / "mesh"),
        *("--network", "west", "--trust-domain", "west.acme.example", *flags),
    )
    there = {path.removeprefix(f"{FOLDER}/") for path in files_in(tmp_path / "mesh") if path.startswith(FOLDER)}
    assert ({*written()} if flags else set()) == there
    assert "Nothing wrong" in done("check", "--repo", tmp_path / "mesh")


def test_a_pod_understands_what_it_is_told() -> None:
    (told,) = [one for one in of_kind("ConfigMap") if one["metadata"]["name"] == AGENT]
    (deployment,) = of_kind("Deployment")
    container = deployment["spec"]["template"]["spec"]["containers"][0]
    assert ["PEERMESH_BROKER_URL"] == [one["name"] for one in container["env"]]
    read = read_settings(told["data"] | {"PEERMESH_BROKER_URL": "redis://x/0"})
    assert Api() == read.api
    assert ("west", "west.acme.example") == (read.terms.cluster, read.terms.trust_domain)
    assert read.listen is not None
    assert read.listen[1] == container["ports"][0]["containerPort"]


def test_a_pod_may_do_nothing_to_its_node() -> None:
    """The "restricted" Pod Security Standard, which its namespace enforces, and a root that can't be written."""
    (deployment,) = of_kind("Deployment")
    pod = deployment["spec"]["template"]["spec"]
    assert pod["securityContext"]["runAsNonRoot"]
    assert {"type": "RuntimeDefault"} == pod["securityContext"]["seccompProfile"]
    assert {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    } == pod["containers"][0]["securityContext"]


def test_there_is_one_agent_at_a_time() -> None:
    (deployment,) = of_kind("Deployment")
    assert (1, {"type": "Recreate"}) == (deployment["spec"]["replicas"], deployment["spec"]["strategy"])


def test_it_may_touch_nothing_but_its_own_objects_and_cacerts() -> None:
    rules = [(role["metadata"]["namespace"], rule) for role in of_kind("Role") for rule in role["rules"]]
    assert [] == of_kind("ClusterRole")
    may = {
        (namespace, name, *one)
        for namespace, rule in rules
        for name in rule.get("resourceNames", [""])
        for one in product(rule["resources"], rule["verbs"])
    }
    own, istio = "peermesh-system", "istio-system"
    assert {
        *((own, OWN_SECRET, "secrets", verb) for verb in ("get", "update")),
        *((own, "peermesh-ca-status", "configmaps", verb) for verb in ("get", "update")),
        (own, "peermesh-cacerts", "configmaps", "get"),
        *((istio, "cacerts", "secrets", verb) for verb in ("get", "update")),
        (istio, "", "secrets", "create"),
        *((istio, name, "configmaps", "get") for name in ("istio-ca-root-cert", "istio-ca-crl")),
        (istio, "", "pods", "list"),
    } == may


def test_whatever_is_created_goes_through_a_policy_that_names_this_account() -> None:
    creating = [right for right in agent_rights() if "create" in right.verbs]
    assert [("istio-system", "secrets")] == [(right.namespace, right.resource) for right in creating]
    (policy,), (binding,) = of_kind("ValidatingAdmissionPolicy"), of_kind("ValidatingAdmissionPolicyBinding")
    (account,) = of_kind("ServiceAccount")
    named = f"system:serviceaccount:{account['metadata']['namespace']}:{account['metadata']['name']}"
    assert f'"{named}"' in policy["spec"]["matchConditions"][0]["expression"]
    assert (policy["metadata"]["name"], ["Deny"], "Fail") == (
        binding["spec"]["policyName"],
        binding["spec"]["validationActions"],
        policy["spec"]["failurePolicy"],
    )


@pytest.mark.parametrize("kind", ["NetworkPolicy", "Deployment"])
def test_what_selects_pods_selects_the_agent(kind: str) -> None:
    (deployment,), (one,) = of_kind("Deployment"), of_kind(kind)
    pods = deployment["spec"]["template"]["metadata"]["labels"]
    selected = (one["spec"].get("selector") or one["spec"]["podSelector"])["matchLabels"]
    assert selected
    assert selected.items() <= pods.items()


def test_no_key_and_no_password_is_written() -> None:
    assert [False] == ["data" in one for one in of_kind("Secret")]
    assert not [name for name, data in written().items() if b"://" in data]


def test_the_readme_names_every_file_and_only_settings_that_there_are() -> None:
    text = written()["README.md"].decode()
    assert {*written()} - {"README.md"} == set(re.findall(r"^\| `([a-z]+\.yaml)` \|", text, re.MULTILINE))
    assert set(re.findall(r"PEERMESH_[A-Z_]+", text)) <= {setting.name for setting in settings.SETTINGS}
