"""A plan as scripts read it: what `peermesh plan --output json` prints.

The names here are a promise: they are added to, never renamed. Documented in docs/cli.md.
"""

from __future__ import annotations

from typing import Any

import msgspec

from workers.difference import WayChange, difference
from workers.plan import Plan, Proposal


def plan_value(plan: Plan) -> dict[str, Any]:
    """The plan in strings, numbers, lists and maps; equal plans give equal values, lists are in a fixed order."""
    return {
        "proposals": [_proposal(proposal, plan) for proposal in plan.proposals],
        "waiting": [{"branch": branch, "until": why} for branch, why in sorted(plan.waiting.items())],
        "reach": [
            {"host": change.host, "service": str(change.key), **_way(way)}
            for change in difference(plan.before, plan.after)
            for way in change.ways
        ],
        "conflicts": [
            {"host": host.name, **msgspec.to_builtins(conflict)}
            for host in plan.after.values()
            for conflict in host.conflicts
        ],
        "refused": [{"cluster": cluster, **msgspec.to_builtins(refused)} for cluster, refused in plan.refused],
        "told": [msgspec.to_builtins(told) for told in plan.told],
        "rejected": [path for path, _ in sorted(plan.rejected, key=str)],
    }


def _proposal(proposal: Proposal, plan: Plan) -> dict[str, Any]:
    return {
        "branch": proposal.branch,
        "title": proposal.title,
        "classes": list(proposal.classes),
        "held": "held" in proposal.classes,
        "body": proposal.body,
        "facts": {
            "written": [path for path, fact in sorted(proposal.facts.items()) if fact is not None],
            "removed": [path for path, fact in sorted(proposal.facts.items()) if fact is None],
        },
        "files": {
            "written": [path for path, data in proposal.changes.items() if data is not None],
            "removed": [path for path, data in proposal.changes.items() if data is None],
        },
        "problems": [str(problem) for problem in plan.problems.get(proposal.branch, ())],
    }


def _way(way: WayChange) -> dict[str, Any]:
    kind = "gained" if way.gained else "lost" if way.lost else "changed" if way.new.ports else "blocked"
    return {
        "change": kind,
        "consumers": list(way.consumers),
        "ports": [port.number for port in way.new.ports],
        "providers": [provider.cluster for provider in way.new.providers],
        "blocked": [msgspec.to_builtins(block) for block in way.new.blocked],
    }
