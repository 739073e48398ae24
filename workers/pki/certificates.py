"""Which signed intermediate goes to its cluster, and why another one doesn't.

Holds what the signer handed in against the approved request, against everything that istiod or Envoy would refuse, and
against the rule that nobody signs under a root that somebody doesn't trust. Believes the signer nothing.
"""

from __future__ import annotations

from msgspec import structs

from syncer.protocol.errors import Rejected
from workers.documents import paths
from workers.documents.kinds import ProposalClass
from workers.documents.trust import CertificateRequest, CertificateRequestSpec, Intermediate
from workers.pki import approved, lists, rollover
from workers.pki.papers import Paper
from workers.pki.proposing import Refusal, Step
from workers.pki.requests import Asking
from workers.pki.state import Member

_AGAIN = "The signer signs each rotation once: `peermesh ca request-rotation {}` orders the next."


def certificate_step(asking: Asking, member: Member, signed: Intermediate) -> Step | Refusal | None:
    """The proposal of a signed intermediate; a refusal; or None: it is on main, or older."""
    name, spec = member.name, signed.spec
    standing = asking.tree.facts.pki.intermediates.get(name)
    if standing is not None and spec.rotation <= standing.spec.rotation:
        return None
    request = asking.tree.facts.pki.requests.get(name)
    if request is not None and spec.rotation < request.spec.rotation:
        return None  # it was approved, and another one since
    if request is None or request.spec.rotation != spec.rotation:
        what = f"rotation {spec.rotation} was signed, and no request for it stands on main"
        return Refusal(rule="NotApproved", what=what, remedy="Look at the signer: it must sign what stands on main.")
    try:
        refusal = _unwanted(member, signed, request) or _wrong(asking, member, signed, request)
    except Rejected as error:
        refusal = Refusal(rule=error.reason, what=f"{error.subject}: {error.what}", remedy=error.remedy)
    if refusal is None and (why := rollover.may_sign(asking.state, member, spec.root)):
        refusal = Refusal(rule="TooEarly", what=f"its certificate under root {spec.root} waits: {why}")
    # A list that the signer makes, for a key that it seals, can't go out before its certificate does.
    if refusal is None and request.spec.csr and (why := lists.unlisted(asking.tree, asking.state, spec.crl)):
        refusal = Refusal(rule="TooEarly", what=f"its certificate waits: {why}")
    return refusal or _step(member, _with_former(signed, standing), request)


def _with_former(signed: Intermediate, standing: Intermediate | None) -> Intermediate:
    """With the lists of those before it, which the signer knows nothing of."""
    former = lists.former_crls(standing.spec if standing else None)
    return structs.replace(signed, spec=structs.replace(signed.spec, former_crls=former))


def _unwanted(member: Member, signed: Intermediate, request: CertificateRequest) -> Refusal | None:
    """Whether it is of this cluster and root, and still wanted."""
    name, spec = member.name, signed.spec
    if signed.metadata.name != name or spec.root != request.spec.root:
        what = f"it is of {signed.metadata.name} under root {spec.root}, not of {name} under {request.spec.root}"
        return Refusal(rule="NotAsRequested", what=what, remedy=_AGAIN.format(name))
    if not member.wanted.approved:
        what = f"rotation {spec.rotation} under root {spec.root} isn't wanted any more"
        return Refusal(rule="NotWanted", what=what, remedy="Nothing is to be done: the next rotation takes its place.")
    return None


