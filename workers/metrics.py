"""What the processes of the centre count, for Prometheus.

Knows names, labels and how they are served. Labels hold only checked names (clusters with a queue, reasons of errors),
so nobody outside decides how many series there are.
"""

from __future__ import annotations

from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, start_http_server

from syncer.protocol.errors import HumanNeeded

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
LAST_SWEEP: Final = Gauge(
    "peermesh_last_sweep_timestamp_seconds", "When the remote was last looked at; its age is health", registry=REGISTRY
)


def serve(address: tuple[str, int] | None) -> None:
    """Serve them on `address` from a thread of this process; None: don't.

    Raises:
        HumanNeeded: it can't be listened on.
    """
    if address is None:
        return
    host, port = address
    try:
        start_http_server(port, host, REGISTRY)
    except OSError as error:
        what = f"{host}:{port} can't be listened on: {error.strerror or error}"
        raise HumanNeeded("NoMetrics", what, remedy="Name another address in PEERMESH_METRICS.") from error
