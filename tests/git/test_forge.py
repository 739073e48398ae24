"""What people do with proposals where there is no forge: approve, reject, reopen, pause."""

from __future__ import annotations

from datetime import timedelta

import pytest

from syncer.protocol.errors import HumanNeeded, Rejected, Transient
from syncer.protocol.secret import Secret
from tests.git.acts import (
    BRANCH,
    CART,
    CHANGED,
    CONTENT,
    NOW,
    TILL,
    WEST,
    commit_on_branch,
    commit_on_main,
    propose,
    push,
    ref,
)
from workers.documents import paths
from workers.documents.kinds import Forge as ForgeSettings
from workers.forge import FORGES
from workers.forge.git import approve, pause, reject, reopen, resume
from workers.outside import Outcome
from workers.tree import Problem, blob_id, change_digest

LATER = NOW + timedelta(hours=2)
pytestmark = pytest.mark.parametrize("place", ["file", "memory"], indirect=True)  # transports have their own tests


def fine(files, base):
    """A check that finds nothing."""
    del files, base
    return ()


def digest(place):
    return change_digest(place.person.fetch().branches[BRANCH].change)


def test_forge_git_merges_in_the_push_and_shows_nothing_that_is_open_elsewhere(place):
    forge = FORGES["git"](ForgeSettings(), lambda: ("robot", Secret("never asked for")))
    assert (True, "", frozenset()) == (forge.merges_in_push, forge.look(), forge.rejected(place.robot.fetch()))


# --- approve


def test_an_approved_branch_is_on_main_and_gone(place):
    propose(place.robot)
    merged = approve(place.person, BRANCH, digest(place), check=fine, when=LATER)
    seen = place.robot.fetch()
    assert ({paths.MAIN: merged}, {**CONTENT, **CHANGED}) == (
        seen.refs,
        {path: seen.files.read(path) for path, _ in seen.files.under("")},
    )
    assert (LATER, frozenset()) == (seen.main_time, seen.taken_back)


def test_approved_is_what_was_looked_at_whatever_else_main_got_meanwhile(place):
    propose(place.robot)
    looked_at = digest(place)
    commit_on_main(place.robot, {TILL: b"kind: Export\n"})
    approve(place.person, BRANCH, looked_at, check=fine, when=LATER)
    files = place.robot.fetch().files
    assert (b"kind: Export\n", CHANGED[CART]) == (files.read(TILL), files.read(CART))


def test_main_that_moves_while_it_is_approved_is_merged_with(place):
    propose(place.robot)
    seen: list[tuple[object, object]] = []

    def check(files, base):
        """Somebody else pushes while this runs, once."""
        if not seen:
            commit_on_main(place.robot, {TILL: b"kind: Export\n"})
        seen.append((files.blob(TILL), base.blob(TILL)))
        return ()

    approve(place.person, BRANCH, digest(place), check=check, when=LATER)
    till = blob_id(b"kind: Export\n")
    assert [(None, None), (till, till)] == seen
    assert b"kind: Export\n" == place.robot.fetch().files.read(TILL)


@pytest.mark.parametrize("moves", ["edited", "made again", "deleted"])
def test_another_change_than_the_one_looked_at_is_not_approved(place, moves):
    head = propose(place.robot)
    looked_at = digest(place)
    if moves == "edited":
        commit_on_branch(place.person, {CART: b"by hand\n"})
    elif moves == "made again":
        propose(place.robot, {CART: b"kind: Export # 3\n"})
    else:
        push(place.robot, ref(BRANCH), head, None)
    before = place.person.fetch().refs
    with pytest.raises(Rejected) as caught:
        approve(place.person, BRANCH, looked_at, check=fine, when=LATER)
    assert ("NoBranch" if moves == "deleted" else "ChangeMoved") == caught.value.reason
    assert before == place.robot.fetch().refs


def test_what_no_longer_merges_is_not_approved(place):
    propose(place.robot)
    commit_on_main(place.person, {CART: b"by hand\n"})
    with pytest.raises(Rejected, match="main changed the same files since") as caught:
        approve(place.person, BRANCH, digest(place), check=fine, when=LATER)
    assert "NoLongerMerges" == caught.value.reason


def test_a_result_that_is_not_valid_is_not_pushed(place):
    propose(place.robot)
    before = place.person.fetch().refs
    problem = Problem(path=CART, line=3, what="unknown key", remedy="Take it out")
    with pytest.raises(Rejected, match=r"cart\.yaml:3: unknown key\. Take it out"):
        approve(place.person, BRANCH, digest(place), check=lambda *_: [problem], when=LATER)
    assert before == place.robot.fetch().refs


