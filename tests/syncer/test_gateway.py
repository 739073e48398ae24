from __future__ import annotations

import textwrap

import pytest

from syncer.gateway import GatewayPlace, observed_gateway
from syncer.protocol.observation import GatewayAddress, ObservedGateway
from syncer.reasons import REASONS
from tests.syncer.clusters import cluster

PLACE = GatewayPlace()
REMEDY = 'Write spec.gateway.addresses in mesh/clusters/west.yaml, for example ["203.0.113.10:30443"].'


def gateway_service(
    *,
    name: str = "gw",
    namespace: str = "istio-eastwest",
    selector: str = "{istio: eastwestgateway}",
    ports: str = "[{port: 15443}]",
    spec: str = "type: LoadBalancer",
    ingress: str = "[{ip: 203.0.113.10}]",
) -> str:
    return textwrap.dedent(f"""\
        apiVersion: v1
        kind: Service
        metadata: {{name: {name}, namespace: {namespace}}}
        spec: {{clusterIP: 10.0.3.7, selector: {selector}, ports: {ports}, {spec}}}
        status: {{loadBalancer: {{ingress: {ingress}}}}}
        """)


def workload(labels: str, ports: str = "[]") -> str:
    return textwrap.dedent(f"""\
        apiVersion: apps/v1
        kind: Deployment
        metadata: {{name: gw, namespace: istio-eastwest}}
        spec:
          template: {{metadata: {{labels: {labels}}}, spec: {{containers: [{{ports: {ports}}}]}}}}
        """)


def people_gateway(
    *,
    name: str = "cross-network",
    selector: str = "{istio: eastwestgateway}",
    port: int = 15443,
    mode: str = "AUTO_PASSTHROUGH",
    host: str = "*.local",
    labels: str = "{}",
) -> str:
    return textwrap.dedent(f"""\
        apiVersion: networking.istio.io/v1
        kind: Gateway
        metadata: {{name: {name}, namespace: istio-system, labels: {labels}}}
        spec:
          selector: {selector}
          servers: [{{port: {{number: {port}}}, tls: {{mode: {mode}}}, hosts: ["{host}"]}}]
        """)


def ip(text: str, port: int = 15443) -> GatewayAddress:
    return GatewayAddress(ip=text, port=port)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (gateway_service(), [ip("203.0.113.10")]),
        (gateway_service(ingress="[{ip: 203.0.113.9}, {ip: 203.0.113.10}]"), [ip("203.0.113.10"), ip("203.0.113.9")]),
        (
            gateway_service(ingress="[{hostname: lb.example.com}]"),
            [GatewayAddress(host="lb.example.com", port=15443)],
        ),
        (gateway_service(ingress="[{ip: '2001:db8::7'}]"), [ip("2001:db8::7")]),
        (gateway_service(ingress="[{hostname: 'not a host'}, {ip: 203.0.113.10}]"), [ip("203.0.113.10")]),
        (gateway_service(ports="[{name: tls, port: 443, targetPort: 15443}]"), [ip("203.0.113.10", 443)]),
        (gateway_service(ports="[{name: a, port: 80}, {name: tls, port: 15443}]"), [ip("203.0.113.10")]),
        (gateway_service(ports="[{name: tls, port: 15443, targetPort: 8443}]"), [ip("203.0.113.10")]),
        (
            gateway_service(ports="[{name: a, port: 15443, targetPort: 1}, {name: b, port: 443, targetPort: 15443}]"),
            [ip("203.0.113.10", 443)],
        ),
        (
            gateway_service(ports="[{name: tls, port: 443, targetPort: through}]")
            + "---\n"
            + workload("{istio: eastwestgateway}", "[{name: through, containerPort: 15443}]"),
            [ip("203.0.113.10", 443)],
        ),
        (gateway_service(spec="type: NodePort, externalIPs: [198.51.100.4]"), [ip("198.51.100.4")]),
        (gateway_service(spec="type: ClusterIP, externalIPs: [198.51.100.4]"), [ip("198.51.100.4")]),
        (gateway_service(selector="{istio: eastwestgateway, app: gw}"), [ip("203.0.113.10")]),
        (
            gateway_service(selector="{app: gw}") + "---\n" + workload("{istio: eastwestgateway, app: gw}"),
            [ip("203.0.113.10")],
        ),
        (
            gateway_service(name="a-internal", spec="type: ClusterIP") + "---\n" + gateway_service(),
            [ip("203.0.113.10")],
        ),
    ],
)
def test_the_gateway_is_reached_where_its_service_says(text: str, expected: list[GatewayAddress]) -> None:
    gateway, told = observed_gateway(cluster(text), PLACE, cluster="west")
    assert (expected, ()) == (list(gateway.addresses), told)


