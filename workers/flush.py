"""Flush: from the newest observations to commits on the remote. The only writer.

Reads (`situation`), decides (`plan`, `branches.moves`), writes (main, then one push of all branches, forge, inbox): in
that order, each once; twice only where main refuses what would merge by itself, which then is proposed like the rest.
Nothing is pushed beyond the budget: what arrives meanwhile joins the next flush. Knows no Redis, no git command and no
forge's API; they are arguments.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from syncer.protocol.errors import HumanNeeded, Transient
from syncer.protocol.names import HostName
from workers.branches import EMPTY_FOR, Moves, empty, moves, rejected_after
from workers.budget import Budget
from workers.difference import difference
from workers.documents import paths
from workers.documents.kinds import Fact
from workers.guard import Gone, losses
from workers.outside import CommitId, Forges, Inbox, Lost, Outcome, Remote, Repository, Update
from workers.plan import Plan, Seen, plan
from workers.proposal import Proposal
from workers.reach import reach
from workers.sentences import refusal
from workers.showing import Showed, merge, mergeable, show, shown_of
from workers.situation import Situation, Warm, seen_of, situation_of
from workers.steps import is_under_way, said_of
from workers.tree import RejectedFacts

LOST_FOR = timedelta(hours=1)
"""How long a loss that needed no person counts in the guard."""
LASTING = timedelta(minutes=1)
"""When clusters are looked at again on the way to another root: news of trust alone marks nobody."""
REFUSED_AGAIN = timedelta(minutes=1)
"""When a refused push is tried again: a person may have mended it, and GitHub recommends six pushes a minute."""


@dataclass(frozen=True, kw_only=True)
class FlushReport:
    """What a flush came to: branches pushed, merged, closed; refs that the remote refused to move; what people must
    know; why it did nothing.
    """

    pushed: tuple[str, ...] = ()
    merged: tuple[str, ...] = ()
    closed: tuple[str, ...] = ()
    refused: tuple[str, ...] = ()
    waiting: Mapping[str, str] = field(default_factory=dict)
    said: Mapping[str, str] = field(default_factory=dict)
    idle: str = ""


@dataclass(frozen=True, kw_only=True)
class _Worker:
    """What a flush works with."""

    repository: Repository
    inbox: Inbox
    now: datetime
    warm: Warm
    budget: Budget


@dataclass(frozen=True, kw_only=True)
class _Decided:
    """What was planned, and what follows for the remote. `due`: when an empty proposal closes."""

    planned: Plan
    moves: Moves
    rejected: RejectedFacts
    when: datetime
    due: tuple[datetime, ...]


@dataclass(frozen=True, kw_only=True)
class _Written:
    """`commits`: the new heads that were made, by branch; `refused`: refs that the remote doesn't take."""

    commits: Mapping[str, CommitId] = field(default_factory=dict)
    refused: Mapping[str, Outcome] = field(default_factory=dict)


def flush(
    repository: Repository,
    forges: Forges,
    inbox: Inbox,
    now: datetime,
    warm: Warm | None = None,
    budget: Budget | None = None,
) -> FlushReport:
    """Bring the remote to what the newest observations say.

    Raises:
        Transient: the remote moved meanwhile or was away, or the forge; what was marked stays marked.
        HumanNeeded: nothing can be planned before a person mends something; said in the inbox, too.
    """
    worker = _Worker(repository=repository, inbox=inbox, now=now, warm=warm or Warm(), budget=budget or Budget())
    with inbox.lock() as ours:
        if not ours:
            return FlushReport(idle="another worker is at it")
        marked = inbox.marked()
        if not marked:
            return FlushReport(idle="nothing is marked")
        try:
            report, seen = _flush(worker, forges)
        except HumanNeeded as error:
            inbox.say({error.subject or "mesh repository": str(error)})
            inbox.set_look_again(now + REFUSED_AGAIN)
            inbox.clear(marked)
            raise
        if seen is not None:
            inbox.say(report.said)
            inbox.clear(marked)
            inbox.set_seen(seen)
        return report


