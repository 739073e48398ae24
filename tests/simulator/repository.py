"""The mesh repository in memory: a remote that several clients share, fast enough for thousands of random histories.

`MemoryRepository` passes the contract suite of `tests/git/`, as `GitRepository` does; what history means (foreign,
taken back, rejected) is the adapter's own pure code over the commits that stand here. Trees are dicts that share what
didn't change.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from syncer.protocol.errors import HumanNeeded
from workers.documents import paths
from workers.git.history import (
    Commit,
    branch_of,
    branches_in,
    looked_at,
    rejected_in,
    rejected_message,
    rejected_tree,
    still_gone,
    taken_back,
)
from workers.git.objects import Edit, edits
from workers.outside import CommitId, Outcome, Remote, Update
from workers.tree import BlobChange, BlobId, Changes, Files, RejectedFacts, blob_id, change_digest, compared

_STALE = "stale info"


class MemoryTree:
    """A folder: names to folders or blobs, sorted as paths are. `id` is equal for equal content."""

    __slots__ = ("entries", "id")

    def __init__(self, entries: Mapping[str, MemoryTree | BlobId]) -> None:
        self.entries = dict(sorted(entries.items(), key=lambda item: _sorting(*item)))
        text = "".join(f"{name} {_id(entry)}\n" for name, entry in self.entries.items())
        self.id = hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()

    def replaced(self, changed: Mapping[str, Edit]) -> MemoryTree:
        """With names replaced; folders that become empty go."""
        entries = dict(self.entries)
        for name, edit in changed.items():
            old = entries.pop(name, None)
            inner = (old if isinstance(old, MemoryTree) else _EMPTY).replaced(edit.inner)
            if edit.file:
                entries[name] = edit.file
            elif inner.entries:
                entries[name] = inner
            elif old is not None and not isinstance(old, MemoryTree) and not edit.removes:
                entries[name] = old
        return MemoryTree(entries)

    def find(self, path: str) -> MemoryTree | BlobId | None:
        entry: MemoryTree | BlobId | None = self
        for name in path.split("/") if path else ():
            entry = entry.entries.get(name) if isinstance(entry, MemoryTree) else None
        return entry

    def walk(self, prefix: str) -> Iterator[tuple[str, BlobId]]:
        for name, entry in self.entries.items():
            if isinstance(entry, MemoryTree):
                yield from entry.walk(f"{prefix}{name}/")
            else:
                yield prefix + name, entry


def _sorting(name: str, entry: MemoryTree | BlobId) -> str:
    return f"{name}/" if isinstance(entry, MemoryTree) else name


def _id(entry: MemoryTree | BlobId) -> str:
    return f"{entry.id}/" if isinstance(entry, MemoryTree) else entry


_EMPTY = MemoryTree({})


@dataclass(frozen=True, kw_only=True)
class MemoryCommit:
    """`ancestors` with itself; `generation` grows from parent to child."""

    commit: Commit
    tree: MemoryTree
    when: datetime
    ancestors: frozenset[CommitId]
    generation: int


@dataclass(kw_only=True)
class _Store:
    commits: dict[CommitId, MemoryCommit] = field(default_factory=dict)
    blobs: dict[BlobId, bytes] = field(default_factory=dict)
    differences: dict[tuple[str, str], BlobChange] = field(default_factory=dict)


class MemoryFiles:
    """`workers.tree.Files` of a commit."""

    def __init__(self, tree: MemoryTree, blobs: Mapping[BlobId, bytes]) -> None:
        self.tree = tree
        self._blobs = blobs

    def blob(self, path: str) -> BlobId | None:
        entry = self.tree.find(path)
        return None if isinstance(entry, MemoryTree) else entry

    def read(self, path: str) -> bytes:
        blob = self.blob(path)
        if blob is None:
            raise KeyError(path)
        return self._blobs[blob]

    def under(self, prefix: str) -> Iterator[tuple[str, BlobId]]:
        folder = prefix.rstrip("/")
        entry = self.tree.find(folder)
        return entry.walk(f"{folder}/" if folder else "") if isinstance(entry, MemoryTree) else iter(())

    def since(self, older: Files, prefix: str) -> BlobChange:
        return compared(older, self, prefix)


class MemoryRemote:
    """What a Git server holds: refs, and everything that they ever led to. Begins with one commit on main."""

    def __init__(self, content: Mapping[str, bytes], *, author: tuple[str, str], when: datetime) -> None:
        self.store = _Store()
        self.refs: dict[str, CommitId] = {}
        self.refs[paths.MAIN] = self.commit([], content, "Begin\n", author=author, when=when)

    def commit(
        self, parents: Sequence[CommitId], changes: Changes, message: str, *, author: tuple[str, str], when: datetime
    ) -> CommitId:
        blobs = {path: None if data is None else blob_id(data) for path, data in changes.items()}
        self.store.blobs |= {blob_id(data): data for data in changes.values() if data is not None}
        return self.commit_blobs(parents, blobs, message, author=author, when=when)

    def commit_blobs(
        self,
        parents: Sequence[CommitId],
        blobs: Mapping[str, BlobId | None],
        message: str,
        *,
        author: tuple[str, str],
        when: datetime,
        base: MemoryTree | None = None,
    ) -> CommitId:
        """A commit on the tree of its first parent, or on `base`."""
        before = [self.store.commits[parent] for parent in parents]
        old = base or (before[0].tree if before else _EMPTY)
        tree = old.replaced(edits(blobs))
        said = repr((tree.id, tuple(parents), author, message, int(when.timestamp())))
        name = CommitId(hashlib.sha1(said.encode(), usedforsecurity=False).hexdigest())
        self.store.commits[name] = MemoryCommit(
            commit=Commit(id=name, parents=tuple(parents), author=author, message=message),
            tree=tree,
            when=when,
            ancestors=frozenset({name}).union(*(parent.ancestors for parent in before)),
            generation=1 + max((parent.generation for parent in before), default=0),
        )
        return name

    def move(self, update: Update) -> Outcome:
        """One ref as a Git server moves it: with a lease, and never into the place of a folder of refs."""
        at = self.refs.get(update.ref)
        if at == update.new:
            return Outcome(status="done")
        if at != update.old:
            return Outcome(status="stale", message=_STALE)
        if update.new is None:
            del self.refs[update.ref]
        elif any(ref.startswith(f"{update.ref}/") or update.ref.startswith(f"{ref}/") for ref in self.refs):
            return Outcome(status="refused", message="cannot create: a branch can't have the name of a folder")
        else:
            self.refs[update.ref] = update.new
        return Outcome(status="done")


class MemoryRepository:
    """`workers.outside.Repository` over a `MemoryRemote`.

    `people` False: only the robot's paths may be committed. `before_push` sees the updates and may move refs of the
    remote (a race) or raise (the remote is away, the worker dies); `after_push` sees what happened and may raise (it
    landed, and nobody knows) or give other outcomes (`unknown`).
    """

    def __init__(
        self,
        remote: MemoryRemote,
        *,
        author: tuple[str, str],
        people: bool = True,
        before_push: Callable[[Sequence[Update]], None] | None = None,
        after_push: Callable[[Mapping[str, Outcome]], Mapping[str, Outcome] | None] | None = None,
    ) -> None:
        self.remote = remote
        self._author = author
        self._people = people
        self._before_push = before_push
        self._after_push = after_push
        self._seen: Remote | None = None

    def fetch(self) -> Remote:
        refs = dict(sorted(self.remote.refs.items()))
        known = self._seen
        if known is not None and known.refs == refs:
            return known
        if paths.MAIN not in refs:
            raise HumanNeeded("NoMain", "the repository has no branch main", subject="memory")
        main = refs[paths.MAIN]
        if known is not None and known.main not in self._commit(main).ancestors:
            raise HumanNeeded("MainMovedBack", "main was moved to a commit that doesn't follow", subject="memory")
        files = self.files(main)
        if known is not None and isinstance(known.files, MemoryFiles) and known.files.tree.id == files.tree.id:
            files = known.files
        branches = {
            name: branch_of(
                self, name, main=main, head=head, main_files=files, files=self.files(head), robot=self._author
            )
            for name, head in branches_in(refs).items()
        }
        rejected, paused = refs.get(paths.REJECTED), refs.get(paths.PAUSED)
        before = known.branches.values() if known else ()
        taken = taken_back(
            self,
            main,
            looked_at(self._message(rejected)) if rejected else None,
            robot=self._author,
            proposed=frozenset(change_digest(branch.change) for branch in (*before, *branches.values())),
        )
        self._seen = Remote(
            main=main,
            main_time=self._commit(main).when,
            files=files,
            branches=branches,
            rejected=rejected_in(path for path, _ in self.files(rejected).under("")) if rejected else frozenset(),
            taken_back=still_gone(taken, files),
            paused=self._message(paused).strip() if paused else None,
            refs=refs,
        )
        return self._seen

    def files(self, commit: CommitId) -> MemoryFiles:
        return MemoryFiles(self._commit(commit).tree, self.remote.store.blobs)

    def commit(self, *, parents: Sequence[CommitId], changes: Changes, message: str, when: datetime) -> CommitId:
        for path in changes:
            if not (self._people or paths.is_owned(path)) or {"", ".", "..", ".git"} & set(path.lower().split("/")):
                raise ValueError(f"{path!r} isn't a path that a commit of {self._author[0]} may change")
        return self.remote.commit(parents, changes, message, author=self._author, when=when)

    def remember(self, rejected: RejectedFacts, *, remote: Remote, when: datetime, looked: bool = True) -> CommitId:
        last = remote.refs.get(paths.REJECTED)
        mark = remote.main if looked else looked_at(self._message(last)) if last else None
        empty = blob_id(b"")
        self.remote.store.blobs[empty] = b""
        return self.remote.commit_blobs(
            [last] if last else [],
            {path: blob or empty for path, blob in rejected_tree(rejected).items()},
            rejected_message(mark),
            author=self._author,
            when=when,
            base=_EMPTY,
        )

    def push(self, updates: Sequence[Update], *, atomic: bool = False) -> Mapping[str, Outcome]:
        for update in updates:
            if update.ref == paths.MAIN and (update.new is None or not self._follows(update.new, update.old)):
                raise ValueError(f"main only moves forward, not from {update.old} to {update.new}")
        if self._before_push is not None:
            self._before_push(updates)
        before = dict(self.remote.refs)
        outcomes: Mapping[str, Outcome] = {update.ref: self.remote.move(update) for update in updates}
        cause = next((outcome for outcome in outcomes.values() if outcome.status != "done"), None)
        if atomic and cause is not None:
            self.remote.refs = before
            outcomes = {ref: cause if outcome.status == "done" else outcome for ref, outcome in outcomes.items()}
        if self._after_push is not None:
            outcomes = self._after_push(outcomes) or outcomes
        return outcomes

    # --- workers.git.history.Log

    def commits(self, tips: Iterable[CommitId], without: CommitId | None) -> Iterator[Commit]:
        reached: set[CommitId] = set().union(*(self._commit(tip).ancestors for tip in tips))
        hidden: Collection[CommitId] = self._commit(without).ancestors if without else ()
        found = sorted((self._commit(name) for name in reached.difference(hidden)), key=lambda one: -one.generation)
        return (one.commit for one in found)

    def time(self, commit: CommitId) -> datetime:
        return self._commit(commit).when

    def merge_base(self, one: CommitId, other: CommitId) -> CommitId | None:
        shared = self._commit(one).ancestors & self._commit(other).ancestors
        return max(shared, key=lambda name: (self._commit(name).generation, name), default=None)

    def changes(self, old: CommitId, new: CommitId, folder: str = "") -> BlobChange:
        before, after = (self._commit(name).tree for name in (old, new))
        known = self.remote.store.differences.get((before.id, after.id))
        if known is None:
            known = dict(sorted(_differences(before, after, "")))
            self.remote.store.differences[before.id, after.id] = known
        if not folder:
            return known
        return {path: change for path, change in known.items() if path.startswith(f"{folder}/")}

    def blob(self, commit: CommitId, path: str) -> BlobId | None:
        return self.files(commit).blob(path)

    def _commit(self, name: CommitId) -> MemoryCommit:
        return self.remote.store.commits[name]

    def _message(self, name: CommitId) -> str:
        return self._commit(name).commit.message

    def _follows(self, new: CommitId, old: CommitId | None) -> bool:
        return old is None or old in self._commit(new).ancestors


def _differences(
    old: MemoryTree | BlobId | None, new: MemoryTree | BlobId | None, path: str
) -> Iterator[tuple[str, tuple[BlobId | None, BlobId | None]]]:
    before = old if isinstance(old, MemoryTree) else _EMPTY
    after = new if isinstance(new, MemoryTree) else _EMPTY
    if before.id != after.id:
        for name in before.entries.keys() | after.entries.keys():
            inner = f"{path}/{name}" if path else name
            yield from _differences(before.entries.get(name), after.entries.get(name), inner)
    was, now = (None if isinstance(side, MemoryTree) else side for side in (old, new))
    if was != now:
        yield path, (was, now)
