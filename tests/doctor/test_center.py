"""The centre: a real Redis looked at as an administrator and as a worker, and what is judged of it."""

from __future__ import annotations

import http.server
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from syncer.protocol.message import KEY_PREFIX, queue
from syncer.protocol.observation import pack
from syncer.protocol.secret import Secret
from tests.border.processes import wait_until
from tests.doctor.sights import NOW, observation
from tests.servers.valkey import Valkey, free_port, valkey
from workers.acl import acl_lines
from workers.cli.doctor.redis import look_at_redis, look_at_turns
from workers.doctor import Finding, NotSeen, examine
from workers.doctor.center import CHECKS, Account, CenterSeen, RedisSeen, accounts_of
from workers.inbox import RedisInbox
from workers.outside import Kept, Refusal

LINES = acl_lines({"west": Secret("w"), "east": Secret("e")}, border=Secret("b"), worker=Secret("i"))
SERVER = {
    "appendonly": "yes",
    "maxmemory": "268435456",
    "maxmemory-policy": "noeviction",
    "proto-max-bulk-len": "4194304",
}


@pytest.fixture
def server() -> Iterator[Valkey]:
    """As a site should have it."""
    with valkey(acl=LINES, tcp=True) as running, running.client() as client:
        for name, value in SERVER.items():
            client.config_set(name, value)
        # While it writes that file for the first time it doesn't end when it is asked to.
        wait_until(lambda: not client.info("persistence")["aof_rewrite_in_progress"], what="the append-only file")
        keep(running)
        yield running


def keep(running: Valkey) -> None:
    inbox = RedisInbox(Secret(running.url))
    inbox.keep("west", Kept(sequence=1, packed=pack(observation()), signature=b""), content="x")
    inbox.close()


def looked(url: str, *clusters: str) -> RedisSeen:
    found = look_at_redis(url, clusters or ("west", "east"))
    assert isinstance(found, RedisSeen), found
    return found


def findings(redis: RedisSeen | NotSeen | None, **seen: Any) -> tuple[Finding, ...]:
    center = CenterSeen(now=NOW, redis=redis, trusted=("west",), turns={"worker": NOW})
    return examine("center", CHECKS, replace(center, **seen)).findings


def trouble(redis: RedisSeen | NotSeen | None, **seen: Any) -> list[tuple[str, str, str]]:
    return [(one.status, one.subject, one.what) for one in findings(redis, **seen) if one.status != "ok"]


def test_of_a_redis_as_it_should_be_an_administrator_sees_nothing_wrong(server: Valkey):
    assert [] == trouble(looked(server.url))
    assert set(CHECKS) == {one.subject for one in findings(looked(server.url))}


def test_what_a_worker_may_not_ask_is_unknown_and_nothing_is_wrong(server: Valkey):
    found = trouble(looked(server.url_for("peermesh-worker", "i")))
    assert {"unknown"} == {status for status, _, _ in found}
    assert {"persistence", "memory", "users", "queues"} == {subject for _, subject, _ in found}


@pytest.mark.parametrize(
    ("name", "value", "subject", "what"),
    [
        ("appendonly", "no", "persistence", "appendonly is off"),
        ("maxmemory", "0", "memory", "maxmemory isn't set"),
        ("maxmemory-policy", "allkeys-lru", "memory", "maxmemory-policy is allkeys-lru"),
        ("proto-max-bulk-len", "536870912", "memory", "one value may have more than 4 MiB"),
    ],
)
def test_each_setting_that_is_wrong_is_seen(server: Valkey, name: str, value: str, subject: str, what: str):
    with server.client() as client:
        client.config_set(name, value)
    (found,) = trouble(looked(server.url))
    assert subject == found[1]
    assert what in found[2]


@pytest.mark.parametrize(
    ("command", "what"),
    [
        (("default", "on", "nopass"), "user default is on"),
        (("syncer-west", "+get"), "user syncer-west: too much: +get"),
        (("syncer-west", "%W~peermesh:*"), "user syncer-west: too much: %W~peermesh:*"),
        (("syncer-west", "nopass"), "user syncer-west: too much: nopass"),
        (("syncer-west", "-lpush"), "user syncer-west: lacks: +lpush"),
        (("syncer-west", "+@all"), "user syncer-west: too much: +@all"),
        (("peermesh-border", "off"), "user peermesh-border is off"),
        (("syncer-south", "on", ">x", "+lpush"), "users of clusters that main doesn't have: syncer-south"),
    ],
)
def test_each_user_that_may_too_much_or_too_little_is_seen(server: Valkey, command: tuple[str, ...], what: str):
    with server.client() as client:
        client.execute_command("ACL SETUSER", *command)
    (found,) = trouble(looked(server.url))
    assert "users" == found[1]
    assert found[2].startswith(what)


