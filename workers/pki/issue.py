"""Certificates of CAs, each from a template: roots, intermediates of clusters, online signers, cross certificates.

Nothing of a request but its public key gets into a certificate. Pure apart from the key that signs, which may be one in
a hardware token; time and serial numbers are arguments. What is issued was held against the rules that agents apply.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.types import CertificatePublicKeyTypes
from cryptography.x509.oid import NameOID

from syncer.protocol.cacerts_rules import authority_faults, path_length, root_faults, trust_domain_fault
from syncer.protocol.certificates import Certificate, CertificateFault, name_text, same_key
from syncer.protocol.errors import Rejected
from syncer.protocol.request import subject_of
from syncer.protocol.revocation import SKEW, AuthorityKey, signature_hash

SHORTEST: Final = timedelta(minutes=1)
"""What ends sooner isn't signed: its issuer is about to end."""


@dataclass(frozen=True, kw_only=True)
class Template:
    """All that is said of the intermediate of a cluster, by `mesh/` and the approved request's rotation number.

    `lifetime`: at most; no certificate outlives its issuers. `crl_url`: where its issuer's list is published, if it is.
    """

    mesh: str
    cluster: str
    trust_domain: str
    rotation: int
    lifetime: timedelta
    crl_url: str | None = None


def issue(
    template: Template,
    public_key: CertificatePublicKeyTypes,
    issuer: Certificate,
    key: AuthorityKey,
    *,
    now: datetime,
    serial: int,
    above: Iterable[Certificate] = (),
) -> Certificate:
    """The intermediate of a cluster. `above`: the issuers of the issuer up to the root, which bound its life, too.

    Raises:
        Rejected: the issuer may not or can't issue it, or the outcome breaks a rule (a weak key): named by the rule.
    """
    _may_issue(issuer, key, below=0)
    if (wrong := trust_domain_fault(template.trust_domain)) is not None:
        remedy = "Give the mesh a trust domain that is a DNS name."
        raise Rejected("TrustDomain", wrong, subject=template.cluster, remedy=remedy)
    ends = (ending.not_valid_after_utc for ending in (issuer, *above))
    builder = (
        _builder(
            subject_of(mesh=template.mesh, cluster=template.cluster, rotation=template.rotation),
            public_key,
            issuer,
            begin=now - SKEW,
            end=min(now + template.lifetime, *ends),
            serial=serial,
        )
        .add_extension(_authority(0), critical=True)
        .add_extension(_CA_USAGE, critical=True)
        .add_extension(_only(template.trust_domain), critical=True)
    )
    if template.crl_url is not None:
        builder = builder.add_extension(_published(template.crl_url), critical=False)
    certificate = builder.sign(key, signature_hash(key.public_key()))
    _hold(authority_faults(certificate, trust_domain=template.trust_domain, now=now), certificate, now)
    return certificate


def issue_root(
    *, mesh: str, name: str, key: AuthorityKey, lifetime: timedelta, now: datetime, serial: int
) -> Certificate:
    """A root: `CN=<name>, O=<mesh>`, signed by its own key, without a limit to what is below it.

    Raises:
        Rejected: a weak key.
    """
    subject = _named(mesh, name)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(serial)
        .not_valid_before(now - SKEW)
        .not_valid_after(now + lifetime)
        .add_extension(_authority(None), critical=True)
        .add_extension(_CA_USAGE, critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, signature_hash(key.public_key()))
    )
    _hold(root_faults(certificate, now=now), certificate, now)
    return certificate


def issue_online(
    *,
    mesh: str,
    name: str,
    public_key: CertificatePublicKeyTypes,
    issuer: Certificate,
    key: AuthorityKey,
    lifetime: timedelta,
    now: datetime,
    serial: int,
) -> Certificate:
    """An intermediate of an offline root that signs for clusters: `CN=<name>, O=<mesh>`, path length 1.

    Raises:
        Rejected: as `issue`.
    """
    _may_issue(issuer, key, below=1)
    end = min(now + lifetime, issuer.not_valid_after_utc)
    return _sign_issuer(
        _builder(_named(mesh, name), public_key, issuer, begin=now - SKEW, end=end, serial=serial), key, 1, now
    )


