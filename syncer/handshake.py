"""A TLS handshake of which only what the server shows matters: its chain, and the CAs whose certificates it asks for.

Knows sockets and OpenSSL; Python's own `ssl` doesn't tell the CAs. No certificate is sent and none is verified: what
comes of it is told as it is, nothing is sent after it, and it never raises. Bounded in time and bytes.
"""

from __future__ import annotations

import contextlib
import socket
import time
from typing import Final

from OpenSSL import SSL, crypto

from syncer.trust import Handshake

SIDECAR: Final = b"istio-http/1.1"
"""ALPN by which a sidecar knows a caller of its mesh; without one of Istio's, connections are the application's
(`pilot/pkg/networking/core/filterchain_options.go`). This one leads to HTTP, which calls the application only when a
request comes. With `istio` it is called at once, and where nobody listens the connection is closed, often before the
sidecar has shown anything: 5 of 100, eight at a time (Istio 1.31, Envoy 1.40)."""
ISTIOD: Final = b"h2"
"""ALPN of gRPC, which istiod serves."""
_MOST: Final = 256 << 10
"""Bytes of an answer; OpenSSL itself takes no more than 100 KiB of certificates."""
_PIECE: Final = 16 << 10
_LEAST: Final = 0.001
"""Seconds; a time-out of 0 would mean something else to a socket."""


def handshake(host: str, port: int, *, protocol: bytes, server_name: str = "", seconds: float) -> Handshake:
    """What the server at this address shows. `seconds`: for all of it. `server_name`: SNI, if any."""
    until = time.monotonic() + seconds
    try:
        with socket.create_connection((host, port), timeout=seconds) as stream:
            return _shown(stream, _client(protocol, server_name), until)
    except TimeoutError:
        return Handshake(error=f"no answer within {seconds:g} s")
    except OSError as error:
        return Handshake(error=f"no connection: {error.strerror or error}")
    except UnicodeError:  # of a name that no name of a host can be
        return Handshake(error="no connection: its address isn't one")


def _client(protocol: bytes, server_name: str) -> SSL.Connection:
    context = SSL.Context(SSL.TLS_CLIENT_METHOD)
    context.set_verify(SSL.VERIFY_NONE)
    context.set_min_proto_version(SSL.TLS1_2_VERSION)
    context.set_alpn_protos([protocol])
    client = SSL.Connection(context, None)
    if server_name:
        client.set_tlsext_host_name(server_name.encode())
    client.set_connect_state()
    return client


def _shown(stream: socket.socket, client: SSL.Connection, until: float) -> Handshake:
    """Answers are handed to OpenSSL piece by piece, so that the time is for all of them together."""
    received = 0
    while True:
        error = _step(client)
        left = until - time.monotonic()
        stream.settimeout(max(left, _LEAST))
        with contextlib.suppress(SSL.WantReadError):
            stream.sendall(client.bio_read(_MOST))
        if error is not None:
            break
        if received > _MOST or left <= 0:  # a piece that comes at once meets no time-out
            raise TimeoutError
        piece = stream.recv(_PIECE)
        if not piece:
            error = "it closed the connection"
            break
        received += len(piece)
        client.bio_write(piece)
    chain = tuple(
        crypto.dump_certificate(crypto.FILETYPE_ASN1, certificate) for certificate in client.get_peer_cert_chain() or ()
    )
    # With TLS 1.2 the server refuses us in the handshake, after it has shown all that we want to see.
    return Handshake(
        chain=chain,
        authorities=tuple(name.der() for name in client.get_client_ca_list()) if chain else (),
        error="" if chain else error,
    )


def _step(client: SSL.Connection) -> str | None:
    """None: it goes on. Empty: it is done. Else why it failed."""
    try:
        client.do_handshake()
    except SSL.WantReadError:
        return None
    except SSL.Error as error:
        reasons = error.args[0] if error.args and isinstance(error.args[0], list) else []
        return f"no TLS handshake: {reasons[0][-1] if reasons else 'it ended'}"
    return ""
