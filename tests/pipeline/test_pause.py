"""Pause and resume: people stop the robot, and it catches up afterwards."""

from __future__ import annotations

from tests.pipeline.directory import directory
from tests.pipeline.harness import pipeline


def test_nothing_is_written_while_paused_and_all_of_it_afterwards(tmp_path):
    west = directory(tmp_path / "west", "203.0.113.10")
    west.put("shop/cart")
    with pipeline(tmp_path, {"west": west}, automatic=("export", "change")) as line:
        line.everything_approved()

        line.done("pause", "the gateway is being replaced", "--repo", str(line.checkout))
        before = line.refs()
        west.put("shop/cart", port=9090)
        west.gateway("203.0.113.99")
        west.put("shop/till")
        line.wait_for(lambda: len(line.heard("west").offers) == 2, "the border to keep the news")
        line.ring()
        line.wait_for(lambda: not line.inbox.marked(), "the worker to look")
        assert before == line.refs()
        assert "nothing flushed: paused: the gateway is being replaced" in line.processes.log("worker")
        assert "the gateway is being replaced" in line.status()

        line.done("resume", "--repo", str(line.checkout))
        line.ring()
        line.wait_until_settled()
        assert {"shop/cart", "shop/till"} == set(map(str, line.tree().facts.exports))
        assert ["peermesh/clusters/west"] == list(line.branches())
