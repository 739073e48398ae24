"""Which request of a cluster is brought before people, and why another one isn't.

Approve, then sign: what becomes a file here is all that a signer will ever look at. Knows one cluster's request and
the tree; knows nothing of what proxies trust: that is asked before the certificate is handed out.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from syncer.protocol.errors import Rejected
from syncer.protocol.request import SignRequest
from workers.documents import paths
from workers.documents.kinds import ProposalClass
from workers.documents.strict import Name
from workers.documents.trust import CertificateRequest, CertificateRequestSpec, ClusterTrust, MeshTrust
from workers.pki.papers import Papers, first, readable
from workers.pki.proposing import Refusal, Step
from workers.pki.rollover import has_own_authority
from workers.pki.state import Member, State
from workers.tree import Tree

_SUSPECT = "The agent never sends this: look at who holds its key (`spec.trust.agent` in mesh/clusters/{}.yaml)."


@dataclass(frozen=True, kw_only=True)
class Asking:
    """What requests are held against. `keys`: whose each public key is that stands in the tree; `asked`: which clusters
    ask with it now: two that share one could sign for each other.
    """

    tree: Tree
    trust: MeshTrust
    state: State
    papers: Papers
    keys: Mapping[str, str]
    asked: Mapping[str, Collection[str]]


def known_keys(tree: Tree, papers: Papers) -> Mapping[str, str]:
    """Fingerprints of the public keys that stand in the tree, and where."""
    pki = tree.facts.pki
    found: dict[str, str] = {}
    texts = [(paths.root_path(name), text) for name, root in pki.roots.items()
             for text in (root.spec.certificate, root.spec.issuers)]  # fmt: skip
    texts += [(paths.intermediate_path(name), one.spec.certificate) for name, one in pki.intermediates.items()]
    for path, text in texts:
        for paper in readable(papers, text):
            found.setdefault(paper.key, path)
    for name, request in pki.requests.items():
        found.setdefault(request.spec.key_fingerprint, paths.request_path(name))
    return found


def asked_keys(requests: Mapping[str, SignRequest], papers: Papers) -> Mapping[str, Collection[str]]:
    """Clusters by the public key that they ask with, as far as that can be read."""
    found: dict[str, set[str]] = {}
    for name, request in requests.items():
        try:
            found.setdefault(papers.requested_key(request), set()).add(name)
        except Rejected:
            continue  # told where it is held against the rules
    return found


def own_authority(member: Member, what: str) -> Refusal:
    """A cluster that has a CA already isn't taken in before that is imported."""
    remedy = f"Adopt it: `peermesh ca import {member.name} --root FILE`."
    return Refusal(rule="OwnAuthority", what=what, remedy=remedy)


def request_step(
    asking: Asking, member: Member, settings: ClusterTrust, request: SignRequest | None
) -> Step | Refusal | None:
    """The proposal of a cluster's request; a refusal; or None: nothing is asked for that isn't settled."""
    if fault := asking.papers.trust_domain_fault(asking.tree.clusters[member.name].spec.trust_domain):
        return Refusal(rule="TrustDomain", what=fault, remedy="Give the mesh a trust domain that is a DNS name.")
    if not member.root and has_own_authority(member):
        what = "its workloads trust another root already, so they would lose each other"
        return own_authority(member, what)
    if settings.delivery == "sealed-secrets":
        return _sealed(asking, member, settings)
    if request is None:
        return None
    return _asked(asking, member, request)


def _asked(asking: Asking, member: Member, request: SignRequest) -> Step | Refusal | None:
    if faults := _request_faults(asking, member, request):
        return Refusal(rule="BadRequest", what="; ".join(faults), remedy=_SUSPECT.format(member.name))
    key = asking.papers.requested_key(request)
    standing = asking.tree.facts.pki.intermediates.get(member.name)
    signer = first(asking.papers, standing.spec.certificate) if standing else None
    has = (standing.spec.rotation, signer.key) if standing is not None and signer is not None else (0, "")
    last = asking.tree.facts.pki.requests.get(member.name)
    approved = (last.spec.rotation, last.spec.key_fingerprint) if last is not None else (0, "")
    if (request.rotation, key) in {has, approved}:
        return None
    refusal = (
        _repeated(member, request, has=has[0], approved=approved[0])
        or _unwanted(member, request)
        or _unfit(asking, member, request, key)
    )
    if refusal is not None:
        return refusal
    by_itself = (
        asking.trust.renewal_requests == "approved"
        and request.reason == member.wanted.reason == "renewal"
        and signer is not None
        and asking.papers.proof_holds(request, signer.text)
    )
    spec = CertificateRequestSpec(
        rotation=request.rotation,
        reason=request.reason,  # type: ignore[arg-type]
        root=member.wanted.root,
        key_fingerprint=key,
        csr=request.csr,
        crl=request.crl,
    )
    return _step(member, spec, by_itself=by_itself)


def _repeated(member: Member, request: SignRequest, *, has: int, approved: int) -> Refusal | None:
    """A number that is used, for another key."""
    if request.rotation <= has:
        what = f"it asks for rotation {request.rotation}, and has {has}: an old request, or one for another key"
        return Refusal(rule="Replayed", what=what, remedy=_SUSPECT.format(member.name))
    if request.rotation == approved:
        what = f"rotation {request.rotation} is approved for another key than it asks with now"
        remedy = f"If its agent has lost that key, order the next: `peermesh ca request-rotation {member.name}`."
        return Refusal(rule="AnotherKey", what=what, remedy=remedy)
    return None