def test_an_exporter_reaches_its_own_gateway_by_cluster_address_and_service_port() -> None:
    text = gateway_service(ports="[{name: tls, port: 443, targetPort: 15443}]")
    expected = ObservedGateway(addresses=(ip("203.0.113.10", 443),), cluster_ip="10.0.3.7", cluster_port=443)
    assert expected == observed_gateway(cluster(text), PLACE, cluster="west")[0]


def test_a_headless_gateway_has_no_cluster_address() -> None:
    text = gateway_service().replace("clusterIP: 10.0.3.7", "clusterIP: None")
    assert observed_gateway(cluster(text), PLACE, cluster="west")[0].cluster_ip is None


NO_ADDRESS = [
    (
        "NodePortGateway",
        gateway_service(spec="type: NodePort", ports="[{port: 15443, nodePort: 30443}]"),
        "the gateway's Service has a node port 30443, but no address that peers can use",
    ),
    (
        "PendingGateway",
        gateway_service(ingress="[]"),
        "the load balancer of the gateway's Service has no address yet",
    ),
    (
        "ClusterIPGateway",
        gateway_service(spec="type: ClusterIP"),
        "the gateway's Service is of type ClusterIP, which peers can't reach",
    ),
    (
        "NoGateway",
        "# nothing",
        "no Service in namespace istio-eastwest leads to port 15443 of pods with istio=eastwestgateway",
    ),
    (
        "NoGateway",
        gateway_service(namespace="istio-system"),
        "no Service in namespace istio-eastwest leads to port 15443 of pods with istio=eastwestgateway",
    ),
    (
        "NoGateway",
        gateway_service(ports="[{port: 443}]"),
        "no Service in namespace istio-eastwest leads to port 15443 of pods with istio=eastwestgateway",
    ),
    (
        "NoGateway",
        gateway_service(ports="[{port: 15443, protocol: UDP}]"),
        "no Service in namespace istio-eastwest leads to port 15443 of pods with istio=eastwestgateway",
    ),
    (
        "NoGateway",
        gateway_service(selector="{istio: ingressgateway}"),
        "no Service in namespace istio-eastwest leads to port 15443 of pods with istio=eastwestgateway",
    ),
]


@pytest.mark.parametrize(("reason", "text", "message"), NO_ADDRESS)
def test_a_gateway_without_address_is_told_with_its_remedy(reason: str, text: str, message: str) -> None:
    gateway, (told,) = observed_gateway(cluster(text), PLACE, cluster="west")
    assert () == gateway.addresses
    assert ("istio-eastwest", "gateway", reason, f"{message}. {REMEDY}") == (
        told.namespace,
        told.source,
        told.reason,
        told.message,
    )


def test_every_reason_about_gateways_is_documented_and_met_by_a_test() -> None:
    assert {reason for reason in REASONS if reason.endswith("Gateway")} == {reason for reason, _, _ in NO_ADDRESS}


def test_the_gateway_is_looked_for_where_the_mesh_says_it_is() -> None:
    place = GatewayPlace(namespace="edge", selector={"app": "through"}, port=9443)
    text = gateway_service(namespace="edge", selector="{app: through}", ports="[{port: 9443}]")
    assert (ip("203.0.113.10", 9443),) == observed_gateway(cluster(text), place, cluster="west")[0].addresses


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (people_gateway(), True),
        (people_gateway(host="*"), True),
        (people_gateway(host="*.svc.cluster.local"), True),
        (people_gateway(host="*.bookinfo.svc.cluster.local"), True),
        (people_gateway(host="istio-system/*"), True),
        (people_gateway(selector="{}"), True),
        (people_gateway(selector="{istio: eastwestgateway, app: gw}"), True),
        (people_gateway(host="*.shop.example.com"), False),
        (people_gateway(host="*.ocal"), False),
        (people_gateway(host="a.shop.svc.cluster.local"), False),
        (people_gateway(port=15444), False),
        (people_gateway(mode="PASSTHROUGH"), False),
        (people_gateway(selector="{istio: ingressgateway}"), False),
        (people_gateway(labels="{app.kubernetes.io/managed-by: peermesh}"), False),
        (people_gateway(selector="{app: gw}") + "---\n" + workload("{istio: eastwestgateway, app: gw}"), True),
        (people_gateway(selector="{app: gw}") + "---\n" + workload("{istio: eastwestgateway, app: other}"), False),
    ],
)
def test_a_wildcard_of_people_on_the_same_port_and_pods_is_seen(text: str, expected: bool) -> None:
    assert expected == observed_gateway(cluster(text), PLACE, cluster="west")[0].wildcard
