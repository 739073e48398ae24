"""Showing: what stands on the remote is brought before people, and what needs none of them is merged by the forge.

Decides which branches are shown and which are merged, and asks the forge for it, one after the other. One that the
forge refuses doesn't stop the others. Knows no forge's API and no Git.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

from syncer.protocol.errors import Rejected
from workers.branches import Moves
from workers.documents import paths
from workers.outside import CommitId, Forge, Merging, Remote, Shown
from workers.plan import Plan

MOST: Final = 15
"""So many proposals are opened or changed, and merged, in a flush: calls stand a second apart, and what takes two
minutes is killed.
"""
SOON: Final = timedelta(seconds=5)
"""When the forge is asked again that still looks at what was pushed last; the next sweep after that is when."""
WAITS: Final = timedelta(minutes=1)
"""The same where people or their checks are waited for: a check that turns green changes nothing that a sweep sees."""


@dataclass(frozen=True, kw_only=True)
class Showed:
    """`merged`: branches that the forge merged; `behind`: heads, by branch, that it wants on the newest main first;
    `troubles`: what people must know, by branch; `due`: when to look again.
    """

    merged: tuple[str, ...] = ()
    behind: Mapping[str, CommitId] = field(default_factory=dict)
    troubles: Mapping[str, str] = field(default_factory=dict)
    due: tuple[datetime, ...] = ()


def show(forge: Forge, wanted: Sequence[Shown], what: Moves, closed: Iterable[str], now: datetime) -> Showed:
    """Open, update, stop and close; more than `MOST` are left for the next flush. Raises Transient, HumanNeeded.

    `wanted`: every proposal whose branch stands, pushed now or long ago: who pushed it may have died before opening it.
    """
    troubles: dict[str, str] = {}
    sent = 0
    for shown in wanted:
        if sent == MOST:
            break
        try:
            sent += forge.publish(shown)
        except Rejected as error:
            troubles[shown.branch] = str(error)
    for branch, why in what.troubles.items():
        forge.stop(branch, why=why)
    for branch in closed:
        forge.close(branch, reason=what.close[branch])
    return Showed(troubles=troubles, due=(now,) if sent == MOST else ())


def shown_of(planned: Plan, what: Moves, remote: Remote, commits: Mapping[str, CommitId]) -> tuple[Shown, ...]:
    """The proposals that stand on a branch of their own, in order. `commits`: heads that were pushed just now."""
    return tuple(
        Shown(
            branch=proposal.branch,
            head=commits.get(proposal.branch) or remote.branches[proposal.branch].head,
            digest=proposal.digest,
            title=proposal.title,
            body=proposal.body,
            classes=proposal.classes,
        )
        for proposal in planned.proposals
        if proposal.branch not in what.merged | what.troubles.keys() | what.close.keys()
        and (proposal.branch in commits or proposal.branch in remote.branches)
    )


def mergeable(
    shown: Iterable[Shown], remote: Remote, commits: Mapping[str, CommitId], automatic: frozenset[str]
) -> tuple[Shown, ...]:
    """What the forge may merge now: all its classes are automatic, and its head is the robot's own.

    Each proposal was rendered on main as it is. Those of exports never touch one file, so all of them may go; any
    other one changes what the following ones must be rendered on, and goes alone.
    """
    fit = [
        one
        for one in shown
        if automatic.issuperset(one.classes) and (one.branch in commits or remote.branches[one.branch].own)
    ]
    exports = [one for one in fit if one.branch.startswith(paths.exports_branch(""))]
    return tuple(exports[:MOST] if exports == fit else fit[:1])


def merge(forge: Forge, fit: Iterable[Shown], now: datetime) -> Showed:
    """Ask the forge to merge these. Raises Transient, HumanNeeded."""
    merged: list[str] = []
    behind: dict[str, CommitId] = {}
    troubles: dict[str, str] = {}
    due: list[datetime] = []
    for shown in fit:
        answer = _merged(forge, shown)
        if answer.status == "merged":
            merged.append(shown.branch)
            due.append(now)
        elif answer.status == "waits":
            troubles[shown.branch] = f"would merge by itself, but {answer.message}"
            due.append(now + WAITS)
        else:
            due.append(now + SOON)
        if answer.status == "behind":
            behind[shown.branch] = shown.head
    return Showed(merged=tuple(merged), behind=behind, troubles=troubles, due=tuple(due))


def _merged(forge: Forge, shown: Shown) -> Merging:
    try:
        return forge.merge(shown)
    except Rejected as error:
        return Merging(status="waits", message=str(error))
