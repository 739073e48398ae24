"""Which branches must move so that the remote shows the plan.

Pure: knows a plan and what one fetch saw. Knows no Git and no forge.

A branch is pushed only if its change differs or no longer merges; a branch whose change is contained in main is done; a
branch that somebody else changed is left alone; an export proposal of which nothing is left closes after a while, so
that a flapping label doesn't open and close it.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from workers.documents import paths
from workers.outside import Branch, Remote
from workers.plan import Plan
from workers.proposal import Proposal
from workers.tree import RejectedFacts, change_digest

EMPTY_FOR = timedelta(minutes=10)
"""How long an export proposal of which nothing is left stays open."""


@dataclass(frozen=True, kw_only=True)
class Moves:
    """`proposals`: what to commit, in the order of the plan, each on what merged before it: on main if its branch is in
    `merged`, else on its branch; `close`: open branches that go, with the reason; `troubles`: what people must know, by
    branch.
    """

    proposals: tuple[Proposal, ...]
    merged: frozenset[str]
    close: Mapping[str, str]
    troubles: Mapping[str, str]

    @property
    def merge(self) -> tuple[Proposal, ...]:
        """What goes to main at once."""
        return tuple(proposal for proposal in self.proposals if proposal.branch in self.merged)

    @property
    def push(self) -> tuple[Proposal, ...]:
        """What goes to a branch, to be made or made again."""
        return tuple(proposal for proposal in self.proposals if proposal.branch not in self.merged)


def empty(plan: Plan, remote: Remote) -> frozenset[str]:
    """Open export proposals of which nothing is left, without being contained in main."""
    wanted = plan.untouched.union(proposal.branch for proposal in plan.proposals)
    return frozenset(
        name
        for name, branch in remote.branches.items()
        if name.startswith(paths.exports_branch(""))
        and name not in wanted
        and not branch.foreign
        and not contained(branch, remote)
    )


def contained(branch: Branch, remote: Remote) -> bool:
    """Whether main has everything that a branch changes (merged, squashed or rebased)."""
    return all(remote.files.blob(path) == new for path, (_, new) in branch.change.items())


def moves(
    plan: Plan,
    remote: Remote,
    empty_since: Mapping[str, datetime],
    closed: frozenset[str],
    now: datetime,
    again: Container[str] = (),
) -> Moves:
    """What to do with which branch.

    `empty_since`: since when nothing is left of the branches that `empty` named; `closed`: branches whose proposal
    people closed without merging it; `again`: branches to make again although their change is the same.
    """
    troubles = {
        proposal.branch: trouble for proposal in plan.proposals if (trouble := _trouble(proposal, plan, remote))
    }
    proposals = tuple(
        proposal
        for proposal in plan.proposals
        if proposal.branch in plan.merged
        or (proposal.branch not in troubles and (proposal.branch in again or _differs(proposal, remote)))
    )
    pushed = {proposal.branch for proposal in proposals if proposal.branch not in plan.merged}
    wanted = plan.untouched.union(proposal.branch for proposal in plan.proposals)
    close: dict[str, str] = {}
    for name, branch in remote.branches.items():
        if not paths.is_ours(name) or name in pushed:
            continue
        if name in closed:
            close[name] = "people closed it without merging"
        elif name in plan.merged:
            close[name] = "merged by the robot: all its classes are automatic"
        elif contained(branch, remote):
            close[name] = "main has all of it"
        elif name not in wanted and not branch.foreign:
            since = empty_since.get(name)
            if since is None or now - since >= EMPTY_FOR:
                close[name] = "nothing is left of it"
    return Moves(proposals=proposals, merged=frozenset(plan.merged), close=close, troubles=troubles)


def _trouble(proposal: Proposal, plan: Plan, remote: Remote) -> str:
    """Why a proposal can't be made or brought up to date; empty if it can."""
    if problems := plan.problems.get(proposal.branch):
        return "not proposed, it would break callers: " + "; ".join(map(str, problems))
    branch = remote.branches.get(proposal.branch)
    if branch is not None and branch.foreign and not contained(branch, remote):
        return (
            "somebody else changed this branch, so peermesh leaves it alone. Merge it, or delete it"
            f" (git push --delete origin {proposal.branch}) and it is made again"
        )
    return ""


def _differs(proposal: Proposal, remote: Remote) -> bool:
    branch = remote.branches.get(proposal.branch)
    return branch is None or not branch.merges or change_digest(branch.change) != proposal.digest


def rejected_after(remote: Remote, closed: Iterable[str]) -> RejectedFacts:
    """The refused facts to remember: those from before, those taken back, and those of proposals that people closed
    without merging; but not what main holds again.
    """
    remembered = remote.rejected | remote.taken_back | refused_by_closing(remote, closed)
    return frozenset((path, blob) for path, blob in remembered if remote.files.blob(path) != blob)


def refused_by_closing(remote: Remote, closed: Iterable[str]) -> RejectedFacts:
    """The facts of proposals that people closed without merging."""
    return frozenset(
        (path, new)
        for name in closed
        if name in remote.branches
        for path, (_, new) in remote.branches[name].change.items()
        if paths.is_refusable(path)
    )
