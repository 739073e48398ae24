"""A cluster that has a CA of its own: its bundle is changed, its key and chain stay, until an intermediate comes."""

from __future__ import annotations

from typing import Any

import pytest

from syncer.agent.content import Content
from syncer.agent.names import CACERTS, SELF_SIGNED
from syncer.protocol.certificates import write_certificates
from syncer.protocol.errors import HumanNeeded
from tests.agent.world import TERMS, World, secret
from tests.pki.authority import Authority, key_pem


def foreign(*roots: str) -> World:
    """Its own intermediate, whose number isn't one of ours, under root `old`; `roots` are committed."""
    world = World()
    old = world.mesh.root("old")
    own = world.mesh.intermediate("somebody", 1, under=old, trust_domain="west.acme.example")
    world.install(own, "old")
    world.commit(roots=roots)
    return world


def test_the_new_root_is_added_and_everything_else_stays():
    world = foreign("old", "a")
    before = world.standing.content.data
    agent = world.agent()
    world.run(agent)
    after = world.standing.content.data
    bundle = write_certificates(world.mesh.root(root).certificate for root in ("old", "a"))
    assert {**before, "root-cert.pem": bundle.encode()} == after
    assert (0, 2, "", False) == (
        world.status.rotation,
        len(world.status.roots),
        world.status.trouble,
        world.status.restored,
    )


def test_the_way_to_the_new_root_ends_with_an_intermediate_of_ours_and_one_root():
    world = foreign("old", "a")
    agent = world.agent()
    world.run(agent)
    world.commit(roots=("old", "a"), wanted="1", reason="rollover")
    agent.turn()
    assert [(1, "rollover")] == [(one.rotation, one.reason) for one in world.sent]
    rotation = world.sign()
    world.commit(rotation, roots=("old", "a"), lever=1)
    world.run(agent)
    assert [world.certificate(1)] == world.signs
    world.commit(rotation, roots=("a",))
    world.run(agent)
    assert (1, 1, "") == (world.standing.rotation, len(world.standing.roots), world.status.trouble)


@pytest.mark.parametrize("spelling", ["# a comment\n", "\r\n", "\n\n"], ids=["comment", "carriage-return", "blank"])
def test_another_spelling_of_the_same_bundle_is_left_alone(spelling: str):
    """A changed byte would renew every leaf for nothing."""
    world = foreign("old")
    texts = world.standing.content
    bundle = texts.text("root-cert.pem")
    spelled = bundle.replace("\n", "\r\n") if spelling == "\r\n" else spelling + bundle
    world.api.put(secret(CACERTS), {**texts.data, "root-cert.pem": spelled.encode()})
    world.restart_istiod()
    before = world.standing.content.data
    world.run(world.agent())
    assert before == world.standing.content.data
    assert "" == world.status.trouble


def test_a_bundle_without_the_root_that_is_in_use_is_refused():
    world = foreign("a")
    before = world.standing.content.data
    world.run(world.agent())
    assert before == world.standing.content.data
    assert "it takes roots out and adds others in one step" in world.status.trouble


def test_a_cacerts_whose_key_doesnt_fit_isnt_touched():
    world = foreign("old", "a")
    world.api.put(secret(CACERTS), {**world.standing.content.data, "ca-key.pem": key_pem(world.mesh.root("a").key)})
    before = world.standing.content.data
    world.run(world.agent())
    assert before == world.standing.content.data
    assert "ca-key.pem is the key of another certificate" in world.status.trouble


def test_a_foreign_cacerts_that_was_deleted_is_made_again():
    world = foreign("old", "a")
    agent = world.agent()
    world.run(agent)
    whole = world.standing.content.data
    del world.api.objects[secret(CACERTS)]
    agent.turn()
    assert whole == world.standing.content.data


# --- an istiod that made its root itself


def self_signed(*, adopt: bool) -> tuple[World, Authority]:
    world = World(adopt=adopt)
    own = world.mesh.root("own")
    world.api.put(secret(SELF_SIGNED), {"ca-cert.pem": own.pem, "ca-key.pem": key_pem(own.key)})
    files = {"ca-cert.pem": own.pem.encode(), "cert-chain.pem": own.pem.encode(), "root-cert.pem": own.pem.encode()}
    for istiod in world.istiods:
        istiod.content = Content(files)
        istiod.own_root = True
    world.tick(1)
    world.commit(roots=("own", "a"))
    return world, own


