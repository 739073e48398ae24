"""A secret: a text that prints as `***`."""

from __future__ import annotations


class Secret:
    """Prints as `***` wherever it is formatted, isn't compared by accident and can't be pickled or encoded."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        """The text, for the one place that sends it."""
        return self._value

    def __bool__(self) -> bool:
        return bool(self._value)

    def __repr__(self) -> str:
        return "***"

    def __reduce__(self) -> str:
        raise TypeError("a secret isn't serialised")
