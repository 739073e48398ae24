"""Lint catches a wrong renderer: seeded faults in what was rendered rightly, each with what is said of it."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from dataclasses import replace as with_fields
from typing import Any

import pytest
from msgspec.structs import replace

from syncer.protocol.labels import CLUSTER, DIGEST, MANAGED_BY
from syncer.protocol.observation import Foreign
from tests.meshes import NEWER, cluster, documents_of, export, facts, port, tree_of
from workers.documents.kinds import ClusterFacts, ClusterFactsSpec
from workers.documents.strict import Name
from workers.documents.writing import dump
from workers.reach import reach
from workers.render import Rendered, render
from workers.render.lint import lint
from workers.render.metadata import digest
from workers.tree import Tree

Objects = dict[tuple[str, str], Any]
Change = Callable[[Objects], object]

NORTH = "clusters/north/imports/bookinfo/reviews.yaml"
EAST = "clusters/east/imports/bookinfo/reviews.yaml"
WEST = "clusters/west/imports/bookinfo/reviews.yaml"
BY_DNS = "clusters/north/imports/shop/cart.yaml"
GATEWAY = "clusters/west/gateway/bookinfo.yaml"
RULE, ENTRY = ("DestinationRule", "reviews.bookinfo"), ("ServiceEntry", "reviews.bookinfo")
SECOND = ("ServiceEntry", "reviews.bookinfo.p9443")
LET_IN = ("Gateway", "peermesh-bookinfo")
SNI = "outbound_.9080_._.{}"


def some_mesh() -> Tree:
    """Two providers with different ports, an exporter's own import, an additional name, a gateway by host name."""
    return tree_of(
        cluster("west"),
        cluster("east"),
        cluster("north"),
        cluster("south"),
        facts("west", "203.0.113.10", "203.0.113.11", cluster_ip="10.0.3.7"),
        facts("south", "south-gw.example"),
        export("bookinfo/reviews", "west", hosts=("reviews.shop.example.com",)),
        export("bookinfo/reviews", "east", ports=(port(9080, "http", "HTTP"), port(9443, "https")), since=NEWER),
        export("shop/cart", "south"),
    )


def block(objects: Objects) -> Any:
    """The first port block of the rule."""
    return objects[RULE]["spec"]["trafficPolicy"]["portLevelSettings"][0]


def endpoint(objects: Objects, of: tuple[str, str] = ENTRY) -> Any:
    """The first endpoint: of east."""
    return objects[of]["spec"]["endpoints"][0]


def own(objects: Objects) -> Any:
    """In west: the endpoint of its own gateway."""
    return objects[ENTRY]["spec"]["endpoints"][-1]


def server(objects: Objects) -> Any:
    return objects[LET_IN]["spec"]["servers"][0]


def lacks(*path: str, of: Callable[[Objects], Any] = block) -> Change:
    """Take a field away."""

    def change(objects: Objects) -> None:
        inner = of(objects)
        for name in path[:-1]:
            inner = inner[name]
        del inner[path[-1]]

    return change


def has(value: object, *path: str, of: Callable[[Objects], Any] = block) -> Change:
    """Put another value there."""

    def change(objects: Objects) -> None:
        inner = of(objects)
        for name in path[:-1]:
            inner = inner[name]
        inner[path[-1]] = value

    return change


def of(name: tuple[str, str]) -> Callable[[Objects], Any]:
    return lambda objects: objects[name]


EVERYBODY = has(100, "outlierDetection", "maxEjectionPercent")

