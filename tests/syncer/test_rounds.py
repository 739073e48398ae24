"""Whom to ask, and when: everybody's turn comes, every namespace's in each round, and at once when trust changes."""

from __future__ import annotations

import math
from collections import Counter
from datetime import datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from syncer.cluster.objects import Pod
from syncer.protocol.trust import ObservedAgent, ObservedIssuer, ObservedProxy
from syncer.rounds import Probing, Rounds, choose, moved
from syncer.trust import Announced, Identity, Sample, identity, workloads
from tests.syncer.clusters import NOW, cluster
from tests.syncer.sidecars import workload


def pod(namespace: str, name: str, *, service: str = "", node: str = "10.1.0.1") -> Pod:
    labels = {"security.istio.io/tlsMode": "istio", "service.istio.io/canonical-name": service or name}
    (made,) = workloads(cluster(workload(name, namespace, labels=labels).replace("10.1.0.1", node)))
    return made


def asked(pods: list[Pod], most: int, rounds: int) -> list[list[str]]:
    """The names that each of so many rounds asks."""
    seen: dict[Identity, datetime] = {}
    found = []
    for i in range(rounds):
        chosen = choose(pods, seen, (), most)
        seen |= {identity(one): NOW + timedelta(seconds=i) for one in chosen}
        found.append([f"{one.metadata.namespace}/{one.metadata.name}" for one in chosen])
    return found


MANY = st.dictionaries(st.sampled_from("abcdefgh"), st.integers(1, 9), min_size=1)
"""How many pods each namespace has."""


def pods_of(sizes: dict[str, int]) -> list[Pod]:
    return [pod(space, f"p{i}", service=f"s{i % 3}") for space, size in sizes.items() for i in range(size)]


@given(MANY, st.integers(1, 12), st.randoms(use_true_random=False))
def test_over_rounds_everybody_is_asked_and_in_each_round_every_namespace_if_there_is_room(
    sizes: dict[str, int], most: int, chance: Any
) -> None:
    pods = pods_of(sizes)
    chance.shuffle(pods)
    enough = math.ceil(len(sizes) / most) * max(sizes.values())
    rounds = asked(pods, most, enough)
    assert {f"{one.metadata.namespace}/{one.metadata.name}" for one in pods} == {name for one in rounds for name in one}
    assert {min(most, len(pods))} == {len(one) for one in rounds}
    if most >= len(sizes):
        assert [set(sizes)] * enough == [{name[0] for name in one} for one in rounds]


@given(MANY, st.integers(1, 12), st.randoms(use_true_random=False))
def test_the_choice_doesnt_depend_on_the_order_in_which_pods_are_read(
    sizes: dict[str, int], most: int, chance: Any
) -> None:
    pods = pods_of(sizes)
    first = asked(pods, most, 5)
    chance.shuffle(pods)
    assert first == asked(pods, most, 5)


def test_a_large_namespace_keeps_no_small_one_waiting() -> None:
    pods = [*(pod("big", f"p{i:02}") for i in range(50)), pod("small", "a"), pod("tiny", "a")]
    times = Counter(name.partition("/")[0] for one in asked(pods, 2, 30) for name in one)
    assert {"big": 30, "small": 15, "tiny": 15} == times
    assert [["big/p00"], ["small/a"], ["tiny/a"], ["big/p01"]] == asked(pods, 1, 4)


def test_workloads_and_nodes_are_spread() -> None:
    pods = [pod("a", f"{service}-{i}", service=service, node=f"10.1.0.{i}") for service in "xyz" for i in range(1, 4)]
    (chosen,) = asked(pods, 3, 1)
    assert ["a/x-1", "a/y-1", "a/z-1"] == chosen
    same = [pod("a", f"x-{i}", service="x", node=f"10.1.0.{1 + i // 2}") for i in range(4)]
    assert ["a/x-0", "a/x-1"] == asked(same, 2, 1)[0]


def test_a_pod_that_started_anew_under_its_name_waits_no_longer_than_a_new_one() -> None:
    old, new = (workloads(cluster(workload("db-0", started=f"2026-11-24T0{hour}:00:00Z")))[0] for hour in (7, 8))
    other = pod("shop", "other")
    assert (new,) == choose([new, other], {identity(old): NOW, identity(other): NOW}, (), 1)


