"""The dashboard: a valid one, whose queries Prometheus can read and whose metrics exist."""

from __future__ import annotations

import json
import re
from itertools import combinations
from typing import Any

import pytest
import yaml

from tests.deploy.manifests import DEPLOY
from tests.deploy.promtool import needs_promtool, promtool
from tests.deploy.test_prometheus import exposed
from tests.house.prose import read

DASHBOARD = json.loads(read(DEPLOY / "grafana" / "dashboard.json"))
PANELS = DASHBOARD["panels"]
QUERIES = [target["expr"] for panel in PANELS for target in panel.get("targets", ())]


def test_every_query_asks_for_metrics_that_exist():
    asked = {name for query in QUERIES for name in re.findall(r"peermesh_[a-z_]+", query)}
    assert set() == asked - exposed()
    assert asked


@needs_promtool
def test_prometheus_can_read_every_query(tmp_path):
    read_as = {"$__rate_interval": "5m", "$cluster": ".*"}
    rules = [
        {"record": f"query:{number}", "expr": re.sub(r"\$\w+", lambda found: read_as[found[0]], query)}
        for number, query in enumerate(QUERIES)
    ]
    (tmp_path / "rules.yaml").write_text(yaml.safe_dump({"groups": [{"name": "dashboard", "rules": rules}]}))
    done = promtool("check", "rules", str(tmp_path / "rules.yaml"))
    assert 0 == done.returncode, done.stdout + done.stderr


def test_every_variable_that_a_query_uses_is_there():
    known = {variable["name"] for variable in DASHBOARD["templating"]["list"]}
    used = {name for query in QUERIES for name in re.findall(r"\$\{?(\w+)", query) if not name.startswith("__")}
    sources = set(re.findall(r"\$\{(\w+)\}", json.dumps(PANELS)))
    assert known == used | sources


def test_no_panel_lies_on_another_or_beside_the_page():
    for one, other in combinations(PANELS, 2):
        assert one["id"] != other["id"]
        assert not overlap(one["gridPos"], other["gridPos"]), (one["title"], other["title"])
    assert [] == [panel["title"] for panel in PANELS if panel["gridPos"]["x"] + panel["gridPos"]["w"] > 24]


def overlap(one: dict[str, int], other: dict[str, int]) -> bool:
    return all(
        one[place] < other[place] + other[size] and other[place] < one[place] + one[size]
        for place, size in (("x", "w"), ("y", "h"))
    )


@pytest.mark.parametrize("panel", PANELS, ids=lambda panel: panel["title"])
def test_a_panel_is_of_a_kind_that_grafana_brings_and_has_what_that_needs(panel: dict[str, Any]):
    assert panel["type"] in {"row", "stat", "timeseries"}
    if panel["type"] == "row":
        return
    assert {"type": "prometheus", "uid": "${datasource}"} == panel["datasource"]
    assert panel["fieldConfig"]["defaults"]["unit"]
    assert [chr(65 + number) for number in range(len(panel["targets"]))] == [one["refId"] for one in panel["targets"]]


def test_every_alarm_that_a_panel_names_exists():
    named = {name for panel in PANELS for name in re.findall(r"alarm (\w+)", panel.get("description", ""))}
    rules = yaml.safe_load(read(DEPLOY / "prometheus" / "rules.yaml"))
    assert set() == named - {rule["alert"] for group in rules["groups"] for rule in group["rules"]}