FAULTS: dict[str, tuple[str, Change, str]] = {
    # --- any object
    "a kind that the robot never writes": (NORTH, has("Secret", "kind", of=of(RULE)), "'Secret'"),
    "another version of the API": (NORTH, has("networking.istio.io/v1beta1", "apiVersion", of=of(RULE)), "v1beta1"),
    "the label that says whose it is": (NORTH, lacks("metadata", "labels", MANAGED_BY, of=of(RULE)), MANAGED_BY),
    "a team's namespace": (NORTH, has("bookinfo", "metadata", "namespace", of=of(ENTRY)), "$.metadata.namespace"),
    "a name that Kubernetes refuses": (NORTH, has("Reviews", "metadata", "name", of=of(RULE)), "$.metadata.name"),
    # --- ServiceEntry
    "a hostless entry": (NORTH, has([], "spec", "hosts", of=of(ENTRY)), "$.spec.hosts"),
    "two addresses": (NORTH, has(["240.8.0.1", "240.8.0.2"], "spec", "addresses", of=of(ENTRY)), "$.spec.addresses"),
    "another host's address": (NORTH, has(["240.8.0.1"], "spec", "addresses", of=of(ENTRY)), "address 240.8.0.1"),
    "an address outside of the range": (NORTH, has(["10.0.0.1"], "spec", "addresses", of=of(ENTRY)), "virtualIPs"),
    "Istio's own range": (NORTH, has(["240.240.0.9"], "spec", "addresses", of=of(ENTRY)), "istiod allocates"),
    "outside the mesh": (NORTH, has("MESH_EXTERNAL", "spec", "location", of=of(ENTRY)), "MESH_EXTERNAL"),
    "identities in the entry": (NORTH, has(["spiffe://x"], "spec", "subjectAltNames", of=of(ENTRY)), "subjectAltNames"),
    "a selector that selects nothing": (NORTH, has({}, "spec", "workloadSelector", of=of(ENTRY)), "workloadSelector"),
    "no endpoint": (NORTH, has([], "spec", "endpoints", of=of(ENTRY)), "$.spec.endpoints"),
    "an endpoint without network": (NORTH, lacks("network", of=endpoint), "`network`"),
    "an endpoint in another network": (
        NORTH,
        has("west", "network", of=endpoint),
        "network west, its cluster's is east",
    ),
    "an endpoint that speaks plaintext": (NORTH, lacks("labels", "security.istio.io/tlsMode", of=endpoint), "tlsMode"),
    "an endpoint of nobody": (NORTH, lacks("labels", CLUSTER, of=endpoint), CLUSTER),
    "an endpoint of a stranger": (NORTH, has("south", "labels", CLUSTER, of=endpoint), "endpoint of south"),
    "an endpoint elsewhere": (NORTH, has("203.0.113.99", "address", of=endpoint), "isn't reached at 203.0.113.99"),
    "a port of an endpoint missing": (NORTH, has({}, "ports", of=endpoint), "aren't the entry's"),
    "weight nothing": (NORTH, has(0, "weight", of=endpoint), "$.spec.endpoints[0].weight"),
    "a host name that isn't resolved": (
        BY_DNS,
        has("STATIC", "spec", "resolution", of=of(("ServiceEntry", "cart.shop"))),
        "STATIC",
    ),
    # --- entries of one host
    "other labels": (NORTH, has("x", "metadata", "labels", "team", of=of(SECOND)), "different labels"),
    "another exportTo": (NORTH, has(["shop"], "spec", "exportTo", of=of(SECOND)), "different exportTo"),
    "another resolution": (NORTH, has("DNS", "spec", "resolution", of=of(SECOND)), "different resolutions"),
    "a port twice": (NORTH, lambda o: o[SECOND]["spec"]["ports"][0].update(number=9080), "port 9080 stands in it more"),
    "a port name twice": (NORTH, lambda o: o[SECOND]["spec"]["ports"][0].update(name="http"), "port http stands in it"),
    "no entry": (NORTH, lambda o: (o.pop(ENTRY), o.pop(SECOND)), "0 ServiceEntries"),
    "a host of nobody": (
        NORTH,
        has(["x.mesh.internal"], "spec", "hosts", of=of(ENTRY)),
        "x.mesh.internal isn't a host",
    ),
    # --- DestinationRule
    "no rule": (NORTH, lambda o: o.pop(RULE), "0 DestinationRules"),
    "no block for a port": (NORTH, lambda o: o[RULE]["spec"]["trafficPolicy"]["portLevelSettings"].pop(), "blocks"),
    "a block for no port": (NORTH, has(1234, "port", "number"), "blocks in the rule for [1234, 9443]"),
    "a block without TLS": (NORTH, lacks("tls"), "`tls`"),
    "a block without ejection": (NORTH, lacks("outlierDetection"), "`outlierDetection`"),
    "a block without connection pool": (NORTH, lacks("connectionPool"), "`connectionPool`"),
    "a block without balancer": (NORTH, lacks("loadBalancer"), "`loadBalancer`"),
    "another TLS mode": (NORTH, has("SIMPLE", "tls", "mode"), "SIMPLE"),
    "no SNI": (NORTH, lacks("tls", "sni"), "`sni`"),
    "the SNI of another port": (
        NORTH,
        has("outbound_.9443_._.reviews.bookinfo.svc.cluster.local", "tls", "sni"),
        "port 9080: sni",
    ),
    "the SNI of a host of the mesh": (
        NORTH,
        has(SNI.format("reviews.bookinfo.mesh.internal"), "tls", "sni"),
        "tls.sni",
    ),
    "no identity": (NORTH, has([], "tls", "subjectAltNames"), "$.spec.trafficPolicy.portLevelSettings[0].tls.subj"),
    "an identity without domain": (NORTH, has(["bookinfo/reviews"], "tls", "subjectAltNames"), "subjectAltNames"),
    "an identity of another service's domain": (
        NORTH,
        lambda o: block(o)["tls"]["subjectAltNames"].append("spiffe://south.acme.example/ns/bookinfo/sa/reviews"),
        "spiffe://south.acme.example/ns/bookinfo/sa/reviews is accepted",
    ),
    "an identity of another namespace": (
        NORTH,
        lambda o: block(o)["tls"]["subjectAltNames"].append("spiffe://east.acme.example/ns/shop/sa/reviews"),
        "spiffe://east.acme.example/ns/shop/sa/reviews is accepted",
    ),
    "an identity of another account": (
        NORTH,
        lambda o: block(o)["tls"]["subjectAltNames"].append("spiffe://east.acme.example/ns/bookinfo/sa/default"),
        "spiffe://east.acme.example/ns/bookinfo/sa/default is accepted",
    ),
    "a provider whose identity is missing": (
        NORTH,
        lambda o: block(o)["tls"]["subjectAltNames"].pop(0),
        "spiffe://east.acme.example/ns/bookinfo/sa/reviews isn't accepted",
    ),
    "ejection of everybody": (NORTH, EVERYBODY, "maxEjectionPercent"),
    "5xx left to the default": (NORTH, lacks("outlierDetection", "consecutive5xxErrors"), "consecutive5xxErrors"),
    "failover with DNS": (
        BY_DNS,
        lambda o: o["DestinationRule", "cart.shop"]["spec"]["trafficPolicy"]["portLevelSettings"][0][
            "loadBalancer"
        ].update(localityLbSetting={"enabled": True, "failoverPriority": ["topology.istio.io/network"]}),
        "istiod panic",
    ),
    # --- the exporter's own import
    "the own gateway from outside": (WEST, has("203.0.113.10", "address", of=own), "own gateway at 203.0.113.10"),
    "another's endpoint in the own network": (WEST, has("west", "network", of=endpoint), "network west"),
    # --- Gateway
    "a dot in a Gateway's name": (GATEWAY, has("peermesh.x", "metadata", "name", of=of(LET_IN)), "$.metadata.name"),
    "a Gateway elsewhere": (GATEWAY, has("bookinfo", "metadata", "namespace", of=of(LET_IN)), "not for the gateway's"),
    "a Gateway for other pods": (
        GATEWAY,
        has({"app": "x"}, "spec", "selector", of=of(LET_IN)),
        "not for the gateway's",
    ),
    "a Gateway on another port": (GATEWAY, has(443, "port", "number", of=server), "not on the gateway's port 15443"),
    "a Gateway that terminates TLS": (GATEWAY, has("SIMPLE", "tls", "mode", of=server), "SIMPLE"),
    "a wildcard": (GATEWAY, has(["*.local"], "hosts", of=server), "hosts[0]"),
    "a host of the mesh let in": (GATEWAY, has(["reviews.bookinfo.mesh.internal"], "hosts", of=server), "hosts[0]"),
    "a namespace before the host": (GATEWAY, has(["x/a.b.svc.cluster.local"], "hosts", of=server), "hosts[0]"),
    "a host twice": (
        GATEWAY,
        lambda o: server(o)["hosts"].extend(server(o)["hosts"]),
        "in a server of a Gateway stands",
    ),
    "a host that isn't exported here": (
        GATEWAY,
        has(["x.bookinfo.svc.cluster.local"], "hosts", of=server),
        "isn't exported",
    ),
    "a host that isn't let in": (GATEWAY, has(["x.bookinfo.svc.cluster.local"], "hosts", of=server), "isn't let in"),
    "a rule among Gateways": (
        GATEWAY,
        lambda o: o.update({RULE: rendered(some_mesh())[NORTH].objects[0]}),
        "only Gateways",
    ),
}


