"""The plan: learn -> guard -> split -> render -> lint, the product in one function.

The same call stands behind `peermesh plan` and behind `flush`. Knows values only.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from syncer.protocol.errors import HumanNeeded
from syncer.protocol.names import ServiceKey
from syncer.protocol.observation import Observation
from syncer.protocol.offer import Refused
from workers.difference import difference
from workers.documents import paths
from workers.documents.kinds import Export, Fact, Host
from workers.ground import Ground, Known, ground_of, only_of, standing
from workers.guard import causes, losses, too_many
from workers.hosts import Addresses, host_changes, separated
from workers.learn import Learned, Memory, Told, learn
from workers.proposal import Part, Proposal, refusals_of, split
from workers.reach import Reach, gateway_addresses, reach
from workers.series import MergeRule, Series
from workers.tree import (
    Changes,
    FactChanges,
    Files,
    Problem,
    RejectedFacts,
    Tree,
)

MAX_OPEN_EXPORTS = 20
"""Open export proposals at a time: more than a day's reviewing helps nobody, and forges limit what a robot may open."""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What should become of main, as proposals.

    `proposals` are in order, those in `merged` (branch names) included; `waiting`: what a proposal that isn't made yet
    waits for, by branch (`*`: all); `untouched`: open branches of which nothing can be said now, so they stay as they
    are; `changes` and `tree`: all merged ones together, against main and after; `before` and `after`
    are the reach of main and of everything planned but the held; `rejected`: refused facts that still are wanted;
    `problems`: what lint finds in a proposal, by branch: such a one must not be pushed.
    """

    proposals: tuple[Proposal, ...]
    merged: tuple[str, ...]
    waiting: Mapping[str, str]
    untouched: frozenset[str]
    changes: Changes
    tree: Tree
    before: Reach
    after: Reach
    refused: tuple[tuple[str, Refused], ...]
    told: tuple[Told, ...]
    rejected: RejectedFacts
    problems: Mapping[str, tuple[Problem, ...]]


def plan(
    tree: Tree,
    files: Files,
    observations: Mapping[str, Observation],
    memory: Memory,
    *,
    merges: MergeRule,
    known: Known | None = None,
    frozen: Mapping[str, str] | None = None,
) -> Plan:
    """What the observations change in `tree`, which is main's, whose files are `files`.

    `frozen`: namespaces of which a fact can't be read, and why: they are left as they are. Costs what changed since the
    last call with the same `known`.
    """
    known = known or Known()
    frozen = frozen or {}
    main = ground_of(tree, known)
    series = Series(main, standing(files, known), merges, known, frozen)
    if not _repair(series, known):
        others = frozenset(memory.branches) - {paths.RENDER_BRANCH}
        return _planned(main, series, _NOTHING, {"*": f"{paths.RENDER_BRANCH} is merged"}, others)
    tree = series.base.tree
    learned = learn(tree, observations, memory, known.learned)
    parts = split(learned.changes, _held(series.base, learned, memory))
    addresses = Addresses(tree.mesh, (*tree.facts.hosts.values(), *_remembered_hosts(memory)))
    slots = _slots(parts, memory)
    waiting: dict[str, str] = {}
    for part in parts:
        ready, waits = _ready(part, series.base.tree)
        namespace = part.branch.rpartition("/")[2]
        if namespace in frozen and not part.branch.startswith(paths.clusters_branch("")):
            waits = frozen[namespace]
        elif part.branch not in slots:
            waits = f"one of {MAX_OPEN_EXPORTS} open export proposals is merged or closed"
        elif ready.facts:
            whole, without = _with_hosts(ready, series.base.tree, addresses)
            notes = [f"The rest waits until {waits}."] if waits else []
            notes += [
                f"{key} waits until spec.hosts.virtualIPs in mesh/mesh.yaml has a free address" for key in without
            ]
            series.add(whole, notes=notes, refused=refusals_of(part, learned.refused))
        if waits:
            waiting[part.branch] = waits
    untouched = {branch for name in frozen for branch in (paths.exports_branch(name), paths.held_branch(name))}
    return _planned(main, series, learned, waiting, frozenset(untouched))


def _planned(
    main: Ground, series: Series, learned: Learned, waiting: Mapping[str, str], untouched: frozenset[str]
) -> Plan:
    return Plan(
        proposals=tuple(series.proposals),
        merged=tuple(series.merged),
        waiting=waiting,
        untouched=untouched,
        changes=dict(sorted(series.changes.items())),
        tree=series.base.tree,
        before=main.reach,
        after=series.desired,
        refused=learned.refused,
        told=learned.told,
        rejected=learned.rejected,
        problems=series.problems,
    )


_NOTHING = Learned(changes={}, refused=(), told=(), rejected=frozenset())


def _repair(series: Series, known: Known) -> bool:
    """Propose what main's `clusters/` lacks to be the rendering of its tree; hosts that share an address move apart.

    Returns whether the following proposals can be made on it.
    """
    rendering, standing = series.base.rendering, series.standing
    if known.sound is not None and known.sound[0] is standing and known.sound[1] is series.base:
        return True
    facts = {
        path: fact
        for path, fact in separated(series.base.tree).items()
        if paths.namespace_of(path) not in series.frozen
    }
    if standing == rendering and not facts:
        known.sound = (standing, series.base)
        return True
    differing = {
        path
        for path in standing.keys() | rendering.keys()
        if standing.get(path) != rendering.get(path) and paths.namespace_of(path) not in series.frozen
    }
    part = Part(branch=paths.RENDER_BRANCH, facts=facts)
    return not (differing or facts) or series.add(part, also=only_of(differing), strays=differing)


def frozen_namespaces(tree: Tree, problems: Iterable[Problem]) -> dict[str, str]:
    """The namespaces of which a fact can't be read, and why: what is missing there must not look like a withdrawal.

    Raises:
        HumanNeeded: a ClusterFacts can't be read; all that this cluster provides depends on it.
    """
    frozen: dict[str, str] = {}
    for problem in problems:
        where = paths.place(problem.path)
        if where is None or where.kind not in {"ClusterFacts", "Export", "Host"} or tree.facts.get(problem.path):
            continue
        if where.kind == "ClusterFacts":
            raise HumanNeeded(
                "BadDocuments",
                f"main can't be planned on: {problem}",
                subject=where.cluster,
                remedy=f"`git log -- {problem.path}` shows who changed it; bring the last good version back.",
            )
        frozen[where.namespace] = f"{problem.path} can be read again ({problem.what})"
    return frozen


def _held(base: Ground, learned: Learned, memory: Memory) -> frozenset[str]:
    """The changed facts (paths) that the guard keeps back, and those that it kept back before.

    What is held may make something else a loss (an older export that stays pushes a new one out), so it is looked at
    again until nothing is added.
    """
    held = {
        path
        for branch, said in memory.branches.items()
        if branch.startswith(paths.held_branch(""))
        for path, fact in said.items()
        if path in learned.changes and learned.changes[path] == fact
    }
    many: frozenset[str] = frozenset()
    going: FactChanges = learned.changes
    while going:
        after = base.tree.with_facts(base.tree.facts.with_changes(going))
        found = losses(difference(base.reach, reach(after, (base.tree, base.reach))))
        many |= too_many(found, base.reach, base.tree.mesh.spec.guard)
        more = causes([loss for loss in found if loss.provider in many], going)
        held |= more
        left = {path: fact for path, fact in learned.changes.items() if path not in held}
        if left == going:
            break
        going = left
    return frozenset(held)


def _ready(part: Part, base: Tree) -> tuple[Part, str]:
    """The part without new exports of clusters that have no address yet, and what those wait for."""
    facts: dict[str, Fact | None] = {}
    without: set[str] = set()
    for path, fact in part.facts.items():
        if (
            isinstance(fact, Export)
            and base.facts.get(path) is None
            and not gateway_addresses(base, base.clusters[fact.cluster])
        ):
            without.add(fact.cluster)
        else:
            facts[path] = fact
    waits = ", ".join(
        f"{name} has a gateway address on main (merge peermesh/clusters/{name}, or write spec.gateway.addresses in"
        f" mesh/clusters/{name}.yaml)"
        for name in sorted(without)
    )
    return replace(part, facts=facts), waits


def _with_hosts(part: Part, base: Tree, addresses: Addresses) -> tuple[Part, tuple[ServiceKey, ...]]:
    keys = {fact.key for fact in part.facts.values() if isinstance(fact, Export)}
    if not keys:
        return part, ()
    after = base.with_facts(base.facts.with_changes(part.facts))
    changes, without = host_changes(after, keys, addresses)
    facts = {path: fact for path, fact in part.facts.items() if not (isinstance(fact, Export) and fact.key in without)}
    return replace(part, facts={**facts, **changes}), without


def _remembered_hosts(memory: Memory) -> Iterable[Host]:
    """Hosts on open branches, by branch: their addresses are kept for them, unless main gave them away meanwhile."""
    return (fact for _, facts in sorted(memory.branches.items()) for fact in facts.values() if isinstance(fact, Host))


def _slots(parts: Iterable[Part], memory: Memory) -> frozenset[str]:
    """The branches that may be open: all but export proposals beyond MAX_OPEN_EXPORTS; open ones come first."""
    branches = [part.branch for part in parts]
    exports = [branch for branch in branches if branch.startswith(paths.exports_branch(""))]
    exports.sort(key=lambda branch: (branch not in memory.branches, branch))
    return frozenset(branches) - frozenset(exports[MAX_OPEN_EXPORTS:])


__all__ = ["Known", "Memory", "MergeRule", "Plan", "Proposal", "Told", "frozen_namespaces", "plan"]
