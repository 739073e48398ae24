"""What istiod isn't seen to take is put back, byte for byte, and isn't tried again."""

from __future__ import annotations

from datetime import timedelta

from syncer.agent.content import Content
from syncer.agent.names import CACERTS
from tests.agent.test_refusals import asked
from tests.agent.world import World, secret


def refusing(world: World) -> None:
    """Nothing new is taken by any istiod."""
    for istiod in world.istiods:
        istiod.refuses = lambda _content: True


def test_what_istiod_doesnt_take_within_two_periods_is_put_back():
    world = asked()
    before = world.cacerts
    assert before is not None
    refusing(world)
    world.commit(world.sign())
    agent = world.agent()
    world.run(agent, 110)
    assert 2 == world.standing.rotation
    world.run(agent, 20)
    assert before.data == world.standing.content.data
    assert world.status.restored
    assert world.status.trouble == (
        "istiod istiod-1 still signs with another certificate, 120 s after cacerts was changed, so the previous "
        "content was put back. With new pods of istiod it is tried again; else order another rotation, or take it "
        "back in Git."
    )


def test_what_was_put_back_isnt_tried_again_until_something_else_is_committed():
    world = asked()
    refusing(world)
    world.commit(world.sign())
    agent = world.agent()
    world.run(agent)
    written = world.api.writes.count(secret(CACERTS))
    world.run(agent, 3600)
    assert written == world.api.writes.count(secret(CACERTS))
    for istiod in world.istiods:
        istiod.refuses = lambda _content: False
    world.commit(2, {"ca-cert.pem": world.signed[2].pem}, wanted="3")
    agent.turn()
    assert 3 == world.sent[-1].rotation
    world.commit(world.sign())
    world.run(agent)
    assert [world.certificate(3)] == world.signs
    assert (False, "") == (world.status.restored, world.status.trouble)


def test_what_was_put_back_is_tried_again_once_every_istiod_is_another():
    """For a cluster that is being adopted there is no other way on: it can't have another rotation yet."""
    world = World(installed=1)
    world.replicas("istiod-1", "istiod-2")
    refusing(world)
    world.commit(1, roots=("a", "b"))
    agent = world.agent()
    world.run(agent)
    written = world.api.writes.count(secret(CACERTS))
    world.replicas("istiod-2", "istiod-3")
    world.run(agent)
    assert (written, True) == (world.api.writes.count(secret(CACERTS)), world.status.restored)
    world.replicas("istiod-3", "istiod-4")
    world.run(agent)
    assert (2, False, "") == (len(world.standing.roots), world.status.restored, world.status.trouble)


def test_taking_the_commit_back_ends_the_trouble():
    world = asked()
    refusing(world)
    world.commit(world.sign())
    agent = world.agent()
    world.run(agent)
    world.commit(1)
    world.run(agent, 20)
    assert (False, "", 1) == (world.status.restored, world.status.trouble, world.status.rotation)


def test_a_bundle_that_istiod_doesnt_take_is_put_back():
    world = World(installed=1)
    refusing(world)
    world.commit(1, roots=("a", "b"))
    world.run(world.agent())
    assert 1 == len(world.standing.roots)
    assert "istiod still publishes other roots in istio-ca-root-cert" in world.status.trouble


def test_one_replica_of_two_that_doesnt_take_it_is_enough():
    world = World(installed=1)
    world.replicas("istiod-1", "istiod-2")
    world.istiods[1].refuses = lambda _content: True
    world.commit(1, wanted="2")
    agent = world.agent()
    agent.turn()
    world.commit(world.sign())
    world.run(agent)
    assert 1 == world.standing.rotation
    assert "istiod istiod-2 still signs with another certificate" in world.status.trouble


def test_a_replica_that_is_away_isnt_waited_for_when_the_other_took_it():
    world = World(installed=1)
    world.replicas("istiod-1", "istiod-2")
    world.istiods[1].away = True
    world.commit(1, wanted="2")
    agent = world.agent()
    agent.turn()
    world.commit(world.sign())
    world.run(agent)
    assert (2, "") == (world.standing.rotation, world.status.trouble)
    assert world.kept.change is None


def test_an_istiod_that_answers_no_more_after_a_change_gets_the_previous_back():
    world = asked()
    world.commit(world.sign())
    agent = world.agent()
    agent.turn()
    world.istiods[0].away = True
    world.run(agent)
    assert 1 == world.standing.rotation
    assert "doesn't say what it signs with: no connection" in world.status.trouble


def test_an_istiod_that_never_answered_is_no_reason_to_put_anything_back():
    """It may not start with what stands there; what is committed was checked."""
    world = asked()
    world.istiods[0].away = True
    world.commit(world.sign())
    agent = world.agent()
    world.run(agent, 600)
    assert 2 == world.standing.rotation
    assert "whether it takes what is in cacerts can't be seen" in world.status.trouble
    world.istiods[0].away = False
    world.run(agent, 30)
    assert (2, "") == (world.standing.rotation, world.status.trouble)


def test_where_no_istiod_runs_nobody_is_waited_for():
    world = asked()
    """What their leader published last is still there, and isn't theirs any more."""
    world.replicas()
    world.commit(world.sign(), roots=("a", "b"))
    world.run(world.agent())
    assert (2, "") == (world.standing.rotation, world.status.trouble)
    assert world.kept.change is None


def test_an_istiod_that_goes_its_own_way_is_told():
    """As one that made its own root at its start, before there was a `cacerts`."""
    world = World(installed=1)
    other = world.mesh.intermediate("west", 9)
    content = world.cacerts
    assert content is not None
    world.istiods[0].content = Content({**content.data, "ca-cert.pem": other.pem.encode()})
    world.agent().turn()
    assert world.status.trouble == (
        "istiod istiod-1 signs with another certificate than the one in cacerts. "
        "If it doesn't follow within minutes, restart istiod."
    )


def test_what_people_write_meanwhile_is_left_alone():
    world = asked()
    world.commit(world.sign())
    agent = world.agent()
    agent.turn()
    world.install(world.signed[1], "a", note="restored by hand")
    world.run(agent)
    assert b"restored by hand" == world.standing.content.data["note"]
    assert "somebody else wrote cacerts while it was being changed" in world.status.trouble
    assert not world.status.restored
    world.commit(1)
    world.run(agent, 20)
    assert (1, "") == (world.standing.rotation, world.status.trouble)


def test_a_clock_that_is_set_back_doesnt_wait_for_ever():
    world = asked()
    refusing(world)
    world.commit(world.sign())
    agent = world.agent()
    agent.turn()
    world.now -= timedelta(hours=3)
    world.run(agent)
    assert 1 == world.standing.rotation
    assert world.status.restored
