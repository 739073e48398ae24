"""One cluster as a model: a Secret, istiods that mount it, workloads with a cached leaf and bundle, an agent, a syncer.

Behaves as live ones were measured to: an istiod refuses in silence, a changed byte of its bundle renews the leaf of
every proxy that follows live, and one that doesn't keeps what it has until its next renewal. Not every workload is ever
asked by the syncer. Knows nothing of rules.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import cache, lru_cache

from syncer.protocol.request import SignRequest
from syncer.protocol.trust import ObservedAgent, ObservedBundle, ObservedIssuer, ObservedProxy, ObservedTrust
from tests.pki.mesh_of_slips import key_of, root_slip
from tests.pki.slips import SLIPS, fingerprint
from workers.documents.trust import Intermediate
from workers.pki.wanted import wanted
from workers.tree import Tree

TICK = timedelta(minutes=5)
LIFETIME = timedelta(minutes=60)
"""Of workloads' certificates; renewed at half of it."""


@dataclass(frozen=True)
class Signer:
    """What leaves are issued with: one intermediate and what its chain leads to."""

    fingerprint: str
    accepted_by: frozenset[str]
    """Roots, each of which is enough to verify a leaf."""


@dataclass(frozen=True)
class Cacerts:
    """Content of the Secret."""

    bundle: frozenset[str]
    lever: int
    signer: Signer
    rotation: int

    @property
    def text(self) -> tuple[frozenset[str], int]:
        """What the bundle's bytes depend on."""
        return self.bundle, self.lever


@dataclass
class Istiod:
    """One replica, and when it mounts what changed: at most `lag` ticks later. `shows`: it publishes to a namespace."""

    cacerts: Cacerts
    lag: int
    shows: bool = True
    due: datetime | None = None

    def take(self, new: Cacerts, *, multiroot: bool) -> None:
        """Follow the mounted files, or refuse them in silence."""
        changes = new.text != self.cacerts.text
        if not new.signer.accepted_by & new.bundle or (changes and not multiroot):
            return
        if new.bundle & self.cacerts.bundle:
            self.cacerts = new


@dataclass
class Workload:
    """A proxy. `of`: the replica that it is connected to; `asked`: the syncer's sample may hit it."""

    name: str
    live: bool
    of: int
    asked: bool
    cacerts: Cacerts
    started: datetime
    renews: datetime
    seen: datetime | None = None

    def accepts(self, other: Workload) -> bool:
        """Whether it lets the other in, or lets itself be served by it."""
        return bool(self.cacerts.bundle & other.cacerts.signer.accepted_by)

    def renew(self, istiod: Istiod, now: datetime) -> None:
        self.cacerts = istiod.cacerts
        self.renews = now + (LIFETIME / 2 if self.live else LIFETIME - TICK)