def _unfit(asking: Asking, member: Member, request: SignRequest, key: str) -> Refusal | None:
    others = sorted(set(asking.asked.get(key, ())) - {member.name})
    if known := asking.keys.get(key) or (f"the request of {others[0]}" if others else ""):
        what = f"its key is known from {known}, and each intermediate has a key of its own"
        return Refusal(rule="ReusedKey", what=what, remedy=_SUSPECT.format(member.name))
    if asking.trust.crls and not request.crl:
        what = "it brings no CRL, and `spec.trust.crls` wants one"
        return Refusal(rule="NoCrl", what=what, remedy="Upgrade its agent.")
    return None


def _request_faults(asking: Asking, member: Member, request: SignRequest) -> tuple[str, ...]:
    key_type = asking.trust.intermediates.key
    mesh = asking.tree.mesh.metadata.name
    return asking.papers.request_faults(request, cluster=member.name, mesh=mesh, key_type=key_type)


def _unwanted(member: Member, request: SignRequest) -> Refusal | None:
    """Whether exactly this rotation is wanted, for this reason."""
    wanted = member.wanted
    if not member.bundle:
        remedy = "Approve the step that lets it join."
        return Refusal(rule="NotJoined", what="it asks before it has joined", remedy=remedy)
    if wanted.reason is None:
        what = f"it asks for rotation {request.rotation}, and nothing is due or ordered"
        return Refusal(rule="NotDue", what=what, remedy=f"Order it: `peermesh ca request-rotation {member.name}`.")
    if wanted.approved or request.rotation != wanted.rotation:
        what = f"it asks for rotation {request.rotation}, and {wanted.rotation} is wanted"
        remedy = "Its agent asks again once its sync unit `ca` is applied."
        return Refusal(rule="WrongRotation", what=what, remedy=remedy)
    if not wanted.fits(request.reason):
        what = f"its reason is {request.reason}, and it is {wanted.reason} that is wanted"
        remedy = "Its agent asks again once its sync unit `ca` is applied."
        return Refusal(rule="WrongReason", what=what, remedy=remedy)
    return None


def _sealed(asking: Asking, member: Member, settings: ClusterTrust) -> Step | Refusal | None:
    """With sealed-secrets nobody asks: what is wanted is brought before people by itself."""
    wanted, name = member.wanted, member.name
    if wanted.reason is None or wanted.approved:
        return None
    document = asking.tree.facts.pki.sealing.get(name)
    if document is None or settings.sealing is None:
        what = f"there is no {paths.sealing_path(name)}, or it isn't pinned by `spec.trust.sealing`"
        remedy = f"`peermesh ca manage {name} --sealing-certificate FILE` brings and pins the controller's."
        return Refusal(rule="NoSealingCertificate", what=what, remedy=remedy)
    try:
        paper = asking.papers.sealing(document.spec.certificate)
    except Rejected as error:
        return Refusal(rule="BadSealingCertificate", what=error.what, remedy=error.remedy)
    if paper.fingerprint != settings.sealing:
        what = f"{paths.sealing_path(name)} isn't the certificate that mesh/clusters/{name}.yaml pins"
        remedy = "Look at which of the two is the controller's, and commit the other anew."
        return Refusal(rule="ForeignSealingCertificate", what=what, remedy=remedy)
    if paper.ends <= asking.state.now:
        what = f"its sealing certificate ended at {paper.ends:%Y-%m-%d}, so nothing may be sealed for it"
        remedy = "Renew it in the cluster's controller, then bring and pin it here."
        return Refusal(rule="ExpiredSealingCertificate", what=what, remedy=remedy)
    by_itself = asking.trust.renewal_requests == "approved" and wanted.reason == "renewal"
    spec = CertificateRequestSpec(
        rotation=wanted.rotation, reason=wanted.reason, root=wanted.root, key_fingerprint=settings.sealing
    )
    return _step(member, spec, by_itself=by_itself)


def _step(member: Member, spec: CertificateRequestSpec, *, by_itself: bool) -> Step:
    name = member.name
    classes: tuple[ProposalClass, ...] = ("renewal",) if by_itself else ("request",)
    path = paths.request_path(name)
    whose = "the key that it asks with" if spec.csr else "the sealing certificate"
    return Step(
        branch=paths.request_branch(name),
        classes=classes,
        facts={path: CertificateRequest(metadata=Name(name=name), spec=spec)},
        title=f"Request intermediate {spec.rotation} of {name} under root {spec.root}",
        sentences=(
            f"{name} shall sign with a new intermediate, rotation {spec.rotation}, under root {spec.root}.",
            f"Why: {_WHY[spec.reason]}.",
            f"Fingerprint of {whose}: {spec.key_fingerprint}. Compare it with what its agent logs.",
            *(("`renewalRequests: approved` lets it pass: nobody is asked again.",) if by_itself else ()),
            "Once this is on main the signer signs exactly this, once. Clusters change when its certificate follows.",
            "To take it back, revert the merge before that.",
        ),
    )


_WHY: Mapping[str, str] = {
    "first": "it has none yet",
    "renewal": "the present one is due",
    "ordered": "people ordered it",
    "compromised": "people say that the present one is compromised; all leaves are renewed with it",
    "rollover": "it is its turn in the rollover; all leaves are renewed with it",
}
