"""Reach: who can call what, from where, through whom, or why not."""

from __future__ import annotations

from syncer.protocol.observation import Foreign, GatewayAddress
from tests import meshes
from tests.meshes import cluster, export, facts, port, tree_of
from workers.reach import reach

REVIEWS = "reviews.bookinfo.mesh.internal"


def way(tree, consumer, host=REVIEWS):
    return reach(tree)[host].ways[consumer]


def reasons(tree, consumer, host=REVIEWS):
    return [(block.provider, block.reason) for block in way(tree, consumer, host).blocked]


def test_equal_consumers_share_one_way():
    tree = tree_of(cluster("west"), cluster("a"), cluster("b"), cluster("c"), export("bookinfo/reviews", "west"))
    ways = reach(tree)[REVIEWS].ways
    assert len({id(ways[name]) for name in ("a", "b", "c")}) == 1
    assert reach(tree)[REVIEWS].callers() == {"a", "b", "c", "west"}


def test_a_provider_is_reached_at_its_gateway_and_from_its_own_cluster_at_the_cluster_address():
    tree = tree_of(
        cluster("east"),
        cluster("west"),
        facts("west", "203.0.113.10", cluster_ip="10.0.0.7", cluster_port=443),
        export("bookinfo/reviews", "west", accounts=("b", "a")),
    )
    outside = way(tree, "east").providers[0]
    assert outside.addresses == (GatewayAddress(ip="203.0.113.10", port=15443),)
    assert outside.identities == (
        "spiffe://west.acme.example/ns/bookinfo/sa/a",
        "spiffe://west.acme.example/ns/bookinfo/sa/b",
    )
    assert way(tree, "west").providers[0].addresses == (GatewayAddress(ip="10.0.0.7", port=443),)


def test_what_people_write_overrides_the_observed_address():
    tree = tree_of(
        cluster("east"), cluster("west", addresses=("gw.example:443", "192.0.2.1")), export("bookinfo/reviews", "west")
    )
    assert way(tree, "east").providers[0].addresses == (
        GatewayAddress(host="gw.example", port=443),
        GatewayAddress(ip="192.0.2.1", port=15443),
    )


def test_a_provider_without_address_is_blocked_with_the_remedy():
    tree = tree_of(cluster("east"), cluster("west"), facts("west"), export("bookinfo/reviews", "west"))
    assert reasons(tree, "east") == [("west", "NoAddress")]
    assert "spec.gateway.addresses in mesh/clusters/west.yaml" in way(tree, "east").blocked[0].detail


def test_consumers_are_clusters_by_name_or_label_and_always_the_exporter():
    tree = tree_of(
        cluster("west"),
        cluster("east"),
        cluster("north", labels={"env": "prod"}),
        cluster("south", labels={"env": "test"}),
        export("bookinfo/reviews", "west", consumers=("east", "env=prod")),
    )
    assert reach(tree)[REVIEWS].callers() == {"west", "east", "north"}
    assert reasons(tree, "south") == [("west", "NotConsumer")]
    nobody = tree_of(cluster("west"), cluster("east"), export("bookinfo/reviews", "west", consumers=()))
    assert reach(nobody)[REVIEWS].callers() == {"west"}


def test_may_export_is_applied_to_facts_that_stand():
    tree = tree_of(cluster("west", may_export=("shop-*",)), cluster("east"), export("bookinfo/reviews", "west"))
    assert reasons(tree, "east") == [("west", "NotAllowed")]
    allowed = tree_of(cluster("west", may_export=("book*",)), cluster("east"), export("bookinfo/reviews", "west"))
    assert reach(allowed)[REVIEWS].callers() == {"east", "west"}


def test_peoples_own_object_for_a_host_blocks_only_the_cluster_where_it_is():
    clash = Foreign(kind="ServiceEntry", namespace="team", name="mine", host=REVIEWS)
    tree = tree_of(
        cluster("west"),
        cluster("east"),
        facts("east", "192.0.2.2", foreign=[clash]),
        export("bookinfo/reviews", "west"),
    )
    assert reach(tree)[REVIEWS].callers() == {"west"}
    assert way(tree, "east").blocked[0].detail == "people's own ServiceEntry team/mine is for this host"


def test_an_additional_name_is_a_host_of_its_own_answered_by_those_who_claim_it():
    tree = tree_of(
        cluster("west"),
        cluster("east"),
        export("bookinfo/reviews", "west", hosts=("reviews.shop.example.com",)),
        export("bookinfo/reviews", "east"),
    )
    found = reach(tree)
    assert found[REVIEWS].providers() == {"west", "east"}
    assert found["reviews.shop.example.com"].providers() == {"west"}
    assert found["reviews.shop.example.com"].key == meshes.key("bookinfo/reviews")


def test_a_name_that_people_do_not_give_to_the_namespace_is_no_host():
    tree = tree_of(cluster("west"), export("other/reviews", "west", hosts=("reviews.shop.example.com",)))
    assert list(reach(tree)) == ["reviews.other.mesh.internal"]


def test_an_additional_name_that_two_services_claim_belongs_to_the_oldest():
    name = "reviews.shop.example.com"
    tree = tree_of(
        cluster("west"),
        export("bookinfo/a", "west", hosts=(name,), since=meshes.NEWER),
        export("bookinfo/b", "west", hosts=(name,), since=meshes.OLD),
    )
    assert reach(tree)[name].key == meshes.key("bookinfo/b")


def test_a_port_that_only_one_provider_has_is_answered_by_it_alone():
    tree = tree_of(
        cluster("west"),
        cluster("east"),
        cluster("north"),
        export("bookinfo/reviews", "west", ports=[port(80, "http")]),
        export("bookinfo/reviews", "east", ports=[port(80, "http"), port(90, "admin")], since=meshes.NEWER),
    )
    assert [(p.number, p.providers) for p in way(tree, "north").ports] == [(80, ("east", "west")), (90, ("east",))]


def test_a_second_look_keeps_the_objects_of_what_did_not_change():
    tree = tree_of(cluster("west"), export("s/a", "west"), export("s/b", "west"))
    first = reach(tree)
    changed = meshes.with_exports(tree, export("s/b", "west", accounts=("other",)))
    second = reach(changed, (tree, first))
    assert second == reach(changed)
    assert second["a.s.mesh.internal"] is first["a.s.mesh.internal"]
    assert second["b.s.mesh.internal"] is not first["b.s.mesh.internal"]
