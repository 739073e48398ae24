"""What is right, what is wrong, and the command that mends it.

Pure: from what was seen to findings, by tables of small checks. A new check is a function and a row. Knows neither how
something is looked at nor how it is printed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Literal, TypeVar

Status = Literal["ok", "warning", "wrong", "unknown"]
_Seen = TypeVar("_Seen")


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One line: `what` is so at `subject`. `remedy` mends it or shows more: a line beginning with `$` is a command."""

    subject: str = ""
    status: Status
    what: str
    remedy: str = ""


@dataclass(frozen=True, kw_only=True)
class Report:
    """What was found about one thing: `cluster west`, `forge`, `center`."""

    about: str
    findings: tuple[Finding, ...]


@dataclass(frozen=True, kw_only=True)
class NotSeen:
    """In place of something that couldn't be looked at: why."""

    why: str


def examine(about: str, checks: Mapping[str, Callable[[_Seen], Iterable[Finding]]], seen: _Seen) -> Report:
    """The findings of all checks, in the order of their table; the key of a row is the subject."""
    return Report(
        about=about,
        findings=tuple(
            replace(finding, subject=subject) for subject, check in checks.items() for finding in check(seen)
        ),
    )


def count(reports: Iterable[Report]) -> Mapping[Status, int]:
    """How many findings there are of each status."""
    found: dict[Status, int] = {"ok": 0, "warning": 0, "wrong": 0, "unknown": 0}
    for report in reports:
        for finding in report.findings:
            found[finding.status] += 1
    return found


def ok(what: str) -> Finding:
    """It is as it should be."""
    return Finding(status="ok", what=what)


def warning(what: str, remedy: str) -> Finding:
    """It works, and may hurt one day."""
    return Finding(status="warning", what=what, remedy=remedy)


def wrong(what: str, remedy: str) -> Finding:
    """Something doesn't work, or keeps nobody out that it should."""
    return Finding(status="wrong", what=what, remedy=remedy)


def unknown(what: str, remedy: str = "") -> Finding:
    """It couldn't be looked at."""
    return Finding(status="unknown", what=what, remedy=remedy)
