"""What of the bytes on a border queue reaches Celery."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from celery import Celery

from syncer.protocol.errors import Rejected
from syncer.protocol.message import KEY_PREFIX, OBSERVE, queue
from tests.border.messages import NO_MESSAGE, WEST_QUEUE, honest, honest_args, message
from tests.servers.valkey import Valkey, valkey
from workers.admission import MAX_MESSAGE, admit

NOW = datetime(2026, 11, 24, 8, tzinfo=UTC)


def parsed(raw: bytes) -> tuple[dict[str, Any], Any]:
    whole = json.loads(raw)
    return whole, json.loads(base64.b64decode(whole["body"]))


@pytest.fixture(scope="module")
def server() -> Iterator[Valkey]:
    with valkey() as running:
        yield running


@pytest.fixture
def app(server: Valkey) -> Iterator[Celery]:
    app = Celery("publisher", broker=server.url, set_as_current=False)
    app.conf.broker_transport_options = {"global_keyprefix": KEY_PREFIX}
    yield app
    app.close()


def sent(server: Valkey, app: Celery, **options: Any) -> bytes:
    """The bytes that Celery itself pushes."""
    app.send_task(OBSERVE, args=honest_args(NOW), queue=WEST_QUEUE, declare=[], **options)
    with server.client() as client:
        raw = client.rpop(KEY_PREFIX + WEST_QUEUE)
    assert isinstance(raw, bytes)
    return raw


def test_what_celery_sends_is_admitted(server, app):
    whole, body = parsed(admit(WEST_QUEUE, sent(server, app)))
    assert [list(honest_args(NOW)), {}, dict.fromkeys(("callbacks", "errbacks", "chain", "chord"))] == body
    assert whole["headers"]["task"] == OBSERVE


@pytest.mark.parametrize(
    ("reason", "options"),
    [
        ("Scheduled", {"countdown": 3600}),
        ("Scheduled", {"eta": NOW}),
        ("Scheduled", {"expires": 60}),
        ("Scheduled", {"time_limit": 1}),
        ("Scheduled", {"soft_time_limit": 1}),
        ("Scheduled", {"group_id": "g"}),
        ("Chained", {"link": [{"task": "flush"}]}),
        ("Chained", {"link_error": [{"task": "flush"}]}),
        ("Chained", {"chain": [{"task": "flush"}]}),
        ("Chained", {"chord": {"task": "flush"}}),
        ("BadEncoding", {"compression": "gzip"}),
    ],
)
def test_what_celery_can_send_besides_is_refused(server, app, reason, options):
    raw = sent(server, app, **options)
    with pytest.raises(Rejected) as refused:
        admit(WEST_QUEUE, raw)
    assert reason == refused.value.reason


@pytest.mark.parametrize("name", NO_MESSAGE)
def test_what_is_not_a_message_for_the_border_is_refused_by_name(name):
    reason, make = NO_MESSAGE[name]
    with pytest.raises(Rejected) as refused:
        admit(WEST_QUEUE, make(NOW))
    assert reason == refused.value.reason


@pytest.mark.parametrize("name", NO_MESSAGE)
def test_a_refusal_is_one_short_line(name):
    with pytest.raises(Rejected) as refused:
        admit(WEST_QUEUE, NO_MESSAGE[name][1](NOW))
    assert str(refused.value).isprintable()
    assert len(str(refused.value)) < 300


def test_nothing_of_a_clusters_choice_but_the_arguments_is_handed_on():
    mark = "chosen-by-the-cluster"
    raw = message(
        honest_args(NOW),
        headers={"id": mark, "origin": mark, "shadow": mark, "argsrepr": mark, "stamps": {mark: mark}, "retries": 9},
        properties={
            "delivery_tag": mark,
            "reply_to": mark,
            "priority": 9,
            "delivery_info": {"exchange": mark, "routing_key": "work"},
        },
        top={mark: mark},
    )
    whole, _ = parsed(admit(WEST_QUEUE, raw))
    assert mark not in json.dumps(whole)
    assert {"exchange": "", "routing_key": WEST_QUEUE} == whole["properties"]["delivery_info"]
    assert whole["properties"]["priority"] == 0


def test_what_was_handed_on_is_admitted_again_after_kombu_put_it_back():
    admitted, body = parsed(admit(WEST_QUEUE, honest(NOW)))
    # kombu's `_do_restore_message` marks it so.
    admitted["headers"]["redelivered"] = True
    admitted["properties"]["delivery_info"]["redelivered"] = True
    again, same_body = parsed(admit(WEST_QUEUE, json.dumps(admitted).encode()))
    assert body == same_body
    assert again["headers"]["task"] == OBSERVE


def test_different_messages_never_share_a_delivery_tag():
    tags = {
        parsed(admit(WEST_QUEUE, honest(NOW, offers=number)))[0]["properties"]["delivery_tag"] for number in range(5)
    }
    assert len(tags) == 5


def test_the_largest_observation_fits_into_a_message():
    # 1 MiB in base64 in base64, and what stands around it.
    largest = message(["west", base64.b64encode(bytes(1 << 20)).decode(), base64.b64encode(bytes(64)).decode()])
    assert len(largest) < MAX_MESSAGE
    admit(queue("west"), largest)
