"""Calling `peermesh`: in this process, as a process, and in a terminal; and what it is called on."""

from __future__ import annotations

import fcntl
import os
import pty
import shutil
import struct
import subprocess
import sys
import termios
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from click.testing import CliRunner

import workers.cli
from workers.cli import main

MANIFESTS = Path(workers.cli.__file__).parent / "demo" / "manifests"
CLUSTERS = ("west", "east", "north")
KEY, OTHER_KEY, THIRD_KEY = (f"ed25519:{letter * 43}=" for letter in "AEI")


class Said(NamedTuple):
    code: int
    stdout: str
    stderr: str


def call(*arguments: object) -> Said:
    """In this process, not on a terminal."""
    result = CliRunner().invoke(main, [str(argument) for argument in arguments], prog_name="peermesh")
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return Said(result.exit_code, result.stdout, result.stderr)


def done(*arguments: object) -> str:
    """What it printed; it must have ended with 0."""
    said = call(*arguments)
    assert (0, "") == (said.code, said.stderr), said
    return said.stdout


def process(*arguments: object, **environment: str) -> Said:
    """As a process, not on a terminal."""
    ran = subprocess.run(
        _command(arguments), check=False, capture_output=True, text=True, env={**os.environ, **environment}, timeout=60
    )
    return Said(ran.returncode, ran.stdout, ran.stderr)


def on_terminal(*arguments: object, columns: int = 100, **environment: str) -> Said:
    """As a process on a terminal of so many columns; both streams are what the terminal shows."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 40, columns, 0, 0))
    unset = {"NO_COLOR", "COLUMNS", "FORCE_COLOR"}
    inherited = {name: value for name, value in os.environ.items() if name not in unset}
    env = {**inherited, "TERM": "xterm-256color", **environment}
    shown = b""
    with subprocess.Popen(_command(arguments), stdin=theirs, stdout=theirs, stderr=theirs, env=env) as running:
        os.close(theirs)
        with suppress(OSError):  # how Linux says that nobody holds the terminal any more
            while piece := os.read(ours, 65536):
                shown += piece
        os.close(ours)
    text = shown.decode().replace("\r\n", "\n")
    return Said(running.returncode, text, text)


def _command(arguments: Iterable[object]) -> list[str]:
    return [sys.executable, "-m", "workers.cli", *map(str, arguments)]


def mesh_with_clusters(folder: Path, *names: str) -> Path:
    """A mesh repository as `init` and `cluster add` make it."""
    done("init", folder, "--name", "shop")
    for name in names or CLUSTERS:
        done("cluster", "add", name, "--repo", folder, "--network", name, "--trust-domain", f"{name}.shop.example")
    return folder


def manifests(folder: Path) -> Path:
    """The demo's manifests, to be edited."""
    shutil.copytree(MANIFESTS, folder)
    return folder


def sources(folder: Path = MANIFESTS, *names: str) -> list[str]:
    """`--from` for these clusters."""
    return [part for name in names or CLUSTERS for part in ("--from", f"{name}={folder / name}")]


def files_in(folder: Path) -> dict[str, bytes]:
    """All files below a folder but Git's."""
    found = (path for path in folder.rglob("*") if path.is_file() and ".git" not in path.relative_to(folder).parts)
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in sorted(found)}
