"""What people ordered that can't be followed: each by name, with its remedy.

While one of these stands no step of a rollover is made; renewals go on. Knows orders, roots and names; nothing of what
was observed.
"""

from __future__ import annotations

import itertools
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
    # Who trusts it already is on the way, or goes back to it: to be stopped there would be worse.
    arriving = pki.steps and not any(name in step.bundle for step in pki.steps.values())
    if paper is not None and arriving and not faults:
        lifetime = duration_of(trust.intermediates.lifetime)
        if paper.ends < now + lifetime:
            what = f"root {name} ends at {paper.ends:%Y-%m-%d}, before an intermediate of {lifetime.days} days would"
            yield Refusal(rule="RootEndsTooSoon", what=what, remedy="Roll over to a younger root.")


def _subjects(tree: Tree, trust: MeshTrust, papers: Papers) -> Iterator[Refusal]:
    """A handshake names roots by subject alone, so two of one subject couldn't be told apart. Two imported ones need
    not be, as long as no cluster has both: no step waits for one of them to be trusted.
    """
    pki = tree.facts.pki
    bundles = [frozenset(step.bundle) for step in pki.steps.values()]
    used = sorted(frozenset({trust.root}).union(*bundles) & pki.roots.keys())
    papers_of = {name: first(papers, pki.roots[name].spec.certificate) for name in used}
    for one, other in itertools.combinations(used, 2):
        mine, theirs = papers_of[one], papers_of[other]
        if mine is None or theirs is None or mine.subject != theirs.subject:
            continue
        if any({one, other} <= bundle for bundle in bundles) or not (
            pki.roots[one].spec.imported and pki.roots[other].spec.imported
        ):
            what = f"roots {one} and {other} have one subject, so nobody can see which of them is trusted"
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
