"""Pull requests where the contract doesn't look: among many others, behind main, when the forge is odd."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from syncer.protocol.errors import HumanNeeded, Transient
from syncer.protocol.secret import Secret
from tests.core.observations import NOW, offer
from tests.forge.contract import CHANGED, Died, dying
from tests.forge.fake_gitea import FakeGitea
from tests.forge.site import BOOKS, CART, PERSON, SHOP, PeopleOfGitea, Site, content
from tests.forge.test_contract import people_of, site_on
from tests.forge.wire import MemoryRest
from tests.simulator.repository import MemoryRemote
from workers.documents import paths
from workers.documents.kinds import AutomaticClass, Forge
from workers.flush import flush
from workers.forge.gitea import GiteaForge
from workers.forge.rest import Answer, HttpRest
from workers.outside import Update
from workers.sweep import sweep

SETTINGS = Forge(type="gitea", url="https://forge.example.org", repository="acme/mesh")


class Forged(Site):
    """A site on a fake forge that a test can get at. `late`: the forge is, with what follows from pushes."""

    def __init__(self, *automatic: AutomaticClass) -> None:
        remote = MemoryRemote(content(automatic=automatic, forge=SETTINGS), author=PERSON, when=NOW)
        self.late = False
        self.fake = FakeGitea(remote, lag=lambda: self.late)
        self.alice: PeopleOfGitea = people_of(self.fake)
        made = site_on(remote, self.forge(), self.alice)
        super().__init__(made.robot, made.person, made.forges, made.people)

    def forge(self, rest: Any = None) -> Callable[[Forge], GiteaForge]:
        """A worker that begins anew."""
        forge = GiteaForge(SETTINGS, lambda: ("robot", Secret("")), rest or MemoryRest(self.fake))
        return lambda _: forge

    def opens(self, *services: str) -> None:
        self.hears(*map(offer, services))
        self.works()


class Odd(MemoryRest):
    """Answers some calls otherwise, each once."""

    def __init__(self, fake: FakeGitea, **answers: Answer) -> None:
        super().__init__(fake)
        self._answers = answers

    def call(self, method: Any, path: str, **asked: Any) -> Answer:
        for end in list(self._answers):
            if method == "POST" and path.endswith(end):
                return self._answers.pop(end)
        return super().call(method, path, **asked)


def test_its_own_are_found_among_more_than_fifty_of_others():
    site = Forged()
    site.opens("shop/cart")
    for number in range(60):
        site.fake.from_fork(f"work-{number}")
    theirs = site.fake.from_fork(SHOP)
    before = len(site.fake.pulls)
    site.warm, site.forges = None, site.forge()
    site.hears(CHANGED)
    site.works()
    assert (before, "Mine") == (len(site.fake.pulls), theirs.title)
    assert "8080" in site.people.open()[SHOP].body
    site.alice.close(SHOP)
    site.works()
    assert ({}, {CART}) == (site.heads(), {path for path, _ in site.remote().rejected})
    assert theirs.open


def test_a_label_of_people_with_our_name_is_taken_and_none_is_made_twice():
    site = Forged()
    site.fake.labels += ["peermesh/export", "peermesh/export"]
    site.opens("shop/cart", "books/reviews")
    assert ["peermesh/export", "peermesh/export"] == site.fake.labels
    assert [{1}, {1}] == [pull.labels for pull in site.fake.pulls]


def test_a_label_that_people_deleted_comes_back():
    site = Forged()
    site.opens("shop/cart")
    site.fake.pulls[0].labels.clear()
    site.inbox.mark("main")
    site.works()
    assert {"export"} == site.people.open()[SHOP].classes


def test_a_lost_answer_is_looked_up():
    """It was opened, and nobody told the robot: "already exists" is a success."""
    site = Forged()
    site.hears(offer("shop/cart"))
    with pytest.raises(Died):
        flush(site.robot, dying(site.forges, "publish"), site.inbox, site.now)
    forge = site.forges(SETTINGS)
    forge.look()
    site.alice.done("POST", "/pulls", {"head": SHOP, "base": "main", "title": "t", "body": ""})
    flush(site.robot, lambda _: _Blind(forge), site.inbox, site.now)
    assert 1 == len(site.fake.pulls)
    assert "shop: export cart from west" == site.people.open()[SHOP].title


class _Blind:
    """Has looked before something was opened."""

    def __init__(self, inner: Any) -> None:
        self._inner = inner

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def look(self) -> str:
        return ""


def test_closed_by_a_late_forge_that_lost_its_branch_is_no_refusal():
    """The robot deletes a branch and makes it again before the forge has noticed; then it closes the old one."""
    site = Forged()
    site.opens("shop/cart")
    site.late = True
    head = site.heads()[SHOP]
    ref = f"refs/heads/{SHOP}"
    site.person.push([Update(ref=ref, old=head, new=None)])
    site.fake.pulls[0].open = False
    site.fake.pulls[0].events += [("close", "robot"), ("delete_branch", "robot")]
    site.person.push([Update(ref=ref, old=None, new=head)])
    site.works()
    assert (({SHOP}, {SHOP}), frozenset()) == (site.standing(), site.remote().rejected)
    assert 2 == len(site.fake.pulls)


def test_what_is_behind_is_made_again_on_the_newest_main_and_then_merged():
    site = Forged("export")
    site.fake.style = "fast-forward-only"
    site.fake.rules = {"required_approvals": 1}
    site.opens("shop/cart")
    site.commits(paths.MAIN, {"README.md": b"Something else.\n"})
    site.works()
    site.fake.rules = {}
    before = site.heads()[SHOP]
    site.waits(minutes=1)
    reports = site.works()
    assert [(SHOP,)] == [report.pushed for report in reports if report.pushed]
    assert (True, {}) == (site.remote().files.blob(CART) is not None, site.heads())
    assert before != site.remote().main


def test_an_approval_that_a_late_forge_has_not_dismissed_yet_is_not_taken_for_one():
    """Gitea 1.26 merges for half a second what nobody approved."""
    site = Forged("export")
    site.fake.rules = {"required_approvals": 1, "dismiss_stale_approvals": True}
    site.opens("shop/cart")
    site.alice.approve(SHOP)
    site.late = True
    site.hears(CHANGED)
    reports = site.works()
    assert [()] * len(reports) == [report.merged for report in reports]
    assert "waits for an approval" in reports[-1].said[SHOP]


def test_a_head_that_moves_while_it_is_merged_is_not_merged():
    site = Forged("export")

    class Overtaken(MemoryRest):
        def call(self, method: Any, path: str, **asked: Any) -> Answer:
            if path.endswith("/merge") and site.heads()[SHOP] == looked_at:
                site.commits(f"refs/heads/{SHOP}", {CART: b"by hand\n"})
            return super().call(method, path, **asked)

    site.fake.rules = {"required_approvals": 1}
    site.opens("shop/cart")
    looked_at = site.heads()[SHOP]
    site.alice.approve(SHOP)
    site.forges = site.forge(Overtaken(site.fake))
    site.works()
    assert (None, False) == (site.remote().files.blob(CART), site.fake.pulls[0].merged)


def test_what_people_close_is_left_out_at_once_of_what_is_proposed_next():
    site = Forged()
    site.opens("shop/cart")
    site.alice.close(SHOP)
    site.hears(offer("shop/cart"), offer("shop/till"))
    sweep(site.robot.fetch(), site.forges, site.inbox, site.now)
    report = flush(site.robot, site.forges, site.inbox, site.now)
    assert ((SHOP,), False) == (report.pushed, CART in site.remote().branches[SHOP].change)
    assert "shop: export till from west" == site.people.open()[SHOP].title


def test_exports_merge_together_and_what_others_are_rendered_on_goes_alone():
    site = Forged("export", "follow-up")
    main = site.remote()
    strays = {"clusters/east/imports/shop/old.yaml": b"kind: ServiceEntry\n"}
    commit = site.person.commit(parents=[main.main], changes=strays, message="By hand\n", when=NOW)
    site.person.push([Update(ref=paths.MAIN, old=main.main, new=commit)])
    site.hears(offer("shop/cart"), offer("books/reviews"))
    merged = [report.merged for report in site.works() if report.merged]
    assert [(paths.RENDER_BRANCH,), (BOOKS, SHOP)] == merged


def test_many_proposals_are_opened_over_several_flushes():
    """Each call waits a second, and a task that takes minutes is killed."""
    site = Forged()
    site.hears(*(offer(f"team-{number:02}/cart") for number in range(21)))
    flush(site.robot, site.forges, site.inbox, site.now)
    assert (15, site.now) == (len(site.fake.pulls), site.inbox.look_again())
    site.works()
    assert 20 == len(site.people.open())
    waits = {"peermesh/exports/team-20": "waits until one of 20 open export proposals is merged or closed"}
    assert waits == site.inbox.said()


def test_a_forge_that_is_away_leaves_everything_marked():
    site = Forged()
    site.hears(offer("shop/cart"))
    nobody = HttpRest("http://127.0.0.1:1", lambda: ("robot", Secret("")))
    with pytest.raises(Transient, match="doesn't answer"):
        flush(site.robot, site.forge(nobody), site.inbox, site.now)
    assert {"west"} == site.inbox.marked().keys()


def test_without_a_token_nothing_is_pushed_and_it_is_said():
    site = Forged()

    def forges(_: Forge) -> GiteaForge:
        raise HumanNeeded("NoForgeToken", "there is no token", subject="PEERMESH_FORGE_TOKEN_FILE")

    site.hears(offer("shop/cart"))
    with pytest.raises(HumanNeeded):
        flush(site.robot, forges, site.inbox, site.now)
    assert ({}, ["PEERMESH_FORGE_TOKEN_FILE"]) == (site.heads(), list(site.inbox.said()))


def test_one_that_the_forge_refuses_does_not_stop_the_others():
    site = Forged()
    site.hears(offer("shop/cart"), offer("books/reviews"))
    odd = Odd(site.fake, pulls=Answer(status=404, message="not found"))
    report = flush(site.robot, site.forge(odd), site.inbox, site.now)
    assert {SHOP} == site.people.open().keys()
    assert "must be the repository that PEERMESH_REPO names" in report.said[BOOKS]
    site.waits(minutes=1)
    site.works()
    assert {SHOP, BOOKS} == site.people.open().keys()


def test_a_sweep_sees_what_people_do_on_the_forge_and_nothing_else():
    site = Forged()
    site.opens("shop/cart")
    assert not sweep(site.robot.fetch(), site.forges, site.inbox, site.now)
    site.alice.approve(SHOP)
    assert sweep(site.robot.fetch(), site.forges, site.inbox, site.now)


def test_main_may_name_another_forge_and_the_next_flush_goes_there():
    site = Forged()
    site.opens("shop/cart")
    site.alice.merge(SHOP)
    mesh = content()[paths.MESH]
    site.commits(paths.MAIN, {paths.MESH: mesh})
    named: list[Forge] = []

    def forges(settings: Forge) -> Any:
        named.append(settings)
        return site.forge()(settings)

    site.forges = forges
    site.works()
    assert {Forge()} == set(named)
