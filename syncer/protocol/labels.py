"""What people write on Kubernetes objects, and what peermesh writes on those that it renders."""

from __future__ import annotations

from typing import Final

PREFIX: Final = "peermesh.io/"
"""In front of every label and annotation of ours."""

EXPORT: Final = "peermesh.io/export"
"""Label on a Service; the value `true` exports it."""

CONSUMERS: Final = "peermesh.io/consumers"
"""Annotation: cluster names or `key=value` labels of clusters, separated by commas; absent: every cluster."""

PORTS: Final = "peermesh.io/ports"
"""Annotation: names or numbers of the ports to export; absent: all."""

HOST: Final = "peermesh.io/host"
"""Annotation: additional host names."""

SERVICE_ACCOUNTS: Final = "peermesh.io/service-accounts"
"""Annotation: identities declared ahead of a roll-out, beside those observed."""

ANNOTATIONS: Final = frozenset({CONSUMERS, PORTS, HOST, SERVICE_ACCOUNTS})

EXPORT_TO: Final = "networking.istio.io/exportTo"
"""Istio's annotation on a Service: the namespaces that see it."""

MANAGED_BY: Final = "app.kubernetes.io/managed-by"
MANAGER: Final = "peermesh"
PART_OF: Final = "app.kubernetes.io/part-of"
"""Label with the value of `MANAGER` on what runs and delivers peermesh: sync units among them."""
DIGEST: Final = "peermesh.io/digest"
SOURCE: Final = "peermesh.io/source"
CLUSTER: Final = "peermesh.io/cluster"
"""Label on every endpoint: whose gateway it is."""
