"""The manifests of the centre: they tell processes what these read, and nobody gets more than is needed.

Whether an API server takes them is asked in `tests/e2e/test_deploy.py`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from tests.deploy.manifests import CENTER, DEPLOY, documents, of_kind, workloads
from tests.house.prose import read
from workers import settings
from workers.app import HARD_LIMIT
from workers.cli.delivery.edge_pods import IMAGE
from workers.cli.delivery.redis import redis_files
from workers.settings import read_settings

KUSTOMIZATION = yaml.safe_load(read(CENTER / "kustomization.yaml"))
README = read(CENTER / "README.md")
OURS = sorted(set(workloads()) - {"peermesh-redis"})


def told(name: str) -> dict[str, str]:
    """The environment of a container, secrets as the README has them."""
    [container] = workloads()[name]["containers"]
    literals = dict(one.split("=", 1) for one in KUSTOMIZATION["configMapGenerator"][0]["literals"])
    found = dict(literals) if container.get("envFrom") else {}
    for one in container.get("env", ()):
        source = one.get("valueFrom", {})
        if "secretKeyRef" in source:
            found[one["name"]] = "rediss://user:password@peermesh-redis:6379/0?ssl_ca_certs=/etc/peermesh/redis/ca.crt"
        elif "configMapKeyRef" in source:
            found[one["name"]] = literals[source["configMapKeyRef"]["key"]]
        else:
            found[one["name"]] = one["value"]
    return found


@pytest.mark.parametrize("name", OURS)
def test_every_variable_is_one_that_is_read_and_every_file_is_mounted(name):
    environment = told(name)
    assert set() == environment.keys() - {setting.name for setting in settings.SETTINGS}
    read_settings(environment)
    [container] = workloads()[name]["containers"]
    mounts = tuple(f"{mount['mountPath']}/" for mount in container["volumeMounts"])
    paths = [value for value in environment.values() if value.startswith("/")]
    assert [] == [path for path in paths if not path.startswith(mounts)]


def test_every_setting_that_the_readme_names_is_one_that_is_read():
    named = set(re.findall(r"PEERMESH_[A-Z_]+", README))
    assert set() == named - {setting.name for setting in settings.SETTINGS}


def test_the_border_is_told_nothing_of_git_and_nobody_else_than_the_worker_has_its_credentials():
    assert {"PEERMESH_BORDER_BROKER_URL", "PEERMESH_METRICS"} == told("peermesh-receive").keys()
    holders = {name for name, pod in workloads().items() if "peermesh-git" in secrets(pod)}
    assert {"peermesh-worker"} == holders


def test_the_signer_alone_has_the_key_and_it_has_nothing_of_the_worker_or_a_forge():
    holders = {name for name, pod in workloads().items() if "peermesh-signer-key" in secrets(pod)}
    assert {"peermesh-signer"} == holders
    signer = workloads()["peermesh-signer"]
    assert {"peermesh-signer", "peermesh-signer-key", "peermesh-signer-git", "peermesh-redis-tls"} == set(
        secrets(signer)
    )
    environment = told("peermesh-signer")
    assert [] == [name for name in environment if "FORGE" in name or "WEBHOOK" in name or "POKE" in name]
    robot = told("peermesh-worker")
    for name in ("PEERMESH_REPO", "PEERMESH_AUTHOR_NAME", "PEERMESH_AUTHOR_EMAIL"):
        assert robot[name] == environment[name]
    assert robot["PEERMESH_GIT_USER"] != environment["PEERMESH_GIT_USER"]
    [key] = [volume["secret"] for volume in signer["volumes"] if volume["name"] == "key"]
    assert 0o400 == key["defaultMode"]


def test_the_signer_keeps_its_journal_on_a_volume_that_one_at_a_time_writes():
    [made] = [one for one in of_kind("Deployment") if one["metadata"]["name"] == "peermesh-signer"]
    assert (1, {"type": "Recreate"}) == (made["spec"]["replicas"], made["spec"]["strategy"])
    [claim] = of_kind("PersistentVolumeClaim")
    assert ["ReadWriteOnce"] == claim["spec"]["accessModes"]
    [volume] = [one for one in workloads()["peermesh-signer"]["volumes"] if "persistentVolumeClaim" in one]
    assert claim["metadata"]["name"] == volume["persistentVolumeClaim"]["claimName"]
    [container] = workloads()["peermesh-signer"]["containers"]
    [mount] = [one["mountPath"] for one in container["volumeMounts"] if one["name"] == volume["name"]]
    assert told("peermesh-signer")["PEERMESH_SIGNER_JOURNAL"].startswith(f"{mount}/")


def test_the_key_of_redis_is_mounted_by_redis_alone():
    for name in OURS:
        [items] = [
            volume["secret"]["items"]
            for volume in workloads()[name]["volumes"]
            if volume.get("secret", {}).get("secretName") == "peermesh-redis-tls"
        ]
        assert [{"key": "ca.crt", "path": "ca.crt"}] == items


def test_every_secret_stands_in_the_readme_with_its_keys():
    rows = re.findall(r"^\| `(peermesh-[a-z-]+)` \| (.+?) \|", README, re.MULTILINE)
    wanted: dict[str, set[str]] = {}
    for pod in workloads().values():
        for name, keys in secrets(pod).items():
            wanted.setdefault(name, set()).update(keys)
    assert {name: keys or {"password"} for name, keys in wanted.items()} == {
        name: set(re.findall(r"`([^`]+)`", keys)) for name, keys in rows
    }


def secrets(pod: dict[str, Any]) -> dict[str, set[str]]:
    """The Secrets that a pod gets, with the keys that it names (none: all)."""
    found: dict[str, set[str]] = {}
    sources = [
        source
        for volume in pod["volumes"]
        for source in [volume, *volume.get("projected", {}).get("sources", ())]
        if "secret" in source
    ]
    for source in sources:
        secret = source["secret"]
        name = secret.get("secretName") or secret["name"]
        found.setdefault(name, set()).update(item["key"] for item in secret.get("items", ()))
    for one in pod["containers"][0].get("env", ()):
        if ref := one.get("valueFrom", {}).get("secretKeyRef"):
            found.setdefault(ref["name"], set()).add(ref["key"])
    return found


@pytest.mark.golden
def test_redis_has_the_settings_that_cluster_add_writes(golden):
    expected = redis_files()["delivery/redis/redis.conf"]
    if golden:
        (CENTER / "redis.conf").write_bytes(expected)
    assert expected == (CENTER / "redis.conf").read_bytes()


def test_redis_finds_each_file_that_its_settings_name():
    [settings_volume] = [one for one in workloads()["peermesh-redis"]["volumes"] if one["name"] == "settings"]
    there = {"redis.conf"}
    for source in settings_volume["projected"]["sources"]:
        there |= {item["path"] for item in source.get("secret", {}).get("items", ())}
    named = set(re.findall(r"/etc/redis/(\S+)", read(CENTER / "redis.conf")))
    assert there - {"redis.conf"} == named


@pytest.mark.parametrize("name", sorted(workloads()))
def test_no_pod_may_do_more_than_run(name):
    pod = workloads()[name]
    assert pod["automountServiceAccountToken"] is False
    assert pod["serviceAccountName"] == name
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    for container in pod["containers"]:
        context = container["securityContext"]
        assert (context["allowPrivilegeEscalation"], context["readOnlyRootFilesystem"]) == (False, True)
        assert context["capabilities"] == {"drop": ["ALL"]}
        assert {"requests", "limits"} == container["resources"].keys()
        assert "livenessProbe" in container


def test_nobody_has_a_token():
    accounts = {one["metadata"]["name"]: one["automountServiceAccountToken"] for one in of_kind("ServiceAccount")}
    assert dict.fromkeys(workloads(), False) == accounts
    assert [] == of_kind("Role", "ClusterRole", "RoleBinding", "ClusterRoleBinding")


def test_a_worker_may_finish_its_flush_before_it_is_killed():
    assert HARD_LIMIT < workloads()["peermesh-worker"]["terminationGracePeriodSeconds"]


def test_all_run_the_image_that_cluster_add_writes():
    [image] = KUSTOMIZATION["images"]
    assert f"{image['name']}:{image['newTag']}" == IMAGE
    assert {image["name"]} == {workloads()[name]["containers"][0]["image"] for name in OURS}


def test_what_can_be_doubled_is_and_keeps_one_while_nodes_are_drained():
    replicas = {one["metadata"]["name"]: one["spec"]["replicas"] for one in of_kind("Deployment")}
    kept = {one["metadata"]["name"] for one in of_kind("PodDisruptionBudget")}
    assert kept == {name for name, count in replicas.items() if count > 1}


# --- who talks to whom


def policies() -> Iterator[dict[str, Any]]:
    for one in of_kind("NetworkPolicy"):
        yield one["spec"]


def selected(policy: dict[str, Any], name: str) -> bool:
    return matches(policy["podSelector"], name)


def matches(selector: dict[str, Any], name: str) -> bool:
    labels = selector.get("matchLabels", {})
    if labels and labels != {"app.kubernetes.io/name": name}:
        return False
    return all(name in one["values"] for one in selector.get("matchExpressions", ()))


def may_send(source: str, target: str, port: str | int) -> bool:
    """Whether the policies of both let a pod of the centre reach another one."""
    out = any(
        selected(policy, source) and reaches(rule, "to", target, port)
        for policy in policies()
        for rule in policy.get("egress", ())
    )
    into = any(
        selected(policy, target) and reaches(rule, "from", source, port)
        for policy in policies()
        for rule in policy.get("ingress", ())
    )
    return out and into


def reaches(rule: dict[str, Any], side: str, other: str, port: str | int) -> bool:
    peers = rule.get(side)
    known = peers is None or any("podSelector" in peer and matches(peer["podSelector"], other) for peer in peers)
    return known and port in {one["port"] for one in rule["ports"]}


def test_what_no_policy_names_is_refused():
    nothing = [one["spec"] for one in of_kind("NetworkPolicy") if one["metadata"]["name"] == "peermesh-nothing"]
    assert [{"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}] == nothing


def test_of_the_centre_all_reach_redis_and_nobody_anybody_else():
    names = sorted(workloads())
    ports = ("redis", "http", "webhook", 443, 22)
    found = {(one, other, port) for one in names for other in names for port in ports if may_send(one, other, port)}
    assert {(name, "peermesh-redis", "redis") for name in OURS} == found


def test_only_worker_and_signer_leave_the_centre_and_redis_sends_nothing():
    out = {
        name: sorted(
            {one["port"] for p in policies() if selected(p, name) for r in p.get("egress", ()) for one in r["ports"]},
            key=str,
        )
        for name in workloads()
    }
    asks = [53, "redis"]
    assert {
        "peermesh-receive": asks,
        "peermesh-webhook": asks,
        "peermesh-worker": [22, 443, 53, "redis"],
        "peermesh-signer": [22, 443, 53, "redis"],
        "peermesh-redis": [],
    } == out


def test_every_port_that_a_policy_names_is_one_that_a_container_has():
    named = {
        port
        for policy in policies()
        for side in ("ingress", "egress")
        for rule in policy.get(side, ())
        for port in (one["port"] for one in rule["ports"])
        if isinstance(port, str)
    }
    there = {port["name"] for pod in workloads().values() for port in pod["containers"][0]["ports"]}
    assert set() == named - there


def test_every_file_is_one_that_kustomize_takes_in():
    for path in sorted(DEPLOY.rglob("kustomization.yaml")):
        [one] = documents(path)
        others = {other.name for other in path.parent.glob("*.yaml")} - {path.name}
        assert others == set(one["resources"]), path
