"""Forge `git`: plain branches, for sites without a forge. What a forge's buttons do are functions here.

Knows the mesh repository through `workers.outside.Repository`, with the person's own credentials. Knows no git command.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Final

from syncer.protocol.errors import HumanNeeded, Rejected, Transient
from workers.documents import paths
from workers.documents.kinds import Forge as ForgeSettings
from workers.outside import Branch, CommitId, Credentials, Merging, Remote, Repository, Shown, Update
from workers.tree import Files, Problem, RejectedFacts, change_digest

Check = Callable[[Files, Files], Sequence[Problem]]
"""What is wrong with the first tree, which shall replace the second one."""
_TRIES: Final = 5
"""How often something is made again when the remote moved under it."""


class GitForge:
    """`workers.outside.Forge` where the branch is the whole proposal."""

    merges_in_push = True

    def __init__(self, settings: ForgeSettings | None = None, credentials: Credentials | None = None) -> None:
        del settings, credentials

    def look(self) -> str:
        """The branches say it all."""
        return ""

    def rejected(self, remote: Remote) -> frozenset[str]:
        """None that are still open: `reject` remembers the facts and deletes the branch in one step."""
        del remote
        return frozenset()

    def publish(self, shown: Shown) -> bool:
        """The message of the commit says it all."""
        del shown
        return False

    def stop(self, branch: str, *, why: str) -> None:
        """`peermesh status` says it."""

    def close(self, branch: str, *, reason: str) -> None:
        """The branch was all there is."""

    def merge(self, shown: Shown) -> Merging:
        """Nobody but people, and the robot's own push."""
        return Merging(status="waits", message=f"{shown.branch} merges in the push")


def approve(repository: Repository, name: str, digest: str, *, check: Check, when: datetime) -> CommitId:
    """Merge a branch into main and delete it, in one step. Returns main's new commit.

    Raises:
        Rejected: the branch or its change isn't the one that was looked at, it doesn't merge, the result isn't valid.
        HumanNeeded: the remote refuses the push.
        Transient: the remote is away, or moves all the time.
    """
    for _ in range(_TRIES):
        remote = repository.fetch()
        branch = _approved(remote, name, digest)
        merged = _merge(repository, remote, branch, when)
        problems = check(repository.files(merged), remote.files)
        if problems:
            raise Rejected(
                "CheckFailed",
                "merged into main it isn't valid:\n" + "\n".join(str(problem) for problem in problems),
                subject=name,
                remedy="The robot makes the branch again when main is valid: `peermesh check --repo .`",
            )
        updates = [
            Update(ref=paths.MAIN, old=remote.main, new=merged),
            Update(ref=paths.ref_of(name), old=branch.head, new=None),
        ]
        if _landed(repository, updates):
            return merged
    raise _moving(name)


def reject(repository: Repository, name: str, *, when: datetime) -> RejectedFacts:
    """Delete a branch and remember its facts, so that they aren't proposed again. Returns the facts.

    Without facts the branch is only deleted: what it has follows from main, so it comes again.

    Raises:
        Rejected: there is no such branch.
        HumanNeeded, Transient: as `approve`.
    """
    for _ in range(_TRIES):
        remote = repository.fetch()
        branch = _open(remote, name)
        facts = frozenset((path, new) for path, (_, new) in branch.change.items() if paths.is_refusable(path))
        updates = [Update(ref=paths.ref_of(name), old=branch.head, new=None)]
        if facts:
            remembered = repository.remember(remote.rejected | facts, remote=remote, when=when, looked=False)
            updates.append(Update(ref=paths.REJECTED, old=remote.refs.get(paths.REJECTED), new=remembered))
        if _landed(repository, updates):
            return facts
    raise _moving(name)


