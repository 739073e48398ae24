from __future__ import annotations

import json
from typing import Any

import pytest

from syncer.units import units
from tests.syncer.clusters import cluster

SHA = "0123456789abcdef0123456789abcdef01234567"
OLD = "f" * 40


def said(*objects: dict[str, Any]) -> dict[str, str]:
    return dict(units(cluster(*map(json.dumps, objects)), "west"))


def kustomization(status: dict[str, Any], *, path: str = "./clusters/west/gateway", **labels: str) -> dict[str, Any]:
    return {
        "apiVersion": "kustomize.toolkit.fluxcd.io/v1",
        "kind": "Kustomization",
        "metadata": {"name": "x", "labels": {"app.kubernetes.io/part-of": "peermesh", **labels}},
        "spec": {"path": path},
        "status": status,
    }


def ready(status: str, message: str = "", revision: str = f"main@sha1:{SHA}") -> dict[str, Any]:
    return {
        "lastAppliedRevision": revision,
        "conditions": [
            {"type": "Healthy", "status": "True"},
            {"type": "Ready", "status": status, "reason": "R", "message": message},
        ],
    }


@pytest.mark.parametrize(
    ("status", "told"),
    [
        (ready("True", "Applied revision: …"), f"{SHA} ready"),
        (ready("False", "ServiceEntry/x\ndry-run failed"), f"{SHA} failed: ServiceEntry/x dry-run failed"),
        (ready("Unknown", "Reconciliation in progress"), f"{SHA} progressing: Reconciliation in progress"),
        (ready("False", "no such path", revision=""), "none failed: no such path"),
        ({}, "none progressing: not looked at yet"),
    ],
)
def test_flux_says_what_is_applied_and_what_became_of_the_last_try(status: dict[str, Any], told: str) -> None:
    assert {"unit/gateway": told} == said(kustomization(status))


def test_messages_are_bounded() -> None:
    (told,) = said(kustomization(ready("False", "x" * 5000))).values()
    assert len(told) < 1100


@pytest.mark.parametrize(
    ("path", "names"),
    [
        ("clusters/west/policy/shop", ["unit/policy/shop"]),
        ("/clusters/west/imports/", ["unit/imports"]),
        ("./clusters/east/gateway", []),
        ("./clusters/west", []),
        ("./apps/clusters/west/gateway", []),
        ("", []),
    ],
)
def test_a_unit_is_called_like_its_folder_and_those_of_other_clusters_arent_ours(path: str, names: list[str]) -> None:
    assert names == list(said(kustomization(ready("True"), path=path)))


def test_what_isnt_part_of_peermesh_isnt_looked_at() -> None:
    other = kustomization(ready("True"), **{"app.kubernetes.io/part-of": "apps"})
    assert {} == said(other)


def application(status: dict[str, Any]) -> dict[str, Any]:
    return {
        "apiVersion": "argoproj.io/v1alpha1",
        "kind": "Application",
        "metadata": {"name": "peermesh-west-imports", "labels": {"app.kubernetes.io/part-of": "peermesh"}},
        "spec": {"source": {"path": "clusters/west/imports"}},
        "status": status,
    }


HISTORY = [{"revision": "a" * 40, "id": 0}, {"revision": OLD, "id": 1}]


@pytest.mark.parametrize(
    ("status", "told"),
    [
        ({"sync": {"status": "Synced", "revision": SHA}, "history": HISTORY}, f"{SHA} ready"),
        (
            {
                "sync": {"status": "OutOfSync", "revision": SHA},
                "operationState": {"phase": "Failed", "message": "one or more objects failed to apply"},
                "history": HISTORY,
            },
            f"{OLD} failed: one or more objects failed to apply",
        ),
        (
            {
                "sync": {"status": "OutOfSync", "revision": SHA},
                "operationState": {"phase": "Running", "message": "waiting"},
                "history": HISTORY,
            },
            f"{OLD} progressing: waiting",
        ),
        (
            {
                "sync": {"status": "Unknown"},
                "conditions": [{"type": "ComparisonError", "message": "app path does not exist"}],
                "history": HISTORY,
            },
            f"{OLD} failed: app path does not exist",
        ),
        ({}, "none progressing: not looked at yet"),
    ],
)
def test_argo_cd_says_what_is_applied_and_what_became_of_the_last_try(status: dict[str, Any], told: str) -> None:
    assert {"unit/imports": told} == said(application(status))
