from __future__ import annotations

from typing import Any

import pytest

from syncer.cluster.known import Known, NotReadYet, Timing
from syncer.protocol.errors import HumanNeeded, Transient

TIMING = Timing(turn=60, silence=100, unheard=150, grace=10, settle=1, look=30)
A, B, C = ("shop", "a"), ("shop", "b"), ("shop", "c")
AWAY = Transient("ApiAway", "no answer")
FORBIDDEN = HumanNeeded("Forbidden", "403", remedy="Ask.")


def known(*, custom: bool = False, listed: dict[Any, Any] | None = None) -> Known:
    """At second 0."""
    made = Known(what="services", timing=TIMING, custom=custom)
    if listed is not None:
        made.listed(listed, 0, 0)
    return made


def test_nothing_is_said_before_the_first_list_is_complete() -> None:
    assert isinstance(known().complaint(1000), NotReadYet)
    assert known(listed={}).complaint(0) is None


def test_what_was_listed_is_there_with_every_change_after_it() -> None:
    one = known(listed={A: 1, B: 2})
    assert one.put(C, 3, 1)
    assert one.put(A, 10, 2)
    assert one.put(B, None, 3)
    assert {10, 3} == set(one.objects() or ())


def test_an_object_that_is_as_it_was_is_no_news_and_neither_is_the_end_of_one_that_never_was() -> None:
    one = known(listed={A: 1})
    assert not one.put(A, 1, 1)
    assert not one.put(B, None, 1)


def test_a_list_that_lacks_an_object_says_that_it_is_gone() -> None:
    one = known(listed={A: 1, B: 2})
    one.listed({B: 2}, 5, 6)
    assert (2,) == one.objects()


@pytest.mark.parametrize(("seconds", "speaks"), [(150, True), (151, False)])
def test_what_was_heard_is_good_for_a_while(seconds: float, speaks: bool) -> None:
    one = known(listed={A: 1})
    one.heard(20)
    assert speaks == (one.complaint(20 + seconds) is None)


def test_a_list_is_as_old_as_the_moment_when_it_was_asked_for() -> None:
    one = known()
    one.listed({A: 1}, 0, 140)
    assert "Unheard" == getattr(one.complaint(151), "reason", None)


def test_an_absent_server_is_no_reason_to_be_silent_at_once() -> None:
    one = known(listed={A: 1})
    one.failed(AWAY, 10)
    assert one.complaint(149) is None
    assert AWAY is one.complaint(151)


@pytest.mark.parametrize("listed", [None, {A: 1}])
def test_a_refusal_is_for_people_only_when_it_lasts(listed: dict[Any, Any] | None) -> None:
    one = known(listed=listed)
    one.failed(FORBIDDEN, 100)
    one.failed(FORBIDDEN, 105)
    early = one.complaint(109)
    assert early is None if listed else isinstance(early, Transient)
    assert FORBIDDEN is one.complaint(110)


def test_a_refusal_that_ended_is_forgotten() -> None:
    one = known(listed={A: 1})
    one.failed(FORBIDDEN, 100)
    one.accepted()
    assert one.complaint(120) is None
    one.failed(FORBIDDEN, 130)
    assert one.complaint(135) is None


def test_a_watch_that_is_accepted_and_says_nothing_proves_nothing() -> None:
    one = known(listed={A: 1})
    for second in range(0, 151, 10):
        one.failed(AWAY, second)
        one.accepted()
    assert "Unheard" == getattr(one.complaint(151), "reason", None)


def test_a_watch_that_breaks_off_goes_on_unless_nothing_was_heard_for_long() -> None:
    one = known(listed={A: 1})
    assert not one.stale(75)
    assert one.stale(76)


def test_failures_are_counted_until_something_is_heard() -> None:
    one = known(listed={})
    one.failed(AWAY, 1)
    one.failed(AWAY, 2)
    assert 2 == one.failures
    one.heard(3)
    assert 0 == one.failures


def test_who_forgot_wants_a_list_that_was_asked_for_afterwards() -> None:
    one = known(listed={A: 1})
    one.forget(10)
    assert one.unread
    one.heard(11)
    one.listed({A: 1}, 9, 12)
    assert isinstance(one.complaint(12), NotReadYet)
    one.listed({A: 1}, 11, 12)
    assert one.complaint(12) is None


# --- kinds that can be removed


def test_a_deletion_counts_only_when_its_kind_was_seen_to_be_there_to_stay() -> None:
    one = known(custom=True, listed={A: 1, B: 2})
    assert not one.put(A, None, 10)
    assert {1, 2} == set(one.objects() or ())
    assert not one.unsettled(10.5)
    assert one.unsettled(11)
    assert one.settled(11)
    assert (2,) == one.objects()


def test_what_is_deleted_after_we_asked_waits_for_the_next_look() -> None:
    one = known(custom=True, listed={A: 1, B: 2})
    one.put(A, None, 10)
    one.put(B, None, 10.5)
    one.settled(11)
    assert (2,) == one.objects()


def test_deletions_of_a_kind_that_goes_were_meant_by_nobody() -> None:
    one = known(custom=True, listed={A: 1, B: 2})
    one.put(A, None, 10)
    one.missing(11, sure=True)
    assert one.objects() is None
    assert one.complaint(11) is None


def test_what_a_list_lacks_waits_as_well() -> None:
    one = known(custom=True, listed={A: 1, B: 2})
    one.listed({B: 2}, 20, 20)
    assert {1, 2} == set(one.objects() or ())
    one.listed({B: 2}, 20.5, 20.5)
    assert one.settled(21)
    assert (2,) == one.objects()


def test_what_is_made_again_is_there_once() -> None:
    one = known(custom=True, listed={A: 1})
    one.put(A, None, 10)
    assert one.put(A, 5, 10.1)
    assert (5,) == one.objects()
    one.put(A, None, 11)
    assert not one.put(A, 5, 11.1)
    one.listed({A: 5}, 12, 12)
    assert (5,) == one.objects()


def test_deletions_that_nobody_can_look_into_for_long_are_not_spoken_over() -> None:
    one = known(custom=True, listed={A: 1})
    one.put(A, None, 10)
    for second in range(10, 170, 10):
        one.heard(second)
    assert "Unheard" == getattr(one.complaint(161), "reason", None)


def test_a_kind_that_was_never_there_is_absent_at_once_and_one_that_was_after_a_while() -> None:
    one = known(custom=True)
    assert one.missing(0)
    assert one.objects() is None
    one = known(custom=True, listed={A: 1})
    assert not one.missing(100)
    assert not one.missing(109)
    assert (1,) == one.objects()
    assert one.missing(110)
    assert one.objects() is None


def test_a_kind_that_comes_back_in_between_was_never_missing() -> None:
    one = known(custom=True, listed={A: 1})
    one.missing(100)
    one.listed({A: 1}, 105, 105)
    assert not one.missing(111)
