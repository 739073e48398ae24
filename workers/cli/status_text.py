"""How the mesh stands, as people read it and as scripts do.

Knows statuses. Decides nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Any, Final

import msgspec
from rich.text import Text

from syncer.protocol.printable import one_line
from workers.applied import UnitApplied
from workers.cli.proposal_text import classes_text
from workers.cli.screen import say, say_indented, say_item, table
from workers.doctor.clock import aged
from workers.status import ClusterStatus, OpenProposal, Status
from workers.tree import RejectedFacts

_SILENT = timedelta(minutes=15)
"""Three heartbeats; the border refuses what is older."""
_APPLIED: Final = {
    "applied": Text("as committed", style="green"),
    "stale": Text("not yet", style="yellow"),
    "failed": Text("failed", style="red"),
    "unknown": Text("unknown", style="dim"),
}
_NAMED: Final = 5
"""So many objects of a unit are named, to keep to a few lines; `--output json` has all."""
_LENGTH: Final = 500
"""Letters of a reconciler's message: it may list every object that was refused."""


def show_status(status: Status, now: datetime) -> None:
    """Everything, what is wrong in colour."""
    say(Text.assemble("mesh ", (status.mesh, "bold")))
    if status.paused is not None:
        say(Text.assemble(("paused: ", "bold red"), status.paused))
    say()
    asked = status.heard is not None
    head = ("cluster", "exports", "can call", "gateway", *(("heard", "applied") if asked else ("", "")))
    table(head, [_cluster_row(cluster, now, asked=asked) for cluster in status.clusters])
    for cluster in status.clusters:
        _show_trouble(cluster)
    say()
    show_proposals(status.proposals)
    said = sorted(status.heard.said.items()) if status.heard else []
    if said:
        say("What the worker tells", "bold")
    for subject, what in said:
        say_item("- ", Text.assemble((subject, "cyan"), ": ", what))
    show_rejected(status.rejected)


def _cluster_row(cluster: ClusterStatus, now: datetime, *, asked: bool) -> tuple[str | Text, ...]:
    addresses = ", ".join(f"{address.ip or address.host}:{address.port}" for address in cluster.addresses)
    return (
        Text(cluster.name, style="bold"),
        str(cluster.exports),
        str(cluster.calls),
        Text(addresses) if addresses else Text("no address", style="yellow"),
        _heard(cluster.observed_at, now) if asked else "",
        _APPLIED[cluster.applied.state] if cluster.applied else "",
    )


def _heard(at: datetime | None, now: datetime) -> Text:
    if at is None:
        return Text("not yet", style="yellow")
    return Text(f"{aged(now - at)} ago", style="red" if now - at > _SILENT else "green")


def _show_trouble(cluster: ClusterStatus) -> None:
    if not cluster.keys:
        what = f"no key of its syncer is trusted: `peermesh cluster trust {cluster.name} KEY`"
        say_indented(Text.assemble((cluster.name, "bold"), f": {what}"), 2)
    if cluster.refusal is not None:
        refusal = cluster.refusal
        what = f"{refusal.count} refused since {refusal.since:%Y-%m-%d %H:%M} UTC, {refusal.reason}: {refusal.what}"
        say_indented(Text.assemble((cluster.name, "bold"), (f": {what}", "red")), 2)
    for unit in cluster.applied.units if cluster.applied else ():
        if unit.state != "applied":
            _show_unit(cluster, unit)


def _show_unit(cluster: ClusterStatus, unit: UnitApplied) -> None:
    """One line for a sync unit that isn't as main has it: what is wrong, and where to look next."""
    assert cluster.applied is not None
    where = f"clusters/{cluster.name}/{unit.name}/"
    if unit.state == "failed":
        what, colour = f"can't be applied: {one_line(unit.message, _LENGTH)}", "red"
    else:
        said = [
            (unit.missing, "not there"),
            (unit.outdated, "there with other content"),
            (unit.left, "still there, though withdrawn"),
        ]
        what = "; ".join(f"{_named(names)} {how}" for names, how in said if names)
        what, colour = f"isn't applied: {what}", "yellow"
    since = cluster.applied.since
    notes = [
        f"since {since:%Y-%m-%d %H:%M} UTC or longer" if since else "heard before main changed last",
        f"last applied: {unit.revision}" if unit.revision else "no reconciler of it was seen there: delivery/README.md",
    ]
    note = ", ".join(notes)
    say_indented(Text.assemble((cluster.name, "bold"), (f": {where} {what}", colour), (f" ({note})", "dim")), 2)


def _named(names: Sequence[str]) -> str:
    more = len(names) - _NAMED
    return ", ".join(names[:_NAMED]) + (f" and {more} more" if more > 0 else "")


def show_proposals(proposals: Iterable[OpenProposal]) -> None:
    """A block for each: branch and classes, title, digest."""
    found = list(proposals)
    if not found:
        say("No proposal is open.")
        return
    for proposal in found:
        say(Text.assemble((proposal.branch, "bold cyan"), "   ", classes_text(proposal.classes)))
        say_indented(proposal.title, 2)
        notes = [("changed by somebody else", proposal.foreign), ("no longer merges", not proposal.merges)]
        said = "".join(f" · {note}" for note, holds in notes if holds)
        say_indented(Text.assemble((f"digest {proposal.digest}", "dim"), (said, "yellow")), 2)
        if proposal.url:
            say_indented(Text(proposal.url, style="dim"), 2)
    say()


def show_rejected(rejected: RejectedFacts) -> None:
    """What people refused, and isn't proposed until it differs."""
    if rejected:
        say("Refused by people (`peermesh proposals reopen` forgets it):")
    for path, blob in sorted(rejected, key=str):
        say_indented(f"{path}{'' if blob else ' (its withdrawal)'}", 2)


def status_value(status: Status) -> dict[str, Any]:
    """What `status --output json` prints."""
    value: dict[str, Any] = {
        "mesh": status.mesh,
        "paused": status.paused,
        "clusters": [msgspec.to_builtins(cluster) for cluster in status.clusters],
        "proposals": [proposal_value(proposal) for proposal in status.proposals],
        "rejected": [{"path": path, "blob": blob} for path, blob in sorted(status.rejected, key=str)],
    }
    if status.heard is not None:
        value["said"] = dict(sorted(status.heard.said.items()))
    return value


def proposal_value(proposal: OpenProposal) -> dict[str, Any]:
    """A proposal as scripts read it."""
    return {
        "branch": proposal.branch,
        "title": proposal.title,
        "classes": list(proposal.classes),
        "held": "held" in proposal.classes,
        "digest": proposal.digest,
        "merges": proposal.merges,
        "foreign": proposal.foreign,
        **({"url": proposal.url} if proposal.url else {}),
        "body": proposal.body,
        "files": {
            "written": [path for path, (_, new) in proposal.change.items() if new is not None],
            "removed": [path for path, (_, new) in proposal.change.items() if new is None],
        },
    }
