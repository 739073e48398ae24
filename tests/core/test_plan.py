"""What clusters say becomes proposals: which, in what order, of which class, and what waits or is held."""

from __future__ import annotations

from syncer.protocol.observation import Foreign
from syncer.protocol.offer import Refused
from tests import meshes
from tests.core.observations import offer, says
from tests.core.worlds import classes_of, files_of, nothing_merges, planned
from workers.documents import kinds, paths
from workers.documents.writing import write
from workers.plan import Memory
from workers.series import all_but_held
from workers.tree import FilesInMemory, apply, blob_id

EAST_AND_WEST = meshes.tree_of(meshes.cluster("east"), meshes.cluster("west"))
REVIEWS = meshes.export("bookinfo/reviews", "west")


def test_nothing_new_is_no_proposal():
    tree = meshes.tree_of(meshes.cluster("east"), meshes.cluster("west"), REVIEWS)
    plan = planned(tree, says("west", offer("bookinfo/reviews")))
    assert plan.proposals == ()
    assert plan.after is plan.before


def test_a_new_export_is_one_proposal_with_facts_host_gateway_and_imports():
    plan = planned(EAST_AND_WEST, says("west", offer("bookinfo/reviews")))
    assert classes_of(plan) == {"peermesh/exports/bookinfo": ("export",)}
    assert sorted(plan.proposals[0].changes) == [
        "clusters/east/imports/bookinfo/reviews.yaml",
        "clusters/west/gateway/bookinfo.yaml",
        "clusters/west/imports/bookinfo/reviews.yaml",
        "facts/exports/bookinfo/west/reviews.yaml",
        "facts/hosts/bookinfo/reviews.yaml",
    ]
    assert (
        "reviews.bookinfo.mesh.internal` becomes reachable from east and west: port 9080 (HTTP)"
        in plan.proposals[0].body
    )


def test_a_second_provider_is_named_in_the_first_line():
    tree = meshes.tree_of(meshes.cluster("east"), meshes.cluster("west"), REVIEWS)
    plan = planned(tree, says("east", offer("bookinfo/reviews")))
    assert classes_of(plan) == {"peermesh/exports/bookinfo": ("provider",)}
    first = plan.proposals[0].body.splitlines()[0]
    assert first == "**One more cluster answers for a host that others know**: east for bookinfo/reviews."


def test_an_export_of_a_cluster_without_address_waits_and_the_others_go_on():
    tree = meshes.tree_of(
        meshes.cluster("east"), meshes.cluster("north"), meshes.cluster("west"), meshes.facts("north")
    )
    plan = planned(tree, says("west", offer("shop/cart")), says("north", offer("shop/till")))
    assert classes_of(plan) == {"peermesh/exports/shop": ("export",)}
    assert "facts/exports/shop/west/cart.yaml" in plan.proposals[0].changes
    assert "facts/exports/shop/north/till.yaml" not in plan.proposals[0].changes
    assert "The rest waits until north has a gateway address on main" in plan.proposals[0].body
    assert plan.waiting["peermesh/exports/shop"].startswith("north has a gateway address on main")


def test_merging_a_first_address_lets_the_exports_follow_in_the_same_plan():
    tree = meshes.tree_of(meshes.cluster("east"), meshes.cluster("west"), meshes.facts("west", sources=()))
    said = says("west", offer("shop/cart"), address="203.0.113.10")
    waiting = planned(tree, said)
    assert classes_of(waiting) == {"peermesh/clusters/west": ("cluster",)}
    merged = planned(tree, said, merges=all_but_held)
    assert merged.merged == ("peermesh/clusters/west", "peermesh/exports/shop")


def test_an_address_that_changes_is_an_address_and_reaches_every_import():
    tree = meshes.tree_of(meshes.cluster("east"), meshes.cluster("west"), REVIEWS)
    plan = planned(tree, says("west", offer("bookinfo/reviews"), address="203.0.113.99"))
    assert classes_of(plan) == {"peermesh/clusters/west": ("address",)}
    assert "is reached at 203.0.113.99:15443 (was " in plan.proposals[0].body


