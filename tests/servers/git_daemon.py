"""A Git server over git:// that belongs to one test: `git daemon`, which asks nobody who they are.

Listens on loopback, on a free port; ended with everything that it started.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.servers.listening import limited, listening


@contextmanager
def git_daemon(root: Path, *, log: Path, file_kilobytes: int | None = None) -> Iterator[int]:
    """Serves the bare repositories below `root`; the port. `file_kilobytes`: no file may become larger, as on a disk
    that is full.
    """

    def command(port: int) -> list[str]:
        return limited(
            file_kilobytes,
            "git",
            "daemon",
            "--reuseaddr",
            "--listen=127.0.0.1",
            f"--port={port}",
            f"--base-path={root}",
            "--export-all",
            "--enable=receive-pack",
            "--informative-errors",
            "--init-timeout=30",
        )

    with listening(command, log) as port:
        yield port
