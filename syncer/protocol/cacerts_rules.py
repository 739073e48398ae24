"""What one CA certificate must be, by itself: any that istiod and Envoy shall accept, and an intermediate of ours.

Knows the template of intermediates and which engine refuses what (Go's crypto/x509, Envoy's BoringSSL; measured with
Istio 1.31 and Envoy 1.40). Knows nothing of the files of a `cacerts` or of how certificates hang together.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import Final, TypeVar

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.asymmetric.types import CertificatePublicKeyTypes
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import ExtendedKeyUsageOID

from syncer.protocol.certificates import Certificate, CertificateFault, name_text
from syncer.protocol.names import is_subdomain

TIMELY: Final = frozenset({"Expired", "NotYetValid"})
"""Rules that the clock breaks, not the maker."""
KEY_TYPES: Final = {"P-256": "secp256r1", "P-384": "secp384r1"}
"""Keys of intermediates, by the name that people write."""
_CURVES: Final = {"secp256r1", "secp384r1", "secp521r1"}
_HASHES: Final = {"sha256", "sha384", "sha512"}
"""Go has refused SHA-1 signatures since 1.18."""
_UNDERSTOOD: Final = (x509.BasicConstraints.oid, x509.KeyUsage.oid, x509.NameConstraints.oid, x509.ExtendedKeyUsage.oid)
"""What may be critical in the certificate of a CA: Go refuses critical extensions that it doesn't know."""
_TEMPLATE: Final = frozenset(
    extension.oid
    for extension in (
        x509.BasicConstraints,
        x509.KeyUsage,
        x509.NameConstraints,
        x509.SubjectKeyIdentifier,
        x509.AuthorityKeyIdentifier,
        x509.CRLDistributionPoints,
    )
)
_STANDARD: Final = ("2.5.29.", "1.3.6.1.5.5.7.1.")
"""What X.509 and PKIX name; Go parses some of it that `cryptography` doesn't (policy mappings)."""
_LABEL: Final = re.compile(r"[!-~]+")
_URI: Final = re.compile(r"[a-zA-Z][a-zA-Z0-9+.-]*://[a-zA-Z0-9.-]*(/[a-zA-Z0-9._~/-]*)?")
"""A part of all that Go parses; what identities look like."""
_STRINGS: Final = {12, 18, 19, 22}
"""ASN.1 tags of strings in names that Go and everybody else reads: UTF8, Numeric, Printable, IA5."""
_BOTH_SIDES: Final = {ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH}
_E = TypeVar("_E", bound=x509.ExtensionType)


def authority_faults(
    certificate: Certificate, *, trust_domain: str | None, now: datetime, where: str = ""
) -> tuple[CertificateFault, ...]:
    """Why this isn't a CA that istiod and Envoy accept; with a trust domain also: why it isn't made by the template.

    `where` leads the name of the certificate in each fault: `ca-cert.pem`.
    """
    found: dict[str, CertificateFault] = {}
    for rule, what, remedy in (
        *_any_authority(certificate),
        *_times(certificate, now),
        *(_of_template(certificate, trust_domain) if trust_domain is not None else ()),
    ):
        found.setdefault(rule, _named(certificate, where, rule, what, remedy))
    return tuple(found.values())


def root_faults(certificate: Certificate, *, now: datetime, where: str = "") -> tuple[CertificateFault, ...]:
    """Why this can't stand in a bundle of roots: Envoy and openssl want each to be signed by its own key."""
    faults = authority_faults(certificate, trust_domain=None, now=now, where=where)
    if issued(certificate, certificate):
        return faults
    what, remedy = "its own key hasn't signed it", "A bundle holds roots alone; what they signed goes into the chain."
    return (*faults, _named(certificate, where, "NotARoot", what, remedy))


