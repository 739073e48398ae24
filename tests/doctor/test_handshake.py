"""A gateway asked from here: what a real TLS server shows, and what each way to fail is called."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from syncer.protocol.observation import GatewayAddress
from tests.doctor.gateways import CATALOG, IDENTITY, NOBODY, Authority, gateway, listener
from workers.cli.doctor.handshake import ask_gateway
from workers.doctor.seen import Asked, Handshake

ASKED = Asked(sni=CATALOG, identities=(IDENTITY,), made_up=NOBODY)


@pytest.fixture(scope="module")
def authority() -> Authority:
    return Authority()


@pytest.fixture
def leaf(authority: Authority, tmp_path: Path) -> Path:
    return authority.leaf(IDENTITY, tmp_path)


@pytest.fixture
def west(authority: Authority, leaf: Path) -> Iterator[GatewayAddress]:
    with gateway({CATALOG: leaf}, authority) as address:
        yield address


def test_a_gateway_shows_the_certificate_of_the_workload_and_is_silent_about_what_does_not_exist(west, authority):
    there, made_up = ask_gateway((west,), ASKED, roots=authority.pem, seconds=60)
    assert ("shown", (IDENTITY,), True) == (there.outcome, there.identities, there.trusted)
    assert "CN=west.acme.example under root" == there.issuer
    assert "127.0.0.1" == there.local
    assert ("closed", NOBODY) == (made_up.outcome, made_up.sni)


def test_without_roots_nobody_says_who_signed(west):
    assert ask_gateway((west,), ASKED, seconds=60)[0].trusted is None


def test_another_root_did_not_sign_it(west):
    there = ask_gateway((west,), ASKED, roots=Authority("another").pem, seconds=60)[0]
    assert ("shown", False) == (there.outcome, there.trusted)
    assert "self-signed certificate in certificate chain" == there.detail


def test_an_identity_outside_the_constraint_of_its_intermediate_is_not_trusted(authority, tmp_path):
    stolen = authority.leaf("spiffe://east.acme.example/ns/shop/sa/catalog", tmp_path)
    with gateway({CATALOG: stolen}, authority) as address:
        there = ask_gateway((address,), ASKED, roots=authority.pem, seconds=60)[0]
    assert (False, "permitted subtree violation") == (there.trusted, there.detail)


def test_what_it_does_not_let_in_is_closed(west):
    asked = Asked(sni=CATALOG.replace("catalog", "cart"))
    assert ["closed"] == [one.outcome for one in ask_gateway((west,), asked, seconds=60)]


def test_without_a_service_only_the_connection_is_tried(west):
    assert [Handshake(address=west, outcome="connected", local="127.0.0.1")] == list(
        ask_gateway((west,), Asked(), seconds=60)
    )


def test_something_that_answers_for_every_name_is_seen(authority, leaf):
    with gateway({"*": leaf}, authority) as address:
        assert ["shown", "shown"] == [one.outcome for one in ask_gateway((address,), ASKED, seconds=60)]


def test_nothing_listens():
    with socket.create_server(("127.0.0.1", 0)) as once:
        port = once.getsockname()[1]
    found = ask_gateway((GatewayAddress(ip="127.0.0.1", port=port),), ASKED)
    assert [("refused", "Connection refused")] == [(one.outcome, one.detail) for one in found]


def test_no_such_name():
    found = ask_gateway((GatewayAddress(host="nowhere.invalid", port=15443),), ASKED)
    assert ["nowhere"] == [one.outcome for one in found]


def test_who_takes_the_connection_and_says_nothing_is_not_waited_for():
    def say_nothing(connection: socket.socket) -> None:
        while connection.recv(10_000):
            pass

    with listener(say_nothing) as address:
        found = ask_gateway((address,), ASKED, seconds=0.2)
    assert [("silent", "the connection is taken, then nothing comes")] == [(one.outcome, one.detail) for one in found]


def test_what_does_not_speak_tls_is_seen():
    with listener(lambda connection: connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")) as address:
        assert ["other"] == [one.outcome for one in ask_gateway((address,), ASKED, seconds=60)]


def test_an_alert_is_called_by_its_name():
    def refuse(connection: socket.socket) -> None:
        connection.recv(10_000)
        connection.sendall(bytes.fromhex("15030300020228"))

    with listener(refuse) as address:
        found = ask_gateway((address,), ASKED, seconds=60)
    assert [("alert", "handshake failure")] == [(one.outcome, one.detail) for one in found]
