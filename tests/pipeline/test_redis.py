"""Redis may be lost at any moment: nothing on the server moves for it, and heartbeats bring everything back."""

from __future__ import annotations

from tests.pipeline.directory import Directory, directory
from tests.pipeline.harness import Pipeline, pipeline

SHOP, BANK = "peermesh/exports/shop", "peermesh/exports/bank"
TILL = "facts/exports/shop/east/till.yaml"


def _clusters(tmp_path) -> tuple[Directory, Directory]:
    west, east = directory(tmp_path / "west", "203.0.113.10"), directory(tmp_path / "east", "203.0.113.20")
    west.put("shop/cart")
    east.put("shop/till")
    east.put("bank/ledger")
    return west, east


def test_a_wiped_redis_leaves_open_proposals_as_they_are_until_the_clusters_are_heard_again(tmp_path):
    west, east = _clusters(tmp_path)
    with pipeline(tmp_path, {"west": west, "east": east}) as line:
        _export_proposals_are_open(line)
        line.processes.stop("syncer west")
        line.processes.stop("syncer east")
        before = line.refs()
        line.broker.wipe()
        line.wait_until_looked_at()
        assert before == line.refs()

        line.approve(BANK)
        line.wait_until_looked_at()
        ref = f"refs/heads/{SHOP}"
        assert before[ref] == line.refs()[ref]

        west.put("shop/cart", port=9090)
        line.processes.start("syncer west")
        line.wait_for(lambda: before[ref] != line.refs()[ref], "the news of west")
        assert line.blob(before[ref], TILL) == line.blob(line.refs()[ref], TILL)
        line.processes.start("syncer east")
        line.wait_for(lambda: line.heard("east"), "east")
        line.wait_until_settled()
        assert [SHOP] == list(line.branches())


def test_what_happens_while_redis_is_away_arrives_when_it_is_back(tmp_path):
    west, east = _clusters(tmp_path)
    with pipeline(tmp_path, {"west": west, "east": east}, heartbeat=1) as line:
        _export_proposals_are_open(line)
        line.broker.stop()
        west.put("shop/cart", port=9090)
        east.put("shop/till", account="till-v2")
        west.put("shop/web")
        line.wait_for(lambda: "not published" in line.processes.log("syncer west"), "the syncer to notice")
        line.broker.restart()
        line.wait_until_settled()
        assert {
            TILL,
            "facts/exports/shop/west/cart.yaml",
            "facts/exports/shop/west/web.yaml",
        } <= set(line.proposed(SHOP))


def _export_proposals_are_open(line: Pipeline) -> None:
    for name in line.clusters:
        line.approve(line.opened(f"peermesh/clusters/{name}"))
    line.wait_for(lambda: {SHOP, BANK} == set(line.branches()), "the exports")
    line.wait_until_settled()
    line.wait_until_looked_at()
