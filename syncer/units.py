"""What Flux or Argo CD says of the sync units of this cluster: which revision is applied, and what is wrong.

Pure. A unit is called like its folder below `clusters/<cluster>/`: `gateway`, `imports`, `policy/shop`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from syncer.cluster import ClusterState
from syncer.cluster.objects import Application, Kustomization
from syncer.protocol.labels import MANAGER, PART_OF

_LONGEST: Final = 1000
"""Characters of a message; Flux quotes whole answers of API servers."""
_NOTHING: Final = "none"
"""In place of a revision, before anything was applied."""


def units(state: ClusterState, cluster: str) -> Iterator[tuple[str, str]]:
    """`unit/<name>`, and `<revision> ready`, `<revision> failed: <message>` or `<revision> progressing: <message>`.

    The revision is what is applied now, also where another one failed.
    """
    for kustomization in state.kustomizations:
        name = _unit(kustomization.spec.path, cluster)
        if name and kustomization.metadata.labels.get(PART_OF) == MANAGER:
            yield f"unit/{name}", _flux(kustomization)
    for application in state.applications:
        name = _unit(application.spec.source.path, cluster)
        if name and application.metadata.labels.get(PART_OF) == MANAGER:
            yield f"unit/{name}", _argo_cd(application)


def _unit(path: str, cluster: str) -> str:
    """`./clusters/west/gateway` → `gateway`; empty for another cluster's: one Argo CD may serve many."""
    parts = [part for part in path.split("/") if part not in {"", "."}]
    return "/".join(parts[2:]) if parts[:2] == ["clusters", cluster] else ""


def _flux(kustomization: Kustomization) -> str:
    """Ready says what became of the last try; which revision is applied stands elsewhere, and outlives failures."""
    status = kustomization.status
    # `main@sha1:1c2b…`
    revision = status.last_applied_revision.rpartition(":")[2] or _NOTHING
    ready = next((one for one in status.conditions if one.type == "Ready"), None)
    match ready.status if ready else "":
        case "True":
            return f"{revision} ready"
        case "False":
            return _said(revision, "failed", ready.message if ready else "")
    return _said(revision, "progressing", ready.message if ready else "not looked at yet")


def _argo_cd(application: Application) -> str:
    """The revision that it is compared with is applied only if in sync; until then the last one of its history."""
    status = application.status
    revision = status.history[-1].revision if status.history else _NOTHING
    wrong = [one.message for one in status.conditions if one.type.endswith("Error")]
    if wrong:
        return _said(revision, "failed", "; ".join(wrong))
    if status.sync.status == "Synced":
        return f"{status.sync.revision or revision} ready"
    if status.operation_state.phase in {"Failed", "Error"}:
        return _said(revision, "failed", status.operation_state.message)
    return _said(revision, "progressing", status.operation_state.message or status.sync.status or "not looked at yet")


def _said(revision: str, what: str, message: str) -> str:
    return f"{revision} {what}: {' '.join(message.split())[:_LONGEST]}"
