"""A plan as people read it, perhaps at three in the morning: what needs a person first, the sum last.

Knows plans. Decides nothing: every sentence is the proposal's own.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping

from rich.text import Text

from syncer.protocol.offer import Refused
from workers.cli.proposal_text import heading, indented_proposal
from workers.cli.screen import say, say_indented, say_markdown
from workers.difference import difference
from workers.plan import Plan, Proposal
from workers.sentences import refusal
from workers.tree import Changes


def show_plan(plan: Plan) -> None:
    """Proposals, what waits, what is only told, and one line that sums up."""
    for proposal in sorted(plan.proposals, key=lambda proposal: "held" not in proposal.classes):
        _show_proposal(proposal, plan)
    _show_list("Waits", [f"`{branch}`: until {why}" for branch, why in plan.waiting.items()])
    _show_list("Asked for, and not exported", [refusal(cluster, entry) for cluster, entry in _untold(plan)])
    _show_list("To know", [f"{told.subject}: {told.what}" for told in plan.told])
    _show_list(
        "Refused by people", [f"{path} (`peermesh proposals reopen`)" for path, _ in sorted(plan.rejected, key=str)]
    )
    say(summary(plan))


def _show_proposal(proposal: Proposal, plan: Plan) -> None:
    say(heading(proposal.branch, proposal.classes))
    indented_proposal(proposal.title, proposal.body)
    say()
    say_indented(Text(files_line(proposal.changes), style="dim"), 2)
    for problem in plan.problems.get(proposal.branch, ()):
        say_indented(Text(f"it would break callers, so it is never pushed: {problem}", style="red"), 2)
    say()


def files_line(changes: Changes) -> str:
    """How many files change, by folder."""
    folders = Counter(path.partition("/")[0] for path in changes)
    gone = sum(data is None for data in changes.values())
    parts = ", ".join(f"{count} in {folder}/" for folder, count in sorted(folders.items(), reverse=True))
    return f"{_many(len(changes), 'file')}: {parts}" + (f"; {gone} of them removed" if gone else "")


def _untold(plan: Plan) -> Iterable[tuple[str, Refused]]:
    """Refusals of namespaces that no proposal tells."""
    told = {proposal.branch.rpartition("/")[2] for proposal in plan.proposals if _is_exports(proposal.branch)}
    return [(cluster, entry) for cluster, entry in plan.refused if entry.namespace not in told]


def _is_exports(branch: str) -> bool:
    return branch.startswith(("peermesh/exports/", "peermesh/held/"))


def _show_list(title: str, lines: list[str]) -> None:
    if lines:
        say(title, "bold")
        say_markdown("".join(f"- {line}\n" for line in lines), columns=2)
        say()


def summary(plan: Plan) -> Text:
    """One line: how much of what."""
    if not plan.proposals and not plan.waiting:
        return Text("Nothing to do: main is what the clusters say.")
    counts = _counts(plan)
    parts = [Text(_many(len(plan.proposals), "proposal"))]
    parts += [Text(f"{counts[what]} {what}", style=style) for what, style in _STYLES.items() if counts[what]]
    pairs = " (pairs of a host and a calling cluster)" if counts["gained"] or counts["lost"] else ""
    return Text.assemble(Text(" · ").join(parts), (pairs, "dim"))


_STYLES: Mapping[str, str] = {
    "gained": "green",
    "lost": "yellow",
    "waiting": "",
    "held for a person": "bold red",
    "never pushed": "bold red",
}


def _counts(plan: Plan) -> Mapping[str, int]:
    ways = [way for change in difference(plan.before, plan.after) for way in change.ways]
    return {
        "gained": sum(len(way.consumers) for way in ways if way.gained),
        "lost": sum(len(way.consumers) for way in ways if way.lost),
        "waiting": len(plan.waiting),
        "held for a person": sum("held" in proposal.classes for proposal in plan.proposals),
        "never pushed": len(plan.problems),
    }


def _many(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"
