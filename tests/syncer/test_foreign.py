from __future__ import annotations

import pytest

from syncer.foreign import MeshHosts, foreign
from syncer.gateway import GatewayPlace
from syncer.protocol.observation import Foreign
from tests.syncer.clusters import cluster
from tests.syncer.test_gateway import people_gateway

HOSTS = MeshHosts(patterns=("*.shop.example.com", "tickets.example.com"))
HOST = "reviews.bookinfo.mesh.internal"


def istio(kind: str, spec: str, labels: str = "{}") -> str:
    return f"""
        apiVersion: networking.istio.io/v1
        kind: {kind}
        metadata: {{name: own, namespace: shop, labels: {labels}}}
        spec: {{{spec}}}
        """


def found(*texts: str) -> list[tuple[str, str]]:
    return [(one.kind, one.host) for one in foreign(cluster(*texts), HOSTS, GatewayPlace())]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (istio("ServiceEntry", f"hosts: [{HOST}]"), [("ServiceEntry", HOST)]),
        (istio("DestinationRule", f"host: {HOST}"), [("DestinationRule", HOST)]),
        (istio("VirtualService", f"hosts: [{HOST}]"), [("VirtualService", HOST)]),
        (istio("VirtualService", f"hosts: [{HOST}], gateways: [mesh, edge]"), [("VirtualService", HOST)]),
        (istio("ServiceEntry", f"hosts: [{HOST.upper()}]"), [("ServiceEntry", HOST)]),
        (istio("ServiceEntry", "hosts: [a.b.shop.example.com]"), [("ServiceEntry", "a.b.shop.example.com")]),
        (istio("ServiceEntry", "hosts: [tickets.example.com]"), [("ServiceEntry", "tickets.example.com")]),
        (
            istio("ServiceEntry", f"hosts: [b.c.mesh.internal, {HOST}, api.example.com]"),
            [("ServiceEntry", "b.c.mesh.internal"), ("ServiceEntry", HOST)],
        ),
        # What isn't for a host of the mesh, or isn't people's, or changes nothing for callers.
        (istio("ServiceEntry", "hosts: [shop.example.com]"), []),
        (istio("ServiceEntry", "hosts: [a.tickets.example.com]"), []),
        (istio("ServiceEntry", "hosts: [mesh.internal, a.mesh.internal, a.b.c.mesh.internal]"), []),
        (istio("DestinationRule", "host: reviews"), []),
        (istio("VirtualService", f"hosts: [{HOST}], gateways: [edge]"), []),
        (istio("ServiceEntry", f"hosts: [{HOST}]", "{app.kubernetes.io/managed-by: peermesh}"), []),
        (istio("Sidecar", f"hosts: [{HOST}]"), []),
    ],
)
def test_peoples_own_objects_for_hosts_of_the_mesh_are_seen(text: str, expected: list[tuple[str, str]]) -> None:
    assert expected == found(text)


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("ledger.payments.svc.cluster.local", [("Gateway", "ledger.payments.svc.cluster.local")]),
        ("payments/ledger.payments.svc.cluster.local", [("Gateway", "ledger.payments.svc.cluster.local")]),
        ("*.payments.svc.cluster.local", []),
        ("ledger.example.com", []),
    ],
)
def test_a_gateway_that_lets_a_cluster_local_host_in_is_seen(host: str, expected: list[tuple[str, str]]) -> None:
    assert expected == found(people_gateway(host=host))


def test_a_foreign_object_says_who_it_is() -> None:
    expected = Foreign(kind="ServiceEntry", namespace="shop", name="own", host=HOST)
    state = cluster(istio("ServiceEntry", f"hosts: [{HOST}]"))
    assert (expected,) == foreign(state, MeshHosts(), GatewayPlace())


def test_the_template_decides_which_hosts_are_of_the_mesh() -> None:
    hosts = MeshHosts(template="{namespace}.{service}.example.com")
    assert hosts.include("bookinfo.reviews.example.com")
    assert not hosts.include(HOST)
    assert not hosts.include("bookinfo.reviewsXexample.com")
