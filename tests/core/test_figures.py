"""Figures: what alarms are made of, from values."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from tests.simulator.repository import MemoryFiles, MemoryTree
from workers import figures
from workers.applied import Applied, UnitApplied
from workers.figures import Figures, OpenSince
from workers.outside import BorderKeys, Branch, CommitId, Remote

NOW = datetime(2026, 4, 1, 8, 0, tzinfo=UTC)
KEYS = BorderKeys(mesh="acme", keys={"west": ("ed25519:a",), "east": ("ed25519:b",), "north": ()})
EMPTY = MemoryFiles(MemoryTree({}), {})


def minutes(number: float) -> timedelta:
    return timedelta(minutes=number)


def branch(name: str, *, time: datetime, classes: str) -> Branch:
    message = f"A title\n\nA text\n\nPeermesh-Classes: {classes}\nPeermesh-Change: {'0' * 40}\n"
    head = CommitId("1" * 40)
    return Branch(name=name, head=head, time=time, message=message, change={}, foreign=False, merges=True, files=EMPTY)


def remote(*branches: Branch) -> Remote:
    return Remote(
        main=CommitId("0" * 40),
        main_time=NOW,
        files=EMPTY,
        branches={one.name: one for one in branches},
        rejected=frozenset(),
        taken_back=frozenset(),
        paused=None,
        refs={},
    )


def test_an_observation_is_as_old_as_its_number_says():
    number = int(NOW.timestamp() * 1_000_000) + 5
    found = figures.observed_at(KEYS, {"west": number, "elsewhere": number})
    assert {"east": None, "west": NOW + timedelta(microseconds=5)} == found


def test_a_number_that_no_clock_shows_is_none():
    assert {"east": None, "west": None} == figures.observed_at(KEYS, {"west": 10**30})


def test_without_keys_no_cluster_is_waited_for():
    assert {} == figures.observed_at(None, {"west": 5})


def test_a_proposal_that_is_made_again_waits_since_it_was_first_seen():
    first = figures.proposals(remote(branch("peermesh/exports/shop", time=NOW, classes="export")), {})
    again = figures.proposals(remote(branch("peermesh/exports/shop", time=NOW + minutes(9), classes="change")), first)
    assert {"peermesh/exports/shop": OpenSince(since=NOW, classes=("change",))} == again


def test_a_proposal_that_is_gone_begins_anew():
    first = figures.proposals(remote(branch("peermesh/exports/shop", time=NOW, classes="export")), {})
    gone = figures.proposals(remote(), first)
    later = branch("peermesh/exports/shop", time=NOW + minutes(9), classes="export")
    assert NOW + minutes(9) == figures.proposals(remote(later), gone)["peermesh/exports/shop"].since


def test_a_proposal_of_two_classes_waits_in_both_and_a_class_that_there_is_not_in_none():
    branches = (
        branch("peermesh/exports/a", time=NOW, classes="change, withdrawal"),
        branch("peermesh/exports/b", time=NOW + minutes(1), classes='change, evil"} 1'),
    )
    found = Figures(proposals=figures.proposals(remote(*branches), {}))
    assert {"change": (NOW, NOW + minutes(1)), "withdrawal": (NOW,)} == found.waiting


def test_an_object_is_unapplied_since_it_was_first_seen_so():
    before = UnitApplied(name="imports", state="stale", missing=("ServiceEntry/a/b",), left=("Gateway/c/d",))
    after = UnitApplied(name="imports", state="stale", outdated=("ServiceEntry/a/b",))
    first = figures.unapplied(Applied(state="stale", units=(before,)), {}, NOW)
    later = figures.unapplied(Applied(state="stale", units=(after,)), first, NOW + minutes(5))
    assert {"ServiceEntry/a/b": NOW} == later
    assert {"ServiceEntry/a/b": NOW, "Gateway/c/d": NOW} == first


def test_units_that_fail_are_counted():
    units = (UnitApplied(name="ca", state="applied"), UnitApplied(name="gateway", state="failed"))
    assert 1 == figures.failing(Applied(state="failed", units=units))
