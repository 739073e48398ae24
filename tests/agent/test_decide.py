"""What the agent does next, as values: what the stories don't come by."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from msgspec.structs import replace as replaced

from syncer.agent.committed import read_committed
from syncer.agent.decide import Decision, Install, Keep, MakeKey, Send, Sent, View, decide
from syncer.agent.names import CACERTS, CRLS_CONFIG
from syncer.agent.sight import Sight
from syncer.protocol.revocation import listers
from syncer.protocol.trust import ObservedIssuer
from tests.agent.world import COMMIT, TERMS, World, config_map, secret
from tests.pki.authority import NOW


def seen(world: World) -> View:
    """What an agent would read now."""
    return View(
        committed=read_committed(world.api.objects[COMMIT]["data"]),
        standing=world.standing,
        kept=world.kept,
        sight=Sight(
            istiods=tuple(istiod.says() for istiod in world.istiods), roots=world.standing.content.cacerts.roots
        ),
    )


def kept(decision: Decision) -> Keep:
    assert isinstance(decision.action, Keep)
    return decision.action


def test_what_was_kept_and_not_written_counts_from_when_it_is_written():
    """Else an agent that was away for an hour would write, and put back at once."""
    world = World(installed=1)
    world.agent().turn()
    world.commit(1, roots=("a", "b"))
    view = seen(world)
    begun = kept(decide(view, TERMS, NOW)).kept
    late = NOW + timedelta(hours=1)
    again = kept(decide(replace(view, kept=begun), TERMS, late)).kept
    assert begun.change is not None
    assert again.change == replaced(begun.change, since=late)
    assert isinstance(decide(replace(view, kept=again), TERMS, late + timedelta(seconds=29)).action, Install)


def test_what_was_taken_is_the_highest_from_then_on():
    world = World(installed=1)
    world.commit(1, wanted="5")
    agent = world.agent()
    agent.turn()
    world.commit(world.sign())
    agent.turn()
    assert 1 == world.kept.highest
    world.tick(60)
    taken = kept(decide(seen(world), TERMS, world.now)).kept
    assert (5, None) == (taken.highest, taken.change)


def test_an_order_for_what_was_in_use_already_isnt_followed():
    """As an older commit has it, applied again."""
    world = World(installed=1)
    world.commit(1, wanted="5")
    agent = world.agent()
    agent.turn()
    world.commit(world.sign())
    world.run(agent)
    world.commit(1, wanted="4")
    assert decide(seen(world), TERMS, world.now).action is None
    del world.api.objects[secret(CACERTS)]
    view = View(
        committed=read_committed(world.api.objects[COMMIT]["data"]), standing=None, kept=world.kept, sight=Sight()
    )
    assert decide(view, TERMS, world.now).action is None


def test_the_clock_asks_for_the_one_after_what_is_installed_and_nothing_else():
    world = World(installed=1)
    world.commit(1, wanted="2")
    world.agent().turn()
    rotation = world.sign()
    world.commit(rotation)
    world.istiods[0].refuses = lambda _content: True
    world.run(world.agent())
    half = replace(seen(world), kept=world.kept)
    assert half.committed is not None
    assert half.committed.renew_after is not None
    assert decide(half, TERMS, half.committed.renew_after + timedelta(days=1)).action is None


def test_a_request_waits_for_its_heartbeat_and_not_for_that_of_another_rotation():
    world = World(installed=1)
    world.commit(1, wanted="2")
    world.agent().turn()
    view = seen(world)
    for sent, expected in (
        (None, True),
        (Sent(rotation=2, at=NOW - timedelta(seconds=299)), False),
        (Sent(rotation=2, at=NOW - timedelta(seconds=300)), True),
        (Sent(rotation=2, at=NOW + timedelta(seconds=1)), True),  # the clock was set back
        (Sent(rotation=1, at=NOW), True),
    ):
        assert expected == isinstance(decide(replace(view, sent=sent), TERMS, NOW).action, Send)


def test_a_key_for_a_higher_rotation_takes_the_place_of_one_that_was_never_signed():
    world = World(installed=1)
    world.commit(1, wanted="2")
    world.agent().turn()
    world.commit(1, wanted="3")
    action = decide(seen(world), TERMS, NOW).action
    assert isinstance(action, MakeKey)
    assert 3 == action.rotation


def test_a_crl_that_istiod_doesnt_publish_isnt_taken_and_one_that_it_cant_is():
    world = World(installed=1)
    crl = world.mesh.root("a").crl() + world.signed[1].crl()
    world.api.put(config_map(CRLS_CONFIG), {"ca-crl.pem": ""})
    world.commit(1, {"ca-crl.pem": crl})
    world.agent().turn()
    view = seen(world)
    late = world.now + TERMS.patience
    for shown, expected in (("", "put back"), (None, ""), (crl, "")):
        decision = decide(replace(view, sight=replace(view.sight, crl=shown)), TERMS, late)
        assert expected in decision.agent.trouble
        assert (kept(decision).kept.change is not None) == bool(expected)


def test_whose_lists_workloads_have_is_told_when_istiod_hands_them_on():
    world = World(installed=1)
    crl = world.mesh.root("a").crl() + world.signed[1].crl()
    world.commit(1, {"ca-crl.pem": crl})
    world.agent().turn()
    view = seen(world)
    had = tuple(sorted(listers(crl)))
    assert 2 == len(had)
    for shown, expected in (("", ()), (None, had), (crl, had)):  # None: an istiod that knows no lists
        decision = decide(replace(view, sight=replace(view.sight, crl=shown)), TERMS, world.now)
        assert expected == decision.agent.crls


@pytest.mark.parametrize("committed", [True, False])
def test_where_istiod_reads_no_lists_nobody_waits_for_them(committed: bool):
    world = World(installed=1)
    crl = world.signed[1].crl()
    tls = world.standing.content.cacerts
    world.api.put(
        secret(CACERTS),
        {"tls.crt": tls.chain, "tls.key": world.standing.content.key, "ca.crt": tls.roots},
        kind="kubernetes.io/tls",
    )
    world.commit(1, {"ca-crl.pem": crl} if committed else {})
    told = decide(seen(world), TERMS, world.now).agent.crls
    assert (listers(crl) if committed else ()) == told


def test_published_roots_in_another_spelling_are_the_same_in_the_end():
    world = World(installed=1)
    world.commit(1, lever=2)
    world.agent().turn()
    view = seen(world)
    shown = replace(view, sight=replace(view.sight, roots=view.sight.roots.rstrip("\n")), kept=world.kept)
    assert decide(shown, TERMS, world.now + timedelta(seconds=10)).action is None
    assert kept(decide(shown, TERMS, world.now + TERMS.patience)).kept.change is None


def test_published_roots_that_differ_are_told_when_nothing_is_changed():
    world = World(installed=1)
    world.agent().turn()
    view = replace(seen(world), kept=world.kept)
    other = world.mesh.root("b").pem
    decision = decide(replace(view, sight=replace(view.sight, roots=other)), TERMS, NOW)
    assert decision.agent.trouble.startswith("istiod publishes other roots than those in cacerts")
    silent = replace(view.sight, roots=other, istiods=(ObservedIssuer(pod="istiod-1", error="away"),))
    assert "" == decide(replace(view, sight=silent), TERMS, NOW).agent.trouble
