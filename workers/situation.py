"""The situation: everything that a flush decides on, read once.

Main's tree, the newest observations that keys on main verify, what the repository remembers, and the forge that main
names. Knows documents and signatures. Decides nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from syncer.protocol.errors import HumanNeeded, Rejected
from syncer.protocol.observation import Observation, unpack
from syncer.protocol.request import SIGN_REQUEST_PURPOSE, SignRequest
from syncer.protocol.request import unpack as unpack_request
from syncer.protocol.signature import OBSERVATION, verify
from syncer.protocol.trust import ObservedTrust
from workers.branches import refused_by_closing
from workers.documents import paths
from workers.documents.kinds import Document
from workers.documents.reading import Invalid, read
from workers.documents.trust import Intermediate
from workers.ground import Known
from workers.guard import Gone
from workers.outside import BorderKeys, Branch, CommitId, Forge, Forges, Inbox, Kept, Remote, request_of
from workers.plan import Memory, Seen, frozen_namespaces
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
    trust: Seen | None = None
    """What was seen and handed in of the clusters' certificates; None: people leave them alone."""

    @property
    def border_keys(self) -> BorderKeys:
        """What the border may trust from now on."""
        clusters = self.tree.clusters
        keys = {name: cluster.spec.syncer.public_keys for name, cluster in clusters.items()}
        agents = {name: one.spec.trust.agent.public_keys for name, one in clusters.items() if one.spec.trust}
        return BorderKeys(mesh=self.tree.mesh.metadata.name, keys=keys, agents=agents)


def situation_of(remote: Remote, forges: Forges, inbox: Inbox, warm: Warm, gone: Gone | None = None) -> Situation:
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
    observations, distrusted = _observations(inbox.newest(), tree, warm)
    trust, doubts = seen_of_trust(tree, inbox, observations) if tree.mesh.spec.trust is not None else (None, {})
    return Situation(
        remote=remote,
        tree=tree,
        forge=forge,
        fingerprint=fingerprint,
        observations=observations,
        memory=memory_of(remote, warm.documents, closed=closed, distrusted=frozenset(distrusted), gone=gone),
        closed=closed,
        frozen=frozen_namespaces(tree, problems),
        troubles={**distrusted, **doubts, **{problem.path: str(problem) for problem in problems}},
        trust=trust,
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


def seen_of_trust(tree: Tree, inbox: Inbox, observations: Mapping[str, Observation]) -> tuple[Seen, dict[str, str]]:
    """What was seen and handed in of certificates, and why some of it isn't believed, by subject.

    A request counts if a key on main verifies it; of what the signer handed in only that it is a document: the plan
    holds it against the request on main.
    """
    observed = {name: said.trust for name, said in observations.items() if isinstance(said.trust, ObservedTrust)}
    requests: dict[str, SignRequest] = {}
    signed: dict[str, Intermediate] = {}
    doubts: dict[str, str] = {}
    for name, kept in inbox.requests().items():
        try:
            requests[name] = _request(tree, name, kept)
        except Rejected as error:
            doubts[request_of(name)] = str(error)
    for name, data in inbox.certificates().items():
        try:
            found = read(paths.intermediate_path(name), data)
            if isinstance(found, Intermediate):
                signed[name] = found
        except Rejected as error:
            doubts[f"{name}: certificate"] = str(error)
    seen = Seen(
        observed=observed,
        observed_at={name: observations[name].observed_at for name in observed},
        requests=requests,
        signed=signed,
        # A gate asks for what was seen since another one opened, so without this it would never open.
        since=inbox.lasting(),
    )
    return seen, doubts


def _request(tree: Tree, name: str, kept: Kept) -> SignRequest:
    """Raises Rejected."""
    cluster = tree.clusters.get(name)
    keys = cluster.spec.trust.agent.public_keys if cluster is not None and cluster.spec.trust else ()
    verify(keys, SIGN_REQUEST_PURPOSE, tree.mesh.metadata.name, name, kept.packed, kept.signature)
    return unpack_request(kept.packed)


def memory_of(
    remote: Remote,
    documents: Mapping[BlobId, Document],
    *,
    closed: frozenset[str] = frozenset(),
    distrusted: frozenset[str] = frozenset(),
    gone: Gone | None = None,
) -> Memory:
    """What a repository remembers beside main. `documents`: those that were read before, by blob.

    Of trust nothing is remembered that somebody else has changed: what is signed must come from its cluster.
    """
    branches = {
        name: _facts(branch, documents)
        for name, branch in remote.branches.items()
        if paths.is_ours(name) and name not in closed and not (branch.foreign and name.startswith(paths.TRUST_BRANCHES))
    }
    rejected = remote.rejected | remote.taken_back | refused_by_closing(remote, closed)
    return Memory(branches=branches, rejected=rejected, distrusted=distrusted, gone=gone or {})


def _facts(branch: Branch, documents: Mapping[BlobId, Document]) -> FactChanges:
    """The facts that a branch proposes; what can't be read there is left out (its pull request fails the check)."""
    facts: dict[str, object] = {}
    for path, (_, new) in branch.change.items():
        if not path.startswith(paths.ROBOTS) or paths.place(path) is None:
            continue
        if new is None:
            facts[path] = None
            continue
        try:
            facts[path] = documents.get(new) or read(path, branch.files.read(path))
        except Invalid:
            continue
    return facts  # type: ignore[return-value]
