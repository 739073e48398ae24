"""Services with the label `peermesh.io/export: "true"`."""

from __future__ import annotations

from collections.abc import Iterator

from syncer.cluster import ClusterState
from syncer.protocol.errors import Rejected
from syncer.protocol.labels import EXPORT
from syncer.protocol.offer import Offer, Refused
from syncer.sources import service as services


def readable(state: ClusterState) -> bool:
    """Every cluster has Services."""
    del state
    return True


def exports(state: ClusterState, source: str) -> Iterator[Offer | Refused]:
    """All Services labelled `true`; another value than `true` and `false` is refused, so that nobody waits in vain."""
    for service in state.services:
        metadata = service.metadata
        value = metadata.labels.get(EXPORT)
        if value == "true":
            yield from services.export(state, service, source=source, since=metadata.creation_timestamp)
        elif value not in {None, "false"}:
            yield services.refused(service.metadata, source, _unclear(f"label {EXPORT} is {value!r}"))
        elif value is None and EXPORT in metadata.annotations:
            yield services.refused(service.metadata, source, _unclear(f"{EXPORT} is an annotation here"))


def _unclear(what: str) -> Rejected:
    return Rejected("BadLabel", what, remedy=f'Write the label {EXPORT}: "true", or take it away.')
