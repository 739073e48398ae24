"""The inner process on a real Redis: one flush at a time, and nothing that happens to it loses what is marked."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import AbstractContextManager
from datetime import UTC, datetime

import pytest

from syncer.protocol.errors import HumanNeeded
from syncer.protocol.message import KEY_PREFIX
from syncer.protocol.secret import Secret
from tests.border.messages import KEYS, WEST_QUEUE, honest
from tests.border.processes import Process, process, wait_until
from tests.servers.valkey import Valkey, valkey
from workers.acl import BORDER, WORKER, acl_lines
from workers.app import run_worker
from workers.broker import ask_flush, celery_app
from workers.inbox import RedisInbox
from workers.settings import read_settings

LINES = acl_lines({}, border=Secret("b"), worker=Secret("i"))
WORK = f"{KEY_PREFIX}work"


class Centre:
    """A server with the users of the ACL, and its inbox."""

    def __init__(self, server: Valkey) -> None:
        self.server = server
        self.broker = Secret(server.url_for(WORKER, "i"))
        self.inbox = RedisInbox(self.broker)
        self.tests = server.client()

    def close(self) -> None:
        self.inbox.close()
        self.tests.close()

    def process(self, **environment: str) -> AbstractContextManager[Process]:
        return process(
            "work",
            PEERMESH_BROKER_URL=self.broker.reveal(),
            TEST_REDIS_URL=self.server.redis_url,
            **environment,
        )

    def count(self, name: str) -> int:
        return int(self.tests.get(f"test.{name}") or 0)

    def stall(self) -> None:
        self.tests.set("test.stall", 1)

    def go_on(self) -> None:
        self.tests.delete("test.stall")

    def wait_for_stall(self) -> None:
        wait_until(lambda: self.tests.exists("test.stall:at"), what="a flush to be in the middle")

    def ask(self) -> None:
        app = celery_app("asking", self.broker)
        ask_flush(app, self.inbox)
        app.close()

    def flushed(self) -> None:
        wait_until(lambda: not self.inbox.marked(), what="the flush")


@pytest.fixture
def centre() -> Iterator[Centre]:
    with valkey(acl=LINES) as server:
        centre = Centre(server)
        yield centre
        centre.close()


def test_what_is_marked_before_it_starts_is_flushed_at_once(centre):
    centre.inbox.mark("main")
    with centre.process() as running:
        centre.flushed()
        wait_until(lambda: "flushed: pushed main" in running.log, what="its log")
    assert centre.tests.acl_log() == []


def test_what_the_border_receives_is_flushed(centre):
    centre.inbox.set_border_keys(KEYS)
    border = process(
        "receive",
        PEERMESH_BORDER_BROKER_URL=centre.server.url_for(BORDER, "b"),
        TEST_REDIS_URL=centre.server.redis_url,
    )
    with centre.process() as running, border as receiving:
        wait_until(lambda: centre.count("sweeps") and receiving.serves, what="both to start")
        centre.tests.lpush(KEY_PREFIX + WEST_QUEUE, honest(datetime.now(UTC)))
        wait_until(lambda: "flushed: pushed west" in running.log, what="the flush")
    assert centre.tests.acl_log() == []


def test_news_during_a_flush_makes_one_more_flush(centre):
    with centre.process():
        wait_until(lambda: centre.count("sweeps"), what="its start")
        centre.stall()
        centre.inbox.mark("west")
        centre.ask()
        centre.wait_for_stall()
        for _ in range(10):
            centre.inbox.mark("east")
            centre.ask()
        assert centre.tests.llen(WORK) == 1
        centre.go_on()
        centre.flushed()
        wait_until(lambda: centre.tests.llen(WORK) == 0, what="the queue to be empty")
    assert centre.count("flushes") == 2


def test_a_lost_message_is_made_up_by_the_next_sweep(centre):
    with centre.process(TEST_SWEEP_SECONDS="0.2") as running:
        wait_until(lambda: centre.count("sweeps") > 2, what="beat")
        centre.inbox.mark("main")
        centre.flushed()
        assert running.metrics()["peermesh_last_sweep_timestamp_seconds"] > 0


def test_what_is_due_by_a_date_is_flushed_although_nobody_said_anything(centre):
    centre.tests.set("test.due", 1)
    with centre.process() as running:
        wait_until(lambda: centre.count("flushes"), what="a flush")
        centre.flushed()
        metrics = running.metrics()
        assert metrics["peermesh_last_rotate_timestamp_seconds"] > 0
        assert 'peermesh_oldest_unsigned_timestamp_seconds{cluster="west"}' in metrics


def test_certificates_are_looked_at_again_and_again(centre):
    with centre.process(TEST_SWEEP_SECONDS="600", TEST_ROTATE_SECONDS="0.2"):
        wait_until(lambda: centre.count("rotates") > 2, what="beat")
    assert not centre.count("flushes")


def test_redis_may_lose_everything(centre):
    with centre.process(TEST_SWEEP_SECONDS="0.2"):
        wait_until(lambda: centre.count("sweeps"), what="its start")
        centre.server.wipe()
        centre.inbox.mark("main")
        centre.flushed()


def test_redis_may_go_in_the_middle_of_a_flush_and_come_back_empty(centre):
    with centre.process(TEST_SWEEP_SECONDS="0.2") as running:
        wait_until(lambda: centre.count("sweeps"), what="its start")
        centre.stall()
        centre.inbox.mark("main")
        centre.wait_for_stall()
        centre.server.stop()
        wait_until(lambda: "Couldn't ack" in running.log, what="the flush to end while Redis is away")
        centre.server.restart()
        centre.inbox.mark("main")
        centre.flushed()


def test_a_flush_whose_process_is_killed_begins_again(centre):
    with centre.process() as running:
        wait_until(lambda: centre.count("sweeps"), what="its start")
        centre.stall()
        centre.inbox.mark("main")
        centre.ask()
        centre.wait_for_stall()
        [child] = running.children()
        os.kill(child, signal.SIGKILL)
        centre.go_on()
        centre.flushed()
    assert centre.count("flushes") == 2


def test_a_worker_that_is_killed_is_made_up_by_the_one_that_starts(centre):
    centre.stall()
    centre.inbox.mark("main")
    with centre.process() as running:
        centre.wait_for_stall()
        running.kill()
    centre.go_on()
    with centre.process():
        centre.flushed()
    assert centre.count("flushes") == 2


@pytest.mark.parametrize(("error", "flushes"), [("stale", 2), ("human", 1), ("bug", 1)])
def test_a_flush_that_fails_leaves_the_worker_alive(centre, error, flushes):
    centre.tests.rpush("test.errors", error)
    centre.inbox.mark("main")
    with centre.process() as running:
        wait_until(
            lambda: centre.count("flushes") >= flushes and not centre.tests.llen("test.errors"), what="it to fail"
        )
        if centre.inbox.marked():
            wait_until(lambda: not centre.tests.llen(WORK), what="the failed one to end")
            centre.ask()
        centre.flushed()
        assert running.alive


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_ends_when_it_is_asked_to_after_what_it_is_at(centre, number):
    centre.stall()
    centre.inbox.mark("main")
    with centre.process(TEST_SWEEP_SECONDS="600") as running:
        centre.wait_for_stall()
        running.signal(number)
        centre.go_on()
        assert running.wait() == 0
        assert {} == centre.inbox.marked()
        assert "Traceback" not in running.log


def test_without_a_repository_it_says_what_is_missing():
    with pytest.raises(HumanNeeded, match="PEERMESH_REPO: it isn't set"):
        run_worker(read_settings({}), beat=False, make=lambda _: None)  # type: ignore[arg-type, return-value]
