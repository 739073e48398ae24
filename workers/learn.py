"""Learn: what the clusters say now becomes facts.

Turns offers into Export facts and observed gateways into ClusterFacts, and decides what stays although nobody said it.
Knows nothing of consumers, addresses of hosts, brakes or proposals.

Nothing is withdrawn because something was silent:

- a cluster without an observation says what its open branches say, else what main says;
- a source that worked before and isn't read now keeps what it brought;
- identities and gateway addresses of which none is seen stay as committed;
- an offer that can't be accepted, or that its syncer refuses, keeps the fact that stands on main.

A cluster of which no key on main verifies the newest observation returns to what main has: trust was withdrawn.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from msgspec import UNSET

from syncer.protocol.names import HostName, Namespace, ServiceKey, ServiceName, is_label
from syncer.protocol.observation import Observation, ObservedGateway
from syncer.protocol.offer import EXPORTS_NOTHING, GATEWAY, Offer, Refused
from workers.accept import Unacceptable, accept, accept_foreign, accept_gateway, is_key
from workers.documents import paths
from workers.documents.kinds import (
    Cluster,
    ClusterFacts,
    ClusterFactsSpec,
    Export,
    ExportName,
    ExportSpec,
    Fact,
    GatewayFacts,
)
from workers.documents.strict import Name
from workers.documents.writing import write
from workers.reach import may_claim, may_export
from workers.tree import FactChanges, RejectedFacts, Tree, blob_id


@dataclass(frozen=True, kw_only=True)
class Memory:
    """What the repository remembers beside main.

    `branches`: the facts that open branches of the robot propose, by branch; `rejected`: facts that people refused or
    took back; `distrusted`: clusters whose newest observation no key on main verifies; `gone`: the hosts that each
    cluster lost in the last hour by what the robot merged by itself.
    """

    branches: Mapping[str, FactChanges] = field(default_factory=dict)
    rejected: RejectedFacts = frozenset()
    distrusted: frozenset[str] = frozenset()
    gone: Mapping[str, frozenset[HostName]] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True, order=True)
class Told:
    """Something about a cluster that people should know and that no proposal says."""

    cluster: str
    subject: str
    what: str


@dataclass(frozen=True, kw_only=True)
class Learned:
    """`changes`: ClusterFacts and Exports that differ from main; `rejected`: those left out, people refused them."""

    changes: FactChanges
    refused: tuple[tuple[str, Refused], ...]
    told: tuple[Told, ...]
    rejected: RejectedFacts


@dataclass(frozen=True, kw_only=True)
class _Heard:
    """What one cluster's observation makes of its exports: wanted facts by service, and what can't be."""

    exports: Mapping[ServiceKey, Export]
    refused: tuple[tuple[str, Refused], ...]
    told: tuple[Told, ...]


class LearnMemo:
    """Keeps what each cluster's observation came to, for as long as nothing that it was made from changes."""

    def __init__(self) -> None:
        self._heard: dict[str, tuple[tuple[object, ...], _Heard]] = {}

    def hear(self, tree: Tree, cluster: Cluster, observation: Observation, mine: Mapping[ServiceKey, Export]) -> _Heard:
        """`_hear`, or what it said last time."""
        facts = tree.facts.clusters.get(cluster.name)
        inputs = (observation.offers, observation.refused, observation.sources, cluster, tree.mesh, facts, mine)
        known = self._heard.get(cluster.name)
        if known is None or known[0] != inputs:
            known = (inputs, _hear(tree, cluster, observation, mine))
            self._heard[cluster.name] = known
        return known[1]


def learn(
    tree: Tree, observations: Mapping[str, Observation], memory: Memory, memo: LearnMemo | None = None
) -> Learned:
    """What differs from the facts of `tree` now."""
    memo = memo or LearnMemo()
    by_cluster: dict[str, dict[ServiceKey, Export]] = {name: {} for name in tree.clusters}
    for key, exports in tree.facts.exports.items():
        for name, export in exports.items():
            if name in by_cluster:
                by_cluster[name][key] = export
    changes: dict[str, Fact | None] = {}
    refused: list[tuple[str, Refused]] = []
    told: list[Told] = []
    for name, cluster in tree.clusters.items():
        if name in memory.distrusted:
            what = "no key in mesh/clusters/ verifies what it says: its part of open proposals is taken back"
            told.append(Told(cluster=name, subject=name, what=what))
        elif (observation := observations.get(name)) is None:
            changes |= _remembered(tree, name, memory.branches)
        else:
            heard = memo.hear(tree, cluster, observation, by_cluster[name])
            changes |= _differing(name, heard.exports, by_cluster[name])
            refused += heard.refused
            told += heard.told
            wanted = _cluster_facts(name, observation, tree.facts.clusters.get(name))
            if wanted != tree.facts.clusters.get(name):
                changes[paths.cluster_facts_path(name)] = wanted
    kept, rejected = _without_rejected(changes, memory.rejected)
    return Learned(changes=kept, refused=tuple(refused), told=tuple(sorted(told)), rejected=rejected)


def _remembered(tree: Tree, cluster: str, branches: Mapping[str, FactChanges]) -> FactChanges:
    """What open branches say of a cluster that has no observation, where it still differs from main."""
    said: dict[str, Fact | None] = {}
    for facts in branches.values():
        for path, fact in facts.items():
            where = paths.place(path)
            if where is not None and where.kind != "Host" and where.cluster == cluster and tree.facts.get(path) != fact:
                said[path] = fact
    return said


