"""The change as a commit on the remote: through the adapter, and as a robot with a work tree would do it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from syncer.protocol.secret import Secret
from tests.bench.figures import Timed, alternated, timed
from tests.bench.mesh import changed
from tests.bench.report import Row
from tests.bench.world import Worker, World, git, making
from tests.servers.git_http import PASSWORD, USER, git_server
from workers.folder import write_folder
from workers.git import Access
from workers.outside import CommitId
from workers.proposal import Proposal

_BUDGET: Final = 1.0


def rows(world: World) -> Iterator[Row]:
    """To a bare repository on a path, and to one behind http."""
    work_tree = world.work_tree
    for name, where in (("file://", _on_a_path), ("http", _over_http)):
        with where(world) as worker, making(f"commits and pushes, {name}"):
            measured, beside = alternated(
                lambda _, to=worker: _through_the_adapter(world, to),  # type: ignore[misc]
                lambda _: _in_a_work_tree(world, work_tree),
                times=world.times(7),
                baselines=world.times(5),
            )
        yield Row(
            what=f"the same change: commit and push, {name}",
            measured=measured,
            budget=_BUDGET,
            baseline="checkout on a path: write, add folders, commit, push",
            beside=beside,
        )


@contextmanager
def _on_a_path(world: World) -> Iterator[Worker]:
    yield world.worker


@contextmanager
def _over_http(world: World) -> Iterator[Worker]:
    """A worker with a copy of its own, fetched before anything is measured."""
    with git_server(world.remote.parent) as server:
        url = server.url(world.remote.name)
        worker = Worker(url, world.folder / "copy-http", access=Access(user=USER, password=Secret(PASSWORD)))
        with making("a copy over http"):
            worker.look()
        yield worker


def _proposal(world: World) -> Proposal:
    """What follows from a change that nobody proposed before."""
    return world.worker.plan(changed(world.worker.said, world.next_change())).proposals[0]


def _through_the_adapter(world: World, worker: Worker) -> Timed:
    """On a branch that is gone afterwards."""
    proposal = _proposal(world)
    remote, _ = worker.look()
    ref = f"refs/heads/{proposal.branch}"
    made: list[CommitId] = []

    def commit_and_push() -> None:
        made.append(worker.commit(proposal.changes, remote))
        worker.push(ref, None, made[0])

    took = timed(commit_and_push)
    worker.push(ref, made[0], None)
    return took


def _in_a_work_tree(world: World, work_tree: Path) -> Timed:
    """On a branch of its own, which goes on from change to change."""
    proposal = _proposal(world)
    folders = sorted({path.rpartition("/")[0] for path in proposal.changes})

    def commit_and_push() -> None:
        write_folder(work_tree, proposal.changes)
        git("add", "--all", "--", *folders, within=work_tree)
        git("commit", "--quiet", "--message", proposal.title, within=work_tree)
        git("push", "--quiet", "--force", "origin", "HEAD:refs/heads/baseline", within=work_tree)

    return timed(commit_and_push)
