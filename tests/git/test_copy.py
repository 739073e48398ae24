"""The disposable copy: small, deepened where needed, made again when it is damaged, and never somebody's folder."""

from __future__ import annotations

import subprocess

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
    NOW,
    PERSON,
    WEST,
    commit_on_branch,
    commit_on_main,
    made,
    propose,
    push,
    ref,
)
from tests.servers.git_http import PASSWORD, USER, bare_repository
from workers.documents import paths
from workers.git import Access, GitRepository
from workers.git import copy as copies
from workers.git import repository as repositories
from workers.tree import blob_id


@pytest.fixture
def robot(client, remote):
    """A robot that has fetched once."""
    made = client(str(remote))
    made.fetch()
    return made


@pytest.fixture
def person(client, remote):
    return client(str(remote), PERSON)


@pytest.fixture
def shallow(monkeypatch):
    """Copies begin with two commits and are deepened by two, six, ten, then all."""
    monkeypatch.setattr(copies, "DEPTH", 2)
    monkeypatch.setattr(repositories, "_DEEPER", (2, 6, 10, None))


def git(folder, *args):
    return subprocess.run(["git", "--git-dir", str(folder), *args], check=True, capture_output=True, text=True).stdout


def missing(client):
    """Objects that the copy knows by name only."""
    listed = git(client._copy.folder, "rev-list", "--objects", "--missing=print", "--all").splitlines()
    return {line.removeprefix("?") for line in listed if line.startswith("?")}


def test_the_copy_has_no_file_but_those_that_planning_reads(robot):
    read = {path for path in CONTENT if path.startswith(("mesh/", "facts/"))}
    assert {blob_id(CONTENT[path]) for path in CONTENT.keys() - read} == missing(robot)


def test_a_file_that_is_missing_is_brought_with_those_beside_it(robot):
    assert CONTENT[FLUX] == robot.fetch().files.read(FLUX)
    assert {blob_id(CONTENT["CODEOWNERS"])} == missing(robot)
    assert CONTENT["CODEOWNERS"] == robot.fetch().files.read("CODEOWNERS")


def test_facts_of_branches_are_brought_and_what_follows_from_them_is_not(robot, client, remote):
    propose(robot)
    other = client(str(remote))
    branch = other.fetch().branches[BRANCH]
    left = missing(other)
    assert branch.change[CART][1] not in left
    rendered = next(path for path in CHANGED if path.startswith("clusters/"))
    assert branch.change[rendered][1] in left
    assert CHANGED[rendered] == branch.files.read(rendered)


def test_a_server_without_filters_gives_all_files(client, tmp_path):
    path = bare_repository(tmp_path / "plain.git", CONTENT)
    for name in ("uploadpack.allowFilter", "uploadpack.allowAnySHA1InWant"):
        pygit2.Repository(str(path)).config[name] = False
    robot = client(str(path))
    assert CONTENT == {path: robot.fetch().files.read(path) for path in CONTENT}
    assert set() == missing(robot)


@pytest.mark.usefixtures("shallow")
def test_the_copy_begins_with_few_commits_and_is_deepened_until_a_branch_has_its_base(client, remote, person):
    propose(person)
    commits = [commit_on_main(person, {"mesh/mesh.yaml": b"%d\n" % number}) for number in range(9)]
    robot = client(str(remote))
    branch = robot.fetch().branches[BRANCH]
    assert (sorted(CHANGED), True) == (sorted(branch.change), branch.merges)
    assert commits[0] in robot._copy.repo


@pytest.mark.usefixtures("shallow")
def test_without_branches_the_copy_stays_shallow(client, remote, person):
    for number in range(5):
        commit_on_main(person, {"mesh/mesh.yaml": b"%d\n" % number})
    robot = client(str(remote))
    robot.fetch()
    assert 2 == len(list(robot._copy.repo.walk(robot.fetch().main)))


@pytest.mark.usefixtures("shallow")
def test_an_old_common_commit_is_not_taken_for_the_merge_base(client, remote, person):
    """Main merged an old branch, so that the beginning is near; the base of the open branch is further away."""
    old = person.commit(parents=[person.fetch().main], changes={WEST: b"old\n"}, message="Old\n", when=NOW)
    for number in range(4):
        commit_on_main(person, {"mesh/mesh.yaml": b"%d\n" % number})
    propose(person)
    for number in range(4, 8):
        commit_on_main(person, {"mesh/mesh.yaml": b"%d\n" % number})
    commit_on_main(person, {WEST: b"old\n"}, other=old)
    branch = client(str(remote)).fetch().branches[BRANCH]
    assert (sorted(CHANGED), False) == (sorted(branch.change), branch.foreign)


@pytest.mark.usefixtures("shallow")
def test_updated_and_shallow_is_still_the_same_change(client, remote, person):
    head = propose(person)
    for number in range(6):
        main = commit_on_main(person, {"mesh/mesh.yaml": b"%d\n" % number})
    commit_on_branch(person, {"mesh/mesh.yaml": b"5\n"}, parents=[head, main])
    branch = client(str(remote)).fetch().branches[BRANCH]
    assert (sorted(CHANGED), False) == (sorted(branch.change), branch.foreign)


