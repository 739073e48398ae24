"""`deploy/syncer/` as kubectl's Kustomize builds it: accepted by an API server, and what `cluster add` writes."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import yaml

from syncer.settings import read_settings
from tests.cli.test_syncer_manifests import BASE, objects
from tests.e2e.kubernetes import Cluster


def test_the_base_builds_what_a_cluster_gets(pair: tuple[Cluster, Cluster]) -> None:
    west, _ = pair
    built = by_id(yaml.safe_load_all(west.kubectl("kustomize", str(BASE))))
    given = by_id(objects("namespaces.yaml", "rights.yaml", "settings.yaml", "syncer.yaml"))
    settings = ("ConfigMap", "peermesh-system", "peermesh-syncer")
    assert built.pop(settings)["data"].items() <= given.pop(settings)["data"].items()
    assert given == built


def test_the_overlay_of_its_readme_is_accepted_and_tells_a_syncer_which_it_is(
    pair: tuple[Cluster, Cluster], tmp_path: Path
) -> None:
    west, _ = pair
    overlay = re.search(r"```yaml\n(.*?)```", (BASE / "README.md").read_text(), re.DOTALL)
    assert overlay
    here, there = tmp_path / "clusters" / "west", tmp_path / "deploy" / "syncer"
    here.mkdir(parents=True)
    there.parent.mkdir()
    there.symlink_to(BASE)
    (here / "kustomization.yaml").write_text(overlay[1])
    text = west.kubectl("kustomize", "--load-restrictor=LoadRestrictionsNone", str(here))
    (told,) = (one for one in yaml.safe_load_all(text) if one["kind"] == "ConfigMap")
    scope = read_settings(told["data"] | {"PEERMESH_BROKER_URL": "redis://x", "PEERMESH_POD_NAMESPACE": "n"}).scope
    assert ("acme", "west") == (scope.mesh, scope.cluster)
    for name in ("istio-system", "peermesh-system"):
        west.kubectl("create", "namespace", name, check=False)
    west.apply(text, "--dry-run=server")


def by_id(found: Any) -> dict[tuple[str, str, str], Any]:
    return {(one["kind"], one["metadata"].get("namespace", ""), one["metadata"]["name"]): one for one in found}
