"""The users of the mesh's Redis as a file: passwords come and go without a gap, and never get into the repository."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

import pytest
import redis

from syncer.protocol.errors import Rejected
from syncer.protocol.secret import Secret
from tests.cli.calls import call, done, files_in
from tests.servers.valkey import Valkey, valkey
from workers.acl import BORDER, WEBHOOK, WORKER, acl_lines, rights, syncer_user
from workers.cli.delivery.redis import USERS, digests_of, with_newest_password, with_password, with_users

WEST = syncer_user("west")
ADD = ("--network", "south", "--trust-domain", "south.shop.example")


def shown(text: str) -> str:
    """The password that a command shows."""
    match = re.search(r"shown only now:\n  (\S+)\n", text)
    assert match is not None, text
    return match[1]


def digest(password: str) -> str:
    return hashlib.sha256(password.encode()).hexdigest()


def users(mesh: Path) -> str:
    return (mesh / USERS).read_text()


# --- the text


def test_it_is_what_the_processes_need_and_closed_to_everybody_else():
    text = with_password(with_password(with_users("", [WEST]), BORDER, digest("b")), WORKER, digest("w"))
    expected = acl_lines({"west": Secret("s")}, border=Secret("b"), worker=Secret("w"))
    assert sorted(expected.splitlines()) == sorted(with_password(text, WEST, digest("s")).splitlines())


def test_a_user_without_a_password_lets_nobody_in():
    assert f"user {WEST} on resetkeys resetchannels -@all {rights(WEST)}" in with_users("", [WEST]).splitlines()


def test_a_password_is_changed_with_both_of_them_in_between():
    text = with_password(with_users("", [WEST]), WEST, "1")
    both = with_password(text, WEST, "2")
    assert ("1", "2") == digests_of(both, WEST)
    with pytest.raises(Rejected, match=r"two passwords let it in already.*--finish"):
        with_password(both, WEST, "3")
    finished = with_newest_password(both, WEST)
    assert ("2",) == digests_of(finished, WEST)
    assert finished == with_newest_password(finished, WEST)


def test_a_real_server_lets_both_in_meanwhile_and_the_older_one_no_longer():
    text = with_password(with_users("", [WEST]), WEST, digest("old"))
    both = with_password(text, WEST, digest("new"))
    for acl, let_in in ((text, ["old"]), (both, ["old", "new"]), (with_newest_password(both, WEST), ["new"])):
        with valkey(acl=acl) as server:
            assert let_in == [word for word in ("old", "new") if enters(server, word)]


def enters(server: Valkey, password: str) -> bool:
    with redis.Redis.from_url(server.redis_url_for(WEST, password)) as client:
        try:
            return bool(client.ping())
        except redis.AuthenticationError:
            return False


def test_nothing_is_finished_that_was_not_begun():
    with pytest.raises(Rejected, match="no password yet"):
        with_newest_password(with_users("", [WEST]), WEST)


def test_users_of_the_site_and_their_order_stay():
    text = "user default off\nuser admin on #aa ~* +@all\n\nuser syncer-west-2 on #bb\n"
    changed = with_password(with_users(text, [WEST]), WEST, "cc")
    assert changed.startswith(text)
    assert changed == with_users(changed, [WEST])


def test_an_upgrade_gives_each_user_what_the_version_needs_and_leaves_its_passwords():
    text = with_password(with_users("", [WEST]), WORKER, "aa")
    older = text.replace(" +evalsha", "").replace(" +lpush", " +publish")
    assert older != text == with_users(older, [WEST])


# --- the commands


def test_a_cluster_that_is_added_gets_a_user_with_a_password_that_is_shown_once(mesh):
    said = done("cluster", "add", "south", "--repo", mesh, *ADD)
    password = shown(said)
    assert (digest(password),) == digests_of(users(mesh), syncer_user("south"))
    assert len(password) >= 43
    assert all(password.encode() not in data for data in files_in(mesh).values())


def test_a_password_goes_into_a_file_of_its_owner_and_is_not_shown(mesh, tmp_path):
    said = done("cluster", "add", "south", "--repo", mesh, *ADD, "--password-file", tmp_path / "south")
    password = (tmp_path / "south").read_text()
    assert password.strip() not in said
    assert 0o600 == (tmp_path / "south").stat().st_mode & 0o777
    assert (digest(password.strip()),) == digests_of(users(mesh), syncer_user("south"))


@pytest.mark.parametrize("command", [("cluster", "add", "south", *ADD), ("cluster", "password", "west")])
def test_a_password_is_not_written_into_the_repository_nor_over_a_file(mesh, tmp_path, command):
    before = files_in(mesh)
    said = call(*command, "--repo", mesh, "--password-file", mesh / "south")
    assert (1, "") == (said.code, said.stdout)
    assert "it is in the repository. Name a file outside the checkout" in said.stderr
    (tmp_path / "there").touch()
    said = call(*command, "--repo", mesh, "--password-file", tmp_path / "there")
    assert 1 == said.code
    assert "it is there already" in said.stderr
    assert before == files_in(mesh)


@pytest.mark.parametrize(
    ("command", "user"),
    [
        (("cluster", "password", "west"), WEST),
        (("redis", "password", "border"), BORDER),
        (("redis", "password", "worker"), WORKER),
        (("redis", "password", "webhook"), WEBHOOK),
    ],
)
def test_a_password_is_changed_in_two_steps(mesh, command, user):
    if not digests_of(users(mesh), user):
        done(*command, "--repo", mesh)
    older = digests_of(users(mesh), user)
    said = done(*command, "--repo", mesh)
    new = digest(shown(said))
    assert (*older, new) == digests_of(users(mesh), user)
    assert f"git -C {mesh} add delivery/redis/users.acl && " in said
    said = done(*command, "--finish", "--repo", mesh)
    assert (new,) == digests_of(users(mesh), user)
    assert "Redis reads the file when it is started again." in said
    assert "only one password" in done(*command, "--finish", "--repo", mesh)


def test_a_cluster_that_is_none_has_no_password(mesh):
    said = call("cluster", "password", "south", "--repo", mesh)
    assert (1, "error: south: no such cluster. There are: east, north, west.\n") == (said.code, said.stderr)


def test_finishing_makes_no_password(mesh, tmp_path):
    said = call("cluster", "password", "west", "--finish", "--repo", mesh, "--password-file", tmp_path / "x")
    assert 1 == said.code
    assert not (tmp_path / "x").exists()


def test_an_upgrade_writes_what_is_missing_and_says_who_cannot_get_in(mesh):
    lines = users(mesh).splitlines(keepends=True)
    (mesh / USERS).write_text("".join(line for line in lines if "syncer-west" not in line))
    said = done("redis", "users", "--repo", mesh)
    assert "syncer-west: it has no password yet, so nobody gets in by its name." in said
    assert "wrote delivery/redis/users.acl" in said
    assert "Every user has what this version needs." in done("redis", "users", "--repo", mesh)


def test_a_mesh_from_before_gets_its_files_with_the_first_command(mesh):
    for path in (mesh / USERS).parent.iterdir():
        path.unlink()
    done("cluster", "password", "west", "--repo", mesh)
    assert {"README.md", "redis.conf", "users.acl"} == {path.name for path in (mesh / USERS).parent.iterdir()}
