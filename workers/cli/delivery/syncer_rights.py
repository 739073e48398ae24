"""What a syncer may do in its cluster: exactly what it reads, one Lease, and the one Secret that keeps its key.

Pure. What is read says `syncer.cluster.resources`, so no manifest lags behind the program.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import groupby
from typing import Any, Final

from syncer.cluster.resources import Right, rights
from workers.documents.writing import dump

SYNCER: Final = "peermesh-syncer"
"""The name of everything that it has."""
SYNCER_NAMESPACE: Final = "peermesh-system"
KEY_SECRET: Final = "peermesh-syncer-key"  # noqa: S105 - a name
LABELS: Final[Mapping[str, str]] = {"app.kubernetes.io/name": SYNCER, "app.kubernetes.io/part-of": "peermesh"}
_OWN: Final = (
    Right(
        namespace=SYNCER_NAMESPACE,
        group="coordination.k8s.io",
        resource="leases",
        verbs=("get", "update"),
        names=(SYNCER,),
    ),
    Right(namespace=SYNCER_NAMESPACE, group="", resource="secrets", verbs=("get", "update"), names=(KEY_SECRET,)),
)
_RBAC: Final = "rbac.authorization.k8s.io"


def syncer_rights() -> tuple[Right, ...]:
    """All of them."""
    return (*rights(), *_OWN)


def rights_manifests(granted: Iterable[Right] | None = None) -> bytes:
    """The service account with a Role for each namespace and a ClusterRole for what lies in many, as YAML."""
    account = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": _metadata(SYNCER_NAMESPACE)}
    places = sorted(syncer_rights() if granted is None else granted, key=lambda right: right.namespace)
    roles = [
        manifest
        for namespace, inside in groupby(places, key=lambda right: right.namespace)
        for manifest in _role(namespace, tuple(inside))
    ]
    return dump([account, *roles])


def _role(namespace: str, inside: tuple[Right, ...]) -> tuple[dict[str, Any], dict[str, Any]]:
    kind = "Role" if namespace else "ClusterRole"
    head = {"apiVersion": f"{_RBAC}/v1"}
    role = {**head, "kind": kind, "metadata": _metadata(namespace), "rules": _rules(inside)}
    binding = {
        **head,
        "kind": f"{kind}Binding",
        "metadata": _metadata(namespace),
        "roleRef": {"apiGroup": _RBAC, "kind": kind, "name": SYNCER},
        "subjects": [{"kind": "ServiceAccount", "name": SYNCER, "namespace": SYNCER_NAMESPACE}],
    }
    return role, binding


def _rules(inside: tuple[Right, ...]) -> list[dict[str, Any]]:
    """One rule for all resources of a group with the same verbs; what is named has one of its own."""
    found: dict[tuple[str, tuple[str, ...], tuple[str, ...]], list[str]] = {}
    for right in inside:
        found.setdefault((right.group, right.verbs, right.names), []).append(right.resource)
    return [
        {
            "apiGroups": [group],
            "resources": resources,
            **({"resourceNames": list(names)} if names else {}),
            "verbs": list(verbs),
        }
        for (group, verbs, names), resources in found.items()
    ]


def _metadata(namespace: str) -> dict[str, Any]:
    place = {"namespace": namespace} if namespace else {}
    return {"name": SYNCER, **place, "labels": dict(LABELS)}
