"""Random histories of three clusters: whatever happens, no two workloads that talked are left without a common root.

And every intermediate on main answers a request that was approved before. `--histories` says how many (`make soak` runs
more). Without faults each history ends at the root that people want.
"""

from __future__ import annotations

import pytest

from tests.pki.disturbances import DISTURBANCES
from tests.pki.model import Broken, World

BLOCK = 50
TICKS = 60


def pytest_generate_tests(metafunc):
    if "block" in metafunc.fixturenames:
        blocks = metafunc.config.getoption("--histories") // BLOCK
        metafunc.parametrize("block", range(max(1, blocks)))


def run(seed: int, *, crossed: bool = True) -> World:
    """One history. Raises Broken, with what led there."""
    world = World(seed, DISTURBANCES, crossed=crossed)
    try:
        _live(world)
    except Broken as broken:
        history = "\n".join(world.told)
        raise Broken(f"history {seed}: {broken}\n{history}") from broken
    return world


def _live(world: World) -> None:
    for _ in range(3):
        world.tick()
    world.order(root="b")
    for _ in range(TICKS):
        world.tick()


@pytest.mark.slow
def test_no_two_workloads_that_talked_are_left_without_a_common_root(block):
    for seed in range(block * BLOCK, (block + 1) * BLOCK):
        run(seed, crossed=seed % 2 == 0)


def test_these_histories_get_somewhere():
    merged = [title for seed in range(20) for title in run(seed).merged]
    moves = {"Trust root", "Let ", "Distrust root", "Give ", "Request "}
    assert moves == {move for move in moves if any(title.startswith(move) for title in merged)}
    assert len(merged) > 100


@pytest.mark.parametrize("seed", range(40))
def test_without_faults_every_history_ends_at_the_goal(seed):
    world = World(seed)
    world.order(root="b")
    for _ in range(300):
        world.tick()
        if world.is_settled() and not world.next.waiting:
            break
    assert ("", {}) == ("" if world.is_settled() else str(world.told), dict(world.next.waiting))


def test_when_faults_end_every_history_ends_at_the_goal():
    for seed in range(12):
        world = run(seed)
        world.disturbances, world.faults = (), False
        for cluster in world.clusters.values():
            cluster.silent = cluster.cut_off = False
            cluster.multiroot = True
            cluster.asking = None
        world.signed = dict(world.signed)
        world.order(exclude=(), paused=False)
        for _ in range(300):
            world.tick()
            if world.is_settled():
                break
        assert world.is_settled(), (seed, world.told[-12:], dict(world.next.waiting))
