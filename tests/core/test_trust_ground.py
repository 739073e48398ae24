"""Incremental equals full for trust: whatever changes in `pki/`, a step renders what everything would render to."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

from msgspec.structs import replace

from tests import meshes
from tests.core.trusting import CLUSTERS, MADE, approved, begun, intermediate, managed, request, root, steps
from tests.core.worlds import files_of, planned
from workers.applied import committed
from workers.documents import paths
from workers.documents.trust import ClusterStep, MeshTrust
from workers.ground import Known, blobs_of, ground_of, only_of, step, with_blobs
from workers.reach import reach
from workers.render import Memo, render
from workers.tree import FactChanges, Tree

BUNDLES = (("a",), ("a", "b"), ("b",))


def a_tree(**trust: Any) -> Tree:
    exports = [meshes.export("shop/cart", name) for name in CLUSTERS]
    return meshes.tree_of(meshes.mesh(trust=MeshTrust(root="a", **trust)), *map(managed, CLUSTERS), *begun(), *exports)


def changes(chance: random.Random) -> FactChanges:
    """Something of trust changes; now and then something of exports with it."""
    name = chance.choice(CLUSTERS)
    some: list[Callable[[], FactChanges]] = [
        lambda: {paths.TRUST: steps(**{one: a_step(chance) for one in CLUSTERS})},
        lambda: {paths.TRUST: None},
        lambda: {paths.intermediate_path(name): intermediate(name, chance.randrange(1, 3), lever=chance.randrange(3))},
        lambda: {paths.intermediate_path(name): None},
        lambda: {paths.request_path(name): approved(request(name))},
        lambda: {paths.request_path(name): None},
        lambda: {paths.root_path("b"): None if chance.random() < 0.3 else listed("b")},
        lambda: {paths.root_path("a"): root("a")},
    ]
    found = dict(chance.choice(some)())
    if chance.random() < 0.2:
        found[paths.export_path(meshes.key("shop/cart"), name)] = None
    return found


def a_step(chance: random.Random) -> ClusterStep:
    bundle = chance.choice(BUNDLES)
    return ClusterStep(bundle=bundle, signer=chance.choice(bundle))


def listed(name: str) -> Any:
    made = root(name)
    return replace(made, spec=replace(made.spec, crl=MADE.root(name).crl()))


def test_what_is_rendered_again_after_a_change_of_trust_makes_the_whole():
    for seed in range(30):
        chance, memo = random.Random(seed), Memo()
        ground = ground_of(a_tree(crls=seed % 2 == 0), Known())
        for _ in range(5):
            after = step(ground, changes(chance), memo)
            rendering = with_blobs(ground.rendering, after.blobs)
            assert with_blobs({}, blobs_of(render(after.tree, reach(after.tree)))) == rendering
            ground = type(ground)(tree=after.tree, reach=after.reach, rendering=rendering)


def test_a_change_of_exports_renders_nothing_of_trust():
    ground = ground_of(a_tree(), Known())
    cart = paths.export_path(meshes.key("shop/cart"), "west")
    assert not any("/ca/" in path for path in step(ground, {cart: None}, Memo()).blobs)


def test_the_paths_of_trust_name_their_clusters():
    assert frozenset({"west"}) == only_of(["clusters/west/ca/cacerts.yaml"]).authorities


def test_a_file_of_trust_that_people_change_or_remove_is_mended():
    main = files_of(a_tree())
    path = paths.ca_path("west")
    for wrong in (None, b"kind: ConfigMap\n"):
        files = type(main)({name: data for name, data in {**main.content, path: wrong}.items() if data is not None})
        [proposal] = planned(a_tree(), files=files).proposals
        assert (paths.RENDER_BRANCH, {path: main.content[path]}) == (proposal.branch, proposal.changes)


def test_a_file_that_nothing_renders_goes():
    main = files_of(a_tree())
    stray = "clusters/west/ca/stray.yaml"
    files = type(main)({**main.content, stray: b"kind: ConfigMap\n"})
    [proposal] = planned(a_tree(), files=files).proposals
    assert {stray: None} == proposal.changes


def test_what_brings_certificates_is_not_asked_of_the_syncer():
    """It doesn't read it; what became of it is seen in handshakes."""
    assert {"gateway", "imports"} == set(committed(files_of(a_tree()), {})["west"])
