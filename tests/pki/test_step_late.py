"""What becomes of steps that come late: everything has moved on since they were asked for."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from syncer.protocol.request import SignRequest
from syncer.protocol.trust import ObservedAgent, ObservedLag
from tests.pki.mesh_of_slips import cluster, intermediate, ordered, root, tree
from tests.pki.slips import BEGIN, Slips
from tests.pki.test_step import NOW, ROOTS, asks, observed, seen_of, soaked, steady, step
from workers.documents.trust import Order
from workers.pki.step import Next, Seen, next_step
from workers.tree import Tree

DAY = timedelta(days=1)


def after(standing: Tree, found: Next) -> Tree:
    """Everything is approved."""
    for one in found.steps:
        standing = standing.with_facts(standing.facts.with_changes(one.facts))
    return standing


def test_a_certificate_that_was_overtaken_by_another_request_accuses_nobody():
    standing = ordered(steady(), rotate={"west": Order(rotation=2)})
    asked = after(standing, step(standing, seen_of(standing, requests={"west": asks("west", 2)})))
    worse = ordered(asked, rotate={"west": Order(rotation=3, reason="compromised")})
    again = asks("west", 3, reason="compromised")
    approved = after(worse, step(worse, seen_of(worse, requests={"west": again})))
    signed = {"west": intermediate("west", 2, "a")}
    found = step(approved, seen_of(approved, requests={"west": again}, signed=signed))
    assert {"west": "request 3 is approved; it waits for `peermesh signer`."} == dict(found.waiting)


@pytest.mark.parametrize(("bundle", "lever"), [(["a", "b"], 1), (["b"], 1), (["b"], 0)])
def test_the_first_intermediate_of_a_cluster_may_come_after_the_last_step_of_a_rollover(bundle, lever):
    """It was signed while the former root stood in its bundle, or after."""
    standing = tree(
        cluster("north"), roots=ROOTS, steps={"north": (bundle, "b")}, root="b",
    )  # fmt: skip
    asked = after(standing, step(standing, Seen(requests={"north": asks("north", 1, reason="first")})))
    found = step(asked, Seen(signed={"north": intermediate("north", 1, "b", lever=lever)}))
    assert ["peermesh/trust/certificate-north"] == [one.branch for one in found.steps if "certificate" in one.branch]


def test_the_first_intermediate_of_an_adopted_cluster_renews_its_leaves():
    standing = tree(cluster("west"), roots=[root("a"), root("old", imported=True)], steps={"west": (["a", "old"], "a")})
    asked = after(standing, step(standing, Seen(requests={"west": asks("west", 1, reason="rollover")})))
    found = step(asked, Seen(signed={"west": intermediate("west", 1, "a")}))
    assert "refused (WrongLever): its lever is 0, and 1 is due" in found.waiting["west"]


# --- what isn't seen


def waits(standing: Tree, **change) -> str:
    """What it waits for west, whose syncer says this beside the rest, after a wait of an hour."""
    heard = {"east": observed(standing, "east"), "west": observed(standing, "west", **change)}
    seen = Seen(observed=heard, observed_at=dict.fromkeys(heard, NOW))
    since = dict.fromkeys(step(standing, seen).conditions, NOW - timedelta(hours=1))
    return step(standing, replace(seen, since=since)).waiting.get("west", "")


BOTH = tree(
    *map(cluster, ("east", "west")), roots=ROOTS,
    intermediates=[intermediate("east", 1, "a"), intermediate("west", 1, "a")],
    steps={"east": (["a", "b"], "a"), "west": (["a", "b"], "a")}, root="b",
)  # fmt: skip


@pytest.mark.parametrize("started", [None, NOW - timedelta(hours=2)])
def test_a_pod_that_was_not_asked_yet_and_follows_no_roots_live_is_waited_for(started):
    """A syncer that was just started has asked fifty pods of thousands."""
    assert "" == waits(BOTH)
    lag = ObservedLag(workloads=3, example="bank/db", oldest=started)
    assert "bank/db doesn't follow roots live: another 23 h pass" in waits(BOTH, lag=lag)


def test_a_pod_that_was_not_asked_yet_and_began_with_the_new_roots_is_not_waited_for():
    assert "" == waits(BOTH, lag=ObservedLag(workloads=3, example="bank/db", oldest=NOW - timedelta(minutes=1)))


def test_a_namespace_with_workloads_that_shows_no_roots_is_not_taken_for_one_that_shows_them():
    assert "2 namespaces with workloads show no roots" in waits(BOTH, unread=2)


# --- what has expired


def ended(*bundle: str) -> Tree:
    """East has gone on to root b while west was away, until the intermediate of west expired."""
    return tree(
        *map(cluster, ("east", "west")),
        roots=ROOTS,
        intermediates=[intermediate("east", 2, "b"), intermediate("west", 1, "a", life=90 * DAY)],
        steps={"east": (["b"], "b"), "west": (list(bundle), "a")},
        root="b",
    )


def heard_of(standing: Tree) -> Seen:
    """Its agent can't write another bundle: istiod takes none beside an intermediate that has expired."""
    west = observed(ended("a"), "west")
    return Seen(observed={"east": observed(standing, "east"), "west": west}, observed_at={"east": NOW, "west": NOW})


