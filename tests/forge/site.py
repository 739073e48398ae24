"""A mesh with a forge, a worker and people: what the contract of forges is told in.

Knows how news reach a flush, and what people can do wherever proposals are reviewed. Each forge brings its `People`.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal, Protocol

from syncer.protocol.observation import Observation, pack
from syncer.protocol.offer import Offer
from syncer.protocol.signature import OBSERVATION, SigningKey
from tests import meshes
from tests.border.processes import wait_until
from tests.core.observations import NOW, says
from tests.core.worlds import files_of
from tests.simulator.inbox import MemoryInbox
from workers.budget import Budget
from workers.check import check
from workers.documents import paths
from workers.documents.kinds import AutomaticClass, Forge
from workers.flush import FlushReport, flush
from workers.forge.git import approve, reject
from workers.outside import Branch, CommitId, Forges, Kept, Remote, Repository, Update
from workers.situation import Warm
from workers.sweep import sweep
from workers.tree import BlobChange, Changes, Files, change_digest

KEY = SigningKey.from_seed(bytes(32))
ROBOT, PERSON = ("peermesh", "peermesh@example.org"), ("A person", "person@example.org")
SHOP, BOOKS = "peermesh/exports/shop", "peermesh/exports/books"
CART = "facts/exports/shop/west/cart.yaml"
Style = Literal["merge", "squash", "rebase"]


@dataclass(frozen=True, kw_only=True)
class Seen:
    """A proposal as people see it."""

    title: str
    body: str
    classes: frozenset[str]
    head: str


class People(Protocol):
    """Whoever reviews. Acts are about branches; each returns when the forge is done with it."""

    def open(self) -> Mapping[str, Seen]: ...

    def approve(self, branch: str) -> None: ...

    def merge(self, branch: str, style: Style = "merge") -> None: ...

    def close(self, branch: str) -> None: ...

    def update(self, branch: str) -> None:
        """The button "Update branch"."""
        ...


def content(*, automatic: Sequence[AutomaticClass] = (), forge: Forge | None = None) -> Mapping[str, bytes]:
    """What stands on main at first: west, which is believed, and east."""
    tree = meshes.tree_of(
        meshes.mesh(automatic=tuple(automatic), forge=forge),
        meshes.cluster("west", keys=(KEY.public,)),
        meshes.cluster("east"),
    )
    return files_of(tree).content


class Site:
    """`robot` and `person` are two clients of one repository."""

    def __init__(self, robot: Repository, person: Repository, forges: Forges, people: People) -> None:
        self.robot = robot
        self.person = person
        self.forges = forges
        self.people = people
        self.inbox = MemoryInbox()
        self.now = NOW
        self.warm: Warm | None = Warm()
        self._sequence = 0
        self._said: Observation | None = None

    def hears(self, *offers: Offer) -> None:
        """West says that it exports this."""
        self._sequence += 1
        self._said = says("west", *offers, sequence=self._sequence, observed_at=self.now)
        self._keep(self._said, content=repr(offers))

    def heartbeat(self) -> None:
        """West says the same again."""
        assert self._said is not None
        self.hears(*self._said.offers)

    def _keep(self, said: Observation, content: str) -> None:
        packed = pack(said)
        signature = KEY.sign(OBSERVATION, "acme", "west", packed)
        self.inbox.keep("west", Kept(sequence=said.sequence, packed=packed, signature=signature), content=content)

    def works(self, budget: Budget | None = None) -> list[FlushReport]:
        """The worker does what there is to do: every sweep is ten seconds later, a flush follows where it asks for one.

        Returns what the flushes reported; fails if they never come to rest.
        """
        reports: list[FlushReport] = []
        # A real forge looks for seconds whether something can be merged (Gitea 1.26: up to 8 on a busy machine).
        deadline = time.monotonic() + 60
        while len(reports) < 12 or time.monotonic() < deadline:
            if not sweep(self.robot.fetch(), self.forges, self.inbox, self.now):
                return reports
            reports.append(flush(self.robot, self.forges, self.inbox, self.now, self.warm, budget))
            self.now += timedelta(seconds=10)
        raise AssertionError(f"no rest: {reports[-2:]}")

    def waits(self, **time: float) -> None:
        self.now += timedelta(**time)

    # --- what stands there

    def remote(self) -> Remote:
        return self.person.fetch()

    def heads(self) -> dict[str, CommitId]:
        return {name: branch.head for name, branch in self.remote().branches.items()}

    def standing(self) -> tuple[set[str], set[str]]:
        """The branches that stand, and those that people see."""
        return set(self.heads()), set(self.people.open())

    # --- people who know git

    def commits(self, ref: str, changes: Changes, *others: CommitId) -> CommitId:
        """A person's commit on a ref, a merge if there are others."""
        remote = self.remote()
        old = remote.refs[ref]
        commit = self.person.commit(parents=[old, *others], changes=changes, message="By hand\n", when=self.now)
        assert self.person.push([Update(ref=ref, old=old, new=commit)])[ref].status == "done"
        return commit

    def reverts(self, change: BlobChange, before: Files) -> None:
        """A person takes back on main what a change did; an address was given for ever."""
        old = {path: None if was is None else before.read(path) for path, (was, _) in change.items()}
        self.commits(paths.MAIN, {path: data for path, data in old.items() if not path.startswith("facts/hosts/")})


