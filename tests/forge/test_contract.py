"""The contract of forges, over plain branches and a fake Gitea; tests/e2e/test_gitea.py runs it over a real one."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest

from syncer.protocol.secret import Secret
from tests.core.observations import NOW
from tests.forge.contract import ForgeContract, PullRequestContract, Sites
from tests.forge.fake_gitea import FakeGitea, paged
from tests.forge.site import PERSON, ROBOT, PeopleOfGit, PeopleOfGitea, Site, content
from tests.forge.wire import TOKEN, FakeServer, serving
from tests.simulator.repository import MemoryRemote, MemoryRepository
from workers.documents.kinds import AutomaticClass, Forge
from workers.forge.git import GitForge
from workers.forge.gitea import GiteaForge
from workers.forge.rest import HttpRest

REPOSITORY = "acme/mesh"


def site_on(remote: MemoryRemote, forges: Any, people: Any) -> Site:
    robot = MemoryRepository(remote, author=ROBOT, people=False)
    return Site(robot, MemoryRepository(remote, author=PERSON), forges, people)


class TestGit(ForgeContract):
    """Plain branches."""

    @pytest.fixture
    def sites(self) -> Sites:
        def make(*automatic: AutomaticClass, **rules: Any) -> Site:
            del rules
            remote = MemoryRemote(content(automatic=automatic), author=PERSON, when=NOW)
            return site_on(remote, GitForge, PeopleOfGit(MemoryRepository(remote, author=PERSON)))

        return make


class TestFakeGitea(PullRequestContract):
    """A fake behind HTTP."""

    @pytest.fixture
    def server(self) -> Iterator[FakeServer]:
        settings = Forge(type="gitea", url="http://127.0.0.1", repository=REPOSITORY)
        with serving(FakeGitea(MemoryRemote(content(forge=settings), author=PERSON, when=NOW))) as running:
            yield running

    @pytest.fixture
    def calls(self, server: FakeServer) -> list[str]:
        return server.requests

    @pytest.fixture
    def alice(self, server: FakeServer) -> PeopleOfGitea:
        return people_of(server.fake)

    @pytest.fixture
    def sites(self, server: FakeServer, alice: PeopleOfGitea) -> Sites:
        def make(*automatic: AutomaticClass, **rules: Any) -> Site:
            settings = Forge(type="gitea", url=server.url, repository=REPOSITORY)
            fake = server.fake
            fake.remote = MemoryRemote(content(automatic=automatic, forge=settings), author=PERSON, when=NOW)
            fake.rules = rules
            forge = GiteaForge(settings, credentials, HttpRest(f"{server.url}/api/v1", credentials, apart=0))
            return site_on(fake.remote, lambda _: forge, alice)

        return make


def people_of(fake: FakeGitea) -> PeopleOfGitea:
    """People who ask a fake without a wire."""

    def ask(user: str, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        parts = urlsplit(path)
        query = dict(parse_qsl(parts.query))
        status, value = fake.ask(user, method, parts.path, body, query)
        return status, paged(value, query)[0]

    return PeopleOfGitea(ask, REPOSITORY)


def credentials() -> tuple[str, Secret]:
    return "robot", Secret(TOKEN)
