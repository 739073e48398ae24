"""Flush: from the newest observations to commits on the remote. The only writer.

Reads (inbox, remote), decides (`plan`, `branches.moves`), writes (one push, forge, inbox): in that order, each once.
Knows no Redis, no git command and no forge's API; they are arguments.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from syncer.protocol.errors import HumanNeeded, Rejected, Transient
from syncer.protocol.observation import Observation, unpack
from syncer.protocol.signature import OBSERVATION, verify
from workers.branches import Moves, empty, is_ours, moves, rejected_after
from workers.documents import paths
from workers.documents.kinds import Document
from workers.documents.reading import Invalid, read
from workers.ground import Known
from workers.outside import (
    BorderKeys,
    Branch,
    CommitId,
    Forge,
    Inbox,
    Kept,
    Outcome,
    Remote,
    Repository,
    Update,
)
from workers.plan import Memory, Plan, frozen_namespaces, plan
from workers.proposal import Proposal
from workers.sentences import refusal
from workers.tree import BlobId, FactChanges, RejectedFacts, Tree, read_tree

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


@dataclass(kw_only=True)
class Warm:
    """What a worker keeps between flushes; losing it costs time only."""

    known: Known = field(default_factory=Known)
    documents: dict[BlobId, Document] = field(default_factory=dict)
    unpacked: dict[str, tuple[bytes, Observation]] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class _Read:
    """Everything that a flush decides on."""

    remote: Remote
    tree: Tree
    observations: Mapping[str, Observation]
    memory: Memory
    closed_by_people: frozenset[str]
    frozen: Mapping[str, str]
    troubles: Mapping[str, str]


@dataclass(frozen=True, kw_only=True)
class _Rejected:
    """`looked`: every cluster is heard, so that what people took back and nobody wants now needs no second look."""

    facts: RejectedFacts
    looked: bool


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
            report, seen = _flush(repository, forge, inbox, now, warm)
        except HumanNeeded as error:
            inbox.say({error.subject or "mesh repository": str(error)})
            inbox.set_look_again(now + REFUSED_AGAIN)
            inbox.clear(marked)
            raise
        inbox.say(report.said)
        inbox.clear(marked)
        inbox.set_seen(seen)
        return report


def _flush(repository: Repository, forge: Forge, inbox: Inbox, now: datetime, warm: Warm) -> tuple[FlushReport, str]:
    remote = repository.fetch()
    if remote.paused is not None:
        return FlushReport(idle=f"paused: {remote.paused}"), remote.fingerprint
    seen = _read(remote, forge, inbox, warm)
    automatic = frozenset(seen.tree.mesh.spec.approval.automatic)

    def merges(proposal: Proposal) -> bool:
        return forge.merges_in_push and automatic.issuperset(proposal.classes)

    planned = plan(
        seen.tree,
        remote.files,
        seen.observations,
        seen.memory,
        merges=merges,
        known=warm.known,
        frozen=seen.frozen,
    )
    since = inbox.since(sorted(empty(planned, remote)), now)
    what = moves(planned, remote, since, now)
    rejected = _Rejected(
        facts=rejected_after(remote, planned, seen.closed_by_people),
        looked=seen.observations.keys() >= seen.tree.clusters.keys(),
    )
    close = {**what.close, **dict.fromkeys(seen.closed_by_people, "people closed it without merging")}
    when = max((o.observed_at for o in seen.observations.values()), default=remote.main_time)
    outcomes = _write(repository, remote, what, close, rejected, when)
    refused = {ref: outcome for ref, outcome in outcomes.items() if outcome.status == "refused"}
    _publish(forge, what, close, refused)
    troubles = {**seen.troubles, **what.troubles, **{ref: outcome.message for ref, outcome in refused.items()}}
    due = [now + REFUSED_AGAIN] if refused else []
    inbox.set_look_again(min([*due, *(at + timedelta(minutes=10) for at in since.values())], default=None))
    report = FlushReport(
        pushed=tuple(p.branch for p in what.push if f"refs/heads/{p.branch}" not in refused),
        merged=tuple(p.branch for p in what.merge if paths.MAIN not in refused),
        closed=tuple(close),
        waiting=planned.waiting,
        said=_said(planned, troubles),
    )
    return report, remote.fingerprint


def _said(planned: Plan, troubles: Mapping[str, str]) -> dict[str, str]:
    """What people should know that no proposal says, by subject; troubles go before what merely waits."""
    said = {branch: f"waits until {why}" for branch, why in planned.waiting.items()}
    for cluster, entry in planned.refused:
        said[f"{cluster}: {entry.namespace}/{entry.service}"] = f"not exported: {refusal(cluster, entry)}"
    for told in planned.told:
        said[f"{told.cluster}: {told.subject}"] = told.what
    return {**said, **troubles}


# --- read


def _read(remote: Remote, forge: Forge, inbox: Inbox, warm: Warm) -> _Read:
    tree, problems = read_tree(remote.files, warm.documents)
    if tree is None:
        lines = "\n".join(str(problem) for problem in problems)
        raise HumanNeeded(
            "BadDocuments",
            f"main can't be planned on:\n{lines}",
            subject="mesh repository",
            remedy="Mend the files on main; `peermesh check --repo .` shows the same.",
        )
    inbox.set_border_keys(
        BorderKeys(
            mesh=tree.mesh.metadata.name,
            keys={name: cluster.spec.syncer.public_keys for name, cluster in tree.clusters.items()},
        )
    )
    observations, distrusted = _observations(inbox.newest(), tree, warm)
    closed = forge.rejected(remote)
    memory = memory_of(remote, warm.documents, closed=closed, distrusted=frozenset(distrusted))
    troubles = {**distrusted, **{problem.path: str(problem) for problem in problems}}
    return _Read(
        remote=remote,
        tree=tree,
        observations=observations,
        memory=memory,
        closed_by_people=closed,
        frozen=frozen_namespaces(tree, problems),
        troubles=troubles,
    )


def _observations(kept: Mapping[str, Kept], tree: Tree, warm: Warm) -> tuple[dict[str, Observation], dict[str, str]]:
    """The newest observations that keys on main verify, and why others aren't believed, by cluster."""
    mesh = tree.mesh.metadata.name
    believed: dict[str, Observation] = {}
    distrusted: dict[str, str] = {}
    for name, newest in kept.items():
        cluster = tree.clusters.get(name)
        if cluster is None:
            continue
        try:
            verify(cluster.spec.syncer.public_keys, OBSERVATION, mesh, name, newest.packed, newest.signature)
            known = warm.unpacked.get(name)
            if known is None or known[0] != newest.packed:
                known = warm.unpacked[name] = (newest.packed, unpack(newest.packed))
            believed[name] = known[1]
        except Rejected as error:
            distrusted[name] = str(error)
    return believed, distrusted


