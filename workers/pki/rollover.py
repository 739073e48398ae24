"""The way of all clusters to the root that people want: one safe move after the other, one cluster at a time.

Trust before use, use before distrust:

1. A cluster may *sign* under a root only if every cluster that counts was seen to trust it.
2. A cluster may *distrust* a root only if nothing of any cluster that counts is under it.

Whatever isn't the target (bundle: the goal alone; signer: the goal) gets the next move that these allow, so a
rollover, its way back, an adoption, an emergency and the return of an excluded cluster are one machine. Knows the
state and the gates; knows no certificates and writes no documents.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Literal

from workers.pki import gates
from workers.pki.state import Member, State

Kind = Literal["enter", "trust", "sign", "distrust", "uncross"]
MESH: Final = "*"
"""Whom a wait is about that is about no single cluster."""


@dataclass(frozen=True, kw_only=True)
class Move:
    """What one cluster shall trust and sign under next. `uncross`: its chain loses the cross certificate."""

    kind: Kind
    cluster: str
    bundle: frozenset[str]
    signer: str


@dataclass(frozen=True, kw_only=True)
class Wait:
    """What the way waits for. `cluster`: who, or `*`."""

    cluster: str
    why: str


Decision = Move | Wait | None


def next_move(state: State) -> Decision:
    """The next move, or what it waits for; None: all clusters are where people want them."""
    if is_settled(state):
        return None
    for decide in _order(state):
        if (decision := decide(state)) is not None:
            return decision
    return None


def _order(state: State) -> tuple[Callable[[State], Decision], ...]:
    """Who joins comes first; what people pause is everything else."""
    if state.trust.paused:
        return (_enter, _paused)
    if distrusts_first(state):
        return (_enter, _return, _trust, _expel, _sign, _distrust, _uncross)
    return (_enter, _return, _trust, _sign, _distrust, _uncross)


def is_settled(state: State) -> bool:
    """Nothing is to be done."""
    goal = state.trust.root
    return all(
        member.bundle == {goal} and member.signer == goal and member.root in {"", goal} and not member.crossed
        for member in state.counted
    )


def distrusts_first(state: State) -> bool:
    """People rather break calls than trust a compromised root any longer: nobody waits for anybody."""
    return state.is_emergency and state.trust.distrust_first


def roots_of_interest(state: State) -> frozenset[str]:
    """The roots whose gates matter now; none where all is as people want it and nobody is about to join."""
    if is_settled(state) and all(member.is_born for member in state.counted):
        return frozenset()
    return frozenset(root for member in state.counted for root in member.bundle) | {state.trust.root}


def required(state: State, member: Member) -> frozenset[str]:
    """What a cluster must trust before anybody may go on: the goal, and with it what the others sign under.

    Others are those that trust the goal already, if there are any, and only roots count that all of these trust: what
    else is signed under is a straggler's, which catches up alone. So who trusts the goal is given nothing more, and
    nobody is given a compromised root or a foreign one.
    """
    goal = state.trust.root
    if goal in member.bundle:
        return frozenset({goal})
    others = [other for other in state.counted if other.is_born and other.name != member.name]
    ahead = [other for other in others if goal in other.bundle] or others
    common = frozenset.intersection(*(other.bundle for other in ahead)) if ahead else frozenset[str]()
    used = frozenset(root for other in others for root in other.uses)
    return frozenset({goal}) | ((common & used) - state.imported - frozenset(state.trust.compromised))


def may_sign(state: State, member: Member, root: str) -> str:
    """Rule 1, for one certificate: why it may not be given to the cluster now; empty: it may.

    One under the same root as the last asks nothing new of anybody.
    """
    if root == member.root:
        return ""
    if root not in member.bundle:
        return f"{member.name} isn't to trust root {root} itself yet"
    if member.is_born and state.trust.paused:
        return "people paused the rollover. `peermesh ca rollover resume` lets it go on."
    if member.is_born and not member.counts:
        return f"it is excluded. `peermesh ca include {member.name}` lets it catch up."
    if not member.is_live and (missing := required(state, member) - member.bundle):
        return f"{member.name} is to trust {', '.join(sorted(missing))} first, which others sign under"
    return "" if distrusts_first(state) else _nobody_lacks(state, root)


def _nobody_lacks(state: State, root: str) -> str:
    for other in state.live:
        if why := gates.trusted(other, root, state):
            return f"{other.name} must be seen to trust root {root} before anybody signs under it: {why}"
    return ""


# --- the moves, in their order


def _enter(state: State) -> Decision:
    """A cluster that joins trusts from the start what the others sign under, and signs under the goal."""
    for member in state.counted:
        if not member.bundle and not has_own_authority(member):
            return _move(state, member, "enter", required(state, member), sign=True)
    return None


def has_own_authority(member: Member) -> bool:
    """Whether a cluster that joins was seen to have a CA already: it must be imported, or its calls would break."""
    foreign = any(shown.roots and not shown.roots <= (member.bundle or frozenset()) for shown in member.sight.shown)
    return not member.is_born and (member.sight.self_signed or foreign)


def _return(state: State) -> Decision:
    """Taking back what hasn't happened yet needs no gate, and neither does who has nothing valid left: istiod takes no
    further root beside an intermediate that has expired, so a gate would wait for ever.
    """
    goal = state.trust.root
    for member in state.counted:
        if member.bundle and member.signer != goal and (member.root == goal or not member.is_live):
            return _move(state, member, "sign", member.bundle | required(state, member), sign=True)
    return None


def _trust(state: State) -> Decision:
    goal = state.trust.root
    for member in state.counted:
        missing = required(state, member) - member.bundle
        if member.bundle and missing:
            return _move(state, member, "trust", member.bundle | missing)
        if not member.is_live or distrusts_first(state):
            continue
        if why := gates.taken(member, goal, state):
            return Wait(cluster=member.name, why=f"to trust root {goal}: {why}")
    return None


def _sign(state: State) -> Decision:
    goal = state.trust.root
    for member in state.live:
        if member.signer != goal:
            return _begin_signing(state, member)
        if distrusts_first(state):
            continue
        if member.root != goal:
            return Wait(cluster=member.name, why=f"to sign under root {goal}: its new intermediate isn't on main yet")
        for root in sorted(member.bundle - {goal}):
            if why := gates.signed_off(member, root, state):
                return Wait(cluster=member.name, why=f"to sign under root {goal} alone: {why}")
    return None


def _begin_signing(state: State, member: Member) -> Decision:
    goal = state.trust.root
    if not distrusts_first(state):
        for name in state.left_alone:
            why = f"{name} is imported and would lose its calls: let it be looked after, `peermesh ca manage {name}`."
            return Wait(cluster=member.name, why=f"to sign under root {goal}: {why}")
        for other in state.live:
            if why := gates.trusted(other, goal, state):
                return Wait(cluster=other.name, why=f"to trust root {goal} before anybody signs under it: {why}")
    return _move(state, member, "sign", member.bundle, sign=True)


def _expel(state: State) -> Decision:
    """A compromised root goes where the cluster itself no longer stands under it: istiod refuses that, and a bundle
    that has nothing in common with the one before.
    """
    for member in state.counted:
        bad = member.bundle & frozenset(state.trust.compromised)
        if bad and not bad & member.uses and not gates.shows(member, state.trust.root):
            return _move(state, member, "distrust", member.bundle - bad)
    return None


def _distrust(state: State) -> Decision:
    goal = state.trust.root
    left = frozenset(root for member in state.counted for root in member.bundle) - {goal}
    for member in state.counted:
        if member.bundle - {goal}:
            return _begin_distrust(state, member)
        for root in sorted(left) if member.is_born else ():
            if why := gates.dropped(member, root, state):
                return Wait(cluster=member.name, why=f"to distrust root {root}: {why}")
    return None


def _begin_distrust(state: State, member: Member) -> Decision:
    goal = state.trust.root
    for root in sorted(member.bundle - {goal}):
        for other in state.counted:
            if root in other.uses:
                return Wait(cluster=other.name, why=f"to leave root {root}: it has an intermediate or a request there")
            if other.is_live and (why := gates.freed(other, root, state)):
                return Wait(cluster=other.name, why=f"to leave root {root} before anybody distrusts it: {why}")
    return _move(state, member, "distrust", frozenset({goal}))


def _uncross(state: State) -> Decision:
    for member in state.counted:
        if member.crossed and not member.wanted.approved:
            return _move(state, member, "uncross", member.bundle)
    return None


def _paused(state: State) -> Decision:  # noqa: ARG001 - it takes its turn among the others
    return Wait(cluster=MESH, why="people paused the rollover. `peermesh ca rollover resume` lets it go on.")


def _move(state: State, member: Member, kind: Kind, bundle: frozenset[str], *, sign: bool = False) -> Move:
    signer = state.trust.root if sign else member.signer
    return Move(kind=kind, cluster=member.name, bundle=bundle, signer=signer)
