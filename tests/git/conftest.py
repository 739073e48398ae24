"""Repositories for the tests: on a path, behind http, in memory."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path

import pytest

from syncer.protocol.secret import Secret
from tests.git.acts import CONTENT, NOW, PERSON, ROBOT, Place
from tests.servers.git_http import PASSWORD, USER, bare_repository, git_server
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


@pytest.fixture(params=["file", "http", "memory"])
def place(request) -> Place:
    """The three repositories that must behave alike."""

    def of(make: Callable[[tuple[str, str]], Repository]) -> Place:
        return Place(clients=lambda author=ROBOT: make(author), robot=make(ROBOT), person=make(PERSON))

    if request.param == "memory":
        memory = MemoryRemote(CONTENT, author=PERSON, when=NOW)
        return of(lambda author: MemoryRepository(memory, author=author, people=author != ROBOT))
    path = request.getfixturevalue("remote")
    client = request.getfixturevalue("client")
    if request.param == "file":
        return of(lambda author: client(str(path), author))
    url = request.getfixturevalue("server").url("mesh.git")
    return of(lambda author: client(url, author, credentials=(USER, Secret(PASSWORD))))
