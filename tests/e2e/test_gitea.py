"""The contract of forges over a real Gitea, and what only a real one can show."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from syncer.protocol.errors import HumanNeeded, Transient
from syncer.protocol.secret import Secret
from tests.core.observations import offer
from tests.e2e.gitea import Gitea, gitea
from tests.forge.contract import CHANGED, PullRequestContract, Sites
from tests.forge.site import BOOKS, CART, PERSON, ROBOT, SHOP, PeopleOfGitea, Site, content
from workers.documents import paths
from workers.documents.kinds import AutomaticClass, Forge
from workers.flush import flush
from workers.forge.git import GitForge
from workers.forge.gitea import GiteaForge
from workers.forge.rest import Answer, HttpRest, Method
from workers.git import Access, GitRepository
from workers.outside import Forges, Update
from workers.sweep import sweep
from workers.webhook import Webhook

_numbers = itertools.count()


class Counting:
    """`Rest` that keeps what was asked."""

    def __init__(self, inner: HttpRest, calls: list[str]) -> None:
        self._inner = inner
        self._calls = calls

    def call(
        self, method: Method, path: str, *, query: Mapping[str, str | int] | None = None, body: Any = None
    ) -> Answer:
        self._calls.append(f"{method} {path}")
        return self._inner.call(method, path, query=query, body=body)


@pytest.fixture(scope="session")
def forge(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gitea]:
    with gitea(tmp_path_factory.mktemp("gitea")) as running:
        yield running


@pytest.fixture
def repository() -> str:
    """The name of a repository that no other test has."""
    return f"mesh{next(_numbers)}"


@pytest.fixture
def alice(forge: Gitea, repository: str) -> PeopleOfGitea:
    return PeopleOfGitea(forge.ask, f"acme/{repository}")


@pytest.fixture
def calls() -> list[str]:
    """What the adapter asked the forge for."""
    return []


@pytest.fixture
def sites(forge: Gitea, repository: str, alice: PeopleOfGitea, calls: list[str], tmp_path: Path) -> Sites:
    def make(*automatic: AutomaticClass, **rules: Any) -> Site:
        settings = Forge(type="gitea", url=forge.url, repository=f"acme/{repository}")
        forge.repository(repository, content(automatic=automatic, forge=settings))
        forge.protect(settings.repository, **rules)

        def credentials() -> tuple[str, Secret]:
            return "robot", forge.tokens["robot"]

        rest = Counting(HttpRest(f"{forge.url}/api/v1", credentials, apart=0), calls)
        made = GiteaForge(settings, credentials, rest)
        return site_on(forge, settings.repository, tmp_path, lambda _: made, alice)

    return make


def site_on(forge: Gitea, repository: str, folder: Path, forges: Forges, people: PeopleOfGitea) -> Site:
    """A worker with the robot's token, and a person who may push to main."""

    def client(user: str, author: tuple[str, str]) -> GitRepository:
        return GitRepository(
            forge.git_url(repository),
            copy=folder / user,
            author=author,
            access=Access(user=user, password=forge.tokens[user]),
            people=user != "robot",
        )

    return Site(client("robot", ROBOT), client("admin", PERSON), forges, people)


