"""What the processes of the centre count and find, for Prometheus; and their answers to probes.

Knows names, labels and how they are served. Labels hold only checked names (clusters on main or with a queue, classes
of proposals, reasons of errors), so nobody outside decides how many series there are.
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from typing import Final, get_args

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, start_http_server
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from syncer.protocol.errors import HumanNeeded
from syncer.protocol.probes import with_probes
from workers.documents import paths
from workers.documents.kinds import ProposalClass
from workers.figures import Figures, TrustFigures
from workers.health import Health

REGISTRY: Final = CollectorRegistry()
"""All metrics of ours; the documentation is checked against it."""

OBSERVATIONS: Final = Counter(
    "peermesh_observations",
    "Observations that were accepted: news is looked at by a flush, the same as before is not",
    ["cluster", "news"],
    registry=REGISTRY,
)
REFUSED: Final = Counter(
    "peermesh_refused", "Messages of a cluster that were refused", ["cluster", "reason"], registry=REGISTRY
)
TRIMMED: Final = Counter(
    "peermesh_trimmed", "Messages dropped because a cluster sent more than was taken", ["cluster"], registry=REGISTRY
)
FLUSHES: Final = Counter("peermesh_flushes", "Flushes by how they ended", ["outcome"], registry=REGISTRY)
FLUSH_SECONDS: Final = Histogram("peermesh_flush_seconds", "Duration of a flush", registry=REGISTRY)
REFUSED_WRITES: Final = Counter(
    "peermesh_refused_writes",
    "Refs that the remote refused to move: main, a branch of a proposal, or what the robot remembers",
    ["ref"],
    registry=REGISTRY,
)
for _ref in ("main", "proposal", "memory"):
    REFUSED_WRITES.labels(_ref)  # begins at 0, or the first refusal would be no increase
LAST_SWEEP: Final = Gauge(
    "peermesh_last_sweep_timestamp_seconds", "When the remote was last looked at; its age is health", registry=REGISTRY
)
LAST_ROTATE: Final = Gauge(
    "peermesh_last_rotate_timestamp_seconds",
    "When certificates were last looked at; 0 before the first time",
    registry=REGISTRY,
)
LAST_LISTENED: Final = Gauge(
    "peermesh_last_listened_timestamp_seconds",
    "When the border last looked at the queues of the clusters; its age is health",
    registry=REGISTRY,
)
WAITING: Final = Gauge(
    "peermesh_waiting_messages", "Messages of a cluster that weren't received yet", ["cluster"], registry=REGISTRY
)

SIGNED: Final = Counter(
    "peermesh_signed", "Certificates that were signed for a cluster", ["cluster"], registry=REGISTRY
)
UNSIGNED: Final = Gauge(
    "peermesh_unsigned_requests",
    "1 while a request of a cluster stands on main and this signer doesn't sign it",
    ["cluster", "reason"],
    registry=REGISTRY,
)
LAST_SIGNING: Final = Gauge(
    "peermesh_last_signing_timestamp_seconds",
    "When the signer last looked at main and could have signed; its age is health",
    registry=REGISTRY,
)
ISSUER_ENDS: Final = Gauge(
    "peermesh_issuer_end_timestamp_seconds",
    "When the first of the certificates ends that the signer signs with",
    registry=REGISTRY,
)

_NEVER: Final = 0.0
_TOLD_SECONDS: Final = 900.0
"""For so long a worker tells what it found of trust: three turns of `rotate`."""


class Shown(Collector):
    """The figures of the last sweep; none before the first one."""

    def __init__(self) -> None:
        self._figures: Figures | None = None

    def show(self, figures: Figures) -> None:
        """From now on these; what isn't in them is no longer there, for example a cluster that was retired."""
        self._figures = figures

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """What Prometheus gets."""
        figures = self._figures
        if figures is None:
            return
        observed = GaugeMetricFamily(
            "peermesh_observation_timestamp_seconds",
            "When the newest observation of a cluster was made; 0 if there is none",
            labels=["cluster"],
        )
        yield _filled(observed, {name: _seconds(at) for name, at in figures.observed_at.items()})
        proposals = GaugeMetricFamily(
            "peermesh_proposals", "Open proposals with this class; one may have several", labels=["class"]
        )
        classes = get_args(ProposalClass)
        yield _filled(proposals, {name: float(len(figures.waiting.get(name, ()))) for name in classes})
        oldest = GaugeMetricFamily(
            "peermesh_oldest_proposal_timestamp_seconds",
            "Since when the oldest open proposal with this class waits",
            labels=["class"],
        )
        yield _filled(oldest, {name: _seconds(min(since)) for name, since in figures.waiting.items() if since})
        unapplied = GaugeMetricFamily(
            "peermesh_unapplied_objects",
            "Objects that a cluster lacks, has otherwise than main, or should no longer have",
            labels=["cluster"],
        )
        yield _filled(unapplied, {name: float(len(since)) for name, since in figures.unapplied.items()})
        longest = GaugeMetricFamily(
            "peermesh_oldest_unapplied_timestamp_seconds",
            "Since when a cluster hasn't had one of those objects as main has it",
            labels=["cluster"],
        )
        unmet = {name: min(since.values()) for name, since in figures.unapplied.items() if since}
        yield _filled(longest, {name: _seconds(at) for name, at in unmet.items()})
        failing = GaugeMetricFamily(
            "peermesh_failing_units", "Sync units of a cluster that can't be applied", labels=["cluster"]
        )
        yield _filled(failing, figures.failing)
        yield GaugeMetricFamily(
            "peermesh_marked", "What waits for a flush: clusters with news, and main", value=figures.marked
        )
        yield GaugeMetricFamily(
            "peermesh_paused", "1 while a person lets the robot write nothing", value=float(figures.paused)
        )


