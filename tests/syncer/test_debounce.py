from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from syncer.debounce import Schedule, Timing

TIMING = Timing()
IDLE = Schedule(heartbeat=300)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ([], 300),
        ([5], 6),
        ([5, 5.5], 6.5),
        ([0.5 * i for i in range(10, 41)], 15),
        ([299.9], 300),
    ],
)
def test_it_is_read_after_a_quiet_second_or_ten_seconds_or_at_the_heartbeat(
    changes: list[float], expected: float
) -> None:
    schedule = IDLE
    for now in changes:
        schedule = schedule.changed(now)
    assert expected == schedule.due(TIMING)


def test_after_a_reading_only_new_changes_count() -> None:
    read = IDLE.changed(5).read(6, TIMING, sent=False)
    assert 300 == read.due(TIMING)
    assert 8 == read.changed(7).due(TIMING)


def test_the_heartbeat_is_counted_from_the_last_sending() -> None:
    assert 306 == IDLE.changed(5).read(6, TIMING, sent=True).due(TIMING)


def test_readings_that_find_nothing_new_dont_put_the_heartbeat_off() -> None:
    schedule = IDLE
    for now in range(10, 290, 20):
        schedule = schedule.changed(now).read(now + 1, TIMING, sent=False)
    assert 300 == schedule.due(TIMING)


def test_a_heartbeat_at_which_nothing_could_be_read_waits_for_the_next() -> None:
    assert 600 == IDLE.read(300, TIMING, sent=False).due(TIMING)


@given(st.lists(st.floats(0, 20), min_size=1, max_size=50))
def test_a_change_never_waits_longer_than_ten_seconds(gaps: list[float]) -> None:
    schedule, now = IDLE, 0.0
    for gap in gaps:
        schedule = schedule.changed(now)
        assert now - (schedule.first or 0) <= TIMING.longest or schedule.due(TIMING) <= now
        now += gap
        if now >= schedule.due(TIMING):
            schedule = schedule.read(now, TIMING, sent=True)