def _flush(worker: _Worker, forges: Forges) -> tuple[FlushReport, str | None]:
    """The report, and what was seen; None: what was marked stays so."""
    remote = worker.repository.fetch()
    lost = [entry for entry in worker.inbox.lost() if worker.now - entry.at < LOST_FOR]
    situation = situation_of(remote, forges, worker.inbox, worker.warm, gone_by(lost))
    worker.inbox.set_border_keys(situation.border_keys)
    seen = seen_of(remote, situation.fingerprint)
    if remote.paused is not None:
        return FlushReport(idle=f"paused: {remote.paused}"), seen
    automatic = frozenset(situation.tree.mesh.spec.approval.automatic)
    in_push = automatic if situation.forge.merges_in_push else frozenset()
    decided = _decide(worker, situation, in_push)
    if (at := worker.budget.next_push(worker.inbox.budget(), worker.now)) > worker.now and _writes(decided, remote):
        worker.inbox.set_look_again(at)
        return FlushReport(idle=f"the budget of pushes is used up until {at:%H:%M:%S}"), None
    written = _write(worker, remote, decided)
    refused = written.refused
    if paths.MAIN in refused:
        decided = _decide(worker, situation, frozenset())
        written = _write(worker, remote, decided)
        refused = {**refused, **written.refused}
    showed = _show(worker, situation, decided, written, automatic - in_push)
    merged = (*(proposal.branch for proposal in decided.moves.merge), *showed.merged)
    if fresh := _lost(situation, decided.planned, merged, worker.now):
        worker.inbox.set_lost((*lost, *fresh))
    again = [*decided.due, *showed.due, *([worker.now + REFUSED_AGAIN] if refused or showed.troubles else [])]
    worker.inbox.set_look_again(min(again, default=None))
    return _report(situation, decided, refused, showed, merged), seen


def _report(
    situation: Situation, decided: _Decided, refused: Mapping[str, Outcome], showed: Showed, merged: tuple[str, ...]
) -> FlushReport:
    troubles = {ref: outcome.message for ref, outcome in refused.items()}
    what = decided.moves
    return FlushReport(
        pushed=tuple(proposal.branch for proposal in what.push if paths.ref_of(proposal.branch) not in refused),
        merged=merged,
        closed=tuple(name for name in what.close if paths.ref_of(name) not in refused),
        refused=tuple(sorted(refused)),
        waiting=decided.planned.waiting,
        said={**_said(decided.planned), **situation.troubles, **showed.troubles, **what.troubles, **troubles},
    )


def gone_by(lost: Iterable[Lost]) -> Gone:
    """The hosts that each cluster lost."""
    hosts: dict[str, frozenset[HostName]] = {}
    for entry in lost:
        hosts[entry.cluster] = hosts.get(entry.cluster, frozenset()).union(entry.hosts)
    return hosts


def _lost(situation: Situation, planned: Plan, merged: Collection[str], now: datetime) -> list[Lost]:
    """What clusters lose by what nobody but the robot merged."""
    tree = situation.tree
    facts: dict[str, Fact | None] = {}
    for proposal in planned.proposals:
        facts |= proposal.facts if proposal.branch in merged else {}
    if not facts:
        return []
    after = reach(tree.with_facts(tree.facts.with_changes(facts)), (tree, planned.before))
    hosts: dict[str, set[HostName]] = {}
    for loss in losses(difference(planned.before, after)):
        hosts.setdefault(loss.provider, set()).add(loss.host)
    return [Lost(cluster=cluster, at=now, hosts=tuple(sorted(found))) for cluster, found in sorted(hosts.items())]


def _said(planned: Plan) -> dict[str, str]:
    """What people should know that no proposal says, by subject."""
    said = {branch: f"waits until {why}" for branch, why in planned.waiting.items()}
    for cluster, entry in planned.refused:
        said[f"{cluster}: {entry.namespace}/{entry.service}"] = f"not exported: {refusal(cluster, entry)}"
    for told in planned.told:
        said[f"{told.cluster}: {told.subject}"] = told.what
    return {**said, **said_of(planned.trust.waiting)}


def _decide(worker: _Worker, situation: Situation, in_push: frozenset[str]) -> _Decided:
    """Plan, and say what must move. What is of the classes `in_push` merges by itself."""
    remote, trust = situation.remote, situation.trust

    def planned_with(trust: Seen | None) -> Plan:
        return plan(
            situation.tree,
            remote.files,
            situation.observations,
            situation.memory,
            merges=lambda proposal: in_push.issuperset(proposal.classes),
            known=worker.warm.known,
            frozen=situation.frozen,
            trust=trust,
            now=worker.now,
        )

    planned = planned_with(trust)
    emptied = empty(planned, remote)
    since = worker.inbox.since(sorted(emptied | planned.trust.conditions), worker.now)
    under_way = trust is not None and is_under_way(situation.tree)
    if trust is not None and under_way:
        # What has lasted long enough is known only now, and only on the way to another root it counts.
        planned = planned_with(replace(trust, since=since))
        emptied = empty(planned, remote)
    return _Decided(
        planned=planned,
        moves=moves(planned, remote, since, situation.closed, worker.now, _behind(worker, remote)),
        rejected=rejected_after(remote, situation.closed),
        when=max((said.observed_at for said in situation.observations.values()), default=remote.main_time),
        due=(
            *(since[name] + EMPTY_FOR for name in emptied if name in since),
            *([worker.now + LASTING] if under_way else []),
        ),
    )