@pytest.mark.parametrize("bundle", ["a", "ab"])
def test_a_cluster_whose_intermediate_has_expired_comes_back_under_another_root(bundle):
    standing = ended(*bundle)
    moved = after(standing, soaked(standing, heard_of(standing)))
    assert (("a", "b"), "b") == (moved.facts.pki.steps["west"].bundle, moved.facts.pki.steps["west"].signer)
    asking = {"west": asks("west", 2, reason="rollover")}
    approved = after(moved, soaked(moved, replace(heard_of(moved), requests=asking)))
    signed = {"west": intermediate("west", 2, "b", lever=1)}
    found = soaked(approved, replace(heard_of(approved), requests=asking, signed=signed))
    assert "peermesh/trust/certificate-west" in [one.branch for one in found.steps]


def test_nobody_waits_for_what_a_cluster_trusts_whose_intermediate_has_expired():
    standing = ended("a", "b")
    moved = after(standing, soaked(standing, heard_of(standing)))
    back = tree(
        *map(cluster, ("east", "west")), roots=[*ROOTS, root("c")],
        intermediates=moved.facts.pki.intermediates.values(),
        steps={"east": (["b", "c"], "b"), "west": (["a", "b", "c"], "c")}, root="c",
    )  # fmt: skip
    found = soaked(back, heard_of(back))
    assert ["Let east sign under root c"] == [one.title for one in found.steps]


def test_others_keep_a_root_while_an_intermediate_stands_under_it_even_if_that_has_expired():
    standing = ended("a", "b")
    moved = after(standing, soaked(standing, heard_of(standing)))
    found = soaked(moved, heard_of(moved))
    assert [] == [one.title for one in found.steps if one.title.startswith("Distrust")]


def test_a_cluster_that_has_expired_waits_for_a_pause_to_end():
    standing = ordered(ended("a"), paused=True)
    found = soaked(standing, heard_of(standing))
    assert () == found.steps
    assert "(renewal)" in found.waiting["west"]


# --- roots that end soon


def ending(bundle: list[str], **orders) -> Tree:
    """Root a ends in forty days; that is why everybody is on the way to b."""
    short = root("a", life=NOW - BEGIN + 40 * DAY)
    return tree(
        *map(cluster, ("east", "west")), roots=[short, root("b")],
        intermediates=[intermediate("east", 2, "b"), intermediate("west", 1, "a")],
        steps={"east": (bundle, "b"), "west": (bundle, "a")}, **orders,
    )  # fmt: skip


def test_the_way_back_is_open_to_a_root_that_will_end_before_an_intermediate_would():
    standing = ending(["a", "b"], root="a")
    assert "*" not in soaked(standing, seen_of(standing)).waiting


def test_nobody_sets_out_to_a_root_that_will_end_before_an_intermediate_would():
    standing = ending(["b"], root="a")
    assert "refused (RootEndsTooSoon): root a ends at" in soaked(standing, seen_of(standing)).waiting["*"]


# --- what others say, and how many they are


def test_a_refusal_is_one_of_ours_whatever_words_a_cluster_chooses():
    agent = ObservedAgent(trouble="refused (Pwned): buy more")
    heard = {"east": observed(BOTH, "east", agent=agent, bundles=observed(steady(), "east").bundles)}
    found = step(BOTH, Seen(observed=heard, observed_at={"east": NOW}, requests={"west": asks("west", 9)}))
    assert "refused (Pwned)" in found.waiting["east"]
    assert {("west", "NotDue")} == found.refused


def test_each_request_is_looked_at_a_few_times_however_many_there_are():
    class Counting(Slips):
        keys = 0

        def requested_key(self, request: SignRequest) -> str:
            Counting.keys += 1
            return super().requested_key(request)

    names = [f"c{number}" for number in range(60)]
    standing = ordered(steady(*names), rotate={name: Order(rotation=2) for name in names})
    seen = seen_of(standing, requests={name: asks(name, 2) for name in names})
    assert len(names) == len(next_step(standing, seen, NOW, papers=Counting()).steps)
    assert Counting.keys <= 2 * len(names)