def test_an_edit_by_people_can_be_approved_like_any_change(place):
    propose(place.robot)
    commit_on_branch(place.person, {"mesh/mesh.yaml": b"kind: Mesh # 2\n"})
    approve(place.person, BRANCH, digest(place), check=fine, when=LATER)
    assert b"kind: Mesh # 2\n" == place.robot.fetch().files.read("mesh/mesh.yaml")


@pytest.mark.parametrize(
    ("outcome", "error", "part"),
    [
        (Outcome(status="refused", message="protected branch"), HumanNeeded, "the remote refuses the push: protected"),
        (Outcome(status="unknown", message="curl 52"), Transient, "nobody knows whether this was done: curl 52"),
        (Outcome(status="stale", message="stale info"), Transient, "moved again and again"),
    ],
)
def test_a_push_that_is_not_done_is_said(place, monkeypatch, outcome, error, part):
    propose(place.robot)
    looked_at = digest(place)
    monkeypatch.setattr(place.person, "push", lambda updates, **_: {update.ref: outcome for update in updates})
    with pytest.raises(error, match=part):
        approve(place.person, BRANCH, looked_at, check=fine, when=LATER)


# --- reject and reopen


def test_a_rejected_branch_is_gone_and_its_facts_are_remembered(place):
    propose(
        place.robot, {**CHANGED, TILL: b"kind: Export\n", WEST: None, "facts/hosts/shop/till.yaml": b"kind: Host\n"}
    )
    rejected = {(CART, blob_id(b"kind: Export # 2\n")), (TILL, blob_id(b"kind: Export\n")), (WEST, None)}
    assert rejected == reject(place.person, BRANCH, when=LATER)
    seen = place.robot.fetch()
    assert ({}, rejected, {paths.MAIN, paths.REJECTED}) == (seen.branches, seen.rejected, set(seen.refs))


def test_what_was_rejected_before_stays_so(place):
    propose(place.robot)
    reject(place.person, BRANCH, when=LATER)
    propose(place.robot, {TILL: b"kind: Export\n"})
    reject(place.person, BRANCH, when=LATER)
    assert {CART, TILL} == {path for path, _ in place.robot.fetch().rejected}


def test_a_branch_without_facts_is_only_deleted(place):
    propose(place.robot, {path: data for path, data in CHANGED.items() if path != CART}, branch=paths.RENDER_BRANCH)
    assert frozenset() == reject(place.person, paths.RENDER_BRANCH, when=LATER)
    assert {paths.MAIN} == place.robot.fetch().refs.keys()


def test_who_rejects_leaves_to_the_robot_what_others_took_back(place):
    propose(place.robot, {TILL: b"kind: Export\n"})
    commit_on_main(place.person, {CART: None})
    reject(place.person, BRANCH, when=LATER)
    assert {(CART, blob_id(CONTENT[CART]))} == place.robot.fetch().taken_back


def test_no_such_branch_names_those_that_there_are(place):
    propose(place.robot)
    with pytest.raises(Rejected, match=f"peermesh/render: there is no such branch; open are: {BRANCH}"):
        reject(place.person, "peermesh/render", when=LATER)


@pytest.mark.parametrize(
    ("what", "forgotten"),
    [
        (BRANCH, {CART, TILL}),
        ("peermesh/held/shop", {CART, TILL}),
        ("peermesh/clusters/west", {WEST}),
        (CART, {CART}),
        ("facts/exports/shop/west/", {CART, TILL}),
        ("facts", {CART, TILL, WEST}),
    ],
)
def test_what_is_reopened_is_forgotten(place, what, forgotten):
    propose(place.robot, {**CHANGED, TILL: b"kind: Export\n", WEST: b"new\n"})
    reject(place.person, BRANCH, when=LATER)
    assert forgotten == {path for path, _ in reopen(place.person, what, when=LATER)}
    assert {CART, TILL, WEST} - forgotten == {path for path, _ in place.robot.fetch().rejected}


def test_what_was_taken_back_can_be_reopened_and_the_rest_stays_refused(place):
    commit_on_main(place.person, {CART: None, WEST: None})
    assert {(CART, blob_id(CONTENT[CART]))} == reopen(place.person, BRANCH, when=LATER)
    seen = place.robot.fetch()
    assert ({(WEST, blob_id(CONTENT[WEST]))}, frozenset()) == (seen.rejected, seen.taken_back)


def test_what_is_not_rejected_can_not_be_reopened(place):
    for what in (BRANCH, "", "facts/exports/sho"):
        with pytest.raises(Rejected, match="nothing of this is rejected"):
            reopen(place.person, what, when=LATER)


# --- pause


def test_a_pause_lasts_until_somebody_resumes(place):
    pause(place.person, "Until the migration is over.", when=LATER)
    pause(place.person, "And a day longer.", when=LATER)
    assert "And a day longer." == place.robot.fetch().paused
    assert (True, False) == (resume(place.person), resume(place.person))
    assert place.robot.fetch().paused is None
