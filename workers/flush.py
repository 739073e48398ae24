"""Flush: from the newest observations to commits on the remote. The only writer.

Reads (`situation`), decides (`plan`, `branches.moves`), writes (main, then one push of all branches, forge, inbox): in
that order, each once; twice only where main refuses what would merge by itself, which then is proposed like the rest.
Knows no Redis, no git command and no forge's API; they are arguments.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from syncer.protocol.errors import HumanNeeded, Transient
from workers.branches import EMPTY_FOR, Moves, empty, moves, rejected_after
from workers.documents import paths
from workers.outside import CommitId, Forge, Inbox, Outcome, Remote, Repository, Update
from workers.plan import Plan, plan
from workers.proposal import Proposal
from workers.sentences import refusal
from workers.situation import Situation, Warm, situation_of
from workers.tree import RejectedFacts

REFUSED_AGAIN = timedelta(minutes=1)
"""When a refused push is tried again: a person may have mended it, and GitHub recommends six pushes a minute."""


@dataclass(frozen=True, kw_only=True)
class FlushReport:
    """What a flush came to: branches pushed, merged, closed; what people must know; why it did nothing."""

    pushed: tuple[str, ...] = ()
    merged: tuple[str, ...] = ()
    closed: tuple[str, ...] = ()
    waiting: Mapping[str, str] = field(default_factory=dict)
    said: Mapping[str, str] = field(default_factory=dict)
    idle: str = ""


@dataclass(frozen=True, kw_only=True)
class _Done:
    """What was planned and written; `refused`: refs that the remote doesn't take; `due`: when to look again."""

    planned: Plan
    moves: Moves
    refused: Mapping[str, Outcome]
    due: tuple[datetime, ...]


def flush(repository: Repository, forge: Forge, inbox: Inbox, now: datetime, warm: Warm | None = None) -> FlushReport:
    """Bring the remote to what the newest observations say.

    Raises:
        Transient: the remote moved meanwhile or was away; what was marked stays marked.
        HumanNeeded: nothing can be planned before a person mends something; said in the inbox, too.
    """
    warm = warm or Warm()
    with inbox.lock() as ours:
        if not ours:
            return FlushReport(idle="another worker is at it")
        marked = inbox.marked()
        if not marked:
            return FlushReport(idle="nothing is marked")
        try:
            report, fingerprint = _flush(repository, forge, inbox, now, warm)
        except HumanNeeded as error:
            inbox.say({error.subject or "mesh repository": str(error)})
            inbox.set_look_again(now + REFUSED_AGAIN)
            inbox.clear(marked)
            raise
        inbox.say(report.said)
        inbox.clear(marked)
        inbox.set_seen(fingerprint)
        return report


def _flush(repository: Repository, forge: Forge, inbox: Inbox, now: datetime, warm: Warm) -> tuple[FlushReport, str]:
    remote = repository.fetch()
    situation = situation_of(remote, forge.rejected(remote), inbox.newest(), warm)
    inbox.set_border_keys(situation.border_keys)
    if remote.paused is not None:
        return FlushReport(idle=f"paused: {remote.paused}"), remote.fingerprint
    automatic = situation.tree.mesh.spec.approval.automatic if forge.merges_in_push else ()
    done = _carry_out(repository, forge, inbox, now, situation, warm, frozenset(automatic))
    refused = done.refused
    if paths.MAIN in refused:
        done = _carry_out(repository, forge, inbox, now, situation, warm, frozenset())
        refused = {**refused, **done.refused}
    inbox.set_look_again(min([*done.due, *([now + REFUSED_AGAIN] if refused else [])], default=None))
    return _report(situation, done, refused), remote.fingerprint


def _report(situation: Situation, done: _Done, refused: Mapping[str, Outcome]) -> FlushReport:
    troubles = {ref: outcome.message for ref, outcome in refused.items()}
    return FlushReport(
        pushed=tuple(proposal.branch for proposal in done.moves.push if _ref(proposal.branch) not in refused),
        merged=tuple(proposal.branch for proposal in done.moves.merge),
        closed=tuple(name for name in done.moves.close if _ref(name) not in refused),
        waiting=done.planned.waiting,
        said={**_said(done.planned), **situation.troubles, **done.moves.troubles, **troubles},
    )


