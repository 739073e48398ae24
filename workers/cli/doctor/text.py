"""Findings as people read them and as scripts do. Decides nothing."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final

from rich.text import Text

from syncer.protocol.printable import printable
from workers.cli import screen
from workers.cli.screen import say, say_item
from workers.doctor import Finding, Report, Status, count

_STYLES: Final[dict[Status, str]] = {"ok": "green", "warning": "yellow", "wrong": "bold red", "unknown": "cyan"}
_COLUMN: Final = 10
_WORD: Final = re.compile(r"""(?:'[^']*'|"[^"]*"|[^\s'"])+\s*|['"]""")
"""A word of a shell with the blanks after it; what is quoted is never broken."""


def show_reports(reports: Sequence[Report]) -> None:
    """A block for each; below what is wrong the command that mends it; the sum at the end."""
    for report in reports:
        say(report.about, "bold")
        for finding in report.findings:
            _show(finding)
        say()
    parts = [Text(f"{number} {status}", style=_STYLES[status]) for status, number in count(reports).items() if number]
    say(Text(" · ").join(parts) if parts else Text("Nothing was looked at."))


def _show(finding: Finding) -> None:
    mark = Text(f"  {finding.status:<{_COLUMN - 2}}", style=_STYLES[finding.status])
    say_item(mark, Text.assemble((f"{finding.subject}: ", "bold"), printable(finding.what, " ")))
    for line in (printable(line, " ") for line in finding.remedy.splitlines()):
        command = line.startswith(("$ ", "    "))
        for part in continued(line, screen.console().width - _COLUMN) if line.startswith("$ ") else (line,):
            say_item(" " * _COLUMN, Text(part, style="cyan" if command else "dim"))


def continued(command: str, columns: int) -> Iterator[str]:
    """The lines of a command that is wider: broken between words, so that it can be copied as it stands."""
    line = ""
    for word in _WORD.findall(command):
        if line and len(line) + len(word) + len(" \\") > columns:
            yield f"{line.rstrip()} \\"
            line = "    "
        line += word
    yield line.rstrip()


def reports_value(reports: Iterable[Report]) -> dict[str, Any]:
    """What `doctor --output json` prints."""
    reports = tuple(reports)
    return {
        "findings": [
            {
                "about": report.about,
                "subject": finding.subject,
                "status": finding.status,
                "what": finding.what,
                "remedy": finding.remedy or None,
            }
            for report in reports
            for finding in report.findings
        ],
        "summary": dict(count(reports)),
    }
