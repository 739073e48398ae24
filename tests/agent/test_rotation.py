"""The way of a rotation, with an agent that looks every ten seconds and an istiod behind a kubelet."""

from __future__ import annotations

from datetime import timedelta

import pytest

from syncer.agent.names import CACERTS
from syncer.protocol.certificates import same_key
from syncer.protocol.request import proof_holds, read_csr, request_faults
from syncer.protocol.revocation import listers
from tests.agent.world import OWN, World, secret

DAY = 86400


def due(world: World) -> None:
    """Half the life of rotation 1 has passed."""
    world.tick(46 * DAY)


def test_a_first_intermediate_is_asked_for_and_installed():
    world = World()
    world.commit(wanted="1", reason="first")
    agent = world.agent()
    agent.turn()
    assert [("first", 1, "")] == [(one.reason, one.rotation, one.proof) for one in world.sent]
    assert world.cacerts is None
    world.commit(world.sign())
    agent.turn()
    assert 1 == world.standing.rotation
    assert {"ca-cert.pem", "ca-key.pem", "cert-chain.pem", "root-cert.pem"} == {*world.api.data(secret(CACERTS))}


def test_a_due_intermediate_is_renewed_with_the_key_in_use_as_proof():
    world = World(installed=1)
    agent = world.agent()
    world.run(agent, 60)
    assert [] == world.sent
    due(world)
    agent.turn()
    (asked,) = world.sent
    assert () == request_faults(asked, cluster="west", mesh="acme", key_type="P-256")
    assert ("renewal", 2) == (asked.reason, asked.rotation)
    assert proof_holds(asked, world.signed[1].certificate.public_key())
    world.commit(world.sign())
    world.run(agent)
    assert [world.certificate(2)] == world.signs
    assert (2, 2, 0, "", False) == said(world)


def said(world: World) -> tuple[int, int, int, str, bool]:
    told = world.status
    return told.rotation, told.wanted, told.pending, told.trouble, told.restored


def test_an_ordered_one_is_asked_for_at_once_and_for_its_reason():
    world = World(installed=1)
    world.commit(1, wanted="7", reason="compromised")
    world.agent().turn()
    assert [(7, "compromised")] == [(one.rotation, one.reason) for one in world.sent]
    assert (1, 7, 7, "", False) == said(world)


def test_it_asks_again_every_heartbeat_with_the_same_key_and_a_higher_number():
    world = World(installed=1)
    due(world)
    world.run(world.agent(), 650)
    assert 3 == len(world.sent)
    assert 1 == len({one.csr for one in world.sent})
    assert [one.sequence for one in world.sent] == sorted({one.sequence for one in world.sent})
    assert [0, 300, 600] == [(one.requested_at - world.sent[0].requested_at).total_seconds() for one in world.sent]


def test_an_agent_that_starts_again_asks_with_the_key_that_it_has_kept():
    world = World(installed=1)
    due(world)
    world.agent().turn()
    world.agent().turn()
    assert 1 == len({one.csr for one in world.sent})
    assert world.sent[0].sequence < world.sent[1].sequence


def test_the_key_is_kept_before_it_is_asked_for():
    world = World(installed=1)
    due(world)
    world.broker_away = True
    world.agent().turn()
    pending = world.kept.pending
    assert pending is not None
    world.broker_away = False
    world.agent().turn()
    assert pending.csr == world.sent[0].csr
    assert world.status.pending == 2


def test_a_broker_that_is_away_is_tried_again_and_told():
    world = World(installed=1)
    due(world)
    world.broker_away = True
    agent = world.agent()
    world.run(agent, 60)
    assert "the broker didn't take it" in world.status.trouble
    world.broker_away = False
    world.run(agent, 120)
    assert [2] == [one.rotation for one in world.sent]
    assert "" == world.status.trouble


@pytest.mark.parametrize("key_type", ["P-256", "P-384"])
def test_the_key_is_of_the_type_that_is_ordered(key_type):
    world = World(installed=1)
    world.commit(1, wanted="2", keyType=key_type)
    world.agent().turn()
    assert () == request_faults(world.sent[0], cluster="west", mesh="acme", key_type=key_type)


def test_the_private_key_of_what_is_installed_is_the_one_that_was_asked_for():
    world = World(installed=1)
    due(world)
    agent = world.agent()
    agent.turn()
    world.commit(world.sign())
    world.run(agent)
    asked = read_csr(world.sent[0].csr, subject="west").public_key()
    assert world.standing.signer is not None
    assert same_key(asked, world.standing.signer.public_key())
    pending = world.kept.pending
    assert pending is not None
    assert pending.key.reveal().encode() == world.standing.content.key


