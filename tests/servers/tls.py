"""A TLS server for tests that shows a chain and asks for client certificates; or one that misbehaves.

It serves each connection to its end, one after the other, in a thread of its own.
"""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from cryptography import x509
from OpenSSL import SSL

from tests.pki.authority import Authority, Leaf

Holder = Authority | Leaf
Serve = Callable[[socket.socket], None]
LONG = 60


@contextmanager
def serving(serve: Serve, address: str = "127.0.0.1") -> Iterator[int]:
    """A server of the port that is yielded."""
    listening = socket.create_server((address, 0))
    ended = threading.Event()

    def accept() -> None:
        while True:
            with contextlib.suppress(OSError, SSL.Error):
                connection, _ = listening.accept()
                with connection:
                    connection.settimeout(LONG)
                    if not ended.is_set():
                        serve(connection)
            if ended.is_set():
                return

    thread = threading.Thread(target=accept, daemon=True)
    thread.start()
    try:
        yield listening.getsockname()[1]
    finally:
        ended.set()
        with contextlib.suppress(OSError), socket.create_connection(listening.getsockname(), timeout=LONG):
            pass
        thread.join(LONG)
        listening.close()
        assert not thread.is_alive()


def tls(
    chain: Sequence[Holder],
    *,
    asks_for: Sequence[x509.Certificate] = (),
    require: bool = True,
    version: int = SSL.TLS1_3_VERSION,
    alpn: Sequence[bytes] = (),
    refused: Callable[[str], None] = lambda _: None,
) -> Serve:
    """Shows the chain, the first one's key its own, and asks for certificates of those CAs.

    With `alpn` it refuses whoever offers other protocols only. `refused` is told why it refused somebody.
    """
    context = SSL.Context(SSL.TLS_SERVER_METHOD)
    context.set_min_proto_version(version)
    context.set_max_proto_version(version)
    context.set_cipher_list(b"DEFAULT:@SECLEVEL=0")
    context.use_certificate(chain[0].certificate)
    context.use_privatekey(chain[0].key)
    for one in chain[1:]:
        context.add_extra_chain_cert(one.certificate)
    if asks_for:
        mode = SSL.VERIFY_PEER | (SSL.VERIFY_FAIL_IF_NO_PEER_CERT if require else 0)
        context.set_verify(mode, lambda *_: True)
        for authority in asks_for:
            context.add_client_ca(authority)

    if alpn:
        context.set_alpn_select_callback(lambda _, offered: _selected(alpn, offered))

    def serve(connection: socket.socket) -> None:
        connection.setblocking(True)
        client = SSL.Connection(context, connection)
        client.set_accept_state()
        try:
            client.do_handshake()
            client.recv(1)
        except (SSL.ZeroReturnError, SSL.SysCallError):
            pass
        except SSL.Error as error:
            refused(str(error.args[0][0][-1]))

    return serve


def _selected(known: Sequence[bytes], offered: Sequence[bytes]) -> bytes:
    for protocol in offered:
        if protocol in known:
            return protocol
    raise SSL.Error([("", "", "no application protocol")])


def only_for(protocol: bytes, serve: Serve) -> Serve:
    """Resets whoever doesn't offer this protocol in its first words, as a sidecar's listener does."""

    def inspect(connection: socket.socket) -> None:
        if bytes([len(protocol)]) + protocol in connection.recv(4096, socket.MSG_PEEK):
            serve(connection)
        else:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    return inspect
