"""Virtual addresses: given once, kept for ever, never given twice."""

from __future__ import annotations

import ipaddress

from hypothesis import given
from hypothesis import strategies as st

from tests import meshes
from workers.hosts import Addresses, host_changes

NAMES = st.lists(st.from_regex(r"[a-z]{1,8}\.[a-z]{1,4}\.mesh\.internal", fullmatch=True), unique=True, max_size=12)


@given(NAMES)
def test_no_two_names_get_one_address_and_all_are_inside(names):
    """Twelve addresses are usable in these two ranges, so probing meets both ends."""
    addresses = Addresses(meshes.mesh(virtual_ips=("240.8.0.0/29", "240.9.0.0/29")), ())
    taken = [addresses.take(name) for name in names]
    assert len(set(taken)) == len(names)
    ranges = [ipaddress.ip_network("240.8.0.0/29"), ipaddress.ip_network("240.9.0.0/29")]
    for text in taken:
        assert text is not None
        inside = [network for network in ranges if ipaddress.ip_address(text) in network]
        assert ipaddress.ip_address(text) not in {inside[0].network_address, inside[0].broadcast_address}


def test_a_range_that_is_used_up_gives_none():
    addresses = Addresses(meshes.mesh(virtual_ips=("240.8.0.0/30",)), ())
    assert addresses.take("a") is not None
    assert addresses.take("b") is not None
    assert addresses.take("c") is None


def test_an_address_follows_from_the_name_alone():
    assert Addresses(meshes.mesh(), ()).take("reviews.bookinfo.mesh.internal") == Addresses(meshes.mesh(), ()).take(
        "reviews.bookinfo.mesh.internal"
    )


def test_the_address_on_the_own_branch_is_kept_unless_another_host_took_it():
    key = meshes.key("shop/cart")
    tree = meshes.tree_of(meshes.cluster("west"), meshes.export("shop/cart", "west"))
    without = tree.with_facts(tree.facts.with_changes({"facts/hosts/shop/cart.yaml": None}))
    remembered = meshes.host("shop/cart", {"cart.shop.mesh.internal": "240.8.7.7"}, ("west",))
    changes, _ = host_changes(without, [key], Addresses(tree.mesh, [remembered]))
    assert changes["facts/hosts/shop/cart.yaml"] == remembered
    other = meshes.host("shop/till", {"till.shop.mesh.internal": "240.8.7.7"}, ("west",))
    changes, _ = host_changes(without, [key], Addresses(tree.mesh, [other, remembered]))
    assert changes["facts/hosts/shop/cart.yaml"] != remembered


def test_a_name_that_passes_to_another_service_keeps_its_address():
    old = meshes.host("bookinfo/a", {"x.shop.example.com": "240.8.7.7"}, ("west",))
    tree = meshes.tree_of(meshes.cluster("west"), meshes.export("bookinfo/b", "west", hosts=("x.shop.example.com",)))
    bare = tree.with_facts(tree.facts.with_changes({"facts/hosts/bookinfo/b.yaml": None}))
    changes, _ = host_changes(bare, [meshes.key("bookinfo/b")], Addresses(tree.mesh, [old]))
    assert changes["facts/hosts/bookinfo/b.yaml"].spec.addresses["x.shop.example.com"] == "240.8.7.7"


def test_a_new_name_is_added_and_the_old_ones_stay_for_ever():
    tree = meshes.tree_of(
        meshes.cluster("west"), meshes.export("bookinfo/reviews", "west", hosts=("a.shop.example.com",))
    )
    key = meshes.key("bookinfo/reviews")
    changed = meshes.export("bookinfo/reviews", "west", hosts=("b.shop.example.com",))
    after = tree.with_facts(tree.facts.with_changes({"facts/exports/bookinfo/west/reviews.yaml": changed}))
    old = tree.facts.hosts[key]
    new = host_changes(after, [key], Addresses(tree.mesh, [old]))[0]["facts/hosts/bookinfo/reviews.yaml"]
    assert old.spec.addresses.items() <= new.spec.addresses.items()
    assert new.spec.addresses.keys() - old.spec.addresses.keys() == {"b.shop.example.com"}