def constraint_faults(certificate: Certificate, *, trust_domain: str, where: str = "") -> tuple[CertificateFault, ...]:
    """Why the name constraints of an issuer or root don't let identities of this trust domain through, and the DNS name
    of istiod's own certificate with them.
    """
    constraints = _extension(certificate, x509.NameConstraints)
    if constraints is None:
        return ()
    permitted, excluded = constraints.permitted_subtrees or [], constraints.excluded_subtrees or []
    named = [name.value if isinstance(name, x509.UniformResourceIdentifier) else None for name in permitted]
    refused = [name.value if isinstance(name, x509.UniformResourceIdentifier) else None for name in excluded]
    if None in named or None in refused:
        what = "it constrains other names than URIs, and istiod's own certificate carries DNS names"
    elif named and not any(_covers(str(name), trust_domain) for name in named):
        what = f"its name constraints don't admit {trust_domain}"
    elif any(_covers(str(name), trust_domain) or _covers(f".{name}", trust_domain) for name in refused):
        what = f"its name constraints exclude {trust_domain}"
    else:
        return ()
    return (_named(certificate, where, "NameConstraint", what, "Issue it without name constraints."),)


def issued(certificate: Certificate, issuer: Certificate) -> bool:
    """Whether the issuer's key signed this, under the issuer's subject to the byte (as Go compares names)."""
    if certificate.issuer.public_bytes() != issuer.subject.public_bytes():
        return False
    try:
        certificate.verify_directly_issued_by(issuer)
    except (InvalidSignature, UnsupportedAlgorithm, ValueError, TypeError):
        return False
    return True


def path_length(certificate: Certificate) -> int | None:
    """How many CAs may be below it; None: any number."""
    basic = _extension(certificate, x509.BasicConstraints)
    return basic.path_length if basic else None


def identifiers_agree(certificate: Certificate, issuer: Certificate) -> bool:
    """Whether the key identifiers let Envoy and openssl find this issuer: a different one is another CA to them."""
    said = _extension(certificate, x509.AuthorityKeyIdentifier)
    own = _extension(issuer, x509.SubjectKeyIdentifier)
    if said is None:
        return True
    if said.authority_cert_serial_number not in (None, issuer.serial_number):
        return False
    return said.key_identifier is None or own is None or said.key_identifier == own.digest


def trust_domain_fault(name: str, others: Iterable[str] = ()) -> str | None:
    """Why a host-only URI constraint can't hold this trust domain apart from the others, or None.

    Envoy refuses leaves below a constraint with an underscore, Go doesn't parse one with an IP address, and takes the
    constraint on a domain for one on its subdomains, too.
    """
    if _is_address(name):
        return f"the trust domain {name} is an IP address, which no name constraint can hold"
    if not is_subdomain(name):
        return f"the trust domain {name} isn't a DNS name in lower case without underscores"
    for other in sorted(others):
        if other == name:
            return f"the trust domain {name} is another cluster's, too"
        if name.endswith(f".{other}") or other.endswith(f".{name}"):
            below, above = (name, other) if len(name) > len(other) else (other, name)
            return f"the trust domain {below} is below {above}, whose CA could sign for it"
    return None


_Fault = tuple[str, str, str]
"""Rule, what, remedy."""


def _any_authority(certificate: Certificate) -> Iterator[_Fault]:
    remedy = "Have its issuer sign a CA certificate in its place."
    if certificate.version is not x509.Version.v3:
        yield "Version", "it isn't an X.509 v3 certificate", remedy
    if not certificate.subject.rdns:
        yield "NoSubject", "its subject is empty, so nothing can name it as issuer", remedy
    if certificate.serial_number.bit_length() > 159:
        yield "SerialNumber", "its serial number has more than 20 octets", remedy
    if not _is_authority(certificate):
        yield "NotAnAuthority", "it isn't a CA (CA:FALSE)", remedy
    usage = _extension(certificate, x509.KeyUsage)
    if usage is not None and not usage.key_cert_sign:
        yield "KeyUsage", "its key usage doesn't allow it to sign certificates", remedy
    extended = _extension(certificate, x509.ExtendedKeyUsage)
    if extended is not None and not set(extended) >= _BOTH_SIDES:
        what = "its extended key usage leaves out servers or clients, or says `any`, which Envoy refuses"
        yield "ExtendedKeyUsage", what, "Issue it without extended key usage."
    yield from _unparsable(certificate)
    yield from _key(certificate.public_key())
    if (weak := _signature(certificate)) is not None:
        yield "WeakSignature", weak, "Sign with SHA-256 or SHA-384."
    if unknown := [e.oid.dotted_string for e in certificate.extensions if e.critical and e.oid not in _UNDERSTOOD]:
        yield "UnknownExtension", f"it has a critical extension {unknown[0]} that istiod refuses", remedy