def test_withdrawing_everything_is_held_and_nothing_else():
    exports = [meshes.export(f"shop/s{number}", "west") for number in range(3)]
    tree = meshes.tree_of(meshes.cluster("east"), meshes.cluster("west"), *exports)
    plan = planned(tree, says("west", offer("shop/new")))
    assert classes_of(plan) == {"peermesh/exports/shop": ("export",), "peermesh/held/shop": ("held",)}
    held = plan.proposals[1]
    assert [path for path in held.changes if path.startswith("facts/")] == [
        f"facts/exports/shop/west/s{number}.yaml" for number in range(3)
    ]
    assert all(f"s{number}.shop.mesh.internal" in plan.after for number in range(3))


def test_a_move_to_another_cluster_is_no_loss():
    exports = [meshes.export(f"shop/s{number}", "west") for number in range(3)]
    tree = meshes.tree_of(meshes.cluster("east"), meshes.cluster("west"), *exports)
    offers = [offer(f"shop/s{number}") for number in range(3)]
    plan = planned(tree, says("west"), says("east", *offers))
    assert classes_of(plan) == {"peermesh/exports/shop": ("provider", "withdrawal")}


def test_what_is_held_stays_held_when_the_rest_is_few():
    exports = [meshes.export(f"shop/s{number}", "west") for number in range(9)]
    tree = meshes.tree_of(meshes.cluster("east"), meshes.cluster("west"), *exports)
    rest = [offer(f"shop/s{number}") for number in range(1, 9)]
    path = "facts/exports/shop/west/s0.yaml"
    assert classes_of(planned(tree, says("west", *rest))) == {"peermesh/exports/shop": ("withdrawal",)}
    memory = Memory(branches={"peermesh/held/shop": {path: None}})
    assert classes_of(planned(tree, says("west", *rest), memory=memory)) == {"peermesh/held/shop": ("held",)}


def test_a_cluster_without_observation_keeps_what_its_open_branch_says():
    tree = meshes.tree_of(meshes.cluster("east"), meshes.cluster("west"))
    said = planned(tree, says("west", offer("bookinfo/reviews")))
    memory = Memory(branches={said.proposals[0].branch: said.proposals[0].facts})
    silent = planned(tree, memory=memory)
    assert silent.proposals[0].changes == said.proposals[0].changes
    assert silent.proposals[0].digest == said.proposals[0].digest


def test_a_distrusted_cluster_loses_its_part_of_open_proposals():
    tree = meshes.tree_of(meshes.cluster("east"), meshes.cluster("west"))
    said = planned(tree, says("west", offer("bookinfo/reviews")))
    branches = {said.proposals[0].branch: said.proposals[0].facts}
    plan = planned(tree, memory=Memory(branches=branches, distrusted=frozenset({"west"})))
    assert plan.proposals == ()


def test_a_rejected_fact_is_left_out_until_it_differs():
    said = planned(EAST_AND_WEST, says("west", offer("bookinfo/reviews")))
    path = paths.export_path(meshes.key("bookinfo/reviews"), "west")
    rejected = frozenset({(path, blob_id(said.proposals[0].changes[path] or b""))})
    memory = Memory(rejected=rejected)
    plan = planned(EAST_AND_WEST, says("west", offer("bookinfo/reviews")), memory=memory)
    assert (plan.proposals, plan.rejected) == ((), rejected)
    other = planned(EAST_AND_WEST, says("west", offer("bookinfo/reviews", accounts=("other",))), memory=memory)
    assert classes_of(other) == {"peermesh/exports/bookinfo": ("export",)}


def test_a_rejected_withdrawal_keeps_what_main_has():
    tree = meshes.tree_of(meshes.cluster("east"), meshes.cluster("west"), REVIEWS)
    path = paths.export_path(REVIEWS.key, "west")
    assert planned(tree, says("west"), memory=Memory(rejected=frozenset({(path, None)}))).proposals == ()


