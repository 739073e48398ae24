"""What every forge must do, whatever people review on. A forge is held to it by a class that gives it a `site`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

import pytest

from syncer.protocol.errors import PeermeshError
from tests import meshes
from tests.border.processes import wait_until
from tests.core.observations import offer
from tests.forge.site import BOOKS, CART, SHOP, PeopleOfGitea, Site, Style
from workers.documents import paths
from workers.documents.kinds import AutomaticClass
from workers.flush import flush
from workers.outside import Forges
from workers.sweep import sweep

STYLES: Sequence[Style] = ("merge", "squash", "rebase")
CHANGED = offer("shop/cart", ports=(meshes.port(8080, "http", "HTTP"),))


class Sites(Protocol):
    """Makes a mesh: which classes are automatic, and what the forge asks for before it merges into main."""

    def __call__(self, *automatic: AutomaticClass, **rules: Any) -> Site: ...


class ForgeContract:
    """What holds for plain branches and for pull requests."""

    def test_what_is_proposed_is_open_for_people_with_title_text_and_class(self, sites: Sites) -> None:
        site = sites()
        site.hears(offer("shop/cart"), offer("books/reviews"))
        site.works()
        seen = site.people.open()
        assert {SHOP, BOOKS} == seen.keys()
        assert "shop: export cart from west" == seen[SHOP].title
        assert "## Who can call what" in seen[SHOP].body
        assert frozenset({"export"}) == seen[SHOP].classes
        assert site.heads() == {branch: one.head for branch, one in seen.items()}

    def test_a_proposal_that_changes_is_changed_in_place(self, sites: Sites) -> None:
        site = sites()
        site.hears(offer("shop/cart"))
        site.works()
        before = site.people.open()[SHOP]
        site.hears(CHANGED, offer("shop/till"))
        site.works()
        seen = site.people.open()
        assert {SHOP} == seen.keys()
        assert "shop: export cart from west, export till from west" == seen[SHOP].title
        assert (site.heads()[SHOP], True) == (seen[SHOP].head, "8080" in seen[SHOP].body)
        assert before.head != seen[SHOP].head

    @pytest.mark.parametrize("style", STYLES)
    def test_what_people_merge_is_done_and_the_next_one_is_opened(self, sites: Sites, style: Style) -> None:
        site = sites()
        site.hears(offer("shop/cart"))
        site.works()
        merged = site.remote().branches[SHOP].change
        site.people.approve(SHOP)
        site.people.merge(SHOP, style)
        site.works()
        assert all(site.remote().files.blob(path) == new for path, (_, new) in merged.items())
        assert ({}, {}) == (site.heads(), site.people.open())
        site.hears(CHANGED)
        site.works()
        assert (frozenset({"change"}), frozenset()) == (site.people.open()[SHOP].classes, site.remote().rejected)

    def test_what_people_close_is_not_opened_again_until_it_changes(self, sites: Sites) -> None:
        site = sites()
        site.hears(offer("shop/cart"), offer("books/reviews"))
        site.works()
        site.people.close(SHOP)
        for _ in range(3):
            site.works()
            site.waits(minutes=5)
            site.heartbeat()
        assert ({BOOKS}, {BOOKS}) == site.standing()
        assert {CART} == {path for path, _ in site.remote().rejected}
        site.hears(CHANGED, offer("books/reviews"))
        site.works()
        assert {SHOP, BOOKS} == site.people.open().keys()

    def test_a_revert_on_main_is_not_fought(self, sites: Sites) -> None:
        site = sites()
        site.hears(offer("shop/cart"))
        site.works()
        before, change = site.remote().files, site.remote().branches[SHOP].change
        site.people.approve(SHOP)
        site.people.merge(SHOP)
        site.works()
        site.reverts(change, before)
        site.works()
        site.heartbeat()
        site.works()
        assert ({}, {}) == (site.heads(), site.people.open())
        site.hears(CHANGED)
        site.works()
        assert {SHOP} == site.people.open().keys()

    def test_heartbeats_of_ten_minutes_touch_nothing(self, sites: Sites) -> None:
        site = sites()
        site.hears(offer("shop/cart"))
        site.works()
        before, seen = site.remote().refs, site.people.open()
        for _ in range(10):
            site.waits(minutes=1)
            site.heartbeat()
            assert all(not report.pushed for report in site.works())
        assert (before, seen) == (site.remote().refs, site.people.open())

    def test_update_branch_leaves_the_branch_alone(self, sites: Sites) -> None:
        site = sites()
        site.hears(offer("shop/cart"))
        site.works()
        site.commits(paths.MAIN, {"README.md": b"Something else.\n"})
        site.works()
        site.people.update(SHOP)
        updated = site.heads()
        site.heartbeat()
        site.works()
        assert updated == site.heads()
        assert not site.remote().branches[SHOP].foreign
        site.people.approve(SHOP)
        site.people.merge(SHOP)
        site.works()
        assert ({}, True) == (site.people.open(), site.remote().files.blob(CART) is not None)

    def test_an_edit_of_people_stops_the_robot_and_is_told(self, sites: Sites) -> None:
        site = sites()
        site.hears(offer("shop/cart"))
        site.works()
        edited = site.commits(f"refs/heads/{SHOP}", {CART: b"by hand\n"})
        site.hears(CHANGED)
        reports = site.works()
        assert (edited, ({SHOP}, {SHOP})) == (site.heads()[SHOP], site.standing())
        assert "somebody else changed this branch" in reports[-1].said[SHOP]

    def test_what_came_to_main_another_way_is_closed(self, sites: Sites) -> None:
        site = sites()
        site.hears(offer("shop/cart"))
        site.works()
        branch = site.remote().branches[SHOP]
        site.commits(paths.MAIN, {path: branch.files.read(path) for path in branch.change})
        site.works()
        assert ({}, {}) == (site.heads(), site.people.open())

    def test_what_is_automatic_merges_by_itself_and_the_rest_waits(self, sites: Sites) -> None:
        site = sites("export")
        site.hears(offer("shop/cart"), offer("books/reviews"))
        site.works()
        assert ({}, {}) == (site.heads(), site.people.open())
        assert site.remote().files.blob(CART) is not None
        site.hears(CHANGED, offer("books/reviews"))
        site.works()
        assert ({SHOP}, {SHOP}) == site.standing()


class PullRequestContract(ForgeContract):
    """What holds where there are pull requests."""

    def test_a_heartbeat_costs_one_call_and_writes_nothing(self, sites: Sites, calls: list[str]) -> None:
        site = sites()
        site.hears(*(offer(f"team-{number}/cart") for number in range(5)))
        site.works()
        site.waits(minutes=5)
        site.heartbeat()
        calls.clear()
        site.works()
        assert 1 == len(calls)

    def test_a_worker_that_dies_between_push_and_opening_leaves_nothing_unopened(self, sites: Sites) -> None:
        site = sites()
        site.hears(offer("shop/cart"), offer("books/reviews"))
        with pytest.raises(Died):
            flush(site.robot, dying(site.forges, "publish"), site.inbox, site.now)
        assert ({SHOP, BOOKS}, set()) == site.standing()
        site.warm = None
        site.works()
        assert {SHOP, BOOKS} == site.people.open().keys()

    def test_a_worker_that_dies_after_opening_opens_no_second_one(self, sites: Sites) -> None:
        site = sites()
        site.hears(offer("shop/cart"))
        with pytest.raises(Died):
            flush(site.robot, dying(site.forges, "publish", after=True), site.inbox, site.now)
        site.works()
        assert {SHOP} == site.people.open().keys()

    def test_news_after_a_refusal_is_opened_although_the_worker_died_before(self, sites: Sites) -> None:
        site = sites()
        site.hears(offer("shop/cart"))
        site.works()
        site.people.close(SHOP)
        site.works()
        site.hears(CHANGED)
        sweep(site.robot.fetch(), site.forges, site.inbox, site.now)
        with pytest.raises(Died):
            flush(site.robot, dying(site.forges, "publish"), site.inbox, site.now)
        assert ({SHOP}, set()) == site.standing()
        site.works()
        assert ({SHOP}, {SHOP}) == site.standing()

    def test_one_that_somebody_else_opened_for_the_branch_is_taken_over(
        self, sites: Sites, alice: PeopleOfGitea
    ) -> None:
        site = sites()
        site.hears(offer("shop/cart"))
        with pytest.raises(Died):
            flush(site.robot, dying(site.forges, "publish"), site.inbox, site.now)
        people = alice
        people.done("POST", "/pulls", {"head": SHOP, "base": "main", "title": "For the robot", "body": ""})
        site.works()
        assert "shop: export cart from west" == site.people.open()[SHOP].title

    def test_an_edit_of_people_is_answered_once_on_the_pull_request(self, sites: Sites, alice: PeopleOfGitea) -> None:
        site = sites()
        site.hears(offer("shop/cart"))
        site.works()
        site.commits(f"refs/heads/{SHOP}", {CART: b"by hand\n"})
        for _ in range(3):
            site.works()
            site.waits(minutes=2)
            site.inbox.mark("main")
        number = alice.number(SHOP)
        assert "stopped" in site.people.open()[SHOP].classes
        assert 1 == len([said for said in _comments(alice, number) if "somebody else changed this branch" in said])

    def test_a_draft_keeps_its_title_and_is_not_merged(self, sites: Sites, alice: PeopleOfGitea) -> None:
        site = sites("change")
        site.hears(offer("shop/cart"))
        site.works()
        number = alice.number(SHOP)
        alice.done("PATCH", f"/pulls/{number}", {"title": "WIP: shop: export cart from west"})
        site.hears(CHANGED)
        site.works()
        assert "WIP: shop: export cart from west" == site.people.open()[SHOP].title

    def test_closed_says_why(self, sites: Sites, alice: PeopleOfGitea) -> None:
        site = sites()
        site.hears(offer("shop/cart"))
        site.works()
        number = alice.number(SHOP)
        branch = site.remote().branches[SHOP]
        site.commits(paths.MAIN, {path: branch.files.read(path) for path in branch.change})
        site.works()
        assert ["peermesh: closed, main has all of it."] == _comments(alice, number)

    def test_the_label_follows_the_class(self, sites: Sites, alice: PeopleOfGitea) -> None:
        site = sites()
        site.hears(offer("shop/cart"))
        site.works()
        site.people.merge(SHOP)
        site.works()
        site.hears(CHANGED)
        site.works()
        alice.done("POST", f"/issues/{alice.number(SHOP)}/labels", {"labels": [_label(alice, "of people")]})
        site.hears(CHANGED, offer("shop/till"))
        site.works()
        assert {"change", "export", "of people"} == site.people.open()[SHOP].classes
        site.hears(offer("shop/cart"), offer("shop/till"))
        site.works()
        assert {"export", "of people"} == site.people.open()[SHOP].classes

    def test_with_required_approvals_only_this_head_counts(self, sites: Sites, alice: PeopleOfGitea) -> None:
        site = sites("export", required_approvals=1, dismiss_stale_approvals=True)
        site.hears(offer("shop/cart"))
        told = site.works()
        assert "waits for an approval" in told[-1].said[SHOP]
        site.people.approve(SHOP)
        site.hears(CHANGED)
        reports = site.works()
        assert [()] * len(reports) == [report.merged for report in reports]
        # The forge dismisses late, and whatever approval it finds then.
        reviews = f"/pulls/{alice.number(SHOP)}/reviews"
        wait_until(lambda: all(one["dismissed"] for one in alice.done("GET", reviews)), what="it to be dismissed")
        site.people.approve(SHOP)
        # What happens twice in a second looks like one thing (`updated_at`); a minute later it is looked at anyway.
        site.waits(minutes=1)
        site.works()
        assert ({}, {}) == (site.heads(), site.people.open())
        assert b"8080" in site.remote().files.read(CART)

    def test_required_checks_are_waited_for(self, sites: Sites, alice: PeopleOfGitea) -> None:
        site = sites("export", enable_status_check=True, status_check_contexts=["peermesh"])
        site.hears(offer("shop/cart"))
        assert "waits for the check 'peermesh'" in site.works()[-1].said[SHOP]
        alice.done("POST", f"/statuses/{site.heads()[SHOP]}", {"context": "peermesh", "state": "success"})
        site.waits(minutes=1)
        site.works()
        assert {} == site.people.open()

    def test_somebody_elses_head_is_left_to_people(self, sites: Sites, alice: PeopleOfGitea) -> None:
        """The change is the robot's, but a person made the commit: whoever did that is there to merge it."""
        site = sites("export", enable_status_check=True, status_check_contexts=["peermesh"])
        site.hears(offer("shop/cart"))
        site.works()
        site.commits(paths.MAIN, {"README.md": b"Something else.\n"})
        site.works()
        site.people.update(SHOP)
        alice.done("POST", f"/statuses/{site.heads()[SHOP]}", {"context": "peermesh", "state": "success"})
        site.waits(minutes=1)
        reports = site.works()
        assert [()] * len(reports) == [report.merged for report in reports]
        site.people.merge(SHOP)
        site.works()
        assert (set(), set()) == site.standing()


class Died(PeermeshError):
    """The worker was killed."""

    def __init__(self) -> None:
        super().__init__("Died", "the worker was killed")


def dying(forges: Forges, method: str, *, after: bool = False) -> Forges:
    """The same forges, with a worker that dies before or after the first call of a method."""

    def made(settings: Any) -> Any:
        forge = forges(settings)
        inner: Callable[..., Any] = getattr(forge, method)

        def dies(*arguments: Any, **options: Any) -> Any:
            if after:
                inner(*arguments, **options)
            raise Died

        return _Replaced(forge, method, dies)

    return made


class _Replaced:
    def __init__(self, inner: Any, name: str, value: Any) -> None:
        self._inner = inner
        setattr(self, name, value)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)


def _comments(people: PeopleOfGitea, number: int) -> list[str]:
    return [comment["body"] for comment in people.done("GET", f"/issues/{number}/comments")]


def _label(people: PeopleOfGitea, name: str) -> int:
    return int(people.done("POST", "/labels", {"name": name, "color": "#00aabb"})["id"])
