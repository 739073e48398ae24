"""Refusals of real servers, and connections that break: what becomes of each ref, and what a person is told."""

from __future__ import annotations

import threading
import time

import pygit2
import pytest

from syncer.protocol.errors import HumanNeeded, Transient
from syncer.protocol.secret import Secret
from tests.git.acts import (
    BRANCH,
    CART,
    CHANGED,
    CONTENT,
    FLUX,
    PERSON,
    TILL,
    WEST,
    commit_on_main,
    hook,
    made,
    propose,
    push,
    race,
    ref,
)
from tests.servers.git_http import PASSWORD, USER, Fault, bare_repository
from workers.documents import paths
from workers.git import Access
from workers.outside import Update

GOOD = Access(user=USER, password=Secret(PASSWORD))
CLUSTER_BRANCH = "peermesh/clusters/west"


@pytest.fixture
def robot(client, server, remote):
    """A robot behind http that has fetched once."""
    del remote
    made = client(server.url("mesh.git"), access=GOOD)
    made.fetch()
    return made


@pytest.fixture
def near(client, remote):
    """A robot on a path that has fetched once."""
    made = client(str(remote))
    made.fetch()
    return made


def two_branches(robot):
    """Updates that make two branches."""
    seen = robot.fetch()
    return [
        Update(ref=ref(BRANCH), old=None, new=made(robot, seen, CHANGED)),
        Update(ref=ref(CLUSTER_BRANCH), old=None, new=made(robot, seen, {WEST: b"new\n"})),
    ]


# --- who may do what


def test_a_wrong_password_needs_a_person(client, server, remote):
    del remote
    robot = client(server.url("mesh.git"), access=Access(user=USER, password=Secret("guessed")))
    with pytest.raises(HumanNeeded, match=r"mesh\.git: the server doesn't accept the credentials .*helper of git"):
        robot.fetch()


def test_no_password_needs_a_person(client, server, remote):
    del remote
    with pytest.raises(HumanNeeded, match="doesn't accept the credentials"):
        client(server.url("mesh.git")).fetch()


def test_a_password_in_the_url_is_used_and_never_shown(client, server, remote):
    del remote
    userinfo = "robot:correct%20horse%2Fbattery"
    robot = client(server.url("mesh.git", userinfo))
    assert BRANCH not in robot.fetch().branches
    with pytest.raises(HumanNeeded) as caught:
        client(server.url("none.git", userinfo)).fetch()
    assert "NoRepository" == caught.value.reason
    assert server.url("none.git") == caught.value.subject
    assert "horse" not in f"{caught.value}{caught.value.__cause__}"
    kept = b"".join(file.read_bytes() for file in robot._copy.folder.rglob("config"))
    assert b"horse" not in kept


@pytest.mark.parametrize(
    ("status", "error", "reason"),
    [
        (403, HumanNeeded, "Forbidden"),
        (404, HumanNeeded, "NoRepository"),
        (429, Transient, "RateLimited"),
        (500, Transient, "ServerError"),
        (503, Transient, "ServerError"),
    ],
)
def test_a_status_says_whether_to_try_again(server, robot, status, error, reason):
    server.fail(Fault(kind="status", status=status))
    with pytest.raises(error) as caught:
        robot.fetch()
    assert reason == caught.value.reason
    updates = two_branches(robot)
    server.fail(Fault(kind="status", status=status, service="git-receive-pack", method="POST"))
    with pytest.raises(error) as caught:
        robot.push(updates)
    assert reason == caught.value.reason
    assert {"done"} == {outcome.status for outcome in robot.push(updates).values()}


def test_a_server_that_is_gone_is_transient(client, server, remote):
    del remote
    robot = client(server.url("mesh.git"), access=GOOD)
    server.close()
    with pytest.raises(Transient, match="can't be reached"):
        robot.fetch()


def test_no_repository_and_no_main_need_a_person(client, tmp_path):
    with pytest.raises(HumanNeeded, match="there is no repository"):
        client(str(tmp_path / "nowhere")).fetch()
    with pytest.raises(HumanNeeded, match=r"has no branch main.*peermesh init"):
        client(str(bare_repository(tmp_path / "empty.git"))).fetch()


# --- connections that break


def test_a_push_whose_answer_was_lost_is_done_all_the_same(server, robot):
    updates = two_branches(robot)
    server.fail(Fault(kind="lost", service="git-receive-pack", method="POST"))
    assert {"done"} == {outcome.status for outcome in robot.push(updates).values()}


def test_a_push_that_never_arrived_is_unknown_and_can_be_tried_again(server, robot):
    updates = two_branches(robot)
    server.fail(Fault(kind="reset", service="git-receive-pack", method="POST"))
    outcomes = robot.push(updates)
    assert {"unknown"} == {outcome.status for outcome in outcomes.values()}
    assert {"done"} == {outcome.status for outcome in robot.push(updates).values()}


def test_a_lost_answer_and_a_remote_that_nobody_can_look_at_is_unknown(server, robot):
    updates = two_branches(robot)
    server.fail(
        Fault(kind="lost", service="git-receive-pack", method="POST"),
        Fault(kind="reset", service="git-upload-pack"),
    )
    assert {"unknown"} == {outcome.status for outcome in robot.push(updates).values()}
    assert {BRANCH, CLUSTER_BRANCH} == robot.fetch().branches.keys()


def test_a_lost_answer_after_somebody_else_pushed_is_stale(server, robot, near):
    seen = robot.fetch()
    mine = made(robot, seen, CHANGED)
    propose(near, {CART: b"theirs\n"})
    server.fail(Fault(kind="reset", service="git-receive-pack", method="POST"))
    assert "stale" == push(robot, ref(BRANCH), None, mine).status


