"""What people mark for export, by source: one module and one row for each way of saying it.

A source knows which Services are marked, and how. What is offered of a marked Service is the same for all
(`syncer.sources.service`). No source knows the others: a Service marked twice is offered twice.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final, Protocol

from syncer.cluster import ClusterState
from syncer.protocol.offer import Offer, Refused
from syncer.sources import label, service_export


class Source(Protocol):
    """A module of this package."""

    def readable(self, state: ClusterState) -> bool:
        """Whether this cluster has what the source reads; if not, nothing is known of its exports."""
        ...

    def exports(self, state: ClusterState, source: str) -> Iterator[Offer | Refused]:
        """What is marked; `source` is the name of the source, which every result carries."""
        ...


SOURCES: Final[Mapping[str, Source]] = {
    "label": label,
    "serviceexport": service_export,
}
