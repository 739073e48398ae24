"""Certificates as slips of paper: one line of text each, read in microseconds, so that 10,000 histories are cheap.

A slip says what a certificate says as far as the machine looks: subject, issuer, key and time. Nothing is signed: what
real certificates must be is tested with real ones.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from functools import lru_cache

from syncer.protocol.request import SignRequest
from workers.pki.papers import Paper

FAR = timedelta(days=3650)
BEGIN = datetime(2026, 1, 1, tzinfo=UTC)


def slip(subject: str, issuer: str, key: str, *, begins: datetime = BEGIN, life: timedelta = FAR) -> str:
    """One certificate."""
    return f"{subject}|{issuer}|{key}|{begins.isoformat()}|{(begins + life).isoformat()}\n"


class Slips:
    """`Papers` that are slips."""

    def certificates(self, text: str) -> tuple[Paper, ...]:
        return _papers(text) if text else ()

    def sealing(self, text: str) -> Paper:
        (paper,) = _papers(text)
        return paper

    def requested_key(self, request: SignRequest) -> str:
        return request.csr

    def request_faults(self, request: SignRequest, *, cluster: str, mesh: str, key_type: str) -> tuple[str, ...]:
        del mesh, key_type
        return () if request.cluster == cluster else ("ForeignCluster: of another cluster",)

    def proof_holds(self, request: SignRequest, certificate: str) -> bool:
        return request.proof == _papers(certificate)[0].key

    def cacerts_faults(
        self, certificate: str, *, chain: str, roots: str, trust_domain: str, now: datetime
    ) -> tuple[str, ...]:
        """Whether it leads to a root of the bundle."""
        del trust_domain, now
        known = {paper.subject for paper in self.certificates(roots)}
        led = {paper.issuer for paper in (*self.certificates(certificate), *self.certificates(chain))}
        return () if known & led else ("NoPath: no root of the bundle has issued it",)

    def root_faults(self, root: str, *, now: datetime) -> tuple[str, ...]:
        return () if now < _papers(root)[0].ends else ("Expired: it has ended",)

    def trust_domain_fault(self, trust_domain: str) -> str:
        return "it has an underscore" if "_" in trust_domain else ""

    def crl_faults(self, crls: str, authorities: Iterable[str], *, now: datetime) -> tuple[str, ...]:
        del now
        lacking = sorted(paper.subject for text in authorities for paper in _papers(text) if paper.subject not in crls)
        return tuple(f"CrlMissing: list of {subject}" for subject in lacking)


SLIPS = Slips()


@lru_cache(maxsize=20_000)
def _papers(text: str) -> tuple[Paper, ...]:
    return tuple(_paper(line) for line in text.splitlines())


def _paper(line: str) -> Paper:
    subject, issuer, key, begins, ends = line.split("|")
    return Paper(
        fingerprint=f"sha256:{line}",
        key=key,
        identifier=key,
        subject=subject,
        issuer=issuer,
        begins=datetime.fromisoformat(begins),
        ends=datetime.fromisoformat(ends),
        text=f"{line}\n",
    )


def fingerprint(text: str) -> str:
    """Of the one slip in a text."""
    return f"sha256:{text.rstrip()}"