def _differing(cluster: str, wanted: Mapping[ServiceKey, Export], mine: Mapping[ServiceKey, Export]) -> FactChanges:
    if wanted == mine:
        return {}
    return {
        paths.export_path(key, cluster): wanted.get(key)
        for key in sorted(wanted.keys() | mine.keys())
        if wanted.get(key) != mine.get(key)
    }


def _without_rejected(changes: FactChanges, rejected: RejectedFacts) -> tuple[FactChanges, RejectedFacts]:
    if not rejected:
        return changes, frozenset()
    blobs = {path: None if fact is None else blob_id(write(fact)) for path, fact in changes.items()}
    found = frozenset((path, blob) for path, blob in blobs.items() if (path, blob) in rejected)
    return {path: fact for path, fact in changes.items() if (path, blobs[path]) not in found}, found


def _hear(tree: Tree, cluster: Cluster, observation: Observation, mine: Mapping[ServiceKey, Export]) -> _Heard:
    exports: dict[ServiceKey, Export] = {}
    by_hand = bool(cluster.spec.gateway.addresses)  # people gave the gateway's address: nothing is refused there
    refused = [
        (cluster.name, refusal) for refusal in observation.refused if not (by_hand and refusal.source == GATEWAY)
    ]
    told: list[Told] = []
    offers: dict[ServiceKey, list[Offer]] = {}
    for offer in observation.offers:
        offers.setdefault(ServiceKey(Namespace(offer.namespace), ServiceName(offer.service)), []).append(offer)
    for key, same in offers.items():
        committed = mine.get(key)
        offer = _chosen(same, committed)
        try:
            exports[key] = _export(tree, cluster, offer, committed)
        except Unacceptable as error:
            refused.append((cluster.name, error.refused(offer)))
            if committed is not None and error.keeps:
                exports[key] = committed
    facts = tree.facts.clusters.get(cluster.name)
    worked = set(facts.spec.sources if facts else ()) - set(observation.sources)
    still_asked = {
        (refusal.namespace, refusal.service) for refusal in observation.refused if refusal.reason != EXPORTS_NOTHING
    }
    for key, committed in mine.items():
        if key in exports or key in offers:
            continue
        if committed.spec.source in worked:
            what = f"source {committed.spec.source} can't be read in {cluster.name}: kept as it is"
            told.append(Told(cluster=cluster.name, subject=str(key), what=what))
            exports[key] = committed
        elif key in still_asked:
            exports[key] = committed
    return _Heard(exports=exports, refused=tuple(refused), told=tuple(told))


def _chosen(offers: Iterable[Offer], committed: Export | None) -> Offer:
    """Of several sources that offer one service the one on main, so that a second one changes nothing."""
    by_source = {offer.source: offer for offer in offers}
    if committed is not None and committed.spec.source in by_source:
        return by_source[committed.spec.source]
    return by_source[min(by_source)]


def _export(tree: Tree, cluster: Cluster, offer: Offer, committed: Export | None) -> Export:
    """The fact that an offer becomes. Raises Unacceptable."""
    if not is_key(offer):
        raise Unacceptable("BadName", "namespace or name isn't a DNS label")
    if not may_export(cluster, offer.namespace):
        what = f"mayExport in mesh/clusters/{cluster.name}.yaml doesn't name namespace {offer.namespace}"
        raise Unacceptable("NotAllowed", what, keeps=False)
    old = committed.spec if committed else None
    said = accept(offer)
    accounts = said.service_accounts or (old.service_accounts if old else ())
    if not accounts:
        what = "no pod and no workload template shows the service account it runs as"
        raise Unacceptable("NoIdentity", what)
    for host in said.hosts or ():
        if not may_claim(tree.mesh, offer.namespace, host) and (old is None or host not in old.hosts):
            what = f"spec.hosts.additional in mesh/mesh.yaml doesn't give {host} to namespace {offer.namespace}"
            raise Unacceptable("HostNotAllowed", what)
    spec = ExportSpec(
        source=offer.source,
        since=(old.since if old and old.since else None) or said.since,
        headless=offer.headless,
        ports=said.ports,
        service_accounts=tuple(sorted(accounts)),
        selector=said.selector if said.selector is not None else (old.selector if old else {}),
        consumers=(old.consumers if old else None) if offer.consumers is UNSET else said.consumers,
        hosts=(old.hosts if old else ()) if offer.hosts is UNSET else said.hosts or (),
    )
    name = ExportName(name=offer.service, namespace=offer.namespace, cluster=cluster.name)
    export = Export(metadata=name, spec=spec)
    return committed if committed is not None and export == committed else export


def _cluster_facts(cluster: str, observation: Observation, committed: ClusterFacts | None) -> ClusterFacts:
    old = committed.spec if committed else ClusterFactsSpec()
    gateway = old.gateway
    if isinstance(observation.gateway, ObservedGateway):
        seen = accept_gateway(observation.gateway)
        gateway = GatewayFacts(
            addresses=seen.addresses or old.gateway.addresses,
            cluster_ip=seen.cluster_ip or old.gateway.cluster_ip,
            cluster_port=seen.cluster_port or old.gateway.cluster_port,
            wildcard=seen.wildcard,
        )
    spec = ClusterFactsSpec(
        gateway=gateway,
        sources=tuple(sorted({*old.sources, *filter(is_label, observation.sources)})),
        foreign=old.foreign if observation.foreign is UNSET else accept_foreign(observation.foreign),
    )
    return (
        committed
        if committed is not None and committed.spec == spec
        else ClusterFacts(metadata=Name(name=cluster), spec=spec)
    )
