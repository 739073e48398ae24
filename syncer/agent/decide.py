"""What the agent does next: pure, of what Git says, what stands in `cacerts`, what istiod shows, what was kept, now.

One action at a time, so that it may die between any two: whatever it finds then leads to the same end. The order keeps
the old state whole: a key is kept before a certificate is asked for it, the previous content before it is replaced, and
that it is being put back before it is.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final

from msgspec.structs import replace as replaced

from syncer.agent.admission import target
from syncer.agent.committed import Committed
from syncer.agent.content import Content, Standing
from syncer.agent.kept import Change, Kept, Refused
from syncer.agent.sight import Outcome, Sight, astray, unread, verdict
from syncer.observe import next_sequence
from syncer.protocol.cacerts import CRL
from syncer.protocol.errors import Rejected
from syncer.protocol.revocation import listers
from syncer.protocol.trust import ObservedAgent


@dataclass(frozen=True, kw_only=True)
class Terms:
    """What the agent is told at its start. `patience`: how long istiod may take; `heartbeat`: between two requests."""

    mesh: str
    cluster: str
    trust_domain: str
    patience: timedelta = timedelta(seconds=120)
    heartbeat: timedelta = timedelta(seconds=300)


@dataclass(frozen=True, kw_only=True)
class Sent:
    """The last request. `failed`: why the broker didn't take it; then `at` is such that the next try comes sooner."""

    rotation: int
    at: datetime
    failed: str = ""


@dataclass(frozen=True, kw_only=True)
class View:
    """All that was read. `committed`: None where it isn't there or can't be read, `unreadable` says why.
    `standing`: None: there is no `cacerts`. `self_signed`: root and key of an istiod that may be adopted.
    """

    committed: Committed | None
    standing: Standing | None
    kept: Kept
    sight: Sight
    unreadable: str = ""
    self_signed: Content | None = None
    sent: Sent | None = None


@dataclass(frozen=True, kw_only=True)
class MakeKey:
    """Make a key for this rotation, and keep it with this."""

    kept: Kept
    rotation: int
    key_type: str


@dataclass(frozen=True, kw_only=True)
class Keep:
    """Write this into the agent's own Secret. `restored`: the previous content was put back."""

    kept: Kept
    restored: bool = False


@dataclass(frozen=True, kw_only=True)
class Install:
    """Make this the content of `cacerts`, in one update."""

    content: Content


@dataclass(frozen=True, kw_only=True)
class Send:
    """Keep this, then ask for the certificate of the pending key."""

    kept: Kept
    reason: str


Action = MakeKey | Keep | Install | Send
"""What is done; each by itself leads to another look at everything."""


@dataclass(frozen=True, kw_only=True)
class Decision:
    """`action`: None: nothing is to be done now. `agent`: how things stand, for the syncer to tell."""

    agent: ObservedAgent
    action: Action | None = None


def decide(view: View, terms: Terms, now: datetime) -> Decision:
    """What is done now. Never raises: what is wrong stands in `agent.trouble`, and what stood before stays."""
    wanted = _wanted(view, now)
    if view.kept.change is not None:
        action, trouble = _going_on(view, view.kept.change, terms, now)
    else:
        action, trouble = _next(view, wanted, terms, now)
    return Decision(agent=_agent(view, wanted, trouble), action=action)


@dataclass(frozen=True, kw_only=True)
class _Wanted:
    rotation: int
    reason: str


def _wanted(view: View, now: datetime) -> _Wanted | None:
    """The rotation that a certificate must be asked for: ordered, or due by the clock."""
    committed = view.committed
    if committed is None:
        return None
    installed = view.standing.rotation if view.standing else 0
    if committed.wanted > max(committed.rotation, installed, view.kept.highest):
        return _Wanted(rotation=committed.wanted, reason=committed.reason)
    due = committed.renew_after is not None and now >= committed.renew_after
    if due and committed.rotation and committed.rotation == installed:
        return _Wanted(rotation=installed + 1, reason="renewal")
    return None


