"""The agent may die before and after every write, and there may be two of it: the end is the same."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from syncer.agent.names import CACERTS
from syncer.agent.run import Agent
from syncer.protocol.errors import Transient
from tests.agent.world import World, secret

DAY = 86400
WRITES = 14
"""More than any story here has; each says how many it really has."""


class Seen:
    """Every content that `cacerts` ever had."""

    def __init__(self, world: World) -> None:
        self.contents: list[Mapping[str, bytes]] = []
        self._world, self._before = world, world.api.changed
        world.api.changed = self._changed

    def _changed(self, path: str, obj: dict[str, Any]) -> None:
        self._before(path, obj)
        if path == secret(CACERTS) and self._world.cacerts is not None:
            self.contents.append(self._world.cacerts.data)


def renewed(world: World, agents: list[Agent]) -> None:
    """The certificate of what was asked for last is committed, and time passes."""
    for _ in range(3):
        for agent in agents:
            world.run(agent, 10)
    if world.sent:
        world.commit(world.certified())
    for _ in range(20):
        for agent in agents:
            world.run(agent, 10)


@pytest.mark.parametrize("done", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("number", range(WRITES))
def test_a_renewal_ends_well_wherever_the_agent_died(number: int, done: bool):
    world = World(installed=1)
    world.agent().turn()
    old = world.standing.content.data
    seen = Seen(world)
    world.tick(46 * DAY)
    with world.dying(number, done=done):
        renewed(world, [world.agent()])
    renewed(world, [world.agent()])
    assert (2, "") == (world.standing.rotation, world.status.trouble)
    assert [world.certificate(2)] == world.signs
    assert 1 == len({one.csr for one in world.sent})
    assert [one.sequence for one in world.sent] == sorted({one.sequence for one in world.sent})
    assert [world.standing.content.data] == seen.contents
    assert world.kept.previous is not None
    assert old == world.kept.previous.data
    assert world.kept.change is None


@pytest.mark.parametrize("done", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("number", range(WRITES))
def test_what_is_put_back_is_put_back_wherever_the_agent_died(number: int, done: bool):
    world = World(installed=1)
    world.commit(1, wanted="2")
    world.agent().turn()
    world.commit(world.sign())
    old = world.standing.content.data
    world.istiods[0].refuses = lambda _content: True
    with world.dying(number, done=done):
        world.run(world.agent())
    world.run(world.agent(), 400)
    assert old == world.standing.content.data
    assert world.status.restored
    assert "still signs with another certificate" in world.status.trouble
    assert world.kept.change is None


@pytest.mark.parametrize("done", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("number", range(WRITES))
def test_a_first_one_ends_well_wherever_the_agent_died(number: int, done: bool):
    world = World()
    world.commit(wanted="1", reason="first")
    with world.dying(number, done=done):
        world.run(world.agent(), 20)
        world.commit(world.certified())
        world.run(world.agent(), 20)
    world.run(world.agent(), 20)
    world.commit(world.certified())
    world.run(world.agent(), 20)
    assert (1, "") == (world.standing.rotation, world.status.trouble)
    assert 1 == len({one.csr for one in world.sent})


def test_the_stories_have_fewer_writes_than_are_tried():
    world = World(installed=1)
    world.agent().turn()
    world.tick(46 * DAY)
    before = len(world.api.writes)
    renewed(world, [world.agent()])
    assert len(world.api.writes) - before <= WRITES


# --- two at once


def test_two_agents_end_like_one():
    world = World(installed=1)
    seen = Seen(world)
    world.tick(46 * DAY)
    renewed(world, [world.agent(), world.agent()])
    assert (2, "") == (world.standing.rotation, world.status.trouble)
    assert 1 == len({one.csr for one in world.sent})
    assert 1 == len(seen.contents)


class Meeting:
    """Before the write with this number of one agent, the other one has a whole turn."""

    def __init__(self, world: World, number: int) -> None:
        self._world, self._number = world, number
        self._first = len(world.api.writes)
        self._met = False
        world.api.fault = self._fault

    def _fault(self, number: int, done: bool) -> None:
        if not self._met and not done and number == self._first + self._number:
            self._met = True
            self._world.agent().turn()


@pytest.mark.parametrize("number", range(WRITES))
@pytest.mark.parametrize("refuses", [False, True], ids=["taken", "refused"])
def test_whatever_one_has_read_the_other_may_write(number: int, refuses: bool, caplog: pytest.LogCaptureFixture):
    world = World(installed=1)
    world.commit(1, wanted="2")
    old = world.standing.content.data
    Meeting(world, number)
    world.run(world.agent(), 20)
    world.commit(world.sign())
    seen = Seen(world)
    world.istiods[0].refuses = lambda _content: refuses
    world.run(world.agent(), 400)
    assert 1 == len({one.csr for one in world.sent})
    assert (1 if refuses else 2) == world.standing.rotation
    assert (2 if refuses else 1) == len(seen.contents)
    assert refuses == (old == world.standing.content.data)
    assert "409" not in caplog.text


# --- anything at any time


def _away(at: set[int]):
    def fault(number: int, done: bool) -> None:
        if number in at and not done:
            at.discard(number)
            raise Transient("ApiAway", "the API server doesn't answer")

    return fault


@given(data=st.data())
def test_whatever_happens_cacerts_is_whole_and_in_the_end_new(data: st.DataObject):
    """Deaths, refused writes, a broker and an API server that are away, commits that come late or go back."""
    world = World(installed=1)
    seen = Seen(world)
    old = world.standing.content.data
    agent = world.agent()
    world.commit(1, wanted="2")
    for _ in range(data.draw(st.integers(3, 12))):
        match data.draw(st.sampled_from(["die", "fail", "broker", "api", "commit", "uncommit", "empty", "pass"])):
            case "die":
                with world.dying(data.draw(st.integers(0, 3)), done=data.draw(st.booleans())):
                    agent.turn()
                agent = world.agent()
            case "fail":
                world.api.fault = _away({len(world.api.writes) + data.draw(st.integers(0, 3))})
                agent.turn()
            case "broker":
                world.broker_away = not world.broker_away
            case "api":
                world.api.away = not world.api.away
            case "commit" if world.sent:
                world.commit(world.certified())
            case "uncommit":
                world.commit(1, wanted="2")
            case "empty":
                world.api.put(secret("nothing"))
            case _:
                pass
        agent.turn()
        world.tick(data.draw(st.sampled_from([1, 30, 200])))
    world.api.away = world.broker_away = False
    world.api.fault = lambda _number, _done: None
    world.run(agent, 60)
    world.commit(world.certified())
    world.run(agent, 600)
    assert (2, "") == (world.standing.rotation, world.status.trouble)
    assert 1 == len({one.csr for one in world.sent})
    new = world.standing.content.data
    assert all(content in (old, new) for content in seen.contents)
