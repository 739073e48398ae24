"""Health: who should be ended, and who isn't at work."""

from __future__ import annotations

import pytest

from workers.health import LATE_SECONDS, Health


@pytest.mark.parametrize(
    ("health", "answers", "stuck"),
    [
        (Health(started=0), True, False),
        (Health(started=-LATE_SECONDS - 1), True, True),
        (Health(started=-LATE_SECONDS - 1), False, False),
        (Health(started=-9000, tried=-LATE_SECONDS + 1), True, False),
        (Health(started=-9000, tried=-LATE_SECONDS - 1, done=-1), True, True),
    ],
    ids=["just-started", "never-tried", "redis-away", "tried", "tried-long-ago"],
)
def test_who_tried_no_turn_although_redis_answers_is_stuck(health, answers, stuck):
    assert stuck == bool(health.stuck(0, lambda: answers))


def test_redis_is_not_asked_without_doubt():
    assert "" == Health(started=0).stuck(1, lambda: pytest.fail("asked"))


@pytest.mark.parametrize(
    ("done", "ready"), [(None, False), (-1, True), (-LATE_SECONDS - 1, False)], ids=["never", "just-now", "long-ago"]
)
def test_who_did_a_turn_well_is_ready(done, ready):
    assert ready == (not Health(started=-9000, tried=0, done=done).unready(0))