def test_main_that_is_not_its_rendering_is_mended_first_and_the_others_wait():
    tree = meshes.tree_of(meshes.cluster("east"), meshes.cluster("west"), REVIEWS)
    broken = FilesInMemory(
        apply(files_of(tree).content, {
            "clusters/east/imports/bookinfo/reviews.yaml": b"kind: Wrong\n",
            "clusters/west/gateway/bookinfo.yaml": None,
            "clusters/west/gateway/stray.yaml": b"kind: Stray\n",
            "clusters/gone/imports/x/y.yaml": b"kind: Stray\n",
            "clusters/west/flux-system/sync.yaml": b"kind: Foreign\n",
            "clusters/west/imports/README.md": b"people's\n",
        })
    )  # fmt: skip
    plan = planned(tree, says("west", offer("bookinfo/ratings")), files=broken)
    assert classes_of(plan) == {"peermesh/render": ("follow-up",)}
    assert sorted(plan.proposals[0].changes) == [
        "clusters/east/imports/bookinfo/reviews.yaml",
        "clusters/gone/imports/x/y.yaml",
        "clusters/west/gateway/bookinfo.yaml",
        "clusters/west/gateway/stray.yaml",
    ]
    assert plan.waiting == {"*": "peermesh/render is merged"}
    mended = FilesInMemory(apply(broken.content, plan.proposals[0].changes))
    assert classes_of(planned(tree, files=mended)) == {}


def test_two_hosts_with_one_address_part_and_the_younger_moves():
    older = meshes.export("shop/a", "west", since=meshes.OLD)
    younger = meshes.export("shop/b", "west", since=meshes.NEWER)
    shared = "240.8.1.1"
    tree = meshes.tree_of(
        meshes.cluster("west"),
        older,
        younger,
        meshes.host("shop/a", {"a.shop.mesh.internal": shared}, ("west",)),
        meshes.host("shop/b", {"b.shop.mesh.internal": shared}, ("west",)),
    )
    plan = planned(tree, merges=all_but_held)
    assert classes_of(plan) == {"peermesh/render": ("follow-up",)}
    assert plan.tree.facts.hosts[older.key].spec.addresses["a.shop.mesh.internal"] == shared
    assert plan.tree.facts.hosts[younger.key].spec.addresses["b.shop.mesh.internal"] != shared


def test_what_a_syncer_refuses_keeps_what_stands_and_is_told():
    tree = meshes.tree_of(meshes.cluster("east"), meshes.cluster("west"), REVIEWS)
    refused = Refused(
        namespace="bookinfo", service="reviews", source="label", reason="NoPort", message="a [link](x)\n@all"
    )
    plan = planned(tree, says("west", offer("bookinfo/ratings"), refused=(refused,)))
    assert classes_of(plan) == {"peermesh/exports/bookinfo": ("export",)}
    assert "- bookinfo/reviews in west: NoPort, `a [link](x) @all`\n" in plan.proposals[0].body


def test_a_source_that_cannot_be_read_withdraws_nothing():
    by_serviceexport = meshes.export("bookinfo/reviews", "west", source="serviceexport")
    tree = meshes.tree_of(
        meshes.cluster("east"),
        meshes.cluster("west"),
        meshes.facts("west", "203.0.113.10", sources=("label", "serviceexport")),
        by_serviceexport,
    )
    plan = planned(tree, says("west", sources=("label",)))
    assert plan.proposals == ()
    assert [told.what for told in plan.told] == ["source serviceexport can't be read in west: kept as it is"]


def test_a_namespace_whose_facts_cannot_be_read_is_left_alone():
    tree = meshes.tree_of(meshes.cluster("east"), meshes.cluster("west"), REVIEWS)
    files = files_of(tree)
    half = meshes.without_exports(tree, ("bookinfo/reviews", "west"))
    frozen = {"bookinfo": "facts/exports/bookinfo/west/reviews.yaml can be read again"}
    plan = planned(half, says("west", offer("bookinfo/reviews"), offer("shop/cart")), files=files, frozen=frozen)
    assert classes_of(plan) == {"peermesh/exports/shop": ("export",)}
    assert plan.waiting == {"peermesh/exports/bookinfo": frozen["bookinfo"]}


