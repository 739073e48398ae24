"""A service account and its roles as manifests: what a process of ours may do in its cluster. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import groupby
from typing import Any, Final

from syncer.cluster.resources import Right

_RBAC: Final = "rbac.authorization.k8s.io"


@dataclass(frozen=True, kw_only=True)
class Account:
    """A service account; its roles have its name, wherever they are."""

    name: str
    namespace: str

    @property
    def labels(self) -> Mapping[str, str]:
        """Of everything that it has."""
        return {"app.kubernetes.io/name": self.name, "app.kubernetes.io/part-of": "peermesh"}

    def metadata(self, namespace: str) -> dict[str, Any]:
        """Of one of its objects; without a namespace: of one that has none."""
        place = {"namespace": namespace} if namespace else {}
        return {"name": self.name, **place, "labels": dict(self.labels)}


def account_manifests(account: Account, granted: Iterable[Right]) -> list[dict[str, Any]]:
    """The service account with a Role for each namespace, and a ClusterRole for what lies in many."""
    head = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": account.metadata(account.namespace)}
    places = sorted(granted, key=lambda right: right.namespace)
    roles = [
        manifest
        for namespace, inside in groupby(places, key=lambda right: right.namespace)
        for manifest in _role(account, namespace, tuple(inside))
    ]
    return [head, *roles]


def _role(account: Account, namespace: str, inside: tuple[Right, ...]) -> tuple[dict[str, Any], dict[str, Any]]:
    kind = "Role" if namespace else "ClusterRole"
    head = {"apiVersion": f"{_RBAC}/v1"}
    role = {**head, "kind": kind, "metadata": account.metadata(namespace), "rules": _rules(inside)}
    binding = {
        **head,
        "kind": f"{kind}Binding",
        "metadata": account.metadata(namespace),
        "roleRef": {"apiGroup": _RBAC, "kind": kind, "name": account.name},
        "subjects": [{"kind": "ServiceAccount", "name": account.name, "namespace": account.namespace}],
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
