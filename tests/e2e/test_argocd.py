"""What is written for Argo CD, against its own schemas and a real API server; Argo CD itself doesn't run here."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from tests.cli.calls import done
from tests.cli.conftest import as_person
from tests.e2e import build
from tests.e2e.kubernetes import Cluster, wait_for_crds

_KINDS = ("application", "applicationset", "appproject")


def test_an_api_server_with_argo_cds_kinds_takes_every_manifest(
    pair: tuple[Cluster, Cluster], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    west, _ = pair
    crds = build.module_folder("crds-argocd", "github.com/argoproj/argo-cd/v3") / "manifests" / "crds"
    for kind in _KINDS:
        west.apply(crds / f"{kind}-crd.yaml")
    wait_for_crds(west)
    west.kubectl("create", "namespace", "argocd")
    as_person(tmp_path, monkeypatch)
    done("init", tmp_path / "mesh")
    for name, more in (("west", ()), ("123", ("--gateway-namespace", "on"))):
        done(
            *("cluster", "add", name, "--repo", tmp_path / "mesh", "--remote", "https://git.example/mesh.git"),
            *("--network", name, "--trust-domain", f"c{name}.example", *more),
        )
    for path in sorted((tmp_path / "mesh/delivery/argocd").rglob("*.yaml")):
        # An unknown field is an error, as for `kubectl apply`.
        west.apply(path, "--validate=strict")
    listed = yaml.safe_load(west.kubectl("-n", "argocd", "get", "appprojects", "peermesh-123-gateway", "-o", "yaml"))
    assert [{"name": "123", "namespace": "on"}] == listed["spec"]["destinations"]
