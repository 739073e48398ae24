"""What a person sees and does in the demo: events as they happen, proposals as they come, approvals.

Waits for conditions, each with a deadline and a name. Knows no story.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, TypeVar

from rich.text import Text

from workers.check import check
from workers.cli.demo.cast import Bell
from workers.cli.processes import Processes
from workers.cli.screen import say_item
from workers.forge.git import approve
from workers.git import GitRepository
from workers.outside import Remote
from workers.status import OpenProposal, proposals_of

T = TypeVar("T")

_SECONDS: Final = 60.0
"""How long anything may take: on a machine that does nothing else all of it takes less than half of that."""
_EVENT: Final = re.compile(r"[-\d]+ [:,\d]+ (?P<level>[A-Z]+) (?P<what>.*)")
_DULL: Final = re.compile(r"nothing|heartbeat|^syncer of|listening$")
_MOVED: Final = re.compile(r"pushed |merged |closed ")
"""What else the worker says after `; `, `peermesh status` and the proposals say, too."""


class Log:
    """What the processes write: kept in a file for each, and told once."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._news: list[tuple[str, str]] = []

    def __call__(self, name: str, line: str) -> None:
        with (self._folder / f"{name.replace(' ', '-')}.log").open("a") as log:
            log.write(f"{line}\n")
        self._news.append((line, name))

    def news(self) -> list[tuple[str, str]]:
        """Lines since the last call, each with who wrote it, in the order of their time stamps."""
        news, self._news = sorted(self._news), []
        return news


class Stage:
    """The running processes and the repository, as one person in front of a terminal has them."""

    def __init__(self, running: Processes, log: Log, repository: GitRepository, bell: Bell) -> None:
        self._running = running
        self._log = log
        self._repository = repository
        self._bell = bell

    def remote(self) -> Remote:
        """The repository now."""
        return self._repository.fetch()

    def until(self, what: str, look: Callable[[Remote], T | None]) -> T:
        """What `look` finds in the repository, as soon as it does; events are told meanwhile."""

        def looked() -> T | None:
            self.tell_events()
            return look(self.remote())

        return self._running.wait(what, looked, _SECONDS)

    def proposal(self, branch: str, *facts: str) -> OpenProposal:
        """The proposal of a branch, as soon as it changes (at least) these facts."""

        def complete(remote: Remote) -> OpenProposal | None:
            found = (proposal for proposal in proposals_of(remote) if proposal.branch == branch)
            return next((one for one in found if one.merges and one.change.keys() >= set(facts)), None)

        proposal = self.until(f"proposal {branch}", complete)
        self.tell_events()
        return proposal

    def approve(self, proposal: OpenProposal) -> None:
        """Merge it, as `peermesh approve` does, and let the worker look at once."""
        commit = approve(self._repository, proposal.branch, proposal.digest, check=check, when=datetime.now(UTC))
        say_item(_who("you"), Text.assemble("approve ", (proposal.branch, "cyan"), f"; main is {commit[:12]}"))
        self._bell.ring()

    def ring(self) -> None:
        """Let the worker look at once."""
        self._bell.ring()

    def forever(self) -> None:
        """Tell events until Ctrl-C."""
        self._running.wait("Ctrl-C", self.tell_events, math.inf)

    def tell_events(self) -> None:
        """What the processes wrote since the last time, in order, without what is of no interest here."""
        self._running.listen()
        for line, name in self._log.news():
            event = _EVENT.fullmatch(line)
            if event is None:
                say_item(_who(name), Text(line, style="yellow"))
            elif not _DULL.search(event["what"]):
                first, *more = event["what"].split("; ")
                what = "; ".join([first, *(part for part in more if _MOVED.match(part))])
                say_item(_who(name), Text(what, style="dim" if event["level"] == "INFO" else "yellow"))


def _who(name: str) -> Text:
    return Text(f"  {name:<14}", style="magenta")