def test_a_broken_connection_while_fetching_is_transient(server, robot):
    server.fail(Fault(kind="reset", service="git-upload-pack"))
    with pytest.raises(Transient):
        robot.fetch()
    assert robot.fetch() is robot.fetch()


def test_git_is_ended_when_its_time_is_up_and_the_server_may_go_on(client, server, remote):
    """The server finishes what it has begun after our git is gone: only a look shows it."""
    del remote
    robot = client(server.url("mesh.git"), access=GOOD, seconds=8.0)
    seen = robot.fetch()
    commit = made(robot, seen, CHANGED)
    server.fail(Fault(kind="stall", service="git-receive-pack", method="POST"))
    began = time.monotonic()
    assert "unknown" == push(robot, ref(BRANCH), None, commit).status
    assert time.monotonic() - began < 60
    server.release()
    deadline = time.monotonic() + 60
    while BRANCH not in robot.fetch().branches:
        assert time.monotonic() < deadline
    assert "done" == push(robot, ref(BRANCH), None, commit).status


# --- refused refs


def test_a_ref_that_a_hook_refuses_needs_a_person_and_the_others_land(near, remote):
    hook(remote, "update", f'[ "$1" = {ref(BRANCH)} ] && echo "shop is closed" && exit 1; exit 0')
    outcomes = near.push(two_branches(near))
    assert ["refused", "done"] == [outcome.status for outcome in outcomes.values()]
    assert "hook declined (shop is closed)" == outcomes[ref(BRANCH)].message


def test_the_innocent_land_where_a_server_refuses_all_refs_for_the_sake_of_one(near, remote):
    hook(remote, "pre-receive", f'grep -q " {ref(BRANCH)}$" && echo "shop is closed" && exit 1; exit 0')
    outcomes = near.push(two_branches(near))
    assert ["refused", "done"] == [outcome.status for outcome in outcomes.values()]
    assert "pre-receive hook declined (shop is closed)" == outcomes[ref(BRANCH)].message


def test_an_atomic_push_is_refused_as_a_whole(near, remote):
    hook(remote, "update", f'[ "$1" = {ref(BRANCH)} ] && echo "shop is closed" && exit 1; exit 0')
    outcomes = near.push(two_branches(near), atomic=True)
    assert {"refused"} == {outcome.status for outcome in outcomes.values()}
    assert all("shop is closed" in outcome.message for outcome in outcomes.values())
    assert {} == near.fetch().branches


def test_a_ref_that_moves_while_the_server_updates_is_stale(near, remote):
    """The fence itself: our lease held when the push began."""
    seen = near.fetch()
    theirs = propose(near, {TILL: b"theirs\n"}, branch="peermesh/exports/other")
    hook(remote, "pre-receive", f"env -u GIT_QUARANTINE_PATH git update-ref {ref(BRANCH)} {theirs}")
    outcome = push(near, ref(BRANCH), None, made(near, seen, CHANGED))
    assert "stale" == outcome.status
    assert theirs == near.fetch().branches[BRANCH].head


def test_a_lock_that_a_dead_writer_left_is_waited_for(near, remote):
    lock = remote / f"{ref(BRANCH)}.lock"
    lock.parent.mkdir(parents=True)
    lock.touch()
    timer = threading.Timer(0.2, lock.unlink)
    timer.start()
    outcome = push(near, ref(BRANCH), None, made(near, near.fetch(), CHANGED))
    timer.join()
    assert "done" == outcome.status


def test_a_lock_that_stays_needs_a_person(near, remote):
    lock = remote / f"{ref(BRANCH)}.lock"
    lock.parent.mkdir(parents=True)
    lock.touch()
    outcome = push(near, ref(BRANCH), None, made(near, near.fetch(), CHANGED))
    assert "refused" == outcome.status
    assert "left its lock file" in outcome.message


@pytest.mark.parametrize(
    ("setting", "part"), [("receive.denyDeletes", "deletion prohibited"), ("receive.denyNonFastForwards", "forward")]
)
def test_what_the_server_forbids_needs_a_person(near, remote, setting, part):
    first = propose(near)
    pygit2.Repository(str(remote)).config[setting] = True
    new = None if "Deletes" in setting else made(near, near.fetch(), {CART: b"again\n"})
    outcome = push(near, ref(BRANCH), first, new)
    assert "refused" == outcome.status
    assert part in outcome.message


def test_a_push_that_is_too_large_as_a_whole_is_tried_ref_by_ref(server, robot):
    updates = two_branches(robot)
    server.fail(Fault(kind="status", status=413, service="git-receive-pack", method="POST"))
    assert {"done"} == {outcome.status for outcome in robot.push(updates).values()}
    update = Update(ref=ref(BRANCH), old=updates[0].new, new=None)
    server.fail(Fault(kind="status", status=413, service="git-receive-pack", method="POST"))
    with pytest.raises(HumanNeeded, match="refuses a push of this size"):
        robot.push([update])


def test_writers_that_push_at_the_same_time_lose_no_update(client, remote):
    expected = race([client(str(remote)) for _ in range(3)], 5)
    lines = client(str(remote)).fetch().files.read(TILL).decode().split()
    assert expected == sorted(lines)


def test_what_people_keep_beside_our_folders_outlives_everything(near, client, remote):
    commit_on_main(client(str(remote), PERSON), {"clusters/east/flux-system/more/x.yaml": b"people's\n"})
    for number in range(3):
        commit = made(near, near.fetch(), {CART: b"%d\n" % number})
        assert "done" == push(near, paths.MAIN, near.fetch().main, commit).status
    files = near.fetch().files
    assert (CONTENT[FLUX], b"people's\n") == (files.read(FLUX), files.read("clusters/east/flux-system/more/x.yaml"))
