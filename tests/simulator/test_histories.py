"""Random histories: after one heartbeat, main plus the open proposals equal what the clusters said last.

Every history runs through losses, repeats, wiped Redis, workers that die at any step, people who approve, squash,
update, reject and revert, and somebody else's writer. `make soak` runs more of them.
"""

from __future__ import annotations

import pytest

from tests.simulator.world import FOREIGN, World
from workers.branches import contained
from workers.check import check
from workers.difference import difference
from workers.documents import paths
from workers.documents.kinds import AutomaticClass
from workers.guard import losses, too_many
from workers.outside import Branch, Remote
from workers.reach import reach
from workers.tree import FactChanges, Tree, read_tree

STEPS = 40
AUTOMATIC: tuple[tuple[AutomaticClass, ...], ...] = (
    (),
    ("address", "follow-up"),
    ("export", "change", "withdrawal", "address", "follow-up"),
)


def pytest_generate_tests(metafunc):
    if "block" in metafunc.fixturenames:
        blocks = metafunc.config.getoption("--histories") // 25
        metafunc.parametrize("block", range(max(1, blocks)))


@pytest.mark.slow
def test_after_one_heartbeat_main_and_open_proposals_are_what_the_clusters_say(block):
    for seed in range(block * 25, block * 25 + 25):
        world = World(seed, AUTOMATIC[seed % len(AUTOMATIC)], pull_requests=seed % 2 == 1)
        try:
            for _ in range(STEPS):
                world.step()
            world.settle()
            _assert_settled(world)
            _assert_quiet(world)
        except Exception as error:
            history = "\n".join(world.told)
            raise AssertionError(f"history {seed}: {error}\n{history}") from error


def _assert_settled(world: World) -> None:
    remote = world.fetched()
    tree, problems = read_tree(remote.files)
    assert tree is not None
    assert problems == ()
    assert check(remote.files) == ()
    assert remote.files.read(FOREIGN) == b"kind: Kustomization\n"
    assert int(remote.files.read("README.md")) == world.counted, "an update of another writer is lost"
    for branch in remote.branches.values():
        assert not contained(branch, remote), f"{branch.name} has nothing that main lacks"
        proposed = {(path, new) for path, (_, new) in branch.change.items()}
        assert not proposed & remote.rejected, f"{branch.name} proposes what people rejected"
    world.reviews.assert_sound(set(remote.branches))
    _assert_brake(tree, remote)
    _assert_said(world, tree, remote)


def _assert_brake(tree: Tree, remote: Remote) -> None:
    """What isn't held takes no more away at once than the guard allows."""
    facts = tree.facts
    for name, branch in remote.branches.items():
        if not name.startswith(paths.held_branch("")):
            facts = facts.with_changes(_facts(branch))
    before, after = reach(tree), reach(tree.with_facts(facts))
    assert too_many(losses(difference(before, after)), before, tree.mesh.spec.guard) == set()


def _assert_said(world: World, tree: Tree, remote: Remote) -> None:
    """Main and all open proposals together say what the clusters said last."""
    facts = tree.facts
    for branch in remote.branches.values():
        facts = facts.with_changes(_facts(branch))
    refused = {path for path, _ in remote.rejected}
    for cluster in world.clusters.values():
        known = tree.facts.clusters.get(cluster.name)
        if known is None or not known.spec.gateway.addresses:
            continue  # its exports wait for a person who approves its first address
        said = {name: (made.service_accounts, made.ports, made.consumers) for name, made in cluster.offers.items()}
        held = {
            str(key): (export.spec.service_accounts, export.spec.ports, export.spec.consumers)
            for key, exports in facts.exports.items()
            for name, export in exports.items()
            if name == cluster.name
        }
        for name in sorted(said.keys() | held.keys()):
            namespace, _, service = name.partition("/")
            if f"facts/exports/{namespace}/{cluster.name}/{service}.yaml" not in refused:
                assert said.get(name) == held.get(name), f"{name} in {cluster.name}"


def _facts(branch: Branch) -> FactChanges:
    """What a branch proposes, read from its own tree."""
    tree, _ = read_tree(branch.files)
    assert tree is not None
    return {path: tree.facts.get(path) for path in branch.change if path.startswith(paths.FACTS) and paths.place(path)}


def _assert_quiet(world: World) -> None:
    """Heartbeats, a wiped Redis and commits of others move no branch: an approval stands as long as its proposal."""
    before = _branches(world)
    world.settle(rounds=2)
    assert _branches(world) == before
    world.compete()
    world.settle(rounds=2)
    world.wipe()
    world.settle(rounds=2)
    assert _branches(world) == before


def _branches(world: World) -> tuple[object, object]:
    refs = {ref: commit for ref, commit in world.fetched().refs.items() if ref != paths.MAIN}
    return refs, world.reviews.shown()


def test_a_wiped_redis_leaves_every_open_proposal_byte_for_byte():
    for seed in range(20):
        world = World(seed)
        for _ in range(STEPS):
            world.step()
        world.settle()
        before = world.fetched().refs
        world.wipe()
        world.work(mortal=False)
        world.work(mortal=False)
        assert world.fetched().refs == before, seed
