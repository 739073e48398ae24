"""What is kept of an object is all that an observation depends on, and equal values are kept once."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import msgspec
import pytest

from syncer.cluster import ClusterState
from syncer.cluster.directory import read
from syncer.cluster.lean import lean
from syncer.cluster.objects import ReplicaSet, Workload
from syncer.cluster.resources import BY_FIELD
from tests.syncer.clusters import TICKETING, cluster, deployment, observed, pod, service
from tests.syncer.test_observe import MIXED


def leaned(state: ClusterState) -> ClusterState:
    fields: dict[str, Any] = {
        field: tuple(kept for item in getattr(state, field) or () if (kept := lean(item)) is not None)
        for field in BY_FIELD
    }
    return replace(state, **fields)


@pytest.mark.parametrize("state", [MIXED, read(TICKETING, "ticketing")], ids=["mixed", "ticketing"])
def test_an_observation_of_what_is_kept_is_the_observation_of_everything(state: ClusterState) -> None:
    assert observed(state) == observed(leaned(state))


PODS = """
apiVersion: v1
kind: Pod
metadata:
  name: {name}
  labels: {{app: a, version: v1}}
  annotations: {{sidecar.istio.io/status: {name}}}
  creationTimestamp: "2026-01-01T00:00:00Z"
spec:
  serviceAccount: a
  initContainers:
  - {{name: once, ports: [{{name: once, containerPort: 1}}]}}
  - {{name: side, restartPolicy: Always, ports: [{{name: side, containerPort: 2}}]}}
  containers:
  - {{name: main, image: "a:1", ports: [{{name: web, containerPort: 80}}, {{containerPort: 81}}]}}
  - {{name: udp, image: "b:1", ports: [{{name: dns, protocol: UDP, containerPort: 53}}]}}
status: {{phase: {phase}}}
"""


def pods(*texts: str) -> list[Any]:
    return [lean(item) for item in cluster(*texts).pods]


def test_of_a_pod_its_labels_its_account_and_the_ports_that_have_names_are_kept() -> None:
    (kept,) = pods(PODS.format(name="a-1", phase="Running"))
    assert {
        "metadata": {"name": "a-1", "namespace": "shop", "labels": {"app": "a", "version": "v1"}},
        "spec": {
            "serviceAccountName": "a",
            "containers": [{"ports": [{"name": "web", "containerPort": 80}]}],
            "initContainers": [{"restartPolicy": "Always", "ports": [{"name": "side", "containerPort": 2}]}],
        },
    } == said(kept)


def said(item: Any) -> Any:
    """As the API writes it, without what is as by default."""
    value = msgspec.to_builtins(item)
    return _without_defaults(value)


def _without_defaults(value: Any) -> Any:
    if isinstance(value, dict):
        pairs = {key: _without_defaults(inner) for key, inner in value.items()}
        return {key: inner for key, inner in pairs.items() if inner not in ("", {}, [], None, "TCP")}
    return [_without_defaults(inner) for inner in value] if isinstance(value, list | tuple) else value


_SIDECAR = """  containers:
  - name: istio-proxy
    image: proxyv2
    env: [{{name: POD_NAME, valueFrom: {{}}}}, {{name: PROXY_CONFIG_XDS_AGENT, value: "true"}}]
"""


def test_of_a_workload_of_the_mesh_its_address_and_what_its_sidecar_is_told_of_roots_are_kept_too() -> None:
    status = 'podIP: 10.0.0.1, hostIP: 10.1.0.1, startTime: "2026-01-01T00:00:00Z"'
    text = PODS.replace("app: a,", "security.istio.io/tlsMode: istio,").replace("  containers:\n", _SIDECAR)
    pending, running = pods(*(text.format(name="a-1", phase=f"{phase}, {status}") for phase in ("Pending", "Running")))
    assert pending == running
    kept = said(running)
    assert {"podIP": "10.0.0.1", "hostIP": "10.1.0.1", "startTime": "2026-01-01T00:00:00Z"} == kept["status"]
    variable = {"name": "PROXY_CONFIG_XDS_AGENT", "value": "true"}
    assert {"name": "istio-proxy", "env": [variable]} == kept["spec"]["containers"][0]


ROOTS = """
apiVersion: v1
kind: ConfigMap
metadata: {{name: istio-ca-root-cert, namespace: {namespace}}}
data: {{root-cert.pem: x}}
"""


def test_the_same_roots_of_many_namespaces_are_one_value() -> None:
    first, second = (lean(one) for one in cluster(ROOTS.format(namespace="a"), ROOTS.format(namespace="b")).config_maps)
    assert first is not None
    assert second is not None
    assert first.data is second.data


def test_equal_parts_of_many_pods_are_one_value() -> None:
    first, second = pods(PODS.format(name="a-1", phase="Running"), PODS.format(name="a-2", phase="Pending"))
    assert first.spec is second.spec
    assert first.metadata.labels is second.metadata.labels


@pytest.mark.parametrize("phase", ["Succeeded", "Failed"])
def test_a_pod_that_has_ended_is_nobodys(phase: str) -> None:
    assert [None] == pods(PODS.format(name="a-1", phase=phase))


def test_a_change_of_phase_or_annotations_is_no_change() -> None:
    pending, running = pods(PODS.format(name="a-1", phase="Pending"), PODS.format(name="a-1", phase="Running"))
    assert pending == running


def test_a_replica_set_counts_only_by_itself() -> None:
    text = deployment().replace("kind: Deployment", "kind: ReplicaSet")
    owned = text.replace("metadata: {name: a}", "metadata: {name: a, ownerReferences: [{controller: true}]}")
    alone, kept = cluster(text).workloads[0], cluster(owned).workloads[0]
    assert isinstance(lean(alone), ReplicaSet)
    assert lean(kept) is None


def test_only_of_istiod_the_image_is_kept() -> None:
    spec = "containers: [{name: x, image: 'x:1'}]"
    plain, istiod = (
        lean(cluster(deployment(pod=spec, labels=labels)).workloads[0]) for labels in ("{app: a}", "{app: istiod}")
    )
    assert isinstance(plain, Workload)
    assert isinstance(istiod, Workload)
    assert () == plain.spec.template.spec.containers
    assert ["x:1"] == [container.image for container in istiod.spec.template.spec.containers]


def test_of_a_services_labels_and_annotations_only_ours_are_kept_and_those_of_istio_that_hide_it() -> None:
    annotations = "{peermesh.io/ports: http, note: long, networking.istio.io/exportTo: '*'}"
    (made,) = cluster(service(metadata=f"annotations: {annotations}")).services
    kept = lean(made)
    assert kept is not None
    assert {"peermesh.io/export": "true"} == kept.metadata.labels
    assert {"peermesh.io/ports": "http", "networking.istio.io/exportTo": "*"} == kept.metadata.annotations
    assert cluster(pod()).pods[0].metadata.labels == {"app": "a"}