class TestGitea(PullRequestContract):
    """All of it, over HTTP, with the rights of the robot's token."""

    def test_its_own_are_found_among_more_than_fifty_of_others(self, sites: Sites, alice: PeopleOfGitea) -> None:
        site = sites()
        site.hears(offer("shop/cart"))
        site.works()
        remote = site.remote()
        updates = []
        for number in range(51):
            changes = {f"docs/{number}.md": b"Something.\n"}
            commit = site.person.commit(parents=[remote.main], changes=changes, message="Docs\n", when=site.now)
            updates.append(Update(ref=f"refs/heads/docs-{number}", old=None, new=commit))
        for batch in (updates[:17], updates[17:34], updates[34:]):
            assert {"done"} == {outcome.status for outcome in site.person.push(batch).values()}
        for number in range(51):
            alice.done("POST", "/pulls", {"head": f"docs-{number}", "base": "main", "title": f"Docs {number}"})
        before = {pull["number"]: pull["updated_at"] for pull in alice.pulls()}
        site.hears(CHANGED)
        site.works()
        assert "8080" in site.people.open()[SHOP].body
        ours = alice.number(SHOP)
        after = {pull["number"]: pull["updated_at"] for pull in alice.pulls()}
        assert {number: at for number, at in before.items() if number != ours} == {
            number: at for number, at in after.items() if number != ours
        }
        site.people.close(SHOP)
        site.works()
        assert (set(), {CART}) == (site.standing()[0], {path for path, _ in site.remote().rejected})

    def test_update_branch_by_rebase_is_built_over_too(self, sites: Sites, alice: PeopleOfGitea) -> None:
        site = sites()
        site.hears(offer("shop/cart"))
        site.works()
        site.commits(paths.MAIN, {"README.md": b"Something else.\n"})
        site.works()
        alice.update(SHOP, "rebase")
        updated = site.heads()
        site.heartbeat()
        site.works()
        assert (updated, False) == (site.heads(), site.remote().branches[SHOP].foreign)

    @pytest.mark.parametrize("style", ["squash", "rebase", "fast-forward-only"])
    def test_the_robot_merges_as_the_repository_says(
        self, sites: Sites, forge: Gitea, repository: str, style: str
    ) -> None:
        site = sites("export", "change")
        forge.done("admin", "PATCH", f"/repos/acme/{repository}", {"default_merge_style": style})
        site.hears(offer("shop/cart"))
        site.works()
        site.commits(paths.MAIN, {"README.md": b"Something else.\n"})
        site.hears(CHANGED)
        site.works()
        assert (set(), set()) == site.standing()
        assert (b"8080" in site.remote().files.read(CART), frozenset()) == (True, site.remote().rejected)

    def test_one_branch_that_people_protect_does_not_hold_the_others(
        self, sites: Sites, forge: Gitea, repository: str
    ) -> None:
        site = sites()
        rule = {"rule_name": BOOKS, "enable_push": False}
        forge.done("admin", "POST", f"/repos/acme/{repository}/branch_protections", rule)
        site.hears(offer("shop/cart"), offer("books/reviews"))
        sweep(site.robot.fetch(), site.forges, site.inbox, site.now)
        report = flush(site.robot, site.forges, site.inbox, site.now)
        assert ((SHOP,), (f"refs/heads/{BOOKS}",)) == (report.pushed, report.refused)
        assert ({SHOP}, {SHOP}) == site.standing()
        assert "protected" in report.said[f"refs/heads/{BOOKS}"]


def test_a_protected_main_refuses_the_robot_of_plain_branches_and_says_so(
    forge: Gitea, repository: str, alice: PeopleOfGitea, tmp_path: Path
) -> None:
    full = forge.repository(repository, content(automatic=["export"]))
    forge.protect(full)
    site = site_on(forge, full, tmp_path, GitForge, alice)
    site.hears(offer("shop/cart"))
    sweep(site.robot.fetch(), site.forges, site.inbox, site.now)
    report = flush(site.robot, site.forges, site.inbox, site.now)
    assert ((), (SHOP,)) == (report.merged, report.pushed)
    assert "(error: Not allowed to push to protected branch main)" in report.said[paths.MAIN]


@pytest.mark.parametrize(
    ("user", "scopes", "part"),
    [
        ("robot", "read:user", "write:repository, write:issue"),
        ("robot", None, "PEERMESH_FORGE_TOKEN_FILE"),
    ],
    ids=["a scope is missing", "a wrong token"],
)
def test_a_token_that_does_not_open_is_said_with_the_setting(
    forge: Gitea, repository: str, user: str, scopes: str | None, part: str
) -> None:
    settings = Forge(type="gitea", url=forge.url, repository=forge.repository(repository, content()))
    token = forge.token(user, scopes) if scopes else Secret("0" * 40)
    with pytest.raises(HumanNeeded, match=part) as caught:
        GiteaForge(settings, lambda: (user, token)).look()
    assert token.reveal() not in str(caught.value)


def test_a_repository_that_is_not_there_and_a_forge_that_is_away_are_told_apart(forge: Gitea) -> None:
    def credentials() -> tuple[str, Secret]:
        return "robot", forge.tokens["robot"]

    with pytest.raises(HumanNeeded, match=r"spec\.approval\.forge"):
        GiteaForge(Forge(type="gitea", url=forge.url, repository="acme/nowhere"), credentials).look()
    with pytest.raises(HumanNeeded, match="isn't the API of a forge"):
        HttpRest(f"{forge.url}/user/login?", credentials).call("GET", "")
    with pytest.raises(Transient, match="doesn't answer"):
        GiteaForge(Forge(type="gitea", url="http://127.0.0.1:1", repository="acme/mesh"), credentials).look()


def test_what_a_real_forge_sends_is_signed_as_the_webhook_expects(
    forge: Gitea, repository: str, alice: PeopleOfGitea
) -> None:
    full = forge.repository(repository, content())
    heard = threading.Event()
    webhook = Webhook(("127.0.0.1", 0), lambda: Secret("s3cret"), heard.set)
    serving = threading.Thread(target=webhook.serve)
    serving.start()
    try:
        host, port = webhook.address
        config = {"url": f"http://{host}:{port}/", "content_type": "json", "secret": "s3cret"}
        hook = {"type": "gitea", "active": True, "events": ["push", "create"], "config": config}
        forge.done("admin", "POST", f"/repos/{full}/hooks", hook)
        alice.done("POST", "/branches", {"new_branch_name": "something"})
        assert heard.wait(60)
    finally:
        webhook.end()
        serving.join()
