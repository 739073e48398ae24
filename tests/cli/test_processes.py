"""Processes that a command starts: every line is heard, and nothing is left of them, however anybody ends."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from syncer.protocol.errors import Transient
from workers.cli.processes import Ended, Processes, processes

LEFT_BEHIND = """
import os, subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"], start_new_session=True)
print(child.pid, flush=True)
time.sleep(600)
"""
"""A process with one of its own in another session, as a worker has git."""


class Heard(list[tuple[str, str]]):
    def __call__(self, name: str, line: str) -> None:
        self.append((name, line))


@pytest.fixture
def heard() -> Heard:
    return Heard()


@pytest.fixture
def running(heard: Heard) -> Iterator[Processes]:
    with processes(heard) as running:
        yield running


def python(text: str) -> list[str]:
    return [sys.executable, "-c", text]


def until(running: Processes, condition: Callable[[], object]) -> None:
    running.wait("what the test waits for", condition, 60)


def ended(running: Processes) -> list[Ended]:
    """Those that ended, as soon as one did."""
    deadline = time.monotonic() + 60
    while not (found := running.ended()):
        running.listen(0.05)
        assert time.monotonic() < deadline
    return found


def gone(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


def wait_until_gone(pid: int) -> None:
    deadline = time.monotonic() + 60
    while not gone(pid):
        assert time.monotonic() < deadline, Path(f"/proc/{pid}/cmdline").read_text()
        time.sleep(0.02)


def test_each_line_is_heard_with_who_wrote_it(running, heard):
    running.start("one", python("import sys; print('a'); print('b', file=sys.stderr); print('c', end='')"), {})
    running.start("two", python("print('d')"), {})
    done: list[Ended] = []
    while len(done) < 2:
        done += ended(running)
    assert {("one", "a"), ("one", "b"), ("one", "c"), ("two", "d")} == set(heard)
    assert [] == running.names


def test_it_says_how_a_process_ended_and_what_it_said_last(running):
    running.start("one", python("import sys; print('first', flush=True); sys.exit('the reason')"), {})
    assert [Ended(name="one", code=1, last="the reason")] == ended(running)
    running.start("two", python("import os; os.kill(os.getpid(), 9)"), {})
    [killed] = ended(running)
    assert "two ended: killed by SIGKILL" == str(killed)


def test_a_process_has_the_environment_that_it_is_given_and_no_other(running, heard):
    running.start("one", python("import os; print(sorted(name for name in os.environ if name < 'L'))"), {"A": "1"})
    ended(running)
    assert [("one", "['A']")] == heard


def test_a_line_without_an_end_takes_no_more_than_its_share(running, heard):
    running.start("one", python("import sys; sys.stdout.write('x' * 1_000_000)"), {})
    ended(running)
    assert 1_000_000 == sum(len(line) for _, line in heard)
    assert max(len(line) for _, line in heard) <= 1 << 17


def test_what_a_killed_process_leaves_behind_is_ended(running, heard):
    running.start("one", python(LEFT_BEHIND), {})
    until(running, lambda: heard)
    (pid,) = [int(line) for _, line in heard]
    os.kill(running._running["one"].process.pid, signal.SIGKILL)
    ended(running)
    assert gone(pid)


def test_the_end_takes_all_of_them_with_what_they_started(heard, monkeypatch):
    monkeypatch.setattr("workers.cli.processes._END_SECONDS", 1.0)
    with processes(heard) as running:
        running.start("one", python(LEFT_BEHIND), {})
        running.start("stubborn", python(f"import signal; signal.signal(15, signal.SIG_IGN); {LEFT_BEHIND}"), {})
        until(running, lambda: len(heard) == 2)
    assert all(gone(int(line)) for _, line in heard)


def test_a_process_ends_when_the_one_that_started_it_is_killed():
    text = """
import sys, time
from workers.cli.processes import Processes
running = Processes(lambda name, line: print(line, flush=True))
running.start("one", [sys.executable, "-c", "import os, time; print(os.getpid(), flush=True); time.sleep(600)"], {})
while True:
    running.listen(1)
"""
    with subprocess.Popen(python(text), stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[2]) as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        parent.kill()
    wait_until_gone(pid)


def test_a_process_of_somebody_else_is_left_alone(heard):
    with subprocess.Popen(python("import time; time.sleep(600)")) as other:
        with processes(heard) as running:
            running.start("one", python("pass"), {})
            ended(running)
        assert other.poll() is None
        other.kill()


def test_waiting_fails_when_a_process_ends_meanwhile(running):
    running.start("one", python("import sys; sys.exit('no such luck')"), {})
    with pytest.raises(Transient, match="one ended: no such luck"):
        running.wait("luck", lambda: None, 60)
