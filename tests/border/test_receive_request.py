"""Which requests for an intermediate are kept at the border, and that a cluster can't send more than is looked at."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from syncer.protocol.errors import Rejected, Superseded
from syncer.protocol.message import parse_arguments
from syncer.protocol.request import pack
from tests.border.messages import KEYS, microseconds
from tests.border.requests import NOT_BELIEVED, csr, request, request_args
from tests.simulator.inbox import MemoryInbox
from workers.outside import Inbox, Kept
from workers.receive import APART, receive_request

NOW = datetime(2026, 11, 24, 8, tzinfo=UTC)


@pytest.fixture
def inbox() -> MemoryInbox:
    inbox = MemoryInbox()
    inbox.set_border_keys(KEYS)
    return inbox


def send(inbox: Inbox, now: datetime, **changes: object) -> bool:
    return receive_request(inbox, *parse_arguments(request_args(now, **changes)), now)


def test_an_honest_request_is_kept_as_it_was_sent_and_asks_for_a_flush(inbox):
    cluster, packed, signature = parse_arguments(request_args(NOW))
    assert receive_request(inbox, cluster, packed, signature, NOW)
    assert pack(request(NOW)) == packed
    kept = Kept(sequence=microseconds(NOW), packed=packed, signature=signature)
    assert ({"west": kept}, {}) == (inbox.requests(), inbox.newest())


@pytest.mark.parametrize("name", NOT_BELIEVED)
def test_what_is_not_to_be_believed_is_refused_by_name_and_nothing_is_kept(inbox, name):
    reason, make = NOT_BELIEVED[name]
    with pytest.raises(Rejected) as refused:
        receive_request(inbox, *parse_arguments(make(NOW)), NOW)
    assert reason == refused.value.reason
    assert str(refused.value).isprintable()
    assert ({}, {}) == (inbox.requests(), inbox.marked())


@pytest.mark.parametrize(
    ("cluster", "reason"), [("east", "NoAgentKey"), ("north", "UnknownCluster"), ("../x", "BadName")]
)
def test_without_a_key_of_the_agent_on_main_nothing_is_believed(inbox, cluster, reason):
    with pytest.raises(Rejected) as refused:
        receive_request(inbox, cluster, *parse_arguments(request_args(NOW))[1:], NOW)
    assert reason == refused.value.reason


def test_the_same_request_again_is_kept_and_asks_for_nothing(inbox):
    send(inbox, NOW)
    inbox.clear(inbox.marked())
    later = NOW + timedelta(minutes=5)
    assert not send(inbox, later)
    assert ({}, microseconds(later)) == (inbox.marked(), inbox.requests()["west"].sequence)


def test_a_request_with_another_key_is_news(inbox):
    send(inbox, NOW)
    inbox.clear(inbox.marked())
    assert send(inbox, NOW + timedelta(minutes=5), rotation=3, csr=csr(3))


def test_a_replay_is_superseded(inbox):
    send(inbox, NOW)
    with pytest.raises(Superseded):
        send(inbox, NOW)


def test_a_flood_is_refused_by_name_whatever_it_holds(inbox):
    send(inbox, NOW)
    refused = []
    for second in range(1, 40):
        now = NOW + timedelta(seconds=second)
        try:
            send(inbox, now, rotation=second, csr=csr(3))
        except Rejected as error:
            refused.append(error.reason)
    assert {"TooOften"} == set(refused)
    assert 39 - 39 // APART.seconds == len(refused)
