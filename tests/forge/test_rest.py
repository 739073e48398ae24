"""Calls of a forge: what an answer means, how politely they are made, and that the token goes nowhere else."""

from __future__ import annotations

import logging
import socket
from collections.abc import Iterator

import pytest

from syncer.protocol.errors import HumanNeeded, PeermeshError, Rejected, Transient
from syncer.protocol.secret import Secret
from tests.core.observations import NOW
from tests.forge.fake_gitea import FakeGitea
from tests.forge.site import PERSON, content
from tests.forge.wire import TOKEN, FakeServer, serving
from tests.simulator.repository import MemoryRemote
from workers.forge.rest import Answer, HttpRest, pages, refused

PULLS = "/repos/acme/mesh/pulls"


class Clock:
    """A clock that goes on only when somebody sleeps."""

    def __init__(self) -> None:
        self.now = 100.0
        self.slept: list[float] = []

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds


@pytest.fixture
def server() -> Iterator[FakeServer]:
    with serving(FakeGitea(MemoryRemote(content(), author=PERSON, when=NOW))) as running:
        yield running


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def rest(server: FakeServer, clock: Clock) -> HttpRest:
    return client(server.url, clock)


def client(url: str, clock: Clock | None = None, token: str = TOKEN) -> HttpRest:
    clock = clock or Clock()
    return HttpRest(f"{url}/api/v1", lambda: ("robot", Secret(token)), sleep=clock.sleep, clock=clock)


@pytest.mark.parametrize(
    ("answer", "error", "reason", "part"),
    [
        ((401, {}, b'{"message":"no"}'), HumanNeeded, "ForgeCredentials", "PEERMESH_FORGE_TOKEN_FILE"),
        ((403, {}, b'{"message":"no scope"}'), HumanNeeded, "ForgeForbidden", "no scope"),
        ((301, {"Location": "https://elsewhere"}, b""), HumanNeeded, "ForgeMoved", "spec.approval.forge"),
        ((200, {}, b"<html>Sign in</html>"), HumanNeeded, "NotAForge", "spec.approval.forge"),
        ((200, {}, b"[" * 100_000), HumanNeeded, "NotAForge", "isn't the API of a forge"),
        ((429, {}, b""), Transient, "ForgeLimit", "fewer calls"),
        ((500, {}, b""), Transient, "ForgeError", "failed with 500"),
        ((502, {}, b"<html>\x1b[31mBad\ngateway"), Transient, "ForgeError", "<html> [31mBad gateway"),
    ],
)
def test_what_holds_for_every_call_is_raised(server, rest, answer, error, reason, part):
    server.answers.append(answer)
    with pytest.raises(error, match=part.replace("[", r"\[")) as caught:
        rest.call("GET", PULLS)
    assert (reason, True) == (caught.value.reason, f"{server.url}/api/v1{PULLS}" in str(caught.value))


@pytest.mark.parametrize("status", [404, 405, 409, 412, 422, 500])
def test_what_is_about_the_thing_is_for_the_caller_to_judge(server, rest, status):
    server.answers.append((status, {}, b'{"message":"why"}'))
    answer = rest.call("POST", PULLS, body={})
    assert (status, "why", False) == (answer.status, answer.message, answer.done)


def test_what_the_caller_has_no_use_for_is_refused_or_hidden():
    assert isinstance(refused(Answer(status=422, message="no"), "pulls/1"), Rejected)
    hidden = refused(Answer(status=404), "acme/mesh")
    assert isinstance(hidden, HumanNeeded)
    assert "spec.approval.forge" in str(hidden)


def test_a_forge_that_does_not_answer_is_away():
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        with pytest.raises(Transient, match="doesn't answer") as caught:
            client(f"http://127.0.0.1:{nobody.getsockname()[1]}").call("GET", PULLS)
    assert "ForgeAway" == caught.value.reason


def test_a_certificate_that_nobody_vouches_for_needs_a_person(server):
    with pytest.raises(HumanNeeded, match="SSL_CERT_FILE"):
        client(server.url.replace("http:", "https:")).call("GET", PULLS)


def test_writes_stand_a_second_apart_and_reading_waits_for_nothing(rest, clock):
    for _ in range(3):
        rest.call("POST", "/repos/acme/mesh/labels", body={"name": "x"})
        rest.call("GET", PULLS)
    assert [1.0, 1.0] == clock.slept


def test_a_short_pause_that_the_forge_asks_for_is_kept_and_the_call_made_again(server, rest, clock):
    server.answers.append((429, {"Retry-After": "3"}, b""))
    assert rest.call("GET", PULLS).done
    assert [3.0] == clock.slept


def test_through_a_long_pause_nothing_is_sent(server, rest, clock):
    server.answers.append((503, {"Retry-After": "60"}, b""))
    for _ in range(3):
        with pytest.raises(Transient, match="left alone for"):
            rest.call("GET", PULLS)
    assert (1, []) == (len(server.requests), clock.slept)
    clock.now += 60
    assert rest.call("GET", PULLS).done


def test_a_list_is_read_to_its_end(server, rest):
    for number in range(120):
        server.fake.from_fork(f"work-{number}")
    assert 120 == len(list(pages(rest, PULLS, {"state": "open"})))
    assert 3 == len(server.requests)


def test_a_token_that_changes_is_used_with_the_next_call(server):
    tokens = iter(["wrong", TOKEN])
    rest = HttpRest(f"{server.url}/api/v1", lambda: ("robot", Secret(next(tokens))))
    with pytest.raises(HumanNeeded):
        rest.call("GET", PULLS)
    assert rest.call("GET", PULLS).done


def test_the_token_is_in_no_message_and_in_no_log(server, clock, caplog):
    caplog.set_level(logging.DEBUG)
    rest = client(server.url, clock)
    server.answers += [(403, {}, f'{{"message":"{TOKEN} may not"}}'.encode()), (422, {}, TOKEN.encode())]
    with pytest.raises(PeermeshError) as caught:
        rest.call("GET", PULLS)
    said = [str(caught.value), rest.call("POST", PULLS, body={}).message, repr(rest.__dict__)]
    assert not [text for text in [*said, caplog.text, *server.requests] if TOKEN in text]
