"""The situation: everything that a flush decides on, read once.

Main's tree, the newest observations that keys on main verify, and what the repository remembers. Knows documents and
signatures. Decides nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from syncer.protocol.errors import HumanNeeded, Rejected
from syncer.protocol.observation import Observation, unpack
from syncer.protocol.signature import OBSERVATION, verify
from workers.branches import is_ours
from workers.documents import paths
from workers.documents.kinds import Document
from workers.documents.reading import Invalid, read
from workers.ground import Known
from workers.outside import BorderKeys, Branch, Kept, Remote
from workers.plan import Memory, frozen_namespaces
from workers.tree import BlobId, FactChanges, Tree, read_tree


@dataclass(kw_only=True)
class Warm:
    """What a worker keeps between flushes; losing it costs time only."""

    known: Known = field(default_factory=Known)
    documents: dict[BlobId, Document] = field(default_factory=dict)
    unpacked: dict[str, tuple[bytes, Observation]] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Situation:
    """`closed`: branches whose proposal people closed without merging; `frozen`: namespaces of which a fact can't be
    read, and why; `troubles`: what people must know of main and of clusters that aren't believed, by subject.
    """

    remote: Remote
    tree: Tree
    observations: Mapping[str, Observation]
    memory: Memory
    closed: frozenset[str]
    frozen: Mapping[str, str]
    troubles: Mapping[str, str]

    @property
    def border_keys(self) -> BorderKeys:
        """What the border may trust from now on."""
        keys = {name: cluster.spec.syncer.public_keys for name, cluster in self.tree.clusters.items()}
        return BorderKeys(mesh=self.tree.mesh.metadata.name, keys=keys)


def situation_of(remote: Remote, closed: frozenset[str], kept: Mapping[str, Kept], warm: Warm) -> Situation:
    """The situation after a fetch.

    Raises:
        HumanNeeded: main's documents can't be read, so that nothing can be planned on them.
    """
    tree, problems = read_tree(remote.files, warm.documents)
    if tree is None:
        lines = "\n".join(str(problem) for problem in problems)
        raise HumanNeeded(
            "BadDocuments",
            f"main can't be planned on:\n{lines}",
            subject="mesh repository",
            remedy="Mend the files on main; `peermesh check --repo .` shows the same.",
        )
    observations, distrusted = _observations(kept, tree, warm)
    return Situation(
        remote=remote,
        tree=tree,
        observations=observations,
        memory=memory_of(remote, warm.documents, closed=closed, distrusted=frozenset(distrusted)),
        closed=closed,
        frozen=frozen_namespaces(tree, problems),
        troubles={**distrusted, **{problem.path: str(problem) for problem in problems}},
    )


def _observations(kept: Mapping[str, Kept], tree: Tree, warm: Warm) -> tuple[dict[str, Observation], dict[str, str]]:
    """The newest observations that keys on main verify, and why others aren't believed, by cluster."""
    mesh = tree.mesh.metadata.name
    believed: dict[str, Observation] = {}
    distrusted: dict[str, str] = {}
    for name, newest in kept.items():
        cluster = tree.clusters.get(name)
        if cluster is None:
            continue
        try:
            verify(cluster.spec.syncer.public_keys, OBSERVATION, mesh, name, newest.packed, newest.signature)
            known = warm.unpacked.get(name)
            if known is None or known[0] != newest.packed:
                known = warm.unpacked[name] = (newest.packed, unpack(newest.packed))
            believed[name] = known[1]
        except Rejected as error:
            distrusted[name] = str(error)
    return believed, distrusted


def memory_of(
    remote: Remote,
    documents: Mapping[BlobId, Document],
    *,
    closed: frozenset[str] = frozenset(),
    distrusted: frozenset[str] = frozenset(),
) -> Memory:
    """What a repository remembers beside main. `documents`: those that were read before, by blob."""
    branches = {
        name: _facts(branch, documents)
        for name, branch in remote.branches.items()
        if is_ours(name) and name not in closed
    }
    return Memory(branches=branches, rejected=remote.rejected | remote.taken_back, distrusted=distrusted)


def _facts(branch: Branch, documents: Mapping[BlobId, Document]) -> FactChanges:
    """The facts that a branch proposes; what can't be read there is left out (its pull request fails the check)."""
    facts: dict[str, object] = {}
    for path, (_, new) in branch.change.items():
        if not path.startswith(paths.FACTS) or paths.place(path) is None:
            continue
        if new is None:
            facts[path] = None
            continue
        try:
            facts[path] = documents.get(new) or read(path, branch.files.read(path))
        except Invalid:
            continue
    return facts  # type: ignore[return-value]
