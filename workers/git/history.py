"""What history says: whose change a branch carries, what people took back, what was rejected.

Pure: knows commits and blobs as values through `Log`, and the trailers that carry memory. Knows no repository; the
adapter and the in-memory double in `tests/simulator/` both answer with it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Protocol

from workers.documents import paths
from workers.outside import Branch, CommitId
from workers.tree import BlobChange, BlobId, Files, RejectedFacts, change_digest

CHANGE: Final = "Peermesh-Change"
"""Trailer of the robot's commits: the digest of what they change."""
LOOKED_AT: Final = "Peermesh-Main"
"""Trailer of the commits of `refs/peermesh/rejected`: the main up to which people's commits were looked at."""
FACTS: Final = ("facts/clusters", "facts/exports", "pki")
"""Where what can be rejected stands."""
_ABSENT: Final = "absent"


@dataclass(frozen=True, kw_only=True)
class Commit:
    """A commit as far as history is concerned. `cut`: its parents weren't fetched."""

    id: CommitId
    parents: tuple[CommitId, ...]
    author: tuple[str, str]
    message: str
    cut: bool = False


class Log(Protocol):
    """A graph of commits with their trees."""

    def commits(self, tips: Iterable[CommitId], without: CommitId | None) -> Iterator[Commit]:
        """All that the tips follow from, themselves included, but nothing that `without` follows from; newest first."""
        ...

    def time(self, commit: CommitId) -> datetime:
        """When it was committed."""
        ...

    def merge_base(self, one: CommitId, other: CommitId) -> CommitId | None:
        """The newest known commit that both follow from."""
        ...

    def changes(self, old: CommitId, new: CommitId, folder: str = "") -> BlobChange:
        """What differs below a folder."""
        ...

    def blob(self, commit: CommitId, path: str) -> BlobId | None: ...


def trailer(message: str, name: str) -> str | None:
    """The last one of this name, wherever it stands: a squash puts our message in the middle of another one."""
    found = re.findall(rf"^{name}: ([0-9a-f]{{40}})\s*$", message, re.MULTILINE)
    return found[-1] if found else None


def past(log: Log, main: CommitId, folder: str) -> Iterator[tuple[datetime, BlobChange]]:
    """What each commit that main was at changed below a folder, and when; newest first, as far as it was fetched.

    A merge counts as a whole, when it was merged.
    """
    following = main
    for commit in log.commits((main,), None):
        if commit.id != following:
            continue
        if commit.cut or not commit.parents:
            return
        following = commit.parents[0]
        if change := log.changes(following, commit.id, folder):
            yield log.time(commit.id), change


def base_is_certain(log: Log, main: CommitId, head: CommitId, base: CommitId | None) -> bool:
    """Whether more history can't show another merge base: between it and both tips nothing is cut.

    A copy may know an old common commit through a merge on main, and not yet the newer one, which is deeper on main.
    """
    return not any(commit.cut for commit in log.commits((main, head), base))


def branch_of(
    log: Log, name: str, *, main: CommitId, head: CommitId, main_files: Files, files: Files, robot: tuple[str, str]
) -> Branch:
    """A branch against its merge base with main. One that has nothing in common with main is foreign.

    `robot`: the author of the robot's commits. Of a branch of people's the newest message counts, whoever wrote it.
    """
    base = log.merge_base(main, head)
    change = log.changes(base or main, head)
    commits = list(log.commits((head,), base))
    peoples = name.startswith(paths.PEOPLE)
    ours = next((commit.message for commit in commits if peoples or trailer(commit.message, CHANGE)), "")
    return Branch(
        name=name,
        head=head,
        time=log.time(head),
        message=ours,
        change=change,
        foreign=base is None or (not peoples and bool(change) and change_digest(change) != trailer(ours, CHANGE)),
        merges=base is not None and all(main_files.blob(path) == old for path, (old, _) in change.items()),
        files=files,
        own=len(commits) == 1 and commits[0].author == robot and trailer(ours, CHANGE) == change_digest(change),
    )


def taken_back(
    log: Log, main: CommitId, since: CommitId | None, *, robot: tuple[str, str], proposed: frozenset[str]
) -> RejectedFacts:
    """Facts that commits of people replaced, with the blob that they replaced; whether it came back isn't asked here.

    Merges are left out: what they bring was committed elsewhere. `robot` is the author, and `proposed` are the digests,
    of commits that aren't people's. A fact that somebody adds takes a withdrawal back only if it stood there before.
    """
    found: set[tuple[str, BlobId | None]] = set()
    for commit in log.commits((main,), since):
        if commit.cut or len(commit.parents) != 1:
            continue
        before = commit.parents[0]
        changes = {path: blobs for folder in FACTS for path, blobs in log.changes(before, commit.id, folder).items()}
        facts = {path: blobs for path, blobs in changes.items() if paths.is_refusable(path)}
        if facts and not _is_the_robots(log, commit, robot, proposed):
            found |= {(path, old) for path, (old, _) in facts.items() if old or _stood_before(log, before, path)}
    return frozenset(found)


def still_gone(taken: RejectedFacts, main: Files) -> RejectedFacts:
    """Those that haven't come back to main since."""
    return frozenset((path, blob) for path, blob in taken if main.blob(path) != blob)


def _is_the_robots(log: Log, commit: Commit, robot: tuple[str, str], proposed: frozenset[str]) -> bool:
    """Its commit as it was made, or a proposal that a forge squashed or rebased, perhaps in a person's name."""
    said = trailer(commit.message, CHANGE)
    if said and commit.author == robot:
        return True
    digests = {said, *proposed} - {None}
    return bool(digests) and change_digest(log.changes(commit.parents[0], commit.id)) in digests


def _stood_before(log: Log, commit: CommitId, path: str) -> bool:
    return any(log.blob(before.id, path) is not None for before in log.commits((commit,), None))


def rejected_tree(rejected: RejectedFacts) -> Mapping[str, BlobId | None]:
    """Rejected facts as files: `<path of the fact>/<blob>`, or, empty, `<path of the fact>/absent` for None."""
    return {f"{path}/{blob or _ABSENT}": blob for path, blob in sorted(rejected, key=str)}


def rejected_message(mark: CommitId | None) -> str:
    """The message of the commit that remembers them."""
    return "Facts that people refused\n" + (f"\n{LOOKED_AT}: {mark}\n" if mark else "")


def looked_at(message: str) -> CommitId | None:
    """The main that `rejected_message` names."""
    mark = trailer(message, LOOKED_AT)
    return None if mark is None else CommitId(mark)


def rejected_in(files: Iterable[str]) -> RejectedFacts:
    """What `rejected_tree` wrote."""
    parts = (path.rpartition("/") for path in files)
    return frozenset((fact, None if name == _ABSENT else BlobId(name)) for fact, _, name in parts if fact)


def branches_in(refs: Mapping[str, CommitId]) -> Mapping[str, CommitId]:
    """The heads of the branches that propose something, by their short name."""
    prefix = "refs/heads/"
    ours = (f"{prefix}peermesh/", f"{prefix}{paths.PEOPLE}")
    return {ref.removeprefix(prefix): head for ref, head in refs.items() if ref.startswith(ours)}
