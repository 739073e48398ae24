"""The plan: learn -> guard -> split -> render -> lint, the product in one function.

The same call stands behind `peermesh plan` and behind `flush`. Knows values only.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime

from syncer.protocol.errors import HumanNeeded
from syncer.protocol.names import ServiceKey
from syncer.protocol.observation import Observation
from syncer.protocol.offer import Refused
from workers.documents import paths
from workers.documents.kinds import Export, Fact, Host
from workers.ground import Ground, Known, differing, ground_of, only_of, standing
from workers.guard import held
from workers.hosts import Addresses, host_changes, separated
from workers.learn import Learned, Memory, Told, learn
from workers.pki.step import Next, Seen
from workers.proposal import Part, Proposal, refusals_of, split
from workers.reach import Reach, gateway_addresses
from workers.series import MergeRule, Series
from workers.steps import Stepped, add_steps
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
    `problems`: what lint finds in a proposal, by branch: such a one must not be pushed; `trust`: what steps of trust
    wait for, how far each cluster is, and which conditions hold now.
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
    trust: Next = field(default_factory=Next)


def plan(  # noqa: PLR0913 (all that becomes of main goes through here)
    tree: Tree,
    files: Files,
    observations: Mapping[str, Observation],
    memory: Memory,
    *,
    merges: MergeRule,
    known: Known | None = None,
    frozen: Mapping[str, str] | None = None,
    trust: Seen | None = None,
    now: datetime | None = None,
) -> Plan:
    """What the observations change in `tree`, which is main's, whose files are `files`.

    `frozen`: namespaces of which a fact can't be read, and why: they are left as they are; so is trust. `trust`: what
    was seen of the clusters' trust until `now`; None: nobody looked, so that nothing of it is proposed. Costs what
    changed since the last call with the same `known`.
    """
    known = known or Known()
    frozen = frozen or {}
    main = ground_of(tree, known)
    series = Series(main, standing(files, known), merges, known, frozen)
    if not _repair(series, known):
        others = frozenset(memory.branches) - {paths.RENDER_BRANCH}
        return _planned(main, series, _NOTHING, {"*": f"{paths.RENDER_BRANCH} is merged"}, Stepped(untouched=others))
    tree = series.base.tree
    learned = learn(tree, observations, _of_exports(memory), known.learned)
    clusters, exports = _by_kind(learned.changes)
    for part in split(clusters, held(main.reach, series.base, clusters, {}, memory.gone)):
        series.add(part, refused=refusals_of(part, learned.refused))
    ready, waiting = _ready(exports, series.base.tree)
    parts = split(ready, held(main.reach, series.desired, ready, _held_before(memory), memory.gone))
    waiting |= _add_exports(series, parts, learned, memory, frozen, waiting)
    stepped = add_steps(series, memory, trust, now)
    if paths.AUTHORITY_PART in frozen:
        waiting[paths.TRUST_BRANCHES.rstrip("/")] = frozen[paths.AUTHORITY_PART]
    untouched = {branch for name in frozen for branch in (paths.exports_branch(name), paths.held_branch(name))}
    return _planned(main, series, learned, waiting, replace(stepped, untouched=stepped.untouched.union(untouched)))


def _planned(main: Ground, series: Series, learned: Learned, waiting: Mapping[str, str], stepped: Stepped) -> Plan:
    return Plan(
        proposals=tuple(series.proposals),
        merged=tuple(series.merged),
        waiting=waiting,
        untouched=stepped.untouched,
        changes=dict(sorted(series.changes.items())),
        tree=series.base.tree,
        before=main.reach,
        after=series.desired.reach,
        refused=learned.refused,
        told=learned.told,
        rejected=learned.rejected | stepped.rejected,
        problems=series.problems,
        trust=stepped.next,
    )


_NOTHING = Learned(changes={}, refused=(), told=(), rejected=frozenset())


def _repair(series: Series, known: Known) -> bool:
    """Propose what main's `clusters/` lacks to be the rendering of its tree; hosts that share an address move apart.

    Returns whether the following proposals can be made on it.
    """
    facts = {
        path: fact
        for path, fact in separated(series.base.tree).items()
        if paths.namespace_of(path) not in series.frozen
    }
    wrong = {
        path
        for path in differing(series.standing, series.base.rendering, known)
        if paths.namespace_of(path) not in series.frozen
    }
    part = Part(branch=paths.RENDER_BRANCH, facts=facts)
    return not (wrong or facts) or series.add(part, also=only_of(wrong), strays=wrong)


def frozen_namespaces(tree: Tree, problems: Iterable[Problem]) -> dict[str, str]:
    """The namespaces of which a fact can't be read, and why: what is missing there must not look like a withdrawal.

    With anything wrong of trust all of it is frozen (`paths.AUTHORITY_PART`): in `pki/`, or, where there is a tree in
    spite of it, among people's orders.

    Raises:
        HumanNeeded: a ClusterFacts can't be read; all that this cluster provides depends on it.
    """
    frozen: dict[str, str] = {}
    for problem in problems:
        if problem.path.startswith(paths.PKI) or not problem.path.startswith(paths.ROBOTS):
            frozen.setdefault(paths.AUTHORITY_PART, f"{problem.path} is right again ({problem.what})")
            continue
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


def _of_exports(memory: Memory) -> Memory:
    """Without what open branches say of trust, which no observation says."""
    branches = {name: facts for name, facts in memory.branches.items() if not name.startswith(paths.TRUST_BRANCHES)}
    return memory if len(branches) == len(memory.branches) else replace(memory, branches=branches)


def _by_kind(changes: FactChanges) -> tuple[FactChanges, FactChanges]:
    """What changes of clusters, and what they export."""
    clusters = {path: fact for path, fact in changes.items() if path.startswith(paths.CLUSTER_FACTS)}
    return clusters, {path: fact for path, fact in changes.items() if path not in clusters}


def _held_before(memory: Memory) -> FactChanges:
    return {
        path: fact
        for branch, facts in memory.branches.items()
        if branch.startswith(paths.held_branch(""))
        for path, fact in facts.items()
    }


def _add_exports(
    series: Series,
    parts: tuple[Part, ...],
    learned: Learned,
    memory: Memory,
    frozen: Mapping[str, str],
    left_out: Mapping[str, str],
) -> dict[str, str]:
    """Propose exports and what is held of them; returns what those that aren't proposed wait for, by branch.

    `left_out`: what exports that aren't among the parts wait for, by branch: the proposal says so.
    """
    tree = series.base.tree
    addresses = Addresses(tree.mesh, (*tree.facts.hosts.values(), *_remembered_hosts(memory)))
    slots = _slots(parts, memory)
    waiting: dict[str, str] = {}
    for part in parts:
        namespace = part.branch.rpartition("/")[2]
        if namespace in frozen:
            waiting[part.branch] = frozen[namespace]
        elif part.branch not in slots:
            waiting[part.branch] = f"one of {MAX_OPEN_EXPORTS} open export proposals is merged or closed"
        else:
            whole, without = _with_hosts(part, series.base.tree, addresses)
            if without:
                named = ", ".join(map(str, without))
                waiting[part.branch] = f"spec.hosts.virtualIPs in mesh/mesh.yaml has a free address for {named}"
            notes = [f"The rest waits until {left_out[part.branch]}."] if part.branch in left_out else []
            series.add(whole, notes=notes, refused=refusals_of(part, learned.refused))
    return waiting


def _ready(changes: FactChanges, base: Tree) -> tuple[FactChanges, dict[str, str]]:
    """The changes without new exports of clusters that have no address yet, and what these wait for, by branch."""
    ready: dict[str, Fact | None] = {}
    without: dict[str, set[str]] = {}
    for path, fact in changes.items():
        new = isinstance(fact, Export) and base.facts.get(path) is None
        if isinstance(fact, Export) and new and not gateway_addresses(base, base.clusters[fact.cluster]):
            without.setdefault(paths.exports_branch(fact.key.namespace), set()).add(fact.cluster)
        else:
            ready[path] = fact
    return ready, {branch: " and ".join(map(_has_address, sorted(names))) for branch, names in without.items()}


def _has_address(cluster: str) -> str:
    return (
        f"{cluster} has a gateway address on main (merge {paths.clusters_branch(cluster)}, or write"
        f" spec.gateway.addresses in {paths.cluster_path(cluster)})"
    )


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


__all__ = ["Known", "Memory", "MergeRule", "Plan", "Proposal", "Seen", "Told", "frozen_namespaces", "plan"]