@dataclass
class Cluster:
    """The whole. `silent`: its syncer isn't heard; `cut_off`: nothing reaches it from Git either."""

    name: str
    chance: random.Random
    secret: Cacerts
    istiods: list[Istiod]
    workloads: list[Workload]
    delays: int
    """Ticks that applying may take at most."""
    now: datetime
    silent: bool = False
    cut_off: bool = False
    multiroot: bool = True
    keys: set[str] = field(default_factory=set)
    applied: tuple[Tree, datetime] | None = None
    asking: SignRequest | None = None

    # --- time passes

    def pass_time(self, main: Tree, now: datetime) -> None:
        """One tick: apply, mount, publish, renew."""
        self.now = now
        if not self.cut_off:
            self._apply(main)
        for istiod in self.istiods:
            if istiod.due is not None and istiod.due <= now:
                istiod.take(self.secret, multiroot=self.multiroot)
                istiod.due = None
        for workload in self.workloads:
            istiod = self.istiods[workload.of]
            follows = workload.live and istiod.cacerts.text != workload.cacerts.text
            if follows or workload.renews <= now:
                workload.renew(istiod, now)

    def _apply(self, main: Tree) -> None:
        """The sync unit brings what is on main, later; the agent writes it, if it is for its key."""
        if self.applied is None or self.applied[0].facts.pki is not main.facts.pki:
            if self.applied is None or self.applied[1] <= self.now:
                self._follow(self.applied[0] if self.applied else main)
                self.applied = (main, self._later(self.delays))
        elif self.applied[1] <= self.now:
            self._follow(main)
        self._ask(main)

    def _follow(self, tree: Tree) -> None:
        step, standing = tree.facts.pki.steps.get(self.name), tree.facts.pki.intermediates.get(self.name)
        if step is None:
            return
        bundle = frozenset(step.bundle)
        written = Cacerts(
            bundle=bundle, lever=self.secret.lever, signer=self.secret.signer, rotation=self.secret.rotation
        )
        if standing is not None and standing.spec.rotation >= self.secret.rotation:
            if SLIPS.certificates(standing.spec.certificate)[0].key not in self.keys:
                return
            written = cacerts_of(standing, bundle)
        if written != self.secret and (self.istiods or standing is not None):
            self.secret = written
            if not self.istiods:
                self._start()
            for istiod in self.istiods:
                istiod.due = self._later(istiod.lag)

    def _start(self) -> None:
        """A new cluster has workloads once it has a certificate."""
        self.istiods = [Istiod(self.secret, 1)]
        self.workloads = [
            Workload(
                name=f"shop/{name}", live=True, of=0, asked=name == "web", cacerts=self.secret, started=self.now,
                renews=self.now + LIFETIME / 2,
            )
            for name in ("web", "api")
        ]  # fmt: skip

    def _ask(self, main: Tree) -> None:
        """What the agent reads of what is rendered for it: which rotation it shall ask for."""
        want = wanted(main, self.name, self.now, papers=SLIPS)
        if want.reason is None or want.approved or (self.asking is not None and self.asking.rotation == want.rotation):
            return
        key = f"{key_of(self.name, want.rotation)} {self.chance.random()}"
        self.keys.add(key)
        self.asking = SignRequest(
            mesh="acme", cluster=self.name, sequence=0, requested_at=self.now, rotation=want.rotation,
            reason=want.reason, csr=key,
        )  # fmt: skip

    def _later(self, most: int) -> datetime:
        return self.now + self.chance.randint(0, most) * TICK

    def restart(self, workload: Workload) -> None:
        """Another pod in its place, which nobody has asked yet."""
        workload.started, workload.seen = self.now, None
        self._results.pop(workload.name, None)
        workload.renew(self.istiods[workload.of], self.now)

    # --- what is seen

    def observed(self) -> ObservedTrust:
        """What its syncer says: some of the workloads are asked each time, the others were before."""
        for workload in self.workloads:
            if workload.asked and self.chance.random() < 0.8:
                workload.seen = self.now
                self._results[workload.name] = _proxy(workload)
        published = {istiod.cacerts.bundle for istiod in self.istiods if istiod.shows}
        shown = sorted(tuple(sorted(map(_root, bundle))) for bundle in published)
        issuers = (
            ObservedIssuer(pod=f"istiod-{number}", issuer=istiod.cacerts.signer.fingerprint)
            for number, istiod in enumerate(self.istiods)
        )
        return ObservedTrust(
            bundles=tuple(ObservedBundle(roots=roots, namespaces=1, example="shop") for roots in shown),
            issuers=tuple(issuers),
            proxies=tuple(self._results.values()),
            sampled_at=self.now,
            agent=ObservedAgent(rotation=self.secret.rotation, roots=tuple(sorted(map(_root, self.secret.bundle)))),
            istio="1.31.0",
        )

    def __post_init__(self) -> None:
        self._results: dict[str, ObservedProxy] = {}


@lru_cache(maxsize=1000)
def _cacerts(certificate: str, chain: str, root: str, lever: int, rotation: int, bundle: frozenset[str]) -> Cacerts:
    vouching = {paper.issuer.removeprefix("CN=") for paper in SLIPS.certificates(chain)}
    signer = Signer(fingerprint=fingerprint(certificate), accepted_by=frozenset({root, *vouching}))
    return Cacerts(bundle=bundle, lever=lever, signer=signer, rotation=rotation)


def cacerts_of(standing: Intermediate, bundle: frozenset[str]) -> Cacerts:
    """What is written for an intermediate and a bundle."""
    spec = standing.spec
    return _cacerts(spec.certificate, spec.chain, spec.root, spec.lever, spec.rotation, bundle)


def _proxy(workload: Workload) -> ObservedProxy:
    return ObservedProxy(
        namespace="shop",
        pod=workload.name,
        issuer=workload.cacerts.signer.fingerprint,
        trusts=tuple(sorted(f"CN={root}" for root in workload.cacerts.bundle)),
        live=workload.live,
        started=workload.started,
        seen=workload.seen,
    )


@cache
def _root(name: str) -> str:
    return fingerprint(root_slip(name))
