"""East-west gateways on loopback, as they look from outside: TLS that answers for some names and closes for others.

Behind a name stands a certificate as istiod signs it (root, intermediate with a name constraint, SPIFFE identity), and
a caller must have one, too: without one it sees the certificate and is then refused.
"""

from __future__ import annotations

import datetime as dt
import socket
import ssl
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from syncer.protocol.observation import GatewayAddress

CATALOG = "outbound_.9080_._.catalog.shop.svc.cluster.local"
NOBODY = "outbound_.9080_._.peermesh-doctor-made-this-up.shop.svc.cluster.local"
IDENTITY = "spiffe://west.acme.example/ns/shop/sa/catalog"


class Authority:
    """A root and an intermediate of it for one trust domain."""

    def __init__(self, name: str = "root", trust_domain: str = "west.acme.example") -> None:
        self._root_key, self._key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
        allowed = x509.NameConstraints([x509.UniformResourceIdentifier(trust_domain)], None)
        self._root = _signed(_name(name), self._root_key, _name(name), self._root_key, ca=1)
        self._intermediate = _signed(
            _name(f"{trust_domain} under {name}"), self._key, self._root.subject, self._root_key, ca=0, allowed=allowed
        )
        self.pem = _pem(self._root)

    def leaf(self, identity: str, folder: Path, *, days: int = 1) -> Path:
        """A file with key and chain of a workload."""
        key = ec.generate_private_key(ec.SECP256R1())
        names = [x509.UniformResourceIdentifier(identity)] if "://" in identity else [x509.DNSName(identity)]
        certificate = _signed(
            x509.Name([]),
            key,
            self._intermediate.subject,
            self._key,
            days=days,
            names=x509.SubjectAlternativeName(names),
        )
        private = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        ).decode()
        path = folder / "leaf.pem"
        path.write_text(private + _pem(certificate) + _pem(self._intermediate) + self.pem)
        return path


def _signed(
    subject: x509.Name,
    key: ec.EllipticCurvePrivateKey,
    issuer: x509.Name,
    issuer_key: ec.EllipticCurvePrivateKey,
    *,
    days: int = 1,
    ca: int | None = None,
    allowed: x509.NameConstraints | None = None,
    names: x509.SubjectAlternativeName | None = None,
) -> x509.Certificate:
    end = dt.datetime.now(dt.UTC) + dt.timedelta(days=days)
    builder = x509.CertificateBuilder(
        issuer_name=issuer,
        subject_name=subject,
        public_key=key.public_key(),
        serial_number=x509.random_serial_number(),
        not_valid_before=end - dt.timedelta(days=2),
        not_valid_after=end,
    ).add_extension(x509.BasicConstraints(ca is not None, ca), critical=True)
    if names:
        builder = builder.add_extension(names, critical=not subject.rdns)
    if allowed:
        builder = builder.add_extension(allowed, critical=True)
    return builder.sign(issuer_key, hashes.SHA256())


def _name(common: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common)])


def _pem(certificate: x509.Certificate) -> str:
    return certificate.public_bytes(serialization.Encoding.PEM).decode()


@contextmanager
def gateway(names: Mapping[str, Path], authority: Authority) -> Iterator[GatewayAddress]:
    """A gateway that lets these names in, each to a workload with this certificate; `*`: every other name, too."""
    with tempfile.NamedTemporaryFile("w", suffix=".pem") as roots:
        roots.write(authority.pem)
        roots.flush()
        contexts = {name: _context(Path(roots.name), leaf) for name, leaf in names.items()}

    def choose(connection: ssl.SSLObject | ssl.SSLSocket, name: str | None, context: ssl.SSLContext) -> None:
        del context
        chosen = contexts.get(name or "") or contexts.get("*")
        if chosen is None:
            assert isinstance(connection, ssl.SSLSocket)
            # Envoy without a filter chain for the name: the connection ends without a word.
            connection.shutdown(socket.SHUT_RDWR)
        else:
            connection.context = chosen

    first = next(iter(contexts.values()))
    first.sni_callback = choose

    def serve(connection: socket.socket) -> None:
        with suppress(OSError), first.wrap_socket(connection, server_side=True) as tls:
            tls.recv(1)

    with listener(serve) as address:
        yield address


def _context(roots: Path, leaf: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(leaf)
    context.load_verify_locations(roots)
    context.verify_mode = ssl.CERT_REQUIRED
    context.set_alpn_protocols(["istio"])
    return context


@contextmanager
def listener(serve: Callable[[socket.socket], None]) -> Iterator[GatewayAddress]:
    """A port of loopback whose every connection is given to `serve`, in a thread of its own."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        threads: list[threading.Thread] = []

        def accept() -> None:
            while True:
                try:
                    connection, _ = listening.accept()
                except OSError:
                    return
                connection.settimeout(60)
                thread = threading.Thread(target=_closing, args=(serve, connection), daemon=True)
                threads.append(thread)
                thread.start()

        accepting = threading.Thread(target=accept, daemon=True)
        accepting.start()
        try:
            yield GatewayAddress(ip="127.0.0.1", port=listening.getsockname()[1])
        finally:
            listening.shutdown(socket.SHUT_RDWR)
            accepting.join(60)
            for thread in threads:
                thread.join(60)


def _closing(serve: Callable[[socket.socket], None], connection: socket.socket) -> None:
    with connection:
        serve(connection)