class PeopleOfGit:
    """Where there is no forge: `peermesh show`, `approve` and `reject`, and git."""

    def __init__(self, repository: Repository, now: datetime = NOW) -> None:
        self._repository = repository
        self._now = now

    def open(self) -> Mapping[str, Seen]:
        return {name: _seen(branch) for name, branch in self._repository.fetch().branches.items()}

    def approve(self, branch: str) -> None:
        """Who approves merges."""

    def merge(self, branch: str, style: Style = "merge") -> None:
        remote = self._repository.fetch()
        open_one = remote.branches[branch]
        if style == "merge":
            approve(self._repository, branch, change_digest(open_one.change), check=check, when=self._now)
            return
        self._move(paths.MAIN, remote.main, [remote.main], _new(open_one, open_one.files), "Squashed by hand\n")

    def close(self, branch: str) -> None:
        reject(self._repository, branch, when=self._now)

    def update(self, branch: str) -> None:
        remote = self._repository.fetch()
        open_one = remote.branches[branch]
        changes = {
            path: remote.files.read(path)
            for path, blob in remote.files.under("")
            if open_one.files.blob(path) != blob and path not in open_one.change
        }
        self._move(f"refs/heads/{branch}", open_one.head, [open_one.head, remote.main], changes, "Merge main\n")

    def _move(self, ref: str, old: CommitId, parents: list[CommitId], changes: Changes, message: str) -> None:
        commit = self._repository.commit(parents=parents, changes=changes, message=message, when=self._now)
        assert self._repository.push([Update(ref=ref, old=old, new=commit)])[ref].status == "done"


def _seen(branch: Branch) -> Seen:
    title, _, body = branch.message.partition("\n\n")
    classes = body.rpartition("Peermesh-Classes: ")[2].partition("\n")[0]
    return Seen(title=title, body=body, classes=frozenset(classes.split(", ")), head=branch.head)


def _new(branch: Branch, files: Files) -> Changes:
    return {path: None if new is None else files.read(path) for path, (_, new) in branch.change.items()}


class Ask(Protocol):
    """One call of a forge's REST API, as a user: status and value."""

    def __call__(self, user: str, method: str, path: str, body: Any = None) -> tuple[int, Any]: ...


class PeopleOfGitea:
    """alice, who reviews and merges, through the REST API that her browser leads to as well."""

    def __init__(self, ask: Ask, repository: str) -> None:
        self._ask = ask
        self._path = f"/repos/{repository}"

    def pulls(self, state: str = "open") -> list[Any]:
        """Pull requests, the newest first."""
        found: list[Any] = []
        for page in range(1, 10):
            listed = self.done("GET", f"/pulls?state={state}&limit=50&page={page}")
            found += listed
            if len(listed) < 50:
                break
        return found

    def open(self) -> Mapping[str, Seen]:
        found: dict[str, Seen] = {}
        for pull in self._own():
            if pull["head"]["label"].startswith("peermesh/"):
                assert pull["head"]["label"] not in found, f"two are open for {pull['head']['label']}"
                found[pull["head"]["label"]] = Seen(
                    title=pull["title"],
                    body=pull["body"],
                    classes=frozenset(label["name"].removeprefix("peermesh/") for label in pull["labels"]),
                    head=pull["head"]["sha"],
                )
        return found

    def number(self, branch: str) -> int:
        return next(int(pull["number"]) for pull in self._own() if pull["head"]["label"] == branch)

    def _own(self) -> list[Any]:
        """Those that aren't from a fork."""
        return [pull for pull in self.pulls() if pull["head"]["repo"]["full_name"] in self._path]

    def approve(self, branch: str) -> None:
        self.done("POST", f"/pulls/{self.number(branch)}/reviews", {"event": "APPROVED", "body": "Fine."})

    def merge(self, branch: str, style: Style = "merge") -> None:
        self.eventually("POST", f"/pulls/{self.number(branch)}/merge", {"Do": style})

    def close(self, branch: str) -> None:
        self.done("PATCH", f"/pulls/{self.number(branch)}", {"state": "closed"})

    def update(self, branch: str, style: str = "merge") -> None:
        self.done("POST", f"/pulls/{self.number(branch)}/update?style={style}")

    def done(self, method: str, path: str, body: Any = None) -> Any:
        status, answer = self._ask("alice", method, self._path + path, body)
        assert status < 300, f"{method} {path}: {status} {answer}"
        return answer

    def eventually(self, method: str, path: str, body: Any) -> None:
        """A real one looks for seconds whether a pull request can be merged."""

        def is_done() -> bool:
            status, answer = self._ask("alice", method, self._path + path, body)
            assert status < 300 or "try again later" in str(answer), f"{method} {path}: {status} {answer}"
            return status < 300

        wait_until(is_done, what=f"{method} {path}")
