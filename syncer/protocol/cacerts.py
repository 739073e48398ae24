"""What a `cacerts` must be, so that istiod signs with it and every Envoy accepts what it signs.

Refuses what istiod or Envoy would refuse, and what istiod takes without a word although it is wrong: a chain without
its intermediate, a certificate that is no CA, a short key. Knows the four public files as istiod mounts them; sees no
private key, only the public half of it. Knows no Kubernetes.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.types import CertificatePublicKeyTypes

from syncer.protocol.cacerts_rules import (
    TIMELY,
    authority_faults,
    constraint_faults,
    identifiers_agree,
    issued,
    path_length,
    root_faults,
    trust_domain_fault,
)
from syncer.protocol.certificates import (
    Certificate,
    CertificateFault,
    name_text,
    read_certificate,
    read_certificates,
    read_foreign_certificates,
    same_key,
)
from syncer.protocol.errors import Rejected
from syncer.protocol.revocation import crl_faults, read_crls

__all__ = ["Cacerts", "CertificateFault", "authority_faults", "cacerts_faults", "root_faults", "trust_domain_fault"]

SIGNER, CHAIN, ROOTS, CRL = "ca-cert.pem", "cert-chain.pem", "root-cert.pem", "ca-crl.pem"


@dataclass(frozen=True, kw_only=True)
class Cacerts:
    """The public files of a `cacerts`, by what they are: `ca-cert.pem`, `cert-chain.pem` (the intermediate first),
    `root-cert.pem` and `ca-crl.pem` (empty: there is none).
    """

    certificate: str
    chain: str
    roots: str
    crl: str = ""


@dataclass(frozen=True, kw_only=True)
class _Parsed:
    signer: Certificate
    chain: tuple[Certificate, ...]
    roots: tuple[Certificate, ...]
    crls: tuple[x509.CertificateRevocationList, ...]


def cacerts_faults(
    cacerts: Cacerts,
    *,
    trust_domain: str,
    now: datetime,
    key: CertificatePublicKeyTypes | None = None,
    adopted: bool = False,
) -> tuple[CertificateFault, ...]:
    """Everything that is wrong with a `cacerts`, empty if nothing is. `key`: the public half of its `ca-key.pem`.

    `adopted`: signer and chain are another maker's: they needn't follow the template of ours or its spelling, only be
    what istiod and Envoy accept.
    """
    parsed, faults = _parse(cacerts, adopted=adopted)
    if (wrong := trust_domain_fault(trust_domain)) is not None:
        remedy = "Give the mesh a trust domain that is a DNS name."
        faults += (CertificateFault(rule="TrustDomain", certificate=SIGNER, what=wrong, remedy=remedy),)
    if parsed is None:
        return faults
    if key is not None and not same_key(key, parsed.signer.public_key()):
        what, remedy = "ca-key.pem is the key of another certificate", "Request a certificate for this key."
        faults += (_fault("WrongKey", SIGNER, parsed.signer, what, remedy),)
    path = _path(parsed, now)
    return tuple(
        dict.fromkeys(
            (
                *faults,
                *_signer_faults(parsed.signer, trust_domain, now, adopted=adopted),
                *_chain_faults(parsed, path, trust_domain, now, adopted=adopted),
                *_path_faults(parsed, path, adopted=adopted),
                *_bundle_faults(parsed.roots, path, trust_domain, now),
                *(crl_faults(parsed.crls, _listed(parsed), now=now) if parsed.crls else ()),
            )
        )
    )


def _parse(cacerts: Cacerts, *, adopted: bool) -> tuple[_Parsed | None, tuple[CertificateFault, ...]]:
    """The files as values; a fault for each that can't be read."""
    read = read_foreign_certificates if adopted else read_certificates
    found: dict[str, tuple[Certificate, ...]] = {}
    crls: tuple[x509.CertificateRevocationList, ...] = ()
    faults: list[CertificateFault] = []
    for name, text in ((SIGNER, cacerts.certificate), (CHAIN, cacerts.chain), (ROOTS, cacerts.roots)):
        try:
            one = name == SIGNER and not adopted
            found[name] = (read_certificate(text, subject=name),) if one else read(text, subject=name)
        except Rejected as error:
            faults.append(_unreadable(error))
    try:
        crls = read_crls(cacerts.crl, subject=CRL)
    except Rejected as error:
        faults.append(_unreadable(error))
    if faults:
        return None, tuple(faults)
    return _Parsed(signer=found[SIGNER][0], chain=found[CHAIN], roots=found[ROOTS], crls=crls), ()


def _path(parsed: _Parsed, now: datetime) -> tuple[Certificate, ...]:
    """The signer and what is above it, up to a root of the bundle (rather one that is valid now); the shortest such
    path, in whatever order the chain is: so all engines look for it. Empty if there is none.
    """
    roots = sorted(parsed.roots, key=lambda root: bool(_untimely(root, now)))
    paths: list[tuple[Certificate, ...]] = [(parsed.signer,)]
    seen = {parsed.signer}
    for path in paths:  # grows while it is walked: breadth first
        for root in roots:
            if issued(path[-1], root):
                return path if path[-1] == root else (*path, root)
        further = [above for above in parsed.chain if above not in seen and issued(path[-1], above)]
        paths += [(*path, above) for above in further]
        seen.update(further)
    return ()


