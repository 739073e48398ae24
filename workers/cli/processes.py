"""The processes that a command starts: each in a session of its own, heard as it speaks, gone when the command ends.

Knows how a process is started, listened to and ended, with whatever it started. Knows nothing of what they do. One
thread does all of it, so a process may be told at its start to end with this one.

Not a library: honcho ends all when one ends, circus and supervisor are daemons with files of their own, and none of
them ends what a killed process left in another session, as git is.
"""

from __future__ import annotations

import ctypes
import os
import selectors
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NoReturn, TypeVar

from syncer.protocol.errors import Transient

T = TypeVar("T")
Hear = Callable[[str, str], None]
"""Takes the name of a process and a line that it wrote."""

_END_SECONDS: Final = 20.0
"""A worker ends what it is at first, and Celery takes up to 4 s for the rest."""
_LOOK_SECONDS: Final = 0.05
_LONGEST_LINE: Final = 1 << 16
_SET_PDEATHSIG, _SET_CHILD_SUBREAPER = 1, 36
"""prctl(2); Linux only."""
_INTERRUPTS: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_prctl = getattr(ctypes.CDLL(None), "prctl", None)


@dataclass(kw_only=True)
class _Running:
    name: str
    process: subprocess.Popen[bytes]
    heard: bytes = b""
    """What it wrote that is no whole line yet."""
    last: str = ""


@dataclass(frozen=True, kw_only=True)
class Ended:
    """A process that ended. `code` as subprocess has it: negative if a signal ended it."""

    name: str
    code: int
    last: str
    """The last line that it wrote."""

    @property
    def how(self) -> str:
        return f"killed by {signal.Signals(-self.code).name}" if self.code < 0 else f"exit code {self.code}"

    def __str__(self) -> str:
        return f"{self.name} ended: {self.last or self.how}"


