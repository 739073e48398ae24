"""`deploy/syncer/` and `deploy/ca-agent/` as kubectl's Kustomize builds them: accepted by an API server, and what
`cluster add` writes.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from syncer.agent import settings as agent
from syncer.settings import read_settings
from tests.cli import test_agent_manifests as of_agent
from tests.cli import test_syncer_manifests as of_syncer
from tests.e2e.kubernetes import Cluster

SYNCER, AGENT = of_syncer.BASE, of_agent.BASE
TOLD = {"PEERMESH_BROKER_URL": "redis://x", "PEERMESH_POD_NAMESPACE": "n"}


@pytest.mark.parametrize(
    ("base", "name", "given"),
    [
        pytest.param(
            SYNCER,
            "peermesh-syncer",
            of_syncer.objects("namespaces.yaml", "rights.yaml", "settings.yaml", "syncer.yaml"),
            id="syncer",
        ),
        pytest.param(AGENT, "peermesh-ca-agent", of_agent.objects(), id="agent"),
    ],
)
def test_the_base_builds_what_a_cluster_gets(
    pair: tuple[Cluster, Cluster], base: Path, name: str, given: list[dict[str, Any]]
) -> None:
    west, _ = pair
    built, own = by_id(yaml.safe_load_all(west.kubectl("kustomize", str(base)))), by_id(given)
    settings = ("ConfigMap", "peermesh-system", name)
    assert built.pop(settings)["data"].items() <= own.pop(settings)["data"].items()
    assert own == built


@pytest.mark.parametrize("base", [SYNCER, AGENT], ids=["syncer", "agent"])
def test_the_overlay_of_its_readme_is_accepted_and_tells_a_pod_which_cluster_it_is(
    pair: tuple[Cluster, Cluster], tmp_path: Path, base: Path
) -> None:
    west, _ = pair
    text = built(west, base, tmp_path)
    told = {one["metadata"]["name"]: one["data"] for one in yaml.safe_load_all(text) if one.keys() >= {"kind", "data"}}
    scope = read_settings(told["peermesh-syncer"] | TOLD).scope
    assert ("acme", "west") == (scope.mesh, scope.cluster)
    if base == AGENT:
        terms = agent.read_settings(told["peermesh-ca-agent"] | TOLD).terms
        assert ("acme", "west", "west.acme.example") == (terms.mesh, terms.cluster, terms.trust_domain)
    for name in ("istio-system", "peermesh-system"):
        west.kubectl("create", "namespace", name, check=False)
    west.apply(text, "--dry-run=server")


def test_no_agent_is_applied_before_the_policy_that_holds_it(pair: tuple[Cluster, Cluster], tmp_path: Path) -> None:
    """Kustomize sorts by kind unless it is told not to, and a policy comes after what it doesn't know then."""
    west, _ = pair
    for text in (west.kubectl("kustomize", str(AGENT)), built(west, AGENT, tmp_path)):
        order = list(by_id(yaml.safe_load_all(text)))
        policy = order.index(("ValidatingAdmissionPolicyBinding", "", "peermesh-ca-agent"))
        assert policy < order.index(("Deployment", "peermesh-system", "peermesh-ca-agent"))


def built(west: Cluster, base: Path, folder: Path) -> str:
    """What Kustomize makes of the overlay in a base's README."""
    overlay = re.search(r"```yaml\n(.*?)```", (base / "README.md").read_text(), re.DOTALL)
    assert overlay
    here, there = folder / "clusters" / "west", folder / "deploy"
    here.mkdir(parents=True)
    there.mkdir()
    for each in (SYNCER, AGENT):
        (there / each.name).symlink_to(each)
    (here / "kustomization.yaml").write_text(overlay[1])
    return west.kubectl("kustomize", "--load-restrictor=LoadRestrictionsNone", str(here))


def by_id(found: Any) -> dict[tuple[str, str, str], Any]:
    return {(one["kind"], one["metadata"].get("namespace", ""), one["metadata"]["name"]): one for one in found}
