"""A real Valkey for tests: on a Unix socket or on a port of its own, ended by its process id in any case."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager

import redis

from workers.embedded import Server, embedded

_ADMIN = "user tests on >tests allkeys allchannels +@all"
"""With an ACL the tests themselves need a user that may wipe and look."""


class Valkey:
    """`url` for Celery and for settings, `redis_url` for redis-py; both may do everything, whatever the ACL says."""

    def __init__(self, server: Server, *, acl: bool) -> None:
        self._server = server
        self._user = ("tests", "tests") if acl else ("", "")

    @property
    def url(self) -> str:
        return self._server.url_for(*self._user)

    @property
    def redis_url(self) -> str:
        return self.redis_url_for(*self._user)

    @property
    def pid(self) -> int:
        return self._server.pid

    def url_for(self, user: str, password: str) -> str:
        return self._server.url_for(user, password)

    def redis_url_for(self, user: str = "", password: str = "") -> str:
        return self._server.url_for(user, password).replace("redis+socket:", "unix:").replace("?virtual_host=", "?db=")

    def client(self) -> redis.Redis:
        """A new connection pool of redis-py; close it (`with`)."""
        return redis.Redis.from_url(self.redis_url, socket_timeout=90)  # longer than any test waits for a message

    def wipe(self) -> None:
        """Everything in it is gone; connections stay."""
        with self.client() as client:
            client.flushall()

    def stop(self) -> None:
        self._server.stop()

    def restart(self) -> None:
        """Ended (if it runs) and started again, empty, at the same address; connections break."""
        self._server.stop()
        self._server.start()


@contextmanager
def valkey(*, acl: str | None = None, tcp: bool = False) -> Iterator[Valkey]:
    """A running server. `acl`: lines of an ACL file (a user for the tests is added); `tcp`: reached by a port."""
    users = None if acl is None else f"{acl.rstrip()}\n{_ADMIN}\n"
    with embedded(acl=users, port=free_port() if tcp else None) as server:
        yield Valkey(server, acl=acl is not None)


def free_port() -> int:
    """A port of 127.0.0.1 that nothing listens on."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port
