"""The processes of a pipeline under test: started, stopped and killed by name, each in a session of its own.

Knows how a process is run, watched and ended. Knows nothing of what they do.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Literal

ROOT = Path(__file__).parents[2]
Victim = Literal["all", "parent", "child", "git"]
"""Whom SIGKILL hits: the whole process group, only its leader, only what the leader forked, only git at work for it."""


class Processes:
    """What was started, by name; each writes to a log of its own, which outlives it."""

    def __init__(self, logs: Path, environment: Mapping[str, str]) -> None:
        logs.mkdir(parents=True)
        self._logs = logs
        self._environment = environment
        self._calls: dict[str, tuple[list[str], Mapping[str, str]]] = {}
        self._running: dict[str, subprocess.Popen[bytes]] = {}
        self._left: list[subprocess.Popen[bytes]] = []

    def define(self, name: str, command: list[str], environment: Mapping[str, str]) -> None:
        """What `start(name)` will run: `peermesh <command>` with this environment."""
        self._calls[name] = (command, environment)

    @property
    def names(self) -> list[str]:
        return list(self._calls)

    def start(self, name: str) -> None:
        command, environment = self._calls[name]
        with self._log(name).open("ab") as log:
            self._running[name] = subprocess.Popen(
                [sys.executable, "-m", "workers.cli", *command],
                cwd=ROOT,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={**os.environ, **self._environment, **environment},
                start_new_session=True,
            )

    def stop(self, name: str, *, seconds: float = 15) -> int:
        """SIGTERM to the leader, as an orchestrator does; its exit code."""
        process = self._running.pop(name)
        self._left.append(process)
        process.terminate()
        return process.wait(seconds)

    def kill(self, name: str, victim: Victim = "all") -> None:
        """SIGKILL; with `all` and `parent` the process counts as gone and may be started again."""
        process = self._running[name]
        match victim:
            case "all":
                _kill_group(process)
            case "parent":
                process.kill()
            case "child":
                _kill(_children(process.pid))
                return
            case "git":
                _kill(self.gits(name))
                return
        # Not waited for: as long as it isn't, no other process gets its number.
        self._left.append(self._running.pop(name))

    def gits(self, name: str) -> list[int]:
        """The git commands at work for it; each runs in a session of its own."""
        return [git for child in _children(self._running[name].pid) for git in _children(child)]

    def revive(self, names: Iterable[str]) -> None:
        """Start those of these again that ended, as a supervisor does; fail if another one ended."""
        for name in names:
            if self._running[name].poll() is not None:
                self._left.append(self._running.pop(name))
                self.start(name)
        self.check()

    def log(self, name: str) -> str:
        """Everything that this process, and those of the same name before it, wrote."""
        path = self._log(name)
        return path.read_text(errors="replace") if path.exists() else ""

    def check(self) -> None:
        """Fail if a process ended that nobody ended."""
        for name, process in self._running.items():
            assert process.poll() is None, f"{name} ended with {process.returncode}\n{self.tails()}"

    def tails(self, lines: int = 15) -> str:
        """The last lines of each log."""
        return "\n".join(f"--- {name}\n" + "\n".join(self.log(name).splitlines()[-lines:]) for name in self._calls)

    def end(self) -> None:
        """All of them are gone, with whatever they forked."""
        for process in (*self._left, *self._running.values()):
            if process.returncode is None:
                _kill_group(process)
        deadline = time.monotonic() + 60
        for process in (*self._left, *self._running.values()):
            process.wait(max(0.1, deadline - time.monotonic()))
        self._running.clear()
        self._left.clear()

    def _log(self, name: str) -> Path:
        return self._logs / f"{name.replace(' ', '-')}.log"


def _children(pid: int) -> list[int]:
    try:
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:
        return []


def _kill(pids: list[int]) -> None:
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def _kill_group(process: subprocess.Popen[bytes]) -> None:
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
