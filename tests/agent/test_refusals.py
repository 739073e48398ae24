"""What the agent doesn't follow, and what it puts back: the old state stays, byte for byte."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from syncer.agent.content import load_key
from syncer.protocol.cacerts import cacerts_faults
from tests.agent.world import COMMIT, OWN, STATUS, World, config_map
from tests.pki.authority import key_pem, private_key


def asked() -> World:
    """Rotation 1 is in use, and 2 was asked for."""
    world = World(installed=1)
    world.commit(1, wanted="2")
    world.agent().turn()
    return world


def of_another_key(world: World) -> None:
    world.signed[2] = world.mesh.intermediate("west", 2)
    world.commit(2)


def of_another_cluster(world: World) -> None:
    world.sign()
    world.signed[2] = world.mesh.intermediate("east", 2)
    world.commit(2)


def older(world: World) -> None:
    world.commit(world.sign())
    world.run(world.agent())
    world.commit(1)


def another_of_the_same_number(world: World) -> None:
    world.commit(world.sign())
    world.run(world.agent())
    world.commit(world.sign())


def without_its_chain(world: World) -> None:
    world.sign()
    world.commit(2, {"cert-chain.pem": world.signed[1].chain})


def under_another_root(world: World) -> None:
    world.sign(root="b")
    world.commit(2, roots=("a", "b"))


def under_a_root_that_isnt_in_the_bundle(world: World) -> None:
    world.sign(root="b")
    world.commit(2)


def with_a_disjoint_bundle(world: World) -> None:
    world.sign(root="b")
    world.commit(2, roots=("b",))


def with_a_bundle_that_swaps(world: World) -> None:
    world.commit(1, roots=("a", "b"))
    world.run(world.agent())
    world.sign()
    world.commit(2, roots=("a", "c"))


def already_over(world: World) -> None:
    world.commit(world.sign())
    world.now += timedelta(days=91)


def not_yet_begun(world: World) -> None:
    world.now += timedelta(days=1)
    world.commit(world.sign())
    world.now -= timedelta(days=1)


def for_another_cluster(world: World) -> None:
    world.sign()
    world.commit(2, cluster="east")


def for_another_mesh(world: World) -> None:
    world.sign()
    world.commit(2, mesh="other")


def for_another_trust_domain(world: World) -> None:
    world.sign()
    world.commit(2, trustDomain="east.acme.example")


def without_anything(world: World) -> None:
    world.api.put(COMMIT)


def not_at_all(world: World) -> None:
    del world.api.objects[COMMIT]


def with_garbage(world: World) -> None:
    world.sign()
    world.commit(2, {"ca-cert.pem": "garbage"})


def with_a_private_key(world: World) -> None:
    world.sign()
    world.commit(2, {"cert-chain.pem": world.signed[2].chain + key_pem(private_key("stray"))})


def with_a_number_that_isnt_one(world: World) -> None:
    world.sign()
    world.commit(2, rotation="two")


def with_another_number_than_in_the_certificate(world: World) -> None:
    world.sign()
    world.commit(2, rotation="3")


def without_the_intermediate(world: World) -> None:
    world.commit(0, roots=("a", "b"))


def revoked(world: World) -> None:
    world.sign()
    world.commit(2, {"ca-crl.pem": world.mesh.root("a").crl()})


@pytest.mark.parametrize(
    ("commit", "said"),
    [
        (of_another_key, "it is for a key that isn't here"),
        (of_another_cluster, "it isn't rotation 2 of west"),
        (older, "rotation 2 was in use already, and this is 1"),
        (another_of_the_same_number, "it is another certificate of rotation 2"),
        (without_its_chain, "the intermediate isn't in its own chain"),
        (under_another_root, "no root that this cluster trusts so far has issued it"),
        (under_a_root_that_isnt_in_the_bundle, "no root of the bundle has issued it"),
        (with_a_disjoint_bundle, "it takes roots out and adds others in one step"),
        (with_a_bundle_that_swaps, "it takes roots out and adds others in one step"),
        (already_over, "it expired at"),
        (not_yet_begun, "it isn't valid before"),
        (for_another_cluster, "is for cluster 'east', and this is 'west'"),
        (for_another_mesh, "is for mesh 'other', and this is 'acme'"),
        (for_another_trust_domain, "is for trust domain 'east.acme.example'"),
        (without_anything, "mesh: it isn't there"),
        (not_at_all, "peermesh-cacerts isn't there"),
        (with_garbage, "ca-cert.pem: there is text outside its PEM blocks"),
        (with_a_private_key, "cert-chain.pem: it holds a block of another kind"),
        (with_a_number_that_isnt_one, "rotation: it isn't a number"),
        (with_another_number_than_in_the_certificate, "it isn't rotation 3 of west"),
        (without_the_intermediate, "the intermediate in use is gone from the commit"),
        (revoked, "there is none, and Envoy wants one of every CA"),
    ],
    ids=lambda value: getattr(value, "__name__", None),
)
def test_a_commit_that_isnt_followed_leaves_cacerts_as_it_is_and_is_told(
    commit: Callable[[World], None], said: str
) -> None:
    world = asked()
    commit(world)
    before = world.cacerts
    assert before is not None
    world.run(world.agent())
    after = world.cacerts
    assert after is not None
    assert before.data == after.data
    assert said in world.status.trouble
    assert not world.status.restored


@settings(max_examples=60)
@given(data=st.data())
def test_whatever_is_committed_either_all_of_it_is_installed_or_nothing(data: st.DataObject):
    """Entries that are cut, doubled, exchanged, or have another byte."""
    world = asked()
    before = world.standing.content.data
    world.commit(world.sign())
    said: dict[str, str] = dict(world.api.objects[COMMIT]["data"])
    for name in data.draw(st.lists(st.sampled_from(sorted(said)), min_size=1, max_size=2)):
        text, other = said[name], said[data.draw(st.sampled_from(sorted(said)))]
        at = len(text) * data.draw(st.integers(0, 100)) // 100
        character = data.draw(st.sampled_from("A0=-\n\x00é"))
        said[name] = data.draw(st.sampled_from([text[:at], text + text, other, text[:at] + character + text[at + 1 :]]))
    world.api.put(COMMIT, said)
    world.agent().turn()
    after = world.standing
    if before != after.content.data:
        key = load_key(after.content.key)
        assert key is not None
        public: Any = key.public_key()
        assert () == cacerts_faults(after.content.cacerts, trust_domain="west.acme.example", now=world.now, key=public)


# --- the clock, and the rest of the world


def test_a_clock_that_is_years_ahead_changes_nothing_but_what_is_asked_for():
    world = World(installed=1)
    before = world.cacerts
    world.now += timedelta(days=3650)
    world.run(world.agent())
    assert before is not None
    assert before.data == world.standing.content.data
    assert {2} == {one.rotation for one in world.sent}


def test_an_api_server_that_is_away_changes_nothing():
    world = asked()
    world.commit(world.sign())
    before, writes = world.cacerts, len(world.api.writes)
    world.api.away = True
    agent = world.agent()
    world.run(agent)
    assert "the API server doesn't answer" in agent.waiting
    world.api.away = False
    assert before is not None
    assert (before.data, writes) == (world.standing.content.data, len(world.api.writes))
    world.run(agent)
    assert (2, "") == (world.standing.rotation, agent.waiting)


@pytest.mark.parametrize("lost", [OWN, STATUS])
def test_what_was_delivered_and_is_gone_is_told(lost: str, caplog: pytest.LogCaptureFixture):
    world = asked()
    world.commit(world.sign())
    del world.api.objects[lost]
    world.run(world.agent())
    assert "delivery/clusters/<cluster>/, which has an empty one" in caplog.text


def test_an_own_secret_that_cant_be_read_is_told_and_nothing_is_changed():
    world = asked()
    world.commit(world.sign())
    before = world.cacerts
    world.api.put(OWN, {"state": "garbage", "key": world.api.data(OWN)["key"]})
    world.run(world.agent())
    assert "what the agent keeps there can't be read" in world.status.trouble
    assert before is not None
    assert before.data == world.standing.content.data


def test_an_own_secret_that_was_emptied_costs_the_certificate_and_no_more():
    world = asked()
    rotation = world.sign()
    world.api.put(OWN)
    world.commit(rotation)
    agent = world.agent()
    world.run(agent)
    assert 1 == world.standing.rotation
    assert "it is for a key that isn't here" in world.status.trouble
    world.commit(rotation, wanted="3", reason="ordered")
    agent.turn()
    world.commit(world.sign())
    world.run(agent)
    assert (3, "") == (world.standing.rotation, world.status.trouble)


def test_published_roots_arent_looked_for_where_istiod_publishes_none():
    world = asked()
    world.commit(world.sign())
    world.api.objects.pop(config_map("istio-ca-root-cert"), None)
    world.agent().turn()
    assert 2 == world.standing.rotation
