"""Processes are killed at any moment, while clusters change, wires break and somebody else writes to main.

`--kills N` says how many in all, shared among the transports. Nothing is lost.
"""

from __future__ import annotations

import random

import pytest

from tests.pipeline.chaos import AUTOMATIC, WORKERS, Chaos, assert_all_holds
from tests.pipeline.competitor import competitor
from tests.pipeline.directory import directory
from tests.pipeline.harness import pipeline
from tests.servers.wires import Transport

SHARES: dict[Transport, float] = {"http": 0.5, "ssh": 0.3, "git": 0.2}


@pytest.mark.slow
@pytest.mark.parametrize("transport", SHARES)
def test_nothing_is_lost_whoever_is_killed(tmp_path, request, record_property, transport):
    kills = round(SHARES[transport] * request.config.getoption("--kills"))
    clusters = {
        "west": directory(tmp_path / "west", "203.0.113.10"),
        "east": directory(tmp_path / "east", "203.0.113.20"),
    }
    with pipeline(tmp_path, clusters, automatic=AUTOMATIC, workers=WORKERS, heartbeat=2, transport=transport) as line:
        line.wait_until_settled()
        line.everything_approved()
        chaos = Chaos(line, clusters, random.Random(f"20260 {transport}"))
        with competitor(tmp_path / "competitor", line.url, line.environment) as other:
            while chaos.done.kills.total() < kills or not other.landed:
                chaos.step()
        chaos.calm()
        line.wait_until_settled(120, hurry=True)
        assert_all_holds(line, clusters, other)
    record_property("figures", f"{chaos.done}; {len(other.landed)} commits of somebody else; lost 0, foreign paths 0")
