"""Real worker processes for tests: `python -m tests.border.processes receive|work`, and how they are started and ended.

What a test changes in such a process it says by the environment: shorter times, and points where it stalls.
"""

from __future__ import annotations

import functools
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path

import redis
from celery import signals

from syncer.protocol.errors import HumanNeeded, Transient
from tests.servers.valkey import free_port
from workers import app, border, broker
from workers.app import Centre, run_worker
from workers.border import run_receive
from workers.figures import TrustFigures
from workers.flush import FlushReport
from workers.inbox import RedisInbox
from workers.receive import receive
from workers.rotate import Turn
from workers.settings import Settings, settings_from_environment

ROOT = Path(__file__).parents[2]


def wait_until(condition: Callable[[], object], *, what: str, seconds: float = 60) -> None:
    """Return when the condition holds; fail, naming what was waited for, when it doesn't in time."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"waited {seconds} s for {what}"
        time.sleep(0.003)


class Process:
    """A running worker process; `log` is what it said so far."""

    def __init__(self, process: subprocess.Popen[bytes], log: Path, port: int) -> None:
        self._process = process
        self._log = log
        self._port = port

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def log(self) -> str:
        return self._log.read_text()

    @property
    def alive(self) -> bool:
        return self._process.poll() is None

    @property
    def serves(self) -> bool:
        """Whether it has started: its metrics are there."""
        try:
            return bool(self.metrics())
        except urllib.error.URLError:
            return False

    def signal(self, number: int) -> None:
        """Signal the process, not what it started."""
        self._process.send_signal(number)

    def wait(self) -> int:
        """Wait until it is gone; its exit code."""
        return self._process.wait(60)

    def children(self) -> list[int]:
        """The processes that it started."""
        tasks = Path(f"/proc/{self.pid}/task/{self.pid}/children")
        return [int(child) for child in tasks.read_text().split()]

    def kill(self) -> None:
        """SIGKILL to the whole group."""
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()

    def metrics(self) -> dict[str, float]:
        """Its metrics, by name with labels."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self._port}/metrics") as page:
            lines = page.read().decode().splitlines()
        return {name: float(value) for name, value in (line.rsplit(" ", 1) for line in lines if line[0] != "#")}

    def refused(self) -> dict[str, int]:
        """How many messages were refused, by reason."""
        pattern = re.compile(r'peermesh_refused_total\{cluster="west",reason="(\w+)"\}')
        found = ((pattern.fullmatch(name), value) for name, value in self.metrics().items())
        return {match[1]: int(value) for match, value in found if match}


@contextmanager
def process(role: str, **environment: str) -> Iterator[Process]:
    """`receive` or `work` in a session of its own; whatever is left of it is killed at the end."""
    port = free_port()
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder) / "log"
        with log.open("wb") as output:
            running = subprocess.Popen(
                [sys.executable, "-m", "tests.border.processes", role],
                cwd=ROOT,
                env={**os.environ, "PEERMESH_METRICS": f"127.0.0.1:{port}", "PEERMESH_REPO": "none", **environment},
                stdin=subprocess.DEVNULL,
                stderr=output,
                stdout=output,
                start_new_session=True,
            )
        started = Process(running, log, port)
        try:
            yield started
        except BaseException:
            sys.stderr.write(started.log)
            raise
        finally:
            started.kill()


# --- in the process


def _stalling(client: redis.Redis, key: str) -> None:
    """Wait where the test wants it, as long as Redis is there and holds `key`; `key:at` says that it waits."""
    if client.exists(key):
        client.incr(f"{key}:at")
        with suppress(redis.ConnectionError):
            while client.exists(key):
                time.sleep(0.01)


def _receive(settings: Settings, client: redis.Redis) -> int:
    def stalling(*args: object) -> bool:
        _stalling(client, "test.stall")
        return receive(*args)  # type: ignore[arg-type]

    border.receive = stalling  # type: ignore[assignment, attr-defined]
    border.REFRESH_SECONDS = 0.1  # type: ignore[misc]
    return run_receive(settings)


def _centre(settings: Settings, *, client: redis.Redis) -> Centre:
    """Use-cases that count how often they were called and do what the test left for them to do."""
    inbox = RedisInbox(settings.broker)

    def flush(now: datetime) -> FlushReport:
        if "TEST_LOCK" not in os.environ:
            return locked_flush(now)
        with inbox.lock() as ours:
            return locked_flush(now) if ours else FlushReport(idle="another worker is at it")

    def locked_flush(_: datetime) -> FlushReport:
        marked = inbox.marked()
        client.incr("test.flushes")
        _stalling(client, "test.stall")
        match client.lpop("test.errors"):
            case b"stale":
                raise Transient("Stale", "main moved")
            case b"human":
                raise HumanNeeded("BadDocuments", "main can't be planned on")
            case b"bug":
                raise KeyError("bug")
        inbox.clear(marked)
        return FlushReport(pushed=tuple(marked))

    def sweep(_: datetime) -> bool:
        client.incr("test.sweeps")
        return bool(inbox.marked())

    def rotate(_: datetime) -> Turn:
        client.incr("test.rotates")
        if not client.exists("test.due"):
            return Turn()
        inbox.mark("main")
        return Turn(reasons=("peermesh/trust/request-west",), figures=TrustFigures(unsigned={"west": _DUE}))

    return Centre(inbox=inbox, flush=flush, sweep=sweep, rotate=rotate)


_DUE = datetime(2026, 4, 1, tzinfo=UTC)


def _work(settings: Settings, client: redis.Redis) -> int:
    app.SWEEP_SECONDS = float(os.environ.get("TEST_SWEEP_SECONDS", "600"))  # type: ignore[misc, assignment]
    app.ROTATE_SECONDS = float(os.environ.get("TEST_ROTATE_SECONDS", "600"))  # type: ignore[misc, assignment]
    if "TEST_POOL_DIES" in os.environ:
        broker.POOL_SECONDS = 2
        signals.worker_process_init.connect(lambda **_: os._exit(7), weak=False)
    make = functools.partial(_centre, client=client)
    return run_worker(settings, beat="TEST_SWEEP_SECONDS" in os.environ, make=make)


def _main(role: str) -> int:
    broker.VISIBILITY = int(os.environ.get("TEST_VISIBILITY", "600"))  # type: ignore[misc]
    with redis.Redis.from_url(os.environ["TEST_REDIS_URL"]) as client:
        return {"receive": _receive, "work": _work}[role](settings_from_environment(), client)


if __name__ == "__main__":
    sys.exit(_main(sys.argv[1]))
