"""What certificates and requests say, as small values: the machine looks at these and never at PEM.

Knows how texts are read and by whom they are judged (`syncer.protocol`). Knows no cluster's state and decides nothing.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Final, Protocol

from cryptography import x509

from syncer.protocol.cacerts import Cacerts, cacerts_faults, root_faults, trust_domain_fault
from syncer.protocol.certificates import (
    Certificate,
    CertificateFault,
    fingerprint,
    key_fingerprint,
    read_certificate,
    read_certificates,
    read_sealing_certificate,
    write_certificates,
)
from syncer.protocol.errors import Rejected
from syncer.protocol.request import SignRequest, proof_holds, read_csr, request_faults
from syncer.protocol.revocation import crl_faults, read_crls


@dataclass(frozen=True, kw_only=True, slots=True)
class Paper:
    """One certificate. `fingerprint` and `key` are `sha256:…` of it and of its public key; `identifier` is its subject
    key identifier in hex; names are RFC 4514; `text` is its PEM.
    """

    fingerprint: str
    key: str
    identifier: str
    subject: str
    issuer: str
    begins: datetime
    ends: datetime
    text: str


class Papers(Protocol):
    """How texts become values, and who judges them. Raises Rejected where a text can't be read."""

    def certificates(self, text: str) -> tuple[Paper, ...]:
        """The certificates of a text; none for the empty text."""
        ...

    def sealing(self, text: str) -> Paper:
        """The certificate of somebody who is sealed for."""
        ...

    def requested_key(self, request: SignRequest) -> str:
        """Fingerprint of the public key that a request is for."""
        ...

    def request_faults(self, request: SignRequest, *, cluster: str, mesh: str, key_type: str) -> tuple[str, ...]:
        """Why it isn't an honest request."""
        ...

    def proof_holds(self, request: SignRequest, certificate: str) -> bool:
        """Whether the key of this certificate asks for its own successor."""
        ...

    def cacerts_faults(
        self, certificate: str, *, chain: str, roots: str, trust_domain: str, now: datetime
    ) -> tuple[str, ...]:
        """Why istiod or Envoy would refuse it."""
        ...

    def root_faults(self, root: str, *, now: datetime) -> tuple[str, ...]:
        """Why this can't be a root."""
        ...

    def trust_domain_fault(self, trust_domain: str) -> str:
        """Why no constraint can hold it; empty: one can."""
        ...

    def crl_faults(self, crls: str, authorities: Iterable[str], *, now: datetime) -> tuple[str, ...]:
        """Which of these CAs lack a list that holds now."""
        ...


class PemPapers:
    """Papers that are PEM. A text is parsed once."""

    def certificates(self, text: str) -> tuple[Paper, ...]:
        return _papers(text) if text else ()

    def sealing(self, text: str) -> Paper:
        return _paper(read_sealing_certificate(text, subject="pki/sealing"))

    def requested_key(self, request: SignRequest) -> str:
        return key_fingerprint(read_csr(request.csr, subject=f"the request of {request.cluster}").public_key())

    def request_faults(self, request: SignRequest, *, cluster: str, mesh: str, key_type: str) -> tuple[str, ...]:
        return _request_faults(request, cluster, mesh, key_type)

    def proof_holds(self, request: SignRequest, certificate: str) -> bool:
        return proof_holds(request, read_certificate(certificate, subject=request.cluster).public_key())

    def cacerts_faults(
        self, certificate: str, *, chain: str, roots: str, trust_domain: str, now: datetime
    ) -> tuple[str, ...]:
        files = Cacerts(certificate=certificate, chain=certificate + chain, roots=roots)
        return _said(cacerts_faults(files, trust_domain=trust_domain, now=now))

    def root_faults(self, root: str, *, now: datetime) -> tuple[str, ...]:
        return _said(root_faults(read_certificate(root, subject="root"), now=now, where="root"))

    def trust_domain_fault(self, trust_domain: str) -> str:
        return trust_domain_fault(trust_domain) or ""

    def crl_faults(self, crls: str, authorities: Iterable[str], *, now: datetime) -> tuple[str, ...]:
        known = [found for text in authorities for found in read_certificates(text, subject="pki")]
        return _said(crl_faults(read_crls(crls, subject="pki"), dict.fromkeys(known), now=now))


PAPERS: Final[Papers] = PemPapers()


@lru_cache(maxsize=4096)
def _papers(text: str) -> tuple[Paper, ...]:
    return tuple(_paper(certificate) for certificate in read_certificates(text, subject="pki"))


@lru_cache(maxsize=1024)
def _request_faults(request: SignRequest, cluster: str, mesh: str, key_type: str) -> tuple[str, ...]:
    return _said(request_faults(request, cluster=cluster, mesh=mesh, key_type=key_type))


def _paper(certificate: Certificate) -> Paper:
    return Paper(
        fingerprint=fingerprint(certificate),
        key=key_fingerprint(certificate.public_key()),
        identifier=_identifier(certificate),
        subject=certificate.subject.rfc4514_string(),
        issuer=certificate.issuer.rfc4514_string(),
        begins=certificate.not_valid_before_utc,
        ends=certificate.not_valid_after_utc,
        text=write_certificates([certificate]),
    )


def _identifier(certificate: Certificate) -> str:
    try:
        return certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value.digest.hex()
    except (x509.ExtensionNotFound, ValueError):
        return ""  # the latter of a sealing certificate alone


def _said(faults: Iterable[CertificateFault]) -> tuple[str, ...]:
    return tuple(f"{fault.rule}: {fault}" for fault in faults)


def readable(papers: Papers, text: str) -> tuple[Paper, ...]:
    """The certificates of a text; none where it can't be read, which is told elsewhere."""
    try:
        return papers.certificates(text)
    except Rejected:
        return ()


def first(papers: Papers, text: str) -> Paper | None:
    """The first certificate of a text; None where there is none, or none that can be read."""
    return next(iter(readable(papers, text)), None)
