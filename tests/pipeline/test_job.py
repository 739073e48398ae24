"""The job itself, through every process there is: from a label to main, then a change, a withdrawal, and the brake."""

from __future__ import annotations

import json

from tests.pipeline.directory import directory
from tests.pipeline.harness import Pipeline, pipeline
from workers.documents import paths

SHOP = "peermesh/exports/shop"
HELD = "peermesh/held/shop"


def test_a_label_becomes_imports_and_what_is_withdrawn_goes_unless_it_is_too_much(tmp_path):
    west, east = directory(tmp_path / "west", "203.0.113.10"), directory(tmp_path / "east", "203.0.113.20")
    west.put("shop/cart", exported=False)
    with pipeline(tmp_path, {"west": west, "east": east}, trusted=False) as line:
        _keys_are_trusted(line)
        _addresses_are_proposed(line)
        for key in ("shop/cart", "shop/till", "shop/web"):
            west.put(key)
        line.wait_until_settled()
        assert "cart.shop.mesh.internal" in _reviewed(line, SHOP)
        assert {f"clusters/east/imports/shop/{name}.yaml" for name in ("cart", "till", "web")} <= set(line.main_files())

        west.put("shop/cart", account="cart-v2")
        assert "cart-v2" in _reviewed(line, line.opened(SHOP))
        assert b"/ns/shop/sa/cart-v2" in line.main_files()["clusters/east/imports/shop/cart.yaml"]

        west.put("shop/till", exported=False)
        assert "till.shop.mesh.internal" in _reviewed(line, line.opened(SHOP))
        assert "clusters/east/imports/shop/till.yaml" not in line.main_files()

        west.remove("shop/cart")
        west.remove("shop/web")
        line.opened(HELD)
        line.wait_until_settled()
        assert [HELD] == list(line.branches())
        assert "clusters/east/imports/shop/cart.yaml" in line.main_files()
        assert HELD in line.status()

        west.put("shop/web")
        west.put("shop/cart", account="cart-v2")
        line.wait_for(lambda: HELD not in line.branches(), "the brake to be released")
        assert [0] * len(line.processes.names) == [line.processes.stop(name) for name in line.processes.names]


def _keys_are_trusted(line: Pipeline) -> None:
    """People read the keys in the logs of the syncers; what those said before isn't lost."""
    for name in line.clusters:
        key = _logged_key(line, f"syncer {name}")
        line.done("cluster", "trust", name, key, "--repo", str(line.checkout))
    line.git("commit", "--quiet", "--all", "--message", "Trust the syncers")
    line.git("push", "--quiet", "origin", "main")
    line.ring()


def _logged_key(line: Pipeline, syncer: str) -> str:
    line.wait_for(lambda: "signs with" in line.processes.log(syncer), f"the key of {syncer}")
    return line.processes.log(syncer).partition("signs with ")[2].split()[0]


def _addresses_are_proposed(line: Pipeline) -> None:
    branches = [paths.clusters_branch(name) for name in line.clusters]
    line.wait_for(lambda: set(branches) == set(line.branches()), "addresses of the gateways")
    for branch in branches:
        _reviewed(line, branch)
    assert "No proposal is open" in line.status()


def _reviewed(line: Pipeline, branch: str) -> str:
    """A person reads a proposal and approves what they read; its text."""
    line.wait_until_settled()
    shown = json.loads(line.done("show", branch, "--repo", str(line.checkout), "--output", "json"))
    line.done("approve", branch, "--digest", shown["digest"], "--repo", str(line.checkout))
    line.ring()
    assert branch not in line.branches()
    return str(shown["body"])
