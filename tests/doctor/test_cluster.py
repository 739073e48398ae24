"""What is wrong in a cluster, by what was seen of it: each with the command that mends it, and nothing else is told."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from syncer.protocol.observation import GatewayAddress, ObservedGateway
from syncer.protocol.offer import Refused
from tests.doctor.sights import (
    CLOSED,
    INSIDE,
    KEY,
    NOW,
    OTHER_KEY,
    QUIET,
    SETTINGS,
    SHOWN,
    healthy,
    inside,
    observation,
    set_up,
)
from tests.meshes import cluster, facts, tree_of
from workers.doctor import Finding, NotSeen, examine
from workers.doctor.cluster import CHECKS
from workers.doctor.seen import ClusterSeen, Replicas, Right, Rights
from workers.outside import Refusal


def findings(seen: ClusterSeen) -> tuple[Finding, ...]:
    return examine("cluster west", CHECKS, seen).findings


def trouble(seen: ClusterSeen) -> Finding:
    """The one finding that isn't ok."""
    (found,) = (finding for finding in findings(seen) if finding.status != "ok")
    return found


def test_a_healthy_cluster_has_a_line_for_everything_that_is_looked_at_and_nothing_to_mend():
    found = findings(healthy())
    # Of these only trouble is told.
    assert [name for name in CHECKS if name not in {"API server", "aliases"}] == list(
        dict.fromkeys(one.subject for one in found)
    )
    assert {("ok", "")} == {(one.status, one.remedy) for one in found}