def rendered(tree: Tree) -> dict[str, Rendered]:
    return {path: file for path, file in render(tree, reach(tree)).items() if file is not None}


def changed(file: Rendered, change: Change) -> Rendered:
    """A file after the change, with digests that fit it: that isn't what shall be noticed."""
    contents = [json.loads(json.dumps(content)) for content in file.objects]
    objects = {(content["kind"], content["metadata"]["name"]): content for content in contents}
    change(objects)
    for name, content in objects.items():
        objects[name] = sealed(content)
    return Rendered(objects=tuple(objects.values()), data=dump(tuple(objects.values())))


def sealed(content: Any) -> Any:
    content = copy.deepcopy(content)
    content["metadata"]["annotations"][DIGEST] = digest(content)
    return content


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_told_where_it_stands(fault: str):
    path, change, said = FAULTS[fault]
    tree = some_mesh()
    files = rendered(tree)
    files[path] = changed(files[path], change)
    problems = lint(tree, reach(tree), files, whole=True)
    assert [problem for problem in problems if problem.path == path and said in problem.what], problems


def test_nothing_is_said_of_what_is_rendered_rightly():
    tree = some_mesh()
    assert () == lint(tree, reach(tree), rendered(tree), whole=True)


def test_a_content_that_was_changed_after_its_digest_is_told():
    tree = some_mesh()
    files = rendered(tree)
    content = json.loads(json.dumps(files[NORTH].objects[0]))
    content["metadata"]["annotations"][DIGEST] = "0" * 16
    files[NORTH] = with_fields(files[NORTH], objects=(content, *files[NORTH].objects[1:]))
    assert [DIGEST in problem.what for problem in lint(tree, reach(tree), files)] == [True]


