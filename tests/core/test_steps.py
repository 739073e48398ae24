"""When somebody looks again by the clock, because what opens the next gate is observed and makes no news."""

from __future__ import annotations

import pytest

from tests.core.trusting import STEADY, intermediate, root, steps, tree
from workers.documents.trust import ClusterStep
from workers.steps import is_under_way

ROOTS = (root("a"), root("b"))
BOTH = (intermediate("east"), intermediate("west"))


def test_where_all_are_under_the_root_that_is_wanted_nothing_is_under_way():
    assert not is_under_way(tree(*ROOTS, steps(east=STEADY, west=STEADY), *BOTH))


@pytest.mark.parametrize(
    ("step", "signed"),
    [
        pytest.param(STEADY, (intermediate("east"),), id="the first certificate waits until others trust its root"),
        pytest.param(ClusterStep(bundle=("a", "b"), signer="a"), BOTH, id="it trusts another root, too"),
        pytest.param(ClusterStep(bundle=("a",), signer="b"), BOTH, id="it shall sign under another root"),
        pytest.param(STEADY, (intermediate("east"), intermediate("west", 2, under="b")), id="it still signs elsewhere"),
    ],
)
def test_a_cluster_that_is_not_there_yet_is_under_way(step, signed):
    assert is_under_way(tree(*ROOTS, steps(east=STEADY, west=step), *signed))
