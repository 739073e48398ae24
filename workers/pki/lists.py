"""Which CRLs every cluster gets: those of all CAs that anybody's leaf may stand under, now, next, or still.

Envoy refuses a chain as soon as one CA in it has no list, so a list goes out before its CA signs, and stays for as long
as leaves under a former CA live. Knows the documents of `pki/` and what was seen; makes no list (`workers.pki.crl`).
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from typing import Final

from cryptography import x509

from syncer.protocol.certificates import read_certificates
from syncer.protocol.errors import Rejected
from syncer.protocol.revocation import crl_faults, listers, read_crls, write_crls
from workers.documents.trust import IntermediateSpec, duration_of
from workers.pki import gates
from workers.pki.crl import crl_bundle
from workers.pki.rollover import distrusts_first
from workers.pki.state import FRESH, Member, State
from workers.pki.wanted import settings_of
from workers.tree import Pki, Tree

FORMER: Final = 3
"""Intermediates before the present one whose lists stay. A leaf lives for a day, and intermediates for weeks: only
orders can come so quickly after each other that leaves are under more than one former one."""
_ABSENT: Final = frozenset({"CrlMissing", "CrlSignature", "CrlTwice"})
"""What no clock mends, and what stops every connection (`syncer.protocol.revocation`)."""


def mesh_crls(pki: Pki) -> str:
    """`ca-crl.pem`: the lists of all CAs of all clusters; empty as long as one of them lacks its own.

    A CA without a list stops every new connection (`unable_to_get_certificate_CRL`), so it is all of them or none.
    """
    used = sorted({name for step in pki.steps.values() for name in step.bundle} & pki.roots.keys())
    roots = [pki.roots[name].spec for name in used]
    intermediates = [one.spec for one in pki.intermediates.values()]
    lists = [*(root.crl for root in roots), *(one.crl for one in intermediates)]
    authorities = [text for root in roots for text in (root.certificate, root.issuers)]
    others = [*(one.former_crls for one in intermediates), *_next(pki)]
    return _complete(tuple(lists), (*authorities, *(one.certificate for one in intermediates)), tuple(others))


def _next(pki: Pki) -> Iterator[str]:
    """Lists of intermediates that are approved and may be signed any time now."""
    for name, request in pki.requests.items():
        standing = pki.intermediates.get(name)
        if standing is None or request.spec.rotation > standing.spec.rotation:
            yield request.spec.crl


@lru_cache(maxsize=8)
def _complete(lists: tuple[str, ...], authorities: tuple[str, ...], others: tuple[str, ...]) -> str:
    try:
        crls = read_crls(crl_bundle(lists), subject="pki")
        known = [found for text in authorities if text for found in read_certificates(text, subject="pki")]
        together = crl_bundle((*lists, *others))
    except Rejected:
        return ""
    begins = max((crl.last_update_utc for crl in crls), default=None)
    if begins is None or any(fault.rule in _ABSENT for fault in crl_faults(crls, known, now=begins)):
        return ""
    return together


def former_crls(before: IntermediateSpec | None) -> str:
    """The lists that stay when another intermediate follows this one: its own, and those of the last before it."""
    if before is None:
        return ""
    try:
        lists = [crl for text in (before.crl, before.former_crls) for crl in read_crls(text, subject="pki")]
    except Rejected:
        return ""  # told where that document is read
    return write_crls(sorted(lists, key=_age, reverse=True)[:FORMER])


def _age(crl: x509.CertificateRevocationList) -> tuple[float, str]:
    return crl.last_update_utc.timestamp(), crl.issuer.rfc4514_string()


# --- the gate


def unlisted(tree: Tree, state: State, crl: str) -> str:
    """Why the CA of this list may not sign yet: workloads of a cluster that lacks it would refuse its leaves."""
    if not _go_out(tree, state):
        return ""
    for member in state.live:
        for lister in listers(crl):
            if why := _waits(tree, member, lister, state):
                return f"{member.name} must be seen to have its CRL before anybody signs with it: {why}"
    return ""


def listing(tree: Tree, state: State) -> frozenset[str]:
    """The conditions that hold now, to be remembered since when: which clusters have the lists of those to come."""
    coming = [lister for text in _next(tree.facts.pki) for lister in listers(text)] if state.trust.crls else []
    return frozenset(
        gates.condition(member, "lists", lister)
        for member in state.live
        for lister in coming
        if not _lacks(tree, member, lister)
    )


def _go_out(tree: Tree, state: State) -> bool:
    return state.trust.crls and not distrusts_first(state) and bool(mesh_crls(tree.facts.pki))


def _waits(tree: Tree, member: Member, lister: str, state: State) -> str:
    """What istiod publishes is not yet what a pod has: the kubelet brings it, and nothing shows that it did."""
    if why := _lacks(tree, member, lister):
        return why
    soak = duration_of(state.trust.soak)  # in an emergency, too: no handshake shows which lists a workload has
    soak = max(soak, FRESH) if _is_silent(tree, member) else soak
    return gates.lacking(member, "lists", lister, state, soak)


def _lacks(tree: Tree, member: Member, lister: str) -> str:
    if member.sight.blind:
        return f"{member.sight.blind}. {gates.SILENT.format(member.name)}"
    agent = member.sight.agent
    if _is_silent(tree, member) or (agent is not None and lister in agent.crls):
        return ""
    said = f"Its agent says: {agent.trouble}." if agent is not None and agent.trouble else "Is it of this version?"
    return f"its agent hasn't told of it yet. {said}"


def _is_silent(tree: Tree, member: Member) -> bool:
    """Nobody in a cluster without an agent says which lists it has. So it is given time."""
    settings = settings_of(tree, member.name)
    return settings is not None and settings.delivery == "sealed-secrets"