@pytest.mark.parametrize(
    ("seen", "status", "subject", "what", "remedy"),
    [
        pytest.param(*row, id=row[3][:40])
        for row in [
            (set_up(version="1.28.4"), "warning", "Istio", "1.28.4, what", "Upgrade Istio"),
            (set_up(version="1.28.4,1.31.0"), "warning", "Istio", "1.28.4,1.31.0, what", "Upgrade Istio"),
            (set_up(version="1.32.0"), "warning", "Istio", "1.32.0, what peermesh renders", "Try each port"),
            (set_up(version=None), "unknown", "Istio", "its version can't be seen", "get pods"),
            (set_up(mtls="PERMISSIVE"), "wrong", "mutual TLS", "PERMISSIVE in the whole mesh", "{mode: STRICT}"),
            (set_up(mtls="UNSET"), "wrong", "mutual TLS", "not set for the whole mesh", "kubectl --context west apply"),
            (set_up(trustDomain="cluster.local"), "wrong", "trust domain", "istiod signs for cluster.local", "edit"),
            (
                set_up(trustDomains="west.acme.example,north.acme.example"),
                "wrong",
                "peers' trust domains",
                "not accepted: east.acme.example (east). Calls from east end in 503",
                "  - trustDomains: [east.acme.example]",
            ),
            (
                set_up(trustDomainAliases="old.acme.example,east.acme.example"),
                "wrong",
                "aliases",
                "aliases of its own: east.acme.example (east)",
                "  - trustDomains: [east.acme.example]",
            ),
            (set_up(dnsCapture="false"), "wrong", "DNS", "sidecars don't capture DNS", "ISTIO_META_DNS_CAPTURE"),
            (set_up(multiroot="false"), "wrong", "roots", "istiod ignores every change", "set env deployment/istiod"),
            (set_up(followsRoots="false"), "warning", "roots", "sidecars learn new roots only", "PROXY_CONFIG_XDS"),
            (
                set_up(network="east"),
                "wrong",
                "network",
                "istio-system is east, mesh/clusters/west.yaml says west",
                "$ kubectl --context west label namespace istio-system topology.istio.io/network=west --overwrite",
            ),
            (set_up(network=None), "wrong", "network", "istio-system has no label", "label namespace"),
            (
                healthy(settings={**SETTINGS, "unit/imports": "1c2b failed: field not declared"}),
                "wrong",
                "sync units",
                "imports: 1c2b failed: field not declared",
                "$ peermesh status",
            ),
            (
                inside(namespaces=frozenset({"peermesh-system"})),
                "wrong",
                "namespaces",
                "missing: peermesh-imports",
                "$ kubectl --context west apply -f delivery/clusters/west/namespaces.yaml",
            ),
            (inside(apis=frozenset({"multicluster.x-k8s.io"})), "wrong", "kinds", "networking.istio.io isn't", "grep"),
            (
                inside(rights=Rights(needed=2, missing=(Right(verb="list", resource="pods"),), excess=())),
                "wrong",
                "rights",
                "its syncer lacks: list pods",
                "$ kubectl --context west apply -f delivery/clusters/west/rights.yaml",
            ),
            (
                inside(
                    rights=Rights(
                        needed=2,
                        missing=(),
                        excess=(Right(verb="get", resource="secrets", namespace="istio-system", name="cacerts"),),
                    )
                ),
                "wrong",
                "rights",
                "its syncer has more than it needs: get secrets cacerts in istio-system",
                "$ kubectl --context west get clusterrolebindings,rolebindings -A",
            ),
            (inside(syncer=None), "wrong", "syncer", "no Deployment peermesh-syncer", "$ kubectl --context west apply"),
            (
                inside(syncer=Replicas(wanted=2, ready=0, message="ImagePullBackOff")),
                "wrong",
                "syncer",
                "0 of 2 replicas are ready: ImagePullBackOff",
                "$ kubectl --context west -n peermesh-system describe pods",
            ),
            (inside(syncer=Replicas(wanted=2, ready=1)), "warning", "syncer", "1 of 2 replicas", "describe pods"),
            (inside(key=None), "wrong", "key", "no Secret for its key", "$ kubectl --context west apply"),
            (inside(key=""), "wrong", "key", "the Secret for its key holds none", "logs deploy/peermesh-syncer"),
            (
                inside(key=OTHER_KEY),
                "wrong",
                "key",
                f"it signs with {OTHER_KEY}, which mesh/clusters/west.yaml doesn't trust",
                f"$ peermesh cluster trust west {OTHER_KEY}",
            ),
            (inside(clock=-30.0), "warning", "clock", "its API server is 30 s behind this machine", "timedatectl"),
            (inside(clock=240.0), "wrong", "clock", "its API server is 4 min ahead of this machine", "timedatectl"),
            (
                inside(rights=NotSeen(why="403 you may not")),
                "unknown",
                "rights",
                "403 you may not",
                "SubjectAccessReviews",
            ),
            (
                healthy(inside=NotSeen(why="the API server doesn't answer")),
                "wrong",
                "API server",
                "the API server doesn't answer",
                "$ kubectl --context west get --raw /readyz",
            ),
            (healthy(inside=None), "unknown", "API server", "namespaces, rights", "--context CTX"),
            (healthy(redis=False, observation=None), "unknown", "observation", "not known whether", "--redis-url URL"),
            (healthy(observation=None), "wrong", "observation", "its syncer was never heard", "logs deploy"),
            (
                healthy(observation=observation(observed_at=NOW - timedelta(minutes=40))),
                "wrong",
                "observation",
                "its syncer was last heard 40 min ago",
                "$ kubectl --context west -n peermesh-system logs deploy/peermesh-syncer",
            ),
            (
                healthy(refusal=Refusal(reason="ClockAhead", what="observed at 04:00", since=NOW, last=NOW, count=3)),
                "wrong",
                "observation",
                "3 of its messages refused since 2026-11-27 03:00 UTC, ClockAhead: observed at 04:00",
                "rollout restart deploy/peermesh-syncer",
            ),
            (
                healthy(
                    observation=observation(
                        gateway=ObservedGateway(addresses=(GatewayAddress(ip="203.0.113.77", port=15443),))
                    )
                ),
                "wrong",
                "gateway's address",
                "its Service has 203.0.113.77:15443, main has another one",
                "$ peermesh show peermesh/clusters/west",
            ),
            (healthy(settings=None), "unknown", "Istio", "not known how it is set up", "--context CTX"),
            (inside(settings=NotSeen(why="403 no"), unheard=True), "unknown", "Istio", "is set up: 403 no", ""),
        ]
    ],
)
def test_what_is_wrong_is_said_with_what_mends_it_and_nothing_else_is(
    seen: ClusterSeen, status: str, subject: str, what: str, remedy: str
):
    found = trouble(seen)
    assert (status, subject) == (found.status, found.subject)
    assert what in found.what
    assert remedy in found.remedy


@pytest.mark.parametrize(
    "settings", [{"mtls": "UNSET"}, {"trustDomains": "west.acme.example"}, {"dnsCapture": "false"}]
)
def test_what_hurts_nobody_yet_is_a_warning(settings: dict[str, str]):
    seen = replace(set_up(**settings), tree=QUIET, reach={})
    assert "warning" == trouble(seen).status


def test_without_a_trusted_key_it_is_said_once_and_not_that_it_was_never_heard():
    tree = tree_of(cluster("west"), cluster("east"), facts("west", "203.0.113.10"))
    found = [one for one in findings(healthy(tree=tree, observation=None)) if one.subject == "observation"]
    assert ["no key of its syncer is trusted (mesh/clusters/west.yaml): nothing it says is believed"] == [
        finding.what for finding in found
    ]


