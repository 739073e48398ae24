"""The budget of pushes: a minute's worth at once, then one after the other."""

from __future__ import annotations

from datetime import datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from tests.core.observations import NOW
from workers.budget import Budget

SECOND = timedelta(seconds=1)


def test_an_idle_repository_is_pushed_to_at_once():
    budget = Budget()
    assert budget.next_push(None, NOW) <= NOW
    assert budget.next_push(NOW - timedelta(hours=1), NOW) <= NOW


def test_after_a_minutes_worth_the_next_one_waits_for_its_turn():
    budget, whole = Budget(per_minute=6), None
    for _ in range(6):
        assert budget.next_push(whole, NOW) <= NOW
        whole = budget.after_push(whole, NOW)
    assert NOW + 10 * SECOND == budget.next_push(whole, NOW)
    later = NOW + 10 * SECOND
    assert NOW + 20 * SECOND == budget.next_push(budget.after_push(whole, later), later)


def test_what_was_taken_too_much_is_paid_back():
    budget, whole = Budget(per_minute=6), None
    for _ in range(8):
        whole = budget.after_push(whole, NOW)
    assert NOW + 30 * SECOND == budget.next_push(whole, NOW)


@given(st.lists(st.integers(min_value=0, max_value=30), max_size=60), st.integers(min_value=1, max_value=20))
def test_in_no_minute_are_there_more_than_a_minutes_worth_and_what_came_back(waits, per_minute):
    """Whenever somebody may push and does: at most twice the rate in any minute (what was saved, and what comes)."""
    budget, whole, now, pushed = Budget(per_minute=per_minute), None, NOW, list[datetime]()
    for seconds in waits:
        now += seconds * SECOND
        if budget.next_push(whole, now) <= now:
            whole = budget.after_push(whole, now)
            pushed.append(now)
    for start in pushed:
        assert len([at for at in pushed if start <= at < start + 60 * SECOND]) <= 2 * per_minute
