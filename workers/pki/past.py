"""What main had of trust before: the intermediates that clusters signed with, and since when each is where it is.

Pure: from older versions of documents to values, as far back as they are known. Decides nothing: what is past opens no
gate, it only has a name.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from workers.documents import paths
from workers.documents.kinds import Document
from workers.documents.trust import ClusterStep, Intermediate, Trust
from workers.tree import Tree


@dataclass(frozen=True, kw_only=True)
class Moment:
    """When main changed, and what stood at each path of the change before; None: nothing, or nothing that is read."""

    time: datetime
    before: Mapping[str, Document | None]


@dataclass(frozen=True, kw_only=True)
class Past:
    """By cluster. `earlier`: the intermediates before the one on main, newest first. `moved`: when main last got a
    request, a certificate or a step for it.
    """

    earlier: Mapping[str, tuple[Intermediate, ...]] = field(default_factory=dict)
    moved: Mapping[str, datetime] = field(default_factory=dict)


def past_of(tree: Tree, moments: Iterable[Moment]) -> Past:
    """What these changes of main, newest first, say of the clusters that it has now."""
    earlier: dict[str, list[Intermediate]] = {}
    moved: dict[str, datetime] = {}
    steps = tree.facts.pki.steps
    for moment in moments:
        if paths.TRUST in moment.before:
            older = _steps(moment.before[paths.TRUST])
            for name in tree.clusters:
                if older.get(name) != steps.get(name):
                    moved.setdefault(name, moment.time)
            steps = older
        for name in tree.clusters:
            if not {paths.request_path(name), paths.intermediate_path(name)}.isdisjoint(moment.before):
                moved.setdefault(name, moment.time)
            standing = moment.before.get(paths.intermediate_path(name))
            if isinstance(standing, Intermediate):
                earlier.setdefault(name, []).append(standing)
    return Past(earlier={name: tuple(found) for name, found in earlier.items()}, moved=moved)


def _steps(document: Document | None) -> Mapping[str, ClusterStep]:
    return document.spec.clusters if isinstance(document, Trust) else {}


def called(intermediate: Intermediate) -> str:
    """An intermediate for people."""
    return f"intermediate {intermediate.spec.rotation} under root {intermediate.spec.root}"