def cross_sign(
    certificate: Certificate,
    issuer: Certificate,
    key: AuthorityKey,
    *,
    now: datetime,
    serial: int,
    below: int = 1,
) -> Certificate:
    """The key and subject of one root, signed by another: who trusts only the other one accepts what this one signs.

    `below`: its path length; 1 where the root itself signs for clusters, 2 where its online intermediates do. It ends
    with the first of the two roots.

    Raises:
        Rejected: as `issue`.
    """
    _may_issue(issuer, key, below=below)
    end = min(certificate.not_valid_after_utc, issuer.not_valid_after_utc)
    builder = _builder(certificate.subject, certificate.public_key(), issuer, begin=now - SKEW, end=end, serial=serial)
    return _sign_issuer(builder, key, below, now)


_CA_USAGE: Final = x509.KeyUsage(
    digital_signature=False, content_commitment=False, key_encipherment=False, data_encipherment=False,
    key_agreement=False, key_cert_sign=True, crl_sign=True, encipher_only=False, decipher_only=False,
)  # fmt: skip


def _builder(
    subject: x509.Name,
    public_key: CertificatePublicKeyTypes,
    issuer: Certificate,
    *,
    begin: datetime,
    end: datetime,
    serial: int,
) -> x509.CertificateBuilder:
    """What all certificates have that another CA signs."""
    if end - begin < SKEW + SHORTEST:
        what = f"its issuer {name_text(issuer.subject)} ends at {issuer.not_valid_after_utc:%Y-%m-%dT%H:%M:%SZ}"
        raise Rejected("IssuerExpired", what, subject=name_text(subject), remedy="Sign under another root or issuer.")
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer.subject)
        .public_key(public_key)
        .serial_number(serial)
        .not_valid_before(begin)
        .not_valid_after(end)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public_key), critical=False)
        .add_extension(_identifier(issuer), critical=False)
    )


def _sign_issuer(builder: x509.CertificateBuilder, key: AuthorityKey, below: int, now: datetime) -> Certificate:
    """A CA between the root and those of the clusters."""
    certificate = (
        builder.add_extension(_authority(below), critical=True)
        .add_extension(_CA_USAGE, critical=True)
        .sign(key, signature_hash(key.public_key()))
    )
    _hold(authority_faults(certificate, trust_domain=None, now=now), certificate, now)
    return certificate


def _may_issue(issuer: Certificate, key: AuthorityKey, *, below: int) -> None:
    """Whether a CA with this path length may stand below the issuer, and the key is the issuer's."""
    subject = name_text(issuer.subject)
    if not same_key(issuer.public_key(), key.public_key()):
        raise Rejected("WrongKey", "the key that should sign isn't that of the issuer's certificate", subject=subject,
                       remedy="Give the signer the certificate that belongs to its key.")  # fmt: skip
    limit = path_length(issuer)
    if limit is not None and limit <= below:
        raise Rejected("PathLength", f"its path length {limit} doesn't allow a CA of path length {below} below it",
                       subject=subject, remedy="Sign with its issuer, or have it issued again.")  # fmt: skip


def _hold(faults: tuple[CertificateFault, ...], certificate: Certificate, now: datetime) -> None:
    if certificate.not_valid_after_utc <= now + SHORTEST:
        raise Rejected("IssuerExpired", "it would end at once", subject=name_text(certificate.subject))
    for fault in faults:
        raise Rejected(fault.rule, fault.what, subject=fault.certificate, remedy=fault.remedy)


def _identifier(issuer: Certificate) -> x509.AuthorityKeyIdentifier:
    """By the issuer's own identifier, which a foreign root may have made in another way than from its key."""
    try:
        own = issuer.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    except x509.ExtensionNotFound:
        own = x509.SubjectKeyIdentifier.from_public_key(issuer.public_key())
    return x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(own)


def _named(mesh: str, name: str) -> x509.Name:
    return x509.Name(
        [x509.NameAttribute(NameOID.ORGANIZATION_NAME, mesh), x509.NameAttribute(NameOID.COMMON_NAME, name)]
    )


def _authority(below: int | None) -> x509.BasicConstraints:
    return x509.BasicConstraints(ca=True, path_length=below)


def _only(trust_domain: str) -> x509.NameConstraints:
    return x509.NameConstraints(
        permitted_subtrees=[x509.UniformResourceIdentifier(trust_domain)], excluded_subtrees=None
    )


def _published(url: str) -> x509.CRLDistributionPoints:
    where = [x509.UniformResourceIdentifier(url)]
    return x509.CRLDistributionPoints(
        [x509.DistributionPoint(full_name=where, relative_name=None, reasons=None, crl_issuer=None)]
    )
