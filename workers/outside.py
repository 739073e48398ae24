"""The outside world on one page: what use-cases need of Git, of the forge and of Redis.

Protocols and the values that cross them. An adapter answers with these values or raises one of the four errors of
`syncer.protocol.errors`; foreign exceptions stop there. Adapters: `workers.git`, `workers.forge`, `workers.inbox`; their
doubles in `tests/simulator/` pass the same contract suites.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime
from typing import Literal, NewType, Protocol

from workers.tree import BlobId, Changes, Files

CommitId = NewType("CommitId", str)

BlobChange = Mapping[str, tuple[BlobId | None, BlobId | None]]
"""Old and new blob by path, sorted by path: a change, however it was committed."""

RejectedFacts = frozenset[tuple[str, BlobId | None]]
"""Facts (path, blob; None: that it is withdrawn) that people refused."""


@dataclass(frozen=True, kw_only=True)
class Branch:
    """An open branch of the robot.

    `change` is what it changes against its merge base with main, whatever merges and rebases people did.
    `foreign`: somebody else changed something on it, so the robot keeps its hands off.
    `merges`: every old blob of `change` still stands on main.
    """

    name: str
    head: CommitId
    change: BlobChange
    foreign: bool
    merges: bool
    files: Files


@dataclass(frozen=True, kw_only=True)
class Remote:
    """The repository as one fetch saw it.

    `taken_back`: facts that commits of people removed from main or changed back since the robot last looked, with the
    blob that they removed (None: that they restored a withdrawn one); `rejected`: those remembered from before.
    `paused`: what the person who paused wrote; None: not paused.
    """

    main: CommitId
    main_time: datetime
    files: Files
    branches: Mapping[str, Branch]
    rejected: RejectedFacts
    taken_back: RejectedFacts
    paused: str | None


@dataclass(frozen=True, kw_only=True)
class Update:
    """Move `ref` from `old` (None: it must not exist) to `new` (None: delete it)."""

    ref: str
    old: CommitId | None
    new: CommitId | None


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What became of one pushed ref.

    `stale`: it moved meanwhile, fetch and rebuild; `refused`: a person is needed, `message` says what for;
    `unknown`: the answer was lost, look before the next try.
    """

    status: Literal["done", "stale", "refused", "unknown"]
    message: str = ""


class Repository(Protocol):
    """The mesh repository. The only database there is."""

    def fetch(self) -> Remote:
        """What stands on the remote now. Raises Transient (away), HumanNeeded (no right, no main, main moved back)."""
        ...

    def commit(self, *, parents: Sequence[CommitId], changes: Changes, message: str, when: datetime) -> CommitId:
        """A commit on the tree of `parents[0]` with `changes`, known here only until it is pushed.

        The same arguments give the same id. `when` becomes both time stamps, in UTC.
        """
        ...

    def remember(self, rejected: RejectedFacts, *, remote: Remote, when: datetime) -> CommitId:
        """A commit for `refs/peermesh/rejected` that says these and that main was looked at up to `remote.main`."""
        ...

    def push(self, updates: Sequence[Update]) -> Mapping[str, Outcome]:
        """One push of all refs, each with its lease, not atomic; an outcome for every ref. Raises Transient, HumanNeeded."""
        ...


class Forge(Protocol):
    """Where people review. For forge `git` a branch is the whole proposal, so most of it has nothing to do."""

    merges_in_push: bool
    """True: the robot commits automatic proposals on main in the push itself; False: the forge merges them."""

    def rejected(self, remote: Remote) -> frozenset[str]:
        """Branches whose proposal people closed without merging it."""
        ...

    def publish(self, branch: str, *, title: str, body: str, classes: Sequence[str]) -> None:
        """Open the proposal of a pushed branch, or bring it up to date. Raises Transient, HumanNeeded."""
        ...

    def close(self, branch: str, *, reason: str) -> None:
        """The branch has gone: close what shows it. Raises Transient, HumanNeeded."""
        ...


@dataclass(frozen=True, kw_only=True)
class Kept:
    """The newest observation of a cluster, as it was sent and signed."""

    sequence: int
    packed: bytes
    signature: bytes


@dataclass(frozen=True, kw_only=True)
class BorderKeys:
    """What the border may trust: copied from main by `flush`, because the border has no Git."""

    mesh: str
    keys: Mapping[str, tuple[str, ...]]


class Inbox(Protocol):
    """What waits in Redis. All of it may be lost at any moment: heartbeats bring it again. Raises Transient."""

    def keep(self, cluster: str, kept: Kept, *, content: str) -> bool:
        """Keep it if it is newer than what is kept, and mark the cluster when `content` (a digest) differs from before.

        Atomic. Returns whether it was kept; False: Superseded.
        """
        ...

    def newest(self) -> Mapping[str, Kept]:
        """The newest observation of every cluster that has one."""
        ...

    def marked(self) -> Mapping[str, int]:
        """What `flush` must look at: a cluster, or `main`, with a number that grows when it is marked again."""
        ...

    def mark(self, name: str) -> None:
        """Mark `main`, or a cluster to be looked at again."""
        ...

    def clear(self, marked: Mapping[str, int]) -> None:
        """Forget those marks that nothing newer has touched."""
        ...

    def since(self, names: Iterable[str], now: datetime) -> Mapping[str, datetime]:
        """When each of these was first named in an unbroken row of calls; whatever isn't named is forgotten."""
        ...

    def border_keys(self) -> BorderKeys | None:
        """What `flush` last copied; None: nothing is trusted."""
        ...

    def set_border_keys(self, keys: BorderKeys) -> None: ...

    def seen_main(self) -> str | None:
        """The head of main that the last complete `flush` looked at."""
        ...

    def set_seen_main(self, commit: str) -> None: ...

    def say(self, troubles: Mapping[str, str]) -> None:
        """What a person must know now, by subject; replaces what was said before."""
        ...

    def said(self) -> Mapping[str, str]: ...

    def lock(self) -> AbstractContextManager[bool]:
        """One writer at a time, as a courtesy (the fence is Git's lease): True if it is ours."""
        ...
