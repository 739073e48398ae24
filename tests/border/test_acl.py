"""The Redis users, asked of a real server: each may do what it needs and nothing else."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, suppress
from typing import Any

import pytest
import redis

from syncer.protocol.message import KEY_PREFIX, queue
from syncer.protocol.secret import Secret
from tests.servers.redis_tls import RedisTls, redis_tls
from tests.servers.valkey import Valkey, valkey
from workers import inbox
from workers.acl import BORDER, SIGNER, WEBHOOK, WORKER, acl_file, acl_lines, syncer_user
from workers.inbox import RedisInbox

WITHOUT_LOGIN = {"auth", "hello", "quit", "reset"}
"""Commands that a server takes from anybody who can connect; they touch no key."""
REFUSED_TO_ALL = {"debug", "exec", "module|load", "module|loadex", "module|unload"}
"""What a server refuses before it looks at rights: by its settings, or because no MULTI came before."""
SYNCER = {"lpush", "ping"}
KOMBU = {"brpop", "rpush", "multi", "exec", "watch", "zadd", "zrem", "zrange", "evalsha", "script|load"}
WORKER_MAY = SYNCER | KOMBU | {"hset", "hget", "hgetall", "hdel", "set", "get", "del", "time"}
BORDER_MAY = WORKER_MAY | {"llen", "ltrim"}
SIGNER_MAY = {"ping", "hset", "hget", "time", "evalsha", "script|load"}

OBSERVATIONS = KEY_PREFIX + queue("west")


@pytest.fixture(scope="module", params=["valkey", "redis"])
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Valkey | RedisTls]:
    users = {syncer_user("east"): "e", syncer_user("west"): "w", BORDER: "b", WORKER: "i", WEBHOOK: "h", SIGNER: "s"}
    lines = acl_file({user: Secret(password) for user, password in users.items()})
    if request.param == "valkey":
        with valkey(acl=lines) as running:
            yield running
    else:
        with redis_tls(tmp_path_factory.mktemp("redis"), acl=lines) as server:
            yield server


@pytest.fixture(scope="module")
def client(server: Valkey | RedisTls) -> Iterator[redis.Redis]:
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
    ("user", "expected"),
    [
        (syncer_user("west"), SYNCER),
        (BORDER, BORDER_MAY),
        (WORKER, WORKER_MAY),
        (WEBHOOK, SYNCER),
        (SIGNER, SIGNER_MAY),
    ],
)
def test_every_other_command_is_refused(client, user, expected):
    assert expected == {name for name in commands(client) if may_run(client, user, name)} - WITHOUT_LOGIN


def raw(client: redis.Redis, *command: str) -> Any:
    """What the server answers, as it stands there."""
    connection = client.connection_pool.get_connection()
    connection.send_command(*command)
    try:
        return connection.read_response()
    except redis.ResponseError:
        raise
    except BaseException:
        connection.disconnect()
        raise
    finally:
        client.connection_pool.release(connection)


def arities(client: redis.Redis) -> dict[str, int]:
    """Every command of the server, subcommands in place of what they belong to, with the least words that it takes."""
    names = {name.decode() for name in raw(client, "COMMAND", "LIST")}
    callable_ = sorted(names - {name.partition("|")[0] for name in names if "|" in name})
    return {
        name: abs(detail[1]) for name, detail in zip(callable_, raw(client, "COMMAND", "INFO", *callable_), strict=True)
    }


def test_whatever_a_cluster_calls_but_sending_is_refused_by_the_server_itself(server, client):
    url = server.url_for(syncer_user("west"), "w").replace("redis+socket:", "unix:").replace("virtual_host=", "db=")
    known = {name: words for name, words in arities(client).items() if name not in WITHOUT_LOGIN | REFUSED_TO_ALL}
    assert len(known) > 250
    let = set()
    with redis.Redis.from_url(url, driver_info=None) as west:
        for name, words in known.items():
            command = name.split("|")
            try:
                raw(west, *command, *["x"] * (words - len(command)))
            except redis.exceptions.NoPermissionError as refusal:
                if "run the" not in str(refusal):
                    let.add(name)  # only the key stood in the way
            except redis.RedisError:
                let.add(name)
            else:
                let.add(name)
    assert SYNCER == let


def test_nobody_gets_in_without_a_password(server):
    address = server.client().connection_pool.connection_kwargs
    stranger = {name: value for name, value in address.items() if name not in {"username", "password"}}
    with server.client() as client:
        client.connection_pool.connection_kwargs = stranger
        with pytest.raises(redis.AuthenticationError):
            client.ping()


@pytest.mark.parametrize(
    ("user", "key"),
    [
        (syncer_user("west"), KEY_PREFIX + queue("east")),
        (syncer_user("west"), OBSERVATIONS + "\x06\x163"),
        (syncer_user("west"), OBSERVATIONS + "x"),
        (syncer_user("west"), f"{KEY_PREFIX}work"),
        (syncer_user("west"), f"{KEY_PREFIX}border.unacked"),
        (syncer_user("west"), inbox.KEYS),
        (WEBHOOK, OBSERVATIONS),
        (WEBHOOK, inbox.MARKS),
        (BORDER, inbox.KEYS),
        (BORDER, inbox.SEEN),
        (BORDER, inbox.LOCK),
        (BORDER, inbox.TROUBLES),
        (BORDER, inbox.CERTIFICATES),
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


@pytest.mark.parametrize("key", [inbox.NEWEST, inbox.REQUESTS, inbox.KEYS, OBSERVATIONS, f"{KEY_PREFIX}work"])
def test_the_signer_touches_nothing_but_certificates(client, key):
    assert answer(client, SIGNER, "hset", inbox.CERTIFICATES, "west", "x") == "OK"
    assert "key" in answer(client, SIGNER, "hset", key, "west", "x")
    assert "key" in answer(client, SIGNER, "hget", key, "west")


def test_the_signer_hands_a_certificate_in(server):
    urls = (server.url_for(SIGNER, "s"), server.url_for(WORKER, "i"))
    signer, worker = (RedisInbox(Secret(url)) for url in urls)
    with closing(signer), closing(worker):
        signer.keep_certificate("west", b"certificate")
        assert {"west": b"certificate"} == worker.certificates()


def test_a_syncer_may_send_and_not_read_what_it_sent(client):
    assert answer(client, syncer_user("west"), "lpush", OBSERVATIONS, "x") == "OK"
    assert "permission" in answer(client, syncer_user("west"), "brpop", OBSERVATIONS, "1")


def test_no_password_stands_in_the_file():
    lines = acl_lines({"west": Secret("canary-1")}, border=Secret("canary-2"), worker=Secret("canary-3"))
    assert "canary" not in lines
