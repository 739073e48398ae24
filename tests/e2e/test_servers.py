"""The clusters of these tests are what the rest takes them for."""

from __future__ import annotations

from tests.e2e.kubernetes import Cluster


def test_two_api_servers_are_two_clusters_with_the_kinds_of_istio(pair: tuple[Cluster, Cluster]) -> None:
    west, east = pair
    west.kubectl("create", "namespace", "only-west")
    assert "only-west" in west.kubectl("get", "namespaces")
    assert "only-west" not in east.kubectl("get", "namespaces")
    for cluster in pair:
        assert "serviceentries.networking.istio.io" in cluster.kubectl("get", "crd", "-o", "name")
