"""Certificate revocation lists (CRLs): made, read, and held against the CAs that should have signed them.

Knows what istiod and Envoy want of a `ca-crl.pem`: a current list of every CA of every mesh, else they refuse. Knows
no files, and no private key but the one it is given to sign with.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime, timedelta
from typing import Final, NamedTuple

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.asymmetric.types import CertificatePublicKeyTypes
from cryptography.hazmat.primitives.serialization import Encoding

from syncer.protocol.certificates import Certificate, CertificateFault, name_text, pem_blocks
from syncer.protocol.errors import Rejected

AuthorityKey = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey
"""What a CA signs with; a key in a hardware token is a subclass of one of the two."""
MAX_CRLS: Final = 512 << 10
"""Characters of a `ca-crl.pem`; a ConfigMap holds 1 MiB, and istiod copies this into every namespace."""
REASONS: Final[Mapping[str, x509.ReasonFlags]] = {
    flag.value: flag
    for flag in x509.ReasonFlags
    if flag not in (x509.ReasonFlags.unspecified, x509.ReasonFlags.remove_from_crl)
}
"""RFC 5280 §5.3.1 by name (`keyCompromise`); `unspecified` is said by leaving the reason out."""
_LISTERS: Final = (ec.EllipticCurvePublicKey, rsa.RSAPublicKey, ed25519.Ed25519PublicKey)
SKEW: Final = timedelta(minutes=5)
"""How far clocks may differ: what is made now is valid since five minutes ago."""


class Revoked(NamedTuple):
    """A serial number that its issuer takes back. `reason` is a name of `REASONS`, or empty."""

    serial: int
    reason: str = ""


def make_crl(
    key: AuthorityKey,
    *,
    issuer: x509.Name,
    revoked: Iterable[Revoked] = (),
    now: datetime,
    next_update: datetime,
    number: int,
) -> str:
    """A list in PEM, signed by the CA with this subject. Equal arguments give equal content.

    An agent makes an empty one for the intermediate that it asks for: its subject is known beforehand.

    Raises:
        Rejected: `BadRevocation`: a reason that there isn't, a serial twice, or a list that would end before it begins.
    """
    taken = tuple(revoked)
    listed = {entry.serial: entry for entry in taken}
    if len(listed) < len(taken) or any(entry.reason and entry.reason not in REASONS for entry in taken):
        raise Rejected("BadRevocation", "a serial number stands twice, or a reason isn't one of RFC 5280",
                       subject=name_text(issuer), remedy=f"Reasons are {', '.join(REASONS)}.")  # fmt: skip
    if next_update <= now:
        raise Rejected("BadRevocation", "the list would end before it begins", subject=name_text(issuer))
    builder = (
        x509.CertificateRevocationListBuilder()
        .issuer_name(issuer)
        .last_update(now - SKEW)
        .next_update(next_update)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(key.public_key()), critical=False)
        .add_extension(x509.CRLNumber(number), critical=False)
    )
    for serial in sorted(listed):
        builder = builder.add_revoked_certificate(_entry(listed[serial], now))
    return builder.sign(key, signature_hash(key.public_key())).public_bytes(Encoding.PEM).decode()


def read_crls(text: str, *, subject: str) -> tuple[x509.CertificateRevocationList, ...]:
    """The lists of a text in canonical PEM, in its order; none for the empty text.

    Raises:
        Rejected: `NotRevocationLists`: anything else in it, one that is malformed, too long.
    """
    remedy = "Write PEM with CRLs alone, as `openssl crl` does."
    if len(text) > MAX_CRLS:
        what = f"it has {len(text)} characters; at most {MAX_CRLS} are read"
        raise Rejected("NotRevocationLists", what, subject=subject, remedy=remedy)
    blocks = pem_blocks(text, "X509 CRL", subject=subject, reason="NotRevocationLists", remedy=remedy)
    return tuple(_load(der, subject) for der in blocks)


def write_crls(crls: Iterable[x509.CertificateRevocationList]) -> str:
    """Canonical PEM, sorted by issuer: what a `ca-crl.pem` holds of all CAs of all meshes."""
    found = {(crl.issuer.rfc4514_string(), crl.public_bytes(Encoding.DER)): crl for crl in crls}
    return "".join(found[name].public_bytes(Encoding.PEM).decode() for name in sorted(found))


def listers(text: str) -> tuple[str, ...]:
    """Whose lists a `ca-crl.pem` holds: key identifiers of CAs, in hex, sorted; none where it can't be read."""
    try:
        crls = read_crls(text, subject="ca-crl.pem")
    except Rejected:
        return ()
    return tuple(sorted({identifier for crl in crls if (identifier := _lister(crl))}))


def _lister(crl: x509.CertificateRevocationList) -> str:
    try:
        found = crl.extensions.get_extension_for_class(x509.AuthorityKeyIdentifier).value.key_identifier
    except x509.ExtensionNotFound:
        return ""
    return found.hex() if found else ""


def signature_hash(public_key: CertificatePublicKeyTypes) -> hashes.SHA256 | hashes.SHA384:
    """SHA-384 for P-384 and larger, else SHA-256."""
    wide = isinstance(public_key, ec.EllipticCurvePublicKey) and public_key.curve.key_size > 256
    return hashes.SHA384() if wide else hashes.SHA256()


