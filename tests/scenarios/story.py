"""A step as people see it in Markdown: proposals in order, what waits, what is told, and what comes after merging.

Knows plans. Every sentence in it is the product's own, but for headings.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from tests.scenarios.world import World, looked, merged, planned
from workers.documents import paths
from workers.plan import Plan, Proposal
from workers.sentences import refusal
from workers.steps import said_of


def story(world: World) -> str:
    """What is proposed now; then, merging one after the other, what is new."""
    plan = planned(world)
    shown = {proposal.branch: proposal.facts for proposal in plan.proposals}
    parts = [*_news(plan, plan.proposals)]
    world = looked(world)
    while world.mergeable:
        branch = world.mergeable[0]
        world = merged(world, branch)
        plan = planned(world)
        new = [proposal for proposal in plan.proposals if shown.get(proposal.branch) != proposal.facts]
        shown |= {proposal.branch: proposal.facts for proposal in new}
        if new:
            parts += [f"# When `{branch}` is merged\n", *_news(plan, new)]
    return "\n".join(parts or ["Nothing is proposed.\n"])


def _news(plan: Plan, proposals: Iterable[Proposal]) -> Iterator[str]:
    for proposal in proposals:
        yield _proposal(proposal, automatic=proposal.branch in plan.merged)
    yield from _listed("Waiting", (f"{_waiting(branch)}: until {why}" for branch, why in plan.waiting.items()))
    yield from _listed("Trust", (f"{subject}: {why}" for subject, why in said_of(plan.trust.waiting).items()))
    yield from _listed("Asked for, and not exported", _untold(plan))
    yield from _listed("Told", (f"{told.cluster}, {told.subject}: {told.what}" for told in plan.told))
    yield from _listed(
        "Left out, because people refused it", (f"`{path}`" for path, _ in sorted(plan.rejected, key=str))
    )


def _proposal(proposal: Proposal, *, automatic: bool) -> str:
    by = " · merged by the robot itself" if automatic else ""
    files = "".join(f"- {_verb(proposal, path)} `{path}`\n" for path in proposal.changes)
    return (
        f"## {proposal.title}\n\n`{proposal.branch}` · {', '.join(proposal.classes)}{by}\n\n{proposal.body}\n"
        f"### Files\n\n{files}"
    )


def _waiting(branch: str) -> str:
    return "everything else" if branch == "*" else f"`{branch}`"


def _verb(proposal: Proposal, path: str) -> str:
    old, new = proposal.change[path]
    return "removed" if new is None else "added" if old is None else "changed"


def _untold(plan: Plan) -> Iterator[str]:
    """Refusals of namespaces that no proposal is about."""
    told = {proposal.branch for proposal in plan.proposals}
    for cluster, entry in plan.refused:
        if paths.exports_branch(entry.namespace) not in told:
            yield refusal(cluster, entry)


def _listed(title: str, lines: Iterable[str]) -> Iterator[str]:
    items = "".join(f"- {line}\n" for line in lines)
    if items:
        yield f"## {title}\n\n{items}"
