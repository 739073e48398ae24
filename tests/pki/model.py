"""The model: clusters, Git's main, a signer, Redis that may be lost, and people, who move all by approved steps alone.

The only mover is `next_step`. After every tick `World.tick` holds the world against two sentences:

- Every two workloads of clusters that count, and that talked, still accept each other, both ways.
- Everything that stands on main as an intermediate answers a request that stood on main before it was signed.

A pair with a cluster that is excluded, or whose intermediate has expired, owes nothing; it does again once it shares
roots for good.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime, timedelta
from itertools import combinations_with_replacement
from typing import Any, Final

from syncer.protocol.trust import ObservedTrust
from tests.pki import mesh_of_slips as slips
from tests.pki.cluster_model import LIFETIME, TICK, Cacerts, Cluster, Istiod, Signer, Workload, cacerts_of
from tests.pki.slips import BEGIN, SLIPS, fingerprint
from workers.documents.trust import CertificateRequest, Intermediate, IntermediateSpec, PkiDocument
from workers.pki import approved
from workers.pki.step import Next, Seen, Step, next_step
from workers.tree import Tree

ROOTS: Final = ("a", "b", "c")
LIFE: Final = timedelta(hours=12)
"""Of intermediates: some become due in every history."""
NAMES: Final = ("east", "south", "west")
FIRST: Final = {name: slips.intermediate(name, 1, "a", key=slips.key_of(name, 1), life=LIFE) for name in NAMES}
EVERY_ROOT: Final = (
    *(slips.root(name, crossed_by=[other for other in ROOTS if other != name]) for name in ROOTS),
    slips.root("old", imported=True),
)


_WORKLOADS: Final = (("shop/web", 0, True), ("shop/api", 0, False), ("bank/web", 1, False), ("shop/db", 2, True))
"""Name, the replica that it is connected to, and whether it is ever asked.

Replica 0 leads and publishes to `shop`; another revision serves `bank` and publishes there; a second replica of the
first lags behind by what people let a gate soak, or by more: then none of its pods is new, so all were asked.
"""


Disturbance = tuple[float, Callable[["World"], None]]
"""How often in a tick, and what."""


class Broken(AssertionError):
    """One of the two sentences doesn't hold."""


