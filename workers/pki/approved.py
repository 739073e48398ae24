"""What of main a signer may sign: the request of a cluster that stands there, held once more against everything.

Knows the documents of main and the certificates that one signer signs with. Knows no branch, no key, and not whether
something was signed before. A cluster's wishes end at its public key: all else follows from `mesh/` and the rotation.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Final

from cryptography.hazmat.primitives.asymmetric.types import CertificatePublicKeyTypes

from syncer.protocol.cacerts import Cacerts, cacerts_faults
from syncer.protocol.cacerts_rules import issued, trust_domain_fault
from syncer.protocol.certificates import (
    Certificate,
    CertificateFault,
    name_text,
    read_certificate,
    read_certificates,
    write_certificates,
)
from syncer.protocol.errors import HumanNeeded, Rejected
from workers.documents.strict import Name
from workers.documents.trust import (
    CertificateRequestSpec,
    ClusterStep,
    ClusterTrust,
    Intermediate,
    IntermediateSpec,
    MeshTrust,
    duration_of,
)
from workers.pki.issue import Template
from workers.pki.wanted import wanted
from workers.tree import Pki, Tree

LEVERS: Final = 1000
"""The most line breaks that a bundle is followed by; then they begin anew."""


@dataclass(frozen=True, kw_only=True)
class Issuing:
    """Whom a signer signs for: a root on main, by name, and its own certificates, the signing one first."""

    root: str
    certificate: Certificate
    issuers: tuple[Certificate, ...]

    @property
    def chain(self) -> tuple[Certificate, ...]:
        """What lies between an intermediate and the root."""
        return tuple(issuer for issuer in self.issuers if issuer != self.certificate)


@dataclass(frozen=True, kw_only=True)
class Approved:
    """A request on main that may be signed, and what is said of its certificate by others than the cluster."""

    cluster: str
    request: CertificateRequestSpec
    template: Template
    key_type: str
    trust: ClusterTrust
    sealing: str
    """The certificate that the key is sealed for, as PEM; empty: none stands on main."""


@dataclass(frozen=True, kw_only=True)
class Brought:
    """What a delivery brings: the key that is certified; its CRL and its private half, sealed, may be empty."""

    key: CertificatePublicKeyTypes
    crl: str = ""
    sealed: str = ""


def issuing(pki: Pki, issuers: tuple[Certificate, ...]) -> Issuing:
    """The root on main that a signer signs under.

    Raises:
        HumanNeeded: `NoRoot`: none of those on main; `ForeignIssuer`: main names other issuers for it, or imported it.
    """
    top = issuers[-1]
    for name, root in pki.roots.items():
        certificate = read_certificate(root.spec.certificate, subject=f"root {name}")
        if top != certificate and not issued(top, certificate):
            continue
        named = read_certificates(root.spec.issuers, subject=f"root {name}") if root.spec.issuers else (certificate,)
        if issuers[0] not in named or root.spec.imported:
            what = f"main doesn't name {name_text(issuers[0].subject)} as an issuer under the root {name}"
            remedy = f"Propose it in pki/roots/{name}.yaml, or give the signer an issuer that stands there."
            raise HumanNeeded("ForeignIssuer", what, subject="signer", remedy=remedy)
        return Issuing(root=name, certificate=certificate, issuers=issuers)
    known = ", ".join(pki.roots) or "there are none"
    what = f"{name_text(top.subject)} stands under none of the roots on main ({known})"
    raise HumanNeeded("NoRoot", what, subject="signer", remedy="`peermesh ca init-root` proposes a root.")


def approved(tree: Tree, cluster: str, signer: Issuing) -> Approved | None:
    """The request of a cluster that waits for this signer; None: none does. A number between may have been given up.

    Raises:
        Rejected: what stands there may not be signed: `Unmanaged`, `UnknownRoot`, `NotWanted`, `TrustDomain`.
    """
    pki, subject = tree.facts.pki, f"the request of {cluster}"
    document, mesh = pki.requests.get(cluster), tree.mesh.spec.trust
    if document is None or (request := document.spec).rotation <= _rotation(pki, cluster):
        return None
    if request.root != signer.root and request.root in pki.roots:
        return None
    known = tree.clusters.get(cluster)
    trust = known.spec.trust if known else None
    if mesh is None or known is None or trust is None:
        what = "peermesh doesn't manage the certificates of this cluster"
        raise Rejected("Unmanaged", what, subject=subject, remedy=f"Say spec.trust in mesh/clusters/{cluster}.yaml.")
    if request.root != signer.root:
        what = f"it is for the root {request.root}, which doesn't stand on main"
        raise Rejected("UnknownRoot", what, subject=subject, remedy=f"On main are {', '.join(pki.roots)}.")
    if not wanted(tree, cluster).approved:
        what = f"rotation {request.rotation} under the root {request.root} isn't wanted any more, or not yet"
        remedy = "Nothing is to be done: another request takes its place when one is wanted."
        raise Rejected("NotWanted", what, subject=subject, remedy=remedy)
    others = (one.spec.trust_domain for name, one in tree.clusters.items() if name != cluster)
    if (wrong := trust_domain_fault(known.spec.trust_domain, others)) is not None:
        remedy = "Give the cluster a trust domain that a name constraint can hold."
        raise Rejected("TrustDomain", wrong, subject=subject, remedy=remedy)
    sealing = pki.sealing.get(cluster)
    return Approved(
        cluster=cluster,
        request=request,
        template=_template(tree, mesh, cluster, request.rotation),
        key_type=mesh.intermediates.key,
        trust=trust,
        sealing=sealing.spec.certificate if sealing else "",
    )


def _rotation(pki: Pki, cluster: str) -> int:
    known = pki.intermediates.get(cluster)
    return known.spec.rotation if known else 0


def _template(tree: Tree, mesh: MeshTrust, cluster: str, rotation: int) -> Template:
    return Template(
        mesh=tree.mesh.metadata.name,
        cluster=cluster,
        trust_domain=tree.clusters[cluster].spec.trust_domain,
        rotation=rotation,
        lifetime=duration_of(mesh.intermediates.lifetime),
    )


def intermediate(
    tree: Tree, asked: Approved, signer: Issuing, brought: Brought, certificate: Certificate
) -> Intermediate:
    """The document of what was signed.

    The bundle is changed by a line break where all leaves must be renewed at once. A root that came after another one
    brings its cross certificate along, so that who trusts only the former accepts the leaves meanwhile.
    """
    before = tree.facts.pki.intermediates.get(asked.cluster)
    return Intermediate(
        metadata=Name(name=asked.cluster),
        spec=IntermediateSpec(
            rotation=asked.request.rotation,
            root=signer.root,
            certificate=write_certificates([certificate]),
            chain=write_certificates(signer.chain) + _cross_certificate(tree, asked.cluster, signer.root),
            lever=lever(asked.request, before.spec if before else None, tree.facts.pki.steps.get(asked.cluster)),
            crl=brought.crl,
            sealed=brought.sealed,
        ),
    )


def lever(request: CertificateRequestSpec, before: IntermediateSpec | None, step: ClusterStep | None) -> int:
    """How many line breaks follow the bundle of this rotation: one more where leaves under another CA must go.

    Those are leaves under a former root, under a compromised intermediate, and under the CA of an adopted cluster,
    whose root still stands in the bundle.
    """
    adopted = before is None and step is not None and step.bundle != (request.root,)
    moved = before is not None and before.root != request.root
    renews = adopted or moved or request.reason in ("compromised", "rollover")
    return ((before.lever if before else 0) + renews) % (LEVERS + 1)


def _cross_certificate(tree: Tree, cluster: str, root: str) -> str:
    """Of the root, by the one that the cluster signed under before, or that it still trusts beside it."""
    pki, trust = tree.facts.pki, tree.mesh.spec.trust
    before, step = pki.intermediates.get(cluster), pki.steps.get(cluster)
    former = {before.spec.root} if before else set()
    trusted = former | set(step.bundle if step else ())
    compromised = set(trust.compromised if trust else ())
    wanted = sorted(trusted - compromised - {root}, key=lambda name: (name not in former, name))
    signed = pki.roots[root].spec.cross_signed
    return next((signed[name] for name in wanted if name in signed), "")


def faults(
    document: Intermediate, root: Certificate, *, trust_domain: str, now: datetime
) -> tuple[CertificateFault, ...]:
    """Why istiod or Envoy would refuse it where this root is trusted."""
    spec = document.spec
    chain, roots = spec.certificate + spec.chain, write_certificates([root])
    cacerts = Cacerts(certificate=spec.certificate, chain=chain, roots=roots)
    return cacerts_faults(cacerts, trust_domain=trust_domain, now=now)
