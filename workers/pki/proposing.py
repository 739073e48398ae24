"""What the machine answers with: steps to be proposed, and refusals by name.

Knows shapes and how texts are put together. Decides nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from workers.documents.kinds import ProposalClass
from workers.documents.trust import PkiDocument


@dataclass(frozen=True, kw_only=True)
class Step:
    """One proposal. `facts` by path; None removes the file. `sentences`: what changes, why now, and the way back."""

    branch: str
    classes: tuple[ProposalClass, ...]
    facts: Mapping[str, PkiDocument | None]
    title: str
    sentences: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Lasting:
    """What of a cluster has been so without a break since a moment: a gate is open, or something isn't seen."""

    what: str
    since: datetime


@dataclass(frozen=True, kw_only=True)
class Phase:
    """How far a cluster is, for `peermesh ca status`.

    `name`: one or two words (`steady`, `asked`, `approved`, `signed`, `delivered`, `trusts a+b`, `signs under b`,
    `distrusts`, `excluded`, …). `root`: under which it signs, by its intermediate; `issuer`: that one's subject.
    `lasting`: what is seen on its way, and since when; `waits`: what for; `alarm`: what is late.
    """

    name: str
    bundle: tuple[str, ...] = ()
    signer: str = ""
    root: str = ""
    rotation: int = 0
    wanted: int = 0
    issuer: str = ""
    expires: datetime | None = None
    renews: datetime | None = None
    lasting: tuple[Lasting, ...] = ()
    waits: str = ""
    alarm: str = ""


@dataclass(frozen=True, kw_only=True)
class Next:
    """`steps`: at most one for each cluster, and one for all. `waiting`: by cluster, or `*`: what it waits for or why
    it is refused, with the remedy. `refused`: by whom (as there) and by which rule. `conditions`: what holds now, to be
    remembered since when.
    """

    steps: tuple[Step, ...] = ()
    waiting: Mapping[str, str] = field(default_factory=dict)
    refused: frozenset[tuple[str, str]] = frozenset()
    conditions: frozenset[str] = frozenset()
    phases: Mapping[str, Phase] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Refusal:
    """That something handed in, or ordered, isn't followed: `rule` is a CamelCase word."""

    rule: str
    what: str
    remedy: str = ""

    def __str__(self) -> str:
        end = "" if self.what.endswith((".", "!")) else "."
        return f"refused ({self.rule}): {self.what}{end} {self.remedy}".rstrip()


def together(reasons: Iterable[object]) -> str:
    """Several reasons as one text, each once."""
    return " ".join(dict.fromkeys(str(reason) for reason in reasons))
