"""What a syncer counts, for Prometheus.

Knows names and labels. Labels hold words of this program only.
"""

from __future__ import annotations

from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge

REGISTRY: Final = CollectorRegistry()
"""All metrics of ours; the documentation is checked against it."""

READINGS: Final = Counter(
    "peermesh_syncer_readings", "Readings of the cluster: complete or incomplete", ["outcome"], registry=REGISTRY
)
COMPLETE: Final = Gauge(
    "peermesh_syncer_complete", "1 if the last reading was complete, 0 if nothing could be said", registry=REGISTRY
)
LAST_COMPLETE: Final = Gauge(
    "peermesh_syncer_last_complete_timestamp_seconds", "When a reading was last complete", registry=REGISTRY
)
WATCH_RESTARTS: Final = Counter(
    "peermesh_syncer_watch_restarts",
    "Watches of the API server that ended and were begun again, by resource and reason",
    ["resource", "reason"],
    registry=REGISTRY,
)
LEADER: Final = Gauge("peermesh_syncer_leader", "1 if this replica publishes, 0 if another one does", registry=REGISTRY)
OFFERS: Final = Gauge("peermesh_syncer_offers", "Exports that the last complete reading found", registry=REGISTRY)
REFUSED: Final = Gauge(
    "peermesh_syncer_refused", "What the last complete reading found that can't be exported", registry=REGISTRY
)
PROBES: Final = Counter(
    "peermesh_syncer_probes",
    "Handshakes with workloads and istiods, to see what they trust and sign with: answered or silent",
    ["outcome"],
    registry=REGISTRY,
)
PUBLISHED: Final = Counter("peermesh_syncer_published", "Observations that the broker took", registry=REGISTRY)
FAILURES: Final = Counter(
    "peermesh_syncer_publish_failures",
    "Observations that the broker didn't take, by reason",
    ["reason"],
    registry=REGISTRY,
)
LAST_PUBLISHED: Final = Gauge(
    "peermesh_syncer_last_published_timestamp_seconds", "When the broker last took one", registry=REGISTRY
)