def test_who_was_silent_is_asked_again_soon_in_a_fifth_of_the_places() -> None:
    pods = [pod("a", f"p{i:02}") for i in range(40)]
    seen = {identity(one): NOW + timedelta(seconds=i) for i, one in enumerate(pods)}
    silent = {identity(pods[i]) for i in (39, 37, 30, 3)}
    chosen = choose(pods, seen, silent, 10)
    assert ["p03", "p30", *(f"p{i:02}" for i in (0, 1, 2, 4, 5, 6, 7, 8))] == [one.metadata.name for one in chosen]


# --- when

PROBING = Probing(every=270, hurry=10, restless=600, least=2)
ONE, TWO = Announced(bundles=frozenset({"a"})), Announced(bundles=frozenset({"a", "b"}))


def done(rounds: Rounds, at: float, *, moved: bool = False) -> Rounds:
    return rounds.done(at - 1, at, PROBING, moved=moved)


def test_the_first_round_is_due_at_once_and_the_next_when_it_is_time() -> None:
    first = Rounds().learned(ONE, 1000, PROBING)
    assert first.due < 1000
    assert 1000 + 270 == done(first, 1000).due


@pytest.mark.parametrize(
    "known", [TWO, Announced(agent=ObservedAgent(rotation=3, wanted=4)), Announced(bundles=frozenset({"a", ""}))]
)
def test_where_a_change_is_under_way_at_the_start_rounds_follow_each_other_quickly(known: Announced) -> None:
    assert 1000 + 10 == done(Rounds().learned(known, 999, PROBING), 1000).due


def test_what_is_announced_anew_is_looked_at_at_once_and_often_for_a_while() -> None:
    calm = done(Rounds().learned(ONE, 0, PROBING), 1)
    news = calm.learned(TWO, 100, PROBING)
    assert 100 == news.due
    assert [111, 400, 709, 1000] == [done(news, at).due - gap for at, gap in ((101, 0), (390, 0), (699, 0), (730, 0))]


def test_what_is_announced_again_is_no_news() -> None:
    calm = done(Rounds().learned(ONE, 0, PROBING), 1)
    assert calm == calm.learned(Announced(bundles=frozenset({"a"})), 100, PROBING)


def test_what_is_announced_during_a_round_is_looked_at_after_it() -> None:
    rounds = Rounds().learned(ONE, 0, PROBING).learned(TWO, 5, PROBING)
    assert 20 + PROBING.least == rounds.done(1, 20, PROBING, moved=False).due


def test_whoever_changes_roots_again_and_again_makes_nobody_ask_without_a_pause() -> None:
    rounds = done(Rounds().learned(ONE, 0, PROBING), 100)
    assert [102, 102, 105] == [rounds.learned(TWO, at, PROBING).due for at in (100, 101.5, 105)]


def test_a_round_that_shows_a_change_is_followed_quickly() -> None:
    assert 1010 == done(Rounds().learned(ONE, 0, PROBING), 1000, moved=True).due


def test_a_namespace_of_which_nothing_is_known_is_asked_soon() -> None:
    calm = done(Rounds().learned(ONE, 0, PROBING), 1000)
    assert [1110, 1270] == [calm.missed(at, PROBING).due for at in (1100, 1265)]


PROXY = ObservedProxy(namespace="shop", pod="a", issuer="x", trusts=("CN=a",), seen=NOW)
ISSUER = ObservedIssuer(pod="istiod", issuer="x")


@pytest.mark.parametrize(
    ("proxy", "issuer", "changed"),
    [
        (PROXY, ISSUER, False),
        (replace(PROXY, issuer="y", seen=NOW + timedelta(minutes=5)), ISSUER, False),
        (replace(PROXY, trusts=("CN=a", "CN=b")), ISSUER, True),
        (replace(PROXY, trusts=(), error="no answer"), replace(ISSUER, issuer="", error="no answer"), False),
        (PROXY, replace(ISSUER, issuer="y"), True),
        (replace(PROXY, pod="b", trusts=("CN=b",)), replace(ISSUER, pod="new", issuer="y"), False),
        (replace(PROXY, started=NOW, trusts=("CN=b",)), ISSUER, False),
    ],
)
def test_trust_moves_when_the_same_one_signs_or_trusts_otherwise(
    proxy: ObservedProxy, issuer: ObservedIssuer, changed: bool
) -> None:
    """Not when leaves are renewed one by one over half a day, nor when somebody is new or silent."""
    before, after = (
        Sample(at=NOW, proxies=(one,), issuers=(other,)) for one, other in ((PROXY, ISSUER), (proxy, issuer))
    )
    assert changed == moved(before, after)
    assert not moved(Sample(), after)