def _unparsable(certificate: Certificate) -> Iterator[_Fault]:
    """What `cryptography` reads and Go doesn't: with such a certificate anywhere in its bundle istiod doesn't start."""
    if not all(map(_parsable, _constrained(certificate))):
        yield "NameConstraint", "it has a name constraint that Go can't parse", "Issue it without name constraints."
    names = _extension(certificate, x509.SubjectAlternativeName)
    uris = names.get_values_for_type(x509.UniformResourceIdentifier) if names else []
    if not all(map(_URI.fullmatch, uris)):
        what = "it has an alternative name with a URI that Go can't parse"
        yield "AlternativeName", what, "Issue it without alternative names."
    unread = [e.oid.dotted_string for e in certificate.extensions if isinstance(e.value, x509.UnrecognizedExtension)]
    if standard := [oid for oid in unread if oid.startswith(_STANDARD)]:
        what = f"it has a standard extension {standard[0]} that CAs of a mesh have no use for"
        yield "UnknownExtension", what, "Issue it without."
    if not all(map(_readable, (*certificate.subject, *certificate.issuer))):
        yield "Spelling", "its subject or issuer is spelled in a way that Go can't parse", "Write names in UTF-8."
    key = certificate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    if key not in certificate.tbs_certificate_bytes:
        yield "KeyType", "its key isn't written as Go wants it (a point in full, plain RSA)", "Write it in full."


def _key(key: CertificatePublicKeyTypes) -> Iterator[_Fault]:
    remedy = "Take P-256 or P-384."
    match key:
        case rsa.RSAPublicKey():
            if key.key_size < 2048:
                yield "WeakKey", f"its RSA key has {key.key_size} bits", remedy
            elif key.key_size > 8192 or not 3 <= key.public_numbers().e < 1 << 31:
                yield "KeyType", "its RSA key has more than 8192 bits, or an exponent that Go can't hold", remedy
        case ec.EllipticCurvePublicKey():
            if key.curve.name not in _CURVES:
                yield "WeakKey" if key.curve.key_size < 256 else "KeyType", f"its key is on {key.curve.name}", remedy
        case ed25519.Ed25519PublicKey():
            pass
        case _:
            yield "KeyType", "its key is of a kind that istiod or Envoy doesn't know", remedy


def _signature(certificate: Certificate) -> str | None:
    try:
        algorithm = certificate.signature_hash_algorithm
    except UnsupportedAlgorithm:
        return "it is signed with an unknown algorithm"
    if algorithm is None or algorithm.name in _HASHES:  # Ed25519 has none
        return None
    return f"it is signed with {algorithm.name}"


def _times(certificate: Certificate, now: datetime) -> Iterator[_Fault]:
    if certificate.not_valid_before_utc > now:
        begin = f"{certificate.not_valid_before_utc:%Y-%m-%dT%H:%M:%SZ}"
        yield "NotYetValid", f"it isn't valid before {begin}", "Wait, or set the clocks right."
    if certificate.not_valid_after_utc <= now:
        end = f"{certificate.not_valid_after_utc:%Y-%m-%dT%H:%M:%SZ}"
        yield "Expired", f"it expired at {end}", "Rotate to a new one."


def _of_template(certificate: Certificate, trust_domain: str) -> Iterator[_Fault]:
    """What an intermediate of ours must be beyond that; `workers.pki.issue` makes it so."""
    remedy, key = "Request a new intermediate: the signer's template makes it right.", certificate.public_key()
    for rule, right, what in (
        ("PathLength", path_length(certificate) == 0 or not _is_authority(certificate), "its path length isn't 0"),
        ("KeyUsage", _exact_usage(certificate), "its key usage isn't keyCertSign and cRLSign, critical"),
        ("ExtendedKeyUsage", not _has(certificate, x509.ExtendedKeyUsage), "it has an extended key usage"),
        ("NameConstraint", _exact_constraint(certificate, trust_domain),
         f"its name constraint isn't permitted;URI:{trust_domain} alone, critical"),
        ("KeyIdentifier", _exact_identifiers(certificate), "it lacks a subject or authority key identifier"),
        ("BasicConstraints", _critical(certificate, x509.BasicConstraints), "its basic constraints aren't critical"),
        ("KeyType", any(_key(key)) or _curve(key) in KEY_TYPES.values(), "its key isn't on P-256 or P-384"),
        ("UnknownExtension", {e.oid for e in certificate.extensions} <= _TEMPLATE | {x509.ExtendedKeyUsage.oid},
         "it has an extension that the template doesn't have"),
    ):  # fmt: skip
        if not right:
            yield rule, what, remedy


