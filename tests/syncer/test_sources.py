from __future__ import annotations

import pytest
from msgspec.structs import replace

from syncer.protocol.offer import Offer, Port
from syncer.reasons import REASONS
from syncer.sources import SOURCES
from tests.syncer.clusters import cluster, deployment, observed, pod, said, service

HTTP = Port(name="http", number=80, protocol="HTTP", target_port=80)
OFFER = Offer(
    namespace="shop",
    service="a",
    source="label",
    since=None,
    ports=(HTTP,),
    service_accounts=("a",),
    selector={"app": "a"},
    consumers=None,
    hosts=None,
)
EXPORT = """
    apiVersion: multicluster.x-k8s.io/v1alpha1
    kind: ServiceExport
    metadata: {name: a, creationTimestamp: "2026-02-01T09:00:00Z"}
    """
UNLABELLED = service().replace("peermesh.io/export", "app")


def annotated(annotation: str) -> str:
    return service(metadata=f"annotations: {{{annotation}}}")


def test_a_labelled_service_is_offered_with_everything_that_it_says() -> None:
    text = service(metadata='creationTimestamp: "2026-01-12T09:05:00Z"')
    assert ((replace(OFFER, since="2026-01-12T09:05:00Z"),), ()) == said(text, deployment())


@pytest.mark.parametrize("version", ["v1alpha1", "v1beta1"])
def test_a_serviceexport_exports_the_service_of_its_name_and_gives_its_age(version: str) -> None:
    offers = said(UNLABELLED, deployment(), EXPORT.replace("v1alpha1", version))
    assert ((replace(OFFER, source="serviceexport", since="2026-02-01T09:00:00Z"),), ()) == offers


def test_a_service_that_is_marked_twice_is_offered_twice() -> None:
    offers, refused = said(service(), deployment(), EXPORT)
    assert (["label", "serviceexport"], ()) == ([offer.source for offer in offers], refused)


@pytest.mark.parametrize(
    "metadata", ["", 'labels: {peermesh.io/export: "false"}', "annotations: {peermesh.io/consumers: east}"]
)
def test_what_nobody_marks_is_not_offered_and_not_told(metadata: str) -> None:
    text = f"apiVersion: v1\nkind: Service\nmetadata: {{name: a, {metadata}}}\nspec: {{ports: [{{port: 80}}]}}\n"
    assert ((), ()) == said(text)


def test_a_cluster_without_the_kind_doesnt_count_it_among_its_sources() -> None:
    assert ("label",) == observed(cluster(service(), deployment(), service_exports=None)).sources
    assert ("label", "serviceexport") == observed(cluster(service(), deployment())).sources


@pytest.mark.parametrize("source", SOURCES)
def test_every_source_reads_an_empty_cluster_as_nothing(source: str) -> None:
    assert [] == list(SOURCES[source].exports(cluster(), source))


# --- ports


@pytest.mark.parametrize(
    ("ports", "expected"),
    [
        ("[{port: 80}]", (Port(name="p80", number=80, target_port=80),)),
        ("[{name: http, port: 80, targetPort: 8080}]", (replace(HTTP, target_port=8080),)),
        ("[{name: http, port: 80, targetPort: web}]", (replace(HTTP, target_port=8081),)),
        ("[{name: http, port: 80, targetPort: side}]", (replace(HTTP, target_port=8082),)),
        ("[{name: x, port: 80, appProtocol: grpc}]", (Port(name="x", number=80, protocol="GRPC", target_port=80),)),
        (
            "[{name: http-b, port: 81}, {name: http, port: 80}]",
            (HTTP, Port(name="http-b", number=81, protocol="HTTP", target_port=81)),
        ),
    ],
)
def test_ports_are_named_resolved_and_sorted_by_number(ports: str, expected: tuple[Port, ...]) -> None:
    runs = """serviceAccountName: a, containers: [{ports: [{name: web, containerPort: 8081}]}],
        initContainers: [{restartPolicy: Always, ports: [{name: side, containerPort: 8082}]}]"""
    ((offer,), refused) = said(service(spec=f"ports: {ports}"), deployment(pod=" ".join(runs.split())))
    assert (expected, ()) == (offer.ports, refused)


