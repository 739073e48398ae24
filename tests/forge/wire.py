"""Two ways to a `FakeGitea`: as the adapter's own `Rest` without a wire, and behind HTTP."""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from tests.forge.fake_gitea import FakeGitea, paged
from workers.forge.rest import Answer, Method

TOKEN = "t0ken of the r/obot"


class MemoryRest:
    """`workers.forge.rest.Rest` that asks a fake in this process, as `user`."""

    def __init__(self, fake: FakeGitea, user: str = "robot") -> None:
        self._fake = fake
        self._user = user

    def call(
        self, method: Method, path: str, *, query: Mapping[str, str | int] | None = None, body: Any = None
    ) -> Answer:
        asked = {name: str(value) for name, value in (query or {}).items()}
        status, value = self._fake.ask(self._user, method, path, body, asked)
        value, more = paged(value, asked)
        message = value.get("message", "") if isinstance(value, dict) else ""
        return Answer(status=status, value=value, message=message, more=more)


class FakeServer(ThreadingHTTPServer):
    """Serves a fake below `/api/v1` to users `robot` (with `TOKEN`) and whoever has a token that is their name.

    `answers`: what is answered next in place of the fake, each once: status, headers, body.
    """

    daemon_threads = True

    def __init__(self, fake: FakeGitea) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.fake = fake
        self.answers: list[tuple[int, Mapping[str, str], bytes]] = []
        self.requests: list[str] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


@contextmanager
def serving(fake: FakeGitea) -> Iterator[FakeServer]:
    """A server for a fake, for the length of a block."""
    server = FakeServer(fake)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: FakeServer

    def _serve(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.server.requests.append(f"{self.command} {self.path}")
        if self.server.answers:
            self._answer(*self.server.answers.pop(0))
            return
        parts = urlsplit(self.path)
        query = dict(parse_qsl(parts.query))
        user = self._user()
        if user is None:
            self._say(401, {"message": "invalid username, password or token"}, more=False)
            return
        status, value = self.server.fake.ask(
            user, self.command, parts.path.removeprefix("/api/v1"), json.loads(body or b"{}"), query
        )
        self._say(status, *paged(value, query))

    do_GET = do_POST = do_PATCH = do_PUT = do_DELETE = _serve  # noqa: N815 # http.server's names

    def _user(self) -> str | None:
        kind, _, coded = self.headers.get("Authorization", "").partition(" ")
        if kind != "Basic":
            return None
        user, _, token = base64.b64decode(coded).decode().partition(":")
        return user if token == (TOKEN if user == "robot" else user) else None

    def _say(self, status: int, value: Any, more: bool) -> None:
        headers = {"Content-Type": "application/json"}
        if more:
            headers["Link"] = '<http://next>; rel="next",<http://last>; rel="last"'
        self._answer(status, headers, b"" if value is None else json.dumps(value).encode())

    def _answer(self, status: int, headers: Mapping[str, str], body: bytes) -> None:
        self.send_response(status)
        for name, text in headers.items():
            self.send_header(name, text)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 # http.server's name
        """The log of a test isn't the server's."""
