"""CA certificates with everything that can be wrong about them, for tests.

Knows certificates alone; what is right or wrong about one stands where it is used.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.name import _ASN1Type
from cryptography.x509.oid import NameOID

from syncer.protocol.certificates import Certificate
from tests.pki.authority import DAY, MESH, Authority, digest_of, private_key


@dataclass(frozen=True, kw_only=True)
class Draft:
    """A CA certificate with everything that can be wrong about one; the defaults are an intermediate's of ours."""

    name: str
    key: Any = field(default_factory=lambda: private_key("corpus"), repr=False)
    ca: bool = True
    below: int | None = 0
    sign: bool = True
    lists: bool = True
    usage: bool = True
    usage_critical: bool = True
    extended: tuple[x509.ObjectIdentifier, ...] = ()
    permitted: tuple[x509.GeneralName, ...] = ()
    excluded: tuple[x509.GeneralName, ...] = ()
    constraint_critical: bool = True
    basic_critical: bool = True
    begin: timedelta = timedelta(minutes=-5)
    end: timedelta = 90 * DAY
    own_identifier: bool = True
    issuer_identifier: bool = True
    authority: x509.AuthorityKeyIdentifier | None = None
    extra: tuple[tuple[x509.ExtensionType, bool], ...] = ()
    string: _ASN1Type | None = None

    def issue(self, now: datetime, by: Authority | None = None, signer: Any = None) -> Authority:
        """Signed by a CA, or by itself; `signer`: by another key in its name. The chain goes on with a CA between."""
        issuer = by.certificate.subject if by else self.subject
        key = signer or (by.key if by else self.key)
        builder = (
            x509.CertificateBuilder()
            .subject_name(self.subject)
            .issuer_name(issuer)
            .public_key(self.key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now + self.begin)
            .not_valid_after(now + self.end)
        )
        for extension, critical in self.extensions(by):
            builder = builder.add_extension(extension, critical=critical)
        above = (by.certificate, *by.above) if by and by.certificate.issuer != by.certificate.subject else ()
        return Authority(certificate=builder.sign(key, digest_of(key)), key=self.key, above=above)

    @property
    def subject(self) -> x509.Name:
        """`CN=<name>, O=<mesh>`; empty for the empty name."""
        named = ((NameOID.ORGANIZATION_NAME, MESH), (NameOID.COMMON_NAME, self.name)) if self.name else ()
        return x509.Name([x509.NameAttribute(oid, value, self.string) for oid, value in named])

    def extensions(self, by: Authority | None) -> Iterator[tuple[x509.ExtensionType, bool]]:
        yield x509.BasicConstraints(ca=self.ca, path_length=self.below if self.ca else None), self.basic_critical
        if self.usage:
            yield _usage(sign=self.sign, lists=self.lists), self.usage_critical
        if self.extended:
            yield x509.ExtendedKeyUsage(self.extended), False
        if self.permitted or self.excluded:
            yield x509.NameConstraints(self.permitted or None, self.excluded or None), self.constraint_critical
        if self.own_identifier:
            yield x509.SubjectKeyIdentifier.from_public_key(self.key.public_key()), False
        if self.issuer_identifier and by is not None:
            named = x509.SubjectKeyIdentifier.from_public_key(by.key.public_key())
            yield self.authority or x509.AuthorityKeyIdentifier(named.digest, None, None), False
        yield from self.extra


def _usage(*, sign: bool, lists: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not sign, content_commitment=False, key_encipherment=False, data_encipherment=False,
        key_agreement=False, key_cert_sign=sign, crl_sign=lists, encipher_only=False, decipher_only=False,
    )  # fmt: skip


_SHA256, _SHA1 = (bytes.fromhex(der) for der in ("300a06082a8648ce3d040302", "300906072a8648ce3d0401"))
"""ECDSA with these, as an AlgorithmIdentifier."""


def with_sha1(certificate: Certificate, key: Any) -> Certificate:
    """The same, signed with SHA-1, which `cryptography` doesn't do."""
    return rebuilt(certificate, key, lambda parts: [*parts[:2], _SHA1, *parts[3:]], _SHA1)


def in_version_1(certificate: Certificate, key: Any) -> Certificate:
    """The same as a certificate of 1988: neither version nor extensions."""
    return rebuilt(certificate, key, lambda parts: parts[1:-1])


def with_serial(certificate: Certificate, key: Any, octets: int) -> Certificate:
    """The same with a serial number of so many octets."""
    return rebuilt(certificate, key, lambda parts: [parts[0], _element(2, b"\x11" * octets), *parts[2:]])


def with_compressed_key(certificate: Certificate, key: Any) -> Certificate:
    """The same with one coordinate of the point that is its P-256 key."""
    point = key.public_key().public_bytes(Encoding.X962, PublicFormat.CompressedPoint)
    kind = bytes.fromhex("301306072a8648ce3d020106082a8648ce3d030107")
    public = _element(0x30, kind + _element(3, b"\0" + point))
    return rebuilt(certificate, key, lambda parts: [*parts[:6], public, *parts[7:]])


def rebuilt(
    certificate: Certificate, key: Any, change: Callable[[list[bytes]], list[bytes]], algorithm: bytes = _SHA256
) -> Certificate:
    """With its parts changed: version, serial number, algorithm, issuer, validity, subject, key, extensions."""
    (body,) = _contents(certificate.tbs_certificate_bytes)
    return x509.load_der_x509_certificate(signed(_element(0x30, b"".join(change(_elements(body)))), key, algorithm))


def signed(body: bytes, key: Any, algorithm: bytes = _SHA256) -> bytes:
    """The DER of a certificate with this body, whatever it holds."""
    digest = hashes.SHA1() if algorithm == _SHA1 else hashes.SHA256()  # noqa: S303 - what must be refused
    signature = _element(3, b"\0" + key.sign(body, ec.ECDSA(digest)))
    return _element(0x30, body + algorithm + signature)


def _elements(der: bytes) -> list[bytes]:
    """The elements that follow each other in these bytes."""
    found = []
    while der:
        size = der[1] if der[1] < 0x80 else int.from_bytes(der[2 : 2 + (der[1] & 0x7F)], "big")
        end = 2 + (der[1] & 0x7F if der[1] >= 0x80 else 0) + size
        found.append(der[:end])
        der = der[end:]
    return found


def _contents(der: bytes) -> list[bytes]:
    return [element[2 + (element[1] & 0x7F if element[1] >= 0x80 else 0) :] for element in _elements(der)]


def _element(tag: int, content: bytes) -> bytes:
    size = len(content)
    length = bytes([size]) if size < 0x80 else b"\x82" + size.to_bytes(2, "big") if size > 0xFF else bytes([0x81, size])
    return bytes([tag]) + length + content


def uri(*names: str) -> tuple[x509.GeneralName, ...]:
    return tuple(map(x509.UniformResourceIdentifier, names))
