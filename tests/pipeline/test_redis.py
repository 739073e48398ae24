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


def test_a_redis_that_was_restarted_empty_is_asked_again_by_everybody(tmp_path):
    west, east = _clusters(tmp_path)
    with pipeline(tmp_path, {"west": west, "east": east}, heartbeat=1) as line:
        _export_proposals_are_open(line)
        line.broker.restart()
        line.wait_for(lambda: all(map(line.heard, line.clusters)) and not line.inbox.marked(), "both to be heard")
        # Nobody rings: beat alone makes the worker look, on a connection that broke.
        line.approve(BANK, ring=False)

        def looked() -> bool:
            return (line.inbox.seen() or "").startswith(f"{line.remote().fingerprint} ")

        line.wait_for(looked, "the worker to look by itself")


def test_connections_that_break_again_and_again_lose_nothing(tmp_path):
    west, east = _clusters(tmp_path)
    with pipeline(tmp_path, {"west": west, "east": east}, heartbeat=1) as line, line.broker.client() as tests:
        _export_proposals_are_open(line)
        for port in range(9000, 9006):
            west.put("shop/cart", port=port)
            east.put(f"bank/ledger-{port}")
            for client in tests.client_list():
                if client["user"] != "tests":
                    tests.client_kill_filter(_id=client["id"])
            line.wait_for(lambda: line.heard("west"), "somebody to be heard")
        line.wait_until_settled(120)
        assert "Traceback" not in line.processes.log("receive")


def test_a_redis_that_is_full_takes_nothing_and_loses_nothing(tmp_path):
    west, east = _clusters(tmp_path)
    with pipeline(tmp_path, {"west": west, "east": east}, heartbeat=1) as line, line.broker.client() as tests:
        _export_proposals_are_open(line)
        before = line.refs()
        tests.config_set("maxmemory-policy", "noeviction")
        tests.config_set("maxmemory", 1)
        west.put("shop/cart", port=9090)
        east.put("bank/ledger", account="ledger-v2")
        line.wait_for(lambda: "maxmemory" in line.processes.log("syncer west"), "the syncer to be told")
        assert before == line.refs()
        tests.config_set("maxmemory", 0)
        line.wait_until_settled(120)
        assert {SHOP, BANK} == set(line.branches())
        assert before.keys() == line.refs().keys()
        assert all(before[f"refs/heads/{name}"] != line.refs()[f"refs/heads/{name}"] for name in (SHOP, BANK))


def _export_proposals_are_open(line: Pipeline) -> None:
    for name in line.clusters:
        line.approve(line.opened(f"peermesh/clusters/{name}"))
    line.wait_for(lambda: {SHOP, BANK} == set(line.branches()), "the exports")
    line.wait_until_settled()
    line.wait_until_looked_at()
