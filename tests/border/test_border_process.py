"""The border process, with the rights of the ACL, on a real Redis: whatever a cluster pushes, it lives and goes on."""

from __future__ import annotations

import itertools
import signal
from collections import Counter, deque
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
import redis

from syncer.protocol.message import KEY_PREFIX, SIGN_REQUEST, queue
from syncer.protocol.secret import Secret
from syncer.publish import send
from tests.border.messages import (
    KEYS,
    NO_MESSAGE,
    NOT_BELIEVED,
    WEST_QUEUE,
    honest,
    honest_args,
    message,
    microseconds,
)
from tests.border.processes import Process, process, wait_until
from tests.border.requests import NOT_BELIEVED as REQUESTS_NOT_BELIEVED
from tests.border.requests import request_message
from tests.servers.valkey import Valkey, valkey
from workers.acl import BORDER, WORKER, acl_lines, syncer_user
from workers.border import QUEUE_LENGTH
from workers.inbox import REFUSED, RedisInbox
from workers.outside import BorderKeys, request_of

LINES = acl_lines({"east": Secret("e"), "west": Secret("w")}, border=Secret("b"), worker=Secret("i"))
KEY = KEY_PREFIX + WEST_QUEUE


class Border:
    """A server with the users of the ACL, an inbox with the worker's rights, and the queue with those of west."""

    def __init__(self, server: Valkey) -> None:
        self.server = server
        self.inbox = RedisInbox(Secret(server.url_for(WORKER, "i")))
        self.inbox.set_border_keys(KEYS)
        self.west = redis.Redis.from_url(server.redis_url_for(syncer_user("west"), "w"), driver_info=None)
        self.tests = server.client()
        self._honest = itertools.count(1)

    def close(self) -> None:
        self.inbox.close()
        self.west.close()
        self.tests.close()

    def process(self, **environment: str):
        return process(
            "receive",
            PEERMESH_BORDER_BROKER_URL=self.server.url_for(BORDER, "b"),
            TEST_REDIS_URL=self.server.redis_url,
            **environment,
        )

    def push(self, raw: bytes) -> None:
        self.west.lpush(KEY, raw)

    def push_honest(self) -> int:
        """An observation that says something new; its number."""
        now, offers = datetime.now(UTC), next(self._honest) % 7
        self.push(honest(now, offers=offers))
        return microseconds(now)

    def newest(self) -> int:
        """The number of what is kept of west."""
        kept = self.inbox.newest().get("west")
        return kept.sequence if kept else 0

    def passes(self, running: Process) -> None:
        """An honest observation is kept."""
        number = self.push_honest()
        wait_until(lambda: self.newest() == number or not running.alive, what=f"an honest message\n{running.log}")
        assert running.alive


@pytest.fixture
def border() -> Iterator[Border]:
    with valkey(acl=LINES) as server:
        border = Border(server)
        yield border
        border.close()


@pytest.fixture(scope="module")
def shared() -> Iterator[tuple[Border, Process]]:
    """One process for all the hostile messages: it must outlive them."""
    with valkey(acl=LINES) as server:
        border = Border(server)
        with border.process() as running:
            border.passes(running)
            yield border, running
        border.close()


def hostile() -> dict[str, tuple[str, bytes]]:
    now = datetime.now(UTC)
    believed = {name: (reason, message(make(now))) for name, (reason, make) in NOT_BELIEVED.items()}
    return {name: (reason, make(now)) for name, (reason, make) in NO_MESSAGE.items()} | {
        f"signed: {name}": case for name, case in believed.items()
    }


def test_it_outlives_all_hostile_messages_and_takes_the_honest_one_after_each(shared):
    border, running = shared
    before = Counter(running.refused())
    cases = hostile()
    for name, (reason, raw) in cases.items():
        kept = border.newest()
        border.push(raw)
        wait_until(lambda: border.tests.llen(KEY) == 0, what="the message to be taken")
        wait_until(lambda: "west" in border.inbox.refusals(), what=f"a refusal of {name}")
        assert (name, reason) == (name, border.inbox.refusals()["west"].reason)
        assert (name, kept) == (name, border.newest())
        border.passes(running)
        assert {} == border.inbox.refusals()
    expected = Counter(reason for reason, _ in cases.values())
    assert expected == Counter(running.refused()) - before
    assert border.tests.acl_log() == []
    assert all("Traceback" not in line for line in running.log.splitlines())


