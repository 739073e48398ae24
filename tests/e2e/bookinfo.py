"""Istio's bookinfo as objects: four services, each with a service account, six Deployments.

`BOOKINFO=FILE` takes the sample itself in its place.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import yaml

NAMESPACE = "bookinfo"
_VERSIONS = {"details": ("v1",), "ratings": ("v1",), "reviews": ("v1", "v2", "v3"), "productpage": ("v1",)}


def bookinfo() -> str:
    """The manifests, without a namespace, as `kubectl -n bookinfo apply -f` takes them."""
    if sample := os.environ.get("BOOKINFO"):
        return Path(sample).read_text()
    objects = [item for name, versions in _VERSIONS.items() for item in _application(name, versions)]
    return yaml.safe_dump_all(objects)


def gateway(ip: str) -> tuple[str, dict[str, Any]]:
    """The east-west gateway's Service, and the status that a cloud provider would give it."""
    service = _object("v1", "Service", "istio-eastwestgateway") | {
        "spec": {
            "type": "LoadBalancer",
            "selector": {"istio": "eastwestgateway"},
            "ports": [{"name": "tls", "port": 15443, "targetPort": 15443}],
        }
    }
    return yaml.safe_dump(service), {"loadBalancer": {"ingress": [{"ip": ip}]}}


def _application(name: str, versions: tuple[str, ...]) -> list[dict[str, Any]]:
    account = f"bookinfo-{name}"
    service = _object("v1", "Service", name, app=name, service=name)
    service["spec"] = {"ports": [{"port": 9080, "name": "http"}], "selector": {"app": name}}
    return [
        service,
        _object("v1", "ServiceAccount", account, account=name),
        *(_deployment(name, version, account) for version in versions),
    ]


def _deployment(name: str, version: str, account: str) -> dict[str, Any]:
    labels = {"app": name, "version": version}
    container = {
        "name": name,
        "image": f"docker.io/istio/examples-bookinfo-{name}-{version}:1.20.3",
        "ports": [{"containerPort": 9080}],
    }
    template = {"metadata": {"labels": labels}, "spec": {"serviceAccountName": account, "containers": [container]}}
    deployment = _object("apps/v1", "Deployment", f"{name}-{version}", **labels)
    return deployment | {"spec": {"replicas": 1, "selector": {"matchLabels": labels}, "template": template}}


def _object(api: str, kind: str, name: str, **labels: str) -> dict[str, Any]:
    metadata: dict[str, Any] = {"name": name}
    return {"apiVersion": api, "kind": kind, "metadata": metadata | ({"labels": labels} if labels else {})}
