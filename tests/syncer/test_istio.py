from __future__ import annotations

import textwrap
from typing import Any

import pytest

from syncer.cluster import ClusterState
from syncer.istio import istio_settings
from tests.syncer.clusters import cluster, deployment

SYSTEM = "istio-system"


def settings(*texts: str, **fields: Any) -> dict[str, str]:
    return dict(istio_settings(cluster(*texts, **fields), SYSTEM))


def config(mesh: str, namespace: str = SYSTEM) -> str:
    text = textwrap.indent(textwrap.dedent(mesh), "    ")
    metadata = f"{{name: istio, namespace: {namespace}}}"
    return f"apiVersion: v1\nkind: ConfigMap\nmetadata: {metadata}\ndata:\n  mesh: |\n{text}\n"


def istiod(image: str, *, name: str = "istiod", labels: str = "") -> str:
    made = deployment(name=name, pod=f"containers: [{{name: discovery, image: '{image}'}}]", labels="{app: istiod}")
    return made.replace(f"{{name: {name}}}", f"{{name: {name}, namespace: {SYSTEM}{labels}}}")


def policy(mode: str, *, name: str = "default", spec: str = "", created: str = "", namespace: str = SYSTEM) -> str:
    time = f', creationTimestamp: "{created}"' if created else ""
    return (
        f"apiVersion: security.istio.io/v1\nkind: PeerAuthentication\n"
        f"metadata: {{name: {name}, namespace: {namespace}{time}}}\nspec: {{{spec}mtls: {{mode: {mode}}}}}\n"
    )


def test_of_a_cluster_without_istio_only_that_no_policy_is_set_is_known() -> None:
    assert {"istio.mtls": "UNSET"} == settings()
    assert {} == settings(peer_authentications=None)


@pytest.mark.parametrize(
    ("image", "version"),
    [
        ("docker.io/istio/pilot:1.31.0", "1.31.0"),
        ("docker.io/istio/pilot:1.31.0-distroless", "1.31.0"),
        ("registry.example.com:5000/istio/pilot:1.30.2-debug", "1.30.2"),
        ("gcr.io/istio-testing/pilot:1.32-alpha.0@sha256:0123", "1.32-alpha.0"),
        ("registry.example.com:5000/istio/pilot@sha256:0123", None),
        ("docker.io/istio/pilot:latest", None),
        ("docker.io/istio/pilot", None),
    ],
)
def test_the_version_is_the_tag_of_istiods_image(image: str, version: str | None) -> None:
    assert version == settings(istiod(image)).get("istio.version")


def test_where_the_image_doesnt_say_it_the_chart_does() -> None:
    made = istiod("pilot@sha256:0123", labels=", labels: {app.kubernetes.io/version: 1.31.1}")
    assert "1.31.1" == settings(made)["istio.version"]


def test_two_revisions_are_both_told() -> None:
    old, new = istiod("pilot:1.30.2"), istiod("pilot:1.31.0", name="istiod-canary")
    assert "1.30.2,1.31.0" == settings(new, old)["istio.version"]


def test_what_mesh_config_says_is_told_and_else_the_defaults_of_istio() -> None:
    said = settings(
        config("""\
            trustDomain: west.acme.example
            trustDomainAliases: [old.acme.example]
            caCertificates:
            - {trustDomains: [north.acme.example, east.acme.example]}
            - {pem: "-----BEGIN"}
            defaultConfig: {proxyMetadata: {ISTIO_META_DNS_CAPTURE: "true"}}
            """)
    )
    assert {
        "istio.dnsCapture": "true",
        "istio.followsRoots": "false",
        "istio.mtls": "UNSET",
        "istio.trustDomain": "west.acme.example",
        "istio.trustDomains": "east.acme.example,north.acme.example,old.acme.example,west.acme.example",
    } == said
    assert {
        "istio.dnsCapture": "false",
        "istio.followsRoots": "false",
        "istio.mtls": "UNSET",
        "istio.trustDomain": "cluster.local",
        "istio.trustDomains": "cluster.local",
    } == settings(config("enableTracing: true"))


@pytest.mark.parametrize(
    "mesh", ["[not: a map]", "a: [", "trustDomain: *x", "caCertificates: {}", "defaultConfig: [1]", "''"]
)
def test_mesh_config_that_is_odd_is_told_as_far_as_it_goes(mesh: str) -> None:
    assert settings(config(mesh)).get("istio.trustDomain") in {None, "cluster.local"}


@pytest.mark.parametrize(
    ("values", "told"),
    [(["true"], "true"), (["1", "T"], "true"), (["false"], "false"), (["true", None], "false"), ([None], "false")],
)
def test_whether_every_istiod_takes_new_roots_is_told(values: list[str | None], told: str) -> None:
    made = []
    for number, value in enumerate(values):
        env = f"env: [{{name: OTHER, value: x}}, {{name: ISTIO_MULTIROOT_MESH, value: '{value}'}}], " if value else ""
        made.append(istiod("pilot:1.31.0", name=f"istiod-{number}").replace("image:", f"{env}image:"))
    assert told == settings(*made)["istio.multiroot"]


def test_whether_sidecars_follow_roots_is_told() -> None:
    said = settings(config('defaultConfig: {proxyMetadata: {PROXY_CONFIG_XDS_AGENT: "true"}}'))
    assert "true" == said["istio.followsRoots"]


def test_another_namespaces_mesh_config_is_another_mesh() -> None:
    assert "istio.trustDomain" not in settings(config("trustDomain: x.example", namespace="shop"))


@pytest.mark.parametrize(
    ("texts", "mode"),
    [
        ([policy("STRICT")], "STRICT"),
        ([policy("PERMISSIVE", name="any")], "PERMISSIVE"),
        ([policy("STRICT", namespace="shop")], "UNSET"),
        ([policy("STRICT", spec="selector: {matchLabels: {app: a}}, ")], "UNSET"),
        (
            [
                policy("PERMISSIVE", name="a", created="2026-02-01T00:00:00Z"),
                policy("STRICT", name="z", created="2026-01-01T00:00:00Z"),
            ],
            "STRICT",
        ),
    ],
)
def test_mutual_tls_is_what_the_oldest_policy_for_the_whole_mesh_says(texts: list[str], mode: str) -> None:
    assert mode == settings(*texts)["istio.mtls"]


def test_where_the_root_namespace_is_another_one_its_policies_arent_known() -> None:
    assert "istio.mtls" not in settings(config("rootNamespace: istio-config"), policy("STRICT"))


def test_the_network_is_the_label_of_istios_own_namespace() -> None:
    text = "apiVersion: v1\nkind: Namespace\nmetadata: {{name: {0}, labels: {{topology.istio.io/network: {1}}}}}\n"
    assert "west" == settings(text.format(SYSTEM, "west"), text.format("shop", "other"))["istio.network"]
    assert "istio.network" not in dict(istio_settings(ClusterState(), SYSTEM))
