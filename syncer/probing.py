"""Asks workloads and istiods what they trust and sign with, in a thread beside the reading of the cluster.

No observation waits for it or fails by it: what it learned goes into the next one. Whom it asks and when says
`syncer.rounds`, how `syncer.handshake`.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any, Final, Protocol, Self

from syncer import metrics
from syncer.cluster import ClusterState
from syncer.cluster.objects import Pod
from syncer.handshake import ISTIOD, SIDECAR, handshake
from syncer.rounds import Probing, Rounds, choose, moved
from syncer.trust import (
    NOTHING,
    Handshake,
    Sample,
    announced,
    identity_of,
    istiods,
    published,
    seen_istiod,
    seen_workload,
    still_there,
    unseen,
    workloads,
)

_AT_ONCE: Final = 8
"""Handshakes at the same time: those with pods that don't answer mustn't make a round of fifty last minutes."""


class Shake(Protocol):
    """`syncer.handshake.handshake`, or what stands for it."""

    def __call__(
        self, host: str, port: int, *, protocol: bytes, server_name: str = "", seconds: float
    ) -> Handshake: ...


class Prober:
    """Asks, in a thread of its own, while it is entered. `tell` is called at the end of each round.

    It knows the cluster by `look`. A replica that doesn't lead asks, too: when it begins to, it needn't say that it
    knows nothing, which would close every gate.
    """

    def __init__(
        self,
        probing: Probing,
        istio_namespace: str,
        *,
        tell: Callable[[], None],
        shake: Shake = handshake,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._probing = probing
        self._istio = istio_namespace
        self._tell = tell
        self._shake = shake
        self._clock = clock
        self._news = threading.Condition()
        self._ended = False
        self._rounds = Rounds()
        self._state: ClusterState | None = None
        self._sample = NOTHING
        self._thread = threading.Thread(target=self._run, name="probe", daemon=True)

    def __enter__(self) -> Self:
        if self._probing.pods:
            self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        with self._news:
            self._ended = True
            self._news.notify_all()
        if self._probing.pods:
            self._thread.join(2 * self._probing.patience)

    @property
    def sample(self) -> Sample:
        """What is known by now."""
        return self._sample

    def look(self, state: ClusterState) -> None:
        """The cluster as it was just read."""
        known, missed = announced(state), unseen(state, self._sample)
        with self._news:
            self._state = state
            now = self._clock()
            self._rounds = self._rounds.learned(known, now, self._probing)
            if missed:
                self._rounds = self._rounds.missed(now, self._probing)
            self._news.notify_all()

    def _run(self) -> None:
        while (state := self._turn()) is not None:
            self._round(state)

    def _turn(self) -> ClusterState | None:
        """The cluster, as soon as a round is due; None: it is over."""
        with self._news:
            while not self._ended:
                left = self._rounds.due - self._clock()
                if self._state is not None and left <= 0:
                    return self._state
                self._news.wait(None if self._state is None else left)
        return None

    def _round(self, state: ClusterState) -> None:
        began, at, before = self._clock(), datetime.now(UTC), self._sample
        after = self._asked(state, before, at)
        with self._news:
            if self._ended:
                return
            self._sample = after
            self._rounds = self._rounds.done(began, self._clock(), self._probing, moved=moved(before, after))
        if after is not before:
            self._tell()

    def _asked(self, state: ClusterState, before: Sample, at: datetime) -> Sample:
        """What is known after a round; the same where there is nobody to ask."""
        known = {identity_of(one): one for one in still_there(state, before)}
        seen = {who: one.seen for who, one in known.items() if one.seen}
        silent = {who for who, one in known.items() if one.error}
        chosen = choose(workloads(state), seen, silent, self._probing.pods)
        replicas = istiods(state, self._istio)
        if not chosen and not replicas:
            return before
        roots = published(state)
        with ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="probe") as pool:
            asked = pool.map(lambda pod: seen_workload(pod, self._workload(pod), at, roots), chosen)
            issuers = pool.map(lambda pod: seen_istiod(pod, self._istiod(pod), roots), replicas)
            known |= {identity_of(one): one for one in asked}
            return Sample(at=at, proxies=tuple(known.values()), issuers=tuple(issuers))

    def _workload(self, pod: Pod) -> Handshake:
        return self._ask(pod, self._probing.port, protocol=SIDECAR)

    def _istiod(self, pod: Pod) -> Handshake:
        name = f"istiod.{self._istio}.svc"
        return self._ask(pod, self._probing.istiod_port, protocol=ISTIOD, server_name=name)

    def _ask(self, pod: Pod, port: int, **how: Any) -> Handshake:
        if self._ended:
            return Handshake(error="it wasn't asked any more")
        shown = self._shake(pod.status.pod_ip, port, seconds=self._probing.patience, **how)
        metrics.PROBES.labels("silent" if shown.error else "answered").inc()
        return shown