def test_a_self_signed_istiod_is_left_alone_unless_the_agent_is_told_to_adopt_it():
    world, _ = self_signed(adopt=False)
    world.run(world.agent())
    assert world.cacerts is None
    assert world.status.trouble == (
        "There is no cacerts: istiod made its root itself. Set PEERMESH_ADOPT_SELF_SIGNED=yes, or go way 1 "
        "(docs/trust.md, Adoption)."
    )


def test_a_self_signed_istiod_is_adopted_with_its_own_key_and_must_be_restarted_by_people():
    world, own = self_signed(adopt=True)
    agent = world.agent()
    world.run(agent, 10)
    content = world.standing.content
    assert (own.pem, own.pem, key_pem(own.key).encode()) == (
        content.text("ca-cert.pem"),
        content.text("cert-chain.pem"),
        content.key,
    )
    assert 2 == len(world.standing.roots)
    assert asks_for_a_restart(world)
    world.restart_istiod()
    world.run(agent, 20)
    assert "" == world.status.trouble


def test_the_right_to_read_the_old_key_is_asked_for_until_it_is_given(monkeypatch: pytest.MonkeyPatch):
    world, _ = self_signed(adopt=True)
    agent = world.agent()
    with monkeypatch.context() as patched:
        call = world.api.call

        def without_the_right(method: str, path: str, **more: Any) -> bytes:
            if path == secret(SELF_SIGNED):
                raise HumanNeeded("Forbidden", f"{method} {path}: 403", subject="https://api", remedy="Apply it.")
            return call(method, path, **more)

        patched.setattr(world.api, "call", without_the_right)
        agent.turn()
        assert world.status.trouble == (
            "Secret istio-system/istio-ca-secret: PEERMESH_ADOPT_SELF_SIGNED is yes, and it may not be read. "
            "Give the agent the right to get it, as docs/trust.md says under Adoption."
        )
    agent.turn()
    assert asks_for_a_restart(world)


def test_what_istiod_hasnt_read_yet_it_hasnt_refused_however_long_people_take():
    """It comes with its own root alone at first; the wanted one is added while nobody reads it."""
    world, _ = self_signed(adopt=True)
    world.commit(roots=("own",))
    agent = world.agent()
    world.run(agent, 10)
    assert asks_for_a_restart(world)  # though it signs and publishes just what stands there
    world.commit(roots=("own", "a"))
    world.run(agent, 3600)
    assert (2, False) == (len(world.standing.roots), world.status.restored)
    assert asks_for_a_restart(world)
    change = world.kept.change
    assert change is not None
    assert world.now - change.since <= TERMS.patience / 2  # a leader that publishes a while after its start is in time
    world.restart_istiod()
    world.run(agent, 20)
    assert ("", None) == (world.status.trouble, world.kept.change)


def test_what_istiod_refuses_after_its_restart_is_put_back_as_ever():
    world, _ = self_signed(adopt=True)
    world.commit(roots=("own",))
    agent = world.agent()
    world.run(agent, 10)
    world.restart_istiod()
    for istiod in world.istiods:
        istiod.refuses = lambda _content: True
    world.commit(roots=("own", "a"))
    world.run(agent)
    assert (1, True) == (len(world.standing.roots), world.status.restored)


def test_of_many_replicas_the_last_one_is_waited_for():
    world, _ = self_signed(adopt=True)
    first = world.istiods[0]
    world.replicas("istiod-1", "istiod-2")
    for istiod in world.istiods:
        istiod.content, istiod.own_root = first.content, True
    agent = world.agent()
    world.run(agent, 10)
    world.istiods[0].content, world.istiods[0].own_root = world.cacerts, False
    world.run(agent, 300)
    assert asks_for_a_restart(world, "istiod-2")


def test_a_bundle_without_its_own_root_isnt_made():
    world, _ = self_signed(adopt=True)
    world.commit(roots=("a",))
    world.run(world.agent())
    assert world.cacerts is None
    assert "no root of the bundle has issued it" in world.status.trouble


def asks_for_a_restart(world: World, pod: str = "istiod-1") -> bool:
    return world.status.trouble == (
        "Restart istiod (kubectl -n istio-system rollout restart deployment/istiod): "
        f"{pod} made its root itself, and reads cacerts only when it starts."
    )