def test_all_of_them_at_once_delay_the_honest_one_only(shared):
    border, running = shared
    for number, (_, raw) in enumerate(hostile().values()):
        if len(raw) < 1 << 20:
            border.push(raw)
        if number % 15 == 14:  # more would be trimmed
            border.passes(running)
    border.passes(running)


def test_a_replay_is_dropped_without_a_word_to_people(shared):
    border, running = shared
    now = datetime.now(UTC)
    border.push(honest(now))
    wait_until(lambda: border.newest() == microseconds(now), what="the first of them")
    border.push(honest(now))
    border.push(honest(now - timedelta(seconds=1)))
    border.passes(running)
    assert {} == border.inbox.refusals()
    assert running.refused()["NotNewer"] >= 2


def test_a_message_that_names_another_route_goes_nowhere_else(shared):
    border, running = shared
    now = datetime.now(UTC)
    route = {"delivery_info": {"exchange": "", "routing_key": "elsewhere"}, "reply_to": "elsewhere", "priority": 9}
    border.push(message(honest_args(now), properties=route))
    border.passes(running)
    assert [] == border.tests.keys("*elsewhere*")
    assert [] == border.tests.keys("*\x06\x16*")


def test_a_request_of_the_agent_is_kept_and_a_hostile_one_is_told(shared):
    border, _ = shared
    now = datetime.now(UTC)
    border.push(request_message(now))
    wait_until(border.inbox.requests, what="the request")
    told = request_of("west")
    for name, (reason, make) in REQUESTS_NOT_BELIEVED.items():
        border.push(message(make(datetime.now(UTC)), headers={"task": SIGN_REQUEST}))
        wait_until(lambda: told in border.inbox.refusals(), what=f"a refusal of {name}")
        assert (name, reason) == (name, border.inbox.refusals()[told].reason)
        border.tests.hdel(REFUSED, told)
    assert {"west": microseconds(now)} == {name: kept.sequence for name, kept in border.inbox.requests().items()}
    assert border.tests.acl_log() == []


def test_what_the_syncers_publisher_sends_is_kept(shared):
    border, _ = shared
    now = datetime.now(UTC)
    send(Secret(border.server.url_for(syncer_user("west"), "w")), honest_args(now))
    wait_until(lambda: border.newest() == microseconds(now), what="what the syncer sent")


def test_news_sends_for_one_flush_however_much_there_is(border):
    with border.process() as running:
        for _ in range(5):
            border.passes(running)
        assert border.tests.llen(f"{KEY_PREFIX}work") == 1
        assert list(border.inbox.marked()) == ["west"]


def test_only_clusters_that_main_knows_are_listened_to(border):
    border.inbox.set_border_keys(BorderKeys(mesh="acme", keys={}))
    with border.process() as running:
        wait_until(lambda: running.serves, what="its start")
        border.push_honest()
        border.inbox.set_border_keys(KEYS)
        wait_until(border.newest, what="the cluster to be listened to")
        border.inbox.set_border_keys(BorderKeys(mesh="acme", keys={"east": KEYS.keys["east"]}))
        wait_until(lambda: "west: no longer listening" in running.log, what="the cluster to be forgotten")
        before = border.newest()
        border.push_honest()
        border.tests.lpush(KEY_PREFIX + queue("east"), b"garbage{")
        wait_until(lambda: "east" in border.inbox.refusals(), what="another cluster's message")
        assert before == border.newest()
        assert border.tests.llen(KEY) == 1


def test_what_a_cluster_says_before_its_key_is_trusted_waits_for_the_key(border):
    border.inbox.set_border_keys(BorderKeys(mesh="acme", keys={**KEYS.keys, "west": ()}))
    with border.process() as running:
        number = border.push_honest()
        border.tests.lpush(KEY_PREFIX + queue("east"), b"garbage{")
        wait_until(lambda: "east" in border.inbox.refusals(), what="another cluster's message")
        assert (0, 1) == (border.newest(), border.tests.llen(KEY))
        border.inbox.set_border_keys(KEYS)
        wait_until(lambda: border.newest() == number or not running.alive, what="what waited")
    assert "west" not in border.inbox.refusals()


