"""What main had of trust before: names for intermediates that were replaced, and when each cluster took its step."""

from __future__ import annotations

from datetime import timedelta

from tests.pki.mesh_of_slips import cluster, intermediate, root, tree
from tests.pki.slips import BEGIN
from workers.documents import paths
from workers.documents.kinds import Document
from workers.pki.past import Moment, Past, called, past_of
from workers.tree import Tree

WEST, EAST = paths.intermediate_path("west"), paths.intermediate_path("east")


def steps(**bundles: list[str]) -> Tree:
    return tree(
        cluster("east"),
        cluster("west"),
        roots=[root("a"), root("b")],
        intermediates=[intermediate("west", 3, "b"), intermediate("east", 1, "a")],
        steps={name: (bundle, "a") for name, bundle in bundles.items()},
    )


NOW = steps(west=["a", "b"], east=["a", "b"])


def ago(minutes: int, **before: Document | None) -> Moment:
    return Moment(
        time=BEGIN - timedelta(minutes=minutes),
        before={path.replace("__", "/") + ".yaml": document for path, document in before.items()},
    )


def moved(*moments: Moment) -> dict[str, int]:
    """How many minutes ago each cluster took its last step."""
    return {name: (BEGIN - time) // timedelta(minutes=1) for name, time in past_of(NOW, moments).moved.items()}


def trust(**bundles: list[str]) -> Document | None:
    return steps(**bundles).facts.pki.trust


def test_of_nothing_nothing_is_known() -> None:
    assert Past() == past_of(NOW, [])


def test_intermediates_that_were_replaced_are_known_newest_first() -> None:
    second, first = intermediate("west", 2, "a"), intermediate("west", 1, "a")
    found = past_of(
        NOW,
        [
            ago(1, pki__intermediates__west=second),
            ago(9, pki__intermediates__west=first),
            ago(20, pki__intermediates__west=None),
        ],
    )
    assert {"west": (second, first)} == found.earlier
    assert "intermediate 2 under root a" == called(second)


def test_a_cluster_moved_when_main_got_its_request_its_certificate_or_its_step() -> None:
    assert {"west": 4, "east": 7} == moved(
        ago(4, pki__requests__west=None), ago(5, pki__intermediates__west=None), ago(7, pki__requests__east=None)
    )


def test_a_step_of_one_cluster_is_no_step_of_another_though_they_stand_in_one_file() -> None:
    assert {"east": 3, "west": 8} == moved(
        ago(3, pki__trust=trust(west=["a", "b"], east=["a"])), ago(8, pki__trust=trust(west=["a"], east=["a"]))
    )


def test_what_can_not_be_read_any_more_and_clusters_that_are_gone_stop_nobody() -> None:
    assert {"west": 2, "east": 2} == moved(ago(2, pki__trust=None, pki__roots__a=None, pki__requests__south=None))
