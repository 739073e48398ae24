"""How far each cluster is, in one or two words, for `peermesh ca status`.

Derived from the state each time and written nowhere. Decides nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from typing import Final

from workers.pki import gates
from workers.pki.due import dates
from workers.pki.papers import Papers, first
from workers.pki.proposing import Lasting, Phase
from workers.pki.state import Member, Seen, State
from workers.tree import Tree

_TRUSTS: Final = {
    "trusts": "seen to trust root {}",
    "takes": "what follows live trusts root {}",
    "shows": "its namespaces show root {}",
}
_LEFT: Final = {
    "free-of": "nothing is seen under root {}",
    "signs-off": "what follows live isn't under root {}",
    "issues-off": "no istiod signs under root {}",
}
"""Gates for people; the first of them that is open says what the others say."""


def phases_of(
    tree: Tree, state: State, seen: Seen, waiting: Mapping[str, str], conditions: Iterable[str], papers: Papers
) -> Mapping[str, Phase]:
    """The phase of each managed cluster, by name. `conditions`: what holds now, as `Next` has them."""
    held = {name: state.since[name] for name in conditions if name in state.since}
    return {
        member.name: _phase(tree, state, member, seen, papers, waits=waiting.get(member.name, ""), held=held)
        for member in sorted(state.members, key=lambda member: member.name)
    }


def _phase(
    tree: Tree,
    state: State,
    member: Member,
    seen: Seen,
    papers: Papers,
    *,
    waits: str,
    held: Mapping[str, datetime],
) -> Phase:
    standing = tree.facts.pki.intermediates.get(member.name)
    signer = first(papers, standing.spec.certificate) if standing else None
    found = dates(tree, member.name, papers=papers)
    return Phase(
        name=_named(state, member, seen),
        bundle=tuple(sorted(member.bundle)),
        signer=member.signer,
        root=member.root or ", ".join(sorted(member.adopted)),
        rotation=standing.spec.rotation if standing else 0,
        wanted=member.wanted.rotation,
        issuer=signer.subject if signer else "",
        expires=found.ends if found else None,
        renews=found.renews if found else None,
        lasting=tuple(_lasting(member, state.trust.root, held)),
        waits=waits,
        alarm=found.alarm(state.now) if found else "",
    )


def _lasting(member: Member, goal: str, held: Mapping[str, datetime]) -> Iterator[Lasting]:
    """The widest gate that is open of the root that is wanted, and of each that it shall leave."""
    wanted = ((_TRUSTS, root) for root in sorted(member.bundle & {goal}))
    left = ((_LEFT, root) for root in sorted(member.bundle - {goal}))
    for gates_of, root in (*wanted, *left):
        for gate, what in gates_of.items():
            if (since := held.get(gates.condition(member, gate, root))) is not None:
                yield Lasting(what=what.format(root), since=since)
                break
    if (since := held.get(gates.unseen(member))) is not None:
        yield Lasting(what="what its agent wrote isn't what is seen there", since=since)


def _named(state: State, member: Member, seen: Seen) -> str:
    if not member.counts:
        return "excluded"
    if not member.bundle:
        return "joins"
    return _rotating(member, seen) or _rolling(state, member)


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


def _rolling(state: State, member: Member) -> str:
    """How far it is on the way to the root that people want."""
    goal = state.trust.root
    if member.bundle == {goal} and member.root in {"", goal}:
        left = sorted(frozenset(root for shown in member.sight.shown for root in shown.roots) - {goal})
        return "distrusts" if left and not member.sight.blind else "steady"
    if member.adopted and goal not in member.bundle:
        return "adopted"
    if member.root == goal:
        return f"signs under {goal}"
    if goal in member.bundle:
        return f"trusts {'+'.join(sorted(member.bundle))}"
    return "waits for its turn"