class World:
    """One random history. `disturbances`: what may happen in a tick, each with its share; none: all goes well.

    `crossed`: some chains hold a cross certificate, which also hides what goes wrong.
    """

    def __init__(self, seed: int, disturbances: Iterable[Disturbance] = (), *, crossed: bool = True) -> None:
        self.chance = random.Random(seed)
        self.crossed = crossed
        self.disturbances = tuple(disturbances)
        self.faults = bool(self.disturbances)
        self.now = BEGIN + timedelta(hours=1)
        self.adopted = "south" if self.chance.random() < 0.25 else ""
        self.lag = self.chance.choice([0, 1, 2])
        canary = self.chance.choice([(), ("west",), ("south", "west")])
        self.main = self._begin(canary)
        self.clusters = {name: self._cluster(name) for name in NAMES}
        self.since: Mapping[str, datetime] = {}
        self.observed: dict[str, tuple[ObservedTrust, datetime]] = {}
        self.signed: dict[str, Intermediate] = {}
        self.journal: dict[tuple[str, int], Intermediate] = {}
        self.requested: dict[tuple[str, int], set[str]] = {}
        self.next = Next()
        self.owed = {pair for pair in combinations_with_replacement(sorted(self.clusters), 2) if self._share(*pair)}
        self.told: list[str] = []
        self.merged: list[str] = []

    def _begin(self, canary: tuple[str, ...]) -> Tree:
        steps = {name: ((["old"], "old") if name == self.adopted else (["a"], "a")) for name in NAMES}
        return slips.tree(
            *map(slips.cluster, NAMES),
            roots=EVERY_ROOT,
            intermediates=[FIRST[name] for name in NAMES if name != self.adopted],
            steps=steps,
            canary=canary,
            soak=f"{5 * self.lag}m",
            workload_lifetime="1h",
        )

    def _cluster(self, name: str) -> Cluster:
        chance = self.chance
        if name == self.adopted:
            authority = Signer(fingerprint=fingerprint(slips.root_slip("old")), accepted_by=frozenset({"old"}))
            cacerts = Cacerts(bundle=frozenset({"old"}), lever=0, signer=authority, rotation=0)
        else:
            cacerts = cacerts_of(FIRST[name], frozenset({"a"}))
        soak = self.lag
        slow = 12 if chance.random() < 0.3 else soak
        istiods = [
            Istiod(cacerts, 1),
            Istiod(cacerts, chance.choice([0, 1, 3, 12])),
            Istiod(cacerts, slow, shows=False),
        ]
        live = chance.choice([1.0, 1.0, 0.5, 0.0])
        workloads = [
            Workload(
                name=name, live=chance.random() < live, of=of, asked=asked, cacerts=cacerts, started=self.now,
                renews=self.now + chance.random() * LIFETIME / 2,
            )
            for name, of, asked in _WORKLOADS
        ]  # fmt: skip
        workloads[0].live = all(workload.live for workload in workloads if not workload.asked)
        return Cluster(
            name=name, chance=chance, secret=cacerts, istiods=istiods, workloads=workloads,
            delays=chance.choice([0, 1, 2]), now=self.now, keys={slips.key_of(name, 1)},
        )  # fmt: skip

    # --- one tick

    def tick(self) -> None:
        """Time passes, syncers speak, `flush` plans, people approve; and nothing may be broken."""
        self.now += TICK
        for share, disturb in self.disturbances:
            if self.chance.random() < share:
                disturb(self)
        for cluster in self.clusters.values():
            cluster.pass_time(self.main, self.now)
            if cluster.istiods and not cluster.silent:
                self.observed[cluster.name] = (cluster.observed(), self.now)
        self._hold("time passed")
        self.flush()
        for step in self.next.steps:
            if not self.faults or self.chance.random() < 0.7:
                self._merge(step)
        self._sign()

    def flush(self) -> None:
        """Plan, and remember since when what holds."""
        self.next = next_step(self.main, self._seen(), self.now, papers=SLIPS)
        self.since = {name: self.since.get(name, self.now) for name in self.next.conditions}

    def _seen(self) -> Seen:
        return Seen(
            observed={name: observed for name, (observed, _) in self.observed.items()},
            observed_at={name: at for name, (_, at) in self.observed.items()},
            requests={name: cluster.asking for name, cluster in self.clusters.items() if cluster.asking is not None},
            signed=dict(self.signed),
            since=self.since,
        )

    def _merge(self, step: Step) -> None:
        """A person approves."""
        for document in step.facts.values():
            self._hold_signature(document)
        self.told.append(f"{self.now:%H:%M} {step.title}")
        self.merged.append(step.title)
        self.main = self.main.with_facts(self.main.facts.with_changes(step.facts))
        self._hold(step.title)

    def _sign(self) -> None:
        """The signer signs what stands on main, once, and hands it in again and again."""
        for name, request in self.main.facts.pki.requests.items():
            key = (name, request.spec.rotation)
            standing = self.main.facts.pki.intermediates.get(name)
            if standing is not None and request.spec.rotation <= standing.spec.rotation:
                continue
            if key not in self.journal:
                self.journal[key] = self._issued(name, request)
            if not self.faults or self.chance.random() < 0.4:
                self.signed[name] = self.journal[key]

    def _issued(self, name: str, request: CertificateRequest) -> Intermediate:
        pki, spec = self.main.facts.pki, request.spec
        standing = pki.intermediates.get(name)
        before = standing.spec if standing else None
        trust = self.orders
        former = {before.root} if before else set[str]()
        beside = (former | set(pki.steps[name].bundle)) - {spec.root, *trust.compromised}
        crossed = sorted(beside & pki.roots[spec.root].spec.cross_signed.keys())
        use = crossed[0] if crossed and self.chance.random() < 0.5 and self.crossed else None
        return slips.intermediate(
            name, spec.rotation, spec.root, key=spec.key_fingerprint, crossed_by=use, begins=self.now, life=LIFE,
            lever=approved.lever(spec, before, pki.steps.get(name)),
        )  # fmt: skip

    # --- what must hold

    def _hold(self, after: str) -> None:
        excluded = {*self.orders.exclude, *(name for name in self.clusters if self._has_ended(name))}
        for pair in combinations_with_replacement(sorted(self.clusters), 2):
            if excluded & set(pair):
                if pair[0] != pair[1] or self._has_ended(pair[0]):
                    self.owed.discard(pair)
                continue
            if pair in self.owed:
                if not self._share(*pair):
                    self.told.append(f"{self.now:%H:%M} BROKEN {pair}")
                    raise Broken(f"{pair[0]} and {pair[1]} share no root after: {after}")
            elif self._share(*pair) and self._for_good(*pair):
                self.owed.add(pair)

    def _has_ended(self, name: str) -> bool:
        """Whether nothing of it is valid any more: what it has isn't newer than what stands on main."""
        standing = self.main.facts.pki.intermediates.get(name)
        return standing is not None and SLIPS.certificates(standing.spec.certificate)[0].ends <= self.now

    def _share(self, one: str, other: str) -> bool:
        return bool(self.clusters[one].workloads and self.clusters[other].workloads) and all(
            left.accepts(right) and right.accepts(left)
            for left in self.clusters[one].workloads
            for right in self.clusters[other].workloads
        )

    def _for_good(self, *pair: str) -> bool:
        """Whether they trust, and are to trust, everything that somebody signs under, or is about to."""
        pki = self.main.facts.pki
        used = {step.signer for step in pki.steps.values()} | {one.spec.root for one in pki.intermediates.values()}
        used |= {request.spec.root for request in pki.requests.values()}
        trusted = [workload.cacerts.bundle for name in pair for workload in self.clusters[name].workloads]
        return all(used <= bundle for bundle in (*trusted, *(frozenset(pki.steps[name].bundle) for name in pair)))

    def _hold_signature(self, document: PkiDocument | None) -> None:
        if isinstance(document, CertificateRequest):
            name, spec = document.metadata.name, document.spec
            standing = self.main.facts.pki.intermediates.get(name)
            if standing is not None and spec.rotation <= standing.spec.rotation:
                raise Broken(f"rotation {spec.rotation} of {name} is asked for again")
            last = self.main.facts.pki.requests.get(name)
            numbers = [one.spec.rotation for one in (standing, last) if one is not None]
            order = self.orders.rotate.get(name)
            if spec.rotation != max(max(numbers, default=0) + 1, order.rotation if order else 0):
                raise Broken(f"rotation {spec.rotation} of {name} isn't the next one")
            keys = self.requested.setdefault((name, spec.rotation), set())
            keys.add(spec.key_fingerprint)
            if len(keys) > 1:
                raise Broken(f"rotation {spec.rotation} of {name} is approved for two keys")
        if isinstance(document, Intermediate):
            self._hold_intermediate(document.metadata.name, document.spec)

    def _hold_intermediate(self, name: str, spec: IntermediateSpec) -> None:
        pki = self.main.facts.pki
        standing = pki.intermediates.get(name)
        if standing is not None and standing.spec.certificate == spec.certificate:
            return
        request = pki.requests.get(name)
        key = SLIPS.certificates(spec.certificate)[0].key
        if request is None or (request.spec.rotation, request.spec.key_fingerprint) != (spec.rotation, key):
            raise Broken(f"intermediate {spec.rotation} of {name} answers no request on main")
        if spec.root in self.orders.compromised:
            raise Broken(f"intermediate {spec.rotation} of {name} is under compromised root {spec.root}")

    # --- people

    @property
    def orders(self) -> Any:
        return self.main.mesh.spec.trust

    def join(self, name: str) -> None:
        """A cluster that has no certificate yet is to be managed."""
        self.told.append(f"{self.now:%H:%M} {name} joins")
        clusters = {**self.main.clusters, name: slips.cluster(name)}
        self.main = Tree(mesh=self.main.mesh, clusters=dict(sorted(clusters.items())), facts=self.main.facts)
        nothing = Cacerts(bundle=frozenset(), lever=0, signer=Signer("", frozenset()), rotation=0)
        self.clusters[name] = Cluster(
            name=name, chance=self.chance, secret=nothing, istiods=[], workloads=[], delays=1, now=self.now
        )

    def order(self, **orders: Any) -> None:
        """People change `spec.trust`."""
        self.told.append(f"{self.now:%H:%M} ordered: {orders}")
        self.main = slips.ordered(self.main, **orders)

    def is_settled(self) -> bool:
        """Everybody trusts the goal alone, and signs under it, in the tree and in the clusters."""
        goal = self.orders.root
        pki = self.main.facts.pki
        return all(
            pki.steps[name].bundle == (goal,)
            and name in pki.intermediates
            and pki.intermediates[name].spec.root == goal
            and not pki.intermediates[name].spec.chain
            and {frozenset({goal})} == {workload.cacerts.bundle for workload in self.clusters[name].workloads}
            for name in self.clusters
        )
