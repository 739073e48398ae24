"""A handshake shows what a real TLS server shows, whatever that does next, and never takes long."""

from __future__ import annotations

import contextlib
import socket
import ssl
import time
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from OpenSSL import SSL

from syncer.handshake import ISTIOD, SIDECAR, _client, _shown, handshake
from syncer.protocol.certificates import write_certificates
from syncer.protocol.revocation import AuthorityKey
from syncer.trust import Handshake
from tests.pki.authority import NOW, Leaf, key_pem, private_key
from tests.servers.tls import Holder, Serve, only_for, serving, tls
from tests.syncer.sidecars import LEAF, WEST_1, A, B, der

VERSIONS = [SSL.TLS1_2_VERSION, SSL.TLS1_3_VERSION]
SECONDS = 30
"""More than any of these servers needs, on a busy machine, too."""


def shaken(serve: Serve, *, protocol: bytes = SIDECAR, server_name: str = "", seconds: float = SECONDS) -> Handshake:
    with serving(serve) as port:
        return handshake("127.0.0.1", port, protocol=protocol, server_name=server_name, seconds=seconds)


def names(*holders: Holder) -> tuple[bytes, ...]:
    return tuple(holder.certificate.subject.public_bytes() for holder in holders)


@pytest.mark.parametrize("version", VERSIONS, ids=["1.2", "1.3"])
@pytest.mark.parametrize("require", [True, False])
@pytest.mark.parametrize(
    "chain", [(LEAF,), (LEAF, WEST_1, A), (LEAF, WEST_1, A, B)], ids=lambda chain: f"{len(chain)} certificates"
)
def test_the_whole_chain_and_the_cas_that_are_asked_for_are_seen(
    version: int, require: bool, chain: Sequence[Holder]
) -> None:
    asks_for = [holder.certificate for holder in (B, A)]
    found = shaken(tls(chain, asks_for=asks_for, require=require, version=version))
    assert Handshake(chain=tuple(der(holder) for holder in chain), authorities=names(B, A)) == found


def test_the_chain_of_who_asks_for_no_certificate_is_seen_too() -> None:
    assert Handshake(chain=(der(LEAF), der(WEST_1))) == shaken(tls([LEAF, WEST_1]))


def test_the_handshake_is_finished_so_that_the_server_refuses_us_for_the_lack_of_a_certificate() -> None:
    """And not for something else, which would be an alarm there."""
    refused: list[str] = []
    serve = tls([LEAF, WEST_1], asks_for=[A.certificate], refused=refused.append)
    assert shaken(serve).chain
    assert ["peer did not return a certificate"] == refused


def test_a_listener_of_the_mesh_knows_us_by_our_protocol_and_resets_others() -> None:
    serve = only_for(SIDECAR, tls([LEAF, WEST_1, A], asks_for=[A.certificate]))
    assert names(A) == shaken(serve).authorities
    assert Handshake(error="no connection: Connection reset by peer") == shaken(serve, protocol=ISTIOD)


def test_a_server_of_another_protocol_says_so() -> None:
    found = shaken(tls([LEAF], alpn=[ISTIOD]))
    assert Handshake(error="no TLS handshake: tlsv1 alert no application protocol") == found


def test_the_server_is_called_by_the_name_that_is_given(tmp_path: Path) -> None:
    """By Python's own `ssl`, another implementation of the server's side."""
    (tmp_path / "pem").write_text(key_pem(LEAF.key) + write_certificates([LEAF.certificate]) + WEST_1.pem)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "pem")
    called: list[str | None] = []
    context.sni_callback = lambda _, name, __: called.append(name)

    def serve(connection: socket.socket) -> None:
        with contextlib.suppress(OSError), context.wrap_socket(connection, server_side=True):
            pass

    assert (der(LEAF), der(WEST_1)) == shaken(serve, server_name="istiod.istio-system.svc", protocol=ISTIOD).chain
    assert ["istiod.istio-system.svc"] == called


