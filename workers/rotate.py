"""Rotate: looks at certificates every few minutes, so that what is due is made although nobody says anything.

Reads main and the inbox, asks the machine of `workers.pki` what comes next, and marks; `flush` does the rest. An open
proposal that still fits is no reason for anything. Doubled, late or dead it harms nothing: what is due follows from
certificates, and is still due at the next turn.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from syncer.protocol.errors import Rejected
from syncer.protocol.observation import Observation, unpack
from syncer.protocol.revocation import read_crls
from syncer.protocol.signature import OBSERVATION, verify
from syncer.protocol.trust import ObservedTrust
from workers.documents.writing import write
from workers.figures import TrustFigures, since
from workers.outside import Inbox, Remote
from workers.pki.step import Next, Seen, Step, next_step
from workers.situation import seen_of_trust
from workers.tree import Tree, blob_id
from workers.trust import TrustStatus, trust_status

_WAITS: Final = frozenset({"TooEarly", "Restored", "RefusedByIstiod", "CrlMissing", "OldIstio"})
"""Refusals that are waits, or that other alarms tell."""
AT_REST: Final = frozenset({"steady", "excluded"})
"""Phases in which a cluster waits for nothing."""


@dataclass(frozen=True, kw_only=True)
class Turn:
    """What a turn came to: why a flush was asked for (empty: there was no reason), and what was found."""

    reasons: tuple[str, ...] = ()
    figures: TrustFigures = field(default_factory=TrustFigures)


class Rotation:
    """What a worker keeps between turns: since when something is so. Losing it costs that time."""

    def __init__(self, inbox: Inbox) -> None:
        self._inbox = inbox
        self._last = TrustFigures()

    def turn(self, remote: Remote, tree: Tree, now: datetime) -> Turn:
        """Look once, and mark `main` if something is due that no open proposal says. Raises Transient."""
        if tree.mesh.spec.trust is None:
            self._last = TrustFigures()
            return Turn()
        seen = seen_in(self._inbox, tree)
        found = next_step(tree, seen, now)
        reasons = tuple(reasons_of(remote, found))
        if reasons:
            self._inbox.mark("main")
        self._last = figures_of(tree, found, seen.observed, self._last, now)
        return Turn(reasons=reasons, figures=self._last)


def seen_in(inbox: Inbox, tree: Tree) -> Seen:
    """What was observed and handed in, as far as a key on main verifies it. Raises Transient."""
    observations: dict[str, Observation] = {}
    for name, kept in inbox.newest().items():
        keys = tree.clusters[name].spec.syncer.public_keys if name in tree.clusters else ()
        with suppress(Rejected):  # a flush says why
            verify(keys, OBSERVATION, tree.mesh.metadata.name, name, kept.packed, kept.signature)
            observations[name] = unpack(kept.packed)
    seen, _ = seen_of_trust(tree, inbox, observations)
    return seen


def reasons_of(remote: Remote, found: Next) -> list[str]:
    """Why somebody should flush: steps that no branch proposes as they are now; and while not every cluster is at rest,
    gates, because what opens them is observed and makes no news.
    """
    reasons = [step.branch for step in found.steps if not fits(remote, step)]
    moving = sorted(name for name, phase in found.phases.items() if phase.name not in AT_REST)
    return reasons or [f"{name} {found.phases[name].name}" for name in moving]


def fits(remote: Remote, step: Step) -> bool:
    """Whether an open branch says exactly what the step does."""
    branch = remote.branches.get(step.branch)
    return branch is not None and all(
        branch.files.blob(path) == (None if document is None else blob_id(write(document)))
        for path, document in step.facts.items()
    )


def figures_of(
    tree: Tree, found: Next, observed: Mapping[str, ObservedTrust], before: TrustFigures, now: datetime
) -> TrustFigures:
    """The numbers for alarms. `before`: those of the last turn, which know since when."""
    status = trust_status(tree, now, observed=observed, phases={}, waiting=found.waiting)
    managed = [cluster for cluster in status.clusters if cluster.managed]
    counted = [cluster for cluster in managed if not cluster.excluded]
    return TrustFigures(
        dates={cluster.name: cluster.dates for cluster in managed if cluster.dates},
        roots={root.name: root.ends for root in status.roots if root.trusted_by or root.name == _goal(tree)},
        crls=_crls(tree, status),
        agents={cluster.name: _level(cluster.observed) for cluster in counted if cluster.observed},
        unsigned=since((name for name, at in found.phases.items() if at.name == "approved"), before.unsigned, now),
        unmet=since((cluster.name for cluster in counted if cluster.unmet), before.unmet, now),
        refused=since(((name, rule) for name, rule in found.refused if rule not in _WAITS), before.refused, now),
    )


def _goal(tree: Tree) -> str:
    return tree.mesh.spec.trust.root if tree.mesh.spec.trust else ""


def _level(observed: ObservedTrust) -> int:
    agent = observed.agent
    if agent is None or not (agent.trouble or agent.restored):
        return 0
    return 2 if agent.restored else 1


def _crls(tree: Tree, status: TrustStatus) -> dict[str, datetime]:
    """When the first list of each root that is trusted, and of each intermediate, ends; where CRLs are used at all."""
    if tree.mesh.spec.trust is None or not tree.mesh.spec.trust.crls:
        return {}
    pki = tree.facts.pki
    texts = {root.name: pki.roots[root.name].spec.crl for root in status.roots if root.trusted_by}
    texts |= {name: standing.spec.crl for name, standing in pki.intermediates.items()}
    found = {}
    for name, text in texts.items():
        try:
            ends = [crl.next_update_utc for crl in read_crls(text, subject=name) if crl.next_update_utc]
        except Rejected:
            continue  # `check` says so
        if ends:
            found[name] = min(ends)
    return found