def reopen(repository: Repository, what: str, *, when: datetime) -> RejectedFacts:
    """Forget rejected facts, and those that people took back: of a branch, or at or below a path. Returns them.

    Main counts as looked at from now on, so what else was taken back is remembered with the rejected facts.

    Raises:
        Rejected: nothing of that is rejected.
        HumanNeeded, Transient: as `approve`.
    """
    for _ in range(_TRIES):
        remote = repository.fetch()
        known = remote.rejected | remote.taken_back
        forgotten = frozenset((path, blob) for path, blob in known if f"{path}/".startswith(_facts_of(what)))
        if not forgotten:
            remedy = "`peermesh proposals` lists what people refused."
            raise Rejected("NotRejected", "nothing of this is rejected", subject=what, remedy=remedy)
        remembered = repository.remember(known - forgotten, remote=remote, when=when)
        if _landed(repository, [Update(ref=paths.REJECTED, old=remote.refs.get(paths.REJECTED), new=remembered)]):
            return forgotten
    raise _moving(what)


def pause(repository: Repository, why: str, *, when: datetime) -> None:
    """From now on the robot writes nothing; `why` is shown to everybody. Raises HumanNeeded, Transient."""
    for _ in range(_TRIES):
        remote = repository.fetch()
        paused = repository.commit(parents=[], changes={}, message=f"{why}\n", when=when)
        if _landed(repository, [Update(ref=paths.PAUSED, old=remote.refs.get(paths.PAUSED), new=paused)]):
            return
    raise _moving("pause")


def resume(repository: Repository) -> bool:
    """The robot may write again. Returns whether it was paused. Raises HumanNeeded, Transient."""
    for _ in range(_TRIES):
        old = repository.fetch().refs.get(paths.PAUSED)
        if old is None:
            return False
        if _landed(repository, [Update(ref=paths.PAUSED, old=old, new=None)]):
            return True
    raise _moving("pause")


def _open(remote: Remote, name: str) -> Branch:
    branch = remote.branches.get(name)
    if branch is None:
        open_ones = ", ".join(remote.branches) or "none"
        raise Rejected("NoBranch", f"there is no such branch; open are: {open_ones}", subject=name)
    return branch


def _approved(remote: Remote, name: str, digest: str) -> Branch:
    branch = _open(remote, name)
    now = change_digest(branch.change)
    if digest != now:
        raise Rejected(
            "ChangeMoved",
            f"its change is {now} now, not {digest}",
            subject=name,
            remedy=f"Look at it again: `peermesh show {name}`",
        )
    if not branch.merges:
        raise Rejected(
            "NoLongerMerges",
            "main changed the same files since",
            subject=name,
            remedy="The robot makes it again within seconds; then look at it again.",
        )
    return branch


def _merge(repository: Repository, remote: Remote, branch: Branch, when: datetime) -> CommitId:
    changes = {path: None if new is None else branch.files.read(path) for path, (_, new) in branch.change.items()}
    message = f"Merge {branch.name}\n\nApproved as {change_digest(branch.change)}\n"
    return repository.commit(parents=[remote.main, branch.head], changes=changes, message=message, when=when)


def _landed(repository: Repository, updates: Sequence[Update]) -> bool:
    """Push as one step. Returns whether it is done; False: the remote moved, look again."""
    outcomes = repository.push(updates, atomic=True)
    for ref, outcome in outcomes.items():
        if outcome.status == "refused":
            raise HumanNeeded("PushRefused", f"the remote refuses the push: {outcome.message}", subject=ref)
        if outcome.status == "unknown":
            raise Transient("AnswerLost", f"nobody knows whether this was done: {outcome.message}", subject=ref)
    return all(outcome.status == "done" for outcome in outcomes.values())


def _moving(subject: str) -> Transient:
    return Transient("RemoteMoves", "the remote moved again and again meanwhile", subject=subject, remedy="Try again.")


def _facts_of(what: str) -> str:
    """The folder of facts that a branch proposes; a path as it is."""
    match what.split("/"):
        case ["peermesh", "clusters", cluster]:
            return f"{paths.cluster_facts_path(cluster)}/"
        case ["peermesh", "exports" | "held", namespace]:
            return f"facts/exports/{namespace}/"
    return f"{what.rstrip('/')}/"
