"""The tables, told: after each event the machine proposes, refuses and waits as it stands there."""

from __future__ import annotations

import pytest

from tests.histories import rollovers, rotations, troubles
from tests.histories.beginnings import BEGINNINGS
from tests.histories.events import tell
from tests.histories.history import History
from tests.histories.teller import Teller

HISTORIES = (*rotations.HISTORIES, *rollovers.HISTORIES, *troubles.HISTORIES)


def told(history: History) -> tuple[list[tuple[str, str]], list[tuple[str, str]]]:
    """What is expected after each event, and what was said."""
    teller = Teller()
    for event in BEGINNINGS[history.begins]:
        tell(teller, event)
    said = []
    for event, expected in history.events:
        tell(teller, event)
        said.append((event, teller.said(expected)))
    return list(history.events), said


@pytest.mark.parametrize("history", HISTORIES, ids=lambda history: history.name)
def test_history(history):
    expected, said = told(history)
    assert expected == said


def test_there_are_histories_of_all_that_can_happen():
    assert len({history.name for history in HISTORIES}) == len(HISTORIES) >= 30
