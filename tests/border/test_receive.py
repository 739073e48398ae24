"""Which observations are kept, and which of them are news."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from syncer.protocol.errors import Rejected, Superseded
from syncer.protocol.message import parse_arguments
from syncer.protocol.observation import pack
from tests.border.messages import KEYS, NOT_BELIEVED, honest_args, microseconds, observation, sign
from tests.simulator.inbox import MemoryInbox
from workers.outside import BorderKeys, Inbox, Kept
from workers.receive import MAX_AGE, MAX_AHEAD, receive

NOW = datetime(2026, 11, 24, 8, tzinfo=UTC)


@pytest.fixture
def inbox() -> MemoryInbox:
    inbox = MemoryInbox()
    inbox.set_border_keys(KEYS)
    return inbox


def send(inbox: Inbox, now: datetime, **changes: object) -> bool:
    return receive(inbox, *parse_arguments(honest_args(now, **changes)), now)


def test_an_honest_observation_is_kept_as_it_was_sent(inbox):
    packed = pack(observation(NOW))
    assert receive(inbox, "west", packed, sign(packed), NOW)
    assert {"west": Kept(sequence=microseconds(NOW), packed=packed, signature=sign(packed))} == inbox.newest()


@pytest.mark.parametrize("name", NOT_BELIEVED)
def test_what_is_not_to_be_believed_is_refused_by_name_and_nothing_is_kept(inbox, name):
    reason, make = NOT_BELIEVED[name]
    with pytest.raises(Rejected) as refused:
        receive(inbox, *parse_arguments(make(NOW)), NOW)
    assert reason == refused.value.reason
    assert str(refused.value).isprintable()
    assert {} == inbox.newest()
    assert {} == inbox.marked()


@pytest.mark.parametrize(
    ("keys", "reason"),
    [(None, "UnknownCluster"), (BorderKeys(mesh="acme", keys={}), "UnknownCluster"), (KEYS, "NoKey")],
)
def test_without_a_key_on_main_nothing_is_believed(keys, reason):
    inbox = MemoryInbox()
    if keys:
        inbox.set_border_keys(keys)
    with pytest.raises(Rejected, match="peermesh cluster") as refused:
        receive(inbox, "new", *parse_arguments(honest_args(NOW))[1:], NOW)
    assert reason == refused.value.reason


@pytest.mark.parametrize("name", ["../../etc", "west\nx", "w" * 300, "", "West", "a.b"])
def test_what_cannot_be_a_cluster_is_refused_before_anything_is_looked_up(inbox, name):
    with pytest.raises(Rejected) as refused:
        receive(inbox, name, b"x", b"y", NOW)
    assert refused.value.reason == "BadName"


@pytest.mark.parametrize("seconds_later", [0, -1])
def test_a_replay_is_superseded(inbox, seconds_later):
    send(inbox, NOW)
    with pytest.raises(Superseded):
        send(inbox, NOW + timedelta(seconds=seconds_later))
    assert microseconds(NOW) == inbox.newest()["west"].sequence


@pytest.mark.parametrize("drift", [-MAX_AGE, MAX_AHEAD])
def test_clocks_may_differ_a_little(inbox, drift):
    packed = pack(observation(NOW + drift))
    assert receive(inbox, "west", packed, sign(packed), NOW)


def test_one_that_says_the_same_marks_nothing(inbox):
    send(inbox, NOW, offers=3)
    inbox.clear(inbox.marked())
    assert not send(inbox, NOW + timedelta(minutes=5), offers=3)
    assert {} == inbox.marked()
    assert microseconds(NOW + timedelta(minutes=5)) == inbox.newest()["west"].sequence


def test_what_is_only_for_people_marks_nothing(inbox):
    send(inbox, NOW, applied={"ServiceEntry/a/b": "1"})
    inbox.clear(inbox.marked())
    assert not send(inbox, NOW + timedelta(minutes=5), applied={"ServiceEntry/a/b": "2"}, settings={"istio": "1.28"})


def test_one_that_says_something_else_is_marked(inbox):
    send(inbox, NOW, offers=3)
    inbox.clear(inbox.marked())
    assert send(inbox, NOW + timedelta(minutes=5), offers=2)
    assert ["west"] == list(inbox.marked())


def test_news_that_no_flush_has_looked_at_is_still_to_be_looked_at(inbox):
    send(inbox, NOW, offers=3)
    assert send(inbox, NOW + timedelta(minutes=5), offers=3)