def test_a_gateway_without_an_address_says_what_its_syncer_says_of_it():
    tree = tree_of(cluster("west", keys=(KEY,)), cluster("east"), facts("west"))
    refused = Refused(
        namespace="istio-eastwest", service="gw", source="gateway", reason="PendingGateway", message="soon"
    )
    seen = healthy(tree=tree, observation=observation(gateway=ObservedGateway(), refused=(refused,)), handshakes=())
    found = next(one for one in findings(seen) if one.subject == "gateway's address")
    assert "none is known, so peers can't reach what it exports (soon)" == found.what


def test_an_api_that_is_gone_withdraws_nothing_and_is_said():
    tree = tree_of(
        cluster("west", keys=(KEY,)), cluster("east"), facts("west", "203.0.113.10", sources=("label", "serviceexport"))
    )
    gone = replace(INSIDE, apis=frozenset({"networking.istio.io"}))
    found = [one for one in findings(healthy(tree=tree, inside=gone)) if one.subject == "kinds"]
    assert ["ServiceExport is no longer served: what it exported is kept, and can't change or be withdrawn"] == [
        finding.what for finding in found
    ]


def test_many_missing_rights_are_counted_not_listed():
    missing = tuple(Right(verb="list", resource=f"r{number}") for number in range(30))
    assert trouble(inside(rights=Rights(needed=30, missing=missing, excess=()))).what.endswith("; and 24 more")


@pytest.mark.parametrize(
    ("outcome", "detail", "what"),
    [
        ("closed", "", "connected, then closed: the gateway doesn't let shop/catalog in"),
        ("alert", "handshake failure", "answers with an alert of TLS (handshake failure)"),
        ("other", "wrong version number", "something answers that doesn't speak TLS"),
        ("refused", "Connection refused", "nothing listens there (Connection refused)"),
        ("silent", "timed out", "no answer (timed out)"),
        ("nowhere", "Name or service not known", "there is no way to it"),
    ],
)
def test_every_way_in_which_a_gateway_fails_is_told_from_where_it_was_asked(outcome: Any, detail: str, what: str):
    found = trouble(healthy(handshakes=(replace(SHOWN, outcome=outcome, detail=detail), CLOSED)))
    assert ("wrong", "gateway") == (found.status, found.subject)
    assert found.what.startswith("203.0.113.10:15443, asked from 198.51.100.7: ")
    assert what in found.what


@pytest.mark.parametrize(
    ("shown", "status", "what"),
    [
        (
            {"identities": ("spiffe://east.acme.example/ns/shop/sa/catalog",)},
            "wrong",
            "spiffe://east.acme.example/ns/shop/sa/catalog answers for shop/catalog; callers accept spiffe://west",
        ),
        ({"identities": ()}, "wrong", "TLS ends before the gateway"),
        ({"trusted": False, "detail": "self-signed"}, "wrong", "isn't signed by the root given (self-signed)"),
        ({"trusted": None}, "unknown", "whether the mesh's root signed that"),
        ({"ends": NOW - timedelta(hours=1)}, "wrong", "ended at 2026-11-27 02:00 UTC"),
    ],
)
def test_a_certificate_that_callers_would_refuse_is_told(shown: dict[str, Any], status: str, what: str):
    found = trouble(healthy(handshakes=(replace(SHOWN, **shown), CLOSED)))
    assert status == found.status
    assert what in found.what


def test_who_answers_for_a_service_that_does_not_exist_is_no_passthrough_gateway():
    found = trouble(healthy(handshakes=(SHOWN, replace(CLOSED, outcome="shown", identities=SHOWN.identities))))
    assert "warning" == found.status
    assert "for a service that doesn't exist" in found.what


def test_where_nothing_is_exported_a_connection_is_all_that_is_tried():
    seen = healthy(tree=QUIET, handshakes=(replace(SHOWN, sni="", outcome="connected"),), asked=healthy().asked)
    found = [one for one in findings(seen) if one.subject == "gateway"]
    assert ["ok"] == [one.status for one in found]
    assert "takes connections" in found[0].what


def test_a_gateway_that_was_not_asked_says_nothing():
    assert not [one for one in findings(healthy(handshakes=None)) if one.subject == "gateway"]


def test_what_people_wrote_as_address_counts_whatever_was_observed():
    tree = tree_of(cluster("west", keys=(KEY,), addresses=("gw.example:443",)), cluster("east"))
    found = next(one for one in findings(healthy(tree=tree)) if one.subject == "gateway's address")
    assert ("ok", "gw.example:443") == (found.status, found.what)
