"""The whole mesh is rendered: how long it takes, and how much memory. In processes of their own."""

from __future__ import annotations

import multiprocessing
import resource
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from typing import Final

from tests.bench.figures import Figures, Timed, of_times, timed
from tests.bench.mesh import Size, large_tree
from tests.bench.report import Row
from tests.bench.world import World, making
from workers.documents.writing import dump
from workers.reach import Reach, reach
from workers.render import RENDERERS, render
from workers.render.view import imports
from workers.tree import Tree

_SAMPLE: Final = 5
"""Clusters of which the baseline is measured; then it is scaled."""


@dataclass(frozen=True, kw_only=True)
class Whole:
    """Time, peak of memory in MiB, and how much was made."""

    timed: Timed
    peak: float
    files: int
    contents: int


def rows(world: World) -> Iterator[Row]:
    """Seconds and MiB."""
    size, times = world.size, world.times(3)
    found: list[Whole] = []
    beside: list[Whole] = []
    for number in range(times):
        with making(f"the whole mesh is rendered ({number + 1} of {times})"):
            found.append(_elsewhere(_together, size))
            beside.append(_elsewhere(_separately, size))
    whole = found[0]
    what = f"render all of {size} ({whole.files:,} files, {whole.contents:,} contents)"
    baseline = f"each import by itself: {_SAMPLE} clusters, scaled to {size.clusters}"
    yield Row(
        what=what,
        measured=of_times([one.timed for one in found]),
        budget=15,
        baseline=baseline,
        beside=of_times([one.timed for one in beside]),
    )
    yield Row(
        what="the same: peak memory of the process",
        measured=Figures(values=tuple(one.peak for one in found), unit="MiB"),
        budget=512,
        baseline=baseline,
        beside=Figures(values=tuple(one.peak for one in beside), unit="MiB"),
    )


def _elsewhere(work: Callable[[Size], Whole], size: Size) -> Whole:
    """In a new process, whose memory is only this."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        return pool.submit(work, size).result()


def _together(size: Size) -> Whole:
    tree = large_tree(size)
    made: dict[str, bytes] = {}

    def work() -> None:
        made.update({path: file.data for path, file in render(tree, reach(tree)).items() if file})

    took = timed(work)
    return Whole(timed=took, peak=_peak(), files=len(made), contents=len(set(made.values())))


def _separately(size: Size) -> Whole:
    """Reach is computed as ever; then every import is rendered and written for itself."""
    tree = large_tree(size)
    reached: list[Reach] = []
    took = timed(lambda: reached.append(reach(tree)))
    before = _peak()
    made: list[bytes] = []
    sample = timed(lambda: made.extend(_each(tree, reached[0])))
    factor = size.clusters / _SAMPLE
    scaled = sample.scaled(factor)
    return Whole(
        timed=Timed(wall=took.wall + scaled.wall, cpu=took.cpu + scaled.cpu),
        peak=before + (_peak() - before) * factor,
        files=len(made),
        contents=len(set(made)),
    )


def _each(tree: Tree, reached: Reach) -> Iterator[bytes]:
    """The imports of the first clusters; providers and mere consumers are as frequent among them as among all."""
    sample = tuple(f"clusters/{name}/" for name in sorted(tree.clusters)[:_SAMPLE])
    for path, views in imports(tree, reached, tree.facts.exports):
        if path.startswith(sample):
            yield dump(
                [
                    made
                    for view in views
                    for renderer in RENDERERS.values()
                    if isinstance(view, renderer.VIEW)
                    for made in renderer.render(view)
                ]
            )


def _peak() -> float:
    """MiB. A process begins with the peak of the one that started it (Linux, `exec_mmap`): ours is small by then."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (1 << 20 if sys.platform == "darwin" else 1 << 10)
