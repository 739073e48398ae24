"""The names that cross the border, and which strings may be one.

Knows the grammar of Kubernetes names (RFC 1123) and of host names. Everything that later becomes a path, a branch, a
queue or a line of a commit message was checked here first, so nothing of it needs escaping.
"""

from __future__ import annotations

import re
from typing import NamedTuple, NewType

ClusterName = NewType("ClusterName", str)
Namespace = NewType("Namespace", str)
ServiceName = NewType("ServiceName", str)
HostName = NewType("HostName", str)

_LABEL = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
_SUBDOMAIN = re.compile(r"[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?")


class ServiceKey(NamedTuple):
    """A service of the mesh: the same name in the same namespace is the same service everywhere (KEP-1645)."""

    namespace: Namespace
    service: ServiceName

    def __str__(self) -> str:
        return f"{self.namespace}/{self.service}"


def is_label(value: str) -> bool:
    """True for a DNS label (RFC 1123: 1 to 63 of a-z, 0-9 and -, not at the ends): cluster, namespace, Service."""
    return _LABEL.fullmatch(value) is not None


def is_subdomain(value: str) -> bool:
    """True for a DNS name of labels with dots (at most 253 characters): service accounts, hosts."""
    return _SUBDOMAIN.fullmatch(value) is not None and all(map(is_label, value.split(".")))
