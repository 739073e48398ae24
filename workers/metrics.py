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
from typing import Any, Final, get_args

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, start_http_server
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from syncer.protocol.errors import HumanNeeded
from workers.documents import paths
from workers.documents.kinds import ProposalClass
from workers.figures import Figures
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
LAST_LISTENED: Final = Gauge(
    "peermesh_last_listened_timestamp_seconds",
    "When the border last looked at the queues of the clusters; its age is health",
    registry=REGISTRY,
)
WAITING: Final = Gauge(
    "peermesh_waiting_messages", "Messages of a cluster that weren't received yet", ["cluster"], registry=REGISTRY
)

_NEVER: Final = 0.0


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
    server.set_app(_with_probes(server.get_app(), probes))


def _with_probes(served: Any, probes: Mapping[str, Callable[[], str]]) -> Any:
    """A WSGI app (PEP 3333): the probes, and everything else as served."""

    def answer(environ: Mapping[str, Any], start_response: Callable[[str, list[tuple[str, str]]], object]) -> Any:
        probe = probes.get(environ["PATH_INFO"])
        if probe is None:
            return served(environ, start_response)
        trouble = probe()
        status = "503 Service Unavailable" if trouble else "200 OK"
        start_response(status, [("Content-Type", "text/plain; charset=utf-8")])
        return [f"{trouble or 'ok'}\n".encode()]

    return answer


def _filled(family: GaugeMetricFamily, values: Mapping[str, float]) -> GaugeMetricFamily:
    for name, value in values.items():
        family.add_metric([name], value)
    return family


def _seconds(at: datetime | None) -> float:
    return _NEVER if at is None else at.timestamp()
