"""Intermediates rotate and a root rolls over, ordered on the command line, while the meshes call each other.

Everything goes its way: agents ask, people approve, signers sign, what is on main is applied, agents write `cacerts`,
istiods and Envoys follow, syncers look. Not one request may fail.
"""

from __future__ import annotations

import base64
import re
import sys
from collections.abc import Iterator

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from tests.e2e.istio.mesh import SECRET, Mesh
from tests.e2e.istio.traffic import Load, traffic
from tests.e2e.trust_site import TrustSite, trust_site
from tests.pki.canary import find


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TrustSite]:
    with trust_site(tmp_path_factory.mktemp("trust")) as running:
        yield running


def test_intermediates_rotate_as_ordered_and_no_request_fails(site, capfd):
    west, _ = site.meshes.all
    with traffic(site.meshes.loop, site.meshes.routes()) as load:
        site.order("request-rotation", "west")
        site.until(lambda: west.istiod.issuer() == "west-2", "west to sign with rotation 2")
        load.more()
        # Where the old one is compromised, nothing waits for leaves to end.
        site.order("request-rotation", "east", "--compromised")
        site.until(lambda: issuers(site)["east"] == {"east-2"}, "east's workloads to be under rotation 2")
        load.more()
    tell(capfd, "intermediates rotate", load)
    assert 0 == load.failed, load.say()


def test_a_root_rolls_over_as_ordered_and_no_request_fails(site, capfd):
    before = rotations(site)
    _, east = site.meshes.all
    with traffic(site.meshes.loop, site.meshes.routes()) as load:
        site.make_root("b", present="a")
        east.kubelet.held = True
        site.order("rollover", "start", "b", "--canary", "west")
        # What is written and not taken opens no gate.
        closed = re.compile(r"east waits: .* doesn't show root b yet\.\s+It is written")
        site.until(lambda: closed.search(site.status()) is not None, "a closed gate")
        assert before == rotations(site)
        east.kubelet.held = False
        site.until(lambda: roots(site) == {frozenset({"a", "b"})}, "every workload to trust both")
        assert before == rotations(site)  # nobody signs under it yet
        site.until(lambda: roots(site) == {frozenset({"b"})}, "every workload to trust the new one alone", 300)
        load.more()
    tell(capfd, "a root rolls over", load)
    assert 0 == load.failed, load.say()
    assert {"west": before["west"] + 1, "east": before["east"] + 1} == rotations(site)


def test_no_key_left_its_cluster_or_its_signer(site):
    keys = [intermediate_key(mesh) for mesh in site.meshes.all]
    mounts = [mesh.istiod.cacerts for mesh in site.meshes.all]
    assert all(find(key, mount) for key, mount in zip(keys, mounts, strict=True))  # what is there is found
    with site.line.broker.client() as everything:
        for key in (*keys, site.root_key("a"), site.root_key("b")):
            assert [] == find(key, site.line.folder, site.folder, site.logs, everything)


def intermediate_key(mesh: Mesh) -> ec.EllipticCurvePrivateKey:
    """What istiod of a cluster signs with."""
    _, secret = mesh.cluster.request("GET", SECRET)
    key = load_pem_private_key(base64.b64decode(secret["data"]["ca-key.pem"]), None)
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    return key


def roots(site: TrustSite) -> set[frozenset[str]]:
    """Whatever any workload trusts."""
    return {trust.roots for mesh in site.meshes.all for trust in mesh.trusts()}


def issuers(site: TrustSite) -> dict[str, set[str]]:
    """What the leaves of each cluster's workloads are under."""
    return {mesh.name: {trust.issuer for trust in mesh.trusts()} for mesh in site.meshes.all}


def rotations(site: TrustSite) -> dict[str, int]:
    """Of the intermediate that each istiod signs with."""
    return {mesh.name: int(mesh.istiod.issuer().rpartition("-")[2]) for mesh in site.meshes.all}


def tell(capfd: pytest.CaptureFixture[str], what: str, load: Load) -> None:
    with capfd.disabled():
        sys.stderr.write(f"\n{what}: {load.say()}\n")
