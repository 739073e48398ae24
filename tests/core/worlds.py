"""A main branch made of values: its tree, its files, and plans on it."""

from __future__ import annotations

from collections.abc import Mapping

from syncer.protocol.observation import Observation
from tests import meshes
from workers.ground import Known
from workers.plan import Memory, MergeRule, Plan, plan
from workers.reach import reach
from workers.render import render
from workers.tree import FilesInMemory, Tree, apply


def files_of(tree: Tree) -> FilesInMemory:
    """Documents and their rendering, as main should be."""
    rendered = render(tree, reach(tree))
    return FilesInMemory(
        apply(meshes.files_of(tree), {path: file.data if file else None for path, file in rendered.items()})
    )


def nothing_merges(_: object) -> bool:
    return False


def planned(
    tree: Tree,
    *observations: Observation,
    files: FilesInMemory | None = None,
    memory: Memory | None = None,
    merges: MergeRule = nothing_merges,
    known: Known | None = None,
    frozen: Mapping[str, str] | None = None,
) -> Plan:
    """The plan of a tree (on its own files) and what clusters say."""
    return plan(
        tree,
        files or files_of(tree),
        {observation.cluster: observation for observation in observations},
        memory or Memory(),
        merges=merges,
        known=known,
        frozen=frozen,
    )


def classes_of(plan: Plan) -> dict[str, tuple[str, ...]]:
    """The classes of every proposal, by branch, in order."""
    return {proposal.branch: proposal.classes for proposal in plan.proposals}
