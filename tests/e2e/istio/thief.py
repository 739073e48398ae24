"""Whoever holds the key of a CA: workloads that it makes up, and what a mesh answers them.

Connects as a workload of another cluster does, through the gateway, with a handshake of its own for every question.
"""

from __future__ import annotations

import base64
import socket
import ssl
import tempfile
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from syncer.protocol.certificates import write_certificates
from tests.e2e.istio import shop
from tests.e2e.istio.mesh import SECRET, Mesh
from tests.pki.authority import Authority, key_pem, leaf

_SECONDS = 10.0


@dataclass(frozen=True, kw_only=True)
class Thief:
    """`authority`: whose key is in other hands. `chain`: PEM of what stands between its leaves and a root."""

    authority: Authority
    chain: str

    def asks(self, mesh: Mesh, *, as_one_of: str) -> str:
        """What the server of a mesh answers to somebody who claims to be a client of the cluster `as_one_of`.

        Its name, or why it refuses: TLS's alert, as OpenSSL calls it; `closed`, if it hangs up without one.
        """
        try:
            with (
                socket.create_connection((mesh.gateway.pod.address, shop.GATEWAY_PORT), timeout=_SECONDS) as plain,
                self._context(as_one_of).wrap_socket(plain, server_hostname=_server_name(mesh.name)) as connection,
            ):
                # With TLS 1.3 a client hears only with the first answer that it was refused.
                connection.sendall(b"GET / HTTP/1.1\r\nHost: echo\r\nConnection: close\r\n\r\n")
                answer = connection.recv(4096)
        except ssl.SSLError as error:
            return error.reason or str(error)
        except (ConnectionError, ssl.SSLEOFError):
            return "closed"
        return answer.decode().rpartition("\r\n")[2] or "closed"

    def _context(self, cluster: str) -> ssl.SSLContext:
        """It shows a leaf of its own making, and believes everything."""
        spiffe = f"spiffe://{shop.trust_domain(cluster)}/ns/{shop.NAMESPACE}/sa/client"
        made = leaf(self.authority, spiffe, now=datetime.now(UTC))
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        context.set_alpn_protocols(["istio"])
        with tempfile.TemporaryDirectory() as folder:
            chain, key = Path(folder) / "chain.pem", Path(folder) / "key.pem"
            chain.write_text(write_certificates([made.certificate]) + self.chain)
            key.write_text(key_pem(made.key))
            context.load_cert_chain(chain, key)
        return context


def _server_name(cluster: str) -> str:
    """By which a gateway passes a connection on to the service that the cluster exports."""
    return f"outbound_.{shop.TCP_PORT}_._.{shop.echo(cluster)}.{shop.NAMESPACE}.svc.cluster.local"


def with_root(certificate: str, key: ec.EllipticCurvePrivateKey) -> Thief:
    """Somebody who has the key of a root (PEM)."""
    found = x509.load_pem_x509_certificate(certificate.encode())
    return Thief(authority=Authority(certificate=found, key=key), chain="")


def with_intermediate(mesh: Mesh) -> Thief:
    """Somebody who reads the Secret of a cluster's istiod."""
    _, secret = mesh.cluster.request("GET", SECRET)
    files = {name: base64.b64decode(text) for name, text in secret["data"].items()}
    key = load_pem_private_key(files["ca-key.pem"], None)
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    certificate = x509.load_pem_x509_certificate(files["ca-cert.pem"])
    return Thief(authority=Authority(certificate=certificate, key=key), chain=files["cert-chain.pem"].decode())
