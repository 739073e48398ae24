"""The situation: everything that a flush decides on, read once.

Main's tree, the newest observations that keys on main verify, what the repository remembers, and the forge that main
names. Knows documents and signatures. Decides nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from syncer.protocol.errors import HumanNeeded, Rejected
from syncer.protocol.observation import Observation, unpack
from syncer.protocol.signature import OBSERVATION, verify
from workers.branches import is_ours, refused_by_closing
from workers.documents import paths
from workers.documents.kinds import Document
from workers.documents.reading import Invalid, read
from workers.ground import Known
from workers.guard import Gone
from workers.outside import BorderKeys, Branch, CommitId, Forge, Forges, Kept, Remote
from workers.plan import Memory, frozen_namespaces
from workers.tree import BlobId, FactChanges, Tree, mesh_of, read_tree


@dataclass(kw_only=True)
class Warm:
    """What a worker keeps between flushes; losing it costs time only.

    `behind`: heads, by branch, that the forge doesn't merge before they are made again on the newest main.
    """

    known: Known = field(default_factory=Known)
    documents: dict[BlobId, Document] = field(default_factory=dict)
    unpacked: dict[str, tuple[bytes, Observation]] = field(default_factory=dict)
    behind: Mapping[str, CommitId] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Situation:
    """`forge`: the one that main names; `fingerprint`: of what is open there; `closed`: branches whose proposal people
    closed without merging; `frozen`: namespaces of which a fact can't be read, and why; `troubles`: what people must
    know of main and of clusters that aren't believed, by subject.
    """

    remote: Remote
    tree: Tree
    forge: Forge
    fingerprint: str
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


def situation_of(
    remote: Remote, forges: Forges, kept: Mapping[str, Kept], warm: Warm, gone: Gone | None = None
) -> Situation:
    """The situation after a fetch. `gone`: as `workers.plan.Memory` has it.

    Raises:
        HumanNeeded: main's documents can't be read, so that nothing can be planned on them; or the forge that they name
            doesn't let us in, so that nobody knows what people refused there.
        Transient: the forge is away.
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
    forge = forges(tree.mesh.spec.approval.forge)
    fingerprint, closed = forge.look(), forge.rejected(remote)
    observations, distrusted = _observations(kept, tree, warm)
    return Situation(
        remote=remote,
        tree=tree,
        forge=forge,
        fingerprint=fingerprint,
        observations=observations,
        memory=memory_of(remote, warm.documents, closed=closed, distrusted=frozenset(distrusted), gone=gone),
        closed=closed,
        frozen=frozen_namespaces(tree, problems),
        troubles={**distrusted, **{problem.path: str(problem) for problem in problems}},
    )


def seen_of(remote: Remote, forge: str) -> str:
    """What a sweep compares with what the last flush saw: the refs, and the fingerprint of the forge."""
    return f"{remote.fingerprint} {forge}"


def forge_of(remote: Remote, forges: Forges) -> Forge | None:
    """The forge that main names; None: its Mesh document can't be read, which a flush says. Raises HumanNeeded."""
    mesh = mesh_of(remote.files)
    return forges(mesh.spec.approval.forge) if mesh else None


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
    gone: Gone | None = None,
) -> Memory:
    """What a repository remembers beside main. `documents`: those that were read before, by blob."""
    branches = {
        name: _facts(branch, documents)
        for name, branch in remote.branches.items()
        if is_ours(name) and name not in closed
    }
    rejected = remote.rejected | remote.taken_back | refused_by_closing(remote, closed)
    return Memory(branches=branches, rejected=rejected, distrusted=distrusted, gone=gone or {})


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
