"""What the benchmarks share: the mesh in a real bare repository, a worker that knows it, a work tree of it.

Each is made when it is first needed, in a folder outside the checkout. Knows how they are made; measures nothing.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Final

from syncer.protocol.observation import Observation
from tests.bench.mesh import NOW, SMALL, WHOLE, Size, changed, large_tree, observations_of
from tests.meshes import files_of
from tests.servers.git_http import bare_repository
from workers.documents import paths
from workers.git import Access, GitRepository
from workers.ground import Known
from workers.outside import CommitId, Remote, Update
from workers.plan import Memory, Plan, plan
from workers.reach import reach
from workers.render import render
from workers.situation import Warm
from workers.tree import Changes, Tree, read_tree

HISTORY: Final = 20
"""Commits on main after the first one; each changes a service, with its imports in all clusters."""
ROBOT: Final = ("peermesh", "peermesh@localhost.invalid")


def say(what: str) -> None:
    """Progress, for whoever waits."""
    sys.stderr.write(f"{what}\n")
    sys.stderr.flush()


@contextmanager
def making(what: str) -> Iterator[None]:
    """Tell what takes long, and how long it took."""
    say(f"… {what}")
    begun = time.perf_counter()
    yield
    say(f"  {time.perf_counter() - begun:.1f} s")


def run(*command: str) -> str:
    """What a program prints. Raises RuntimeError, with what it complained of, if it fails."""
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)[:200]}: {done.stdout}{done.stderr}")
    return done.stdout.strip()


def git(*args: str, within: Path) -> str:
    """What git says; as `run`."""
    return run("git", "-C", str(within), *args)


class Worker:
    """A worker's view: its copy, what it keeps between flushes, and what it heard of all clusters."""

    def __init__(self, url: str, copy: Path, access: Access | None = None) -> None:
        self.copy = copy
        self.repository = GitRepository(url, copy=copy, author=ROBOT, access=access, seconds=300)
        self.warm = Warm()
        self.said: Mapping[str, Observation] = {}

    def look(self) -> tuple[Remote, Tree]:
        """Fetch and read, as `flush` does. Raises RuntimeError if main isn't valid."""
        remote = self.repository.fetch()
        tree, problems = read_tree(remote.files, self.warm.documents)
        if tree is None or problems:
            raise RuntimeError(f"main isn't valid: {problems[:3]}")
        self.said = self.said or observations_of(tree)
        return remote, tree

    def plan(self, said: Mapping[str, Observation] | None = None) -> Plan:
        """Look and plan, as `flush` does: on what clusters said, or on what they say now."""
        remote, tree = self.look()
        return planned(remote, tree, self.warm.known, said or self.said)

    def commit(self, changes: Changes, remote: Remote) -> CommitId:
        """A commit on main, not pushed."""
        return self.repository.commit(parents=[remote.main], changes=changes, message="A service changes\n", when=NOW)

    def push(self, ref: str, old: CommitId | None, new: CommitId | None) -> None:
        """Move one ref of the remote. Raises RuntimeError if it doesn't."""
        outcome = self.repository.push([Update(ref=ref, old=old, new=new)])[ref]
        if outcome.status != "done":
            raise RuntimeError(f"{ref}: {outcome}")


class World:
    """Everything below `folder`. `quick`: the small mesh, and few repetitions."""

    def __init__(self, folder: Path, *, quick: bool) -> None:
        self.folder = folder
        self.size: Size = SMALL if quick else WHOLE
        self.quick = quick
        self._changes = 0

    def times(self, wanted: int) -> int:
        """How often to repeat what should be repeated so often."""
        return min(wanted, 2) if self.quick else wanted

    @cached_property
    def remote(self) -> Path:
        """The mesh as a bare repository, with a short history."""
        with making(f"a repository of {self.size} imports, {HISTORY} commits of history"):
            remote = bare_repository(self.folder / "mesh.git")
            build(self.size, remote, self.folder / "first")
            worker = Worker(str(remote), self.folder / "first")
            for _ in range(HISTORY):
                self.merge_a_change(worker)
            shutil.rmtree(worker.copy)
        return remote

    @cached_property
    def worker(self) -> Worker:
        """A worker that has planned on main before: warm."""
        remote = str(self.remote)
        with making("a worker's first look"):
            worker = Worker(remote, self.folder / "copy")
            worker.plan()
        return worker

    @cached_property
    def work_tree(self) -> Path:
        """A checkout of the repository, as a person or a simpler robot would have it."""
        remote = self.remote
        with making("a checkout of all files"):
            checkout = self.folder / "checkout"
            git("clone", "--quiet", remote.as_uri(), str(checkout), within=self.folder)
            for key, value in zip(("user.name", "user.email"), ROBOT, strict=True):
                git("config", key, value, within=checkout)
        return checkout

    def next_change(self) -> int:
        """A number that no change had before."""
        self._changes += 1
        return self._changes

    def merge_a_change(self, worker: Worker) -> None:
        """One service changes, and main has it; `worker` pushed it, and hasn't looked since."""
        remote, tree = worker.look()
        worker.said = changed(worker.said, self.next_change())
        made = planned(remote, tree, worker.warm.known, worker.said, merges=True)
        worker.push(paths.MAIN, remote.main, worker.commit(made.changes, remote))


def planned(remote: Remote, tree: Tree, known: Known, said: Mapping[str, Observation], *, merges: bool = False) -> Plan:
    """The plan as `flush` makes it."""
    return plan(tree, remote.files, said, Memory(), merges=lambda _: merges, known=known)


def build(size: Size, remote: Path, copy: Path) -> None:
    """A mesh of this size becomes the first commit of a bare repository; `copy` is used for it and stays."""
    tree = large_tree(size)
    rendered = {path: file.data for path, file in render(tree, reach(tree)).items() if file}
    people = GitRepository(str(remote), copy=copy, author=ROBOT, people=True, seconds=300)
    commit = people.commit(parents=[], changes={**files_of(tree), **rendered}, message="Begin\n", when=NOW)
    people.push([Update(ref=paths.MAIN, old=None, new=commit)])
