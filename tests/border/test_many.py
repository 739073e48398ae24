"""Many machines: several `receive` share the load, and a second `worker` stands by for the first."""

from __future__ import annotations

import fcntl
import os
import socket
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path

import pytest

from syncer.protocol.errors import HumanNeeded
from syncer.protocol.message import KEY_PREFIX
from syncer.protocol.secret import Secret
from tests.border.messages import KEYS, WEST_QUEUE, honest
from tests.border.processes import process, wait_until
from tests.cli.calls import process as called
from tests.pipeline.processes import Processes
from tests.servers.valkey import Valkey, valkey
from workers.acl import BORDER, WORKER, acl_lines
from workers.cli.alone import alone
from workers.inbox import LOCK, RedisInbox

LINES = acl_lines({}, border=Secret("b"), worker=Secret("i"))


@pytest.fixture
def server() -> Iterator[Valkey]:
    with valkey(acl=LINES) as server:
        yield server


@pytest.fixture
def inbox(server: Valkey) -> Iterator[RedisInbox]:
    inbox = RedisInbox(Secret(server.url_for(WORKER, "i")))
    inbox.set_border_keys(KEYS)
    yield inbox
    inbox.close()


def test_two_borders_share_what_comes_and_take_each_message_once(server, inbox):
    url = server.url_for(BORDER, "b")
    with server.client() as tests, ExitStack() as stack:
        both = [
            stack.enter_context(process("receive", PEERMESH_BORDER_BROKER_URL=url, TEST_REDIS_URL=server.redis_url))
            for _ in range(2)
        ]
        wait_until(lambda: all("west: listening" in one.log for one in both), what="both to listen")
        sent = 0

        def taken() -> list[int]:
            each = ({name: value for name, value in one.metrics().items() if "west" in name} for one in both)
            return [int(sum(value for name, value in counted.items() if name.startswith(_ANSWERS))) for counted in each]

        while min(taken()) < 5:
            for _ in range(5):
                tests.lpush(KEY_PREFIX + WEST_QUEUE, honest(datetime.now(UTC), offers=sent % 7))
                sent += 1
            wait_until(lambda: tests.llen(KEY_PREFIX + WEST_QUEUE) == 0, what="the messages to be taken")
        wait_until(lambda: sum(taken()) == sent, what="all of them to be answered")
        # An older one may be taken second: it is dropped, and the newest is kept.
        newest = inbox.newest()["west"].sequence
        assert newest == max(inbox.numbers().values())
        assert tests.acl_log() == []


_ANSWERS = ("peermesh_observations_total", "peermesh_refused_total")


def test_a_worker_that_is_killed_in_the_middle_is_followed_by_the_other_within_seconds_that_are_bounded(server, inbox):
    told = {
        "PEERMESH_BROKER_URL": server.url_for(WORKER, "i"),
        "TEST_REDIS_URL": server.redis_url,
        "TEST_SWEEP_SECONDS": "0.5",
        "TEST_LOCK": "1",
    }
    with server.client() as tests, process("work", **told) as first:
        tests.set("test.stall", 1)
        inbox.mark("main")
        wait_until(lambda: tests.exists("test.stall:at"), what="a flush to be in the middle")
        with process("work", **told) as second:
            wait_until(lambda: "another worker is at it" in second.log, what="the second to stand by")
            first.kill()
            left = tests.pttl(LOCK)
            assert 0 < left <= 30_000
            # Not waited for here: that a key ends in time is Redis's part.
            tests.pexpire(LOCK, 200)
            tests.delete("test.stall")
            wait_until(lambda: not inbox.marked(), what="the second to go on")
            assert second.alive


def test_who_holds_a_folder_is_waited_for_and_named(tmp_path):
    held = os.open(tmp_path / "copy.lock", os.O_RDWR | os.O_CREAT)
    fcntl.flock(held, fcntl.LOCK_EX)
    os.pwrite(held, b"4711", 0)
    said: list[str] = []
    remedy = "A second one needs a folder of its own."
    with pytest.raises(HumanNeeded, match=r"process 4711, .*`kill 4711` ends it\. A second one") as refused:
        _enter(tmp_path / "copy.lock", said, remedy)
    assert "InUse" == refused.value.reason
    assert 1 == len(said)
    os.close(held)
    _enter(tmp_path / "copy.lock", said, remedy)
    assert str(os.getpid()) == (tmp_path / "copy.lock").read_text()


def _enter(file: Path, said: list[str], remedy: str) -> None:
    with alone(file, seconds=0.3, tell=said.append, remedy=remedy):
        pass


def test_a_second_worker_on_one_machine_waits_for_the_folder_of_the_first(server, tmp_path):
    held = os.open(tmp_path / "copy.lock", os.O_RDWR | os.O_CREAT)
    fcntl.flock(held, fcntl.LOCK_EX)
    url = server.url_for(WORKER, "i")
    told = {"PEERMESH_BROKER_URL": url, "PEERMESH_REPO": str(tmp_path), "PEERMESH_COPY": str(tmp_path / "copy")}
    processes = Processes(tmp_path / "logs", told)
    processes.define("worker", ["worker", "--no-beat"], {})
    try:
        processes.start("worker")
        wait_until(lambda: "waits at most 120 s for process" in processes.log("worker"), what="it to wait")
        os.close(held)
        wait_until(lambda: "sweep stopped" in processes.log("worker"), what="it to begin its work")
    finally:
        processes.end()


def test_a_worker_whose_pool_never_starts_ends(server):
    told = {"PEERMESH_BROKER_URL": server.url_for(WORKER, "i"), "TEST_REDIS_URL": server.redis_url}
    with process("work", TEST_POOL_DIES="1", **told) as running:
        assert 1 == running.wait()
        assert "no process of the pool could start" in running.log or "Could not start worker" in running.log


def test_a_worker_whose_metrics_cannot_be_served_says_so_and_ends(server, tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        said = called(
            "worker",
            PEERMESH_BROKER_URL=server.url_for(WORKER, "i"),
            PEERMESH_REPO=str(tmp_path),
            PEERMESH_COPY=str(tmp_path / "copy"),
            PEERMESH_METRICS=f"127.0.0.1:{taken.getsockname()[1]}",
        )
    assert (3, "") == (said.code, said.stdout)
    assert said.stderr.endswith("Address already in use. Name another address in PEERMESH_METRICS.\n")
