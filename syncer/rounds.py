"""Whom to ask what they trust, and when: the rounds of handshakes with workloads and istiods.

Pure: times are arguments. Knows pods and what was heard of them before; asks nobody.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Final

from syncer.cluster.objects import Pod
from syncer.trust import Announced, Identity, Sample, identity, identity_of

_CANONICAL: Final = "service.istio.io/canonical-name"
"""Label that istiod puts on the pods of one service."""
_SILENT_SHARE: Final = 5
_NEVER: Final = datetime.min.replace(tzinfo=UTC)


@dataclass(frozen=True, kw_only=True)
class Probing:
    """`pods`: workloads asked in a round; 0: nobody is ever asked. `port`: any that sidecars take, listened on or not.

    Seconds: `patience` with one of them, `every` between rounds, `hurry` the same for `restless` after trust changed;
    `least`: between any two, whoever changes roots again and again.
    """

    pods: int = 50
    port: int = 15099
    istiod_port: int = 15012
    patience: float = 3.0
    every: float = 270.0
    hurry: float = 10.0
    restless: float = 600.0
    least: float = 2.0


def choose(
    pods: Iterable[Pod], seen: Mapping[Identity, datetime], silent: Collection[Identity], most: int
) -> tuple[Pod, ...]:
    """Whom to ask now: of every namespace at least one, as far as `most` allows, those not asked for longest first.

    So everybody's turn comes. Among those who wait equally long, different workloads and nodes come first. A fifth of
    the places is for those that were `silent` when they were asked last: many have just been starting.
    """
    all_pods = sorted(pods, key=lambda pod: (pod.metadata.namespace, pod.metadata.name))
    waiting = sorted((pod for pod in all_pods if identity(pod) in silent), key=lambda pod: seen[identity(pod)])
    again = waiting[: most // _SILENT_SHARE]
    taken = {*map(identity, again)}
    others = [pod for pod in all_pods if identity(pod) not in taken]
    return (*again, *_in_turn(others, seen)[: most - len(again)])


def _in_turn(pods: Iterable[Pod], seen: Mapping[Identity, datetime]) -> list[Pod]:
    newest: dict[str, datetime] = {}
    workload, node = Counter[tuple[str, datetime, str]](), Counter[tuple[str, datetime, str]]()
    ranked: list[tuple[tuple[str, datetime, int, int, str], Pod]] = []
    for pod in pods:
        namespace, name, _ = who = identity(pod)
        at = seen.get(who, _NEVER)
        newest[namespace] = max(newest.get(namespace, _NEVER), at)
        kin = namespace, at, pod.metadata.labels.get(_CANONICAL) or pod.spec.service_account_name
        near = namespace, at, pod.status.host_ip
        ranked.append(((namespace, at, workload[kin], node[near], name), pod))
        workload[kin] += 1
        node[near] += 1
    turns = Counter[str]()
    queue: list[tuple[tuple[int, datetime, str], Pod]] = []
    for (namespace, *_), pod in sorted(ranked, key=lambda one: one[0]):
        queue.append(((turns[namespace], newest[namespace], namespace), pod))
        turns[namespace] += 1
    return [pod for _, pod in sorted(queue, key=lambda one: one[0])]


@dataclass(frozen=True, kw_only=True)
class Rounds:
    """When the next round is due, trust last changed and the last round ended: seconds of a clock that doesn't jump."""

    due: float = -math.inf
    changed: float = -math.inf
    ended: float = -math.inf
    known: Announced | None = None

    def learned(self, known: Announced, now: float, probing: Probing) -> Rounds:
        """What the cluster announces. If that is news, a round is due at once."""
        if known == self.known:
            return self
        if self.known is None and known.settled:
            return replace(self, known=known)
        return replace(self, due=max(now, self.ended + probing.least), changed=now, known=known)

    def missed(self, now: float, probing: Probing) -> Rounds:
        """Nothing is known of some namespace: its pods are new."""
        return replace(self, due=min(self.due, now + probing.hurry))

    def done(self, began: float, now: float, probing: Probing, *, moved: bool) -> Rounds:
        """A round ended that showed changes (`moved`) or not; if something was announced meanwhile, the next is due."""
        if self.changed > began:
            return replace(self, due=now + probing.least, ended=now)
        changed = now if moved else self.changed
        hurried = now - changed < probing.restless
        due = now + (probing.hurry if hurried else probing.every)
        return replace(self, due=due, changed=changed, ended=now)


def moved(before: Sample, after: Sample) -> bool:
    """Whether a replica of istiod signs with something else than before, or a workload trusts something else."""
    signed = {one.pod: one.issuer for one in before.issuers if one.issuer}
    trusted = {identity_of(one): one.trusts for one in before.proxies if one.trusts}
    return any(one.issuer != signed.get(one.pod, one.issuer) for one in after.issuers if one.issuer) or any(
        one.trusts != trusted.get(identity_of(one), one.trusts) for one in after.proxies if one.trusts
    )