def test_of_a_flood_the_newest_are_taken(border):
    for _ in range(300):
        border.push(b"garbage{")
    number = border.push_honest()
    with border.process() as running:
        wait_until(lambda: border.newest() == number, what="the newest of them")
        assert {"NotAMessage": QUEUE_LENGTH - 1} == running.refused()
        assert running.metrics()['peermesh_trimmed_total{cluster="west"}'] == 301 - QUEUE_LENGTH


def test_it_goes_on_after_redis_lost_everything(border):
    with border.process() as running:
        border.passes(running)
        border.server.wipe()
        wait_until(lambda: "west: no longer listening" in running.log, what="the keys to be missed")
        border.inbox.set_border_keys(KEYS)
        border.passes(running)


def test_it_goes_on_after_redis_was_restarted(border):
    with border.process() as running:
        border.passes(running)
        border.server.restart()
        border.inbox.set_border_keys(KEYS)
        border.passes(running)


def test_redis_may_go_in_the_middle_of_a_message_and_come_back_empty(border):
    with border.process() as running:
        border.passes(running)
        border.tests.set("test.stall", 1)
        border.push_honest()
        wait_until(lambda: border.tests.exists("test.stall:at"), what="the task to be in the middle")
        border.server.stop()
        wait_until(lambda: "Couldn't ack" in running.log, what="it to end while Redis is away")
        border.server.restart()
        border.inbox.set_border_keys(KEYS)
        border.passes(running)


def test_it_starts_before_redis_does(border):
    border.server.stop()
    with border.process() as running:
        wait_until(lambda: "Cannot connect" in running.log or "doesn't answer" in running.log, what="its complaint")
        border.server.restart()
        border.inbox.set_border_keys(KEYS)
        border.passes(running)


def test_a_full_redis_costs_messages_and_nothing_else(border):
    with border.process() as running:
        border.passes(running)
        border.tests.config_set("maxmemory", int(border.tests.info("memory")["used_memory"]) + (1 << 20))
        with pytest.raises(redis.OutOfMemoryError):
            deque((border.west.lpush(KEY, *[b"x" * 100_000] * 5) for _ in itertools.count()), maxlen=0)
        border.tests.config_set("maxmemory", 0)
        wait_until(lambda: border.tests.llen(KEY) == 0, what="the queue to be emptied")
        border.passes(running)


def test_what_it_was_at_when_it_was_killed_is_delivered_again(border):
    with border.process() as running:
        border.passes(running)
        border.tests.set("test.stall", 1)
        number = border.push_honest()
        wait_until(lambda: border.tests.exists("test.stall:at"), what="the task to be in the middle")
        running.kill()
    border.tests.delete("test.stall")
    [(_, taken)] = border.tests.zrange(f"{KEY_PREFIX}border.unacked_index", 0, -1, withscores=True)
    wait_until(lambda: datetime.now(UTC).timestamp() - taken > 1.1, what="the time that a message is held")
    with border.process(TEST_VISIBILITY="1"):
        wait_until(lambda: border.newest() == number, what="the message to come again")
    assert border.tests.acl_log() == []


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_ends_when_it_is_asked_to_and_gives_back_what_it_holds(border, number):
    with border.process() as running:
        border.passes(running)
        running.signal(number)
        assert running.wait() == 0
        assert "Traceback" not in running.log
    assert [] == border.tests.keys(f"{KEY_PREFIX}border.unacked*")


def test_whatever_a_message_holds_its_refusal_is_one_line_of_the_log(border):
    forged = "observe\n2026-01-01 INFO forged \x1b[31m"
    with border.process() as running:
        border.push(message(honest_args(datetime.now(UTC)), headers={"task": forged}))
        border.passes(running)
        lines = running.log.splitlines()
    assert all(line.isprintable() for line in lines)
    assert len([line for line in lines if "forged" in line]) == 1
    assert len([line for line in lines if "WARNING west: refused, ForeignTask" in line]) == 1