@pytest.mark.parametrize(
    "harm",
    [
        lambda folder: (folder / "shallow.lock").touch(),
        lambda folder: (folder / "refs/heads/main").write_text("0" * 39 + "1\n"),
        lambda folder: (folder / "HEAD").unlink(),
        lambda folder: (folder / "config").write_text("[core\n"),
        lambda folder: [pack.write_bytes(b"PACK") for pack in (folder / "objects/pack").glob("*.pack") if _open(pack)],
    ],
    ids=["lock", "ref", "head", "config", "packs"],
)
def test_a_damaged_copy_is_made_again(robot, remote, client, person, harm):
    copy = robot._copy.folder
    commit_on_main(person, {"mesh/mesh.yaml": b"kind: Mesh # 2\n"})
    harm(copy)
    again = _again(robot)
    seen = again.fetch()
    assert b"kind: Mesh # 2\n" == seen.files.read("mesh/mesh.yaml")
    assert "done" == push(again, ref(BRANCH), None, made(again, seen, CHANGED)).status
    assert seen.refs.keys() | {ref(BRANCH)} == client(str(remote)).fetch().refs.keys()


def _open(pack):
    pack.chmod(0o644)
    return True


def _again(robot):
    """The same client after a restart: on the copy that it finds."""
    return GitRepository(robot._copy.address.url, copy=robot._copy.folder, author=robot._author)


def test_what_is_damaged_while_it_is_read_is_transient_and_made_again(robot):
    files = robot.fetch().files
    for entry in (robot._copy.folder / "objects").rglob("*"):
        if entry.is_file():
            entry.chmod(0o644)
            entry.unlink()
    robot._copy._repo = None
    with pytest.raises(Transient, match="the copy of the repository was damaged and is made again"):
        list(files.under("clusters/"))
    assert robot.fetch().files is files
    assert CONTENT[CART] == files.read(CART)


def test_a_restart_on_the_copy_of_another_remote_makes_it_again(robot, tmp_path):
    other = bare_repository(tmp_path / "other.git", {"mesh/mesh.yaml": b"kind: Mesh # other\n"})
    moved = GitRepository(str(other), copy=robot._copy.folder, author=PERSON)
    assert b"kind: Mesh # other\n" == moved.fetch().files.read("mesh/mesh.yaml")


def test_a_folder_with_other_things_in_it_is_nobodys_copy(tmp_path, remote):
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "thesis.txt").write_text("the only one\n")
    with pytest.raises(HumanNeeded, match=r"has other things in it.*Name a folder that is empty"):
        GitRepository(str(remote), copy=mine, author=PERSON).fetch()
    with pytest.raises(HumanNeeded, match="has other things in it"):
        GitRepository(str(remote), copy=remote, author=PERSON).fetch()
    assert ["thesis.txt"] == [entry.name for entry in mine.iterdir()]


def test_a_folder_that_can_not_be_made_needs_a_person(tmp_path, remote):
    (tmp_path / "file").touch()
    with pytest.raises(HumanNeeded, match=r"can't be written: Not a directory\. Name a folder"):
        GitRepository(str(remote), copy=tmp_path / "file" / "copy", author=PERSON).fetch()


def test_a_copy_that_was_half_thrown_away_is_made_again(robot):
    folder = robot._copy.folder
    robot._copy.discard()
    (folder / "objects").mkdir()
    assert CONTENT[CART] == _again(robot).fetch().files.read(CART)


def test_an_idle_fetch_is_one_command_and_brings_nothing(client, server, remote):
    del remote
    robot = client(server.url("mesh.git"), access=Access(user=USER, password=Secret(PASSWORD)))
    robot.fetch()
    server.requests.clear()
    robot.fetch()
    assert ["GET /mesh.git/info/refs?service=git-upload-pack", "POST /mesh.git/git-upload-pack"] == server.requests


def test_a_push_asks_for_no_file(client, server, remote):
    """Git would fetch the files that a commit replaces, to send less."""
    del remote
    robot = client(server.url("mesh.git"), access=Access(user=USER, password=Secret(PASSWORD)))
    commit = made(robot, robot.fetch(), CHANGED)
    server.requests.clear()
    assert "done" == push(robot, ref(BRANCH), None, commit).status
    assert [] == [request for request in server.requests if "upload-pack" in request]


def test_a_push_after_a_race_sends_only_what_is_new(robot, person):
    """Main moved: of its new head git knows nothing, and it has no file to send in its place."""
    seen = robot.fetch()
    commit_on_main(person, {"mesh/mesh.yaml": b"kind: Mesh # 2\n"})
    before = missing(robot)
    assert "done" == push(robot, ref(BRANCH), None, made(robot, seen, CHANGED)).status
    assert before == missing(robot)
    assert [ref(BRANCH)] == sorted(set(person.fetch().refs) - {paths.MAIN})


def test_the_copy_is_packed_from_time_to_time(robot, person, monkeypatch):
    monkeypatch.setattr(copies, "_FETCHES_PER_MAINTENANCE", 3)
    for name, value in {"COUNT": "1", "KEY_0": "gc.autoPackLimit", "VALUE_0": "1"}.items():
        monkeypatch.setenv(f"GIT_CONFIG_{name}", value)
    for number in range(6):
        commit_on_main(person, {CART: b"%d\n" % number})
        seen = robot.fetch()
        assert b"%d\n" % number == seen.files.read(CART)
        assert "done" == push(robot, ref(BRANCH), seen.refs.get(ref(BRANCH)), made(robot, seen, CHANGED)).status
    assert len(list((robot._copy.folder / "objects/pack").glob("*.pack"))) < 12
    assert CONTENT[FLUX] == robot.fetch().files.read(FLUX)


def test_what_we_push_passes_the_strictest_check(robot, remote, person):
    propose(robot)
    commit_on_main(person, {CART: None})
    seen = robot.fetch()
    memory = robot.remember(frozenset({*seen.taken_back, (WEST, None)}), remote=seen, when=NOW)
    note = person.commit(parents=[], changes={}, message="Paused\n", when=NOW)
    assert "done" == push(robot, paths.REJECTED, None, memory).status
    assert "done" == push(person, paths.PAUSED, None, note).status
    assert "" == git(remote, "fsck", "--strict", "--full")
