"""Asks gateways from here: a connection, and the hello of TLS as a sidecar of a peer sends it, without a certificate.

Knows sockets and TLS, and how each way to fail is called. Judges nothing, sends no request, keeps no connection.
"""

from __future__ import annotations

import re
import socket
import ssl
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any, Final

from cryptography import x509

from syncer.protocol.observation import GatewayAddress
from workers.doctor.seen import Asked, Handshake, Outcome

SECONDS: Final = 3.0
"""For connecting, and for each answer. Callers in a mesh wait one second."""

_ALERT: Final = re.compile(r"alert ([a-z ]*[a-z])")


def ask_gateway(
    addresses: tuple[GatewayAddress, ...], asked: Asked, *, roots: str = "", seconds: float = SECONDS
) -> tuple[Handshake, ...]:
    """Each address at once: for the exported service, or only whether it takes a connection; the first that does also
    for the service that doesn't exist. `roots`: certificates in PEM that must have signed; empty: not known.
    """
    if not addresses:
        return ()
    with ThreadPoolExecutor(len(addresses)) as pool:
        found = tuple(pool.map(lambda one: _ask(one, asked.sni, roots, seconds), addresses))
    there = next((one.address for one in found if one.outcome in {"shown", "closed"}), None)
    if there is None or not asked.made_up:
        return found
    return (*found, _ask(there, asked.made_up, "", seconds))


def _ask(address: GatewayAddress, sni: str, roots: str, seconds: float) -> Handshake:
    seen = Handshake(address=address, outcome="connected", sni=sni)
    try:
        connection = _connected(address, seconds)
    except OSError as error:
        return replace(seen, outcome=_not_connected(error), detail=error.strerror or str(error))
    with connection:
        seen = replace(seen, local=connection.getsockname()[0])
        if sni:
            seen = _hello(connection, seen)
    if seen.outcome == "shown" and roots:
        return replace(seen, **_signed_by(seen, roots, seconds))
    return seen


def _connected(address: GatewayAddress, seconds: float) -> socket.socket:
    return socket.create_connection((address.ip or address.host or "", address.port), seconds)


def _not_connected(error: OSError) -> Outcome:
    if isinstance(error, ConnectionRefusedError):
        return "refused"
    return "silent" if isinstance(error, TimeoutError) else "nowhere"


def _hello(connection: socket.socket, seen: Handshake) -> Handshake:
    """What a caller without a certificate is shown: with TLS 1.3 it is refused after having seen the other one's."""
    try:
        with _context().wrap_socket(connection, server_hostname=seen.sni) as tls:
            certificate = tls.getpeercert(binary_form=True)
    except (ConnectionResetError, BrokenPipeError, ssl.SSLEOFError, ssl.SSLZeroReturnError):
        return replace(seen, outcome="closed")
    except TimeoutError:
        return replace(seen, outcome="silent", detail="the connection is taken, then nothing comes")
    except ssl.SSLError as error:
        alert = _ALERT.search(str(error).replace("_", " ").lower())
        return replace(seen, outcome="alert" if alert else "other", detail=alert[1] if alert else str(error))
    except OSError as error:
        return replace(seen, outcome="nowhere", detail=error.strerror or str(error))
    if certificate is None:
        return replace(seen, outcome="other", detail="no certificate")
    return replace(seen, outcome="shown", **_read(certificate))


def _context() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    # Without it a gateway in mode AUTO_PASSTHROUGH closes, whatever the name.
    context.set_alpn_protocols(["istio"])
    return context


def _read(der: bytes) -> dict[str, Any]:
    try:
        certificate = x509.load_der_x509_certificate(der)
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        identities = tuple(names.get_values_for_type(x509.UniformResourceIdentifier))
    except x509.ExtensionNotFound:
        identities = ()
    except ValueError as error:
        return {"detail": f"a certificate that can't be read: {error}"}
    return {
        "identities": identities,
        "issuer": certificate.issuer.rfc4514_string(),
        "ends": certificate.not_valid_after_utc,
    }


def _signed_by(seen: Handshake, roots: str, seconds: float) -> dict[str, Any]:
    """Whether these roots signed it, by a second handshake in which OpenSSL looks at the whole chain."""
    context = _context()
    context.verify_mode = ssl.CERT_REQUIRED
    try:
        context.load_verify_locations(cadata=roots)
        with _connected(seen.address, seconds) as connection:
            context.wrap_socket(connection, server_hostname=seen.sni).close()
    except ssl.SSLCertVerificationError as error:
        return {"trusted": False, "detail": error.verify_message}
    except OSError as error:
        return {"trusted": None, "detail": error.strerror or str(error)}
    return {"trusted": True}
