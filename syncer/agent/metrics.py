"""What the agent counts, for Prometheus.

Knows names and labels. Labels hold words of this program only.
"""

from __future__ import annotations

from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge

REGISTRY: Final = CollectorRegistry()
"""All metrics of the agent; the documentation is checked against it."""

END: Final = Gauge(
    "peermesh_ca_agent_intermediate_end_timestamp_seconds",
    "When the certificate in `cacerts` ends; 0: there is none",
    registry=REGISTRY,
)
ROTATION: Final = Gauge("peermesh_ca_agent_rotation", "Rotation in `cacerts`; 0: none of ours", registry=REGISTRY)
WANTED: Final = Gauge("peermesh_ca_agent_wanted", "Rotation that the cluster shall have", registry=REGISTRY)
PENDING: Final = Gauge("peermesh_ca_agent_pending", "Rotation that is asked for; 0: none", registry=REGISTRY)
TROUBLED: Final = Gauge(
    "peermesh_ca_agent_troubled",
    "1 while something keeps the agent from following what is committed",
    registry=REGISTRY,
)
LAST_TURN: Final = Gauge(
    "peermesh_ca_agent_last_turn_timestamp_seconds", "When it last looked at everything", registry=REGISTRY
)
REQUESTS: Final = Counter("peermesh_ca_agent_requests", "Requests that the broker took", registry=REGISTRY)
FAILURES: Final = Counter(
    "peermesh_ca_agent_request_failures",
    "Requests that the broker didn't take, by reason",
    ["reason"],
    registry=REGISTRY,
)
INSTALLED: Final = Counter("peermesh_ca_agent_installed", "Changes that were written into `cacerts`", registry=REGISTRY)
RESTORED: Final = Counter(
    "peermesh_ca_agent_restored", "Changes that istiod didn't take, and that were put back", registry=REGISTRY
)
