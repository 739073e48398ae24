"""KEP-1645 conflict resolution: the oldest export decides, port by port."""

from __future__ import annotations

import itertools

from tests.meshes import NEWER, NEWEST, OLD, export, port
from workers.conflict import AgreedPort, Conflict, resolve

HTTP = port(80, "http", "HTTP")


def resolved(*exports):
    """The resolution, having asserted that the order of the exports doesn't matter."""
    results = {repr(resolve(order)) for order in itertools.permutations(exports)}
    assert len(results) == 1
    return resolve(exports)


def test_exports_that_agree_share_every_port():
    result = resolved(export("s/x", "west", ports=[HTTP], since=OLD), export("s/x", "east", ports=[HTTP], since=NEWER))
    assert result.conflicts == ()
    assert result.ports == (AgreedPort(number=80, name="http", protocol="HTTP", target_ports={"east": 80, "west": 80}),)


def test_a_port_that_only_one_has_is_served_by_it_alone():
    result = resolved(
        export("s/x", "west", ports=[HTTP], since=OLD),
        export("s/x", "east", ports=[HTTP, port(90, "admin")], since=NEWER),
    )
    assert [(p.number, list(p.target_ports)) for p in result.ports] == [(80, ["east", "west"]), (90, ["east"])]
    assert result.conflicts == ()


def test_another_protocol_on_a_number_drops_the_younger_for_that_port_only():
    result = resolved(
        export("s/x", "west", ports=[HTTP, port(90, "tcp-a", "TCP")], since=NEWER),
        export("s/x", "east", ports=[port(80, "http", "GRPC"), port(90, "tcp-a", "TCP")], since=OLD),
    )
    assert [(p.number, p.protocol, list(p.target_ports)) for p in result.ports] == [
        (80, "GRPC", ["east"]),
        (90, "TCP", ["east", "west"]),
    ]
    assert result.conflicts == (
        Conflict(cluster="west", winner="east", port=80, what="protocol HTTP here, GRPC there"),
    )


def test_the_same_name_on_another_number_drops_the_younger():
    result = resolved(
        export("s/x", "west", ports=[port(80, "http")], since=OLD),
        export("s/x", "east", ports=[port(8080, "http")], since=NEWER),
    )
    assert [(p.number, list(p.target_ports)) for p in result.ports] == [(80, ["west"])]
    assert result.conflicts == (
        Conflict(cluster="east", winner="west", port=8080, what="name http stands for port 80 there"),
    )


def test_another_name_on_a_number_takes_the_oldest_name():
    result = resolved(
        export("s/x", "west", ports=[port(80, "http", "HTTP")], since=OLD),
        export("s/x", "east", ports=[port(80, "web", "HTTP")], since=NEWER),
    )
    assert [(p.name, list(p.target_ports)) for p in result.ports] == [("http", ["east", "west"])]


def test_headless_beside_cluster_ip_is_decided_by_the_oldest():
    result = resolved(export("s/x", "west", since=NEWER), export("s/x", "east", headless=True, since=OLD, ports=[HTTP]))
    assert [list(p.target_ports) for p in result.ports] == [["east"]]
    assert [(c.cluster, c.port, c.what) for c in result.conflicts] == [
        ("west", 0, "a ClusterIP Service beside a headless Service")
    ]


def test_an_export_without_time_is_the_youngest_and_ties_go_by_cluster_name():
    ports = {name: [port(80, "http", protocol)] for name, protocol in (("a", "HTTP"), ("b", "GRPC"), ("c", "TCP"))}
    result = resolved(
        export("s/x", "a", ports=ports["a"], since=None),
        export("s/x", "b", ports=ports["b"], since=NEWEST),
        export("s/x", "c", ports=ports["c"], since=NEWEST),
    )
    assert [list(p.target_ports) for p in result.ports] == [["b"]]
    assert [conflict.cluster for conflict in result.conflicts] == ["c", "a"]
