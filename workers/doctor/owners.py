"""The code owners of a repository: who must look at a path, as GitHub's or as Gitea's reading of the file has it.

Knows both grammars. Knows no forge, and not whether an owner exists.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

PLACES: Final = (".gitea/CODEOWNERS", ".github/CODEOWNERS", "CODEOWNERS", "docs/CODEOWNERS")
"""Where the file may stand; the first one counts."""
PLACEHOLDER: Final = "@your-organisation/"
"""What `peermesh init` writes, for people to replace: a line with an owner that nobody knows is void."""


def placeholders(text: str) -> tuple[str, ...]:
    """Owners that the template left, sorted."""
    return tuple(sorted({owner for _, owners in _lines(text) for owner in owners if owner.startswith(PLACEHOLDER)}))


def owners_by_pattern(text: str, path: str) -> tuple[str, ...]:
    """GitHub's reading: patterns as in `.gitignore`; the last one that fits counts, also if it names nobody."""
    found: tuple[str, ...] = ()
    for pattern, owners in _lines(text):
        if _fits(pattern, path):
            found = owners
    return found


def owners_by_expression(text: str, path: str) -> tuple[str, ...]:
    """Gitea's and Forgejo's reading: expressions for a whole path, `!` in front for all others; all that fit count."""
    found: list[str] = []
    for expression, owners in _lines(text):
        try:
            fits = re.fullmatch(expression.removeprefix("!"), path) is not None
        except re.error:  # they leave such a line out, too
            continue
        if fits != expression.startswith("!"):
            found += owners
    return tuple(found)


def _lines(text: str) -> Iterator[tuple[str, tuple[str, ...]]]:
    for line in text.splitlines():
        words = line.partition("#")[0].split()
        if words:
            yield words[0], tuple(words[1:])


def _fits(pattern: str, path: str) -> bool:
    anchored = "/" in pattern.rstrip("/")
    parts = (_GLOB.get(part, re.escape(part)) for part in re.split(r"(\*\*/|\*\*|\*|\?)", pattern.strip("/")))
    head = "" if anchored else "(?:.*/)?"
    return re.fullmatch(f"{head}{''.join(parts)}(?:/.*)?", path) is not None


_GLOB: Final = {"**/": "(?:.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}
