"""The contract of `workers.outside.Repository`: what use-cases rely on, whatever stands behind it."""

from __future__ import annotations

import random

import pytest

from syncer.protocol.errors import HumanNeeded
from tests.git.acts import (
    BRANCH,
    CART,
    CART_IMPORT,
    CHANGED,
    CONTENT,
    FLUX,
    NOW,
    PERSON,
    TILL,
    WEST,
    commit_on_branch,
    commit_on_main,
    digest_of,
    made,
    propose,
    push,
    ref,
)
from workers.documents import paths
from workers.git.history import CHANGE
from workers.outside import Outcome, Update
from workers.tree import blob_id, change_digest

CHANGE_OF_BRANCH = {
    CART_IMPORT: (blob_id(CONTENT[CART_IMPORT]), blob_id(b"kind: ServiceEntry # 2\n")),
    CART: (blob_id(CONTENT[CART]), blob_id(b"kind: Export # 2\n")),
}


# --- fetch


def test_a_fetch_shows_the_files_of_main(place):
    seen = place.robot.fetch()
    assert [(path, blob_id(CONTENT[path])) for path in sorted(CONTENT)] == list(seen.files.under(""))
    assert {path: seen.files.read(path) for path in CONTENT} == CONTENT
    assert {paths.MAIN: seen.main} == seen.refs
    assert ({}, frozenset(), frozenset(), None) == (seen.branches, seen.rejected, seen.taken_back, seen.paused)


def test_files_are_asked_for_by_folder(place):
    files = place.robot.fetch().files
    assert [CART_IMPORT] == [path for path, _ in files.under("clusters/east/imports/shop/")]
    assert [] == list(files.under("clusters/ea/"))
    assert [] == list(files.under("facts/exports/shop/west/cart.yaml/"))
    assert blob_id(CONTENT[CART]) == files.blob(CART)
    assert (None, None, None) == (files.blob("facts"), files.blob("facts/none.yaml"), files.blob(f"{CART}/deeper"))
    with pytest.raises(KeyError):
        files.read("facts/none.yaml")


def test_a_fetch_that_finds_nothing_new_gives_what_it_gave_before(place):
    seen = place.robot.fetch()
    assert place.robot.fetch() is seen


def test_files_of_main_stay_the_same_object_as_long_as_main_has_the_same_tree(place):
    files = place.robot.fetch().files
    propose(place.person)
    assert place.robot.fetch().files is files


def test_without_a_branch_main_a_person_is_needed(place):
    seen = place.robot.fetch()
    with pytest.raises(ValueError, match="only moves forward"):
        push(place.robot, paths.MAIN, seen.main, None)


# --- commit


def test_the_same_commit_made_twice_has_one_id(place):
    other = place.clients()
    assert made(place.robot, place.robot.fetch(), CHANGED) == made(other, other.fetch(), CHANGED)
    assert made(other, other.fetch(), CHANGED) != made(other, other.fetch(), CHANGED, minutes=1)


def test_a_commit_carries_over_what_it_does_not_name(place):
    seen = place.robot.fetch()
    files = place.robot.files(made(place.robot, seen, {**CHANGED, TILL: b"kind: Export\n"}))
    assert {**CONTENT, **CHANGED, TILL: b"kind: Export\n"} == {path: files.read(path) for path, _ in files.under("")}


def test_a_folder_that_becomes_empty_goes(place):
    files = place.robot.files(made(place.robot, place.robot.fetch(), {CART: None, CART_IMPORT: None}))
    left = sorted(CONTENT.keys() - {CART, CART_IMPORT})
    assert left == [path for path, _ in files.under("")]


def test_commits_stand_on_commits_that_nobody_else_knows(place):
    seen = place.robot.fetch()
    first = made(place.robot, seen, {CART: b"kind: Export # 2\n"})
    second = place.robot.commit(parents=[first], changes={TILL: b"kind: Export\n"}, message="More\n", when=NOW)
    assert b"kind: Export # 2\n" == place.robot.files(second).read(CART)
    assert "done" == push(place.robot, ref(BRANCH), None, second).status
    assert [CART, TILL] == list(place.person.fetch().branches[BRANCH].change)


@pytest.mark.parametrize(
    "path",
    [
        "mesh/mesh.yaml",
        "README.md",
        "facts",
        "facts/../mesh/mesh.yaml",
        "facts//x.yaml",
        "pki/.git/config",
        FLUX,
        "clusters/east/imports/README.md",
        "clusters/east/x.yaml",
        "delivery/flux/x.yaml",
    ],
)
def test_the_robot_commits_nothing_outside_its_part_of_the_tree(place, path):
    seen = place.robot.fetch()
    with pytest.raises(ValueError, match="isn't a path"):
        place.robot.commit(parents=[seen.main], changes={path: b""}, message="x\n", when=NOW)


# --- push


