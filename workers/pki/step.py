"""The trust state machine: from the tree and what was seen of the clusters to the next safe steps.

People order in `mesh/`, `pki/` says how far it is, and each step is a proposal. Pure: the clock and all that was
observed are arguments. What never happens, whatever is observed, lost or ordered:

- No certificate is handed out that doesn't answer a request on main.
- No cluster signs under a root that some cluster that counts wasn't seen to trust (unless people say
  `distrustFirst`), and none distrusts one that something of a cluster that counts is under.
- What isn't known opens no gate.

Knows documents and observed values. Knows no Git, no queue and no signer.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from syncer.protocol.errors import Rejected
from workers.documents.trust import ClusterTrust, MeshTrust
from workers.pki import gates, lists, rollover
from workers.pki.certificates import certificate_step
from workers.pki.orders import order_faults
from workers.pki.papers import PAPERS, Papers
from workers.pki.phases import phases_of
from workers.pki.proposing import Next, Phase, Refusal, Step, together
from workers.pki.requests import Asking, asked_keys, known_keys, own_authority, request_step
from workers.pki.revocations import crl_refusals
from workers.pki.sentences import proposed
from workers.pki.state import Member, Seen, State, state_of
from workers.pki.wanted import settings_of
from workers.tree import Tree

__all__ = ["Next", "Phase", "Seen", "Step", "next_step"]

_Said = tuple[str, object]
"""Whom a text is about, and the text."""


def next_step(tree: Tree, seen: Seen, now: datetime, *, papers: Papers = PAPERS) -> Next:
    """The steps that may be proposed now, and what everything else waits for.

    At most one step for each cluster (its request, or its certificate), and one for the way to another root.
    """
    trust = tree.mesh.spec.trust
    if trust is None:
        return Next()
    state = state_of(tree, trust, seen, now, papers)
    said: list[_Said] = []
    steps: list[Step] = []
    for found in (*_of_clusters(tree, trust, state, seen, papers), *_of_all(tree, trust, state, papers)):
        if isinstance(found, Step):
            steps.append(found)
        else:
            said.append(found)
    waiting: dict[str, str] = {}
    for name in sorted({name for name, _ in said}):
        waiting[name] = together(text for whom, text in said if whom == name)
    holding = gates.holding(state, sorted(rollover.roots_of_interest(state)))
    conditions = holding | lists.listing(tree, state) | _unseen(state)
    return Next(
        steps=tuple(steps),
        waiting=waiting,
        refused=frozenset((name, why.rule) for name, why in said if isinstance(why, Refusal)),
        conditions=conditions,
        phases=phases_of(tree, state, seen, waiting, conditions, papers),
    )


def _of_clusters(tree: Tree, trust: MeshTrust, state: State, seen: Seen, papers: Papers) -> Iterator[Step | _Said]:
    """Requests and certificates, cluster by cluster; one bad cluster never stops the others."""
    keys, asked = known_keys(tree, papers), asked_keys(seen.requests, papers)
    asking = Asking(tree=tree, trust=trust, state=state, papers=papers, keys=keys, asked=asked)
    for member in sorted(state.members, key=lambda member: member.name):
        settings = settings_of(tree, member.name)
        assert settings is not None, member.name
        found = _of_cluster(asking, member, settings, seen)
        if found is not None:
            yield (member.name, found) if isinstance(found, Refusal) else found
        if not isinstance(found, Step) and (note := _pending(member, seen)):
            yield member.name, note
        if why := _refused_there(member, state):
            yield member.name, why
    for name in sorted(seen.requests.keys() - {member.name for member in state.members}):
        what = "it asks for an intermediate, and its certificates aren't managed here"
        remedy = f"Look after it: `peermesh ca manage {name}`; or stop its agent."
        yield name, Refusal(rule="NotManaged", what=what, remedy=remedy)


def _of_cluster(asking: Asking, member: Member, settings: ClusterTrust, seen: Seen) -> Step | Refusal | None:
    signed, request = seen.signed.get(member.name), seen.requests.get(member.name)
    try:
        found = certificate_step(asking, member, signed) if signed is not None else None
        if isinstance(found, Step):
            return found
        asked = request_step(asking, member, settings, request)
    except Rejected as error:
        return Refusal(rule=error.reason, what=f"{error.subject}: {error.what}", remedy=error.remedy)
    return asked if asked is not None and not (found is not None and isinstance(asked, Refusal)) else found


def _of_all(tree: Tree, trust: MeshTrust, state: State, papers: Papers) -> Iterator[Step | _Said]:
    """The way to the root that people want."""
    for refusal in crl_refusals(tree, trust, state, papers):
        yield rollover.MESH, refusal
    for member in state.members:
        if not member.bundle and rollover.has_own_authority(member):
            what = "it has a CA already, so its workloads would lose each other"
            yield (
                member.name,
                own_authority(member, what),
            )
    if faults := order_faults(tree, trust, state.now, papers):
        yield from ((rollover.MESH, fault) for fault in faults)
        return
    decision = rollover.next_move(state)
    if isinstance(decision, rollover.Move):
        yield proposed(decision, tree, state, papers)
    elif decision is not None:
        yield decision.cluster, f"waits {decision.why}" if decision.cluster != rollover.MESH else decision.why


def _pending(member: Member, seen: Seen) -> str:
    """What its next intermediate waits for, where nothing is to be proposed."""
    wanted = member.wanted
    if wanted.approved:
        if member.name in seen.signed and seen.signed[member.name].spec.rotation == wanted.rotation:
            return ""
        return f"request {wanted.rotation} is approved; it waits for `peermesh signer`."
    request = seen.requests.get(member.name)
    if wanted.reason is not None and (request is None or request.rotation < wanted.rotation):
        return f"intermediate {wanted.rotation} is wanted ({wanted.reason}); it waits for its CA agent to ask."
    return ""


# --- what istiod refuses, it refuses in silence


def _unseen(state: State) -> frozenset[str]:
    """Written, and not seen: what is remembered since when, because only time tells a refusal."""
    return frozenset(gates.unseen(member) for member in state.members if _is_unseen(member))


def _is_unseen(member: Member) -> bool:
    """Its agent wrote bundle and intermediate, and what is seen there is another."""
    sight = member.sight
    if sight.blind or not gates.is_written(member):
        return False
    return any(shown.roots != member.bundle for shown in sight.shown) or (
        member.rotation > 0 and any(not istiod.newest and not istiod.error for istiod in sight.istiods)
    )


def _refused_there(member: Member, state: State) -> str:
    agent = member.sight.agent
    if agent is not None and agent.restored and not member.sight.blind:
        return str(
            Refusal(
                rule="Restored",
                what=f"its agent has put the previous state back: {agent.trouble or 'istiod refused the new one'}",
                remedy="Mend the cause, then restart istiod.",
            )
        )
    lasted = state.lasted(gates.unseen(member)) if _is_unseen(member) else None
    if lasted is None or lasted < gates.KUBELETS or (member.sight.self_signed and agent is not None and agent.trouble):
        return ""  # an istiod that made its root itself doesn't look before it is restarted, which its agent says
    roots = "+".join(sorted(member.bundle))
    what = f"roots {roots} and intermediate {member.rotation} are written, and istiod shows others"
    remedy = (
        "istiod refuses in silence: is ISTIO_MULTIROOT_MESH=true set, do the old and the new bundle overlap, is no file"
        " of `cacerts` missing? Look for `Updating new ROOT-CA not supported` in its log before it restarts."
    )
    return str(Refusal(rule="RefusedByIstiod", what=what, remedy=remedy))