FIGURES: Final = Shown()
REGISTRY.register(FIGURES)


class ShownTrust(Collector):
    """What the last turn of `rotate` found; nothing before the first one, nor where people ordered nothing of trust.

    Another worker may have taken the turns since: what was so is told for a while only, dates as long as it runs.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._figures = TrustFigures()
        self._clock = clock
        self._shown = clock()

    def show(self, figures: TrustFigures) -> None:
        """From now on these."""
        self._figures = figures
        self._shown = self._clock()

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """What Prometheus gets."""
        figures, dates = self._figures, self._figures.dates
        if self._clock() - self._shown > _TOLD_SECONDS:
            figures = TrustFigures(roots=figures.roots, crls=figures.crls)
        end = GaugeMetricFamily(
            "peermesh_intermediate_end_timestamp_seconds",
            "When the intermediate ends that main has for a cluster",
            labels=["cluster"],
        )
        yield _timed(end, {name: one.ends for name, one in dates.items()})
        renewal = GaugeMetricFamily(
            "peermesh_intermediate_renewal_timestamp_seconds",
            "When the next intermediate of a cluster is due",
            labels=["cluster"],
        )
        yield _timed(renewal, {name: one.renews for name, one in dates.items()})
        late = GaugeMetricFamily(
            "peermesh_intermediate_late_timestamp_seconds",
            "When two thirds of the life of a cluster's intermediate are over",
            labels=["cluster"],
        )
        yield _timed(late, {name: one.late for name, one in dates.items()})
        last_call = GaugeMetricFamily(
            "peermesh_intermediate_last_call_timestamp_seconds",
            "One day and a workload's lifetime before a cluster's intermediate ends",
            labels=["cluster"],
        )
        yield _timed(last_call, {name: one.last_call for name, one in dates.items()})
        roots = GaugeMetricFamily(
            "peermesh_root_end_timestamp_seconds",
            "When a root ends",
            labels=["root"],
        )
        yield _timed(roots, figures.roots)
        crls = GaugeMetricFamily(
            "peermesh_crl_end_timestamp_seconds",
            "When the newest CRL of a root or of a cluster's intermediate must have a successor",
            labels=["issuer"],
        )
        yield _timed(crls, figures.crls)
        unsigned = GaugeMetricFamily(
            "peermesh_oldest_unsigned_timestamp_seconds",
            "Since when an approved request of a cluster waits for the signer",
            labels=["cluster"],
        )
        yield _timed(unsigned, figures.unsigned)
        unmet = GaugeMetricFamily(
            "peermesh_oldest_unmet_trust_timestamp_seconds",
            "Since when a cluster was observed to trust or sign otherwise than main has it",
            labels=["cluster"],
        )
        yield _timed(unmet, figures.unmet)
        refused = GaugeMetricFamily(
            "peermesh_oldest_refused_request_timestamp_seconds",
            "Since when what a cluster asks to be signed, or what was signed for it, is refused",
            labels=["cluster", "reason"],
        )
        for names, at in figures.refused.items():
            refused.add_metric(list(names), _seconds(at))
        yield refused
        agents = GaugeMetricFamily(
            "peermesh_agent_trouble",
            "1 where the CA agent of a cluster waits or refused something, 2 where it put the previous state back",
            labels=["cluster"],
        )
        yield _filled(agents, {name: float(level) for name, level in figures.agents.items()})


TRUST: Final = ShownTrust()
REGISTRY.register(TRUST)


def count_refused(refs: Iterable[str]) -> None:
    """These refs were refused by the remote."""
    for ref in refs:
        where = "proposal" if ref.startswith("refs/heads/") else "memory"
        REFUSED_WRITES.labels("main" if ref == paths.MAIN else where).inc()


HEALTH: Final = Health(started=time.monotonic())
"""Of this process; its tasks say in it what they did."""


def check(address: tuple[str, int] | None) -> None:
    """See before a pool is forked whether they can be served: Celery goes on without what fails in its processes.

    Raises:
        HumanNeeded: it can't be listened on.
    """
    if address is not None:
        family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
        with _named(address), socket.create_server(address, family=family):
            return


@contextmanager
def _named(address: tuple[str, int]) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        # Not `strerror`: `socket.create_server` says the address once more in it.
        why = os.strerror(error.errno) if error.errno else error
        what = f"{address[0]}:{address[1]} can't be listened on: {why}"
        raise HumanNeeded("NoMetrics", what, remedy="Name another address in PEERMESH_METRICS.") from error


def serve(address: tuple[str, int] | None, redis_answers: Callable[[], bool]) -> None:
    """Serve them on `address` from a thread of this process, `/healthz` and `/readyz` beside them; None: don't.

    Raises:
        HumanNeeded: it can't be listened on.
    """
    # Celery's pool forks the process that is meant, perhaps long after this module was imported.
    HEALTH.started = time.monotonic()
    if address is None:
        return
    host, port = address
    with _named(address):
        server, _ = start_http_server(port, host, REGISTRY)
    probes = {
        "/healthz": lambda: HEALTH.stuck(time.monotonic(), redis_answers),
        "/readyz": lambda: HEALTH.unready(time.monotonic()),
    }
    server.set_app(with_probes(server.get_app(), probes))


def _filled(family: GaugeMetricFamily, values: Mapping[str, float]) -> GaugeMetricFamily:
    for name, value in values.items():
        family.add_metric([name], value)
    return family


def _timed(family: GaugeMetricFamily, times: Mapping[str, datetime]) -> GaugeMetricFamily:
    return _filled(family, {name: _seconds(at) for name, at in times.items()})


def _seconds(at: datetime | None) -> float:
    return _NEVER if at is None else at.timestamp()
