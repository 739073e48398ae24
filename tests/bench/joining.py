"""A new worker: what it fetches, and how long it takes until it can plan."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from tests.bench.figures import Figures, Timed, of_times, timed
from tests.bench.history import aged, commits_of
from tests.bench.report import Row
from tests.bench.world import Worker, World, git, making

_SECONDS: Final = 2.0
_MEGABYTES: Final = 10.0


def rows(world: World) -> Iterator[Row]:
    """Fetched, read, planned; each from the very beginning."""
    remote = aged(world)
    fetched: list[Timed] = []
    ready: list[Timed] = []
    full: list[Timed] = []
    sizes: list[tuple[float, float]] = []
    for number in range(world.times(3)):
        copy, clone = world.folder / f"new-{number}", world.folder / f"clone-{number}"
        with making(f"a new worker ({number + 1})"):
            worker = Worker(str(remote), copy)
            fetched.append(timed(worker.look))
            ready.append(_sum(fetched[-1], timed(worker.plan)))
            full.append(timed(lambda to=clone: _clone(remote, to)))  # type: ignore[misc]
        sizes.append((_megabytes(copy), _megabytes(clone)))
        shutil.rmtree(copy)
        shutil.rmtree(clone)
    baseline = "a full bare clone"
    of = f"a new worker, {commits_of(world):,} commits of history"
    yield Row(
        what=f"{of}: what it fetches",
        measured=Figures(values=tuple(ours for ours, _ in sizes), unit="MB"),
        budget=_MEGABYTES,
        baseline=baseline,
        beside=Figures(values=tuple(theirs for _, theirs in sizes), unit="MB"),
    )
    yield Row(
        what=f"{of}: fetched and read",
        measured=of_times(fetched),
        budget=_SECONDS,
        baseline=f"{baseline}, nothing read",
        beside=of_times(full),
    )
    yield Row(
        what=f"{of}: its first plan made",
        measured=of_times(ready),
        budget=_SECONDS,
        baseline=f"{baseline}, nothing read",
        beside=of_times(full),
    )


def _clone(remote: Path, folder: Path) -> None:
    git("clone", "--quiet", "--bare", remote.as_uri(), str(folder), within=remote.parent)


def _megabytes(folder: Path) -> float:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) / 1_000_000


def _sum(one: Timed, other: Timed) -> Timed:
    return Timed(wall=one.wall + other.wall, cpu=one.cpu + other.cpu)
