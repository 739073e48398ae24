"""When an intermediate is renewed, and when somebody must look."""

from __future__ import annotations

from datetime import timedelta

import pytest
from msgspec import structs

from tests.pki.mesh_of_slips import cluster, intermediate, ordered, root, tree
from tests.pki.slips import BEGIN, SLIPS, slip
from workers.documents.trust import Intermediates, Order
from workers.pki.due import dates, jitter, renew_after
from workers.pki.wanted import wanted
from workers.tree import Tree

DAY = timedelta(days=1)


def standing(**orders) -> Tree:
    return tree(
        cluster("west"), roots=[root("a")], intermediates=[intermediate("west", 3, "a", life=90 * DAY)],
        steps={"west": (["a"], "a")}, **orders,
    )  # fmt: skip


def test_it_is_renewed_at_half_of_its_life_give_or_take_a_tenth():
    at = renew_after(standing(), "west", papers=SLIPS)
    assert at is not None
    assert 45 * 0.9 <= (at - BEGIN) / DAY <= 45 * 1.1
    assert abs((at - BEGIN) / DAY - 45 * (1 + jitter("west"))) < 0.01


def test_clusters_do_not_renew_on_one_day():
    found = [jitter(f"cluster-{number}") for number in range(100)]
    assert -0.1 <= min(found) < -0.08
    assert 0.08 < max(found) <= 0.1
    assert len(set(found)) == 100


def test_people_say_at_which_part_of_its_life():
    early = renew_after(ordered(standing(), intermediates=Intermediates(renew_at=0.1)), "west", papers=SLIPS)
    late = renew_after(ordered(standing(), intermediates=Intermediates(renew_at=0.9)), "west", papers=SLIPS)
    assert early is not None
    assert late is not None
    assert early < BEGIN + 10 * DAY
    assert BEGIN + 70 * DAY < late < BEGIN + 90 * DAY


@pytest.mark.parametrize(
    ("day", "alarm"),
    [
        (59, ""),
        (61, "its intermediate has lived two thirds of its life"),
        (87.9, "its intermediate has lived two thirds of its life"),
        (88.1, "its intermediate ends at 2026-04-01T00:00Z"),
        (90, "its intermediate has expired: every new connection fails"),
    ],
)
def test_somebody_is_called(day, alarm):
    found = dates(standing(), "west", papers=SLIPS)
    assert found is not None
    said = found.alarm(BEGIN + day * DAY)
    assert (said == "") if not alarm else said.startswith(alarm)


def test_the_workloads_lifetime_makes_the_last_call_earlier():
    found = dates(standing(workload_lifetime="10d"), "west", papers=SLIPS)
    assert found is not None
    assert BEGIN + 79 * DAY == found.last_call


def test_what_is_due_needs_a_clock_and_what_is_ordered_needs_none():
    late = BEGIN + 60 * DAY
    assert (3, None) == said(standing())
    assert (4, "renewal") == said(standing(), late)
    assert (4, "ordered") == said(standing(rotate={"west": Order(rotation=4)}))
    assert (9, "ordered") == said(standing(rotate={"west": Order(rotation=9)}))
    assert (3, None) == said(standing(rotate={"west": Order(rotation=3)}))
    assert (4, "compromised") == said(standing(rotate={"west": Order(rotation=4, reason="compromised")}), late)


def said(found: Tree, now=None) -> tuple[int, str | None]:
    following = wanted(found, "west", now, papers=SLIPS)
    return following.rotation, following.reason


def test_who_is_not_managed_or_has_not_joined_wants_nothing():
    lone = tree(cluster("west", None), roots=[root("a")], steps={"west": (["a"], "a")})
    assert (0, None) == said(lone, BEGIN)
    assert (0, None) == said(tree(cluster("west"), roots=[root("a")]), BEGIN)


def below(root_ends: timedelta, *, issuer_ends: timedelta | None = None) -> Tree:
    """Its intermediate ends on day ninety."""
    above = root("a", life=root_ends)
    if issuer_ends is not None:
        online = slip("CN=online", "CN=a", "key of online", life=issuer_ends)
        above = structs.replace(above, spec=structs.replace(above.spec, issuers=online))
    return tree(
        cluster("west"), roots=[above], intermediates=[intermediate("west", 3, "a", life=90 * DAY)],
        steps={"west": (["a"], "a")},
    )  # fmt: skip


@pytest.mark.parametrize(("root_ends", "issuer_ends"), [(90 * DAY, None), (900 * DAY, 90 * DAY), (90 * DAY, 900 * DAY)])
def test_nothing_is_renewed_that_would_end_no_later(root_ends, issuer_ends):
    found = below(root_ends, issuer_ends=issuer_ends)
    assert (3, None) == said(found, BEGIN + 89 * DAY)
    when = dates(found, "west", papers=SLIPS)
    assert when is not None
    alarm = when.alarm(BEGIN + 61 * DAY)
    assert alarm.endswith("what signs for it ends with it at 2026-04-01, so that must be renewed first")


@pytest.mark.parametrize(("root_ends", "issuer_ends"), [(91 * DAY, None), (900 * DAY, 91 * DAY)])
def test_what_can_live_longer_is_renewed(root_ends, issuer_ends):
    assert (4, "renewal") == said(below(root_ends, issuer_ends=issuer_ends), BEGIN + 60 * DAY)
