"""When a flush waits for more: soon after a push, as long as clusters go on saying something new."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from tests.simulator.inbox import MemoryInbox
from workers.app import until_quiet


def waited(inbox: MemoryInbox, busy_seconds: int) -> int:
    """Seconds that a flush waits while clusters say something new for so many."""
    slept: list[float] = []

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        if len(slept) <= busy_seconds:
            inbox.mark("west")

    inbox.mark("west")
    until_quiet(inbox, sleep)
    return int(sum(slept))


@pytest.mark.parametrize("whole", [None, timedelta(minutes=-1)])
def test_a_repository_that_nobody_pushed_to_for_a_while_is_not_kept_waiting(whole):
    inbox = MemoryInbox()
    if whole is not None:
        inbox.set_budget(datetime.now(UTC) + whole)
    assert 0 == waited(inbox, 5)


@pytest.mark.parametrize(("busy", "seconds"), [(0, 1), (4, 5), (99, 10)])
def test_after_a_push_it_waits_for_a_second_without_news_and_ten_at_most(busy, seconds):
    inbox = MemoryInbox()
    inbox.set_budget(datetime.now(UTC) + timedelta(minutes=1))
    assert seconds == waited(inbox, busy)
