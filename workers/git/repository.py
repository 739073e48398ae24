"""The mesh repository on a Git remote: `workers.outside.Repository` over a disposable copy.

Knows in which order the copy is fetched, deepened and read, and which paths may be written. Texts of git are judged in
`outcomes`, history in `history`; objects are made in `objects`. For one thread of one process.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Final

from workers.documents import paths
from workers.git.address import Access, parse_address
from workers.git.copy import DEPTH, Copy, Damaged
from workers.git.files import TreeFiles
from workers.git.history import (
    base_is_certain,
    branch_of,
    branches_in,
    looked_at,
    past,
    rejected_in,
    rejected_message,
    rejected_tree,
    still_gone,
    taken_back,
)
from workers.git.log import GitLog
from workers.git.objects import Objects
from workers.git.push import push
from workers.outside import Branch, CommitId, Outcome, Remote, Update
from workers.tree import Changes, RejectedFacts, change_digest

_DEEPER: Final = (DEPTH, 4 * DEPTH, 16 * DEPTH, None)
_PREFETCHED: Final = ("mesh", "facts", "pki")
"""What planning reads."""
_NEVER_NAMED: Final = frozenset({"", ".", "..", ".git"})


class GitRepository:
    """The repository at `url`: `file://`, a path, `http(s)://`, ssh, `git://`.

    `copy`: an absent or empty folder, or an earlier copy; it may be deleted whenever no process uses it. `author`
    (name, e-mail) makes the commits. `access` wins over credentials in `url`. `people`: commits may change more than
    the robot's part of the tree. `seconds`: how long a single git command may take.

    Raises:
        HumanNeeded: a password without a user.
    """

    def __init__(
        self,
        url: str,
        *,
        copy: Path,
        author: tuple[str, str],
        access: Access | None = None,
        people: bool = False,
        seconds: float = 60.0,
    ) -> None:
        self._copy = Copy(copy, parse_address(url, access), seconds=seconds, people=people)
        self._objects = Objects(self._copy)
        self._log = GitLog(self._copy, self._objects)
        self._author = author
        self._people = people
        self._remote: Remote | None = None
        self._taken: tuple[CommitId | None, CommitId, RejectedFacts] | None = None

    def fetch(self) -> Remote:
        try:
            return self._fetched()
        except Damaged:
            self._copy.discard()
        with self._copy.mended():
            return self._fetched()

    def files(self, commit: CommitId) -> TreeFiles:
        with self._copy.mended():
            return TreeFiles(self._objects, self._objects.tree_of(commit))

    def past(self, folder: str) -> tuple[tuple[datetime, Mapping[str, bytes | None]], ...]:
        """When main changed below a folder, newest first, and what stood at each path before; after a `fetch`.

        As far back as that brought: a copy that was just made knows the newest commits of main.
        """
        assert self._remote is not None, "nothing was fetched"
        with self._copy.mended():
            found = [
                (time, {path: old for path, (old, _) in change.items()})
                for time, change in past(self._log, self._remote.main, folder)
            ]
            self._objects.bring(blob for _, before in found for blob in before.values() if blob is not None)
            return tuple(
                (time, {path: None if old is None else self._objects.read(old) for path, old in before.items()})
                for time, before in found
            )

    def commit(self, *, parents: Sequence[CommitId], changes: Changes, message: str, when: datetime) -> CommitId:
        for path in changes:
            if not (self._people or paths.is_owned(path)) or not _NEVER_NAMED.isdisjoint(path.lower().split("/")):
                raise ValueError(f"{path!r} isn't a path that a commit of {self._author[0]} may change")
        with self._copy.mended():
            before = self._objects.tree_of(parents[0]) if parents else None
            blobs = {path: None if data is None else self._objects.file(data) for path, data in changes.items()}
            tree = self._objects.replaced(before, blobs)
            return self._objects.commit(tree, parents, message, author=self._author, when=when)

    def remember(self, rejected: RejectedFacts, *, remote: Remote, when: datetime, looked: bool = True) -> CommitId:
        with self._copy.mended():
            last = remote.refs.get(paths.REJECTED)
            mark = remote.main if looked else self._mark(last)
            blobs = rejected_tree(rejected)
            self._objects.bring(blob for blob in blobs.values() if blob)
            empty = self._objects.file(b"")
            tree = self._objects.replaced(None, {path: blob or empty for path, blob in blobs.items()})
            message = rejected_message(mark)
            return self._objects.commit(tree, [last] if last else [], message, author=self._author, when=when)

    def push(self, updates: Sequence[Update], *, atomic: bool = False) -> Mapping[str, Outcome]:
        with self._copy.mended():
            self._objects.store()
            for update in updates:
                old, new = update.old, update.new
                if update.ref == paths.MAIN and (new is None or (old and not self._log.follows(new, old))):
                    raise ValueError(f"main only moves forward, not from {old} to {new}")
            return push(self._copy, updates, atomic=atomic)

    # --- what a fetch saw

    def _fetched(self) -> Remote:
        refs = self._copy.fetch()
        known = self._remote
        if known is not None and known.refs == refs:
            return known
        main, heads = refs[paths.MAIN], branches_in(refs)
        self._deepen(main, heads.values())
        main_files = self._main_files(main)
        branches = {name: self._branch(name, main, main_files, head) for name, head in heads.items()}
        main_files.together = {path for branch in branches.values() for path in branch.change}
        self._prefetch(main_files, branches.values())
        rejected, paused = refs.get(paths.REJECTED), refs.get(paths.PAUSED)
        taken = self._taken_back(main, self._mark(rejected), branches.values())
        self._remote = Remote(
            main=main,
            main_time=self._log.time(main),
            files=main_files,
            branches=branches,
            rejected=self._rejected(rejected),
            taken_back=still_gone(taken, main_files),
            paused=None if paused is None else self._log.message(paused).strip(),
            refs=refs,
        )
        return self._remote

    def _deepen(self, main: CommitId, heads: Iterable[CommitId]) -> None:
        heads = list(heads)
        for by in _DEEPER:
            if all(base_is_certain(self._log, main, head, self._log.merge_base(main, head)) for head in heads):
                return
            self._copy.deepen(by)

    def _main_files(self, main: CommitId) -> TreeFiles:
        """The same object for the same tree: what others remember of it stays valid."""
        root = self._objects.tree_of(main)
        if self._remote is not None and isinstance(self._remote.files, TreeFiles) and self._remote.files.root == root:
            return self._remote.files
        return TreeFiles(self._objects, root)

    def _branch(self, name: str, main: CommitId, main_files: TreeFiles, head: CommitId) -> Branch:
        known = self._remote.branches.get(name) if self._remote and self._remote.main == main else None
        if known is not None and known.head == head:
            return known
        files = TreeFiles(self._objects, self._objects.tree_of(head))
        branch = branch_of(
            self._log, name, main=main, head=head, main_files=main_files, files=files, robot=self._author
        )
        files.together = branch.change.keys()
        return branch

    def _prefetch(self, main: TreeFiles, branches: Iterable[Branch]) -> None:
        wanted = [blob for folder in _PREFETCHED for blob in self._objects.blobs_under(main.root, folder)]
        for branch in branches:
            changed = [path for path in branch.change if path.startswith(paths.ROBOTS)]
            wanted += self._objects.blobs(self._objects.tree_of(branch.head), changed)
        self._objects.bring(wanted)

    def _taken_back(self, main: CommitId, since: CommitId | None, branches: Iterable[Branch]) -> RejectedFacts:
        """Main only moves forward, so that what was found up to the last main still holds."""
        before = self._remote.branches.values() if self._remote else ()
        proposed = frozenset(change_digest(branch.change) for branch in (*before, *branches))
        found: RejectedFacts = frozenset()
        start = since
        if self._taken is not None and self._taken[0] == since:
            _, start, found = self._taken
        found |= taken_back(self._log, main, start, robot=self._author, proposed=proposed)
        self._taken = (since, main, found)
        return found

    def _rejected(self, commit: CommitId | None) -> RejectedFacts:
        if commit is None:
            return frozenset()
        return rejected_in(path for path, _ in self._objects.walk(self._objects.tree_of(commit), ""))

    def _mark(self, commit: CommitId | None) -> CommitId | None:
        return None if commit is None else looked_at(self._log.message(commit))
