"""What people ordered that can't be followed: each by name, with its remedy.

While one of these stands no step of a rollover is made; renewals go on. Knows orders, roots and names; nothing of what
was observed.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime

from syncer.protocol.errors import Rejected
from workers.documents.trust import MeshTrust, duration_of
from workers.pki.papers import Papers, first
from workers.pki.proposing import Refusal
from workers.pki.wanted import settings_of
from workers.tree import Tree


def order_faults(tree: Tree, trust: MeshTrust, now: datetime, papers: Papers) -> tuple[Refusal, ...]:
    """All that is wrong with `spec.trust` beside what stands in the tree."""
    return (
        *_goal(tree, trust, now, papers),
        *_subjects(tree, trust, papers),
        *_unknown_clusters(tree, trust),
        *_unknown_roots(tree, trust),
        *_contradictions(tree, trust),
    )


def _goal(tree: Tree, trust: MeshTrust, now: datetime, papers: Papers) -> Iterator[Refusal]:
    pki, name = tree.facts.pki, trust.root
    root = pki.roots.get(name)
    if root is None:
        known = ", ".join(sorted(pki.roots)) or "none"
        what = f"`spec.trust.root` is {name}, and pki/roots/ has {known}"
        yield Refusal(rule="UnknownRoot", what=what, remedy=f"`peermesh ca init-root {name}` makes it.")
        return
    if root.spec.imported:
        what = f"root {name} is imported: nobody signs under it here"
        yield Refusal(rule="ImportedRoot", what=what, remedy="Name a root of your own, or import its key as one.")
    if name in trust.compromised:
        what = f"root {name} is wanted and compromised"
        yield Refusal(
            rule="CompromisedGoal", what=what, remedy="Make another: `peermesh ca init-root`, then roll over."
        )
    try:
        faults = papers.root_faults(root.spec.certificate, now=now)
    except Rejected as error:
        faults = (error.what,)
    if faults:
        what = f"root {name} can't be one: {'; '.join(faults)}"
        yield Refusal(rule="BadRoot", what=what, remedy="Make another: `peermesh ca init-root`.")
    paper = first(papers, root.spec.certificate)
    arriving = any(one.spec.root != name for one in pki.intermediates.values()) or any(
        step.signer != name for step in pki.steps.values()
    )
    if paper is not None and arriving and not faults:
        lifetime = duration_of(trust.intermediates.lifetime)
        if paper.ends < now + lifetime:
            what = f"root {name} ends at {paper.ends:%Y-%m-%d}, before an intermediate of {lifetime.days} days would"
            yield Refusal(rule="RootEndsTooSoon", what=what, remedy="Roll over to a younger root.")


def _subjects(tree: Tree, trust: MeshTrust, papers: Papers) -> Iterator[Refusal]:
    """A handshake names roots by subject alone, so two of one subject couldn't be told apart."""
    pki = tree.facts.pki
    used = {trust.root, *(root for step in pki.steps.values() for root in step.bundle)}
    owners: dict[str, str] = {}
    for name in sorted(used & pki.roots.keys()):
        paper = first(papers, pki.roots[name].spec.certificate)
        if paper is not None and (other := owners.setdefault(paper.subject, name)) != name:
            what = f"roots {other} and {name} have one subject, so nobody can see which of them is trusted"
            yield Refusal(rule="SameSubject", what=what, remedy="Make one with a subject of its own.")


def _unknown_clusters(tree: Tree, trust: MeshTrust) -> Iterator[Refusal]:
    for field, names in (("canary", trust.canary), ("exclude", trust.exclude), ("rotate", trust.rotate)):
        if unknown := _without_settings(tree, names):
            what = f"`spec.trust.{field}` names {', '.join(unknown)}, whose certificates aren't managed here"
            remedy = "Correct the name, or look after that cluster: `peermesh ca manage`."
            yield Refusal(rule="UnknownCluster", what=what, remedy=remedy)


def _without_settings(tree: Tree, names: Iterable[str]) -> list[str]:
    return sorted(name for name in names if settings_of(tree, name) is None)


def _unknown_roots(tree: Tree, trust: MeshTrust) -> Iterator[Refusal]:
    if unknown := sorted(set(trust.compromised) - tree.facts.pki.roots.keys()):
        what = f"`spec.trust.compromised` names {', '.join(unknown)}, which pki/roots/ doesn't have"
        yield Refusal(rule="UnknownRoot", what=what, remedy="Correct the name.")


def _contradictions(tree: Tree, trust: MeshTrust) -> Iterator[Refusal]:
    if trust.distrust_first and not trust.compromised:
        what = "`spec.trust.distrustFirst` breaks calls, and no root is compromised"
        yield Refusal(rule="DistrustFirst", what=what, remedy="Name the root in `compromised`, or take it out.")
    managed = [name for name in tree.clusters if settings_of(tree, name) is not None]
    if managed and set(managed) <= set(trust.exclude):
        yield Refusal(rule="NobodyCounts", what="`spec.trust.exclude` names every cluster", remedy="Leave one.")