def test_a_change_is_one_update_and_the_previous_content_is_kept_before():
    world = World(installed=1)
    agent = world.agent()
    due(world)
    agent.turn()
    before = world.cacerts
    assert before is not None
    world.commit(world.sign())
    first = len(world.api.writes)
    agent.turn()
    assert [OWN, secret(CACERTS)] == world.api.writes[first : first + 2]
    assert 1 == world.api.writes[first:].count(secret(CACERTS))
    previous = world.kept.previous
    assert previous is not None
    assert before.data == previous.data


def test_a_bundle_that_grows_keeps_key_and_chain():
    world = World(installed=1)
    before = world.standing.content
    world.commit(1, roots=("a", "b"))
    world.run(world.agent())
    after = world.standing.content
    assert (before.key, before.text("cert-chain.pem")) == (after.key, after.text("cert-chain.pem"))
    assert 2 == len(world.standing.roots)
    assert "" == world.status.trouble
    assert world.kept.change is None


def test_the_lever_is_written_to_the_byte():
    world = World(installed=1)
    world.commit(1, lever=1)
    world.run(world.agent())
    assert world.standing.content.text("root-cert.pem").endswith("-----\n\n")
    assert world.kept.change is None


def test_what_else_stands_in_cacerts_stays():
    world = World()
    world.signed[1] = world.mesh.intermediate("west", 1)
    world.install(world.signed[1], "a", note="people's")
    world.commit(1, roots=("a", "b"))
    world.run(world.agent())
    assert b"people's" == world.standing.content.data["note"]


def test_the_form_of_kubernetes_io_tls_is_kept():
    world = World()
    world.signed[1] = world.mesh.intermediate("west", 1)
    world.install(world.signed[1], "a", kind="kubernetes.io/tls")
    world.commit(1, wanted="2")
    agent = world.agent()
    agent.turn()
    world.commit(world.sign())
    world.run(agent)
    assert {"tls.crt", "tls.key", "ca.crt"} == {*world.standing.content.data}
    assert [world.certificate(2)] == world.signs
    assert "kubernetes.io/tls" == world.api.objects[secret(CACERTS)]["type"]


def test_a_second_turn_writes_nothing():
    world = World(installed=1)
    agent = world.agent()
    world.run(agent)
    writes = len(world.api.writes)
    world.run(agent)
    assert writes == len(world.api.writes)


def test_a_cacerts_that_was_deleted_is_made_again_from_the_key_that_is_kept():
    world = World(installed=1)
    agent = world.agent()
    due(world)
    agent.turn()
    world.commit(world.sign())
    world.run(agent)
    for wanted in ("2", "3"):  # also while the next key is asked for
        world.commit(2, wanted=wanted)
        agent.turn()
        whole = world.standing.content.data
        del world.api.objects[secret(CACERTS)]
        agent.turn()
        assert whole == world.standing.content.data


def test_crls_are_written_and_taken_out():
    world = World(installed=1)
    crl = world.mesh.root("a").crl() + world.signed[1].crl()
    world.commit(1, {"ca-crl.pem": crl})
    agent = world.agent()
    agent.turn()
    assert crl == world.standing.content.text("ca-crl.pem")
    world.run(agent)
    assert listers(crl) == world.status.crls
    world.commit(1)
    agent.turn()
    assert "ca-crl.pem" not in world.standing.content.data


def test_the_clock_of_a_request_is_that_of_its_sending():
    world = World(installed=1)
    due(world)
    agent = world.agent()
    agent.turn()
    world.now += timedelta(hours=1)
    agent.turn()
    assert timedelta(hours=1) == world.sent[1].requested_at - world.sent[0].requested_at


def test_who_has_nothing_valid_left_takes_a_root_and_what_signs_under_it_in_one_step():
    """Istiod takes no bundle beside an intermediate that has expired, so the root can't come first."""
    world = World(installed=1)
    world.now += timedelta(days=200)
    agent = world.agent()
    world.commit(1, roots=("a", "b"), wanted="2", reason="rollover")
    world.run(agent, 20)
    assert (1, 1) == (world.standing.rotation, len(world.standing.roots))
    assert "it expired at" in world.status.trouble
    world.commit(world.sign(root="b"), roots=("a", "b"))
    world.run(agent)
    assert (2, 2, "") == (world.standing.rotation, len(world.standing.roots), world.status.trouble)
    assert [world.certificate(2)] == world.signs
