"""The rights of the border and of the workers, taken away one by one: each is missed, so none is too much.

That they are enough is seen in `test_border_process` and `test_worker_process`, which leave the server's ACL log empty.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from datetime import UTC, datetime

import pytest

from syncer.protocol.errors import PeermeshError
from syncer.protocol.message import KEY_PREFIX
from syncer.protocol.secret import Secret
from tests.border.messages import KEYS, WEST_QUEUE, honest
from tests.border.processes import Process, process, wait_until
from tests.border.requests import request_message
from tests.servers.valkey import Valkey, valkey
from workers.acl import BORDER, WORKER, acl_lines, rights
from workers.broker import WORK, ask_flush, celery_app
from workers.inbox import ASKED, REQUESTS, RedisInbox

_PAUSE = 1.5
"""Seconds for a process to connect again and do its work before its connections are broken the second time; each time
after that it has a quarter longer, as a busy machine needs."""
LINES = acl_lines({}, border=Secret("secret"), worker=Secret("secret"))


def words(user: str, first: str) -> list[str]:
    """What of the rights of a user begins so."""
    return [word for word in rights(user).split() if word[0] in first]


class Deprived:
    """A running process that is this user, and what makes it use all that it may."""

    def __init__(self, server: Valkey, user: str, role: str, use: Callable[[], None]) -> None:
        self.user = user
        self.processes = ExitStack()
        self._server = server
        self._tests = server.client()
        self._role = role
        self._use = use
        self._next_use = 0.0
        self._pause = _PAUSE
        self._running: Process | None = None

    def _runs(self) -> None:
        """Start it, also if it died of what it was refused before: it may still have been dying when a test began."""
        if self._running is None or not self._running.alive:
            url = self._server.url_for(self.user, "secret")
            told: dict[str, str] = {
                "PEERMESH_BORDER_BROKER_URL": url,
                "PEERMESH_BROKER_URL": url,
                "TEST_REDIS_URL": self._server.redis_url,
            }
            running = self._running = self.processes.enter_context(process(self._role, **told))
            wait_until(lambda: self._connections() or not running.alive, what="its start")

    def without(self, *, commands: list[str], keys: list[str]) -> None:
        """From now on the user has these commands and keys."""
        self._tests.execute_command("ACL", "SETUSER", self.user, "-@all", *commands, "resetkeys", *keys)
        self._tests.acl_log_reset()
        self._next_use, self._pause = 0.0, _PAUSE

    def missed(self, objects: Callable[[str], bool]) -> bool:
        """Use all of it from time to time; whether the user was refused what it may no longer do."""
        if time.monotonic() > self._next_use:
            self._runs()
            self._use_all()
            self._next_use = time.monotonic() + self._pause
            self._pause *= 1.25
        log = self._tests.acl_log()
        return any(entry["username"] == self.user and objects(str(entry["object"])) for entry in log)

    def _use_all(self) -> None:
        self._stuck_message()
        self._tests.script_flush()
        for client in self._connections():
            self._tests.client_kill_filter(_id=client)
        with suppress(PeermeshError):
            self._use()

    def _connections(self) -> list[str]:
        return [str(client["id"]) for client in self._tests.client_list() if client["user"] == self.user]

    def _stuck_message(self) -> None:
        """One that somebody took long ago and never acknowledged: it is put back where it came from."""
        app, queue = ("border", WEST_QUEUE) if self.user == BORDER else ("inner", WORK)
        held = f"{KEY_PREFIX}{app}.unacked"
        message = [
            {"body": "", "headers": dict[str, str](), "properties": {"delivery_info": dict[str, str]()}},
            "",
            queue,
        ]
        self._tests.hset(held, "old", json.dumps(message))
        self._tests.zadd(f"{held}_index", {"old": 1.0})
        # Who was refused in the middle of it last time holds it for minutes.
        self._tests.delete(f"{held}_mutex")


@pytest.fixture(scope="module")
def border() -> Iterator[Deprived]:
    with valkey(acl=LINES) as server, server.client() as tests:
        inbox = RedisInbox(Secret(server.url_for(WORKER, "secret")))

        def use() -> None:
            inbox.set_border_keys(KEYS)
            for _ in range(30):  # more than are kept
                tests.lpush(KEY_PREFIX + WEST_QUEUE, b"garbage{")
            tests.lpush(KEY_PREFIX + WEST_QUEUE, honest(datetime.now(UTC), offers=int(tests.incr("test.n")) % 7))
            # One that comes too soon isn't kept, so what was kept last is forgotten.
            tests.delete(REQUESTS)
            # As a worker does that flushed, or the border would send for it only twice a minute.
            tests.delete(ASKED)
            tests.lpush(KEY_PREFIX + WEST_QUEUE, request_message(datetime.now(UTC)))

        deprived = Deprived(server, BORDER, "receive", use)
        with deprived.processes:
            yield deprived
        inbox.close()


@pytest.fixture(scope="module")
def worker() -> Iterator[Deprived]:
    with valkey(acl=LINES) as server:
        url = Secret(server.url_for(WORKER, "secret"))
        inbox, app = RedisInbox(url), celery_app("asking", url)

        def use() -> None:
            inbox.mark("main")
            inbox.take()
            ask_flush(app, inbox)
            inbox.set_look_again(None)
            inbox.newest()

        deprived = Deprived(server, WORKER, "work", use)
        with deprived.processes:
            yield deprived
        inbox.close()
        app.close()


CASES = [
    pytest.param(user, word, id=f"{user.removeprefix('peermesh-')} {word}")
    for user in (BORDER, WORKER)
    for word in words(user, "+~%")
]


@pytest.mark.parametrize(("user", "right"), CASES)
def test_a_right_that_is_taken_away_is_missed(request, user, right):
    deprived = request.getfixturevalue(user.removeprefix("peermesh-"))
    commands = [word for word in words(user, "+") if word != right]
    keys = [word for word in words(user, "~%") if word != right]
    deprived.without(commands=commands, keys=keys)
    name = right.lstrip("+")
    key = right.partition("~")[2].rstrip("*")
    try:
        wait_until(
            lambda: deprived.missed(lambda refused: refused.startswith(key) if key else refused == name),
            what=f"{user} to miss {right}",
        )
    finally:
        deprived.without(commands=words(user, "+"), keys=words(user, "~%"))
