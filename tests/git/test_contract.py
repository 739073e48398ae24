"""The contract of `workers.outside.Repository`: what use-cases rely on, whatever stands behind it."""

from __future__ import annotations

import random

import pytest

from syncer.protocol.errors import HumanNeeded
from tests.git.acts import (
    BRANCH,
    CART,
    CART_IMPORT,
    CHANGE_OF_BRANCH,
    CHANGED,
    CONTENT,
    FLUX,
    NOW,
    PERSON,
    TILL,
    WEST,
    commit_on_main,
    made,
    propose,
    push,
    ref,
)
from workers.documents import paths
from workers.outside import Outcome, Update
from workers.tree import blob_id

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


def test_files_say_what_differs_from_older_ones_below_a_folder(place):
    before = place.robot.fetch().files
    commit_on_main(place.person, {**CHANGED, "mesh/mesh.yaml": b"kind: Mesh # 2\n"})
    after = place.robot.fetch().files
    assert {CART_IMPORT: CHANGE_OF_BRANCH[CART_IMPORT]} == after.since(before, "clusters/")
    assert {*CHANGED, "mesh/mesh.yaml"} == (after.since(before, "") or {}).keys()
    assert {} == after.since(after, "")


def test_a_fetch_that_finds_nothing_new_gives_what_it_gave_before(place):
    seen = place.robot.fetch()
    assert place.robot.fetch() is seen


def test_files_of_main_stay_the_same_object_as_long_as_main_has_the_same_tree(place):
    files = place.robot.fetch().files
    propose(place.person)
    assert place.robot.fetch().files is files


def test_main_is_never_deleted(place):
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
