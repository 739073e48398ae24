"""What the agent reads and writes in its cluster, by name.

Names only; its rights are made of these.
"""

from __future__ import annotations

from typing import Final

from syncer.protocol.trust import AGENT_NAMESPACE, STATUS_KEY, STATUS_NAME

__all__ = [
    "AGENT", "AGENT_NAMESPACE", "CACERTS", "COMMITTED", "CRLS_CONFIG", "ISTIOD_LABELS", "OWN_SECRET", "SELF_SIGNED",
    "STATUS_KEY", "STATUS_NAME",
]  # fmt: skip

AGENT: Final = "peermesh-ca-agent"
"""The name of everything that it has."""
OWN_SECRET: Final = AGENT
"""Secret in its namespace: what it signs requests with, the key that it asks a certificate for, and what it is at."""
COMMITTED: Final = "peermesh-cacerts"
"""ConfigMap in its namespace: what Git says; applied by Flux or Argo CD."""
CACERTS: Final = "cacerts"
"""Secret in Istio's namespace that istiod mounts."""
SELF_SIGNED: Final = "istio-ca-secret"
"""Secret in which an istiod without `cacerts` keeps the root that it made itself."""
CRLS_CONFIG: Final = "istio-ca-crl"
"""ConfigMap in every namespace that shows the CRLs istiod has taken (Istio 1.27 and later)."""
ISTIOD_LABELS: Final = "app=istiod"
