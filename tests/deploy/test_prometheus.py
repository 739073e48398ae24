"""The alarms: each is raised by one series and not by another, names metrics that exist, and stands in the runbook."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client import generate_latest

from syncer import metrics as syncer_metrics
from tests.deploy.manifests import DEPLOY, documents, workloads
from tests.deploy.promtool import needs_promtool, promtool
from tests.house import code
from tests.house.code import ROOT
from tests.house.prose import anchors, read
from workers import metrics
from workers.documents.writing import dump

FOLDER = DEPLOY / "prometheus"
GROUPS = yaml.safe_load(read(FOLDER / "rules.yaml"))["groups"]
RULES = [rule for group in GROUPS for rule in group["rules"]]
NAMES = [rule["alert"] for rule in RULES]


def exposed() -> set[str]:
    """Every name that a series of ours may have."""
    found = set()
    for metric in code.metrics():
        endings = ("_bucket", "_sum", "_count") if metric.kind == "histogram" else ("",)
        found |= {metric.name + ending for ending in endings}
    return found


@needs_promtool
def test_prometheus_takes_the_rules():
    done = promtool("check", "rules", "rules.yaml", folder=FOLDER)
    assert 0 == done.returncode, done.stdout + done.stderr


@needs_promtool
def test_every_series_raises_what_it_should():
    done = promtool("test", "rules", "tests.yaml", folder=FOLDER)
    assert 0 == done.returncode, done.stdout + done.stderr


@needs_promtool
def test_each_alarm_is_missed_by_a_test_when_it_never_comes(tmp_path):
    missed = failures(tmp_path, lambda _: "vector(0) > 1", "exp")
    assert set(NAMES) == missed


@needs_promtool
def test_each_alarm_is_seen_by_a_test_when_it_comes_too_easily(tmp_path):
    seen = failures(tmp_path, without_its_limit, "got")
    assert set(NAMES) == seen


def without_its_limit(expression: str) -> str:
    """Whatever the value is."""
    first = re.split(r" or absent|\s+unless ", expression)[0]
    changed = re.sub(r"(>|==) \d+$", "> -1e12", first)
    assert changed != first
    return changed


def failures(folder: Path, change: Callable[[str], str], line: str) -> set[str]:
    """The alarms in these lines of what promtool objects to when all rules are changed."""
    groups = [
        {**group, "rules": [{**rule, "expr": change(rule["expr"])} for rule in group["rules"]]} for group in GROUPS
    ]
    (folder / "rules.yaml").write_text(yaml.safe_dump({"groups": groups}))
    (folder / "tests.yaml").write_text(read(FOLDER / "tests.yaml"))
    said = promtool("test", "rules", "tests.yaml", folder=folder)
    assert 0 != said.returncode
    found = re.findall(rf"^\s+{line}: (.*(?:\n\s+\{{.*)*)", said.stdout + said.stderr, re.MULTILINE)
    return set(re.findall(r'alertname="(\w+)"', "\n".join(found)))


@pytest.mark.parametrize("rule", RULES, ids=NAMES)
def test_an_alarm_asks_for_metrics_that_exist_and_leads_to_its_page(rule):
    assert set() == set(re.findall(r"peermesh_[a-z_]+", rule["expr"])) - exposed()
    page, _, anchor = rule["annotations"]["runbook"].partition("#")
    assert anchor == rule["alert"].lower()
    assert anchor in anchors(ROOT / page)


def test_the_page_explains_no_alarm_that_there_is_not():
    explained = re.findall(r"^### (Peermesh\w+)$", read(ROOT / "docs" / "operations.md"), re.MULTILINE)
    assert sorted(NAMES) == sorted(explained)


@pytest.mark.golden
def test_the_operator_gets_the_same_rules(golden):
    expected = b"# Of rules.yaml, by `make golden`. For the Prometheus Operator.\n" + dump(for_the_operator())
    path = FOLDER / "operator" / "operator.yaml"
    if golden:
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(expected)
    assert expected == path.read_bytes()


def for_the_operator() -> list[dict[str, Any]]:
    """What is scraped: the ports called `http` of our pods, centre and syncer. Labels of ours stay as they are."""

    def metadata(name: str) -> dict[str, Any]:
        return {"name": name, "namespace": "monitoring", "labels": {"app.kubernetes.io/part-of": "peermesh"}}

    pods = {
        "selector": {"matchLabels": {"app.kubernetes.io/part-of": "peermesh"}},
        "namespaceSelector": {"matchNames": ["peermesh-center", "peermesh-system"]},
        "podMetricsEndpoints": [{"port": "http", "honorLabels": True}],
    }
    group = "monitoring.coreos.com/v1"
    return [
        {"apiVersion": group, "kind": "PodMonitor", "metadata": metadata("peermesh"), "spec": pods},
        {"apiVersion": group, "kind": "PrometheusRule", "metadata": metadata("peermesh"), "spec": {"groups": GROUPS}},
    ]


def test_what_is_scraped_is_called_as_the_pods_call_it():
    [syncer] = [one for one in documents(DEPLOY / "syncer" / "syncer.yaml") if one["kind"] == "Deployment"]
    served = [workloads()["peermesh-receive"], workloads()["peermesh-worker"], syncer["spec"]["template"]["spec"]]
    assert [["http"]] * 3 == [[port["name"] for port in pod["containers"][0]["ports"]] for pod in served]


@needs_promtool
@pytest.mark.parametrize("registry", [metrics.REGISTRY, syncer_metrics.REGISTRY], ids=["center", "syncer"])
def test_prometheus_finds_nothing_to_object_to_in_what_is_served(registry):
    done = promtool("check", "metrics", stdin=generate_latest(registry).decode())
    assert (0, "") == (done.returncode, done.stdout + done.stderr)