def crl_faults(
    crls: Iterable[x509.CertificateRevocationList], authorities: Iterable[Certificate], *, now: datetime
) -> tuple[CertificateFault, ...]:
    """Why istiod or Envoy would refuse what these CAs signed: a list is missing, is no longer or not yet current,
    isn't signed by its CA, stands beside another of the same CA, or takes one of these CAs back.

    Lists of other CAs aren't looked at, except that each must be current: one that isn't stops all connections.
    """
    given, known = tuple(crls), tuple(authorities)
    faults = list(_currency(given, now))
    # By name, because there may be hundreds of each.
    lists: dict[x509.Name, list[x509.CertificateRevocationList]] = {}
    below: dict[x509.Name, list[Certificate]] = {}
    for crl in given:
        lists.setdefault(crl.issuer, []).append(crl)
    for certificate in known:
        below.setdefault(certificate.issuer, []).append(certificate)
    for authority in known:
        subject = authority.subject
        own = lists.get(subject, [])
        signed = [crl for crl in own if _signed_by(crl, authority)]
        faults += _presence(authority, own, signed)
        faults += _revocations(below.get(subject, []), authority, signed)
    return tuple(dict.fromkeys(faults))


def _currency(crls: tuple[x509.CertificateRevocationList, ...], now: datetime) -> Iterator[CertificateFault]:
    for crl in crls:
        where = f"ca-crl.pem, list of {name_text(crl.issuer)}"
        end = crl.next_update_utc
        if end is None or end <= now:
            what = f"a newer one was due at {end:%Y-%m-%dT%H:%M:%SZ}" if end else "it doesn't say when it ends"
            remedy = "Have its CA sign a new one."
            yield CertificateFault(rule="CrlExpired", certificate=where, what=what, remedy=remedy)
        if crl.last_update_utc > now:
            what = f"it begins at {crl.last_update_utc:%Y-%m-%dT%H:%M:%SZ}"
            yield CertificateFault(rule="CrlNotYetValid", certificate=where, what=what, remedy="Set the clocks right.")
        if unknown := [extension.oid.dotted_string for extension in crl.extensions if extension.critical]:
            what = f"it has a critical extension {unknown[0]}"
            yield CertificateFault(rule="CrlExtension", certificate=where, what=what, remedy="Sign a complete list.")


def _presence(
    authority: Certificate, own: list[x509.CertificateRevocationList], signed: list[x509.CertificateRevocationList]
) -> Iterator[CertificateFault]:
    where = f"ca-crl.pem, list of {name_text(authority.subject)}"
    if not own:
        what, remedy = "there is none, and Envoy wants one of every CA", "Add it: an empty one will do."
        yield CertificateFault(rule="CrlMissing", certificate=where, what=what, remedy=remedy)
    elif not signed:
        what, remedy = "this CA hasn't signed it", "Have the CA of that name sign one."
        yield CertificateFault(rule="CrlSignature", certificate=where, what=what, remedy=remedy)
    if len(own) > 1:
        what, remedy = f"there are {len(own)}, and which one counts isn't said", "Leave the newest."
        yield CertificateFault(rule="CrlTwice", certificate=where, what=what, remedy=remedy)
    if signed and not _may_sign_lists(authority):
        what, remedy = "this CA's key usage doesn't allow it to sign lists", "Issue the CA with cRLSign."
        yield CertificateFault(rule="KeyUsage", certificate=where, what=what, remedy=remedy)


def _revocations(
    below: list[Certificate], authority: Certificate, signed: list[x509.CertificateRevocationList]
) -> Iterator[CertificateFault]:
    for certificate in below:
        for crl in signed:
            if crl.get_revoked_certificate_by_serial_number(certificate.serial_number) is not None:
                where = name_text(certificate.subject)
                what = f"{name_text(authority.subject)} has revoked it"
                remedy = "Rotate to another intermediate."
                yield CertificateFault(rule="Revoked", certificate=where, what=what, remedy=remedy)


def _may_sign_lists(authority: Certificate) -> bool:
    try:
        return authority.extensions.get_extension_for_class(x509.KeyUsage).value.crl_sign
    except x509.ExtensionNotFound:
        return True


def _signed_by(crl: x509.CertificateRevocationList, authority: Certificate) -> bool:
    key = authority.public_key()
    try:
        return isinstance(key, _LISTERS) and crl.is_signature_valid(key)
    except (UnsupportedAlgorithm, TypeError, ValueError):
        return False


def _entry(entry: Revoked, now: datetime) -> x509.RevokedCertificate:
    builder = x509.RevokedCertificateBuilder().serial_number(entry.serial).revocation_date(now - SKEW)
    if entry.reason:
        builder = builder.add_extension(x509.CRLReason(REASONS[entry.reason]), critical=False)
    return builder.build()


def _load(der: bytes, subject: str) -> x509.CertificateRevocationList:
    try:
        crl = x509.load_der_x509_crl(der)
        _ = crl.extensions, crl.issuer, crl.last_update_utc, crl.next_update_utc, crl.signature_algorithm_oid, list(crl)
    except (ValueError, TypeError, UnsupportedAlgorithm, x509.DuplicateExtension):
        what, remedy = "it holds a list that can't be parsed", "Have its CA sign a valid one."
        raise Rejected("NotRevocationLists", what, subject=subject, remedy=remedy) from None
    return crl
