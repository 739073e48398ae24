"""The disposable copy: a bare repository with the newest commits of the remote, their trees, and the files asked for.

Knows how it is fetched into, looked from and pushed from. Whatever is wrong with it is `Damaged`: then it is thrown
away and made again, for nothing in it is worth more than the time of a clone. Only one process at a time may use it.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import pygit2

from syncer.protocol.errors import HumanNeeded, PeermeshError, Transient
from workers.documents import paths
from workers.git.address import Address
from workers.git.command import Ran, git
from workers.git.outcomes import Failure, Report, classify
from workers.outside import CommitId
from workers.tree import BlobId

DEPTH: Final = 50
"""Commits of history that a new copy begins with; it is deepened where that isn't enough."""
# Main without `+`: git refuses to move it backwards, at every fetch until a person removes the copy.
_REFSPECS: Final = (
    f"{paths.MAIN}:{paths.MAIN}",
    "+refs/heads/peermesh/*:refs/heads/peermesh/*",
    "+refs/peermesh/*:refs/peermesh/*",
)
_PEOPLES: Final = f"refs/heads/{paths.PEOPLE}"
_FETCH: Final = ("fetch", "--no-tags", "--no-write-fetch-head", "--no-auto-maintenance", "--no-recurse-submodules")
# Only fetching may know that files can be brought later. A push that knew it would bring what its commits replace, to
# send less; and after a race, with a main that we haven't seen, all files of ours, to send them back (git 2.39).
_PARTIAL: Final = ("-c", "remote.origin.promisor=true", "-c", "remote.origin.partialclonefilter=blob:none")
_PUSH: Final = ("push", "--porcelain", "--no-verify", "--no-signed", "--no-recurse-submodules")
_NEGOTIATED: Final = ("-c", "push.negotiate=true")
_MOVED_BACK: Final = re.compile(r"! \[rejected\]\s+main\s+-> main\s")
_FETCHES_PER_MAINTENANCE: Final = 20
_MARK: Final = "peermesh-copy"
"""A file in the folder of a copy: without it nothing is removed, whatever the settings call a copy."""


class Damaged(Exception):
    """The copy must be made again: an object can't be read or written, or git finds fault with it."""


@contextmanager
def damage() -> Iterator[None]:
    """Turn what libgit2 says of a broken repository into `Damaged`."""
    try:
        yield
    except (pygit2.GitError, KeyError, OSError) as error:
        raise Damaged(str(error)) from error


