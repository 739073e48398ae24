"""The Redis users, asked of a real server: each may do what it needs and nothing else."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress

import pytest
import redis

from syncer.protocol.message import KEY_PREFIX, queue
from syncer.protocol.secret import Secret
from tests.servers.valkey import Valkey, valkey
from workers import inbox
from workers.acl import BORDER, WORKER, acl_lines, syncer_user

WITHOUT_LOGIN = {"auth", "hello", "quit", "reset"}
"""Commands that a server takes from anybody who can connect; they touch no key."""
SYNCER = {"lpush", "ping", "client|setinfo"}
KOMBU = {"brpop", "rpush", "multi", "exec", "watch", "unwatch", "zadd", "zrem", "zrange", "evalsha", "script|load"}
WORKER_MAY = SYNCER | KOMBU | {"hset", "hget", "hgetall", "hdel", "set", "get", "del", "time"}
BORDER_MAY = WORKER_MAY | {"llen", "ltrim"}

OBSERVATIONS = KEY_PREFIX + queue("west")


@pytest.fixture(scope="module")
def server() -> Iterator[Valkey]:
    lines = acl_lines({"east": Secret("e"), "west": Secret("w")}, border=Secret("b"), worker=Secret("i"))
    with valkey(acl=lines) as running:
        yield running


@pytest.fixture(scope="module")
def client(server: Valkey) -> Iterator[redis.Redis]:
    with server.client() as client:
        yield client


def commands(client: redis.Redis) -> set[str]:
    """All that the server knows; of those with subcommands (`client|setinfo`) only these."""
    categories = client.execute_command("ACL", "CAT")
    names = {name.decode() for category in categories for name in client.execute_command("ACL", "CAT", category)}
    return names - {name.partition("|")[0] for name in names if "|" in name}


def answer(client: redis.Redis, user: str, *command: str) -> str:
    said = client.execute_command("ACL", "DRYRUN", user, *command)
    return said.decode() if isinstance(said, bytes) else str(said)


def may_run(client: redis.Redis, user: str, name: str) -> bool:
    """Whether only a key, if anything, stands in the way; asked with as many arguments as the command takes."""
    for count in range(16):
        with suppress(redis.ResponseError):  # another number of arguments
            return "run the" not in answer(client, user, *name.split("|"), *["x"] * count)
    raise AssertionError(f"no number of arguments is right for {name}")


@pytest.mark.parametrize(
    ("user", "expected"), [(syncer_user("west"), SYNCER), (BORDER, BORDER_MAY), (WORKER, WORKER_MAY)]
)
def test_every_other_command_is_refused(client, user, expected):
    assert expected == {name for name in commands(client) if may_run(client, user, name)} - WITHOUT_LOGIN


def test_nobody_gets_in_without_a_password(server):
    with redis.Redis.from_url(server.redis_url_for()) as stranger, pytest.raises(redis.AuthenticationError):
        stranger.ping()


@pytest.mark.parametrize(
    ("user", "key"),
    [
        (syncer_user("west"), KEY_PREFIX + queue("east")),
        (syncer_user("west"), OBSERVATIONS + "\x06\x163"),
        (syncer_user("west"), OBSERVATIONS + "x"),
        (syncer_user("west"), f"{KEY_PREFIX}work"),
        (syncer_user("west"), f"{KEY_PREFIX}border.unacked"),
        (syncer_user("west"), inbox.KEYS),
        (BORDER, inbox.KEYS),
        (BORDER, inbox.SEEN),
        (BORDER, inbox.LOCK),
        (BORDER, inbox.TROUBLES),
        (BORDER, f"{KEY_PREFIX}inner.unacked"),
        (WORKER, OBSERVATIONS),
        (WORKER, f"{KEY_PREFIX}border.unacked"),
        (WORKER, "somebody-elses"),
    ],
)
def test_no_other_key_can_be_written(client, user, key):
    assert "key" in answer(client, user, "lpush", key, "x")


def test_the_border_may_read_whom_to_trust_but_not_say_so(client):
    assert answer(client, BORDER, "get", inbox.KEYS) == "OK"
    assert "key" in answer(client, BORDER, "set", inbox.KEYS, "x")


def test_the_border_may_send_for_a_flush_but_not_see_what_waits(client):
    assert answer(client, BORDER, "lpush", f"{KEY_PREFIX}work", "x") == "OK"
    assert "key" in answer(client, BORDER, "brpop", f"{KEY_PREFIX}work", "1")


def test_a_syncer_may_send_and_not_read_what_it_sent(client):
    assert answer(client, syncer_user("west"), "lpush", OBSERVATIONS, "x") == "OK"
    assert "permission" in answer(client, syncer_user("west"), "brpop", OBSERVATIONS, "1")


def test_no_password_stands_in_the_file():
    lines = acl_lines({"west": Secret("canary-1")}, border=Secret("canary-2"), worker=Secret("canary-3"))
    assert "canary" not in lines
