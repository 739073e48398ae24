from __future__ import annotations

from dataclasses import fields

from syncer.cluster import ClusterState
from syncer.cluster.objects import KINDS
from syncer.cluster.resources import BY_FIELD, RESOURCES, ROUTING, rights

NOT_OBJECTS = {"istio", "kubernetes_version"}


def test_every_kind_of_a_folder_is_read_of_an_api_server_and_every_field_is_filled() -> None:
    assert set(KINDS) == {(resource.group, resource.kind) for resource in RESOURCES}
    assert {field.name for field in fields(ClusterState)} - NOT_OBJECTS == set(BY_FIELD)
    assert set(ROUTING) == {resource.kind for resource in RESOURCES if resource.group == "networking.istio.io"}


def test_only_kinds_that_a_crd_makes_may_be_absent() -> None:
    assert {"", "apps"} == {resource.group for resource in RESOURCES if not resource.custom}


def test_nothing_is_asked_for_but_lists_and_watches_and_of_what_holds_more_only_what_is_read() -> None:
    allowed = rights("mesh-system")
    assert {("list", "watch")} == {right.verbs for right in allowed}
    assert not [right for right in allowed if right.resource in {"secrets", "*"}]
    assert [
        ("mesh-system", "configmaps", ("istio",)),
        ("", "configmaps", ("istio-ca-root-cert",)),
        ("peermesh-system", "configmaps", ("peermesh-ca-status",)),
        ("", "namespaces", ("mesh-system",)),
    ] == [(right.namespace, right.resource, right.names) for right in allowed if right.names]


def test_selectors_and_places_are_part_of_the_request() -> None:
    by_plural = {resource.plural: resource for resource in RESOURCES if resource.plural != "configmaps"}
    config, roots, agent = (resource for resource in RESOURCES if resource.plural == "configmaps")
    assert "/api/v1/services" == by_plural["services"].path("v1", "istio-system")
    assert {} == by_plural["services"].query("istio-system")
    assert "/apis/multicluster.x-k8s.io/v1alpha1/serviceexports" == by_plural["serviceexports"].path("v1alpha1", "x")
    assert "/api/v1/namespaces/mesh-system/configmaps" == config.path("v1", "mesh-system")
    assert {"fieldSelector": "metadata.name=istio"} == config.query("mesh-system")
    assert "/api/v1/configmaps" == roots.path("v1", "mesh-system")
    assert {"fieldSelector": "metadata.name=istio-ca-root-cert"} == roots.query("mesh-system")
    assert "/api/v1/namespaces/peermesh-system/configmaps" == agent.path("v1", "mesh-system")
    assert {"fieldSelector": "metadata.name=mesh-system"} == by_plural["namespaces"].query("mesh-system")
    assert {"labelSelector": "app.kubernetes.io/part-of=peermesh"} == by_plural["kustomizations"].query("x")
