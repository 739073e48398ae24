"""Moves of a rollover as proposals: the change of `pki/`, and what people read of it.

Knows documents and texts. Decides nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from msgspec import structs

from workers.documents import paths
from workers.documents.strict import Name
from workers.documents.trust import ClusterStep, Intermediate, PkiDocument, Trust, TrustSpec
from workers.pki.papers import Papers
from workers.pki.proposing import Step
from workers.pki.rollover import Move, distrusts_first
from workers.pki.state import State
from workers.tree import Tree

_BACK: Final = "To take it back, order the root that was before: `peermesh ca rollover back`."


def proposed(move: Move, tree: Tree, state: State, papers: Papers) -> Step:
    """The proposal of a move."""
    title, sentences = _TEXTS[move.kind](move, state, tree)
    return Step(
        branch=paths.ROLLOVER_BRANCH,
        classes=("rollover",),
        facts=_uncrossed(move, tree, papers) if move.kind == "uncross" else _moved(move, tree),
        title=title,
        sentences=(*sentences, *_unmanaged(tree)),
    )


def _moved(move: Move, tree: Tree) -> Mapping[str, PkiDocument | None]:
    trust = tree.facts.pki.trust
    step = ClusterStep(bundle=tuple(sorted(move.bundle)), signer=move.signer)
    clusters = {**(trust.spec.clusters if trust else {}), move.cluster: step}
    metadata = trust.metadata if trust else Name(name=tree.mesh.metadata.name)
    return {paths.TRUST: Trust(metadata=metadata, spec=TrustSpec(clusters=dict(sorted(clusters.items()))))}


def _uncrossed(move: Move, tree: Tree, papers: Papers) -> Mapping[str, PkiDocument | None]:
    standing = tree.facts.pki.intermediates[move.cluster]
    return {paths.intermediate_path(move.cluster): uncrossed(standing, tree, papers)}


def uncrossed(standing: Intermediate, tree: Tree, papers: Papers) -> Intermediate:
    """The intermediate without certificates for the keys of roots in its chain."""
    roots = tree.facts.pki.roots.values()
    keys = {paper.key for root in roots for paper in papers.certificates(root.spec.certificate)}
    chain = "".join(paper.text for paper in papers.certificates(standing.spec.chain) if paper.key not in keys)
    return structs.replace(standing, spec=structs.replace(standing.spec, chain=chain))


_Texts = tuple[str, tuple[str, ...]]


def _enter(move: Move, _state: State, _tree: Tree) -> _Texts:
    name, roots = move.cluster, _listed(move)
    return f"Let {name} join, trusting {roots}", (
        f"{name} shall trust {roots}, and sign under root {move.signer}.",
        "Why now: its Cluster file has a `spec.trust`, and it has no step yet.",
        "Nothing is signed by this: its request comes next, and needs an approval of its own.",
        f"To take it back, remove `spec.trust` from {paths.cluster_path(name)}.",
    )


def _trust(move: Move, state: State, tree: Tree) -> _Texts:
    name = move.cluster
    new = ", ".join(sorted(move.bundle - _bundle(move, tree)))
    return f"Trust root {new} in {name}, too", (
        f"{name} trusts {_listed(move)} then. It goes on signing as before.",
        f"Why now: people want root {state.trust.root}, and everybody must trust it before anybody signs under it.",
        "All its workloads that follow roots live get new certificates at once, which is a stampede of a few seconds.",
        _BACK,
    )


def _sign(move: Move, state: State, _tree: Tree) -> _Texts:
    name = move.cluster
    gate = f"every cluster that counts was seen to trust root {move.signer}"
    if distrusts_first(state):
        gate = "nobody waits for anybody, as `distrustFirst` says"
    elif not next(member.is_live for member in state.members if member.name == name):
        gate = "nothing of it is valid, so it loses nobody; its certificate comes when the others trust that root"
    return f"Let {name} sign under root {move.signer}", (
        f"{name} shall get its next intermediate under root {move.signer}.",
        f"Why now: {gate}.",
        "Nothing is signed by this: its request comes next, and needs an approval of its own.",
        _BACK,
    )


def _distrust(move: Move, state: State, tree: Tree) -> _Texts:
    name = move.cluster
    gone = ", ".join(sorted(_bundle(move, tree) - move.bundle))
    forced = distrusts_first(state)
    why = (
        f"root {gone} is compromised, and people want it gone first: **calls from clusters still under it fail**"
        if forced
        else f"nothing of any cluster that counts was seen under root {gone} any more"
    )
    return f"Distrust root {gone} in {name}", (
        f"{name} trusts {_listed(move)} alone then.",
        f"Why now: {why}.",
        f"Connections that stand go on until they close; restart or drain workloads if root {gone} was compromised.",
        _BACK,
    )


def _uncross(move: Move, state: State, _tree: Tree) -> _Texts:
    name = move.cluster
    return f"Take the cross certificate out of the chain of {name}", (
        f"The chain of {name} leads to root {state.trust.root} alone then. Nothing is signed or renewed by it.",
        "Why now: no cluster that counts trusts the root before any more, so nobody needs that way.",
        "To take it back, revert the merge.",
    )


_TEXTS: Final = {
    "enter": _enter, "trust": _trust, "sign": _sign, "distrust": _distrust, "uncross": _uncross
}  # fmt: skip


def _bundle(move: Move, tree: Tree) -> frozenset[str]:
    step = tree.facts.pki.steps.get(move.cluster)
    return frozenset(step.bundle) if step else frozenset()


def _listed(move: Move) -> str:
    names = sorted(move.bundle)
    return f"root {names[0]}" if len(names) == 1 else f"roots {' and '.join(names)}"


def _unmanaged(tree: Tree) -> tuple[str, ...]:
    """Clusters that nobody waits for because they aren't managed."""
    names = [name for name, cluster in tree.clusters.items() if cluster.spec.trust is None]
    if not names:
        return ()
    return (f"Not managed here, so not waited for: {', '.join(sorted(names))}.",)