def _wrong(asking: Asking, member: Member, signed: Intermediate, request: CertificateRequest) -> Refusal | None:
    """What of the content differs from the request, or would be refused in the cluster."""
    spec, name = signed.spec, member.name
    (signer,) = asking.papers.certificates(spec.certificate)[:1] or (None,)
    if signer is None:
        return Refusal(rule="NoCertificate", what="there is no certificate in it", remedy=_AGAIN.format(name))
    if (refusal := _answers(signer, signed, request.spec)) is not None:
        return refusal
    lever = _lever(asking, member, request)
    # That of a cluster's first one may have been due when it was signed: what was trusted beside its root went since.
    if spec.lever < lever or (member.root and spec.lever != lever):
        what = f"its lever is {spec.lever}, and {lever} is due" + (
            ": all leaves must be renewed with it" if spec.lever < lever else ""
        )
        return Refusal(rule="WrongLever", what=what, remedy=_AGAIN.format(name))
    if bad := _vouched_by_compromised(asking, spec.chain):
        what = f"its chain holds a certificate by {bad}, which is compromised"
        return Refusal(rule="CompromisedChain", what=what, remedy=_AGAIN.format(name))
    if asking.trust.crls and not spec.crl:
        return Refusal(
            rule="NoCrl", what="it brings no CRL, and `spec.trust.crls` wants one", remedy=_AGAIN.format(name)
        )
    faults = asking.papers.cacerts_faults(
        spec.certificate,
        chain=spec.chain,
        roots=_bundle(asking, member),
        trust_domain=asking.tree.clusters[name].spec.trust_domain,
        now=asking.state.now,
    )
    return Refusal(rule="BadCertificate", what="; ".join(faults), remedy=_AGAIN.format(name)) if faults else None


def _lever(asking: Asking, member: Member, request: CertificateRequest) -> int:
    pki = asking.tree.facts.pki
    standing = pki.intermediates.get(member.name)
    return approved.lever(request.spec, standing.spec if standing else None, pki.steps.get(member.name))


def _answers(signer: Paper, signed: Intermediate, request: CertificateRequestSpec) -> Refusal | None:
    """Whether it is for the key that was approved."""
    again = _AGAIN.format(signed.metadata.name)
    if request.csr and (signed.spec.sealed or signer.key != request.key_fingerprint):
        what = f"it is for key {signer.key}, and {request.key_fingerprint} was approved"
        return Refusal(rule="ForeignKey", what=what, remedy=again)
    if not request.csr and not signed.spec.sealed:
        return Refusal(rule="NotSealed", what="its key isn't sealed in it", remedy=again)
    if request.csr and signed.spec.crl != request.crl:
        return Refusal(rule="ForeignCrl", what="its CRL isn't the one that the request brought", remedy=again)
    return None


def _vouched_by_compromised(asking: Asking, chain: str) -> str:
    roots = asking.tree.facts.pki.roots
    bad = {
        paper.subject: name
        for name in asking.trust.compromised
        if name in roots
        for paper in asking.papers.certificates(roots[name].spec.certificate)
    }
    return next((bad[paper.issuer] for paper in asking.papers.certificates(chain) if paper.issuer in bad), "")


def _bundle(asking: Asking, member: Member) -> str:
    roots = asking.tree.facts.pki.roots
    return "".join(roots[name].spec.certificate for name in sorted(member.bundle) if name in roots)


def _step(member: Member, signed: Intermediate, request: CertificateRequest) -> Step:
    name, spec = member.name, signed.spec
    turns = member.is_born and spec.root != member.root
    classes: tuple[ProposalClass, ...] = ("renewal", "rollover") if turns else ("renewal",)
    at_once = "All its workloads get new certificates at once, which is a stampede of a few seconds."
    slowly = "Its workloads get certificates under it as theirs are renewed; until then the old one goes on."
    return Step(
        branch=paths.certificate_branch(name),
        classes=classes,
        facts={paths.intermediate_path(name): signed},
        title=f"Give {name} intermediate {spec.rotation} under root {spec.root}",
        sentences=(
            f"{name} signs with intermediate {spec.rotation} under root {spec.root}: it answers the request on main.",
            *((f"Every cluster that counts was seen to trust root {spec.root}.",) if turns else ()),
            at_once if turns or request.spec.reason == "compromised" else slowly,
            f"To take it back, order another one: `peermesh ca request-rotation {name}`"
            + (", or take the rollover back: `peermesh ca rollover back`." if turns else "."),
        ),
    )