class Copy:
    """The copy in `folder`, made when it is first needed. `people`: with the branches of people's orders."""

    def __init__(self, folder: Path, address: Address, *, seconds: float, people: bool = False) -> None:
        self.folder = folder
        self._peoples = (_PEOPLES,) if people else ()
        self.address = address
        self._seconds = seconds
        self._repo: Any = None
        self._fetches = 0

    @property
    def repo(self) -> Any:
        """The copy as libgit2 sees it (`pygit2.Repository`), made if it isn't there or is one of another remote."""
        if self._repo is None:
            with damage():
                self._repo = self._opened() or self._made()
        return self._repo

    def discard(self) -> None:
        """Throw it away; the next use makes it again. The mark stays, should we be ended half-way."""
        self._repo = None
        if (self.folder / _MARK).exists():
            for entry in self.folder.iterdir():
                if entry.is_dir():
                    shutil.rmtree(entry, ignore_errors=True)
                elif entry.name != _MARK:
                    entry.unlink(missing_ok=True)

    @contextmanager
    def mended(self) -> Iterator[None]:
        """Where the copy turns out to be damaged, throw it away and raise Transient."""
        try:
            yield
        except Damaged as error:
            self.discard()
            raise Transient(
                "CopyDamaged",
                f"the copy of the repository was damaged and is made again ({error})",
                subject=self.address.url,
            ) from error

    def fetch(self) -> dict[str, CommitId]:
        """Bring all refs and what is new behind them: commits and trees, no files. Returns the refs.

        Raises:
            HumanNeeded: main was moved backwards, or the remote refuses.
            Transient: the remote is away.
            Damaged: the copy must be made again.
        """
        before = self._refs()
        self._fetch(*(() if paths.MAIN in before else (f"--depth={DEPTH}",)))
        after = self._refs()
        if after != before:
            self._maintain()
            self._repo = None
        return after

    def deepen(self, by: int | None) -> None:
        """Bring more history: `by` commits before the oldest ones; None: all there is."""
        self._fetch("--unshallow" if by is None else f"--deepen={by}")
        self._repo = None  # libgit2 reads only once where history was cut

    def cut(self) -> frozenset[CommitId]:
        """The commits whose parents weren't fetched."""
        shallow = self.folder / "shallow"
        return frozenset(map(CommitId, shallow.read_text().split())) if shallow.exists() else frozenset()

    def bring(self, blobs: Iterable[BlobId]) -> None:
        """Bring those of these files that aren't here yet, in one request. Raises as `fetch` does."""
        with damage():
            missing = [blob for blob in dict.fromkeys(blobs) if blob not in self.repo.odb]
        if missing:
            # `noop`: else git would say which commits it has, and the server would take their files for known.
            args = (*_PARTIAL, "-c", "fetch.negotiationAlgorithm=noop", *_FETCH, "--stdin", "origin")
            self._succeed(self._git(*args, stdin="\n".join(missing).encode()))

    def look(self, refs: Iterable[str]) -> Mapping[str, CommitId]:
        """Where these refs stand on the remote now, those that are there. Raises as `fetch` does."""
        ran = self._git("ls-remote", "origin", *refs)
        self._succeed(ran)
        rows = (line.partition("\t") for line in ran.stdout.splitlines())
        return {ref: CommitId(commit) for commit, _, ref in rows}

    def unpack(self, pack: bytes) -> None:
        """Take the objects of a pack in. Raises Damaged."""
        ran = self._git("index-pack", "--stdin", stdin=pack)
        if ran.exit_code != 0:
            raise Damaged(f"git index-pack: {ran.stderr.strip()}")

    def push(self, refspecs: Iterable[str], *, options: Iterable[str]) -> Report:
        """Push, and say what git said of it. Raises Damaged only, so that the caller can look what arrived.

        When the remote has moved, git can't tell from its refs what it knows of ours, and lacks files that it wants to
        send; then it asks.
        """
        args = (*_PUSH, *options, "origin", *refspecs)
        for settings in ((), _NEGOTIATED):
            ran = self._git(*settings, *args)
            report = classify(ran.exit_code, ran.stdout, ran.stderr)
            if report.failure is None or report.failure.kind != "copy":
                return report
        raise Damaged(ran.stderr.strip())

    def error(self, failure: Failure) -> PeermeshError:
        """The failure as one of the four errors."""
        kind = HumanNeeded if failure.kind == "human" else Transient
        return kind(failure.reason, failure.what, subject=self.address.url, remedy=failure.remedy)

    def _opened(self) -> Any:
        if not (self.folder / _MARK).exists():
            if self.folder.exists() and any(self.folder.iterdir()):
                raise HumanNeeded(
                    "NotACopy",
                    "the folder for the copy of the repository has other things in it",
                    subject=str(self.folder),
                    remedy="Name a folder that is empty or absent; what is in a copy may be deleted at any time.",
                )
            return None
        try:
            repo = pygit2.Repository(str(self.folder))
            if repo.config["remote.origin.url"] == self.address.url:
                return repo
        except (pygit2.GitError, KeyError):
            pass
        self.discard()
        return None

    def _made(self) -> Any:
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            (self.folder / _MARK).touch()
        except OSError as error:
            what = f"the folder for the copy of the repository can't be written: {error.strerror}"
            remedy = "Name a folder that this process may write."
            raise HumanNeeded("NoCopyFolder", what, subject=str(self.folder), remedy=remedy) from error
        repo = pygit2.init_repository(str(self.folder), bare=True, initial_head="main")
        repo.config["remote.origin.url"] = self.address.url
        return repo

    def _refs(self) -> dict[str, CommitId]:
        with damage():
            found = {ref.name: CommitId(str(ref.target)) for ref in self.repo.references.iterator()}
        ours = ("refs/heads/peermesh/", "refs/peermesh/", *self._peoples)
        return {name: at for name, at in sorted(found.items()) if name == paths.MAIN or name.startswith(ours)}

    def _fetch(self, *options: str) -> None:
        # A server without filters ignores them, and the copy is only larger.
        refspecs = (*_REFSPECS, *(f"+{prefix}*:{prefix}*" for prefix in self._peoples))
        ran = self._git(*_PARTIAL, *_FETCH, "--prune", *options, "origin", *refspecs)
        if _MOVED_BACK.search(ran.stderr):
            raise HumanNeeded(
                "MainMovedBack",
                "main was moved to a commit that doesn't follow from the one seen last",
                subject=self.address.url,
                remedy=f"Put main back. If that was meant, remove the folder {self.folder} and it is taken as it is.",
            )
        self._succeed(ran)

    def _maintain(self) -> None:
        """Pack what has piled up. It may fail: the copy is as good without."""
        if self._fetches % _FETCHES_PER_MAINTENANCE == 0:
            self._git(*_PARTIAL, "gc", "--auto", "--quiet")
        self._fetches += 1

    def _git(self, *args: str, stdin: bytes = b"") -> Ran:
        at = ("--git-dir", self.repo.path)
        return git(*at, *args, address=self.address, seconds=self._seconds, stdin=stdin)

    def _succeed(self, ran: Ran) -> None:
        failure = classify(ran.exit_code, ran.stdout, ran.stderr).failure
        if failure is None:
            return
        if failure.kind == "copy":
            raise Damaged(failure.what)
        raise self.error(failure)
