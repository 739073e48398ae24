"""What the signer seals is opened by the real controller, into the Secret that istiod reads, and into no other."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
import yaml
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from syncer.protocol.cacerts import Cacerts, cacerts_faults
from syncer.protocol.certificates import fingerprint, key_fingerprint, read_certificate, read_certificates
from tests.e2e.kubernetes import Cluster, clusters
from tests.e2e.sealed_secrets import Controller, controller
from tests.pki.canary import find
from tests.signer.site import Site, sealed_request, sealing, signer_of
from workers.documents import paths
from workers.documents.trust import ClusterTrust
from workers.reach import reach
from workers.render import Only, render
from workers.tree import Tree, read_tree

SEALED = "/apis/bitnami.com/v1alpha1/namespaces/{}/sealedsecrets/cacerts"
SECRET = "/api/v1/namespaces/{}/secrets/cacerts"


@pytest.fixture(scope="module")
def cluster(tmp_path_factory) -> Iterator[Cluster]:
    with clusters(tmp_path_factory.mktemp("clusters"), "west") as (west,):
        for name in ("istio-system", "elsewhere"):
            west.kubectl("create", "namespace", name)
        yield west


@pytest.fixture(scope="module")
def opener(cluster, tmp_path_factory) -> Iterator[Controller]:
    with controller(cluster, tmp_path_factory.mktemp("controller")) as running:
        yield running


@pytest.fixture(scope="module")
def site(opener, tmp_path_factory) -> Site:
    trust = ClusterTrust(delivery="sealed-secrets", sealing=fingerprint(opener.certificate))
    made = Site(tmp_path_factory.mktemp("site"), clusters={"west": trust, "east": ClusterTrust()})
    made.put(sealing(opener.certificate))
    return made


def signed(site: Site, opener: Controller) -> dict[str, Any]:
    """The SealedSecret of the next rotation, as `clusters/west/ca/` has it once its certificate is on main."""
    had = tree_of(site).facts.pki.intermediates.get("west")
    rotation = had.spec.rotation + 1 if had else 1
    site.put(sealed_request(opener.certificate, rotation=rotation))
    report = site.signing(signer_of("a")).look(datetime.now(UTC))
    assert {} == report.troubles
    site.put(site.signed())
    rendered = render(tree_of(site), reach(tree_of(site)), Only(authorities=frozenset({"west"})))
    [file] = [file for file in rendered.values() if file is not None]
    [manifest] = yaml.safe_load_all(file.data)
    return dict(manifest)


def tree_of(site: Site) -> Tree:
    tree, problems = read_tree(site.repository().files(site.remote.refs[paths.MAIN]))
    assert tree is not None, problems
    return tree


def wait_for(condition: Callable[[], Any], opener: Controller) -> Any:
    deadline = time.monotonic() + 90
    while not (held := condition()):
        assert time.monotonic() < deadline, opener.process.log.read_text(errors="replace")[-3000:]
        time.sleep(0.05)
    return held


def secret(cluster: Cluster, namespace: str) -> dict[str, str]:
    """Its files as istiod finds them; empty: there is none."""
    code, found = cluster.request("GET", SECRET.format(namespace))
    if code == 404:
        return {}
    return {name: base64.b64decode(text).decode() for name, text in found["data"].items()}


def applied(cluster: Cluster, opener: Controller, site: Site) -> dict[str, str]:
    """The files of the Secret that the next rotation becomes."""
    manifest = signed(site, opener)
    assert "PRIVATE KEY" not in json.dumps(manifest)
    cluster.apply(json.dumps(manifest))
    certificate = site.signed().spec.certificate
    found: dict[str, str] = wait_for(
        lambda: (files := secret(cluster, "istio-system")).get("ca-cert.pem") == certificate and files, opener
    )
    return found


def test_the_controller_opens_what_was_sealed_into_a_cacerts_that_istiod_takes(cluster, opener, site):
    files = applied(cluster, opener, site)
    key = load_pem_private_key(files["ca-key.pem"].encode(), None)
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    cacerts = Cacerts(certificate=files["ca-cert.pem"], chain=files["cert-chain.pem"], roots=files["root-cert.pem"])
    now = datetime.now(UTC)
    assert () == cacerts_faults(cacerts, trust_domain="west.acme.example", now=now, key=key.public_key())
    assert signer_of("a").issuers == read_certificates(files["root-cert.pem"], subject="roots")
    assert [] == find(key, site.folder, opener.process.log)


def test_the_next_rotation_replaces_the_key_with_its_certificate(cluster, opener, site):
    before, after = (applied(cluster, opener, site) for _ in range(2))
    assert before["ca-key.pem"] != after["ca-key.pem"]
    key = load_pem_private_key(after["ca-key.pem"].encode(), None)
    certificate = read_certificate(after["ca-cert.pem"], subject="west")
    assert key_fingerprint(certificate.public_key()) == key_fingerprint(key.public_key())  # type: ignore[arg-type]


@pytest.mark.parametrize("moved", [("elsewhere", "cacerts"), ("istio-system", "other")])
def test_moved_to_another_place_it_is_opened_by_nobody(cluster, opener, site, moved):
    namespace, name = moved
    manifest = signed(site, opener)
    manifest["metadata"] |= {"namespace": namespace, "name": name}
    manifest["spec"]["template"]["metadata"] |= {"namespace": namespace, "name": name}
    cluster.apply(json.dumps(manifest))
    path = SEALED.format(namespace).replace("/cacerts", f"/{name}")

    def refused() -> str:
        _, found = cluster.request("GET", path)
        conditions = found.get("status", {}).get("conditions", [])
        return next((one["message"] for one in conditions if one["status"] == "False"), "")

    assert "no key could decrypt secret" in wait_for(refused, opener)
    assert 404 == cluster.request("GET", SECRET.format(namespace).replace("/cacerts", f"/{name}"))[0]


def test_the_secret_stays_when_the_sealed_one_goes(cluster, opener, site):
    """An istiod that starts without `cacerts` signs with a root of its own."""
    before = applied(cluster, opener, site)
    cluster.kubectl("-n", "istio-system", "delete", "sealedsecret", "cacerts")
    wait_for(lambda: cluster.request("GET", SEALED.format("istio-system"))[0] == 404, opener)
    assert before == secret(cluster, "istio-system")
