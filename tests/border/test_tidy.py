"""The garbage collector looks at what a worker knows when nobody waits, and not in between."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Iterator

import pytest

from workers.app import _Tidy


@pytest.fixture(autouse=True)
def thawed() -> Iterator[None]:
    gc.unfreeze()
    yield
    gc.unfreeze()


def test_what_a_flush_left_is_frozen_at_the_next_rest():
    tidy = _Tidy()
    tidy.rest()
    assert 0 == gc.get_freeze_count()
    tidy.flushed()
    assert 0 == gc.get_freeze_count()
    tidy.rest()
    assert 0 < gc.get_freeze_count()


def test_a_rest_without_a_flush_before_it_costs_nothing():
    tidy = _Tidy()
    tidy.flushed()
    tidy.rest()
    gc.unfreeze()
    tidy.rest()
    assert 0 == gc.get_freeze_count()


def test_a_cycle_that_was_frozen_goes_in_the_end():
    class Node:
        """Something that refers to itself."""

        def __init__(self) -> None:
            self.me = self

    tidy, node = _Tidy(), Node()
    tidy.flushed()
    tidy.rest()
    known = weakref.ref(node)
    del node
    gc.collect()
    assert known() is not None
    for _ in range(100):
        tidy.flushed()
        tidy.rest()
    assert known() is None