def memory_of(
    remote: Remote,
    documents: Mapping[BlobId, Document],
    *,
    closed: frozenset[str] = frozenset(),
    distrusted: frozenset[str] = frozenset(),
) -> Memory:
    """What a repository remembers beside main. `documents`: those that were read before, by blob."""
    branches = {
        name: _facts(branch, documents)
        for name, branch in remote.branches.items()
        if is_ours(name) and name not in closed
    }
    return Memory(branches=branches, rejected=remote.rejected | remote.taken_back, distrusted=distrusted)


def _facts(branch: Branch, documents: Mapping[BlobId, Document]) -> FactChanges:
    """The facts that a branch proposes; what can't be read there is left out (its pull request fails the check)."""
    facts: dict[str, object] = {}
    for path, (_, new) in branch.change.items():
        if not path.startswith(paths.FACTS) or paths.place(path) is None:
            continue
        if new is None:
            facts[path] = None
            continue
        try:
            facts[path] = documents.get(new) or read(path, branch.files.read(path))
        except Invalid:
            continue
    return facts  # type: ignore[return-value]


# --- write


def _write(
    repository: Repository,
    remote: Remote,
    what: Moves,
    close: Mapping[str, str],
    rejected: _Rejected,
    when: datetime,
) -> Mapping[str, Outcome]:
    """Main first if something merges by itself, then all branches in one push. Raises Transient if a ref moved."""
    base = remote.main
    outcomes: dict[str, Outcome] = {}
    if what.merge:
        for proposal in what.merge:
            base = _commit(repository, base, proposal, when)
        outcomes |= _pushed(repository, [Update(ref=paths.MAIN, old=remote.main, new=base)])
        if outcomes[paths.MAIN].status == "refused":
            return outcomes
    updates = [
        Update(
            ref=f"refs/heads/{proposal.branch}",
            old=remote.refs.get(f"refs/heads/{proposal.branch}"),
            new=_commit(repository, base, proposal, when),
        )
        for proposal in what.push
    ]
    updates += [
        Update(ref=f"refs/heads/{name}", old=remote.branches[name].head, new=None)
        for name in close
        if name in remote.branches
    ]
    if rejected.facts != remote.rejected or (rejected.looked and remote.taken_back):
        new = repository.remember(rejected.facts, remote=remote, when=when, looked=rejected.looked)
        updates.append(Update(ref=paths.REJECTED, old=remote.refs.get(paths.REJECTED), new=new))
    if updates:
        outcomes |= _pushed(repository, updates)
    return outcomes


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


def _publish(forge: Forge, what: Moves, close: Mapping[str, str], refused: Mapping[str, Outcome]) -> None:
    for proposal in what.push:
        if f"refs/heads/{proposal.branch}" not in refused:
            forge.publish(proposal.branch, title=proposal.title, body=proposal.body, classes=proposal.classes)
    for branch, reason in close.items():
        if f"refs/heads/{branch}" not in refused:
            forge.close(branch, reason=reason)
