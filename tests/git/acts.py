"""What the robot and people do with a mesh repository, in the words of the contract."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Protocol

from workers.documents import paths
from workers.git.history import CHANGE
from workers.outside import CommitId, Outcome, Remote, Repository, Update
from workers.tree import BlobChange, Changes, blob_id, change_digest

ROBOT = ("peermesh", "peermesh@example.org")
PERSON = ("A person", "person@example.org")
NOW = datetime(2026, 4, 1, 8, 0, tzinfo=UTC)

CART = "facts/exports/shop/west/cart.yaml"
TILL = "facts/exports/shop/west/till.yaml"
WEST = "facts/clusters/west.yaml"
CART_IMPORT = "clusters/east/imports/shop/cart.yaml"
FLUX = "clusters/east/flux-system/sync.yaml"
CONTENT: Mapping[str, bytes] = {
    "CODEOWNERS": b"* @people\n",
    "mesh/mesh.yaml": b"kind: Mesh\n",
    "facts/clusters/west.yaml": b"kind: ClusterFacts\n",
    CART: b"kind: Export # 1\n",
    CART_IMPORT: b"kind: ServiceEntry # 1\n",
    "clusters/east/imports/README.md": b"Kept, so that the folder is never missing.\n",
    FLUX: b"kind: Kustomization\n",
}
BRANCH = "peermesh/exports/shop"
CHANGED: Changes = {CART: b"kind: Export # 2\n", CART_IMPORT: b"kind: ServiceEntry # 2\n"}
CHANGE_OF_BRANCH: BlobChange = {
    CART_IMPORT: (blob_id(CONTENT[CART_IMPORT]), blob_id(b"kind: ServiceEntry # 2\n")),
    CART: (blob_id(CONTENT[CART]), blob_id(b"kind: Export # 2\n")),
}


class Clients(Protocol):
    """Makes a client of one repository, each with a copy of its own."""

    def __call__(self, author: tuple[str, str] = ROBOT) -> Repository: ...


@dataclass(frozen=True, kw_only=True)
class Place:
    """A repository with `CONTENT` on main, and how to get at it. `robot` and `person` are two of its clients."""

    clients: Clients
    robot: Repository
    person: Repository


def ref(branch: str) -> str:
    return f"refs/heads/{branch}"


def digest_of(remote: Remote, changes: Changes) -> str:
    """The digest of changes against main."""
    change = {
        path: (remote.files.blob(path), None if data is None else blob_id(data)) for path, data in changes.items()
    }
    return change_digest({path: both for path, both in change.items() if both[0] != both[1]})


def made(robot: Repository, remote: Remote, changes: Changes, *, minutes: int = 0) -> CommitId:
    """The robot's commit on main, as it commits."""
    message = f"Something changes\n\nIn words.\n\n{CHANGE}: {digest_of(remote, changes)}\n"
    return robot.commit(parents=[remote.main], changes=changes, message=message, when=NOW + timedelta(minutes=minutes))


def propose(robot: Repository, changes: Changes = CHANGED, branch: str = BRANCH) -> CommitId:
    """The robot opens a branch, or makes it again."""
    remote = robot.fetch()
    commit = made(robot, remote, changes)
    assert push(robot, ref(branch), remote.refs.get(ref(branch)), commit).status == "done"
    return commit


def push(client: Repository, name: str, old: CommitId | None, new: CommitId | None) -> Outcome:
    """Move one ref."""
    return client.push([Update(ref=name, old=old, new=new)])[name]


def commit_on_main(
    client: Repository, changes: Changes, *, message: str = "By hand\n", other: CommitId | None = None
) -> CommitId:
    """A commit on main, a merge if `other` is given."""
    remote = client.fetch()
    parents = [remote.main] if other is None else [remote.main, other]
    commit = client.commit(parents=parents, changes=changes, message=message, when=NOW + timedelta(hours=1))
    assert push(client, paths.MAIN, remote.main, commit).status == "done"
    return commit


def commit_on_branch(
    client: Repository,
    changes: Changes,
    *,
    parents: list[CommitId] | None = None,
    branch: str = BRANCH,
    message: str = "By hand\n",
) -> CommitId:
    """A commit that becomes the head of a branch; without `parents` on what stands there."""
    remote = client.fetch()
    head = remote.refs[ref(branch)]
    commit = client.commit(
        parents=parents or [head], changes=changes, message=message, when=NOW + timedelta(minutes=30)
    )
    assert push(client, ref(branch), head, commit).status == "done"
    return commit


def race(robots: Sequence[Repository], times: int) -> list[str]:
    """Each adds its numbers to one file of main, in a thread of its own; what must stand there in the end, sorted."""

    def add(number: int, robot: Repository) -> None:
        for count in range(times):
            while True:
                seen = robot.fetch()
                old = seen.files.read(TILL) if seen.files.blob(TILL) else b""
                commit = made(robot, seen, {TILL: old + b"%d.%d\n" % (number, count)})
                if push(robot, paths.MAIN, seen.main, commit).status == "done":
                    break

    writers = [threading.Thread(target=add, args=both) for both in enumerate(robots)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    return sorted(f"{number}.{count}" for number in range(len(robots)) for count in range(times))


def hook(remote: Path, name: str, script: str) -> None:
    """The server runs this script (`sh`) at that moment of a push."""
    path = remote / "hooks" / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