def test_a_file_that_stands_twice_in_a_cluster_is_told():
    tree = some_mesh()
    files = rendered(tree)
    files["clusters/north/imports/shop/reviews.yaml"] = files[NORTH]
    said = {problem.what for problem in lint(tree, reach(tree), files)}
    assert f"DestinationRule peermesh-imports/reviews.bookinfo stands in {NORTH}, too" in said
    assert f"host reviews.bookinfo.mesh.internal stands in {NORTH}, too" in said


def test_what_is_equal_in_many_clusters_is_told_once():
    tree = tree_of(*(cluster(name) for name in ("west", "a", "b", "c")), export("bookinfo/reviews", "west"))
    files = rendered(tree)
    paths = [f"clusters/{name}/imports/bookinfo/reviews.yaml" for name in ("a", "b", "c")]
    wrong = changed(files[paths[0]], EVERYBODY)
    assert len(lint(tree, reach(tree), {**files, **dict.fromkeys(paths, wrong)})) == 1


def test_an_import_whose_provider_lets_nobody_in_is_told():
    tree = some_mesh()
    files: dict[str, Rendered | None] = {**rendered(tree), GATEWAY: None}
    assert [(GATEWAY, f"reviews.bookinfo.svc.cluster.local isn't let in, but {EAST} calls it there")] == [
        (problem.path, problem.what) for problem in lint(tree, reach(tree), files)
    ]


def test_a_part_says_nothing_of_the_gateways_that_are_not_in_it():
    tree = some_mesh()
    assert () == lint(tree, reach(tree), {NORTH: rendered(tree)[NORTH]})


def with_foreign(tree: Tree, name: str, *, wildcard: bool = False, foreign: tuple[Foreign, ...] = ()) -> Tree:
    """The tree after more was seen of people's own objects in a cluster."""
    gateway = tree.facts.clusters[name].spec.gateway
    spec = ClusterFactsSpec(gateway=replace(gateway, wildcard=wildcard), foreign=foreign)
    return tree_of(*documents_of(tree), ClusterFacts(metadata=Name(name=name), spec=spec))


def said(tree: Tree, files: dict[str, Rendered]) -> list[tuple[str, str]]:
    return [(problem.path, problem.what) for problem in lint(tree, reach(tree), files)]


def test_a_gateway_beside_peoples_own_wildcard_is_told():
    tree = with_foreign(some_mesh(), "west", wildcard=True)
    assert said(tree, rendered(some_mesh())) == [
        (GATEWAY, "people's own gateway lets everything in: beside it the whole listener is refused")
    ]


def test_a_host_that_peoples_own_gateway_lets_in_is_told():
    own = Foreign(kind="Gateway", namespace="team", name="own", host="reviews.bookinfo.svc.cluster.local")
    tree = with_foreign(some_mesh(), "west", foreign=(own,))
    assert said(tree, rendered(some_mesh())) == [
        (GATEWAY, "reviews.bookinfo.svc.cluster.local in a server of a Gateway stands in Gateway team/own, too")
    ]


def test_an_import_of_a_host_for_which_people_have_their_own_object_is_told():
    own = Foreign(kind="VirtualService", namespace="team", name="own", host="reviews.bookinfo.mesh.internal")
    tree = with_foreign(some_mesh(), "north", foreign=(own,))
    assert (NORTH, "VirtualService team/own of people is for reviews.bookinfo.mesh.internal") in said(
        tree, rendered(some_mesh())
    )


def test_two_clusters_that_cannot_be_told_apart_are_told():
    tree = tree_of(cluster("north", network="a", trust_domain="b"), cluster("west", network="a", trust_domain="b"))
    assert said(tree, {}) == [
        ("mesh/clusters/west.yaml", "spec.network a is also cluster north's"),
        ("mesh/clusters/west.yaml", "spec.trustDomain b is also cluster north's"),
    ]