def _next(view: View, wanted: _Wanted | None, terms: Terms, now: datetime) -> tuple[Action | None, str]:
    """Nothing is being changed: follow the commit; whether that goes or not, ask for what is wanted."""
    if view.committed is None:
        return None, view.unreadable
    if (strange := _strange(view.committed, terms)) != "":
        return None, strange
    action, trouble = _follow(view, view.committed, now)
    if action is None and wanted is not None:
        action = _ask(view, view.committed, wanted, terms, now)
        if action is None and view.sent is not None:
            trouble = trouble or view.sent.failed
    if not trouble and action is None and view.standing is not None:
        trouble = astray(view.standing, view.sight)
    return action, trouble


def _strange(committed: Committed, terms: Terms) -> str:
    """Why a commit is none of ours: it was applied to the wrong cluster, or its document differs from our settings."""
    for what, said, known in (
        ("mesh", committed.mesh, terms.mesh),
        ("cluster", committed.cluster, terms.cluster),
        ("trust domain", committed.trust_domain, terms.trust_domain),
    ):
        if said != known:
            return f"What is committed is for {what} {said[:80]!r}, and this is {known!r}. Apply this cluster's folder."
    return ""


def _follow(view: View, committed: Committed, now: datetime) -> tuple[Action | None, str]:
    kept, standing = view.kept, view.standing
    if kept.refused is not None and kept.refused.commit == committed.digest and not _afresh(kept.refused, view.sight):
        return None, f"{kept.refused.why}. {_ONCE_MORE}"
    try:
        content = target(committed, standing, kept, now, self_signed=view.self_signed)
    except Rejected as error:
        return None, str(error)
    if standing is None:
        return (Install(content=content), "") if content else (None, _nothing_to_add_to(view))
    if content is not None and content.digest != standing.content.digest:
        change = _begun(committed, content, view.sight, now)
        return Keep(kept=replace(kept, previous=standing.content, change=change, refused=None)), ""
    settled = replace(kept, highest=max(kept.highest, standing.rotation), refused=None)
    return (Keep(kept=settled) if settled != kept else None), ""


_ONCE_MORE: Final = "With new pods of istiod it is tried again; else order another rotation, or take it back in Git."


def _afresh(refused: Refused, sight: Sight) -> bool:
    """Whether no istiod is left of those that didn't take it. A cluster that is adopted can't order another rotation:
    nothing but this brings it on after somebody has mended the settings of its istiod.
    """
    return bool(refused.istiods) and sight.answered and {one.pod for one in sight.istiods}.isdisjoint(refused.istiods)


def _nothing_to_add_to(view: View) -> str:
    """Roots are committed, and there is no `cacerts`, nor anything that one could be made of."""
    if not view.sight.own_root:
        return ""
    return (
        "There is no cacerts: istiod made its root itself. Set PEERMESH_ADOPT_SELF_SIGNED=yes, or go way 1 "
        "(docs/trust.md, Adoption)."
    )


def _begun(committed: Committed, content: Content, sight: Sight, now: datetime) -> Change:
    return Change(commit=committed.digest, target=content.digest, since=now, blind=not sight.answered)


def _going_on(view: View, change: Change, terms: Terms, now: datetime) -> tuple[Action | None, str]:
    """A change was begun. What stands in `cacerts` says how far it came."""
    kept, standing = view.kept, view.standing
    dropped = Keep(kept=replace(kept, change=None))
    if standing is None or kept.previous is None:
        return dropped, ""
    stands = standing.content.digest
    if stands == change.target:
        return _watch(view, change, standing, terms, now)
    if stands != kept.previous.digest:
        # To write again would be a fight, and every round of it renews all leaves.
        why = "somebody else wrote cacerts while it was being changed, and theirs is left there"
        refused = Refused(commit=change.commit, why=why, restored=False)
        return Keep(kept=replace(kept, change=None, refused=refused)), why
    if change.back:
        refused = Refused(commit=change.commit, why=change.back, istiods=tuple(one.pod for one in view.sight.istiods))
        return Keep(kept=replace(kept, change=None, refused=refused), restored=True), change.back
    return _write(view, change, standing, terms, now) or dropped, ""


