"""How far each cluster is, in one or two words, for `peermesh ca status`.

Derived from the state each time and written nowhere. Decides nothing.
"""

from __future__ import annotations

from collections.abc import Mapping

from workers.pki import gates
from workers.pki.due import dates
from workers.pki.papers import Papers, first
from workers.pki.proposing import Phase
from workers.pki.state import Member, Seen, State
from workers.tree import Tree


def phases_of(tree: Tree, state: State, seen: Seen, waiting: Mapping[str, str], papers: Papers) -> Mapping[str, Phase]:
    """The phase of each managed cluster, by name."""
    return {
        member.name: _phase(tree, state, member, seen, waiting.get(member.name, ""), papers)
        for member in sorted(state.members, key=lambda member: member.name)
    }


def _phase(tree: Tree, state: State, member: Member, seen: Seen, waits: str, papers: Papers) -> Phase:
    standing = tree.facts.pki.intermediates.get(member.name)
    signer = first(papers, standing.spec.certificate) if standing else None
    found = dates(tree, member.name, papers=papers)
    name, since = _named(state, member, seen)
    return Phase(
        name=name,
        bundle=tuple(sorted(member.bundle)),
        signer=member.signer,
        root=member.root or ", ".join(sorted(member.adopted)),
        rotation=standing.spec.rotation if standing else 0,
        wanted=member.wanted.rotation,
        issuer=signer.subject if signer else "",
        expires=found.ends if found else None,
        renews=found.renews if found else None,
        since=state.since.get(since) if since else None,
        waits=waits,
        alarm=found.alarm(state.now) if found else "",
    )


def _named(state: State, member: Member, seen: Seen) -> tuple[str, str]:
    """The name of the phase, and the condition since when it is so (empty: it isn't remembered)."""
    if not member.counts:
        return "excluded", ""
    if not member.bundle:
        return "joins", ""
    if rotating := _rotating(member, seen):
        return rotating, ""
    return _rolling(state, member)


def _rotating(member: Member, seen: Seen) -> str:
    """How far its next intermediate is."""
    wanted, handed = member.wanted, seen.signed.get(member.name)
    if wanted.approved:
        return "signed" if handed is not None and handed.spec.rotation == wanted.rotation else "approved"
    if wanted.reason is not None:
        request = seen.requests.get(member.name)
        return "asked" if request is not None and request.rotation == wanted.rotation else "due"
    if member.root and not member.sight.blind and not all(istiod.newest for istiod in member.sight.istiods):
        return "delivered"
    return ""


def _rolling(state: State, member: Member) -> tuple[str, str]:
    """How far it is on the way to the root that people want."""
    goal = state.trust.root
    if member.bundle == {goal} and member.root in {"", goal}:
        left = sorted(frozenset(root for shown in member.sight.shown for root in shown.roots) - {goal})
        return "distrusts" if left and not member.sight.blind else "steady", ""
    if member.adopted and goal not in member.bundle:
        return "adopted", ""
    if member.root == goal:
        old = sorted(member.bundle - {goal})
        return f"signs under {goal}", gates.condition(member, "signs-off", old[0]) if old else ""
    if goal in member.bundle:
        return f"trusts {'+'.join(sorted(member.bundle))}", gates.condition(member, "trusts", goal)
    return "waits for its turn", ""