def _is_authority(certificate: Certificate) -> bool:
    basic = _extension(certificate, x509.BasicConstraints)
    return basic is not None and basic.ca


def _exact_usage(certificate: Certificate) -> bool:
    usage = _extension(certificate, x509.KeyUsage)
    wanted = x509.KeyUsage(
        digital_signature=False, content_commitment=False, key_encipherment=False, data_encipherment=False,
        key_agreement=False, key_cert_sign=True, crl_sign=True, encipher_only=False, decipher_only=False,
    )  # fmt: skip
    return usage == wanted and _critical(certificate, x509.KeyUsage)


def _exact_constraint(certificate: Certificate, trust_domain: str) -> bool:
    constraints = _extension(certificate, x509.NameConstraints)
    return (
        constraints is not None
        and constraints.permitted_subtrees == [x509.UniformResourceIdentifier(trust_domain)]
        and not constraints.excluded_subtrees
        and _critical(certificate, x509.NameConstraints)
    )


def _exact_identifiers(certificate: Certificate) -> bool:
    authority = _extension(certificate, x509.AuthorityKeyIdentifier)
    return (
        _has(certificate, x509.SubjectKeyIdentifier)
        and authority is not None
        and authority.key_identifier is not None
        and authority.authority_cert_serial_number is None
    )


def _curve(key: CertificatePublicKeyTypes) -> str:
    return key.curve.name if isinstance(key, ec.EllipticCurvePublicKey) else ""


def _extension(certificate: Certificate, kind: type[_E]) -> _E | None:
    try:
        return certificate.extensions.get_extension_for_class(kind).value
    except x509.ExtensionNotFound:
        return None


def _has(certificate: Certificate, kind: type[x509.ExtensionType]) -> bool:
    return _extension(certificate, kind) is not None


def _critical(certificate: Certificate, kind: type[x509.ExtensionType]) -> bool:
    try:
        return certificate.extensions.get_extension_for_class(kind).critical
    except x509.ExtensionNotFound:
        return False


def _constrained(certificate: Certificate) -> Iterator[str]:
    """The hosts of its name constraints, with the kind of names that they are for left out."""
    constraints = _extension(certificate, x509.NameConstraints)
    for name in ((constraints.permitted_subtrees or []) + (constraints.excluded_subtrees or [])) if constraints else ():
        if isinstance(name, x509.UniformResourceIdentifier | x509.DNSName | x509.RFC822Name):
            yield name.value


def _parsable(host: str) -> bool:
    """Whether Go parses a name constraint on it (crypto/x509/parser.go: parseNameConstraintsExtension)."""
    labels = host.removeprefix(".").split(".")
    return not _is_address(host) and all(_LABEL.fullmatch(label) for label in labels)


def _readable(attribute: x509.NameAttribute[str | bytes]) -> bool:
    """Whether Go reads this part of a name; which string it is can't be asked for in public."""
    return attribute._type.value in _STRINGS  # noqa: SLF001


def _covers(constraint: str, trust_domain: str) -> bool:
    """As Envoy reads a URI constraint: a host is that host alone, a leading dot what is below it."""
    lower = constraint.lower()
    return trust_domain.endswith(lower) if lower.startswith(".") else trust_domain == lower


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name.strip("[]"))
    except ValueError:
        return False
    return True


def _named(certificate: Certificate, where: str, rule: str, what: str, remedy: str) -> CertificateFault:
    name = ", ".join(filter(None, (where, name_text(certificate.subject))))
    return CertificateFault(rule=rule, certificate=name, what=what, remedy=remedy)
