"""What people do where proposals are reviewed, drawn by chance: on plain branches, and on pull requests.

Each act is one that a person can do there, with a check of the merge result before anything is merged, as CI does it.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from datetime import datetime
from typing import Any, Protocol

from syncer.protocol.secret import Secret
from tests.forge.fake_gitea import FakeGitea, Pull
from tests.forge.wire import MemoryRest
from tests.simulator.repository import MemoryRemote, MemoryRepository
from workers.check import check
from workers.documents import paths
from workers.documents.kinds import Forge
from workers.forge.git import GitForge, reject
from workers.forge.gitea import GiteaForge
from workers.forge.rest import Rest
from workers.outside import Branch, CommitId, Forges, Update
from workers.tree import Files, FilesInMemory, apply, blob_id

SETTINGS = Forge(type="gitea", url="http://127.0.0.1", repository="acme/mesh")
Mortal = Callable[[Any], Any]
"""Wraps what a worker calls, so that it may die there."""


class Reviews(Protocol):
    """Where a world's proposals are reviewed. `settings`: what main says of it."""

    settings: Forge

    def forges(self, mortal: Mortal) -> Forges:
        """For a worker that begins to work."""
        ...

    def decide(self, branch: Branch) -> str:
        """A person does something with an open proposal; returns what."""
        ...

    def shown(self) -> object:
        """All that people see, for comparing."""
        ...

    def assert_sound(self, open_branches: set[str] | None = None) -> None:
        """No two pull requests show one branch; with `open_branches` each of these has one, and no other."""
        ...


class OnBranches:
    """Forge `git`."""

    settings = Forge()

    def __init__(self, people: MemoryRepository, chance: random.Random, now: Callable[[], datetime]) -> None:
        self._people = people
        self._random = chance
        self._now = now

    def forges(self, mortal: Mortal) -> Forges:
        del mortal
        return GitForge

    def decide(self, branch: Branch) -> str:
        acts = (self.approve, self.approve, self.approve, self.squash, self.update, self.reject)
        act = self._random.choice(acts)
        act(branch)
        return act.__name__

    def approve(self, branch: Branch) -> None:
        self._merge(branch, parents=lambda main: [main, branch.head])

    def squash(self, branch: Branch) -> None:
        self._merge(branch, parents=lambda main: [main])

    def _merge(self, branch: Branch, parents: Callable[[CommitId], list[CommitId]]) -> None:
        remote = self._people.fetch()
        if not is_valid(branch, remote.files):
            return  # two proposals that touch one rendered file: the second waits for a flush
        changes = {path: None if new is None else branch.files.read(path) for path, (_, new) in branch.change.items()}
        commit = self._people.commit(parents=parents(remote.main), changes=changes, message="merge\n", when=self._now())
        self._people.push([Update(ref=paths.MAIN, old=remote.main, new=commit)])

    def update(self, branch: Branch) -> None:
        """Main is merged into the branch."""
        remote = self._people.fetch()
        changes = _difference(branch.files, remote.files) | {
            path: None if new is None else branch.files.read(path) for path, (_, new) in branch.change.items()
        }
        changes = {path: data for path, data in changes.items() if _differs(branch.files, path, data)}
        parents = [branch.head, remote.main]
        commit = self._people.commit(parents=parents, changes=changes, message="update branch\n", when=self._now())
        self._people.push([Update(ref=f"refs/heads/{branch.name}", old=branch.head, new=commit)])

    def reject(self, branch: Branch) -> None:
        reject(self._people, branch.name, when=self._now())

    def shown(self) -> object:
        return None

    def assert_sound(self, open_branches: set[str] | None = None) -> None:
        """The branch is all there is."""


class OnPullRequests:
    """Forge `gitea`, which is late with what follows from pushes."""

    settings = SETTINGS

    def __init__(self, remote: MemoryRemote, chance: random.Random, now: Callable[[], datetime]) -> None:
        self._people = MemoryRepository(remote, author=("alice", "alice@example.org"))
        self._random = chance
        self.fake = FakeGitea(remote, lag=lambda: chance.random() < 0.3, now=now)
        self.fake.style = chance.choice(("merge", "squash", "rebase", "fast-forward-only"))

    def forges(self, mortal: Mortal) -> Forges:
        rest: Rest = mortal(MemoryRest(self.fake))
        forge = GiteaForge(SETTINGS, lambda: ("robot", Secret("")), rest)
        return lambda _: forge

    def decide(self, branch: Branch) -> str:
        pull = next((one for one in self.fake.pulls if one.open and one.branch == branch.name), None)
        if pull is None:
            return "nobody sees"
        acts = ("merge", "merge", "squash", "rebase", "update", "update?style=rebase", "close", "comment", "approve")
        act = self._random.choice(acts)
        if act in {"merge", "squash", "rebase"}:
            if is_valid(branch, self._people.fetch().files):
                self._ask(pull, "POST", "/merge", {"Do": act, "delete_branch_after_merge": self._random.random() < 0.5})
        elif act == "close":
            self._ask(pull, "PATCH", "", {"state": "closed"})
        elif act == "approve":
            self._ask(pull, "POST", "/reviews", {"event": "APPROVED"})
        elif act == "comment":
            self.fake.ask("alice", "POST", f"/repos/acme/mesh/issues/{pull.number}/comments", {"body": "Hm."})
        else:
            self._ask(pull, "POST", "/update", {}, {"style": act.partition("=")[2]})
        return act

    def _ask(self, pull: Pull, method: str, path: str, body: Any, query: dict[str, str] | None = None) -> None:
        self.fake.ask("alice", method, f"/repos/acme/mesh/pulls/{pull.number}{path}", body, query)

    def shown(self) -> object:
        return [(pull.number, pull.title, pull.body, pull.at, pull.open, pull.updated) for pull in self.fake.pulls]

    def assert_sound(self, open_branches: set[str] | None = None) -> None:
        shown = [pull.branch for pull in self.fake.pulls if pull.open]
        assert len(shown) == len(set(shown)), f"two pull requests for one branch: {sorted(shown)}"
        if open_branches is not None:
            self.fake.catch_up()
            assert {pull.branch for pull in self.fake.pulls if pull.open} == open_branches


def is_valid(branch: Branch, main: Files) -> bool:
    """Whether `peermesh check` lets the merge pass."""
    changes = {path: None if new is None else branch.files.read(path) for path, (_, new) in branch.change.items()}
    content = {path: main.read(path) for path, _ in main.under("")}
    return not check(FilesInMemory(apply(content, changes)), main)


def _difference(old: Files, new: Files) -> dict[str, bytes | None]:
    was, will = dict(old.under("")), dict(new.under(""))
    changed = (path for path in was.keys() | will.keys() if was.get(path) != will.get(path))
    return {path: new.read(path) if path in will else None for path in changed}


def _differs(files: Files, path: str, data: bytes | None) -> bool:
    return files.blob(path) != (None if data is None else blob_id(data))