def _said(planned: Plan) -> dict[str, str]:
    """What people should know that no proposal says, by subject."""
    said = {branch: f"waits until {why}" for branch, why in planned.waiting.items()}
    for cluster, entry in planned.refused:
        said[f"{cluster}: {entry.namespace}/{entry.service}"] = f"not exported: {refusal(cluster, entry)}"
    for told in planned.told:
        said[f"{told.cluster}: {told.subject}"] = told.what
    return said


def _carry_out(
    repository: Repository,
    forge: Forge,
    inbox: Inbox,
    now: datetime,
    situation: Situation,
    warm: Warm,
    automatic: frozenset[str],
) -> _Done:
    """Plan, and write what follows. What is of the classes `automatic` merges by itself."""
    remote = situation.remote
    planned = plan(
        situation.tree,
        remote.files,
        situation.observations,
        situation.memory,
        merges=lambda proposal: automatic.issuperset(proposal.classes),
        known=warm.known,
        frozen=situation.frozen,
    )
    since = inbox.since(sorted(empty(planned, remote)), now)
    what = moves(planned, remote, since, situation.closed, now)
    rejected = rejected_after(remote, situation.closed)
    when = max((said.observed_at for said in situation.observations.values()), default=remote.main_time)
    outcomes = _write(repository, remote, what, rejected, when)
    refused = {ref: outcome for ref, outcome in outcomes.items() if outcome.status == "refused"}
    if paths.MAIN not in refused:
        _publish(forge, what, refused)
    return _Done(planned=planned, moves=what, refused=refused, due=tuple(at + EMPTY_FOR for at in since.values()))


def _write(
    repository: Repository, remote: Remote, what: Moves, rejected: RejectedFacts, when: datetime
) -> Mapping[str, Outcome]:
    """Main first if something merges by itself, then all branches in one push. Raises Transient if a ref moved.

    Every commit is made on the one that its proposal was rendered on.
    """
    base = remote.main
    updates: list[Update] = []
    for proposal in what.proposals:
        commit = _commit(repository, base, proposal, when)
        if proposal.branch in what.merged:
            base = commit
        else:
            ref = _ref(proposal.branch)
            updates.append(Update(ref=ref, old=remote.refs.get(ref), new=commit))
    outcomes: dict[str, Outcome] = {}
    if base != remote.main:
        outcomes |= _pushed(repository, [Update(ref=paths.MAIN, old=remote.main, new=base)])
        if outcomes[paths.MAIN].status == "refused":
            return outcomes
    updates += [Update(ref=_ref(name), old=remote.branches[name].head, new=None) for name in what.close]
    if rejected != remote.rejected or remote.taken_back:
        new = repository.remember(rejected, remote=remote, when=when)
        updates.append(Update(ref=paths.REJECTED, old=remote.refs.get(paths.REJECTED), new=new))
    if updates:
        outcomes |= _pushed(repository, updates)
    return outcomes


def _ref(branch: str) -> str:
    return f"refs/heads/{branch}"


def _commit(repository: Repository, base: CommitId, proposal: Proposal, when: datetime) -> CommitId:
    trailers = f"Peermesh-Classes: {', '.join(proposal.classes)}\nPeermesh-Change: {proposal.digest}\n"
    message = f"{proposal.title}\n\n{proposal.body}\n\n{trailers}"
    return repository.commit(parents=[base], changes=proposal.changes, message=message, when=when)


def _pushed(repository: Repository, updates: Iterable[Update]) -> Mapping[str, Outcome]:
    outcomes = repository.push(list(updates))
    lost = [ref for ref, outcome in outcomes.items() if outcome.status in {"stale", "unknown"}]
    if lost:
        raise Transient("Stale", f"{', '.join(lost)} moved while it was pushed: look again and make it again")
    return outcomes


def _publish(forge: Forge, what: Moves, refused: Mapping[str, Outcome]) -> None:
    for proposal in what.push:
        if _ref(proposal.branch) not in refused:
            forge.publish(proposal.branch, title=proposal.title, body=proposal.body, classes=proposal.classes)
    for branch, reason in what.close.items():
        if _ref(branch) not in refused:
            forge.close(branch, reason=reason)