def test_a_key_that_is_too_short_is_seen_all_the_same() -> None:
    key = private_key("weak", "RSA-1024")
    weak = Leaf(certificate=self_signed(key), key=key)
    assert (der(weak),) == shaken(tls([weak], version=SSL.TLS1_2_VERSION)).chain


def self_signed(key: AuthorityKey) -> x509.Certificate:
    made = x509.CertificateBuilder().public_key(key.public_key()).serial_number(1)
    named = made.subject_name(x509.Name([])).issuer_name(x509.Name.from_rfc4514_string("CN=weak"))
    lasting = named.not_valid_before(NOW).not_valid_after(NOW + timedelta(days=1))
    return lasting.sign(key, hashes.SHA256())


# --- servers that are none


def test_where_nobody_listens_is_told() -> None:
    with socket.create_server(("127.0.0.1", 0)) as one:
        port = one.getsockname()[1]
    error = "no connection: Connection refused"
    assert Handshake(error=error) == handshake("127.0.0.1", port, protocol=SIDECAR, seconds=SECONDS)


@pytest.mark.parametrize("address", ["no address", "..", "a" * 70])
def test_an_address_that_is_none_is_told(address: str) -> None:
    found = handshake(address, 1, protocol=SIDECAR, seconds=SECONDS)
    assert found.error.startswith("no connection: ")


def closes(connection: socket.socket) -> None:
    connection.recv(4096)


def speaks_http(connection: socket.socket) -> None:
    connection.recv(4096)
    connection.sendall(b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n")


def half_a_record(connection: socket.socket) -> None:
    connection.recv(4096)
    connection.sendall(b"\x16\x03\x03\x40\x00" + bytes(100))


@pytest.mark.parametrize(
    ("serve", "error"),
    [
        (closes, "it closed the connection"),
        (speaks_http, "no TLS handshake: wrong version number"),
        (half_a_record, "it closed the connection"),
    ],
)
def test_who_speaks_something_else_is_told(serve: Serve, error: str) -> None:
    assert Handshake(error=error) == shaken(serve)


def test_who_never_answers_is_given_up_in_time() -> None:
    began = time.monotonic()

    def stalls(connection: socket.socket) -> None:
        while connection.recv(4096):
            pass

    assert Handshake(error="no answer within 0.2 s") == shaken(stalls, seconds=0.2)
    assert time.monotonic() - began < SECONDS


def test_who_answers_drop_by_drop_is_given_up_in_time() -> None:
    began = time.monotonic()

    def drips(connection: socket.socket) -> None:
        connection.sendall(b"\x16\x03\x03\x40\x00")
        with contextlib.suppress(OSError):
            while True:
                connection.sendall(b"\x00")
                connection.settimeout(0.01)
                with contextlib.suppress(TimeoutError):
                    if not connection.recv(4096):
                        return

    assert Handshake(error="no answer within 0.3 s") == shaken(drips, seconds=0.3)
    assert time.monotonic() - began < SECONDS


def test_who_answers_without_a_pause_is_given_up_when_the_time_is_over() -> None:
    pieces = 0

    class Steady(socket.socket):
        """Always has one more byte, so that no time-out is ever met."""

        def sendall(self, *_: object) -> None: ...

        def recv(self, *_: object) -> bytes:
            nonlocal pieces
            pieces += 1
            return b"\x16\x03\x03\x40\x00"[pieces - 1 : pieces] or b"\x00"

    with Steady() as stream, pytest.raises(TimeoutError):
        _shown(stream, _client(SIDECAR, ""), time.monotonic() - 1)
    assert pieces <= 1


def test_who_answers_without_end_is_given_up_whatever_the_time() -> None:
    def floods(connection: socket.socket) -> None:
        # Warnings (close_notify aside) that OpenSSL would pass over for ever; each in a record of its own.
        with contextlib.suppress(OSError):
            while True:
                connection.sendall(b"\x15\x03\x03\x00\x02\x01\x64" * 1000)

    assert shaken(floods).error
