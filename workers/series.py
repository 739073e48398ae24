"""A series of proposals, each made on what was merged before it.

Knows how changed facts become files, a class and a text. Knows nothing of observations: which facts change, and in
which order, is decided by `plan`.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Container, Iterable, Mapping
from dataclasses import replace

from syncer.protocol.offer import Refused
from workers.difference import difference
from workers.documents import paths
from workers.documents.reading import Invalid, read
from workers.documents.writing import write
from workers.ground import Ground, Known, Step, step, with_blobs
from workers.proposal import Part, Proposal, body, classes, fact_classes, title
from workers.reach import reach
from workers.render import Only
from workers.render.lint import lint
from workers.tree import BlobChange, BlobId, Changes, FactChanges, Problem, blob_id

MergeRule = Callable[[Proposal], bool]
"""Whether the plan itself merges a proposal, so that the following ones are rendered on it."""


def all_but_held(proposal: Proposal) -> bool:
    """The rule by which everything merges that people don't have to look at twice."""
    return "held" not in proposal.classes


class Series:
    """`base`: the ground of the next proposal; `standing`: what stands under `clusters/` there."""

    def __init__(
        self,
        main: Ground,
        standing: Mapping[str, BlobId],
        merges: MergeRule,
        known: Known,
        frozen: Container[str] = (),
    ) -> None:
        """`frozen`: namespaces of which no file may change."""
        self.base = main
        self.frozen = frozen
        self.standing = standing
        self._desired = main
        self._merges = merges
        self._memo = known.memo
        self.proposals: list[Proposal] = []
        self.merged: list[str] = []
        self.changes: dict[str, bytes | None] = {}
        self.problems: dict[str, tuple[Problem, ...]] = {}

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
        changes, change = self._changed(part, after, strays)
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
        problems = _unreadable(part, changes) + lint(
            after.tree, after.reach, {path: file for path, file in after.rendered.items() if path in changes}
        )
        if problems:
            self.problems[part.branch] = problems
        self.proposals.append(proposal)
        if not part.held:
            self._desired = self._with(part.facts, after)
        if problems or not self._merges(proposal):
            return False
        self._merge(proposal, after)
        return True

    def _with(self, facts: FactChanges, after: Step) -> Ground:
        """What is desired, with these facts, too; often the very step that was made on the base."""
        if self._desired.tree is self.base.tree:
            return replace(self._desired, tree=after.tree, reach=after.reach)
        tree = self._desired.tree.with_facts(self._desired.tree.facts.with_changes(facts))
        return replace(self._desired, tree=tree, reach=reach(tree, (self._desired.tree, self._desired.reach)))

    def _merge(self, proposal: Proposal, after: Step) -> None:
        rendering = with_blobs(self.base.rendering, after.blobs)
        self.base = Ground(tree=after.tree, reach=after.reach, rendering=rendering)
        changed = {path: new for path, (_, new) in proposal.change.items() if paths.is_rendered(path)}
        self.standing = with_blobs(self.standing, changed)
        self.merged.append(proposal.branch)
        self.changes |= proposal.changes

    def _changed(self, part: Part, after: Step, strays: Collection[str]) -> tuple[Changes, BlobChange]:
        """The files that a part changes, as content and as blobs; `strays` that nothing renders go."""
        changes: dict[str, bytes | None] = {}
        change: dict[str, tuple[BlobId | None, BlobId | None]] = {}
        for path, blob in after.blobs.items():
            old = self.standing.get(path)
            if blob != old and paths.namespace_of(path) not in self.frozen:
                file = after.rendered[path]
                changes[path] = file.data if file else None
                change[path] = (old, blob)
        for path in strays:
            if path not in after.blobs and path not in self.base.rendering:
                changes[path] = None
                change[path] = (self.standing[path], None)
        for path, fact in part.facts.items():
            committed = self.base.tree.facts.get(path)
            changes[path] = None if fact is None else write(fact)
            change[path] = (None if committed is None else blob_id(write(committed)), _blob(changes[path]))
        return dict(sorted(changes.items())), dict(sorted(change.items()))

    @property
    def desired(self) -> Ground:
        """The tree with everything proposed but the held, and its reach; not what it renders to."""
        return self._desired


def _unreadable(part: Part, changes: Changes) -> tuple[Problem, ...]:
    """Facts that the next reader would refuse: they must never get to main, where they would stop all planning."""
    problems: list[Problem] = []
    for path in part.facts:
        data = changes[path]
        try:
            if data is not None:
                read(path, data)
        except Invalid as error:
            problems += error.problems
    return tuple(problems)


def _blob(data: bytes | None) -> BlobId | None:
    return None if data is None else blob_id(data)
