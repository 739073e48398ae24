"""One service changes: from learn to lint, in a process that has planned before."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from tests.bench.figures import Timed, alternated, timed
from tests.bench.mesh import changed
from tests.bench.report import Row
from tests.bench.world import Worker, World, making, planned
from workers.ground import Known
from workers.plan import Plan

_BASELINE: Final = "nothing is known from before"


def rows(world: World) -> Iterator[Row]:
    """On the main of the last plan; and on one that moved since by a change like it."""
    worker = world.worker
    with making("a service changes, again and again"):
        measured, beside = alternated(
            lambda _: _change(world, worker, worker.warm.known),
            lambda _: _change(world, worker, Known()),
            times=world.times(20),
            baselines=world.times(3),
        )
    yield Row(
        what=f"one service changes in {world.size}: learn to lint",
        measured=measured,
        budget=0.050,
        baseline=_BASELINE,
        beside=beside,
    )
    with making("main moves and a service changes, again and again"):
        measured, beside = alternated(
            lambda _: _after_a_merge(world, worker, worker.warm.known),
            lambda _: _after_a_merge(world, worker, Known()),
            times=world.times(10),
            baselines=world.times(2),
        )
    # No budget: this isn't only learn to lint, but also reading and rendering what came to main.
    yield Row(
        what="the same, and main moved by such a change before",
        measured=measured,
        baseline=_BASELINE,
        beside=beside,
    )


def _change(world: World, worker: Worker, known: Known) -> Timed:
    """A change against a plan of what clusters said before; with a new `known` there was none."""
    if known is worker.warm.known:
        worker.plan()
    return _planned(world, worker, known)


def _after_a_merge(world: World, worker: Worker, known: Known) -> Timed:
    world.merge_a_change(worker)
    return _planned(world, worker, known)


def _planned(world: World, worker: Worker, known: Known) -> Timed:
    """A further service changes; looking isn't counted."""
    remote, tree = worker.look()
    said = changed(worker.said, world.next_change())
    made: list[Plan] = []
    took = timed(lambda: made.append(planned(remote, tree, known, said)))
    branches = [proposal.branch for proposal in made[0].proposals]
    if len(branches) != 1:
        raise RuntimeError(f"one proposal should follow, not {branches}")
    return took
