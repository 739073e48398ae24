"""Servers that refuse, stall and run out of space, and wires that break, over every transport there is."""

from __future__ import annotations

import random
import subprocess
import threading
import time
from pathlib import Path

import pytest

from syncer.protocol.errors import HumanNeeded, Transient
from tests.git.acts import BRANCH, CART, CHANGED, PERSON, TILL, commit_on_main, hook, made, propose, push, race, ref
from tests.servers.cable import Cable
from tests.servers.wires import TRANSPORTS, Wire

LARGE = random.Random(4).randbytes(400_000)
"""More than fits into the buffers on the way: a connection that is cut has carried a part of it."""
CUTS = (100, 5_000, 60_000, 300_000)


@pytest.fixture(params=TRANSPORTS)
def wire(request, wired) -> Wire:
    served: Wire = wired(request.param)
    return served


@pytest.fixture
def robot(client, wire):
    """A robot at the other end of the wire that has fetched once."""
    made = client(wire.url("mesh.git"), access=wire.access, seconds=120.0)
    made.fetch()
    return made


def fsck(remote) -> str:
    """What git finds wrong with the repository of the server; `dangling` is what is left of a push that broke."""
    command = ["git", "-C", str(remote), "fsck", "--strict", "--full", "--no-dangling"]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    return f"{done.returncode} {done.stdout.strip()}"


@pytest.mark.parametrize("name", ["update", "pre-receive"])
def test_a_ref_that_a_hook_refuses_is_told_with_what_the_hook_said(robot, remote, name):
    hook(remote, name, 'echo "shop is closed" >&2; exit 1')
    outcome = push(robot, ref(BRANCH), None, made(robot, robot.fetch(), CHANGED))
    assert "refused" == outcome.status
    assert "hook declined (shop is closed)" in outcome.message
    assert {} == robot.fetch().branches


def test_a_hook_that_stalls_is_waited_for_no_longer_than_a_command_may_take(client, wire, remote):
    """The server goes on when our git is gone: only a look shows what it did."""
    robot = client(wire.url("mesh.git"), access=wire.access, seconds=10.0)
    commit = made(robot, robot.fetch(), CHANGED)
    going_on = remote / "going-on"
    hook(remote, "pre-receive", f'n=0; while [ ! -e "{going_on}" ] && [ $n -lt 600 ]; do sleep 0.1; n=$((n+1)); done')
    began = time.monotonic()
    assert "unknown" == push(robot, ref(BRANCH), None, commit).status
    assert time.monotonic() - began < 90
    going_on.touch()
    patient = client(wire.url("mesh.git"), access=wire.access)
    assert commit == made(patient, patient.fetch(), CHANGED)
    assert "done" == push(patient, ref(BRANCH), None, commit).status
    assert commit == patient.fetch().branches[BRANCH].head


@pytest.mark.parametrize("size", CUTS)
def test_a_push_that_is_cut_in_the_middle_of_its_pack_is_unknown_and_leaves_nothing_behind(wire, robot, remote, size):
    seen = robot.fetch()
    commit = made(robot, seen, {**CHANGED, TILL: LARGE})
    wire.cable.cut_after("up", size)
    try:
        outcome = push(robot, ref(BRANCH), None, commit)
        assert "unknown" == outcome.status
    except Transient:
        pass  # so early that the server hadn't said yet where its refs are
    assert 1 == wire.cable.cuts
    assert "0 " == fsck(remote)
    assert seen.refs == robot.fetch().refs
    assert "done" == push(robot, ref(BRANCH), None, commit).status
    assert LARGE == robot.fetch().branches[BRANCH].files.read(TILL)


@pytest.mark.parametrize("size", CUTS)
def test_a_fetch_that_is_cut_is_tried_again_and_brings_all_of_it(wire, robot, client, remote, size):
    commit_on_main(client(str(remote), PERSON), {TILL: LARGE, CART: b"new\n"})
    wire.cable.cut_after("down", size)
    with pytest.raises(Transient):
        robot.fetch()
    assert 1 == wire.cable.cuts
    assert LARGE == robot.fetch().files.read(TILL)


def test_an_answer_that_is_lost_is_looked_for(wire, robot, remote):
    """The wire breaks while the server works, which then does what it was asked for."""
    commit = made(robot, robot.fetch(), CHANGED)
    hook(remote, "pre-receive", f'touch "{remote}/at-it"; while [ -e "{remote}/at-it" ]; do sleep 0.1; done')
    breaking = threading.Thread(target=_break_when, args=(wire.cable, remote / "at-it"))
    breaking.start()
    outcome = push(robot, ref(BRANCH), None, commit)
    breaking.join()
    assert outcome.status in {"done", "unknown"}  # looked at before or after the server had finished
    deadline = time.monotonic() + 60
    while BRANCH not in robot.fetch().branches:
        assert time.monotonic() < deadline
    assert "done" == push(robot, ref(BRANCH), None, commit).status


def _break_when(cable: Cable, at_it: Path) -> None:
    while not at_it.exists():
        time.sleep(0.02)
    cable.cut_all()
    at_it.unlink()


def test_a_wire_that_stalls_costs_no_more_than_a_command_may_take(client, wire):
    robot = client(wire.url("mesh.git"), access=wire.access, seconds=10.0)
    commit = made(robot, robot.fetch(), CHANGED)
    wire.cable.stall()
    began = time.monotonic()
    assert "unknown" == push(robot, ref(BRANCH), None, commit).status
    with pytest.raises(Transient):
        robot.fetch()
    assert time.monotonic() - began < 90
    wire.cable.release()
    patient = client(wire.url("mesh.git"), access=wire.access)
    patient.fetch()
    assert commit == made(patient, patient.fetch(), CHANGED)
    assert "done" == push(patient, ref(BRANCH), None, commit).status


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_a_server_whose_disk_is_full_needs_a_person_and_takes_it_when_there_is_space(wired, client, remote, transport):
    full = wired(transport, file_kilobytes=64)
    robot = client(full.url("mesh.git"), access=full.access)
    seen = robot.fetch()
    commit = made(robot, seen, {**CHANGED, TILL: LARGE})
    with pytest.raises(HumanNeeded, match=r"can't store what is pushed .*File too large.* Look at its disk") as caught:
        push(robot, ref(BRANCH), None, commit)
    assert "NotStored" == caught.value.reason
    assert seen.refs == robot.fetch().refs
    assert "0 " == fsck(remote)
    propose(robot, branch="peermesh/exports/small")

    mended = wired(transport)
    again = client(mended.url("mesh.git"), access=mended.access)
    assert commit == made(again, again.fetch(), {**CHANGED, TILL: LARGE})
    assert "done" == push(again, ref(BRANCH), None, commit).status


def test_writers_at_the_ends_of_several_wires_lose_no_update(client, wire, remote):
    ends = 2 * [(str(remote), {}), (wire.url("mesh.git"), {"access": wire.access})]
    expected = race([client(url, **options) for url, options in ends], 4)
    lines = client(str(remote)).fetch().files.read(TILL).decode().split()
    assert expected == sorted(lines)
    assert "0 " == fsck(remote)
