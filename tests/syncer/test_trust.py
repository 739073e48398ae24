"""What a cluster's objects and the handshakes with its pods say of trust."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from cryptography import x509
from hypothesis import given
from hypothesis import strategies as st
from msgspec import UNSET
from msgspec.structs import replace

from syncer.cluster import ClusterState
from syncer.cluster.lean import lean
from syncer.observe import observe
from syncer.protocol.certificates import fingerprint
from syncer.protocol.observation import pack, unpack
from syncer.protocol.trust import (
    ObservedAgent,
    ObservedBundle,
    ObservedIssuer,
    ObservedLag,
    ObservedProxy,
    ObservedTrust,
)
from syncer.trust import (
    MAX_CRLS,
    MAX_ROOTS,
    MAX_TOLD,
    NOTHING,
    Handshake,
    Sample,
    announced,
    istiods,
    observed_trust,
    published,
    seen_istiod,
    seen_workload,
    workloads,
)
from tests.pki.authority import key_pem
from tests.servers.tls import Holder
from tests.syncer.clusters import NOW, SCOPE, cluster
from tests.syncer.sidecars import (
    LEAF,
    MESH,
    SYSTEM,
    TRUST_DOMAIN,
    WEST_1,
    WEST_2,
    A,
    B,
    config_map,
    der,
    istiod,
    roots,
    shown,
    status,
    workload,
)

NAME = x509.Name.from_rfc4514_string("CN=a\\, b,O=acme,C=DE").public_bytes()


def trust(state: ClusterState, sample: Sample = NOTHING) -> ObservedTrust:
    said = observed_trust(state, SYSTEM, sample)
    assert isinstance(said, ObservedTrust)
    return said


def seen(shown: Handshake, pod: str = "", roots: tuple[x509.Certificate, ...] = ()) -> ObservedProxy:
    (only,) = workloads(cluster(pod or workload()))
    return seen_workload(only, shown, NOW, roots)


# --- what is published


def test_roots_are_counted_by_the_set_that_a_namespace_shows_whatever_its_bytes() -> None:
    state = cluster(
        roots("shop", A.pem, B.pem),
        roots("bank", B.pem, "\r\n# b\n", A.pem, A.pem, "\n\n"),
        roots("old", A.pem),
    )
    both = tuple(sorted((fingerprint(A.certificate), fingerprint(B.certificate))))
    expected = {
        ObservedBundle(roots=both, namespaces=2, example="bank"),
        ObservedBundle(roots=(fingerprint(A.certificate),), namespaces=1, example="old"),
    }
    assert tuple(sorted(expected)) == trust(state).bundles
    assert {A.certificate, B.certificate} == set(published(state))


@pytest.mark.parametrize(
    "text", ["", "garbage", A.pem[:-40], key_pem(A.key), A.pem + "-----BEGIN CERTIFICATE-----\nAA\n"]
)
def test_a_bundle_of_which_anything_cant_be_read_shows_no_root(text: str) -> None:
    assert (ObservedBundle(roots=(), namespaces=1, example="shop"),) == trust(cluster(roots("shop", text))).bundles


def test_namespaces_with_workloads_that_show_no_roots_are_counted() -> None:
    state = cluster(workload("a-1", "shop"), workload("a-2", "shop"), workload("b-1", "bank"), roots("bank", A.pem))
    assert 1 == trust(state).unread


def test_of_a_cluster_that_shows_nothing_of_trust_nothing_is_said() -> None:
    assert observed_trust(cluster(istiod()), SYSTEM, NOTHING) is UNSET


def test_a_folder_says_what_its_config_maps_show_and_no_more() -> None:
    state = cluster(workload(), istiod(), roots("shop", A.pem), config_map("other", "shop", {"root-cert.pem": B.pem}))
    bundle = ObservedBundle(roots=(fingerprint(A.certificate),), namespaces=1, example="shop")
    assert ObservedTrust(bundles=(bundle,)) == trust(state)


# --- what the agent says


def test_the_agents_own_word_is_passed_on() -> None:
    text = '{"rotation": 3, "wanted": 4, "pending": 4, "roots": ["sha256:aa"], "trouble": "it waits", "later": 1}'
    expected = ObservedAgent(rotation=3, wanted=4, pending=4, roots=("sha256:aa",), trouble="it waits")
    assert expected == trust(cluster(status(text))).agent
    assert trust(cluster(roots("shop", A.pem), status(text, namespace="shop"))).agent is None


def test_a_word_of_the_agent_without_end_is_cut() -> None:
    text = json.dumps({"roots": ["sha256:aa"] * 1000, "crls": ["aa"] * 5000, "trouble": "x" * 1000})
    agent = trust(cluster(status(text))).agent
    assert agent == ObservedAgent(roots=("sha256:aa",) * MAX_ROOTS, crls=("aa",) * MAX_CRLS, trouble="x" * 300)


@pytest.mark.parametrize("text", ["", "[]", '{"rotation": "three"}', "\N{REPLACEMENT CHARACTER}", "[" * 5000])
def test_a_word_of_the_agent_that_cant_be_read_is_told_as_trouble(text: str) -> None:
    agent = trust(cluster(status(text))).agent
    assert ObservedAgent(trouble="what it says of itself in ConfigMap peermesh-ca-status can't be read") == agent


# --- what a handshake says


def test_a_workload_shows_what_issued_its_leaf_until_when_it_lasts_and_what_it_trusts() -> None:
    proxy = seen(shown(LEAF, WEST_1, A, names=(B.certificate, A.certificate, A.certificate)))
    assert (
        ObservedProxy(
            namespace="shop",
            pod="a-1",
            issuer=fingerprint(WEST_1.certificate),
            authority=authority(LEAF),
            trusts=("CN=a,O=acme", "CN=b,O=acme"),
            not_after=LEAF.certificate.not_valid_after_utc,
            live=False,
            started=datetime(2026, 11, 24, 7, tzinfo=UTC),
            seen=NOW,
        )
        == proxy
    )


def authority(holder: Holder) -> str:
    found = holder.certificate.extensions.get_extension_for_class(x509.AuthorityKeyIdentifier).value.key_identifier
    assert found
    return found.hex()


def test_the_issuer_is_found_wherever_it_stands_in_the_chain() -> None:
    assert fingerprint(WEST_1.certificate) == seen(shown(LEAF, A, B, WEST_1)).issuer


def test_a_leaf_right_under_a_published_root_is_known_though_the_chain_holds_only_the_leaf() -> None:
    assert fingerprint(A.certificate) == seen(shown(A.leaf(TRUST_DOMAIN)), roots=(B.certificate, A.certificate)).issuer


@pytest.mark.parametrize(
    "chain", [(LEAF,), (LEAF, A), (LEAF, WEST_2, A), (LEAF, MESH.intermediate("west", 1, kind="P-384"), A)]
)
def test_a_chain_without_the_issuer_is_told_with_all_that_is_known(chain: tuple[Holder, ...]) -> None:
    """One that only bears the issuer's name isn't the issuer."""
    proxy = seen(shown(*chain))
    assert ("", "what issued its certificate isn't in its chain") == (proxy.issuer, proxy.error)
    assert (authority(LEAF), ("CN=a,O=acme",)) == (proxy.authority, proxy.trusts)


@pytest.mark.parametrize(
    ("handshake", "error"),
    [
        (Handshake(error="no answer within 3 s"), "no answer within 3 s"),
        (Handshake(), "it showed no certificate"),
        (Handshake(chain=(b"\x30\x00",)), "it showed certificates that can't be read"),
        (Handshake(chain=(der(LEAF), der(WEST_1)), authorities=(b"\x31\x00",)),
         "it names a root whose name can't be read"),
        (Handshake(chain=(der(LEAF),), authorities=(b"\x30\x00",) * (MAX_ROOTS + 1)),
         f"it names {MAX_ROOTS + 1} roots; at most {MAX_ROOTS} are read"),
    ],
)  # fmt: skip
def test_a_handshake_that_shows_nothing_says_why(handshake: Handshake, error: str) -> None:
    proxy = seen(handshake)
    assert error == proxy.error
    assert ("", (), None) == (proxy.issuer, proxy.trusts, proxy.not_after)


def test_who_asks_for_no_certificate_says_nothing_of_what_it_trusts() -> None:
    proxy = seen(shown(LEAF, WEST_1, A, names=()))
    assert (fingerprint(WEST_1.certificate), "it names no roots that it trusts") == (proxy.issuer, proxy.error)


@given(st.lists(st.binary(max_size=80), max_size=3), st.lists(st.binary(max_size=80), max_size=3))
def test_whatever_comes_over_the_wire_is_an_answer_or_an_error(chain: list[bytes], names: list[bytes]) -> None:
    for first in ((), (der(LEAF), der(WEST_1))):
        proxy = seen(Handshake(chain=(*first, *chain), authorities=tuple(names)))
        assert proxy.error or proxy.trusts


@given(st.integers(0, len(der(LEAF)) - 1), st.integers(0, 255))
def test_a_leaf_with_one_byte_changed_is_never_under_its_issuer(at: int, value: int) -> None:
    spoilt = der(LEAF)[:at] + bytes([value]) + der(LEAF)[at + 1 :]
    proxy = seen(replace_chain(shown(LEAF, WEST_1, A), spoilt))
    assert (spoilt == der(LEAF)) == (proxy.issuer == fingerprint(WEST_1.certificate))


def replace_chain(handshake: Handshake, der: bytes) -> Handshake:
    return Handshake(chain=(der, *handshake.chain[1:]), authorities=handshake.authorities)


@pytest.mark.parametrize(
    "name",
    [
        "CN=a",
        "O=acme,CN=a\\, b,C=DE",
        "CN=Wurzel Ä,DC=example,DC=acme",
        "OU=" + ",OU=".join("x" * 60 for _ in range(6)),
    ],
)
def test_a_root_is_named_as_its_own_certificate_names_it(name: str) -> None:
    subject = x509.Name.from_rfc4514_string(name)
    handshake = Handshake(chain=(der(LEAF), der(WEST_1)), authorities=(subject.public_bytes(),))
    assert (subject.rfc4514_string()[:300],) == seen(handshake).trusts


@pytest.mark.filterwarnings("ignore::UserWarning")  # of `cryptography`, for names that are longer than they should be
@given(st.integers(0, len(NAME) - 1), st.integers(0, 255), st.booleans())
def test_a_name_with_one_byte_changed_or_the_rest_cut_off_is_an_answer_or_an_error(
    at: int, value: int, cut: bool
) -> None:
    spoilt = NAME[:at] if cut else NAME[:at] + bytes([value]) + NAME[at + 1 :]
    proxy = seen(Handshake(chain=(der(LEAF), der(WEST_1)), authorities=(spoilt,)))
    assert bool(proxy.error) == (len(proxy.trusts) != 1)


# --- who they are


@pytest.mark.parametrize("native", [False, True])
@pytest.mark.parametrize(
    ("env", "live"), [({}, False), *((pair, pair["PROXY_CONFIG_XDS_AGENT"] == "true") for pair in (
        {"PROXY_CONFIG_XDS_AGENT": "true"}, {"PROXY_CONFIG_XDS_AGENT": "false"}, {"PROXY_CONFIG_XDS_AGENT": "yes"}))]
)  # fmt: skip
def test_a_sidecar_follows_roots_live_if_its_own_environment_says_so(
    env: dict[str, str], live: bool, native: bool
) -> None:
    assert live is seen(Handshake(), workload(env=env, native=native)).live


def test_of_all_pods_it_is_told_whether_some_follow_roots_late_whoever_was_asked() -> None:
    live = workload("a-1", env={"PROXY_CONFIG_XDS_AGENT": "true"})
    state = cluster(live, workload("b-1"), workload("a-2", started="2026-11-24T06:00:00Z"))
    first = datetime(2026, 11, 24, 6, tzinfo=UTC)
    assert ObservedLag(workloads=2, example="shop/a-2", oldest=first) == trust(state, Sample(at=NOW)).lag
    unknown = cluster(live, workload("b-1"), workload("a-2", started=""))
    assert ObservedLag(workloads=2, example="shop/a-2") == trust(unknown, Sample(at=NOW)).lag
    assert trust(cluster(live), Sample(at=NOW)).lag is None


def test_of_a_pod_whose_sidecar_isnt_listed_it_isnt_known() -> None:
    assert seen(Handshake(), workload().replace("istio-proxy", "main")).live is None


def test_who_is_asked_has_a_sidecar_and_an_address() -> None:
    state = cluster(
        workload("a-1"),
        workload("a-2", ip=""),
        workload("gateway", labels={"istio": "eastwestgateway"}),
        workload("off", labels={"security.istio.io/tlsMode": "disabled"}),
        istiod("istiod-1"),
        istiod("istiod-2", ip=""),
        istiod("copy", "shop"),
    )
    assert (["a-1"], ["istiod-1"]) == ([pod.metadata.name for pod in workloads(state)],
                                       [pod.metadata.name for pod in istiods(state, SYSTEM)])  # fmt: skip


def test_what_is_kept_of_an_object_is_enough_to_ask_it() -> None:
    state = cluster(workload(env={"PROXY_CONFIG_XDS_AGENT": "true", "POD_NAME": "a"}), istiod(), roots("shop", A.pem))
    kept = cluster(
        pods=tuple(lean(pod) for pod in state.pods), config_maps=tuple(lean(one) for one in state.config_maps)
    )
    (pod,), (lean_pod,) = workloads(state), workloads(kept)
    assert seen_workload(pod, Handshake(), NOW) == seen_workload(lean_pod, Handshake(), NOW)
    assert "10.0.9.1" == istiods(kept, SYSTEM)[0].status.pod_ip
    assert announced(state) == announced(kept)


# --- all of it


def told(*pods: str, at: datetime | None = NOW, **more: Any) -> Sample:
    """What is known after each of these workloads was asked."""
    asked = workloads(cluster(*pods))
    return Sample(at=at, proxies=tuple(seen_workload(pod, shown(LEAF, WEST_1, A), NOW) for pod in asked), **more)


def test_results_are_told_sorted_and_without_pods_that_have_gone_or_are_others_by_now() -> None:
    sample = told(*(workload(name) for name in ("c", "a", "gone", "again")))
    state = cluster(*(workload(name) for name in ("a", "c", "new")), workload("again", started="2026-11-24T07:30:00Z"))
    said = trust(state, sample)
    assert (["a", "c"], NOW) == ([one.pod for one in said.proxies], said.sampled_at)


def test_of_very_many_workloads_the_newest_are_told() -> None:
    names = [f"p{i:04}" for i in range(MAX_TOLD + 5)]
    pods = [workload(name) for name in names]
    sample = told(*pods)
    old = tuple(
        replace(one, seen=NOW - timedelta(minutes=5)) if one.pod in names[10:15] else one for one in sample.proxies
    )
    said = trust(cluster(*pods), Sample(at=NOW, proxies=old))
    assert set(names) - set(names[10:15]) == {one.pod for one in said.proxies}


def test_replicas_of_istiod_are_told_with_what_they_sign_with() -> None:
    state = cluster(istiod("istiod-2"), istiod("istiod-1"), roots("shop", A.pem))
    serving = WEST_1.leaf(TRUST_DOMAIN)
    first, second = istiods(state, SYSTEM)
    gone = ObservedIssuer(pod="istiod-0", issuer=fingerprint(WEST_2.certificate))
    issuers = (seen_istiod(first, shown(serving, WEST_1, A)), seen_istiod(second, Handshake(error="no answer")), gone)
    said = trust(state, Sample(at=NOW, issuers=issuers))
    expected = (
        ObservedIssuer(pod="istiod-1", error="no answer"),
        ObservedIssuer(pod="istiod-2", issuer=fingerprint(WEST_1.certificate)),
    )
    assert (expected, False) == (said.issuers, said.self_signed)


def test_istiod_that_signs_with_a_published_root_itself_is_told() -> None:
    state = cluster(istiod(), roots("shop", A.pem))
    (pod,) = istiods(state, SYSTEM)
    issuer = seen_istiod(pod, shown(A.leaf(TRUST_DOMAIN)), published(state))
    assert trust(state, Sample(at=NOW, issuers=(issuer,))).self_signed is True
    assert trust(state, Sample(at=NOW, issuers=(replace(issuer, issuer=""),))).self_signed is None


def test_trust_is_part_of_what_is_sent_and_of_no_plan() -> None:
    state = cluster(workload(), roots("shop", A.pem))
    first, second = (
        observe(state, SCOPE, sequence=1, observed_at=NOW, sample=sample) for sample in (NOTHING, told(workload()))
    )
    assert unpack(pack(second)).trust == trust(state, told(workload()))
    assert first != second
    assert first.content() == second.content()


def test_an_announcement_changes_with_any_byte_of_the_roots_and_any_word_of_the_agent() -> None:
    texts = [
        (roots("shop", A.pem),),
        (roots("shop", A.pem, "\n"),),
        (roots("shop", A.pem), roots("bank", A.pem, "\n")),
        (roots("shop", A.pem), status('{"rotation": 1, "wanted": 1}')),
        (roots("shop", A.pem), status('{"rotation": 1, "wanted": 2}')),
    ]
    found = [announced(cluster(*one)) for one in texts]
    assert len(texts) == len(set(map(str, found)))
    assert [True, True, False, True, False] == [one.settled for one in found]
    assert announced(cluster(roots("shop", A.pem), roots("bank", A.pem))) == found[0]
