"""The plan: learn -> guard -> split -> render -> lint, the product in one function.

The same call stands behind `peermesh plan` and behind `flush`. Knows values only.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Container, Iterable, Mapping
from dataclasses import dataclass, replace

from syncer.protocol.errors import HumanNeeded
from syncer.protocol.names import ServiceKey
from syncer.protocol.observation import Observation
from syncer.protocol.offer import Refused
from workers.difference import difference
from workers.documents import paths
from workers.documents.kinds import Export, Fact, Host
from workers.documents.writing import write
from workers.ground import Ground, Known, Step, ground_of, only_of, standing, step, with_blobs
from workers.guard import causes, losses, too_many
from workers.hosts import Addresses, host_changes, separated
from workers.learn import Learned, Memory, Told, learn
from workers.proposal import Part, Proposal, body, classes, fact_classes, refusals_of, split, title
from workers.reach import Reach, gateway_addresses, reach
from workers.render import Only
from workers.render.lint import lint
from workers.tree import (
    BlobChange,
    BlobId,
    Changes,
    Files,
    Problem,
    RejectedFacts,
    Tree,
    blob_id,
)

MergeRule = Callable[[Proposal], bool]
"""Whether the plan itself merges a proposal, so that the following ones are rendered on it."""
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
    builder = _Builder(main, standing(files, known), merges, known)
    if not _repair(builder, frozen, known):
        others = frozenset(memory.branches) - {paths.RENDER_BRANCH}
        return builder.plan(_NOTHING, {"*": f"{paths.RENDER_BRANCH} is merged"}, others)
    tree = builder.base.tree
    learned = learn(tree, observations, memory, known.learned)
    parts = split(learned.changes, _held(builder.base, learned, memory))
    remembered = _remembered_hosts(memory)
    addresses = Addresses(tree.mesh, (*tree.facts.hosts.values(), *remembered.values()))
    slots = _slots(parts, memory)
    waiting: dict[str, str] = {}
    for part in parts:
        ready, waits = _ready(part, builder.base.tree)
        namespace = part.branch.rpartition("/")[2]
        if namespace in frozen and not part.branch.startswith(paths.clusters_branch("")):
            waits = frozen[namespace]
        elif part.branch not in slots:
            waits = f"one of {MAX_OPEN_EXPORTS} open export proposals is merged or closed"
        elif ready.facts:
            whole, without = _with_hosts(ready, builder.base.tree, remembered, addresses)
            notes = [f"The rest waits until {waits}."] if waits else []
            notes += [
                f"{key} waits until spec.hosts.virtualIPs in mesh/mesh.yaml has a free address" for key in without
            ]
            builder.add(whole, notes=notes, refused=refusals_of(part, learned.refused))
        if waits:
            waiting[part.branch] = waits
    untouched = {branch for name in frozen for branch in (paths.exports_branch(name), paths.held_branch(name))}
    return builder.plan(learned, waiting, frozenset(untouched))


_NOTHING = Learned(changes={}, refused=(), told=(), rejected=frozenset())


class _Builder:
    """Makes proposals one after the other, each on what was merged before it."""

    def __init__(self, main: Ground, standing: Mapping[str, BlobId], merges: MergeRule, known: Known) -> None:
        self.main = main
        self.base = main
        self.standing = standing
        self._desired = main
        self._merges = merges
        self._memo = known.memo
        self._proposals: list[Proposal] = []
        self._merged: list[str] = []
        self._changes: dict[str, bytes | None] = {}
        self._problems: dict[str, tuple[Problem, ...]] = {}

    def add(
        self,
        part: Part,
        *,
        also: Only | None = None,
        strays: Collection[str] = (),
        notes: Iterable[str] = (),
        refused: Iterable[tuple[str, Refused]] = (),
    ) -> bool:
        """Render a part on the base. Returns whether the base now has it; what changes nothing is no proposal."""
        after = step(self.base, part.facts, self._memo, also)
        changes, change = _changes(part, self.base, self.standing, after, strays)
        if not change:
            return True
        ways = difference(self.base.reach, after.reach)
        facts = fact_classes(part, self.base.tree, after.tree, ways)
        proposal = Proposal(
            branch=part.branch,
            classes=classes(part, facts),
            facts=part.facts,
            changes=changes,
            change=change,
            title=title(part, facts),
            body=body(part, facts, ways, after.reach, refused=refused, notes=notes),
        )
        problems = lint(
            after.tree, after.reach, {path: file for path, file in after.rendered.items() if path in changes}
        )
        if problems:
            self._problems[part.branch] = problems
        self._proposals.append(proposal)
        if not part.held:
            tree = self._desired.tree.with_facts(self._desired.tree.facts.with_changes(part.facts))
            reached = reach(tree, (self._desired.tree, self._desired.reach))
            self._desired = replace(self._desired, tree=tree, reach=reached)
        if problems or not self._merges(proposal):
            return False
        self._merge(proposal, after)
        return True

    def _merge(self, proposal: Proposal, after: Step) -> None:
        rendering = with_blobs(self.base.rendering, after.blobs)
        self.base = Ground(tree=after.tree, reach=after.reach, rendering=rendering)
        self.standing = rendering
        self._merged.append(proposal.branch)
        self._changes |= proposal.changes

    def plan(self, learned: Learned, waiting: Mapping[str, str], untouched: frozenset[str]) -> Plan:
        return Plan(
            proposals=tuple(self._proposals),
            merged=tuple(self._merged),
            waiting=waiting,
            untouched=untouched,
            changes=dict(sorted(self._changes.items())),
            tree=self.base.tree,
            before=self.main.reach,
            after=self._desired.reach,
            refused=learned.refused,
            told=learned.told,
            rejected=learned.rejected,
            problems=self._problems,
        )


def _changes(
    part: Part, base: Ground, standing: Mapping[str, BlobId], after: Step, strays: Collection[str]
) -> tuple[Changes, BlobChange]:
    """The files that a part changes, as content and as blobs; `strays` that nothing renders go."""
    changes: dict[str, bytes | None] = {}
    change: dict[str, tuple[BlobId | None, BlobId | None]] = {}
    for path, blob in after.blobs.items():
        if blob != standing.get(path):
            file = after.rendered[path]
            changes[path] = file.data if file else None
            change[path] = (standing.get(path), blob)
    for path in strays:
        if path not in after.blobs and path not in base.rendering:
            changes[path] = None
            change[path] = (standing[path], None)
    for path, fact in part.facts.items():
        old = base.tree.facts.get(path)
        changes[path] = None if fact is None else write(fact)
        change[path] = (None if old is None else blob_id(write(old)), _blob(changes[path]))
    return dict(sorted(changes.items())), dict(sorted(change.items()))


def _blob(data: bytes | None) -> BlobId | None:
    return None if data is None else blob_id(data)


def _repair(builder: _Builder, frozen: Container[str], known: Known) -> bool:
    """Propose what main's `clusters/` lacks to be the rendering of its tree; hosts that share an address move apart.

    Returns whether the following proposals can be made on it.
    """
    rendering, standing = builder.base.rendering, builder.standing
    if known.sound is not None and known.sound[0] is standing and known.sound[1] is builder.base:
        return True
    facts = {path: fact for path, fact in separated(builder.base.tree).items() if _namespace(path) not in frozen}
    if standing == rendering and not facts:
        known.sound = (standing, builder.base)
        return True
    differing = {
        path
        for path in standing.keys() | rendering.keys()
        if standing.get(path) != rendering.get(path) and _namespace(path) not in frozen
    }
    part = Part(branch=paths.RENDER_BRANCH, facts=facts)
    return not (differing or facts) or builder.add(part, also=only_of(differing), strays=differing)


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


def _namespace(path: str) -> str:
    """The namespace of the mesh that a rendered file or a Host document is about."""
    folder, _, last = path.rpartition("/")
    return last.removesuffix(".yaml") if folder.endswith("/gateway") else folder.rpartition("/")[2]


def _held(base: Ground, learned: Learned, memory: Memory) -> frozenset[str]:
    """The changed facts (paths) that the guard keeps back, and those that it kept back before."""
    if not learned.changes:
        return frozenset()
    facts = base.tree.facts.with_changes(learned.changes)
    after = base.tree.with_facts(facts)
    found = losses(difference(base.reach, reach(after, (base.tree, base.reach))))
    before = {
        path: fact
        for branch, said in memory.branches.items()
        if branch.startswith(paths.held_branch(""))
        for path, fact in said.items()
    }
    sticky = {path for path, fact in before.items() if path in learned.changes and learned.changes[path] == fact}
    many = too_many(found, base.reach, base.tree.mesh.spec.guard)
    return causes([loss for loss in found if loss.provider in many], learned.changes) | frozenset(sticky)


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


def _with_hosts(
    part: Part, base: Tree, remembered: Mapping[ServiceKey, Host], addresses: Addresses
) -> tuple[Part, tuple[ServiceKey, ...]]:
    keys = {fact.key for fact in part.facts.values() if isinstance(fact, Export)}
    if not keys:
        return part, ()
    after = base.with_facts(base.facts.with_changes(part.facts))
    changes, without = host_changes(after, keys, remembered, addresses)
    facts = {path: fact for path, fact in part.facts.items() if not (isinstance(fact, Export) and fact.key in without)}
    return replace(part, facts={**facts, **changes}), without


def _remembered_hosts(memory: Memory) -> dict[ServiceKey, Host]:
    return {fact.key: fact for facts in memory.branches.values() for fact in facts.values() if isinstance(fact, Host)}


def _slots(parts: Iterable[Part], memory: Memory) -> frozenset[str]:
    """The branches that may be open: all but export proposals beyond MAX_OPEN_EXPORTS; open ones come first."""
    branches = [part.branch for part in parts]
    exports = [branch for branch in branches if branch.startswith(paths.exports_branch(""))]
    exports.sort(key=lambda branch: (branch not in memory.branches, branch))
    return frozenset(branches) - frozenset(exports[MAX_OPEN_EXPORTS:])


__all__ = ["Known", "Memory", "MergeRule", "Plan", "Proposal", "Told", "frozen_namespaces", "plan"]