def test_pods_say_what_a_named_port_is_and_templates_only_where_there_is_no_pod() -> None:
    web = "containers: [{{ports: [{{name: web, containerPort: {}}}]}}]"
    text = service(spec="ports: [{name: http, port: 80, targetPort: web}]")
    new, old = deployment(pod=web.format(8080)), pod(spec=web.format(9090))
    assert [9090] == [offer.ports[0].target_port for offer in said(text, new, old)[0]]
    assert [8080] == [offer.ports[0].target_port for offer in said(text, new)[0]]


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [("http", [80]), ("81", [81]), ("p82, 80", [80, 82]), (" 80 ,http", [80])],
)
def test_an_annotation_chooses_ports_by_name_or_number(wanted: str, expected: list[int]) -> None:
    text = service(
        metadata=f'annotations: {{peermesh.io/ports: "{wanted}"}}',
        spec="ports: [{name: http, port: 80}, {name: admin, port: 81}, {port: 82}]",
    )
    assert [expected] == [[port.number for port in offer.ports] for offer in said(text, deployment())[0]]


def test_a_udp_port_is_left_out_and_told_while_the_others_are_offered() -> None:
    text = service(spec="ports: [{name: http, port: 80}, {name: dns, port: 53, protocol: UDP}]")
    (offer,), (refused,) = said(text, deployment())
    assert ((HTTP,), "UDP") == (offer.ports, refused.reason)
    assert refused.message == (
        "port dns is UDP, which no east-west gateway carries. peermesh.io/ports chooses the other ports."
    )


def test_a_udp_port_that_nobody_wants_isnt_told() -> None:
    text = service(
        metadata="annotations: {peermesh.io/ports: http}",
        spec="ports: [{name: http, port: 80}, {name: dns, port: 53, protocol: UDP}]",
    )
    assert ((OFFER,), ()) == said(text, deployment())


def test_a_target_port_that_isnt_known_now_leaves_no_other_port_out() -> None:
    text = service(spec="ports: [{name: http, port: 80}, {name: http-b, port: 81, targetPort: web}]")
    offers, refused = said(text, deployment())
    assert ((), ["TargetPort"]) == (offers, [one.reason for one in refused])


# --- identities


@pytest.mark.parametrize(
    ("runs", "expected"),
    [
        ([], ()),
        ([deployment()], ("a",)),
        ([deployment(pod="")], ("default",)),
        ([deployment(pod="serviceAccount: old-spelling")], ("old-spelling",)),
        ([pod(), deployment(pod="serviceAccountName: b")], ("a", "b")),
        ([pod(phase="Succeeded"), pod(name="a-2", phase="Failed")], ()),
        ([pod(phase="Pending")], ("a",)),
        ([deployment(labels="{app: other}")], ()),
        ([deployment(labels="{app: a, version: v2}")], ("a",)),
        ([deployment().replace("Deployment", "StatefulSet")], ("a",)),
        ([deployment().replace("Deployment", "DaemonSet")], ("a",)),
        ([deployment().replace("Deployment", "ReplicaSet")], ("a",)),
        ([deployment().replace("Deployment", "Job").replace("apps/v1", "batch/v1")], ()),
    ],
)
def test_identities_are_those_of_pods_and_of_templates(runs: list[str], expected: tuple[str, ...]) -> None:
    assert [expected] == [offer.service_accounts for offer in said(service(), *runs)[0]]


def test_a_replicaset_that_a_deployment_keeps_has_no_say() -> None:
    kept = deployment(name="a-77", pod="serviceAccountName: former").replace("Deployment", "ReplicaSet")
    kept = kept.replace("{name: a-77}", "{name: a-77, ownerReferences: [{kind: Deployment, controller: true}]}")
    assert [("a",)] == [offer.service_accounts for offer in said(service(), deployment(), kept)[0]]


def test_pods_of_another_namespace_have_no_say() -> None:
    elsewhere = deployment().replace("{name: a}", "{name: a, namespace: bank}")
    assert [()] == [offer.service_accounts for offer in said(service(), elsewhere)[0]]


def test_declared_identities_are_added_to_those_seen() -> None:
    text = annotated('peermesh.io/service-accounts: "a-next, a"')
    assert [("a", "a-next")] == [offer.service_accounts for offer in said(text, deployment())[0]]


def test_declared_identities_are_enough_for_a_service_without_selector() -> None:
    text = service(metadata="annotations: {peermesh.io/service-accounts: vm}", selector="{}")
    assert ((replace(OFFER, selector={}, service_accounts=("vm",)),), ()) == said(text)


