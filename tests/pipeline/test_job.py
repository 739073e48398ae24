"""The job itself, through every process there is: from a label to main, then a change, a withdrawal, and the brake."""

from __future__ import annotations

import json

import pytest

from tests.pipeline.directory import directory
from tests.pipeline.harness import Pipeline, pipeline
from workers.documents import paths

SHOP = "peermesh/exports/shop"
HELD = "peermesh/held/shop"


@pytest.mark.slow
def test_a_label_becomes_imports_and_what_is_withdrawn_goes_unless_it_is_too_much(tmp_path):
    west, east = directory(tmp_path / "west", "203.0.113.10"), directory(tmp_path / "east", "203.0.113.20")
    west.put("shop/cart", exported=False)
    with pipeline(tmp_path, {"west": west, "east": east}) as line:
        _addresses_are_proposed(line)
        for key in ("shop/cart", "shop/till", "shop/web"):
            west.put(key)
        line.wait_until_settled()
        assert "cart.shop.mesh.internal" in _reviewed(line, SHOP)
        assert {f"clusters/east/imports/shop/{name}.yaml" for name in ("cart", "till", "web")} <= set(line.main_files())

        west.put("shop/cart", account="cart-v2")
        line.wait_for(lambda: SHOP in line.branches(), "a proposal of the change")
        assert "cart-v2" in _reviewed(line, SHOP)
        assert b"spiffe://west.acme.example/ns/shop/sa/cart-v2" in line.main_files()[
            "clusters/east/imports/shop/cart.yaml"
        ]

        west.put("shop/till", exported=False)
        line.wait_for(lambda: SHOP in line.branches(), "a proposal of the withdrawal")
        assert "till.shop.mesh.internal" in _reviewed(line, SHOP)
        assert "clusters/east/imports/shop/till.yaml" not in line.main_files()

        west.remove("shop/cart")
        west.remove("shop/web")
        line.wait_for(lambda: HELD in line.branches(), "the brake")
        line.wait_until_settled()
        assert [HELD] == list(line.branches())
        assert "clusters/east/imports/shop/cart.yaml" in line.main_files()
        assert HELD in line.status()

        west.put("shop/web")
        west.put("shop/cart", account="cart-v2")
        line.wait_for(lambda: HELD not in line.branches(), "the brake to be released")


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