def _writes(decided: _Decided, remote: Remote) -> bool:
    what = decided.moves
    return bool(what.proposals or what.close or _remembers(decided, remote))


def _remembers(decided: _Decided, remote: Remote) -> bool:
    return decided.rejected != remote.rejected or bool(remote.taken_back)


def _write(worker: _Worker, remote: Remote, decided: _Decided) -> _Written:
    """Main first if something merges by itself, then all branches in one push. Raises Transient if a ref moved.

    Every commit is made on the one that its proposal was rendered on.
    """
    base, what = remote.main, decided.moves
    updates: list[Update] = []
    commits: dict[str, CommitId] = {}
    for proposal in what.proposals:
        commit = _commit(worker.repository, base, proposal, decided.when)
        if proposal.branch in what.merged:
            base = commit
        else:
            commits[proposal.branch] = commit
            ref = paths.ref_of(proposal.branch)
            updates.append(Update(ref=ref, old=remote.refs.get(ref), new=commit))
    outcomes: dict[str, Outcome] = {}
    if base != remote.main:
        outcomes |= _pushed(worker, [Update(ref=paths.MAIN, old=remote.main, new=base)])
        if outcomes[paths.MAIN].status == "refused":
            return _Written(refused=outcomes)
    updates += [Update(ref=paths.ref_of(name), old=remote.branches[name].head, new=None) for name in what.close]
    if _remembers(decided, remote):
        new = worker.repository.remember(decided.rejected, remote=remote, when=decided.when)
        updates.append(Update(ref=paths.REJECTED, old=remote.refs.get(paths.REJECTED), new=new))
    if updates:
        outcomes |= _pushed(worker, updates)
    refused = {ref: outcome for ref, outcome in outcomes.items() if outcome.status == "refused"}
    done = {branch: commit for branch, commit in commits.items() if paths.ref_of(branch) not in refused}
    return _Written(commits=done, refused=refused)


def _show(
    worker: _Worker, situation: Situation, decided: _Decided, written: _Written, automatic: frozenset[str]
) -> Showed:
    """Bring it before people, and have the forge merge what is of the classes `automatic`."""
    remote, forge, what = situation.remote, situation.forge, decided.moves
    shown = shown_of(decided.planned, what, remote, written.commits)
    closed = [name for name in what.close if paths.ref_of(name) not in written.refused]
    showed = show(forge, shown, what, closed, worker.now)
    fit = mergeable([one for one in shown if one.branch not in showed.troubles], remote, written.commits, automatic)
    merged = merge(forge, fit, worker.now)
    worker.warm.behind = merged.behind
    return replace(merged, troubles={**showed.troubles, **merged.troubles}, due=(*showed.due, *merged.due))


def _behind(worker: _Worker, remote: Remote) -> frozenset[str]:
    """Branches to make again on the newest main; not those that another worker made again meanwhile."""
    branches = remote.branches
    return frozenset(
        name for name, head in worker.warm.behind.items() if name in branches and branches[name].head == head
    )


def _commit(repository: Repository, base: CommitId, proposal: Proposal, when: datetime) -> CommitId:
    trailers = f"Peermesh-Classes: {', '.join(proposal.classes)}\nPeermesh-Change: {proposal.digest}\n"
    message = f"{proposal.title}\n\n{proposal.body}\n\n{trailers}"
    return repository.commit(parents=[base], changes=proposal.changes, message=message, when=when)


def _pushed(worker: _Worker, updates: Iterable[Update]) -> Mapping[str, Outcome]:
    worker.inbox.set_budget(worker.budget.after_push(worker.inbox.budget(), worker.now))
    outcomes = worker.repository.push(list(updates))
    lost = [ref for ref, outcome in outcomes.items() if outcome.status in {"stale", "unknown"}]
    if lost:
        raise Transient("Stale", f"{', '.join(lost)} moved while it was pushed: look again and make it again")
    return outcomes