def test_the_command_that_mends_a_user_mends_it(server: Valkey):
    with server.client() as client:
        client.execute_command("ACL SETUSER", "syncer-west", "+get", "~*")
        (found,) = (one for one in findings(looked(server.url)) if one.status == "wrong")
        command = found.remedy.splitlines()[0].removeprefix("$ redis-cli ").replace("'", "").split()
        client.execute_command(*command)
    assert [] == trouble(looked(server.url))


def test_a_user_that_is_missing_is_seen(server: Valkey):
    (found,) = trouble(looked(server.url, "west", "east", "north"))
    assert ("wrong", "users", "there is no user syncer-north") == found


def test_what_waits_too_long_is_seen(server: Valkey):
    with server.client() as client:
        client.lpush(KEY_PREFIX + queue("west"), *"x" * 15)
    (found,) = trouble(looked(server.url))
    assert "15 messages wait in observations.west: `peermesh receive` takes none, or not enough" == found[2]


def test_a_wrong_password_is_told_without_it(server: Valkey):
    found = look_at_redis(server.url_for("peermesh-worker", "hunter2"), ("west",))
    (said,) = trouble(found, turns={})
    assert ("wrong", "Redis") == said[:2]
    assert "hunter2" not in said[2]


def test_a_redis_that_is_away_is_told():
    found = trouble(look_at_redis(f"redis://127.0.0.1:{free_port()}/0", ("west",)))
    assert [("wrong", "Redis")] == [one[:2] for one in found]


@pytest.mark.parametrize(
    ("changed", "status", "what"),
    [
        ({"tls": False, "private": False}, "wrong", "is called in plain text: passwords can be read on the way"),
        ({"tls": True}, "warning", "still takes connections in plain text"),
        ({"clock": 61.0}, "warning", "Redis is 61 s ahead of this machine"),
        ({"observed_at": {}}, "wrong", "west was never heard"),
        ({"observed_at": {"west": NOW - timedelta(hours=1)}}, "wrong", "west was last heard 60 min ago"),
        (
            {
                "refusals": {
                    "west": Refusal(reason="TooOld", what="observed 20 minutes ago", since=NOW, last=NOW, count=1)
                }
            },
            "wrong",
            "west: refused, TooOld: observed 20 minutes ago",
        ),
    ],
)
def test_what_a_server_does_not_say_of_itself_is_judged_too(
    server: Valkey, changed: Mapping[str, Any], status: str, what: str
):
    (found,) = trouble(replace(looked(server.url), **changed))
    assert status == found[0]
    assert what in found[2]


def test_who_is_almost_full_is_told(server: Valkey):
    redis = looked(server.url)
    (found,) = trouble(replace(redis, info={**redis.info, "used_memory": "260000000"}))  # type: ignore[dict-item]
    assert found[2].startswith("97% of maxmemory are used")


def test_rights_are_read_alike_from_a_file_and_from_the_server():
    assert {
        "a": Account(
            on=True, commands=frozenset({"+get"}), keys=frozenset({"%R~x*", "~y"}), channels=frozenset({"&c"})
        ),
        "b": Account(on=False, commands=frozenset({"nopass", "+@all"}), keys=frozenset(), channels=frozenset()),
    } == accounts_of(
        ["user a on #0a sanitize-payload %R~x* ~y resetchannels &c -@all +get", "user b off nopass +@all", "# x", ""]
    )


def test_turns_are_read_from_metrics_and_those_of_other_processes_are_zero():
    text = (
        "# TYPE peermesh_last_sweep_timestamp_seconds gauge\npeermesh_last_sweep_timestamp_seconds 0.0\n"
        "# TYPE peermesh_last_listened_timestamp_seconds gauge\npeermesh_last_listened_timestamp_seconds 1764212400.0\n"
    )
    with serving(text) as address:
        assert ["receive"] == list(look_at_turns([address]))  # type: ignore[arg-type]
    with serving("peermesh_last_sweep_timestamp_seconds 0.0\n") as address:
        assert {address: None} == look_at_turns([address])
    nowhere = f"127.0.0.1:{free_port()}"
    found = trouble(None, turns=look_at_turns([nowhere]))
    assert ("wrong", "turns", f"{nowhere} serves no metrics (NewConnectionError)") == found[1]


def test_a_worker_that_does_no_turns_is_stuck():
    (_, found) = trouble(None, turns={"worker": NOW - timedelta(minutes=9)})
    assert ("wrong", "turns", "worker did its last turn 9 min ago") == found


@contextmanager
def serving(text: str) -> Iterator[str]:
    """A server on loopback whose every page is this text."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(text.encode())

        def log_message(self, *_: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield f"127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join(60)
