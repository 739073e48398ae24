"""Where the broker is: the addresses that both sides take, and what about TLS only a person can mend.

Knows the form of a URL, files of certificates, and the errors of `ssl`. Knows no queue library and opens no connection.
"""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final
from urllib.parse import SplitResult, parse_qsl, urlsplit

from syncer.protocol.errors import HumanNeeded
from syncer.protocol.secret import Secret

_SCHEMES: Final = ("redis://", "rediss://", "redis+socket://")
_TLS: Final = "rediss"
_CA, _CERTIFICATE, _KEY = "ssl_ca_certs", "ssl_certfile", "ssl_keyfile"
_TLS_OPTIONS: Final = (_CA, _CERTIFICATE, _KEY, "ssl_cert_reqs", "ssl_check_hostname")
REMEDY: Final = (
    f"In the URL of the broker `{_CA}` names the file of the CA that signed its certificate; `{_CERTIFICATE}` and "
    f"`{_KEY}` name a certificate of ours, where it wants one."
)


def broker_url(text: str) -> Secret:
    """The address of the broker in Celery's form, which redis-py and kombu read alike, TLS included.

    Raises:
        ValueError: an address that can't be meant; says so without quoting it, for it may hold a password.
    """
    if not text.startswith(_SCHEMES):
        raise ValueError(f"it doesn't start with {', '.join(_SCHEMES)}")
    parts = _parts(text)
    options = [name for name, _ in parse_qsl(parts.query) if name.startswith("ssl_")]
    if options and parts.scheme != _TLS:
        raise ValueError(f"{options[0]} is for {_TLS}://, and this would not be encrypted")
    for name in options:
        if name not in _TLS_OPTIONS:
            raise ValueError(f"{name} is none of {', '.join(_TLS_OPTIONS)}")
    return Secret(text)


def _parts(text: str) -> SplitResult:
    try:
        parts = urlsplit(text)
        good = parts.port != 0
    except ValueError:  # its text may quote a password
        good = False
    if not good:
        raise ValueError("its host or port can't be meant")
    return parts


def check_files(broker: Secret) -> None:
    """Look at the files that an address names.

    Raises:
        HumanNeeded: one can't be read, or holds something else.
    """
    parts = urlsplit(broker.reveal())
    options = dict(parse_qsl(parts.query)) if parts.scheme == _TLS else {}
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    if _CA in options:
        with _named(f"{_CA}={options[_CA]}"):
            context.load_verify_locations(options[_CA])
    if _CERTIFICATE in options:
        with _named(f"{_CERTIFICATE}={options[_CERTIFICATE]} with {_KEY}={options.get(_KEY, 'the same')}"):
            context.load_cert_chain(options[_CERTIFICATE], options.get(_KEY))


@contextmanager
def _named(what: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:  # ssl.SSLError is one
        raise HumanNeeded("NoTLS", f"{what}: {_said(error)}", subject="URL of the broker", remedy=REMEDY) from error


def tls_trouble(error: BaseException) -> str:
    """What is wrong with TLS, if that is behind an error; empty: something else is, or it is only away."""
    for cause in _causes(error):
        if isinstance(cause, ssl.SSLEOFError):
            # In the handshake it is a proxy with nothing behind it. Later it is how Redis 7.0 refuses who shows no
            # certificate: TLS 1.3 is through with the handshake by then.
            wants = "it hung up after the handshake, as it does when it wants a certificate of ours"
            return "" if "UNEXPECTED_EOF_WHILE_READING" in str(cause) else wants
        if isinstance(cause, ssl.SSLError) and not isinstance(cause, ssl.SSLZeroReturnError | ssl.SSLSyscallError):
            return _said(cause)
    return ""


def _said(error: OSError) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate isn't accepted: {error.verify_message}".rstrip(".")
    if isinstance(error, ssl.SSLError):
        return (error.reason or str(error)).replace("_", " ").lower()
    return error.strerror or str(error)


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__