def _signer_faults(
    signer: Certificate, trust_domain: str, now: datetime, *, adopted: bool
) -> tuple[CertificateFault, ...]:
    if adopted:
        return (
            *authority_faults(signer, trust_domain=None, now=now, where=SIGNER),
            *constraint_faults(signer, trust_domain=trust_domain, where=SIGNER),
        )
    faults = authority_faults(signer, trust_domain=trust_domain, now=now, where=SIGNER)
    if not issued(signer, signer):
        return faults
    what, remedy = "it is a root, and roots don't sign for workloads", "Request an intermediate."
    return (*faults, _fault("RootSigns", SIGNER, signer, what, remedy))


def _chain_faults(
    parsed: _Parsed, path: tuple[Certificate, ...], trust_domain: str, now: datetime, *, adopted: bool
) -> Iterator[CertificateFault]:
    """What follows the signer in its chain. What the path to a root doesn't need (a cross certificate, once the new
    root is trusted) may have expired.
    """
    signer, chain = parsed.signer, parsed.chain
    if signer not in chain and not (adopted and signer in parsed.roots):
        what, remedy = "the intermediate isn't in its own chain, so peers can't verify leaves", f"Begin with {SIGNER}."
        yield _fault("ChainWithoutIntermediate", CHAIN, signer, what, remedy)
    elif not adopted and chain[0] != signer:
        what, remedy = "the intermediate isn't the first of its chain", f"Begin with {SIGNER}, then its issuers."
        yield _fault("ChainOrder", CHAIN, chain[0], what, remedy)
    for above in chain:
        if above == signer or (adopted and above not in path):
            continue
        faults = (
            *authority_faults(above, trust_domain=None, now=now, where=CHAIN),
            *constraint_faults(above, trust_domain=trust_domain, where=CHAIN),
        )
        yield from (fault for fault in faults if above in path or fault.rule not in TIMELY)
        if not adopted and issued(above, above):
            what, remedy = "it is a root, which belongs into root-cert.pem alone", "Take it out of the chain."
            yield _fault("RootInChain", CHAIN, above, what, remedy)


def _path_faults(parsed: _Parsed, path: tuple[Certificate, ...], *, adopted: bool) -> Iterator[CertificateFault]:
    """How the certificates hang together."""
    if not path:
        issuer = name_text(parsed.signer.issuer)
        what = f"no root of the bundle has issued it or what is above it (its issuer is {issuer})"
        remedy = "Complete the chain, or add the root to the bundle."
        yield _fault("NoPath", SIGNER, parsed.signer, what, remedy)
    following = () if adopted else tuple(itertools.pairwise(parsed.chain))
    strangers = [below for below, above in following if not issued(below, above)]
    for below in strangers:
        what, remedy = "what follows it in the chain isn't its issuer", "Order the chain from below to above."
        yield _fault("ChainOrder", CHAIN, below, what, remedy)
    for below, above in dict.fromkeys((*itertools.pairwise(path), *following)):
        if below not in strangers and not identifiers_agree(below, above):
            what, remedy = "its authority key identifier names another issuer", "Have it issued again."
            yield _fault("KeyIdentifier", CHAIN, below, what, remedy)
        if (
            not adopted
            and above in path
            and below not in strangers
            and below.not_valid_after_utc > above.not_valid_after_utc
        ):
            what, remedy = f"it outlives its issuer {name_text(above.subject)}", "Have it issued with a shorter life."
            yield _fault("OutlivesIssuer", CHAIN, below, what, remedy)
    for ordered in (path, () if adopted or strangers else parsed.chain):
        yield from _too_long(ordered)


def _too_long(path: tuple[Certificate, ...]) -> Iterator[CertificateFault]:
    """RFC 5280 §4.2.1.9: how many CAs are below each, those not counted that issued themselves."""
    below = 0
    for certificate in path:
        limit = path_length(certificate)
        if limit is not None and limit < below:
            what = f"its path length is {limit}, and {below} CAs are below it"
            yield _fault("PathLength", CHAIN, certificate, what, "Have it issued with a greater path length.")
        if certificate.issuer != certificate.subject:
            below += 1


def _bundle_faults(
    roots: tuple[Certificate, ...], path: tuple[Certificate, ...], trust_domain: str, now: datetime
) -> Iterator[CertificateFault]:
    """Each root must be one; only that of the path must be valid now, and admit the trust domain."""
    subjects: dict[bytes, Certificate] = {}
    for root in roots:
        faults = root_faults(root, now=now, where=ROOTS)
        yield from (fault for fault in faults if root in path or fault.rule not in TIMELY)
        if root in path:
            yield from constraint_faults(root, trust_domain=trust_domain, where=ROOTS)
        if subjects.setdefault(root.subject.public_bytes(), root) != root:
            what, remedy = "two roots have this subject, so nobody can tell which one is trusted", "Leave one."
            yield _fault("SameSubject", ROOTS, root, what, remedy)


def _listed(parsed: _Parsed) -> Iterable[Certificate]:
    """The CAs whose lists istiod (those of its chain) and Envoy (the roots, too) want."""
    return dict.fromkeys((parsed.signer, *parsed.chain, *parsed.roots))


def _untimely(certificate: Certificate, now: datetime) -> bool:
    return not certificate.not_valid_before_utc <= now < certificate.not_valid_after_utc


def _unreadable(error: Rejected) -> CertificateFault:
    return CertificateFault(rule=error.reason, certificate=error.subject, what=error.what, remedy=error.remedy)


def _fault(rule: str, file: str, certificate: Certificate, what: str, remedy: str) -> CertificateFault:
    name = f"{file}, {name_text(certificate.subject)}"
    return CertificateFault(rule=rule, certificate=name, what=what, remedy=remedy)