def test_a_pushed_branch_is_seen_with_what_it_changes(place):
    head = propose(place.robot)
    branch = place.clients().fetch().branches[BRANCH]
    assert (BRANCH, head, CHANGE_OF_BRANCH, False, True) == (
        branch.name,
        branch.head,
        branch.change,
        branch.foreign,
        branch.merges,
    )
    assert list(CHANGE_OF_BRANCH) == list(branch.change)
    assert branch.message.startswith("Something changes\n\nIn words.\n")
    assert {path: branch.files.read(path) for path in CHANGED} == CHANGED


def test_a_ref_that_moved_is_stale_and_the_others_land(place):
    other = place.clients()
    seen, there = place.robot.fetch(), other.fetch()
    propose(place.person)
    mine = made(place.robot, seen, {CART: b"mine\n"})
    outcomes = place.robot.push(
        [
            Update(ref=ref(BRANCH), old=None, new=mine),
            Update(ref=ref("peermesh/clusters/west"), old=None, new=made(place.robot, seen, {WEST: b"new\n"})),
        ]
    )
    assert ["stale", "done"] == [outcome.status for outcome in outcomes.values()]
    assert there.refs != other.fetch().refs
    assert {BRANCH, "peermesh/clusters/west"} == other.fetch().branches.keys()


def test_what_landed_before_may_be_pushed_again(place):
    """An answer was lost: the lease no longer holds, but the remote has what it should have."""
    head = propose(place.robot)
    assert Outcome(status="done") == push(place.robot, ref(BRANCH), None, head)


def test_a_branch_is_made_again_and_deleted_with_its_lease(place):
    first = propose(place.robot)
    second = propose(place.robot, {CART: b"again\n"})
    assert "stale" == push(place.robot, ref(BRANCH), first, None).status
    assert "done" == push(place.robot, ref(BRANCH), second, None).status
    assert {} == place.robot.fetch().branches
    assert "done" == push(place.robot, ref(BRANCH), second, None).status


def test_a_branch_in_the_way_of_a_folder_needs_a_person_and_the_others_land(place):
    propose(place.robot, branch="peermesh/exports")
    seen = place.robot.fetch()
    commit = made(place.robot, seen, {CART: b"x\n"})
    outcomes = place.robot.push(
        [Update(ref=ref(BRANCH), old=None, new=commit), Update(ref=ref("peermesh/render"), old=None, new=commit)]
    )
    assert ["refused", "done"] == [outcome.status for outcome in outcomes.values()]
    assert "cannot create" in outcomes[ref(BRANCH)].message


def test_an_atomic_push_lands_as_a_whole_or_not_at_all(place):
    head = propose(place.robot)
    seen = place.person.fetch()
    merged = place.person.commit(parents=[seen.main, head], changes=CHANGED, message="Merge\n", when=NOW)
    main, gone = Update(ref=paths.MAIN, old=seen.main, new=merged), Update(ref=ref(BRANCH), old=merged, new=None)
    assert {"stale"} == {outcome.status for outcome in place.person.push([main, gone], atomic=True).values()}
    assert place.clients().fetch().refs == seen.refs
    gone = Update(ref=ref(BRANCH), old=head, new=None)
    assert {"done"} == {outcome.status for outcome in place.person.push([main, gone], atomic=True).values()}
    assert {paths.MAIN: merged} == place.clients().fetch().refs


def test_main_only_moves_forward(place):
    seen = place.robot.fetch()
    apart = place.robot.commit(parents=[], changes={CART: b"x\n"}, message="Apart\n", when=NOW)
    with pytest.raises(ValueError, match="main only moves forward"):
        push(place.robot, paths.MAIN, seen.main, apart)


def test_two_writers_lose_no_update(place):
    """Both count up in one file, from what they last saw; who is stale looks again."""
    draw = random.Random(8)
    clients = (place.robot, place.clients())
    seen = [client.fetch() for client in clients]
    done = 0
    while done < 8:
        who = draw.randrange(2)
        files = seen[who].files
        count = int(files.read(TILL)) if files.blob(TILL) else 0
        commit = made(clients[who], seen[who], {TILL: b"%d" % (count + 1)}, minutes=who)
        landed = push(clients[who], paths.MAIN, seen[who].main, commit).status == "done"
        done += landed
        if landed or draw.random() < 0.7:
            seen[who] = clients[who].fetch()
    assert b"8" == place.person.fetch().files.read(TILL)


# --- what people do with a branch


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


def test_who_saw_main_before_is_told_that_it_moved_back(place):
    old = place.robot.fetch().main
    commit_on_main(place.person, {CART: b"x\n"})
    place.robot.fetch()
    _force_main(place, old)
    for _ in range(2):
        with pytest.raises(HumanNeeded, match="main was moved to a commit that doesn't follow"):
            place.robot.fetch()
    assert old == place.clients(PERSON).fetch().main


def _force_main(place, commit) -> None:
    """What `git push --force` by an administrator does."""
    client = place.person
    if hasattr(client, "remote"):
        client.remote.refs[paths.MAIN] = commit
    else:
        seen = client.fetch()
        report = client._copy.push([f"+{commit}:{paths.MAIN}"], options=[])
        assert "done" == report.lines[paths.MAIN].verdict, seen