def test_a_gateway_that_changes_leaves_the_files_of_a_frozen_namespace_alone():
    tree = meshes.tree_of(meshes.cluster("east"), meshes.cluster("west"), REVIEWS, meshes.export("shop/cart", "west"))
    half = meshes.without_exports(tree, ("bookinfo/reviews", "west"))
    said = says("west", offer("bookinfo/reviews"), offer("shop/cart"), address="203.0.113.77", wildcard=True)
    plan = planned(half, said, files=files_of(tree), frozen={"bookinfo": "it can be read"})
    assert classes_of(plan) == {"peermesh/clusters/west": ("address",)}
    assert "clusters/west/gateway/shop.yaml" in plan.proposals[0].changes
    assert not [path for path in plan.proposals[0].changes if "bookinfo" in path]


def test_at_most_twenty_export_proposals_are_open_and_the_open_ones_come_first():
    offers = [offer(f"n{number:02}/service") for number in range(25)]
    first = planned(EAST_AND_WEST, says("west", *offers))
    assert len(first.proposals) == 20
    assert sorted(first.waiting) == [f"peermesh/exports/n{number}" for number in range(20, 25)]
    memory = Memory(branches={"peermesh/exports/n24": {}})
    again = planned(EAST_AND_WEST, says("west", *offers), memory=memory)
    assert "peermesh/exports/n24" in classes_of(again)


def test_facts_are_written_as_the_robot_writes_them():
    plan = planned(EAST_AND_WEST, says("west", offer("bookinfo/reviews")))
    path = paths.export_path(REVIEWS.key, "west")
    assert plan.proposals[0].changes[path] == write(REVIEWS)


def test_a_host_whose_ports_are_all_others_says_who_answers_on_the_new_ones():
    tree = meshes.tree_of(meshes.cluster("east"), meshes.cluster("west"), REVIEWS)
    said = says("west", offer("bookinfo/reviews", ports=[meshes.port(9090)], accounts=("reviews-v2",)))
    body = planned(tree, said).proposals[0].body
    assert "**stops being reachable** from east and west on every port that it had (9080)" in body
    assert "becomes reachable from east and west: port 9090 (protocol detected), answered by west as" in body
    assert "/sa/reviews-v2`" in body


def test_two_clusters_that_export_a_new_host_at_once_are_named_as_such():
    plan = planned(
        EAST_AND_WEST,
        says("west", offer("shop/cart", since=meshes.OLD)),
        says("east", offer("shop/cart", since=meshes.NEWER)),
    )
    assert classes_of(plan) == {"peermesh/exports/shop": ("export", "provider")}
    first = plan.proposals[0].body.splitlines()[0]
    assert first == "**One more cluster answers for a host that is new, too**: east for shop/cart."


def test_a_title_of_many_says_what_they_have_in_common():
    plan = planned(EAST_AND_WEST, says("west", *[offer(f"shop/service-{number}") for number in range(9)]))
    assert plan.proposals[0].title == "shop: export 9 services"


def test_losses_by_cluster_facts_and_by_withdrawals_count_together_whether_they_merge_or_not():
    names = [f"s{number}" for number in range(10)]
    guard = meshes.mesh(guard=kinds.Guard(at_most=5, share=1.0))
    exports = [meshes.export(f"shop/{name}", "west") for name in names]
    tree = meshes.tree_of(guard, meshes.cluster("east"), meshes.cluster("west"), *exports)
    clashes = tuple(
        Foreign(kind="ServiceEntry", namespace="team", name=name, host=f"{name}.shop.mesh.internal")
        for name in names[:3]
    )
    left = [offer(f"shop/{name}") for name in names[:7]]
    for merges in (nothing_merges, all_but_held):
        plan = planned(tree, says("west", *left), says("east", foreign=clashes), merges=merges)
        assert classes_of(plan) == {"peermesh/clusters/east": ("change",), "peermesh/held/shop": ("held",)}
