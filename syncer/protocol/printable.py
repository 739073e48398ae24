"""Text that somebody else wrote, made fit for a log, a message or a terminal: nothing in it is obeyed.

Knows characters. Knows nothing of Markdown.
"""

from __future__ import annotations


def printable(text: str, instead: str = "\N{REPLACEMENT CHARACTER}") -> str:
    """The text with `instead` for each character that isn't printable, line breaks among them."""
    return "".join(character if character.isprintable() else instead for character in text)


def one_line(text: str, limit: int = 400) -> str:
    """All of it on one line of at most `limit` characters; where it was longer the last one is `…`."""
    line = " ".join(printable(text, " ").split())
    return line if len(line) <= limit else f"{line[: limit - 1]}…"
