"""Certificates as texts: PEM that holds certificates and nothing else, and what names them.

Knows PEM, DER and fingerprints. Knows no rule about what a certificate may say, and never quotes what it read: what
isn't a certificate may be a private key.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.types import CertificatePublicKeyTypes
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from syncer.protocol.errors import Rejected
from syncer.protocol.printable import printable

Certificate = x509.Certificate
MAX_TEXT: Final = 64 << 10
"""Characters of a text with certificates: 30 roots with RSA 4096."""
_LINE: Final = 64
_BLOCK: Final = re.compile(r"-----BEGIN ([A-Z0-9 ]{1,40})-----\n([A-Za-z0-9+/=\n]+)\n-----END \1-----(?:\n|\Z)")
_FOREIGN: Final = re.compile(r"(-----BEGIN [^-\n]{1,40}-----)([^-]*)(-----END [^-\n]{1,40}-----|)")
_REMEDY: Final = "Write PEM with certificates alone, as `openssl x509` does: no text around them, no key."


@dataclass(frozen=True, kw_only=True)
class CertificateFault:
    """What is wrong with one certificate: `rule` is a CamelCase word, `certificate` says which one it is.

    `certificate` leads with the file or role it was found in: `ca-cert.pem, CN=west-3,O=acme`.
    """

    rule: str
    certificate: str
    what: str
    remedy: str

    def __str__(self) -> str:
        return f"{self.certificate}: {self.what}. {self.remedy}"


def read_certificates(text: str, *, subject: str) -> tuple[Certificate, ...]:
    """The certificates of a text in canonical PEM, in its order; at least one. Blank lines at its end may follow.

    Raises:
        Rejected: `NotCertificates`: anything else in it, none, one twice, one that is malformed, too long.
    """
    return _read(text, subject)


def read_foreign_certificates(text: str, *, subject: str) -> tuple[Certificate, ...]:
    """The same of a text that others wrote: comments, blank lines, CRLF and repetitions are passed over, as by istiod.

    Raises:
        Rejected: `NotCertificates`: a block of another kind, none, one that is malformed, too long.
    """
    _bounded(text, subject)
    blocks = _FOREIGN.findall(text)
    canonical = (f"{begin}\n{_wrapped(''.join(content.split()))}\n{end}\n" for begin, content, end in blocks)
    return _read("".join(dict.fromkeys(canonical)), subject)


def read_certificate(text: str, *, subject: str) -> Certificate:
    """Exactly one certificate.

    Raises:
        Rejected: `NotCertificates`, as `read_certificates`, and for more than one.
    """
    found = read_certificates(text, subject=subject)
    if len(found) != 1:
        raise _refused(subject, f"it holds {len(found)} certificates, and one belongs there", "Leave the one.")
    return found[0]


def read_sealing_certificate(text: str, *, subject: str) -> Certificate:
    """Exactly one certificate of somebody who is encrypted for. Its extensions aren't looked at.

    Those of a Sealed Secrets controller (v0.40.0) say `encipherOnly` without `keyAgreement`, against RFC 5280 §4.2.1.3.

    Raises:
        Rejected: `NotCertificates`, as `read_certificate`.
    """
    _bounded(text, subject)
    blocks = tuple(pem_blocks(text, "CERTIFICATE", subject=subject, reason="NotCertificates", remedy=_REMEDY))
    if len(blocks) != 1:
        raise _refused(subject, f"it holds {len(blocks)} certificates, and one belongs there", "Leave the one.")
    return _load(blocks[0], subject, extensions=False)


def write_certificates(certificates: Iterable[Certificate]) -> str:
    """Canonical PEM: what `read_certificates` reads, the same certificates always in the same bytes."""
    return "".join(certificate.public_bytes(Encoding.PEM).decode() for certificate in certificates)


def fingerprint(certificate: Certificate) -> str:
    """`sha256:<64 hex digits>` of its DER."""
    return _digest(certificate.public_bytes(Encoding.DER))


def key_fingerprint(public_key: CertificatePublicKeyTypes) -> str:
    """`sha256:<64 hex digits>` of the SubjectPublicKeyInfo."""
    return _digest(public_key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo))


def serial_text(certificate: Certificate) -> str:
    """The serial number in lower-case hex, without leading zeros."""
    return f"{certificate.serial_number:x}"


def same_key(a: CertificatePublicKeyTypes, b: CertificatePublicKeyTypes) -> bool:
    """Whether two public keys are one."""
    return key_fingerprint(a) == key_fingerprint(b)


def name_text(name: x509.Name) -> str:
    """A subject or issuer for people, on one line: what can't be printed is `?`, at most 120 characters."""
    text = printable(name.rfc4514_string(), "?")
    return text if len(text) <= 120 else f"{text[:119]}…"


