from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from syncer.cluster.connection import Conflict
from syncer.leader import Alone, Election, Seen, Spec, Terms, claim, released
from syncer.protocol.errors import HumanNeeded, PeermeshError, Superseded, Transient
from tests.syncer.clusters import NOW

TERMS = Terms()
DEADLINE = 60


class Clock:
    """Seconds that pass when a test says so; each machine has one of its own."""

    def __init__(self, start: float = 0) -> None:
        self.seconds = start

    def __call__(self) -> float:
        return self.seconds


class Lease:
    """A Lease in memory, with the optimistic lock of an API server. `fail`: what the next calls raise."""

    def __init__(self, spec: Spec | None = None) -> None:
        self.spec: Spec = spec or {}
        self.version = 1
        self.fail: PeermeshError | None = None
        self.before_write: Callable[[], None] = lambda: None

    def read(self) -> Mapping[str, Any]:
        if self.fail:
            raise self.fail
        return {"metadata": {"resourceVersion": self.version}, "spec": self.spec}

    def write(self, lease: Mapping[str, Any]) -> None:
        self.before_write()
        if self.fail:
            raise self.fail
        if lease["metadata"]["resourceVersion"] != self.version:
            raise Conflict("Conflict", "changed")
        self.spec, self.version = lease["spec"], self.version + 1


class Replica(Election):
    """One whose turns a test takes. `begun`: how often it was told that it begins to lead."""

    def __init__(self, lease: Lease, name: str, start: float = 0) -> None:
        self.begun = 0
        self.clock = Clock(start)
        super().__init__(lease, name, TERMS, began=self._count, clock=self.clock)

    def _count(self) -> None:
        self.begun += 1

    def after(self, seconds: float) -> bool:
        """Whether it leads after a look that it takes so much later."""
        self.clock.seconds += seconds
        self.attempt()
        return self.leading()


def turns(seconds: float, *replicas: Replica) -> list[list[bool]]:
    """Whether each leads, each time when all have looked, every two seconds."""
    return [[replica.after(2) for replica in replicas] for _ in range(int(seconds / 2))]


# --- who leads


def test_the_first_one_leads_and_keeps_leading() -> None:
    lease = Lease()
    first, second = Replica(lease, "first"), Replica(lease, "second", start=1000)
    assert all([True, False] == each for each in turns(100, first, second))
    assert (1, 0) == (first.begun, second.begun)
    assert "first" == lease.spec["holderIdentity"]


def test_who_was_asked_first_is_asked_no_more_and_another_one_leads_when_the_lease_has_lasted() -> None:
    lease = Lease()
    first, second = Replica(lease, "first"), Replica(lease, "second")
    turns(10, first, second)
    assert [False] * 7 + [True] * 3 == [led for (led,) in turns(20, second)]
    assert 1 == second.begun


def test_a_leader_that_was_paused_knows_at_once_that_it_no_longer_leads() -> None:
    lease = Lease()
    first, second = Replica(lease, "first"), Replica(lease, "second")
    turns(4, first, second)
    first.clock.seconds += 60
    assert not first.leading()
    with pytest.raises(Superseded, match="first: another replica publishes"):
        first.check()
    turns(60, second)
    assert (False, True) == (first.after(0), second.leading())
    assert (1, 1) == (first.begun, second.begun)


def test_a_leader_gives_up_before_another_one_can_take_over() -> None:
    lease = Lease()
    first, second = Replica(lease, "first"), Replica(lease, "second")
    assert first.after(0)
    assert not second.after(0)
    for _ in range(200):
        for replica in (first, second):
            replica.clock.seconds += 0.1
        second.attempt()
        assert not (first.leading() and second.leading())
    assert second.leading()


def test_two_that_ask_at_once_dont_both_lead() -> None:
    lease = Lease()
    first, second = Replica(lease, "first"), Replica(lease, "second")

    def quicker() -> None:
        lease.before_write = lambda: None
        second.attempt()

    lease.before_write = quicker
    first.attempt()
    assert [False, True] == [first.leading(), second.leading()]


def test_a_renewal_counts_from_before_it_was_asked_for() -> None:
    lease = Lease()
    first = Replica(lease, "first")

    def slow() -> None:
        first.clock.seconds += 30

    lease.before_write = slow
    assert not first.after(0)


