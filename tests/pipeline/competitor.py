"""Somebody else's writer: counts upwards in a file on main, over http, with plain git, all the while.

Knows git and one file. Knows nothing of peermesh.
"""

from __future__ import annotations

import subprocess
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

FILE = "COUNT"
_PAUSE = 0.3


class Competitor:
    """`landed`: the commits that the server took, in order."""

    def __init__(self, folder: Path, url: str, environment: Mapping[str, str]) -> None:
        self.landed: list[str] = []
        self.failure: Exception | None = None
        self._tried = ""
        self._folder = folder
        self._environment = environment
        self._end = threading.Event()
        self._git("clone", "--quiet", url, str(folder), at=folder.parent)
        self._thread = threading.Thread(target=self._run, daemon=True)

    def start(self) -> None:
        self._thread.start()

    def end(self) -> None:
        """Return when it has ended; raises what it failed with."""
        self._end.set()
        self._thread.join()
        deadline = time.monotonic() + 60
        while self._tried and not self._looked():
            assert time.monotonic() < deadline, "the server has failed for a minute"
        if self.failure is not None:
            raise self.failure

    def _run(self) -> None:
        try:
            while not self._end.wait(_PAUSE):
                self._count()
        except Exception as error:  # noqa: BLE001 - raised again where the test ends it
            self.failure = error

    def _count(self) -> None:
        if not self._looked():
            return
        (self._folder / FILE).write_text(f"{len(self.landed) + 1}\n")
        self._git("add", FILE)
        self._git("commit", "--quiet", "--message", f"Count to {len(self.landed) + 1}")
        commit = self._git("rev-parse", "HEAD").stdout.strip()
        if self._git("push", "--quiet", "origin", "HEAD:main", check=False).returncode == 0:
            self.landed.append(commit)
        else:
            self._tried = commit

    def _looked(self) -> bool:
        """Stand on the newest main; False: the server fails for everybody."""
        if self._git("fetch", "--quiet", "origin", "main", check=False).returncode:
            return False
        self._git("reset", "--quiet", "--hard", "FETCH_HEAD")
        if self._tried and self._git("merge-base", "--is-ancestor", self._tried, "HEAD", check=False).returncode == 0:
            self.landed.append(self._tried)  # only the answer was lost
        self._tried = ""
        return True

    def _git(self, *command: str, at: Path | None = None, check: bool = True) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["git", "-C", str(at or self._folder), *command],
            check=check,
            capture_output=True,
            text=True,
            env=dict(self._environment),
        )


@contextmanager
def competitor(folder: Path, url: str, environment: Mapping[str, str]) -> Iterator[Competitor]:
    """One at work; it has ended at the end of the block."""
    writer = Competitor(folder, url, environment)
    writer.start()
    try:
        yield writer
    finally:
        writer.end()
