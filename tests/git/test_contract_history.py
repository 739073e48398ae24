"""The contract of `workers.outside.Repository`, continued: what history means, and what is remembered in it."""

from __future__ import annotations

import pytest

from tests.git.acts import (
    BRANCH,
    CART,
    CART_IMPORT,
    CHANGE_OF_BRANCH,
    CHANGED,
    CONTENT,
    NOW,
    TILL,
    WEST,
    commit_on_branch,
    commit_on_main,
    digest_of,
    propose,
    push,
    ref,
)
from workers.documents import paths
from workers.git.history import CHANGE
from workers.tree import blob_id, change_digest


def test_what_main_changes_elsewhere_leaves_a_branch_as_it_is(place):
    propose(place.robot)
    before = place.robot.fetch().branches[BRANCH]
    commit_on_main(place.person, {"mesh/mesh.yaml": b"kind: Mesh # 2\n"})
    after = place.robot.fetch().branches[BRANCH]
    assert (before.change, False, True) == (after.change, after.foreign, after.merges)


def test_a_branch_whose_files_main_changed_no_longer_merges(place):
    propose(place.robot)
    commit_on_main(place.person, {CART: b"by hand\n"})
    branch = place.robot.fetch().branches[BRANCH]
    assert (CHANGE_OF_BRANCH, False, False) == (branch.change, branch.foreign, branch.merges)


def test_a_merge_of_main_into_the_branch_changes_nothing(place):
    head = propose(place.robot)
    moved = {"mesh/mesh.yaml": b"kind: Mesh # 2\n", TILL: b"kind: Export\n"}
    main = commit_on_main(place.person, moved)
    commit_on_branch(place.person, moved, parents=[head, main])
    branch = place.robot.fetch().branches[BRANCH]
    assert (CHANGE_OF_BRANCH, False, True) == (branch.change, branch.foreign, branch.merges)


def test_a_rebase_with_the_same_change_changes_nothing(place):
    propose(place.robot)
    main = commit_on_main(place.person, {"mesh/mesh.yaml": b"kind: Mesh # 2\n"})
    message = place.person.fetch().branches[BRANCH].message
    commit_on_branch(place.person, CHANGED, parents=[main], message=message)
    branch = place.robot.fetch().branches[BRANCH]
    assert (CHANGE_OF_BRANCH, False, True) == (branch.change, branch.foreign, branch.merges)


def test_an_edit_by_somebody_else_makes_a_branch_foreign(place):
    propose(place.robot)
    commit_on_branch(place.person, {CART: b"by hand\n"})
    assert place.robot.fetch().branches[BRANCH].foreign


def test_an_amended_commit_is_foreign_although_it_kept_the_trailer(place):
    propose(place.robot)
    seen = place.person.fetch()
    message = seen.branches[BRANCH].message
    commit_on_branch(place.person, {**CHANGED, TILL: b"too\n"}, parents=[seen.main], message=message)
    assert place.robot.fetch().branches[BRANCH].foreign


def test_an_edit_that_was_taken_back_is_none(place):
    propose(place.robot)
    commit_on_branch(place.person, {CART: b"by hand\n"})
    commit_on_branch(place.person, {CART: CHANGED[CART]})
    assert not place.robot.fetch().branches[BRANCH].foreign


def test_a_branch_that_was_squashed_into_main_still_shows_its_change(place):
    propose(place.robot)
    commit_on_main(place.person, CHANGED)
    seen = place.robot.fetch()
    assert CHANGE_OF_BRANCH == seen.branches[BRANCH].change
    assert all(seen.files.blob(path) == new for path, (_, new) in CHANGE_OF_BRANCH.items())


def test_a_branch_that_was_merged_changes_nothing_any_more(place):
    head = propose(place.robot)
    commit_on_main(place.person, CHANGED, other=head)
    branch = place.robot.fetch().branches[BRANCH]
    assert ({}, False, True) == (branch.change, branch.foreign, branch.merges)


def test_a_branch_without_anything_in_common_with_main_is_foreign(place):
    apart = place.person.commit(parents=[], changes={CART: b"x\n"}, message="Apart\n", when=NOW)
    assert "done" == push(place.person, ref(BRANCH), None, apart).status
    branch = place.robot.fetch().branches[BRANCH]
    assert (True, False) == (branch.foreign, branch.merges)


# --- what people take back, and what is remembered


def test_a_revert_by_people_takes_the_fact_back(place):
    commit_on_main(place.robot, CHANGED, message=f"Change\n\n{CHANGE}: {digest_of(place.robot.fetch(), CHANGED)}\n")
    assert frozenset() == place.robot.fetch().taken_back
    commit_on_main(place.person, {CART: CONTENT[CART], CART_IMPORT: CONTENT[CART_IMPORT]})
    assert {(CART, blob_id(b"kind: Export # 2\n"))} == place.robot.fetch().taken_back


def test_a_fact_that_came_back_is_not_taken_back(place):
    commit_on_main(place.person, {CART: b"by hand\n"})
    assert {(CART, blob_id(CONTENT[CART]))} == place.robot.fetch().taken_back
    commit_on_main(place.person, {CART: CONTENT[CART]})
    assert {(CART, blob_id(b"by hand\n"))} == place.robot.fetch().taken_back


