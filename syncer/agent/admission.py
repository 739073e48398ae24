"""Which content of `cacerts` follows from a commit, or why the commit isn't followed.

Pure. Every rule of what a `cacerts` must be is `syncer.protocol.cacerts`'; here is what depends on what stands there:
the key, the order of rotations, and that no step of a bundle cuts off what is trusted.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime

from syncer.agent.committed import Committed
from syncer.agent.content import Content, Standing, belongs, load_key, rotation_of
from syncer.agent.kept import Kept
from syncer.protocol.cacerts import CHAIN, CRL, ROOTS, SIGNER, Cacerts, CertificateFault, cacerts_faults
from syncer.protocol.certificates import (
    Certificate,
    fingerprint,
    name_text,
    read_certificate,
    read_certificates,
    write_certificates,
)
from syncer.protocol.errors import Rejected

_ORDER = "Order another rotation: `peermesh ca request-rotation`."


def target(
    committed: Committed, standing: Standing | None, kept: Kept, now: datetime, *, self_signed: Content | None = None
) -> Content | None:
    """The content that the commit wants; None: it wants none yet. Equal arguments give the same bytes.

    `standing`: what is there now. `self_signed`: the Secret of an istiod that made its own root, if it may be adopted.

    Raises:
        Rejected: the commit isn't followed: by the rule that it breaks.
    """
    if not committed.certificate:
        return _bundle_alone(committed, standing, now, kept.previous or self_signed)
    certificate = read_certificate(committed.certificate, subject=SIGNER)
    _hold(_rotation_faults(committed, certificate, standing, kept))
    key = _key_of(certificate, committed, standing, kept)
    cacerts = Cacerts(
        certificate=committed.certificate, chain=committed.chain, roots=committed.roots, crl=committed.crl
    )
    _hold(cacerts_faults(cacerts, trust_domain=committed.trust_domain, now=now))
    _hold(_step_faults(committed, standing, now))
    return (standing.content if standing else Content({})).with_files(
        roots=committed.roots,
        crl=committed.crl,
        certificate=committed.certificate,
        chain=committed.chain,
        key=key,
    )


def _bundle_alone(
    committed: Committed, standing: Standing | None, now: datetime, elsewhere: Content | None
) -> Content | None:
    """Signer, chain and key are another maker's, and stay. `elsewhere`: where they are if there is no `cacerts`."""
    if standing is None and elsewhere is None:
        return None
    if standing is not None:
        if standing.rotation:
            raise _refused("Replayed", "the intermediate in use is gone from the commit", "Take the change back.")
        _hold(_step_faults(committed, standing, now))
        content = standing.content.with_files(roots=committed.roots, crl=committed.crl)
        same = standing.roots == _fingerprints(committed.roots)
        if same and standing.content.text(CRL) == content.text(CRL):
            return standing.content  # another spelling would renew every leaf for nothing
    else:
        assert elsewhere is not None
        signer, chain = elsewhere.text(SIGNER), elsewhere.text(CHAIN)
        content = Content({}).with_files(
            roots=committed.roots, crl=committed.crl, certificate=signer, chain=chain or signer, key=elsewhere.key
        )
    key = load_key(content.key)
    if key is None:
        raise _refused("NoKey", "the private key that stands there can't be read", "Restore it from a backup.")
    faults = cacerts_faults(
        content.cacerts,
        trust_domain=committed.trust_domain,
        now=now,
        key=key.public_key(),  # type: ignore[arg-type]
        adopted=True,
    )
    _hold(faults)
    return content


def _rotation_faults(
    committed: Committed, certificate: Certificate, standing: Standing | None, kept: Kept
) -> Iterator[CertificateFault]:
    where = f"{SIGNER}, {name_text(certificate.subject)}"
    if rotation_of(certificate, mesh=committed.mesh, cluster=committed.cluster) != committed.rotation:
        what = f"it isn't rotation {committed.rotation} of {committed.cluster}"
        yield _fault("ForeignCertificate", where, what, "Apply what was committed for this cluster.")
    last = max(kept.highest, standing.rotation if standing else 0)
    if committed.rotation < last:
        what = f"rotation {last} was in use already, and this is {committed.rotation}"
        yield _fault("Replayed", where, what, _ORDER)
    if standing and standing.signer and committed.rotation == standing.rotation and certificate != standing.signer:
        what = f"it is another certificate of rotation {committed.rotation}, which is in use"
        yield _fault("SignedTwice", where, what, _ORDER)


def _key_of(certificate: Certificate, committed: Committed, standing: Standing | None, kept: Kept) -> bytes:
    """The private key, wherever the agent has it."""
    pending = kept.pending
    candidates = (
        pending.key.reveal().encode() if pending and pending.rotation == committed.rotation else b"",
        standing.content.key if standing else b"",
        kept.previous.key if kept.previous else b"",
    )
    for key in candidates:
        if key and belongs(key, certificate):
            return key
    what = "it is for a key that isn't here"
    raise _refused("ForeignKey", what, _ORDER, where=f"{SIGNER}, {name_text(certificate.subject)}")


def _step_faults(committed: Committed, standing: Standing | None, now: datetime) -> Iterator[CertificateFault]:
    """No istiod takes a bundle that has nothing to do with the one before; and what this cluster's own workloads don't
    trust yet must not sign, unless they have nothing valid left: istiod takes no bundle beside what has expired.
    """
    if standing is None or not standing.roots:
        return
    new = _fingerprints(committed.roots)
    if not (new >= standing.roots or new <= standing.roots):
        what = "it takes roots out and adds others in one step"
        yield _fault("BundleStep", ROOTS, what, "Add first, then take out: two commits.")
    if committed.certificate and committed.rotation != standing.rotation and not _has_ended(standing, now):
        old = write_certificates(standing.bundle)
        before = Cacerts(certificate=committed.certificate, chain=committed.chain, roots=old)
        faults = cacerts_faults(before, trust_domain=committed.trust_domain, now=now)
        if any(fault.rule == "NoPath" for fault in faults):
            what = "no root that this cluster trusts so far has issued it"
            remedy = "Commit the bundle first; sign under its root when all clusters were seen to trust it."
            yield _fault("UseBeforeTrust", SIGNER, what, remedy)


def _has_ended(standing: Standing, now: datetime) -> bool:
    return standing.signer is not None and standing.signer.not_valid_after_utc <= now


def _fingerprints(text: str) -> frozenset[str]:
    return frozenset(map(fingerprint, read_certificates(text, subject=ROOTS)))


def _hold(faults: Iterable[CertificateFault]) -> None:
    for fault in faults:
        raise _refused(fault.rule, fault.what, fault.remedy, where=fault.certificate)


def _fault(rule: str, where: str, what: str, remedy: str) -> CertificateFault:
    return CertificateFault(rule=rule, certificate=where, what=what, remedy=remedy)


def _refused(rule: str, what: str, remedy: str, *, where: str = "cacerts") -> Rejected:
    return Rejected(rule, what, subject=where, remedy=remedy)
