"""A proposal as people review it in a terminal: its text, and how many files change.

Knows proposals. Every sentence is the proposal's own.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from rich.text import Text

from workers.cli.rendered import diff_lines
from workers.cli.screen import say, say_indented, say_markdown
from workers.outside import Remote
from workers.status import OpenProposal
from workers.tree import BlobChange

_CLASS_STYLES = {"held": "bold red", "provider": "yellow", "withdrawal": "yellow", "cluster": "yellow"}
_DIFF_STYLES = {"-": "red", "+": "green", "@": "cyan"}


def classes_text(classes: Iterable[str]) -> Text:
    """The classes, those that need care in another colour."""
    return Text(", ").join(Text(name, style=_CLASS_STYLES.get(name, "green")) for name in classes)


def heading(branch: str, classes: Iterable[str]) -> Text:
    """The branch, and what kind of change it is."""
    return Text.assemble((branch, "bold cyan"), "   ", classes_text(classes))


def show_proposal(proposal: OpenProposal, *, way_back: bool = True) -> None:
    """Title, text (the way to take it back only if wanted), files, digest."""
    say(heading(proposal.branch, proposal.classes))
    say(proposal.title or "(somebody else's commits only)", "bold")
    say()
    say_markdown(proposal.body if way_back else without_way_back(proposal.body))
    say()
    for line in file_lines(proposal.change):
        say(line)
    say(Text.assemble("digest ", (proposal.digest, "bold")))
    if proposal.foreign:
        say("Somebody else changed this branch, so peermesh leaves it alone.", "yellow")
    if not proposal.merges:
        say("Main changed the same files since; peermesh makes it again.", "yellow")


def file_lines(change: BlobChange) -> list[Text]:
    """Causes one by one; of what follows from them, how much in each cluster."""
    lines = [
        Text.assemble(_sign(old, new), " ", path)
        for path, (old, new) in change.items()
        if not path.startswith("clusters/")
    ]
    counts = Counter(path.split("/")[1] for path in change if path.startswith("clusters/"))
    follows = ", ".join(f"{cluster} {count}" for cluster, count in sorted(counts.items()))
    if follows:
        lines.append(Text(f"… and what follows in clusters/: {follows}", style="dim"))
    return lines


def _sign(old: object, new: object) -> Text:
    if old is None:
        return Text("+", style="green")
    return Text("-", style="red") if new is None else Text("~", style="yellow")


def proposal_diff(remote: Remote, branch: str) -> list[str]:
    """Every changed line against main."""
    files, change = remote.branches[branch].files, remote.branches[branch].change
    new = {path: None if blob is None else files.read(path) for path, (_, blob) in change.items()}
    return list(diff_lines(remote.files, new))


def show_diff_lines(lines: Iterable[str]) -> None:
    """A unified diff, coloured on a terminal."""
    for line in lines:
        names = line.startswith(("--- ", "+++ "))
        say(Text(line, style="bold" if names else _DIFF_STYLES.get(line[:1], "")))


def indented_proposal(title: str, body: str) -> None:
    """Title and text without the way to take it back."""
    say_indented(Text(title, style="bold"), 2)
    say()
    say_markdown(without_way_back(body), columns=2)


def without_way_back(body: str) -> str:
    """The text without its last section, which is the same in all."""
    return body.partition("\n### How to take it back")[0]
