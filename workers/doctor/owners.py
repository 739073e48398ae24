"""The code owners of a repository: who must look at a path, as GitHub's or as Gitea's reading of the file has it, and
what somebody must look at.

Knows both grammars. Knows no forge, and not whether an owner exists.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

from workers.documents import paths

PLACES: Final = (".github/CODEOWNERS", "CODEOWNERS", "docs/CODEOWNERS")
"""Where the file may stand; the first one counts (GitHub's documentation, "CODEOWNERS file location")."""
GITEA_PLACES: Final = ("CODEOWNERS", "docs/CODEOWNERS", ".gitea/CODEOWNERS")
"""The same for Gitea and Forgejo, which don't look at GitHub's (`codeOwnerFiles` of `services/issue/pull.go`)."""
PLACEHOLDER: Final = "@your-organisation/"
"""What `peermesh init` writes, for people to replace: a line with an owner that nobody knows is void."""


@dataclass(frozen=True, kw_only=True)
class Guarded:
    """What nothing may be merged into that no person looked at.

    `what` for people, and `why`; `samples`: paths that must have an owner; `pattern` and `expression`: what stands
    before the owner in a line that gives them one, as GitHub and as Gitea read it; `free`: what the pattern of the
    former holds and nobody must look at.
    """

    what: str
    why: str
    samples: tuple[str, ...]
    pattern: str
    expression: str
    free: str = ""


MESH: Final = Guarded(
    what="mesh/",
    why="what people want",
    samples=(paths.MESH, paths.cluster_path("west")),
    pattern="/mesh/",
    expression="mesh/.*",
)
EXPORTS: Final = Guarded(
    what="facts/exports/",
    why="what teams export",
    samples=("facts/exports/shop/west/cart.yaml",),
    pattern="/facts/exports/",
    expression="facts/exports/.*",
)
TRUST: Final = Guarded(
    what="pki/",
    why="a request that is merged there is signed, and a root is trusted",
    samples=(paths.request_path("west"), paths.root_path("root-1"), paths.sealing_path("west"), paths.TRUST),
    pattern="/pki/",
    expression="pki/(requests|roots|sealing|trust).*",
    free="/pki/intermediates/",
)
"""What was signed is compared with the request, and may merge by itself."""


def unguarded(text: str, owners: Callable[[str, str], tuple[str, ...]], *, trust: bool) -> tuple[Guarded, ...]:
    """What lacks an owner, by one of the two readings. `trust`: the certificates of the mesh are looked after."""
    wanted = (MESH, EXPORTS, TRUST) if trust else (MESH, EXPORTS)
    return tuple(each for each in wanted if not all(owners(text, sample) for sample in each.samples))


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
