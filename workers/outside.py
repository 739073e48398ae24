"""The outside world on one page: what use-cases need of Git, of the forge and of Redis.

Protocols and the values that cross them. An adapter answers with these values or raises one of the four errors of
`syncer.protocol.errors`; foreign exceptions stop there. Adapters: `workers.git`, `workers.forge`, `workers.inbox`;
their doubles in `tests/simulator/` pass the same contract suites.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal, NewType, Protocol

from syncer.protocol.certificates import Certificate
from syncer.protocol.names import HostName
from syncer.protocol.revocation import AuthorityKey
from syncer.protocol.secret import Secret
from workers.documents.kinds import Forge as ForgeSettings
from workers.tree import BlobChange, Changes, Files, RejectedFacts

CommitId = NewType("CommitId", str)


@dataclass(frozen=True, kw_only=True)
class Branch:
    """An open branch of the robot, whose head was committed at `time`.

    `change` is what it changes against its merge base with main, whatever merges and rebases people did; `message` the
    robot's newest commit message on it (title, text, trailers), empty if there is none.
    `foreign`: somebody else changed something on it, so the robot keeps its hands off. `own`: its head is a commit of
    the robot, as it was pushed.
    `merges`: every old blob of `change` still stands on main.
    """

    name: str
    head: CommitId
    time: datetime
    change: BlobChange
    foreign: bool
    merges: bool
    files: Files
    message: str = ""
    own: bool = False


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
    refs: Mapping[str, CommitId]
    """Every ref that was read (main, the robot's branches, `refs/peermesh/*`): the old side of an Update."""

    @property
    def fingerprint(self) -> str:
        """Equal for equal refs: tells `sweep` that nothing moved."""
        lines = "".join(f"{ref} {commit}\n" for ref, commit in sorted(self.refs.items()))
        return hashlib.sha256(lines.encode()).hexdigest()[:40]


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
        """A commit on the tree of `parents[0]` (no parents: on nothing), known only here until it is pushed.

        The same arguments give the same id. `when` becomes both time stamps, in UTC. The robot's messages carry the
        trailer `Peermesh-Change` with the digest of the change. Raises ValueError for a path that isn't the author's.
        """
        ...

    def files(self, commit: CommitId) -> Files:
        """The tree of a commit that was fetched or made here."""
        ...

    def remember(self, rejected: RejectedFacts, *, remote: Remote, when: datetime, looked: bool = True) -> CommitId:
        """A commit for `refs/peermesh/rejected` that says these and that main was looked at up to `remote.main`.

        `looked` False: up to where it was before, so that `taken_back` stays as it is.
        """
        ...

    def push(self, updates: Sequence[Update], *, atomic: bool = False) -> Mapping[str, Outcome]:
        """One push of all refs, each with its lease: an outcome each. Raises Transient, HumanNeeded.

        `atomic`: all or none, for refs that belong together. Raises ValueError for a main that would not move forward.
        """
        ...


@dataclass(frozen=True, kw_only=True)
class Shown:
    """What people shall see of a branch: the text of its proposal, and the head and digest of its change."""

    branch: str
    head: CommitId
    digest: str
    title: str
    body: str
    classes: Sequence[str]


@dataclass(frozen=True, kw_only=True)
class Merging:
    """What became of a merge that a forge was asked for.

    `soon`: the forge isn't done with what was pushed last, look again in seconds; `waits`: for what `message` says;
    `behind`: it wants the branch to begin at the newest main.
    """

    status: Literal["merged", "soon", "waits", "behind"]
    message: str = ""


class Forge(Protocol):
    """Where people review. For forge `git` a branch is the whole proposal, so most of it has nothing to do.

    What is open there is read by `look`; the other methods go by what it saw last. Each raises Transient (it is away),
    HumanNeeded (it doesn't let us in) or Rejected (it refuses this one).
    """

    merges_in_push: bool
    """True: the robot commits automatic proposals on main in the push itself; False: the forge merges them."""

    def look(self) -> str:
        """See which proposals are open. Returns a fingerprint, equal for as long as people do nothing to them."""
        ...

    def rejected(self, remote: Remote) -> frozenset[str]:
        """Branches whose proposal people closed without merging it."""
        ...

    def publish(self, shown: Shown) -> bool:
        """Open the proposal of a pushed branch, or bring it up to date. False: it was, and nothing was sent."""
        ...

    def stop(self, branch: str, *, why: str) -> None:
        """Say, once, on the open proposal of a branch why the robot leaves it alone."""
        ...

    def close(self, branch: str, *, reason: str) -> None:
        """The branch has gone: close what shows it."""
        ...

    def merge(self, shown: Shown) -> Merging:
        """Merge the open proposal of a branch into main, if people's rules there allow it and its head is this one."""
        ...


Credentials = Callable[[], tuple[str, Secret]]
"""User and token of the robot at a forge, read when they are needed. Raises HumanNeeded."""

Forges = Callable[[ForgeSettings], Forge]
"""The forge that `spec.approval.forge` of the Mesh document names. Raises HumanNeeded."""


class ForgeFactory(Protocol):
    """Makes a forge from `spec.approval.forge` of the Mesh document: a row of `workers.forge.FORGES`."""

    def __call__(self, settings: ForgeSettings, credentials: Credentials, /) -> Forge: ...


@dataclass(frozen=True, kw_only=True)
class Kept:
    """The newest observation or request of a cluster, as it was sent and signed."""

    sequence: int
    packed: bytes
    signature: bytes


@dataclass(frozen=True, kw_only=True)
class BorderKeys:
    """What the border may trust: copied from main by `flush`, because the border has no Git.

    By cluster: `keys` of the syncers, `agents` those of the CA agents.
    """

    mesh: str
    keys: Mapping[str, tuple[str, ...]]
    agents: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Refusal:
    """Why the last messages of a cluster were refused: `count` of them since `since`, no good one in between."""

    reason: str
    what: str
    since: datetime
    last: datetime
    count: int


@dataclass(frozen=True, kw_only=True)
class Lost:
    """The hosts that a cluster lost by what the robot merged by itself at a time."""

    cluster: str
    at: datetime
    hosts: tuple[HostName, ...]


def request_of(cluster: str) -> str:
    """What `Inbox.refuse` calls the requests of a cluster: an observation that is good says nothing of them."""
    return f"{cluster}: signing request"


class Signer(Protocol):
    """What signs under one root. Its key may be in a hardware token: nobody sees more of it than what it signs."""

    @property
    def issuers(self) -> tuple[Certificate, ...]:
        """The certificate of the key, then what lies between it and the root; a root that signs itself stands alone."""
        ...

    @property
    def key(self) -> AuthorityKey:
        """Signs. Raises Transient (the token is away) or HumanNeeded while it does."""
        ...

    def check(self) -> None:
        """Whether it could sign now. Raises Transient (the token is away) or HumanNeeded."""
        ...


@dataclass(frozen=True, kw_only=True)
class Signed:
    """What was signed, once, for a rotation of a cluster: for which request, and the Intermediate document."""

    cluster: str
    rotation: int
    root: str
    key_fingerprint: str
    document: bytes


class Journal(Protocol):
    """What a signer signed. Survives it; what isn't in it was never handed on. Raises HumanNeeded."""

    def find(self, cluster: str, rotation: int) -> Signed | None:
        """What was signed for a rotation."""
        ...

    def keep(self, signed: Signed) -> None:
        """Returns when it is on the disk. There must be nothing of this rotation yet."""
        ...


class Inbox(Protocol):
    """What waits in Redis. All of it may be lost at any moment: heartbeats bring it again. Raises Transient."""

    def keep(self, cluster: str, kept: Kept, *, content: str) -> bool:
        """Keep it if it is newer than what is kept, and mark the cluster when `content` (a digest) differs from before.

        Atomic. Ends the row of refusals of this cluster. Returns whether it was kept; False: Superseded.
        """
        ...

    def keep_request(self, cluster: str, kept: Kept, *, content: str) -> bool:
        """The same for a request for an intermediate."""
        ...

    def requests(self) -> Mapping[str, Kept]:
        """The newest request of every cluster that has one."""
        ...

    def keep_certificate(self, cluster: str, document: bytes) -> None:
        """Keep what was signed for a cluster (an Intermediate document) until main has it, and mark the cluster."""
        ...

    def certificates(self) -> Mapping[str, bytes]:
        """What was signed, by cluster; main may have it already."""
        ...

    def refuse(self, cluster: str, reason: str, what: str, now: datetime) -> None:
        """Remember, for people, that a message of this cluster was refused; `request_of` names its requests."""
        ...

    def refusals(self) -> Mapping[str, Refusal]:
        """The clusters whose newest message was refused; a clock that stays wrong is seen here."""
        ...

    def newest(self) -> Mapping[str, Kept]:
        """The newest observation of every cluster that has one."""
        ...

    def numbers(self) -> Mapping[str, int]:
        """The sequence numbers of these, without the rest."""
        ...

    def newest_of(self, cluster: str) -> Kept | None:
        """The newest observation of one cluster."""
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

    def lasting(self) -> Mapping[str, datetime]:
        """What `since` said last."""
        ...

    def border_keys(self) -> BorderKeys | None:
        """What `flush` last copied; None: nothing is trusted."""
        ...

    def set_border_keys(self, keys: BorderKeys) -> None: ...

    def seen(self) -> str | None:
        """The fingerprint of the remote that the last complete `flush` looked at."""
        ...

    def set_seen(self, fingerprint: str) -> None: ...

    def look_again(self) -> datetime | None:
        """When `flush` must look again although nothing is marked (a refused push, an empty proposal)."""
        ...

    def set_look_again(self, at: datetime | None) -> None: ...

    def budget(self) -> datetime | None:
        """When the budget of pushes is whole again (`workers.budget`); None: it is."""
        ...

    def set_budget(self, whole: datetime) -> None: ...

    def lost(self) -> Sequence[Lost]:
        """What `set_lost` kept."""
        ...

    def set_lost(self, lost: Sequence[Lost]) -> None: ...

    def say(self, troubles: Mapping[str, str]) -> None:
        """What a person must know now, by subject; replaces what was said before."""
        ...

    def said(self) -> Mapping[str, str]: ...

    def lock(self) -> AbstractContextManager[bool]:
        """One writer at a time, as a courtesy (the fence is Git's lease): True if it is ours."""
        ...
