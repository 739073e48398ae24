from __future__ import annotations

import random
from dataclasses import fields, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from syncer.cluster import ClusterState
from syncer.cluster.directory import read
from syncer.observe import next_sequence
from syncer.protocol.observation import GatewayAddress, ObservedGateway, pack, unpack
from syncer.protocol.offer import Offer, Port
from tests.syncer.clusters import NOW, TICKETING, cluster, deployment, observed, pod, service
from tests.syncer.test_gateway import gateway_service, people_gateway

PAYMENTS = Offer(
    namespace="ticketing",
    service="payments",
    source="serviceexport",
    since="2026-02-01T09:00:00Z",
    ports=(Port(name="p8443", number=8443, protocol="HTTPS", target_port=8443),),
    service_accounts=("default",),
    selector={"app": "payments"},
    consumers=("east", "env=prod"),
    hosts=None,
)
SEATS = Offer(
    namespace="ticketing",
    service="seats",
    source="label",
    since="2026-03-02T10:00:00Z",
    ports=(
        Port(name="grpc", number=9000, protocol="GRPC", target_port=9001),
        Port(name="metrics", number=9100, protocol="HTTP", target_port=9100),
    ),
    service_accounts=("seats", "seats-v2"),
    selector={"app": "seats"},
    consumers=None,
    hosts=None,
)


def test_a_directory_of_manifests_becomes_one_complete_observation() -> None:
    observation = observed(read(TICKETING, "ticketing"))
    gateway = ObservedGateway(
        addresses=(GatewayAddress(ip="203.0.113.10", port=15443),), cluster_ip="10.0.3.7", cluster_port=15443
    )
    assert (PAYMENTS, SEATS) == observation.offers
    assert (gateway, (), ()) == (observation.gateway, observation.foreign, observation.refused)
    assert ("acme", "west", 1, NOW) == (
        observation.mesh,
        observation.cluster,
        observation.sequence,
        observation.observed_at,
    )
    assert ("label", "serviceexport") == observation.sources


def test_what_is_sent_is_what_was_observed() -> None:
    observation = observed(read(TICKETING, "ticketing"))
    assert observation == unpack(pack(observation))


def test_objects_of_ours_are_told_by_their_digest() -> None:
    managed = """
        apiVersion: networking.istio.io/v1
        kind: {kind}
        metadata:
          name: {name}
          namespace: peermesh-imports
          labels: {{app.kubernetes.io/managed-by: {manager}}}
          annotations: {{peermesh.io/digest: {digest}}}
        """
    state = cluster(
        managed.format(kind="ServiceEntry", name="reviews.bookinfo", manager="peermesh", digest="aa"),
        managed.format(kind="DestinationRule", name="reviews.bookinfo", manager="peermesh", digest="bb"),
        managed.format(kind="VirtualService", name="reviews.bookinfo", manager="peermesh", digest="cc"),
        managed.format(kind="Gateway", name="peermesh-bookinfo", manager="peermesh", digest="dd"),
        managed.format(kind="ServiceEntry", name="copied", manager="somebody", digest="ee"),
    )
    expected = {
        "DestinationRule/peermesh-imports/reviews.bookinfo": "bb",
        "Gateway/peermesh-imports/peermesh-bookinfo": "dd",
        "ServiceEntry/peermesh-imports/reviews.bookinfo": "aa",
        "VirtualService/peermesh-imports/reviews.bookinfo": "cc",
    }
    assert expected == observed(state).applied


MIXED = cluster(
    *(service(selector=f"{{app: a, n: '{i}'}}").replace("name: a,", f"name: s{i},") for i in range(4)),
    *(service(metadata="annotations: {peermesh.io/none: x}").replace("name: a,", f"name: r{i},") for i in range(3)),
    *(deployment(name=f"d{i}", pod=f"serviceAccountName: a{i}", labels=f"{{app: a, n: '{i % 4}'}}") for i in range(8)),
    *(
        pod(name=f"p{i}", spec=f"serviceAccountName: b{i}").replace("{app: a}", f"{{app: a, n: '{i}'}}")
        for i in range(4)
    ),
    *(gateway_service(name=f"gw-{i}", ingress=f"[{{ip: 203.0.113.{i}}}]") for i in range(3)),
    *(people_gateway(name=f"g{i}", host=f"s{i}.shop.svc.cluster.local") for i in range(3)),
    *(
        f"""
        apiVersion: networking.istio.io/v1
        kind: ServiceEntry
        metadata: {{name: e{i}}}
        spec: {{hosts: [b.c.mesh.internal, s{i}.shop.mesh.internal]}}
        """
        for i in range(3)
    ),
    *(
        f"""
        apiVersion: multicluster.x-k8s.io/v1alpha1
        kind: ServiceExport
        metadata: {{name: s{i}}}
        """
        for i in range(3)
    ),
)


def shuffled(state: ClusterState, chance: random.Random) -> ClusterState:
    orders = {field.name: getattr(state, field.name) for field in fields(state)}
    shuffled: dict[str, Any] = {
        name: tuple(chance.sample(objects, len(objects))) for name, objects in orders.items() if type(objects) is tuple
    }
    return replace(state, **shuffled)


@given(st.randoms(use_true_random=False))
def test_the_same_objects_in_any_order_give_the_same_bytes(chance: random.Random) -> None:
    assert pack(observed(MIXED)) == pack(observed(shuffled(MIXED, chance)))


def test_the_mixed_cluster_has_something_of_everything() -> None:
    observation = observed(MIXED)
    assert isinstance(observation.foreign, tuple)
    assert (7, 3, 9) == (len(observation.offers), len(observation.refused), len(observation.foreign))


def test_a_number_is_the_time_in_microseconds() -> None:
    assert 1_000_001 == next_sequence(0, datetime(1970, 1, 1, 0, 0, 1, 1, tzinfo=UTC))


def test_a_number_grows_even_when_the_clock_goes_back_or_stands() -> None:
    first = next_sequence(0, NOW)
    assert [first + 1, first + 1] == [next_sequence(first, NOW), next_sequence(first, NOW - timedelta(hours=1))]
