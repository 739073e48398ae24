"""The mesh repository while a scenario is played: main, open proposals, what people refused, what clusters last said.

Plans on it as `flush` does and keeps what `flush` would leave there; what people do is one function each. Values only.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime

from syncer.protocol.observation import Observation
from syncer.protocol.request import SignRequest
from syncer.protocol.trust import ObservedTrust
from tests.scenarios.scenario import START, Deed, Step, key_of
from workers.documents import paths
from workers.documents.reading import read
from workers.ground import Known
from workers.plan import Memory, Plan, Proposal, Seen, frozen_namespaces, plan
from workers.reach import reach
from workers.render import render
from workers.series import all_but_held
from workers.tree import BlobChange, Changes, FilesInMemory, RejectedFacts, Tree, apply, read_tree


@dataclass(frozen=True, kw_only=True)
class World:
    """`undo`: by branch that was merged, how main was before and what the merge changed."""

    main: FilesInMemory
    open: Mapping[str, Proposal] = field(default_factory=dict)
    undo: Mapping[str, tuple[Changes, BlobChange]] = field(default_factory=dict)
    rejected: RejectedFacts = frozenset()
    observations: Mapping[str, Observation] = field(default_factory=dict)
    requests: Mapping[str, SignRequest] = field(default_factory=dict)
    signed: Mapping[str, bytes] = field(default_factory=dict)
    now: datetime = START

    @property
    def mergeable(self) -> tuple[str, ...]:
        """Open branches that aren't held, in the order of the plan."""
        return tuple(branch for branch, proposal in self.open.items() if "held" not in proposal.classes)


def beginning(step: Step) -> World:
    """Main as it is given; `clusters/` is its rendering, unless the folder has one."""
    files = FilesInMemory(step.committed)
    tree, _ = read_tree(files)
    assert tree is not None, step
    heard = {"observations": step.observations, "requests": step.requests, "signed": step.signed, "now": step.now}
    if any(files.under("clusters/")):
        return World(main=files, **heard)  # type: ignore[arg-type]
    rendered = {path: file.data if file else None for path, file in render(tree, reach(tree)).items()}
    return World(main=FilesInMemory(apply(files.content, rendered)), **heard)  # type: ignore[arg-type]


def following(before: World, settled: World, step: Step) -> World:
    """The world at the beginning of a later step, from that of the step before: as it was proposed, and settled."""
    world = settled
    if step.meanwhile is not None:
        world = before
        for deed in step.meanwhile:
            world = _done(world, deed)
    main = FilesInMemory(apply(world.main.content, step.committed))
    return replace(
        world,
        main=main,
        observations={**world.observations, **step.observations},
        requests={**world.requests, **step.requests},
        signed={**world.signed, **step.signed},
        now=step.now,
    )


def planned(world: World, *, everything: bool = False) -> Plan:
    """The plan; with `everything` all but the held merges in it, else what `mesh.yaml` calls automatic."""
    tree, problems = read_tree(world.main)
    assert tree is not None, problems

    def merges(proposal: Proposal) -> bool:
        return all_but_held(proposal) if everything else _automatic(tree, proposal)

    believed = {
        name: said
        for name, said in world.observations.items()
        if key_of(name).public in tree.clusters[name].spec.syncer.public_keys
    }
    memory = Memory(
        branches={branch: proposal.facts for branch, proposal in world.open.items()},
        rejected=world.rejected,
        distrusted=frozenset(world.observations.keys() - believed.keys()),
    )
    return plan(
        tree,
        world.main,
        believed,
        memory,
        merges=merges,
        known=Known(),
        frozen=frozen_namespaces(tree, problems),
        trust=_seen(world, believed) if tree.mesh.spec.trust is not None else None,
        now=world.now,
    )


def _seen(world: World, believed: Mapping[str, Observation]) -> Seen:
    observed = {name: said.trust for name, said in believed.items() if isinstance(said.trust, ObservedTrust)}
    signed = {name: read(paths.intermediate_path(name), data) for name, data in world.signed.items()}
    return Seen(
        observed=observed,
        observed_at={name: believed[name].observed_at for name in observed},
        requests=world.requests,
        signed=signed,  # type: ignore[arg-type]
    )


def _automatic(tree: Tree, proposal: Proposal) -> bool:
    return frozenset(tree.mesh.spec.approval.automatic).issuperset(proposal.classes)


def looked(world: World, *, everything: bool = False) -> World:
    """What `flush` leaves: what merges by itself on main, the other proposals open."""
    made = planned(world, everything=everything)
    main = FilesInMemory(apply(world.main.content, made.changes))
    standing = dict(world.open) if "*" in made.waiting else {}
    proposals = {proposal.branch: proposal for proposal in made.proposals if proposal.branch not in made.merged}
    rejected = frozenset((path, blob) for path, blob in world.rejected if main.blob(path) != blob)
    return replace(world, main=main, open=standing | proposals, rejected=rejected)


def merged(world: World, branch: str) -> World:
    """A person merged a proposal, and the worker has looked again."""
    proposal = world.open[branch]
    before = {path: world.main.content.get(path) for path in proposal.changes}
    main = FilesInMemory(apply(world.main.content, proposal.changes))
    undo = {**world.undo, branch: (before, proposal.change)}
    return looked(replace(world, main=main, open=_without(world.open, branch), undo=undo))


def settled(world: World) -> World:
    """Everything merged that isn't held, the first proposal first."""
    while world.mergeable:
        world = merged(world, world.mergeable[0])
    return world


def _done(world: World, deed: Deed) -> World:
    match deed.verb:
        case "merged":
            return merged(world, deed.what)
        case "rejected":
            refused = world.rejected | _refused(world.open[deed.what].change)
            return looked(replace(world, open=_without(world.open, deed.what), rejected=refused))
        case "reverted":
            before, change = world.undo[deed.what]
            main = FilesInMemory(apply(world.main.content, before))
            return looked(replace(world, main=main, rejected=world.rejected | _refused(change)))
        case "reopened":
            kept = frozenset((path, blob) for path, blob in world.rejected if path != deed.what)
            return looked(replace(world, rejected=kept))
        case "lost":
            return replace(world, observations={}, requests={}, signed={})
    raise AssertionError(deed)


def _without(proposals: Mapping[str, Proposal], branch: str) -> dict[str, Proposal]:
    return {name: proposal for name, proposal in proposals.items() if name != branch}


def _refused(change: BlobChange) -> RejectedFacts:
    return frozenset((path, new) for path, (_, new) in change.items() if paths.is_refusable(path))
