"""The project's prose as values: Markdown files, their links and headings.

Knows how GitHub, Gitea and Forgejo name the anchor of a heading.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

from tests.house.code import ROOT

_LINK: Final = re.compile(r"\[[^\]]*\]\(<?([^)\s>]+)>?(?: \"[^\"]*\")?\)")
_HEADING: Final = re.compile(r"^#{1,6} +(.*?) *#*$", re.MULTILINE)
_FENCE: Final = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)
_CODE: Final = re.compile(r"`[^`\n]*`")
SKIPPED: Final = frozenset({"build", "dist", "node_modules", "__pycache__"})


class Link(NamedTuple):
    """A link that isn't an address of the web: to a file (empty: the same one) and an anchor (empty: none)."""

    source: Path
    target: str
    anchor: str

    def __str__(self) -> str:
        anchor = f"#{self.anchor}" if self.anchor else ""
        return f"{self.source.relative_to(ROOT)} -> {self.target}{anchor}"


def files(*endings: str) -> tuple[Path, ...]:
    """The project's own files with these endings (all without), sorted; nothing of caches or environments."""

    def walk(folder: Path) -> Iterator[Path]:
        for path in sorted(folder.iterdir()):
            hidden = path.name.startswith(".") and path.name not in {".ci", ".github", ".gitea"}
            if hidden or path.name in SKIPPED or path.name.endswith(".egg-info") or path.is_symlink():
                continue
            if path.is_dir():
                yield from walk(path)
            elif not endings or path.suffix in endings:
                yield path

    return tuple(walk(ROOT))


def read(path: Path) -> str:
    return path.read_text(encoding="utf-8")


def prose(path: Path) -> str:
    """The text without blocks of code."""
    return _FENCE.sub("", read(path))


def links(path: Path) -> Iterator[Link]:
    """The links of a Markdown file that lead into the project."""
    for target in _LINK.findall(_CODE.sub("", prose(path))):
        if re.match(r"[a-z]+:", target) is None:
            name, _, anchor = target.partition("#")
            yield Link(path, name, anchor)


def anchors(path: Path) -> frozenset[str]:
    """The anchors of a Markdown file's headings."""
    return frozenset(_anchor(heading) for heading in _HEADING.findall(prose(path)))


def _anchor(heading: str) -> str:
    text = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).lower()
    return re.sub(r"[^\w\- ]", "", text).replace(" ", "-")
