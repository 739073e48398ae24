"""The history in a copy: `workers.git.history.Log` through libgit2."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime

from pygit2.enums import SortMode

from workers.git.copy import Copy, damage
from workers.git.history import Commit
from workers.git.objects import Objects
from workers.outside import CommitId
from workers.tree import BlobChange, BlobId


class GitLog:
    """The commits of a copy, as far as it was deepened."""

    def __init__(self, copy: Copy, objects: Objects) -> None:
        self._copy = copy
        self._objects = objects

    def commits(self, tips: Iterable[CommitId], without: CommitId | None) -> Iterator[Commit]:
        cut = self._copy.cut()
        with damage():
            walker = self._copy.repo.walk(None, SortMode.TOPOLOGICAL | SortMode.TIME)
            for tip in tips:
                walker.push(tip)
            if without is not None and without in self._copy.repo:
                walker.hide(without)
            for commit in walker:
                yield Commit(
                    id=CommitId(str(commit.id)),
                    parents=tuple(CommitId(str(parent)) for parent in commit.parent_ids),
                    author=(commit.author.name, commit.author.email),
                    message=commit.raw_message.decode(errors="replace"),
                    cut=str(commit.id) in cut,
                )

    def message(self, commit: CommitId) -> str:
        """The message, whatever bytes it has."""
        with damage():
            return bytes(self._copy.repo[commit].raw_message).decode(errors="replace")

    def time(self, commit: CommitId) -> datetime:
        """When it was committed."""
        with damage():
            return datetime.fromtimestamp(self._copy.repo[commit].commit_time, UTC)

    def merge_base(self, one: CommitId, other: CommitId) -> CommitId | None:
        with damage():
            base = self._copy.repo.merge_base(one, other)
        return None if base is None else CommitId(str(base))

    def follows(self, commit: CommitId, ancestor: CommitId) -> bool:
        """Whether a commit has another one among its ancestors, or is it."""
        with damage():
            return commit == ancestor or bool(self._copy.repo.descendant_of(commit, ancestor))

    def changes(self, old: CommitId, new: CommitId, folder: str = "") -> BlobChange:
        return self._objects.changes(self._objects.tree_of(old), self._objects.tree_of(new), folder)

    def blob(self, commit: CommitId, path: str) -> BlobId | None:
        entry = self._objects.find(self._objects.tree_of(commit), path)
        return entry.blob if entry else None
