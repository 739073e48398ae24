"""Learn: what an offer becomes, what stays although nobody said it, and what is refused by name."""

from __future__ import annotations

import msgspec
import pytest
from msgspec import UNSET

from syncer.protocol.observation import GatewayAddress, ObservedGateway
from syncer.protocol.offer import EXPORTS_NOTHING, Port, Refused
from tests import meshes
from tests.core.observations import offer, says
from workers.learn import LearnMemo, Memory, learn

PATH = "facts/exports/bookinfo/west/reviews.yaml"
REVIEWS = meshes.export("bookinfo/reviews", "west", consumers=("east",), hosts=("reviews.shop.example.com",))
TREE = meshes.tree_of(meshes.cluster("east"), meshes.cluster("west"), REVIEWS)


def learned(*observations, tree=TREE, memory=None):
    return learn(tree, {said.cluster: said for said in observations}, memory or Memory())


def same(**changes):
    """An offer that says what main has, but for `changes`."""
    said = offer("bookinfo/reviews", consumers=("east",), hosts=("reviews.shop.example.com",))
    return msgspec.structs.replace(said, **changes)


def test_what_main_has_changes_nothing():
    assert learned(says("west", same())).changes == {}


@pytest.mark.parametrize("field", ["since", "selector", "consumers", "hosts", "service_accounts"])
def test_what_an_older_syncer_does_not_say_stays_as_committed(field):
    assert learned(says("west", same(**{field: UNSET}))).changes == {}


def test_an_annotation_that_is_gone_is_not_the_same_as_one_not_said():
    fact = learned(says("west", same(consumers=None, hosts=None))).changes[PATH]
    assert (fact.spec.consumers, fact.spec.hosts) == (None, ())


def test_scaled_to_zero_keeps_the_committed_identities():
    assert learned(says("west", same(service_accounts=()))).changes == {}


def test_the_age_of_an_export_survives_its_recreation():
    assert learned(says("west", same(since=meshes.NEWEST))).changes == {}


def test_an_observed_gateway_without_address_keeps_the_committed_one():
    said = msgspec.structs.replace(says("west", same()), gateway=ObservedGateway())
    assert learned(said).changes == {}


def test_a_wildcard_gateway_and_new_addresses_are_facts_of_the_cluster():
    gateway = ObservedGateway(
        addresses=(GatewayAddress(host="gw.example", port=443),), cluster_ip="10.0.0.1", wildcard=True
    )
    fact = learned(msgspec.structs.replace(says("west", same()), gateway=gateway)).changes["facts/clusters/west.yaml"]
    assert fact.spec.gateway.wildcard
    assert fact.spec.gateway.addresses == (GatewayAddress(host="gw.example", port=443),)


@pytest.mark.parametrize(
    "ip", ["fe80::1%a\nb", "fe80::1%] **merge me**", "127.0.0.1", "0.0.0.0", "224.0.0.1", "::1", "x"]
)
def test_a_gateway_address_that_nobody_can_call_is_none(ip):
    said = msgspec.structs.replace(
        says("west", same()), gateway=ObservedGateway(addresses=(GatewayAddress(ip=ip, port=15443),), cluster_ip=ip)
    )
    assert learned(said).changes == {}


def test_of_two_sources_the_committed_one_is_taken():
    assert learned(
        says("west", same(source="serviceexport"), same(), sources=("label", "serviceexport"))
    ).changes.keys() == {"facts/clusters/west.yaml"}


def test_an_export_of_nothing_is_a_withdrawal_and_other_refusals_keep_what_stands():
    refused = Refused(namespace="bookinfo", service="reviews", source="label", reason=EXPORTS_NOTHING)
    assert learned(says("west", refused=(refused,))).changes == {PATH: None}
    still = Refused(namespace="bookinfo", service="reviews", source="label", reason="NoPort")
    assert learned(says("west", refused=(still,))).changes == {}


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"namespace": "../../mesh"}, "BadName"),
        ({"namespace": "a\nb"}, "BadName"),
        ({"service": "x" * 300}, "BadName"),
        ({"service": "Reviews"}, "BadName"),
        ({"source": "no source"}, "BadName"),
        ({"since": "yesterday"}, "BadTime"),
        ({"ports": ()}, "NoPort"),
        ({"ports": (Port(name="http", number=0, target_port=80),)}, "BadPort"),
        ({"ports": (Port(name="http", number=80, target_port=70000),)}, "BadPort"),
        ({"ports": (Port(name="a b", number=80, target_port=80),)}, "BadName"),
        ({"ports": (Port(name="http", number=80, target_port=80, protocol="UDP"),)}, "BadProtocol"),
        ({"ports": (meshes.port(80, "http"), meshes.port(80, "web"))}, "BadPort"),
        ({"ports": (meshes.port(80, "http"), meshes.port(81, "http"))}, "BadPort"),
        ({"ports": tuple(meshes.port(number) for number in range(1, 300))}, "TooMany"),
        ({"service_accounts": ("a/../b",)}, "BadName"),
        ({"consumers": ("env=prod\nPeermesh-Change: x",)}, "BadName"),
        ({"hosts": ("Bad_Host",)}, "BadName"),
        ({"hosts": ("reviews.other.example.com",)}, "HostNotAllowed"),
        ({"selector": {"app": "x\ny"}}, "BadName"),
    ],
)
def test_an_offer_that_cannot_be_a_fact_is_refused_by_name_and_keeps_what_stands(changes, reason):
    result = learned(says("west", same(**changes), offer("shop/cart")))
    assert [(cluster, entry.reason) for cluster, entry in result.refused] == [("west", reason)]
    others = {path for path in result.changes if "cart" in path}
    assert others == {"facts/exports/shop/west/cart.yaml"}
    if "namespace" not in changes and "service" not in changes:
        assert PATH not in result.changes


def test_the_first_export_needs_an_identity():
    result = learned(says("west", same(), offer("shop/cart", accounts=())))
    assert [(entry.service, entry.reason) for _, entry in result.refused] == [("cart", "NoIdentity")]


def test_a_namespace_that_may_not_export_loses_what_it_had():
    tree = meshes.tree_of(meshes.cluster("west", may_export=("shop",)), REVIEWS)
    result = learned(says("west", same()), tree=tree)
    assert result.changes == {PATH: None}
    assert [entry.reason for _, entry in result.refused] == ["NotAllowed"]


def test_a_cluster_that_people_do_not_know_is_nothing():
    assert learned(says("west", same()), says("unknown", offer("shop/cart"))).changes == {}


def test_the_memo_gives_the_same_and_notices_every_change():
    memo = LearnMemo()
    for said in (says("west", same()), says("west", same(consumers=None)), says("west"), says("west", same())):
        assert learn(TREE, {"west": said}, Memory(), memo) == learn(TREE, {"west": said}, Memory())
