"""What must hold inside one document of `pki/` beyond the shape of its type.

Knows one document, and certificates as `syncer.protocol` reads them: strictly, and held against the documents' other
fields. Knows no clock (dates are judged where something is to be done), no key, and never quotes what it read.
"""

from __future__ import annotations

import base64
import binascii
import itertools
from collections.abc import Callable, Iterator, Sequence
from typing import Final, TypeVar

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from syncer.protocol.cacerts_rules import TIMELY, authority_faults, issued, root_faults
from syncer.protocol.certificates import (
    Certificate,
    CertificateFault,
    key_fingerprint,
    read_certificate,
    read_certificates,
    read_sealing_certificate,
    same_key,
)
from syncer.protocol.errors import Rejected
from syncer.protocol.names import is_label
from syncer.protocol.request import read_csr
from syncer.protocol.revocation import read_crls
from workers.documents.shape import Fault, Where, dotted
from workers.documents.trust import (
    CertificateRequest,
    CertificateRequestSpec,
    Intermediate,
    IntermediateSpec,
    PkiDocument,
    Root,
    RootSpec,
    SealingCertificate,
    Trust,
    TrustSpec,
)

_ROBOT: Final = "The robot writes this file: take its version back from Git."
_T = TypeVar("_T")
_CERTIFICATE: Final[Where] = ("spec", "certificate")
_CHAIN: Final[Where] = ("spec", "chain")
_CRL: Final[Where] = ("spec", "crl")


def pki_faults(document: PkiDocument) -> Iterator[Fault]:
    """All faults of one document whose shape is right."""
    match document:
        case Root():
            yield from _root(document.metadata.name, document.spec)
        case CertificateRequest():
            yield from _request(document.spec)
        case Intermediate():
            yield from _intermediate(document.spec)
        case SealingCertificate():
            yield from _sealing(document)
        case Trust():
            yield from _trust(document.spec)


def _wrong(where: Where, what: str, remedy: str = _ROBOT) -> Fault:
    return Fault(where, f"{dotted(where)}: {what}", remedy)


def _read(read: Callable[..., _T], text: str, where: Where) -> tuple[_T | None, list[Fault]]:
    """What a text holds; None and why where it can't be read."""
    try:
        return read(text, subject=dotted(where)), []
    except Rejected as error:
        return None, [_wrong(where, error.what, error.remedy)]


def _lasting(faults: Sequence[CertificateFault], where: Where) -> Iterator[Fault]:
    """Those that no clock mends."""
    return (_wrong(where, f"{fault.what} ({fault.certificate})", fault.remedy) for fault in faults
            if fault.rule not in TIMELY)  # fmt: skip


# --- roots


def _root(name: str, spec: RootSpec) -> Iterator[Fault]:
    root, found = _read(read_certificate, spec.certificate, _CERTIFICATE)
    yield from found
    if root is None:
        return
    yield from _lasting(root_faults(root, now=root.not_valid_before_utc), _CERTIFICATE)
    for other, text in spec.cross_signed.items():
        yield from _cross(name, root, other, text)
    issuers, found = _read(read_certificates, spec.issuers, ("spec", "issuers")) if spec.issuers else ((), [])
    yield from found
    for issuer in issuers or ():
        yield from _issuer(issuer, (root, *(issuers or ())))
    yield from _lists(spec.crl, (root, *(issuers or ())))
    if spec.imported and (spec.issuers or spec.cross_signed):
        remedy = "Take out `imported`, or `issuers` and `crossSigned`."
        yield _wrong(("spec", "imported"), "nothing is signed under an imported root, but it has what signs", remedy)


def _cross(name: str, root: Certificate, other: str, text: str) -> Iterator[Fault]:
    where: Where = ("spec", "crossSigned", other)
    if not is_label(other) or other == name:
        yield _wrong(where, "not the name of another root")
    certificate, found = _read(read_certificate, text, where)
    yield from found
    if certificate is None:
        return
    if certificate.subject != root.subject or not same_key(certificate.public_key(), root.public_key()):
        yield _wrong(where, "it doesn't certify this root's subject and key")
    yield from _lasting(authority_faults(certificate, trust_domain=None, now=certificate.not_valid_before_utc), where)


