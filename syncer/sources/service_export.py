"""ServiceExport of `multicluster.x-k8s.io` (KEP-1645): exports the Service of its own namespace and name."""

from __future__ import annotations

from collections.abc import Iterator

from syncer.cluster import ClusterState
from syncer.protocol.errors import Rejected
from syncer.protocol.labels import PREFIX
from syncer.protocol.offer import Offer, Refused
from syncer.sources import service as services


def readable(state: ClusterState) -> bool:
    """False where the kind isn't installed."""
    return state.service_exports is not None


def exports(state: ClusterState, source: str) -> Iterator[Offer | Refused]:
    """All ServiceExports. Their age decides conflicts between clusters, not that of the Service (KEP-1645)."""
    for marker in state.service_exports or ():
        metadata = marker.metadata
        service = state.services_by_namespace.get(metadata.namespace, {}).get(metadata.name)
        ours = sorted(key for key in (*metadata.annotations, *metadata.labels) if key.startswith(PREFIX))
        if service is None:
            what = f"no Service {metadata.name} in namespace {metadata.namespace}"
            remedy = "Create it, or remove the ServiceExport."
            yield services.refused(metadata, source, Rejected("NoService", what, remedy=remedy))
        elif ours:
            what = f"{ours[0]} stands on the ServiceExport, where nothing reads it"
            remedy = "Write it on the Service."
            yield services.refused(metadata, source, Rejected("NotEnforced", what, remedy=remedy))
        else:
            yield from services.export(state, service, source=source, since=metadata.creation_timestamp)