def test_a_revert_on_a_branch_counts_once_it_is_merged(place):
    seen = place.person.fetch()
    revert = place.person.commit(parents=[seen.main], changes={CART: None}, message="Revert\n", when=NOW)
    commit_on_main(place.person, {"mesh/mesh.yaml": b"kind: Mesh # 2\n"})
    commit_on_main(place.person, {CART: None}, other=revert)
    assert {(CART, blob_id(CONTENT[CART]))} == place.robot.fetch().taken_back


def test_who_restores_a_withdrawn_fact_takes_the_withdrawal_back(place):
    commit_on_main(
        place.robot, {CART: None}, message=f"Go\n\n{CHANGE}: {digest_of(place.robot.fetch(), {CART: None})}\n"
    )
    commit_on_main(place.person, {CART: CONTENT[CART]})
    assert {(CART, None)} == place.robot.fetch().taken_back


def test_a_fact_that_never_stood_there_takes_nothing_back(place):
    commit_on_main(place.person, {TILL: b"by hand\n"})
    assert frozenset() == place.robot.fetch().taken_back


@pytest.mark.parametrize("named", [True, False])
def test_a_squashed_proposal_takes_nothing_back(place, named):
    """Forges squash in the name of who presses the button, with our message or without."""
    propose(place.robot)
    seen = place.robot.fetch()
    message = seen.branches[BRANCH].message if named else "A title (#7)\n"
    squashed = commit_on_main(place.person, CHANGED, message=message)
    assert frozenset() == place.robot.fetch().taken_back
    assert "done" == push(place.person, ref(BRANCH), seen.branches[BRANCH].head, None).status
    assert (squashed, frozenset()) == (place.robot.fetch().main, place.robot.fetch().taken_back)


def test_rejected_facts_are_remembered_and_main_counts_as_looked_at(place):
    commit_on_main(place.person, {CART: None})
    seen = place.robot.fetch()
    rejected = frozenset({*seen.taken_back, (TILL, None), (WEST, blob_id(CONTENT[WEST]))})
    commit = place.robot.remember(rejected, remote=seen, when=NOW)
    assert "done" == push(place.robot, paths.REJECTED, None, commit).status
    for client in (place.robot, place.clients()):
        seen = client.fetch()
        assert (rejected, frozenset()) == (seen.rejected, seen.taken_back)


def test_what_is_rejected_without_looking_at_main_leaves_taken_back_as_it_is(place):
    commit_on_main(place.person, {CART: None})
    seen = place.person.fetch()
    commit = place.person.remember(frozenset({(TILL, None)}), remote=seen, when=NOW, looked=False)
    assert "done" == push(place.person, paths.REJECTED, None, commit).status
    after = place.robot.fetch()
    assert ({(TILL, None)}, {(CART, blob_id(CONTENT[CART]))}) == (after.rejected, after.taken_back)


def test_the_memory_of_rejected_facts_is_replaced(place):
    seen = place.robot.fetch()
    first = place.robot.remember(frozenset({(TILL, None)}), remote=seen, when=NOW)
    assert "done" == push(place.robot, paths.REJECTED, None, first).status
    second = place.robot.remember(frozenset({(WEST, None)}), remote=place.robot.fetch(), when=NOW)
    assert "done" == push(place.robot, paths.REJECTED, first, second).status
    assert {(WEST, None)} == place.clients().fetch().rejected


def test_an_empty_memory_is_a_memory(place):
    commit = place.robot.remember(frozenset(), remote=place.robot.fetch(), when=NOW)
    assert "done" == push(place.robot, paths.REJECTED, None, commit).status
    assert frozenset() == place.robot.fetch().rejected


def test_the_author_of_a_pause_is_heard(place):
    note = place.person.commit(parents=[], changes={}, message="Until the migration is over.\n", when=NOW)
    assert "done" == push(place.person, paths.PAUSED, None, note).status
    assert "Until the migration is over." == place.robot.fetch().paused


def test_the_digest_of_a_branch_is_that_of_its_change(place):
    seen = place.robot.fetch()
    propose(place.robot)
    assert digest_of(seen, CHANGED) == change_digest(place.robot.fetch().branches[BRANCH].change)


def test_people_may_commit_anywhere(place):
    commit_on_main(place.person, {"mesh/mesh.yaml": b"kind: Mesh # 2\n"})
    assert b"kind: Mesh # 2\n" == place.robot.fetch().files.read("mesh/mesh.yaml")


def test_steps_of_trust_can_be_taken_back_and_what_people_bring_themselves_can_not(place):
    signed, steps, root = "pki/intermediates/west.yaml", "pki/trust.yaml", "pki/roots/a.yaml"
    before = dict.fromkeys((signed, steps, root), b"1\n")
    commit_on_main(place.person, before)
    assert frozenset() == place.robot.fetch().taken_back
    commit_on_main(place.person, dict.fromkeys(before, b"2\n"))
    assert {(signed, blob_id(b"1\n")), (steps, blob_id(b"1\n"))} == place.robot.fetch().taken_back
