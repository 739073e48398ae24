"""Webhook: a forge says that something happened, so that the next look at it comes in a second and not within ten.

Knows how Gitea, Forgejo and GitHub sign what they send. What they send is never read: a good signature asks for a
sweep, and nothing else follows from it. Needs no credentials but those of a Redis user that may push into one queue.
"""

from __future__ import annotations

import hashlib
import hmac
import signal
import threading
from collections.abc import Callable, Mapping
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Final

from kombu.exceptions import OperationalError

from syncer.protocol.environment import bad_setting
from syncer.protocol.errors import HumanNeeded
from syncer.protocol.secret import Secret
from workers.broker import SWEEP, WORK, celery_app, log, log_to_stderr
from workers.settings import WEBHOOK_LISTEN, WEBHOOK_SECRET_FILE, Settings

LARGEST: Final = 1 << 20
"""Bytes of a body. A larger one is refused unread; the sweep that it would have asked for comes within ten seconds."""
APART_SECONDS: Final = 1.0
"""Between two sweeps that were asked for: a merge sends half a dozen webhooks at once."""
_AT_ONCE: Final = 16
_SECONDS: Final = 5.0
"""What a sender may take over a line or the rest of its body."""


def is_signed(headers: Mapping[str, str], body: bytes, secret: Secret) -> bool:
    """Whether one who knows the secret sent this body.

    `X-Gitea-Signature` is the HMAC-SHA256 in hexadecimal, `X-Hub-Signature-256` the same after `sha256=`.
    """
    given = {name.lower(): value for name, value in headers.items()}
    wanted = hmac.new(secret.reveal().encode(), body, hashlib.sha256).hexdigest()
    said = given.get("x-gitea-signature") or given.get("x-hub-signature-256", "").removeprefix("sha256=")
    return bool(secret) and hmac.compare_digest(wanted.encode(), said.lower().encode())


def read_secret(file: Path | None) -> Secret:
    """The secret that a file holds. Raises HumanNeeded: there is none."""
    try:
        secret = Secret(file.read_text().strip() if file else "")
    except OSError as error:
        what = f"{file} can't be read: {error.strerror}"
        raise HumanNeeded("NoWebhookSecret", what, subject=WEBHOOK_SECRET_FILE.name) from error
    if not secret:
        remedy = "Write a long random text into a file, name it here, and the text in the webhook of the forge."
        raise HumanNeeded("NoWebhookSecret", "there is no secret", subject=WEBHOOK_SECRET_FILE.name, remedy=remedy)
    return secret


class Webhook:
    """The server. `ask` is called once for all webhooks of a second, in a thread of its own; it must not raise."""

    def __init__(self, address: tuple[str, int], secret: Callable[[], Secret], ask: Callable[[], None]) -> None:
        self._ask = ask
        self._heard, self._ends = threading.Event(), threading.Event()
        self._server = _Server(address, _Handler)
        self._server.secret, self._server.heard = secret, self._heard

    @property
    def address(self) -> tuple[str, int]:
        """Where it listens."""
        host, port = self._server.server_address[:2]
        return str(host), int(port)

    def serve(self) -> None:
        """Return when somebody called `end`."""
        asking = threading.Thread(target=self._ask_on, daemon=True)
        asking.start()
        try:
            self._server.serve_forever(poll_interval=0.2)
        finally:
            self._server.server_close()
            self._ends.set()
            self._heard.set()
            asking.join()

    def end(self) -> None:
        """From another thread, or before it serves."""
        self._server.shutdown()

    def _ask_on(self) -> None:
        while self._heard.wait() and not self._ends.is_set():
            self._heard.clear()
            self._ask()
            self._ends.wait(APART_SECONDS)


def run_webhook(settings: Settings) -> int:
    """`peermesh webhook`: serve until SIGTERM or SIGINT; returns the exit code.

    Raises:
        HumanNeeded: where to listen or the secret isn't named, or it can't be listened there.
    """
    log_to_stderr()
    if settings.webhook_listen is None:
        raise bad_setting(WEBHOOK_LISTEN, "it isn't set")
    read_secret(settings.webhook_secret_file)
    app = celery_app("webhook", settings.broker)

    def ask() -> None:
        try:
            # `declare=[]`: declaring would need more rights than sending does.
            app.send_task(SWEEP, queue=WORK, declare=[])
        except OperationalError as error:
            log.warning("a sweep could not be sent for: %s", error)

    host, port = settings.webhook_listen
    try:
        webhook = Webhook((host, port), lambda: read_secret(settings.webhook_secret_file), ask)
    except OSError as error:
        what = f"{host}:{port} can't be listened on: {error.strerror or error}"
        raise HumanNeeded("NoWebhook", what, subject=WEBHOOK_LISTEN.name, remedy="Name another address.") from error
    for number in (signal.SIGTERM, signal.SIGINT):
        # `shutdown` waits for the loop that this handler interrupts.
        signal.signal(number, lambda *_: threading.Thread(target=webhook.end).start())
    log.info("listening for webhooks on %s:%d", *webhook.address)
    webhook.serve()
    return 0


class _Server(ThreadingHTTPServer):
    """At most so many at once; whoever comes then is hung up on, and sends again."""

    daemon_threads = True
    secret: Callable[[], Secret]
    heard: threading.Event

    def __init__(self, *arguments: Any) -> None:
        self._places = threading.BoundedSemaphore(_AT_ONCE)
        super().__init__(*arguments)

    def process_request(self, request: Any, client_address: Any) -> None:
        if self._places.acquire(blocking=False):
            super().process_request(request, client_address)
        else:
            self.shutdown_request(request)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._places.release()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Who hangs up or is too slow is no news."""


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    timeout = _SECONDS
    server_version, sys_version = "peermesh", ""

    def do_POST(self) -> None:
        length = self.headers.get("Content-Length", "")
        if not length.isdecimal() or int(length) > LARGEST:
            self._answer(HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
            return
        body = self.rfile.read(int(length))
        try:
            good = is_signed(dict(self.headers), body, self.server.secret())
        except HumanNeeded as error:
            log.warning("%s", error)
            self._answer(HTTPStatus.SERVICE_UNAVAILABLE)
            return
        if good:
            self.server.heard.set()
        self._answer(HTTPStatus.NO_CONTENT if good else HTTPStatus.UNAUTHORIZED)

    def do_GET(self) -> None:
        """For probes."""
        self._answer(HTTPStatus.NO_CONTENT if self.path == "/healthz" else HTTPStatus.NOT_FOUND)

    def _answer(self, status: HTTPStatus) -> None:
        self.close_connection = True
        self.send_response(status)
        self.send_header("Content-Length", "0")
        self.send_header("Connection", "close")
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 # http.server's name
        """What is asked for is none of the log's business: anybody may send anything."""