def pem_blocks(text: str, kind: str, *, subject: str, reason: str, remedy: str) -> Iterator[bytes]:
    """The DER of each block of a text that consists of blocks of this kind alone, in canonical PEM.

    Raises:
        Rejected: `reason`: anything else. The text isn't quoted.
    """
    at = 0
    end = len(text.rstrip("\n"))
    while at < end:
        block = _BLOCK.match(text, at)
        if block is None:
            raise Rejected(reason, "there is text outside its PEM blocks, or PEM that is cut", subject=subject,
                           remedy=remedy)  # fmt: skip
        if block[1] != kind:
            raise Rejected(reason, f"it holds a block of another kind than {kind}", subject=subject, remedy=remedy)
        der = _decoded(block[2])
        if der is None:
            raise Rejected(reason, "it holds a PEM block that isn't canonical base64", subject=subject, remedy=remedy)
        yield der
        at = block.end()


def _read(text: str, subject: str) -> tuple[Certificate, ...]:
    _bounded(text, subject)
    blocks = pem_blocks(text, "CERTIFICATE", subject=subject, reason="NotCertificates", remedy=_REMEDY)
    found = tuple(_load(der, subject) for der in blocks)
    if not found:
        raise _refused(subject, "there is no certificate in it", _REMEDY)
    if len(set(found)) < len(found):
        raise _refused(subject, "it holds a certificate twice", "Leave each once.")
    return found


def _bounded(text: str, subject: str) -> None:
    if len(text) > MAX_TEXT:
        raise _refused(subject, f"it has {len(text)} characters; at most {MAX_TEXT} are read", _REMEDY)


def _load(der: bytes, subject: str, *, extensions: bool = True) -> Certificate:
    """Everything is parsed here, once: `cryptography` reads extensions and keys only when they are asked for."""
    malformed = _refused(subject, "it holds a certificate that can't be parsed", "Ask its maker for a valid one.")
    if not _positive_serial(der):
        raise malformed
    try:
        certificate = x509.load_der_x509_certificate(der)
        _ = extensions and certificate.extensions
        _ = certificate.subject, certificate.issuer, certificate.public_key()
        _ = certificate.signature_algorithm_oid, certificate.not_valid_after_utc, certificate.version
    except (ValueError, TypeError, UnsupportedAlgorithm, x509.DuplicateExtension, x509.InvalidVersion,
            x509.UnsupportedGeneralNameType):  # fmt: skip
        raise malformed from None
    return certificate


def _positive_serial(der: bytes) -> bool:
    """Go refuses a serial number that isn't positive; `cryptography` only warns so far."""
    at = _content(der, _content(der, 0))
    if der[at : at + 1] == b"\xa0":  # [0] version: v1 has none
        at += 2 + der[at + 1] if at + 1 < len(der) else 0
    number = der[_content(der, at) : _content(der, at) + 1]
    return der[at : at + 1] == b"\x02" and number < b"\x80" and der[at + 1 : at + 3] != b"\x01\x00"


def _content(der: bytes, at: int) -> int:
    """Where the content of the element at this offset begins."""
    length = der[at + 1] if at + 1 < len(der) else 0
    return at + 2 + (length & 0x7F if length >= 0x80 else 0)


def _decoded(lines: str) -> bytes | None:
    """The bytes of base64 in lines of 64; None for any other spelling."""
    try:
        der = base64.b64decode(lines.replace("\n", ""), validate=True)
    except binascii.Error:
        return None
    return der if lines == _wrapped(base64.b64encode(der).decode()) else None


def _wrapped(text: str) -> str:
    return "\n".join(text[i : i + _LINE] for i in range(0, len(text), _LINE))


def _digest(der: bytes) -> str:
    return f"sha256:{hashlib.sha256(der).hexdigest()}"


def _refused(subject: str, what: str, remedy: str) -> Rejected:
    return Rejected("NotCertificates", what, subject=subject, remedy=remedy)