class Processes:
    """What was started and runs, by name; `hear` is told each line that one of them writes."""

    def __init__(self, hear: Hear) -> None:
        self._hear = hear
        self._running: dict[str, _Running] = {}
        self._selector = selectors.DefaultSelector()
        self._others = set(_children())

    @property
    def names(self) -> list[str]:
        """Who runs, in the order in which they were started."""
        return list(self._running)

    def start(
        self, name: str, command: Sequence[str], environment: Mapping[str, str], *, keeps: Sequence[int] = ()
    ) -> None:
        """Start a command with exactly this environment; it also gets the file descriptors `keeps`.

        Raises:
            OSError: it can't be started.
        """
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=environment,
            start_new_session=True,
            pass_fds=keeps,
            preexec_fn=_end_with(os.getpid()),  # noqa: PLW1509 # safe: this process has one thread
        )
        assert process.stdout is not None
        os.set_blocking(process.stdout.fileno(), False)
        running = _Running(name=name, process=process)
        self._running[name] = running
        self._selector.register(process.stdout, selectors.EVENT_READ, running)

    def listen(self, seconds: float = 0) -> None:
        """Hand on what they wrote; wait so long for the first of it."""
        for key, _ in self._selector.select(seconds):
            self._read(key.data)

    def ended(self) -> list[Ended]:
        """Those that ended since the last call; nothing of them is left, and all that they wrote was heard."""
        gone = [running for running in self._running.values() if running.process.poll() is not None]
        for running in gone:
            del self._running[running.name]
            self._bury(running)
        if gone:
            self._end_orphans()
        return [Ended(name=one.name, code=int(one.process.returncode), last=one.last) for one in gone]

    def wait(self, what: str, look: Callable[[], T | None], seconds: float) -> T:
        """What `look` finds, as soon as it does.

        Raises:
            Transient: it found nothing in time, or a process ended meanwhile; says what was waited for.
        """
        deadline = time.monotonic() + seconds
        while not (found := look()):
            self.listen(_LOOK_SECONDS)
            for ended in self.ended():
                raise Transient("Ended", str(ended))
            if time.monotonic() > deadline:
                raise Transient("TimeOut", f"waited {seconds:.0f} s for {what}")
        return found

    def end(self, *names: str) -> None:
        """End these, with whatever they started; returns when they are gone."""
        ending = [self._running[name] for name in names]
        for running in ending:
            # Not the group: a worker lets its pool end what it is at.
            running.process.terminate()
        deadline = time.monotonic() + _END_SECONDS
        while time.monotonic() < deadline and any(running.process.poll() is None for running in ending):
            self.listen(_LOOK_SECONDS)
        for running in ending:
            running.process.kill()
            running.process.wait()
            del self._running[running.name]
            self._bury(running)
        self._end_orphans()

    def _read(self, running: _Running) -> bool:
        """Hear what it wrote; False: it wrote nothing, and if its end is closed it is listened to no more."""
        stdout = running.process.stdout
        assert stdout is not None
        try:
            data = os.read(stdout.fileno(), _LONGEST_LINE)
        except BlockingIOError:
            return False
        if not data:
            self._selector.unregister(stdout)
            return False
        *lines, running.heard = (running.heard + data).split(b"\n")
        if len(running.heard) >= _LONGEST_LINE:
            lines, running.heard = [*lines, running.heard], b""
        for line in lines:
            self._tell(running, line)
        return True

    def _tell(self, running: _Running, line: bytes) -> None:
        running.last = line.decode(errors="replace")
        self._hear(running.name, running.last)

    def _bury(self, running: _Running) -> None:
        # The group may outlive its leader: what a worker forked must go, too.
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(running.process.pid, signal.SIGKILL)
        stdout = running.process.stdout
        assert stdout is not None
        if stdout in self._selector.get_map():
            while self._read(running):
                pass
        if stdout in self._selector.get_map():
            self._selector.unregister(stdout)
        if running.heard:
            self._tell(running, running.heard)
        stdout.close()

    def _end_orphans(self) -> None:
        """End what was left behind by processes that were killed: children of ours that nobody here started."""
        ours = self._others | {running.process.pid for running in self._running.values()}
        while orphans := [pid for pid in _children() if pid not in ours]:
            for pid in orphans:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
                with suppress(ChildProcessError):
                    os.waitpid(pid, 0)


def peermesh(*arguments: str) -> list[str]:
    """The command line that runs `peermesh <arguments>` as this program runs."""
    return [sys.executable, "-m", "workers.cli", *arguments]


@contextmanager
def processes(hear: Hear, *, last: str = "") -> Iterator[Processes]:
    """Processes that end with the block, also when it is interrupted; `last` after the others."""
    # What a killed process leaves behind (git runs in a session of its own) becomes ours, so it can be ended.
    _adopt(orphans=True)
    running = Processes(hear)
    try:
        yield running
    finally:
        # A second Ctrl-C, out of impatience, must not leave half of them.
        before = {number: signal.signal(number, signal.SIG_IGN) for number in _INTERRUPTS}
        running.end(*(name for name in running.names if name != last))
        running.end(*running.names)
        _adopt(orphans=False)
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def interruptible() -> Iterator[None]:
    """SIGTERM and a terminal that is closed end the block as Ctrl-C does, so that whatever was started is ended."""

    def interrupt(*_: object) -> NoReturn:
        raise KeyboardInterrupt

    before = {number: signal.signal(number, interrupt) for number in _INTERRUPTS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _adopt(*, orphans: bool) -> None:
    if _prctl is not None:
        _prctl(_SET_CHILD_SUBREAPER, int(orphans), 0, 0, 0)


def _end_with(parent: int) -> Callable[[], None] | None:
    """What a child does before it becomes its program: ask to be ended when its parent is, even by SIGKILL."""
    prctl = _prctl
    if prctl is None:
        return None

    def ask() -> None:
        prctl(_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
        if os.getppid() != parent:
            os.kill(os.getpid(), signal.SIGTERM)

    return ask


def _children() -> list[int]:
    try:
        return [int(pid) for pid in Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()]
    except OSError:
        return []
