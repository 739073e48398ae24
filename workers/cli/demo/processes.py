"""The processes of the demo: real ones, each in a session of its own, all gone when the demo ends.

Knows how a process is started, watched and ended. Knows nothing of what they do.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final, TypeVar

from syncer.protocol.errors import Transient

T = TypeVar("T")

_END_SECONDS: Final = 8.0
"""Celery takes up to 4 s to end after SIGTERM."""
_LOOK_SECONDS: Final = 0.05


class Processes:
    """What was started, by name; each writes to a log of its own."""

    def __init__(self, logs: Path) -> None:
        self._logs = logs
        self._running: dict[str, subprocess.Popen[bytes]] = {}
        self._told: dict[str, int] = {}

    def start(self, name: str, arguments: list[str], environment: Mapping[str, str]) -> None:
        """Start `peermesh <arguments>` with this environment added to ours."""
        with self.log(name).open("ab") as log:
            self._running[name] = subprocess.Popen(
                [sys.executable, "-m", "workers.cli", *arguments],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env={**os.environ, **environment},
                start_new_session=True,
            )

    def log(self, name: str) -> Path:
        """Where a process writes."""
        return self._logs / f"{name.replace(' ', '-')}.log"

    def news(self) -> Iterator[tuple[str, str]]:
        """The lines that were written since the last call, each with who wrote it."""
        for name in self._running:
            with self.log(name).open("rb") as log:
                log.seek(self._told.get(name, 0))
                whole, _, _ = log.read().rpartition(b"\n")
                self._told[name] = self._told.get(name, 0) + (len(whole) + 1 if whole else 0)
            yield from ((name, line) for line in whole.decode(errors="replace").splitlines())

    def wait(self, what: str, look: Callable[[], T | None], seconds: float) -> T:
        """What `look` finds, as soon as it does.

        Raises:
            Transient: it found nothing in time, or a process ended meanwhile; says what was waited for.
        """
        deadline = time.monotonic() + seconds
        while not (found := look()):
            self._check()
            if time.monotonic() > deadline:
                raise Transient("TimeOut", f"waited {seconds:.0f} s for {what}", remedy=f"See {self._logs}.")
            time.sleep(_LOOK_SECONDS)
        return found

    def _check(self) -> None:
        for name, process in self._running.items():
            if process.poll() is not None:
                lines = self.log(name).read_text(errors="replace").strip().splitlines()
                last = lines[-1] if lines else f"exit code {process.returncode}"
                raise Transient("Ended", f"{name} ended: {last}", remedy=f"See {self.log(name)}.")

    def end(self) -> None:
        """End all of them, with whatever they started; returns when they are gone."""
        for process in self._running.values():
            _signal(process, signal.SIGTERM)
        deadline = time.monotonic() + _END_SECONDS
        for process in self._running.values():
            with suppress(subprocess.TimeoutExpired):
                process.wait(max(0.0, deadline - time.monotonic()))
            _signal(process, signal.SIGKILL)
            process.wait()
        self._running.clear()


def _signal(process: subprocess.Popen[bytes], kind: signal.Signals) -> None:
    # The group may outlive its leader: what a worker forked must go, too.
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, kind)


@contextmanager
def processes(logs: Path) -> Iterator[Processes]:
    """Processes that end with the block, also when it is interrupted."""
    logs.mkdir(parents=True, exist_ok=True)
    running = Processes(logs)
    try:
        yield running
    finally:
        # A second Ctrl-C, out of impatience, must not leave half of them.
        before = {number: signal.signal(number, signal.SIG_IGN) for number in (signal.SIGINT, signal.SIGTERM)}
        running.end()
        for number, handler in before.items():
            signal.signal(number, handler)
