"""The ground that proposals are made on: a tree with all that follows from it, kept from plan to plan.

Knows which services and gateways a change of documents touches, so that everything is computed for these only. Knows
nothing of observations or proposals.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from syncer.protocol.names import Namespace, ServiceKey, ServiceName
from workers.documents import paths
from workers.learn import LearnMemo
from workers.reach import Reach, reach
from workers.render import Memo, Only, Rendered, render
from workers.tree import BlobId, FactChanges, Files, Tree, blob_id


@dataclass(frozen=True, kw_only=True)
class Ground:
    """`rendering`: blob by path of everything that should stand under `clusters/`."""

    tree: Tree
    reach: Reach
    rendering: Mapping[str, BlobId]


@dataclass(kw_only=True)
class Known:
    """What a process keeps between plans, so that a plan costs what changed. Losing it costs time only."""

    ground: Ground | None = None
    standing: tuple[Files, Mapping[str, BlobId]] | None = None
    doubtful: frozenset[str] | None = None
    """Paths where what stands may not be the rendering, so that nothing is compared twice; None: any path."""
    memo: Memo = field(default_factory=Memo)
    learned: LearnMemo = field(default_factory=LearnMemo)

    def doubt(self, changed: Iterable[str]) -> None:
        """Something else stands at these paths, or is rendered to them."""
        if self.doubtful is not None:
            self.doubtful = self.doubtful.union(changed)


@dataclass(frozen=True, kw_only=True)
class Step:
    """A tree after some facts changed: its reach, and the files that were rendered again with their blobs."""

    tree: Tree
    reach: Reach
    rendered: Mapping[str, Rendered | None]
    blobs: Mapping[str, BlobId | None]


def ground_of(tree: Tree, known: Known) -> Ground:
    """The ground of main's tree, from the last one as far as that still holds; remembered for the next call."""
    old = known.ground
    if old is None or old.tree.mesh != tree.mesh or old.tree.clusters != tree.clusters:
        reached = reach(tree)
        rendering = with_blobs({}, blobs_of(render(tree, reached, None, known.memo)))
        known.doubtful = None
    elif old.tree.facts == tree.facts:
        return old
    else:
        reached = reach(tree, (old.tree, old.reach))
        only = touched(old, tree, reached)
        blobs = blobs_of(render(tree, reached, only, known.memo))
        rendering = with_blobs(old.rendering, blobs)
        known.doubt(blobs)
    known.ground = Ground(tree=tree, reach=reached, rendering=rendering)
    return known.ground


def standing(files: Files, known: Known) -> Mapping[str, BlobId]:
    """What stands under `clusters/` of what `render` decides, by path, from the last one as far as that still holds."""
    before = known.standing
    if before is not None and before[0] is files:
        return before[1]
    change = files.since(before[0], paths.RENDERED) if before else None
    if before is None or change is None:
        found = {path: blob for path, blob in files.under(paths.RENDERED) if paths.is_rendered(path)}
        known.doubtful = None
    else:
        found = with_blobs(before[1], {path: new for path, (_, new) in change.items() if paths.is_rendered(path)})
        known.doubt(change)
    known.standing = (files, found)
    return found


def differing(standing: Mapping[str, BlobId], rendering: Mapping[str, BlobId], known: Known) -> frozenset[str]:
    """Where what stands isn't the rendering: both those of main, of which `known` says what may differ."""
    doubtful = standing.keys() | rendering.keys() if known.doubtful is None else known.doubtful
    known.doubtful = frozenset(path for path in doubtful if standing.get(path) != rendering.get(path))
    return known.doubtful


def step(ground: Ground, facts: FactChanges, memo: Memo, also: Only | None = None) -> Step:
    """The ground's tree after `facts` change; `also` is rendered again, too."""
    tree = ground.tree.with_facts(ground.tree.facts.with_changes(facts))
    reached = reach(tree, (ground.tree, ground.reach))
    only = touched(ground, tree, reached)
    if also is not None:
        only |= also
    rendered = render(tree, reached, only, memo)
    return Step(tree=tree, reach=reached, rendered=rendered, blobs=blobs_of(rendered))


def touched(ground: Ground, tree: Tree, reached: Reach) -> Only:
    """What must be rendered again: services whose reach differs, gateways of clusters whose facts do, and all trust if
    anything of it does: a root, or a CRL, is in every cluster's file.
    """
    old = ground.reach
    services = {
        host.key
        for name in old.keys() | reached.keys()
        if old.get(name) is not reached.get(name)
        for host in (old.get(name), reached.get(name))
        if host is not None
    }
    was, will = ground.tree.facts.clusters, tree.facts.clusters
    gateways = () if was is will else (name for name in was.keys() | will.keys() if was.get(name) != will.get(name))
    trusting = (
        () if tree.facts.pki is ground.tree.facts.pki or tree.facts.pki == ground.tree.facts.pki else tree.clusters
    )
    return Only(services=frozenset(services), gateways=frozenset(gateways), authorities=frozenset(trusting))


def only_of(rendered_paths: Iterable[str]) -> Only:
    """What must be rendered to know the content of these paths."""
    services, gateways, authorities = set(), set(), set()
    for path in rendered_paths:
        match path.split("/"):
            case ["clusters", _, "imports", namespace, file]:
                services.add(ServiceKey(Namespace(namespace), ServiceName(paths.name_in(file))))
            case ["clusters", cluster, "gateway", _]:
                gateways.add(cluster)
            case ["clusters", cluster, "ca", _]:
                authorities.add(cluster)
    return Only(services=frozenset(services), gateways=frozenset(gateways), authorities=frozenset(authorities))


def with_blobs(old: Mapping[str, BlobId], changes: Mapping[str, BlobId | None]) -> dict[str, BlobId]:
    """Blobs by path after some changed (None: gone)."""
    blobs = dict(old)
    for path, blob in changes.items():
        if blob is None:
            blobs.pop(path, None)
        else:
            blobs[path] = blob
    return blobs


def blobs_of(rendered: Mapping[str, Rendered | None]) -> dict[str, BlobId | None]:
    """Blob by path; equal contents are one object, so each is hashed once."""
    ids: dict[int, BlobId] = {}
    found: dict[str, BlobId | None] = {}
    for path, file in rendered.items():
        if file is None:
            found[path] = None
            continue
        known = ids.get(id(file.data))
        if known is None:
            known = ids[id(file.data)] = blob_id(file.data)
        found[path] = known
    return found