def _watch(view: View, change: Change, standing: Standing, terms: Terms, now: datetime) -> tuple[Action | None, str]:
    """It was written: has istiod taken it?"""
    kept = view.kept
    assert kept.previous is not None
    if change.back:
        return Install(content=kept.previous), change.back
    waits = unread(standing, view.sight)
    if now < change.since or (waits and now - change.since >= terms.patience / 4):
        # The clock was set back, or istiod hasn't read it: the time counts from when it could have been taken.
        return Keep(kept=replace(kept, change=replaced(change, since=now))), waits
    if waits:
        return None, waits
    found = verdict(change, standing, view.sight, now, terms.patience)
    match found.outcome:
        case Outcome.TAKEN:
            highest = max(kept.highest, standing.rotation)
            return Keep(kept=replace(kept, change=None, highest=highest)), ""
        case Outcome.REFUSED:
            seconds = terms.patience.total_seconds()
            why = f"{found.why}, {seconds:.0f} s after cacerts was changed, so the previous content was put back"
            return Keep(kept=replace(kept, change=replaced(change, back=why))), why
        case Outcome.OPEN:
            late = now - change.since >= terms.patience
            return None, f"{found.why}; whether it takes what is in cacerts can't be seen" if late else ""


def _write(view: View, change: Change, standing: Standing, terms: Terms, now: datetime) -> Action | None:
    """It was kept, but not written; None: it isn't wanted any more. The time counts from the writing."""
    committed = view.committed
    if committed is None or committed.digest != change.commit or _strange(committed, terms):
        return None
    try:
        content = target(committed, standing, view.kept, now)
    except Rejected:
        return None
    if content is None or content.digest != change.target:
        return None
    if not timedelta() <= now - change.since <= terms.patience / 4:
        return Keep(kept=replace(view.kept, change=_begun(committed, content, view.sight, now)))
    return Install(content=content)


def _ask(view: View, committed: Committed, wanted: _Wanted, terms: Terms, now: datetime) -> Action | None:
    pending = view.kept.pending
    if pending is None or pending.rotation != wanted.rotation:
        # The key in use may have been kept as the pending one alone, for a `cacerts` that is lost.
        previous = view.standing.content if view.standing else view.kept.previous
        kept = replace(view.kept, previous=previous)
        return MakeKey(kept=kept, rotation=wanted.rotation, key_type=committed.key_type)
    sent = view.sent
    if sent is not None and sent.rotation == wanted.rotation and timedelta() <= now - sent.at < terms.heartbeat:
        return None
    sequence = next_sequence(view.kept.sequence, now)
    return Send(kept=replace(view.kept, sequence=sequence), reason=wanted.reason)


def _agent(view: View, wanted: _Wanted | None, trouble: str) -> ObservedAgent:
    kept, standing, committed = view.kept, view.standing, view.committed
    installed = standing.rotation if standing else 0
    pending = kept.pending.rotation if kept.pending else 0
    refused = kept.refused and kept.refused.restored and (committed is None or committed.digest == kept.refused.commit)
    return ObservedAgent(
        rotation=installed,
        wanted=max(installed, committed.wanted if committed else 0, wanted.rotation if wanted else 0),
        pending=pending if pending > installed else 0,
        roots=tuple(sorted(standing.roots)) if standing else (),
        crls=_published_crls(view),
        trouble=trouble,
        restored=bool(refused or (kept.change and kept.change.back)),
    )


def _published_crls(view: View) -> tuple[str, ...]:
    """Whose lists workloads of the cluster get. Where istiod hands none on, as from the form `tls.crt` or before 1.27,
    nobody verifies with them, so nobody has to wait either.
    """
    standing, committed = view.standing, view.committed
    if standing is None:
        return ()
    if standing.content.tls:
        return listers(committed.crl) if committed else ()
    written = standing.content.text(CRL)
    return listers(written) if written and view.sight.crl in {written, None} else ()
