"""One row of the tables: a name, where it begins, and what happens then."""

from __future__ import annotations


class History:
    """`events`: what happens, and what the machine says after it (`tests.histories.teller` reads both)."""

    def __init__(self, name: str, begins: str, *events: tuple[str, str]) -> None:
        self.name = name
        self.begins = begins
        self.events = events

    def __repr__(self) -> str:
        return self.name