# --- annotations, age, kind


@pytest.mark.parametrize(
    ("annotation", "field", "expected"),
    [
        ("peermesh.io/consumers: east", "consumers", ("east",)),
        ('peermesh.io/consumers: "env=prod,east, east"', "consumers", ("east", "env=prod")),
        ('peermesh.io/consumers: ""', "consumers", ()),
        ("peermesh.io/host: a.shop.example.com", "hosts", ("a.shop.example.com",)),
        ('peermesh.io/host: ""', "hosts", ()),
        ("other.example.com/note: anything", "hosts", None),
    ],
)
def test_an_annotation_that_is_absent_is_none_and_one_that_is_empty_is_empty(
    annotation: str, field: str, expected: tuple[str, ...] | None
) -> None:
    ((offer,), refused) = said(annotated(annotation), deployment())
    assert (expected, ()) == (getattr(offer, field), refused)


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("2026-01-12T09:05:00Z", "2026-01-12T09:05:00Z"),
        ("2026-01-12T10:05:00.25+01:00", "2026-01-12T09:05:00Z"),
        ("0001-01-01T00:00:00Z", "0001-01-01T00:00:00Z"),
        ("0001-01-01T00:00:00+01:00", None),
        ("2026-01-12T09:05:00", None),
        ("yesterday", None),
    ],
)
def test_the_age_is_utc_to_the_second_or_not_known(written: str, expected: str | None) -> None:
    text = service(metadata=f'creationTimestamp: "{written}"')
    assert [expected] == [offer.since for offer in said(text, deployment())[0]]


def test_a_headless_service_is_offered_as_such() -> None:
    text = service(spec="clusterIP: None, ports: [{name: http, port: 80}]")
    assert ((replace(OFFER, headless=True),), ()) == said(text, deployment())


# --- refusals

RULE = """
    apiVersion: networking.istio.io/v1
    kind: DestinationRule
    metadata: {name: plain}
    spec: {host: a.shop.svc.cluster.local, trafficPolicy: {tls: {mode: DISABLE}}}
    """
