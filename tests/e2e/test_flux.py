"""What `cluster add` writes for Flux, under real controllers on two API servers: what it applies, and what it can't."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest
import yaml

from syncer.protocol.names import ServiceKey
from tests.e2e.flux import NAMESPACE, Flux
from tests.e2e.site import GATEWAYS, ISTIO, Eye, Site, held, site
from workers.applied import Applied, applied, committed
from workers.documents import paths

CART = "clusters/west/imports/shop/cart.yaml"
IMPORTS = "peermesh-imports"


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with site(tmp_path_factory.mktemp("site")) as made:
        yield made


@pytest.fixture
def west(running: Site) -> Iterator[Flux]:
    """Flux in west; what a test committed is taken back after it."""
    before = running.files().content
    yield running.flux["west"]
    now = running.files().content
    paths = before.keys() | now.keys()
    changes = {path: before.get(path) for path in paths if before.get(path) != now.get(path)}
    if changes:
        running.flux["west"].wait_for_commit(running.commit(changes))


def test_each_cluster_gets_what_main_commits_for_it_and_nothing_of_its_peer(running):
    for name, one in running.flux.items():
        assert running.wanted(name) == held(one.cluster)
    assert running.wanted("west") != running.wanted("east")


def test_a_commit_is_applied_and_a_withdrawal_is_pruned(running, west):
    before, cart = held(west.cluster), running.files().read(CART)
    west.wait_for_commit(running.commit({CART: None}), "imports")
    gone = {f"{kind}/{IMPORTS}/cart.shop" for kind in ("DestinationRule", "ServiceEntry")}
    assert {name: digest for name, digest in before.items() if name not in gone} == held(west.cluster)
    running.commit({CART: cart})
    west.wait_for(lambda: held(west.cluster) == before, "cart to come back")


def test_an_emptied_folder_is_pruned_because_its_readme_keeps_it(running, west):
    paths = [path for path, _ in running.files().under("clusters/west/imports/") if path.endswith(".yaml")]
    running.commit(dict.fromkeys(paths))
    west.wait_for(lambda: not any(IMPORTS in name for name in held(west.cluster)), "imports to go")
    assert held(west.cluster) == running.wanted("west") != {}


def test_an_object_that_is_refused_stops_its_unit_and_no_other(running, west):
    entry = running.files().read(CART).decode()
    commit = running.commit(
        {
            CART: entry.replace("  resolution: STATIC\n", "  resolution: STATIC\n  bogus: true\n"),
            "clusters/west/gateway/added.yaml": gateway("added", GATEWAYS),
        }
    )
    west.wait_for(lambda: west.applied("gateway") == commit, "the unit beside it")
    west.wait_for(lambda: west.ready("imports")[0] == "False", "the unit to fail")
    status, message = west.ready("imports")
    assert ("False", True) == (status, "bogus" in message), message
    assert west.applied("imports") != commit
    assert f"Gateway/{GATEWAYS}/added" in held(west.cluster)
    mended = running.commit({CART: entry})
    west.wait_for(lambda: west.applied("imports") == mended, "the mended unit")


@pytest.mark.parametrize(
    ("folder", "refused"),
    [
        ("imports", "apiVersion: v1\nkind: Secret\nmetadata: {name: stolen, namespace: peermesh-imports}\n"),
        ("imports", "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: stolen, namespace: flux-system}\n"),
        ("gateway", "apiVersion: v1\nkind: Namespace\nmetadata: {name: stolen}\n"),
    ],
    ids=["a Secret", "an object of Flux's own namespace", "a namespace"],
)
def test_what_is_never_rendered_can_not_be_applied(running, west, folder, refused):
    running.commit({f"clusters/west/{folder}/stolen.yaml": refused})
    west.wait_for(lambda: west.ready(folder)[0] == "False", "the unit to fail")
    assert "stolen" in west.ready(folder)[1]
    assert "forbidden" in west.ready(folder)[1].lower()
    kind = yaml.safe_load(refused)["kind"]
    assert "stolen" not in west.cluster.kubectl("get", kind, "-A", "-o", "name")


@pytest.mark.parametrize(("folder", "namespace"), [("imports", IMPORTS), ("gateway", "default")])
def test_kinds_that_are_rendered_can_not_be_applied_elsewhere(running, west, folder, namespace):
    running.commit({f"clusters/west/{folder}/stray.yaml": gateway("stray", namespace)})
    west.wait_for(lambda: west.ready(folder)[0] == "False", "the unit to fail")
    assert "forbidden" in west.ready(folder)[1].lower()
    assert not any("stray" in name for name in held(west.cluster))


def test_flux_s_own_folder_beside_ours_is_neither_applied_nor_pruned_by_our_units(running, west):
    path = "clusters/west/flux-system/own.yaml"
    own = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "own", "namespace": NAMESPACE}}
    west.cluster.apply(yaml.safe_dump(own))
    for change in ({path: yaml.safe_dump(own | {"data": {"a": "b"}})}, {path: None}):
        commit = running.commit(change)
        west.wait_for_commit(commit)
        assert "b" not in west.cluster.kubectl("-n", NAMESPACE, "get", "cm", "own", "-o", "jsonpath={.data}")


def test_an_object_of_people_that_is_not_in_git_stays(running, west):
    west.cluster.apply(gateway("by-hand", GATEWAYS).replace("managed-by: peermesh", "managed-by: people"))
    commit = running.commit({CART: None})
    west.wait_for(lambda: west.applied("imports") == commit, "the commit")
    assert "by-hand" in west.cluster.kubectl("-n", GATEWAYS, "get", "gateways", "-o", "name")


def test_an_edit_by_hand_is_put_right(west):
    path = f"{ISTIO}/namespaces/{IMPORTS}/serviceentries/cart.shop"
    patch = {"spec": {"hosts": ["stolen.example.com"]}}
    code, _ = west.cluster.request("PATCH", path, patch, content_type="application/merge-patch+json")
    assert code == 200
    west.poke("kustomizations", "peermesh-west-imports")
    west.wait_for(
        lambda: west.cluster.request("GET", path)[1]["spec"]["hosts"] == ["cart.shop.mesh.internal"], "the host of Git"
    )


def test_what_is_applied_outlives_the_unit_that_applied_it(running, west):
    before = held(west.cluster)
    west.cluster.kubectl("-n", NAMESPACE, "delete", "kustomization", "peermesh-west-imports", "--timeout=60s")
    assert before == held(west.cluster)
    west.cluster.apply(running.checkout / "delivery" / "flux" / "west" / "units.yaml")
    west.wait_for(lambda: west.applied("imports"), "the unit to take them over")
    head = running.commit({CART: None})
    west.wait_for(lambda: west.applied("imports") == head, "the withdrawal")
    assert held(west.cluster) == running.wanted("west")


@pytest.mark.parametrize("name", ["cloudbuild", "kustomization"])
def test_services_and_namespaces_may_be_called_as_files_that_flux_takes_for_something_else(running, west, name):
    entry = running.files().read(CART).replace(b"cart.shop", f"{name}.{name}".encode())
    imported = paths.import_path("west", ServiceKey(name, name))
    commit = running.commit({paths.gateway_path("west", name): gateway(f"peermesh-{name}", GATEWAYS), imported: entry})
    west.wait_for_commit(commit)
    assert running.wanted("west") == held(west.cluster)
    assert f"ServiceEntry/{IMPORTS}/{name}.{name}" in held(west.cluster)


@pytest.fixture
def eye(west: Flux) -> Iterator[Eye]:
    made = Eye(west.cluster)
    yield made
    made.close()


def test_status_tells_committed_from_applied_and_why(running, west, eye):
    stands(running, west, eye, "applied")

    entry = running.files().read(CART)
    other = re.sub(rb'(peermesh.io/digest: )"?\w+"?', rb'\1"fedcba9876543210"', entry)
    commit = running.commit({CART: other}, poke=False)
    _, gateways, imports = stands(running, west, eye, "stale").units
    assert ("applied", "stale") == (gateways.state, imports.state)
    assert (f"DestinationRule/{IMPORTS}/cart.shop", f"ServiceEntry/{IMPORTS}/cart.shop") == imports.outdated
    assert imports.revision != commit

    west.poke()
    west.wait_for_commit(commit)
    assert commit == stands(running, west, eye, "applied").units[2].revision

    running.commit({CART: other.replace(b"  resolution: STATIC\n", b"  resolution: STATIC\n  bogus: true\n")})
    _, gateways, imports = stands(running, west, eye, "failed").units
    assert ("applied", "failed") == (gateways.state, imports.state)
    assert ("bogus" in imports.message, commit) == (True, imports.revision)


def test_what_flux_does_not_know_to_prune_is_told_as_left(running, west, eye):
    west.cluster.apply(gateway("nobodys", GATEWAYS))
    found = stands(running, west, eye, "stale")
    assert (f"Gateway/{GATEWAYS}/nobodys",) == found.units[1].left
    west.cluster.kubectl("-n", GATEWAYS, "delete", "gateways.networking.istio.io", "nobodys")
    stands(running, west, eye, "applied")


def stands(running: Site, west: Flux, eye: Eye, state: str) -> Applied:
    """How `peermesh status` would say that west stands to main, as soon as it is `state`."""

    def found() -> Applied | None:
        now = applied(committed(running.files(), {})["west"], eye.observation(), datetime.now(UTC))
        return now if now.state == state else None

    return west.wait_for(found, f"it to be {state}")  # type: ignore[return-value]


@pytest.mark.parametrize("verb", ["get", "create", "patch", "delete"])
def test_the_applier_has_no_right_that_it_could_do_without(running, west, verb):
    role = f"/apis/rbac.authorization.k8s.io/v1/namespaces/{IMPORTS}/roles/peermesh-applier-imports"
    code, before = west.cluster.request("GET", role)
    assert (200, True) == (code, verb in before["rules"][0]["verbs"])
    verbs = [other for other in before["rules"][0]["verbs"] if other != verb]
    patch = [{"op": "replace", "path": "/rules/0/verbs", "value": verbs}]
    assert west.cluster.request("PATCH", role, patch, content_type="application/json-patch+json")[0] == 200
    try:
        added = running.files().read(CART).replace(b"cart.shop", b"cart-2.shop")
        running.commit({CART: None, "clusters/west/imports/shop/cart-2.yaml": added})
        west.wait_for(lambda: west.ready("imports")[0] == "False", f"the unit to fail without {verb}")
        assert "forbidden" in west.ready("imports")[1].lower()
    finally:
        patch[0]["value"] = before["rules"][0]["verbs"]
        assert west.cluster.request("PATCH", role, patch, content_type="application/json-patch+json")[0] == 200


def gateway(name: str, namespace: str) -> str:
    return f"""\
apiVersion: networking.istio.io/v1
kind: Gateway
metadata:
  name: {name}
  namespace: {namespace}
  labels:
    app.kubernetes.io/managed-by: peermesh
  annotations:
    peermesh.io/digest: "0123456789abcdef"
spec:
  selector: {{istio: eastwestgateway}}
  servers:
    - port: {{number: 15443, name: tls, protocol: TLS}}
      tls: {{mode: AUTO_PASSTHROUGH}}
      hosts: ["a.b.svc.cluster.local"]
"""