def _issuer(issuer: Certificate, above: Sequence[Certificate]) -> Iterator[Fault]:
    where: Where = ("spec", "issuers")
    yield from _lasting(authority_faults(issuer, trust_domain=None, now=issuer.not_valid_before_utc), where)
    if not any(issued(issuer, other) for other in above if other != issuer):
        yield _wrong(where, "it holds a certificate that neither the root nor another issuer here has issued")


def _lists(text: str, authorities: Sequence[Certificate]) -> Iterator[Fault]:
    """Each revocation list is signed by one of these CAs, and no CA has two."""
    crls, found = _read(read_crls, text, _CRL)
    yield from found
    signers: list[bytes] = []
    for crl in crls or ():
        signer = next((ca for ca in authorities if ca.subject == crl.issuer and _signed(crl, ca)), None)
        if signer is None:
            yield _wrong(_CRL, "it holds a revocation list that no CA of this document has signed")
        elif (subject := signer.subject.public_bytes()) in signers:
            yield _wrong(_CRL, "it holds two revocation lists of one CA", "Leave the newest.")
        else:
            signers.append(subject)


def _signed(crl: x509.CertificateRevocationList, authority: Certificate) -> bool:
    key = authority.public_key()
    try:
        return isinstance(key, ec.EllipticCurvePublicKey | rsa.RSAPublicKey) and crl.is_signature_valid(key)
    except (UnsupportedAlgorithm, TypeError, ValueError):
        return False


# --- of a cluster


def _request(spec: CertificateRequestSpec) -> Iterator[Fault]:
    where: Where = ("spec", "csr")
    if not spec.csr:
        if spec.crl:
            yield _wrong(_CRL, "there is a revocation list without `csr`: nobody has the key that signs it")
        return
    csr, found = _read(read_csr, spec.csr, where)
    yield from found
    if csr is None:
        return
    if key_fingerprint(csr.public_key()) != spec.key_fingerprint:
        yield _wrong(("spec", "keyFingerprint"), "it isn't that of the key in `csr`")
    yield from _read(read_crls, spec.crl, _CRL)[1]


def _intermediate(spec: IntermediateSpec) -> Iterator[Fault]:
    certificate, found = _read(read_certificate, spec.certificate, _CERTIFICATE)
    yield from found
    chain, found = _read(read_certificates, spec.chain, _CHAIN) if spec.chain else ((), [])
    yield from found
    if certificate is None or chain is None:
        return
    faults = authority_faults(certificate, trust_domain=None, now=certificate.not_valid_before_utc)
    yield from _lasting(faults, _CERTIFICATE)
    for below, above in itertools.pairwise((certificate, *chain)):
        if not issued(below, above):
            yield _wrong(_CHAIN, "a certificate in it hasn't issued the one before it", "Order it from below to above.")
    yield from _lists(spec.crl, (certificate,))
    yield from _read(read_crls, spec.former_crls, ("spec", "formerCrls"))[1]
    if spec.sealed and not _is_base64(spec.sealed):
        yield _wrong(("spec", "sealed"), "it isn't base64")


def _sealing(document: SealingCertificate) -> Iterator[Fault]:
    certificate, found = _read(read_sealing_certificate, document.spec.certificate, _CERTIFICATE)
    yield from found
    if certificate is not None and not isinstance(certificate.public_key(), rsa.RSAPublicKey):
        remedy = "Take the certificate that `kubeseal --fetch-cert` prints."
        yield _wrong(_CERTIFICATE, "its key isn't RSA, and Sealed Secrets seals for RSA keys alone", remedy)


def _is_base64(text: str) -> bool:
    try:
        return bool(base64.b64decode(text, validate=True))
    except binascii.Error:
        return False


def _trust(spec: TrustSpec) -> Iterator[Fault]:
    for cluster, step in spec.clusters.items():
        where: Where = ("spec", "clusters", cluster)
        if not is_label(cluster):
            yield _wrong(where, "not the name of a cluster")
        if list(step.bundle) != sorted(set(step.bundle)):
            yield _wrong((*where, "bundle"), "it isn't sorted, each root once")
        for name in (*step.bundle, step.signer):
            if not is_label(name):
                yield _wrong(where, "not the name of a root")