KNOWN = (
    "Known are label peermesh.io/export and annotations "
    "peermesh.io/consumers, peermesh.io/host, peermesh.io/ports, peermesh.io/service-accounts."
)
REFUSED = [
    (
        "NoService",
        [EXPORT],
        "no Service a in namespace shop. Create it, or remove the ServiceExport.",
    ),
    (
        "NotEnforced",
        [service(), EXPORT.replace("name: a,", "name: a, annotations: {peermesh.io/consumers: east},")],
        "peermesh.io/consumers stands on the ServiceExport, where nothing reads it. Write it on the Service.",
    ),
    (
        "ExternalName",
        [service(spec="type: ExternalName, externalName: elsewhere.example.com")],
        "an ExternalName Service has no pods that could answer",
    ),
    ("NoPort", [service(spec="ports: []")], "the Service has no ports"),
    (
        "UDP",
        [service(spec="ports: [{port: 53, protocol: UDP}]")],
        "port p53 is UDP, which no east-west gateway carries. peermesh.io/ports chooses the other ports.",
    ),
    (
        "SCTP",
        [service(spec="ports: [{name: s1, port: 36412, protocol: SCTP}]")],
        "port s1 is SCTP, which no east-west gateway carries. peermesh.io/ports chooses the other ports.",
    ),
    (
        "ExportsNothing",
        [annotated('peermesh.io/ports: " , "')],
        "peermesh.io/ports is empty. Name ports, or take the annotation away for all.",
    ),
    (
        "BadAnnotation",
        [annotated("peermesh.io/ports: grpc")],
        "peermesh.io/ports names 'grpc', which the Service doesn't have. Its ports: http (80).",
    ),
    (
        "BadAnnotation",
        [annotated('peermesh.io/consumers: "east west"')],
        "peermesh.io/consumers says 'east west'. Write cluster names or key=value, separated by commas.",
    ),
    (
        "BadAnnotation",
        [annotated("peermesh.io/consumers: east.example.com")],
        "peermesh.io/consumers says 'east.example.com'. Write cluster names or key=value, separated by commas.",
    ),
    (
        "BadAnnotation",
        [annotated('peermesh.io/host: "*.shop.example.com"')],
        "peermesh.io/host says '*.shop.example.com'. Write names of a-z, 0-9, - and ., separated by commas.",
    ),
    (
        "BadAnnotation",
        [annotated('peermesh.io/service-accounts: "a\\nb"')],
        "peermesh.io/service-accounts says 'a\\nb'. Write names of a-z, 0-9, - and ., separated by commas.",
    ),
    (
        "TargetPort",
        [service(spec="ports: [{name: http, port: 80, targetPort: web}]")],
        (
            "port http leads to target port 'web', which no container has. "
            "Name the container's port so, or write its number."
        ),
    ),
    (
        "TargetPort",
        [
            service(spec="ports: [{name: http, port: 80, targetPort: web}]"),
            pod(spec="containers: [{ports: [{name: web, containerPort: 8080}]}]"),
            pod(name="a-2", spec="containers: [{ports: [{name: web, containerPort: 9090}]}]"),
        ],
        (
            "port http leads to target port 'web', which is 8080 and 9090 in different pods. "
            "Wait until the roll-out is done, or write the number."
        ),
    ),
    (
        "SamePort",
        [service(spec="ports: [{name: http, port: 80}, {name: web, port: 80}]")],
        "two ports have the same number. Give each its own.",
    ),
    (
        "NoIdentity",
        [service(selector="{}")],
        (
            "without a selector nobody knows which service accounts answer. "
            "Declare them in annotation peermesh.io/service-accounts."
        ),
    ),
    (
        "NotEnforced",
        [annotated("peermesh.io/consumer: east")],
        f"annotation 'peermesh.io/consumer' isn't known, so nothing holds it. {KNOWN}",
    ),
    (
        "NotEnforced",
        [service().replace('"true"', '"true", peermesh.io/consumers: east')],
        f"label 'peermesh.io/consumers' isn't known, so nothing holds it. {KNOWN}",
    ),
    (
        "BadLabel",
        [service().replace('"true"', '"yes"')],
        "label peermesh.io/export is 'yes'. Write the label peermesh.io/export: \"true\", or take it away.",
    ),
    (
        "BadLabel",
        [service().replace("labels", "annotations")],
        'peermesh.io/export is an annotation here. Write the label peermesh.io/export: "true", or take it away.',
    ),
    (
        "NotVisible",
        [annotated('networking.istio.io/exportTo: "."')],
        (
            "networking.istio.io/exportTo hides the Service from the gateway's namespace. "
            "Add the gateway's namespace, or `*`."
        ),
    ),
    (
        "NotMutualTLS",
        [service(), RULE],
        (
            "DestinationRule plain sets TLS mode DISABLE, so the gateway passes nobody through. "
            'Use ISTIO_MUTUAL, or exportTo: ["."].'
        ),
    ),
]


@pytest.mark.parametrize(("reason", "texts", "message"), REFUSED)
def test_what_cant_be_exported_is_refused_by_name(reason: str, texts: list[str], message: str) -> None:
    offers, refused = said(*texts)
    told = [(one.namespace, one.service, one.reason, one.message) for one in refused]
    assert [("shop", "a", reason, message)] == told
    assert all(offer.source != refused[0].source for offer in offers)


def test_every_reason_of_a_source_is_documented_and_met_by_a_test() -> None:
    about_clusters = {reason for reason in REASONS if reason.endswith("Gateway")} | {"NoIstio"}
    assert REASONS.keys() - about_clusters == {reason for reason, _, _ in REFUSED}


@pytest.mark.parametrize(
    "rule",
    [
        RULE.replace("DISABLE", "ISTIO_MUTUAL"),
        RULE.replace("host: a.", "host: b."),
        RULE.replace("spec: {", 'spec: {exportTo: ["."], '),
        RULE.replace("name: plain", "name: plain, namespace: bank"),
    ],
)
def test_a_rule_that_does_no_harm_refuses_nothing(rule: str) -> None:
    assert ((OFFER,), ()) == said(service(), deployment(), rule)


def test_a_service_that_the_gateway_sees_among_others_is_offered() -> None:
    assert ((OFFER,), ()) == said(annotated('networking.istio.io/exportTo: "., istio-eastwest"'), deployment())


def test_one_service_that_cant_be_exported_stops_no_other() -> None:
    bad = service(selector="{}").replace("name: a", "name: bad")
    offers, refused = said(service(), deployment(), bad)
    assert ((OFFER,), ["bad"]) == (offers, [one.service for one in refused])