def test_a_leader_that_cant_renew_gives_up_says_so_once_and_begins_anew(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", logger="peermesh")
    lease = Lease()
    first = Replica(lease, "first")
    assert first.after(0)
    lease.fail = Transient("ApiAway", "the API server doesn't answer", subject="west")
    assert [True] * 4 + [False] * 6 == [led for (led,) in turns(20, first)]
    assert "west: the API server doesn't answer" == first.trouble()
    lease.fail = None
    assert first.after(2)
    assert (2, 2, "") == (first.begun, first.term, first.trouble())
    assert [
        "first leads from now on",
        "no election, ApiAway: west: the API server doesn't answer",
        "first no longer leads",
        "first leads from now on",
    ] == caplog.messages


def test_one_that_cant_read_the_lease_is_in_trouble_from_the_beginning() -> None:
    lease = Lease()
    lease.fail = HumanNeeded("Forbidden", "403")
    replica = Replica(lease, "first")
    assert "the Lease wasn't read yet" == replica.trouble()
    assert not replica.after(0)
    assert "403" == replica.trouble()


def test_one_that_waits_for_another_is_in_no_trouble() -> None:
    lease = Lease()
    first, second = Replica(lease, "first"), Replica(lease, "second")
    turns(2, first, second)
    assert ("", "") == (first.trouble(), second.trouble())


# --- at the end


def test_at_the_end_the_lease_is_released_and_another_one_leads_at_its_next_look() -> None:
    lease = Lease()
    first, second = Replica(lease, "first"), Replica(lease, "second")
    turns(4, first, second)
    first.release()
    assert (False, "", 1) == (first.leading(), lease.spec["holderIdentity"], lease.spec["leaseDurationSeconds"])
    assert second.after(2)
    assert 1 == lease.spec["leaseTransitions"] - 1


def test_what_another_one_holds_isnt_released() -> None:
    lease = Lease()
    first, second = Replica(lease, "first"), Replica(lease, "second")
    turns(4, first, second)
    turns(20, second)
    first.release()
    assert "second" == lease.spec["holderIdentity"]


def test_an_end_that_cant_reach_the_lease_is_an_end_all_the_same() -> None:
    lease = Lease()
    first = Replica(lease, "first")
    first.after(0)
    lease.fail = Transient("ApiAway", "away")
    first.release()
    assert not first.leading()


def test_it_takes_part_by_itself_and_releases_at_the_end_of_its_block() -> None:
    lease, led = Lease(), threading.Event()
    other = Replica(lease, "other")
    other.attempt()
    with Election(lease, "this", Terms(duration=0.3), began=led.set) as election:
        assert election.alive
        assert not election.leading()
        other.release()
        assert led.wait(DEADLINE)
        assert election.leading()
    assert ("", False) == (lease.spec["holderIdentity"], election.alive)


def test_whoever_leads_from_the_beginning_leads_when_its_block_begins() -> None:
    with Election(Lease(), "this", TERMS, began=lambda: None) as election:
        assert election.leading()


def test_the_only_replica_leads() -> None:
    alone = Alone()
    alone.check()
    assert (True, True, "") == (alone.leading(), alone.alive, alone.trouble())


# --- what is written


HELD = {
    "holderIdentity": "other",
    "leaseDurationSeconds": 15,
    "acquireTime": "2026-11-24T07:00:00.000000Z",
    "renewTime": "2026-11-24T07:59:58.000000Z",
    "leaseTransitions": 3,
}


def test_a_renewal_keeps_when_it_was_acquired_and_what_others_wrote() -> None:
    spec = {**HELD, "strategy": "OldestEmulationVersion"}
    assert {**spec, "renewTime": "2026-11-24T08:00:00.000000Z"} == claim(
        Seen(spec=spec, since=0), "other", TERMS, at=1, wall=NOW
    )


def test_a_takeover_is_counted() -> None:
    assert {
        "holderIdentity": "this",
        "leaseDurationSeconds": 15,
        "acquireTime": "2026-11-24T08:00:00.000000Z",
        "renewTime": "2026-11-24T08:00:00.000000Z",
        "leaseTransitions": 4,
    } == claim(Seen(spec=HELD, since=0), "this", TERMS, at=15, wall=NOW)


def test_times_of_another_machine_are_never_read() -> None:
    renewed_long_ago = {**HELD, "renewTime": "1999-01-01T00:00:00.000000Z"}
    assert None is claim(Seen(spec=renewed_long_ago, since=0), "this", TERMS, at=14.9, wall=NOW)


def test_it_lasts_as_long_as_its_holder_says() -> None:
    longer = {**HELD, "leaseDurationSeconds": 60}
    assert None is claim(Seen(spec=longer, since=0), "this", TERMS, at=59, wall=NOW)


@pytest.mark.parametrize(
    "spec", [{}, {"holderIdentity": ""}, released(HELD, wall=NOW)], ids=["new", "empty", "released"]
)
def test_what_nobody_holds_is_taken_at_once(spec: Spec) -> None:
    wanted = claim(Seen(spec=spec, since=0), "this", TERMS, at=0, wall=NOW)
    assert wanted is not None
    assert "this" == wanted["holderIdentity"]


def test_times_are_written_in_utc() -> None:
    east = datetime(2026, 11, 24, 9, 0, tzinfo=UTC) + timedelta(0)
    wanted = claim(Seen(spec={}, since=0), "this", TERMS, at=0, wall=east)
    assert wanted is not None
    assert "2026-11-24T09:00:00.000000Z" == wanted["renewTime"]


def test_the_times_are_in_the_proportion_of_client_go() -> None:
    assert (15, 10, 2) == (TERMS.duration, TERMS.renew_deadline, TERMS.retry_period)
