"""Whether istiod follows `cacerts`: what its replicas sign with and publish, held against what stands there.

Pure. istiod refuses without a word and goes on with what it had, but reads the files afresh at its next start: so what
it isn't seen to take must not stay.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum
from typing import Final

from syncer.agent.content import Standing
from syncer.agent.kept import Change
from syncer.protocol.cacerts import CRL, ROOTS
from syncer.protocol.certificates import fingerprint, read_foreign_certificates
from syncer.protocol.errors import Rejected
from syncer.protocol.trust import ObservedIssuer


@dataclass(frozen=True, kw_only=True)
class Shown:
    """What one replica shows. `own_root`: it signs with a published root that isn't in the chain that it shows.

    That is one that made its root itself and has read no `cacerts`: with one it shows `cert-chain.pem` behind its
    certificate (Istio 1.31, pilot/pkg/bootstrap/istio_ca.go).
    """

    issuer: ObservedIssuer
    own_root: bool = False


@dataclass(frozen=True, kw_only=True)
class Sight:
    """What istiod shows. `own_root`: the replicas that sign with a root of their own, by name. `roots` and `crl`: the
    texts that its leader publishes; None: it publishes none.
    """

    istiods: tuple[ObservedIssuer, ...] = ()
    own_root: tuple[str, ...] = ()
    roots: str | None = None
    crl: str | None = None

    @property
    def answered(self) -> bool:
        """Whether any replica said what it signs with."""
        return any(one.issuer for one in self.istiods)


class Outcome(Enum):
    """What became of a change."""

    TAKEN = "taken"
    OPEN = "open"
    REFUSED = "refused"


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """`why`: what speaks against it, a clause; empty when it was taken."""

    outcome: Outcome
    why: str = ""


def verdict(change: Change, standing: Standing, sight: Sight, now: datetime, patience: timedelta) -> Verdict:
    """What became of a change that stands in `cacerts`. `patience`: how long istiod may take, two kubelet periods.

    Where no istiod runs nobody refuses it, and where none has answered from the start nothing can be said.
    """
    late = now - change.since >= patience
    if not sight.istiods:
        return Verdict(outcome=Outcome.TAKEN) if late else Verdict(outcome=Outcome.OPEN, why="no istiod runs")
    why = _against(standing, sight, late=late)
    if not why:
        return Verdict(outcome=Outcome.TAKEN)
    if late and (sight.answered or not change.blind):
        return Verdict(outcome=Outcome.REFUSED, why=why)
    return Verdict(outcome=Outcome.OPEN, why=why)


def unread(standing: Standing, sight: Sight) -> str:
    """Which istiod goes on with a root that it made itself, whatever stands in `cacerts`, and what to do; empty: none.

    Only its next start makes it look there.
    """
    if not sight.own_root or standing.signer not in standing.chain:
        return ""
    pod, restart = sight.own_root[0], "kubectl -n istio-system rollout restart deployment/istiod"
    return f"Restart istiod ({restart}): {pod} made its root itself, and reads cacerts only when it starts."


def astray(standing: Standing, sight: Sight) -> str:
    """Which istiod signs with something else than `cacerts` says, or publishes other roots, though nothing is being
    changed, and what to do; empty: none. Replicas that don't answer say nothing.
    """
    if why := unread(standing, sight):
        return why
    wrong = _wrong(standing, sight)
    if wrong:
        return f"istiod {wrong[0]} signs with another certificate than the one in cacerts. {_LATE}"
    if sight.roots is not None and sight.answered and _set(sight.roots) != standing.roots:
        return f"istiod publishes other roots than those in cacerts. {_LATE}"
    return ""


_LATE: Final = "If it doesn't follow within minutes, restart istiod."


def _against(standing: Standing, sight: Sight, *, late: bool) -> str:
    """What speaks against its having been taken. Once it is late a silent replica beside one that took it is no reason,
    and neither are published roots that differ in their spelling only.
    """
    if wrong := _wrong(standing, sight):
        return f"istiod {wrong[0]} still signs with another certificate"
    silent = [one for one in sight.istiods if not one.issuer]
    if silent and not (late and sight.answered):
        return f"istiod {silent[0].pod} doesn't say what it signs with: {silent[0].error or 'no answer'}"
    roots = standing.content.text(ROOTS)
    if sight.roots is not None and sight.roots != roots and not (late and _set(sight.roots) == standing.roots):
        return "istiod still publishes other roots in istio-ca-root-cert"
    crl = standing.content.text(CRL)
    if crl and sight.crl is not None and sight.crl != crl:
        return "istiod still publishes other CRLs in istio-ca-crl"
    return ""


def _wrong(standing: Standing, sight: Sight) -> list[str]:
    expected = fingerprint(standing.signer) if standing.signer else ""
    return [one.pod for one in sight.istiods if one.issuer and one.issuer != expected]


def _set(text: str) -> frozenset[str]:
    try:
        return frozenset(map(fingerprint, read_foreign_certificates(text, subject=ROOTS)))
    except Rejected:
        return frozenset()
