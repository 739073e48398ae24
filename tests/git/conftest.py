"""Repositories for the tests: on a path, behind http, ssh and git://, in memory."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.git.acts import CONTENT, NOW, PERSON, ROBOT, Place
from tests.servers.git_http import bare_repository, git_server
from tests.servers.wires import TRANSPORTS, Transport, Wire, wire
from tests.simulator.repository import MemoryRemote, MemoryRepository
from workers.git import GitRepository
from workers.outside import Repository


@pytest.fixture(autouse=True)
def a_machine_without_settings_of_git(tmp_path, monkeypatch):
    """Tests don't depend on who runs them."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", "/dev/null")
    monkeypatch.setenv("GIT_CONFIG_SYSTEM", "/dev/null")


@pytest.fixture
def remote(tmp_path) -> Path:
    """A bare repository with `CONTENT` on main."""
    return bare_repository(tmp_path / "mesh.git", CONTENT)


@pytest.fixture
def server(tmp_path):
    """A Git server over http; it serves `remote` as `mesh.git`."""
    with git_server(tmp_path) as running:
        yield running


@pytest.fixture
def client(tmp_path) -> Callable[..., GitRepository]:
    """Makes a client of a URL with a copy of its own."""
    numbers = itertools.count()

    def make(url: str, author: tuple[str, str] = ROBOT, **options: object) -> GitRepository:
        copy = tmp_path / f"copy{next(numbers)}"
        return GitRepository(url, copy=copy, author=author, people=author != ROBOT, **options)  # type: ignore[arg-type]

    return make


@pytest.fixture
def wired(tmp_path, remote):
    """Starts a server of a kind for `remote`, as `mesh.git`, behind a cable that breaks."""
    numbers = itertools.count()
    with ExitStack() as running:

        def start(transport: Transport, *, file_kilobytes: int | None = None) -> Wire:
            folder = tmp_path / f"wire{next(numbers)}"
            return running.enter_context(wire(transport, remote.parent, folder, file_kilobytes=file_kilobytes))

        yield start


@pytest.fixture(params=["file", *TRANSPORTS, "memory"])
def place(request) -> Place:
    """The repositories that must behave alike."""

    def of(make: Callable[[tuple[str, str]], Repository]) -> Place:
        return Place(clients=lambda author=ROBOT: make(author), robot=make(ROBOT), person=make(PERSON))

    if request.param == "memory":
        memory = MemoryRemote(CONTENT, author=PERSON, when=NOW)
        return of(lambda author: MemoryRepository(memory, author=author, people=author != ROBOT))
    path = request.getfixturevalue("remote")
    client = request.getfixturevalue("client")
    if request.param == "file":
        return of(lambda author: client(str(path), author))
    served = request.getfixturevalue("wired")(request.param)
    return of(lambda author: client(served.url("mesh.git"), author, access=served.access))
