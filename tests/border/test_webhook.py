"""Webhooks: signed as forges sign them, never read, and never more than a hint."""

from __future__ import annotations

import hashlib
import hmac
import http.client
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from syncer.protocol.errors import HumanNeeded
from syncer.protocol.message import KEY_PREFIX
from syncer.protocol.secret import Secret
from tests.border.processes import wait_until
from tests.servers.valkey import free_port, valkey
from workers.broker import SWEEP, WORK
from workers.settings import read_settings
from workers.webhook import LARGEST, Webhook, is_signed, read_secret, run_webhook

SECRET = "a long random text"
BODY = b'{"action":"closed"}'


def signed(body: bytes = BODY, secret: str = SECRET) -> str:
    return hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()


class Heard:
    """A running server, and how often it asked."""

    def __init__(self) -> None:
        self.asked = 0
        self.first = threading.Event()
        self.webhook = Webhook(("127.0.0.1", 0), lambda: Secret(SECRET), self._ask)

    def _ask(self) -> None:
        self.asked += 1
        self.first.set()


@pytest.fixture
def heard() -> Iterator[Heard]:
    heard = Heard()
    thread = threading.Thread(target=heard.webhook.serve)
    thread.start()
    try:
        yield heard
    finally:
        heard.webhook.end()
        thread.join()


def send(address: tuple[str, int], method: str = "POST", path: str = "/", body: bytes = BODY, **headers: str) -> int:
    """The status of the answer. Underscores in the names of headers stand for hyphens."""
    connection = http.client.HTTPConnection(*address, timeout=60)
    try:
        connection.request(method, path, body, {name.replace("_", "-"): text for name, text in headers.items()})
        return connection.getresponse().status
    finally:
        connection.close()


@pytest.mark.parametrize(
    ("headers", "good"),
    [
        ({"X-Gitea-Signature": signed()}, True),
        ({"x-gitea-signature": signed().upper()}, True),
        ({"X-Hub-Signature-256": f"sha256={signed()}"}, True),
        ({"X-Hub-Signature-256": signed()}, True),
        ({"X-Gitea-Signature": signed(b"other")}, False),
        ({"X-Gitea-Signature": signed(secret="other")}, False),
        ({"X-Gitea-Signature": ""}, False),
        ({"X-Gitea-Signature": "sígned"}, False),
        ({"X-Hub-Signature": signed()}, False),
        ({}, False),
    ],
)
def test_only_who_knows_the_secret_is_heard(headers, good):
    assert good == is_signed(headers, BODY, Secret(SECRET))


def test_an_empty_secret_signs_nothing():
    assert not is_signed({"X-Gitea-Signature": signed(secret="")}, BODY, Secret(""))


def test_a_signed_webhook_asks_for_a_sweep_and_others_do_not(heard):
    address = heard.webhook.address
    refused = [send(address), send(address, X_Gitea_Signature=signed(secret="other")), send(address, "GET")]
    assert [401, 401, 404] == refused
    assert 204 == send(address, "GET", "/healthz")
    assert not heard.first.is_set()
    assert 204 == send(address, X_Gitea_Signature=signed())
    assert heard.first.wait(60)


def test_many_at_once_ask_a_few_times_and_the_last_is_not_forgotten(heard):
    for _ in range(40):
        assert 204 == send(heard.webhook.address, X_Hub_Signature_256=f"sha256={signed()}")
    wait_until(lambda: heard.asked >= 2, what="a second question")
    assert heard.asked < 10


def test_a_body_that_is_too_large_or_of_unknown_length_is_not_read(heard):
    with socket.create_connection(heard.webhook.address, timeout=60) as connection:
        connection.sendall(f"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: {LARGEST + 1}\r\n\r\n".encode())
        assert b" 413 " in connection.recv(100)
    with socket.create_connection(heard.webhook.address, timeout=60) as connection:
        connection.sendall(b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n")
        assert b" 413 " in connection.recv(100)


def test_who_sends_nothing_holds_up_nobody(heard):
    with socket.create_connection(heard.webhook.address), socket.create_connection(heard.webhook.address):
        assert 204 == send(heard.webhook.address, X_Gitea_Signature=signed())


def test_without_a_secret_it_does_not_start(tmp_path):
    empty = tmp_path / "empty"
    empty.write_text("\n")
    for file, part in ((None, "there is no secret"), (empty, "there is no secret"), (tmp_path / "no", "can't be read")):
        with pytest.raises(HumanNeeded, match=part):
            read_secret(file)


def test_without_an_address_it_does_not_start():
    with pytest.raises(HumanNeeded, match="PEERMESH_WEBHOOK_LISTEN"):
        run_webhook(read_settings({}))


def test_the_process_sends_for_a_sweep_with_a_redis_user_that_may_do_nothing_else(tmp_path):
    (tmp_path / "secret").write_text(SECRET)
    acl = f"user webhook on >pass resetkeys resetchannels -@all +lpush +ping %W~{KEY_PREFIX}{WORK}\n"
    with valkey(acl=acl) as server, webhook(tmp_path, server.url_for("webhook", "pass")) as (process, address):
        assert 204 == send(address, X_Gitea_Signature=signed())
        with server.client() as client:
            wait_until(lambda: client.llen(KEY_PREFIX + WORK), what="the sweep")
            assert SWEEP.encode() in client.lrange(KEY_PREFIX + WORK, 0, 0)[0]
        process.send_signal(signal.SIGTERM)
        assert 0 == process.wait(60)
    assert SECRET not in (tmp_path / "log").read_text()


@contextmanager
def webhook(folder: Path, broker: str) -> Iterator[tuple[subprocess.Popen[bytes], tuple[str, int]]]:
    """`peermesh webhook` in a process of its own, ready, and where it listens."""
    address = ("127.0.0.1", free_port())
    environment = {
        "PEERMESH_BROKER_URL": broker,
        "PEERMESH_WEBHOOK_LISTEN": f"127.0.0.1:{address[1]}",
        "PEERMESH_WEBHOOK_SECRET_FILE": str(folder / "secret"),
    }
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "workers.cli", "webhook"],
            env={**os.environ, **environment},
            stderr=log,
            start_new_session=True,
        )
    try:
        wait_until(lambda: b"listening" in (folder / "log").read_bytes(), what=(folder / "log").read_text())
        yield process, address
    finally:
        process.kill()
        process.wait()
