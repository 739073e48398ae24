"""Poking reconcilers: signed as Flux verifies it, once for a commit, and never in anybody's way."""

from __future__ import annotations

import hashlib
import hmac
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from workers import poke
from workers.poke import Poker, receivers

SECRET = "s3cret"
ONE, OTHER = "1" * 40, "2" * 40


def test_a_poke_is_signed_as_a_receiver_of_type_generic_hmac_verifies_it(tmp_path):
    with listening() as heard:
        told = pokes(tmp_path, [f"{heard.url}/hook/abc {SECRET}"], ONE)
    [(path, signature, body)] = heard.requests
    assert ([], "/hook/abc") == (told, path)
    # notification-controller: X-Signature is the name of the hash, `=`, and the HMAC of the body in hexadecimal.
    assert f"sha256={hmac.new(SECRET.encode(), body, hashlib.sha256).hexdigest()}" == signature
    assert ONE.encode() in body


def test_a_commit_is_told_once_and_the_next_one_again_and_nobody_waits_for_it(tmp_path):
    file = tmp_path / "poke"
    with listening() as heard:
        file.write_text(f"{heard.url}/ {SECRET}\n")
        poker = Poker(file)
        for number, main in enumerate((ONE, ONE, OTHER, OTHER), start=1):
            poker.moved(main)
            assert heard.wait_for((number + 1) // 2)
    assert [ONE, OTHER] == [body.decode().split('"')[-2] for _, _, body in heard.requests]


def test_whoever_stalls_is_not_waited_for_by_who_noticed(tmp_path):
    with listening(stall=True) as stalling:
        (tmp_path / "poke").write_text(f"{stalling.url}/ {SECRET}\n")
        before = time.monotonic()
        Poker(tmp_path / "poke").moved(ONE)
        assert time.monotonic() - before < 4  # of the 5 seconds that the receiver is given
        assert stalling.wait_for(1)


def test_secrets_are_read_anew_each_time(tmp_path):
    file = tmp_path / "poke"
    with listening() as heard:
        poker = Poker(file, lambda _: None)
        for secret, main in (("old", ONE), ("new", OTHER)):
            file.write_text(f"{heard.url}/ {secret}\n")
            poker.poke(main)
    signatures = [signature for _, signature, _ in heard.requests]
    bodies = [body for _, _, body in heard.requests]
    expected = [
        hmac.new(key, body, hashlib.sha256).hexdigest() for key, body in zip((b"old", b"new"), bodies, strict=True)
    ]
    assert [f"sha256={one}" for one in expected] == signatures


def test_whoever_cannot_be_told_is_named_without_path_and_secret_and_the_others_are_told(tmp_path):
    with listening(status=404) as refusing, listening() as heard:
        lines = [
            f"{refusing.url}/hook/derived {SECRET}",
            f"http://127.0.0.1:{closed()}/hook/derived {SECRET}",
            "https://x",
        ]
        told = pokes(tmp_path, [*lines, f"{heard.url}/ {SECRET}"], ONE)
    assert 1 == len(heard.requests)
    assert f"{refusing.url} doesn't take the poke: status 404" in told
    assert any("can't be told that main moved: NewConnectionError" in line for line in told)
    assert any(line.endswith("line 3 isn't `URL SECRET` with a URL of http or https") for line in told)
    assert not any(SECRET in line or "derived" in line for line in told)


def test_receivers_that_stall_cost_seconds_and_not_the_flush(tmp_path, monkeypatch):
    monkeypatch.setattr(poke, "_ONE", 0.3)
    monkeypatch.setattr(poke, "SECONDS", 0.4)
    with listening(stall=True) as stalling:
        before = time.monotonic()
        told = pokes(tmp_path, [f"{stalling.url}/{number} {SECRET}" for number in range(40)], ONE)
        assert time.monotonic() - before < 10
    assert 40 == len(told)
    assert any("others took all the time" in line for line in told)


def test_a_file_that_cannot_be_read_is_told_and_nothing_else(tmp_path):
    told: list[str] = []
    Poker(tmp_path / "absent", told.append).poke(ONE)
    assert [f"nobody is told that main moved: {tmp_path}/absent: No such file or directory"] == told


def test_a_redirect_is_not_followed(tmp_path):
    with listening() as elsewhere, listening(status=307, location=f"{elsewhere.url}/") as moved:
        told = pokes(tmp_path, [f"{moved.url}/ {SECRET}"], ONE)
    assert ([f"{moved.url} doesn't take the poke: status 307"], []) == (told, elsewhere.requests)


@pytest.mark.parametrize(
    ("text", "count", "wrong"),
    [
        ("", 0, 0),
        ("# for west\n\nhttps://flux.west.example/hook/1 a\n http://10.0.0.1:9292/hook/2\tb \n", 2, 0),
        ("https://a.example/ a b\nftp://a.example/ a\nhttps:///x a\nhttp://a:port/ a\n", 0, 4),
    ],
)
def test_a_file_is_lines_of_a_url_and_a_secret(text, count, wrong):
    found, problems = receivers(text)
    assert (count, wrong) == (len(found), len(problems))


def pokes(folder: Path, lines: list[str], *commits: str) -> list[str]:
    file = folder / "poke"
    file.write_text("".join(f"{line}\n" for line in lines))
    told: list[str] = []
    poker = Poker(file, told.append)
    for commit in commits:
        poker.poke(commit)
    return told


class Listening:
    """`requests`: path, signature and body of each."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.requests: list[tuple[str, str | None, bytes]] = []

    def wait_for(self, count: int) -> bool:
        """Whether there are so many in the end."""
        deadline = time.monotonic() + 60
        while len(self.requests) < count and time.monotonic() < deadline:
            time.sleep(0.01)
        return len(self.requests) == count


@contextmanager
def listening(*, status: int = 200, stall: bool = False, location: str = "") -> Iterator[Listening]:
    released = threading.Event()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            heard.requests.append((self.path, self.headers["X-Signature"], body))
            if stall:
                released.wait(30)
                return
            self.send_response(status)
            if location:
                self.send_header("Location", location)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name that http.server gives it
            """Nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    heard = Listening(f"http://127.0.0.1:{server.server_port}")
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield heard
    finally:
        released.set()
        server.shutdown()
        server.server_close()
        thread.join()


def closed() -> int:
    with socket.socket() as once:
        once.bind(("127.0.0.1", 0))
        return int(once.getsockname()[1])
