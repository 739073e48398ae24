"""The four answers to "may I try again?".

What goes wrong is one of four things, and the class alone says what happens next. An error names what happened,
to what, and what a person can do; foreign exceptions are translated where the foreign library is called.
"""

from __future__ import annotations


class PeermeshError(Exception):
    """What happened, to what, and what to do next; printed as one line.

    `reason` is a CamelCase word for counters and tables (`BadSignature`), never empty.
    """

    def __init__(self, reason: str, what: str, *, subject: str = "", remedy: str = "") -> None:
        super().__init__(reason, what, subject, remedy)
        self.reason = reason
        self.what = what
        self.subject = subject
        self.remedy = remedy

    def __str__(self) -> str:
        where = f"{self.subject}: " if self.subject else ""
        end = "" if self.what.endswith(".") else "."
        return f"{where}{self.what}{end} {self.remedy}" if self.remedy else f"{where}{self.what}"


class Rejected(PeermeshError):
    """Trying again can't help: acknowledge, count, name the reason."""


class Transient(PeermeshError):
    """The world was away: keep the work, back off, try again."""


class HumanNeeded(PeermeshError):
    """Only a person can mend it: say it once where they look, and go on with the others."""


class Superseded(PeermeshError):
    """Newer news has arrived: drop silently."""
