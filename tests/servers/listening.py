"""Servers of other programs on a port of loopback: started, waited for, ended by their process group."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from tests.servers.valkey import free_port

_SECONDS = 60
_TRIES = 5


@contextmanager
def listening(
    command: Callable[[int], Sequence[str]], log: Path, environment: Mapping[str, str] | None = None
) -> Iterator[int]:
    """The port that a program listens on; `command` makes its arguments. Output goes to `log`."""
    process, port = _started(command, log, environment or {})
    try:
        yield port
    finally:
        _end(process)


def limited(file_kilobytes: int | None, *command: str) -> list[str]:
    """The command, so that it and what it starts can't write files larger than that: writing fails, nobody is killed.

    What EFBIG is here ENOSPC is on a full disk; git tells neither apart from the other.
    """
    if file_kilobytes is None:
        return list(command)
    # `ulimit -f` counts 512 bytes in dash (POSIX).
    return ["sh", "-c", f'trap "" XFSZ; ulimit -f {2 * file_kilobytes}; exec "$@"', "sh", *command]


def _started(
    command: Callable[[int], Sequence[str]], log: Path, environment: Mapping[str, str]
) -> tuple[subprocess.Popen[bytes], int]:
    """Somebody else may take the port first: then it is another one."""
    for _ in range(_TRIES):
        port = free_port()
        with log.open("ab") as out:
            process = subprocess.Popen(
                command(port),
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                env={**_without_git(os.environ), **environment},
                start_new_session=True,
            )
        deadline = time.monotonic() + _SECONDS
        while process.poll() is None and time.monotonic() < deadline:
            with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
                return process, port
            time.sleep(0.02)
        _end(process)
    raise RuntimeError(f"it doesn't listen:\n{log.read_text()}")


def _without_git(inherited: Mapping[str, str]) -> dict[str, str]:
    """A server knows nothing of the settings that a test makes for its clients."""
    return {
        **{name: value for name, value in inherited.items() if not name.startswith("GIT_")},
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_CONFIG_GLOBAL": os.devnull,
    }


def _end(process: subprocess.Popen[bytes]) -> None:
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait(_SECONDS)
