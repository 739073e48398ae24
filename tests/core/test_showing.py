"""Showing: what a forge may merge now."""

from __future__ import annotations

import dataclasses

import pytest

from tests.core.observations import offer, says
from tests.core.test_flush import Site
from workers.outside import CommitId, Shown
from workers.showing import MOST, mergeable

ALL = frozenset({"export", "change", "address"})


def shown(branch: str, *classes: str) -> Shown:
    head = CommitId("a" * 40)
    return Shown(branch=branch, head=head, digest="d", title="t", body="b", classes=classes or ("export",))


def fit(*proposals: Shown) -> list[str]:
    """What may be merged of these, all pushed just now."""
    remote = Site().people.fetch()
    commits = {one.branch: one.head for one in proposals}
    return [one.branch for one in mergeable(proposals, remote, commits, ALL)]


SHOP, BOOKS = shown("peermesh/exports/shop"), shown("peermesh/exports/books", "change", "export")
WEST = shown("peermesh/clusters/west", "address")


@pytest.mark.parametrize(
    ("proposals", "merged"),
    [
        ([BOOKS, SHOP], ["peermesh/exports/books", "peermesh/exports/shop"]),
        ([WEST, BOOKS, SHOP], ["peermesh/clusters/west"]),
        ([shown("peermesh/clusters/east", "cluster"), BOOKS], ["peermesh/exports/books"]),
        ([shown("peermesh/exports/bank", "export", "provider"), SHOP], ["peermesh/exports/shop"]),
        ([shown("peermesh/held/shop", "held")], []),
    ],
)
def test_exports_go_together_and_what_others_are_rendered_on_goes_alone(proposals, merged):
    assert merged == fit(*proposals)


def test_what_is_merged_in_one_flush_is_bounded():
    assert MOST == len(fit(*(shown(f"peermesh/exports/team-{number}") for number in range(MOST + 5))))


def test_what_the_robot_did_not_push_itself_is_left_to_people():
    site = Site()
    remote = site.people.fetch()
    branch = dataclasses.replace(_branch(site), own=False)
    remote = dataclasses.replace(remote, branches={SHOP.branch: branch})
    assert () == mergeable([SHOP], remote, {}, ALL)
    remote = dataclasses.replace(remote, branches={SHOP.branch: dataclasses.replace(branch, own=True)})
    assert (SHOP,) == mergeable([SHOP], remote, {}, ALL)


def _branch(site: Site):
    site.hears(says("west", offer("shop/cart")))
    site.flushes()
    return site.people.fetch().branches[SHOP.branch]
