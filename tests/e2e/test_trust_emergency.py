"""Keys of CAs are in other hands, and the meshes go on: whom the thief could fool before, he fools no more.

He really has the key and makes up workloads with it; everything else goes its way: orders on the command line,
proposals, signers, agents. Each test begins and ends with all clusters under one root; which that is, it finds.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterator

import pytest
from cryptography import x509

from tests.e2e.istio import shop
from tests.e2e.istio.mesh import Mesh
from tests.e2e.istio.thief import Thief, with_intermediate, with_root
from tests.e2e.istio.traffic import Load, traffic
from tests.e2e.trust_site import TrustSite, trust_site

UNKNOWN = "TLSV1_ALERT_UNKNOWN_CA"
REVOKED = "SSLV3_ALERT_CERTIFICATE_REVOKED"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TrustSite]:
    with trust_site(tmp_path_factory.mktemp("trust")) as running:
        yield running


def test_who_has_the_key_of_a_root_is_refused_in_the_end_and_no_request_fails(site, capfd):
    thief = with_key_of_root(site, "a")
    with traffic(site.meshes.loop, site.meshes.routes()) as load:
        assert fooled(site) == answers(site, thief)
        site.edit("soak: 0m", "soak: 10m")  # which nothing waits for
        site.make_root("b")
        site.order("rollover", "start", "b", "--compromised")
        until(site, lambda: roots(site) == {frozenset({"b"})}, "every workload to trust the new root alone")
        load.more()
        assert {"west": UNKNOWN, "east": UNKNOWN} == answers(site, thief)
    tell(capfd, "a root is compromised", load)
    assert 0 == load.failed, load.say()
    assert not any("CN=a," in issuer for mesh in site.meshes.all for issuer in issuers_of_chain(mesh))
    site.edit("soak: 10m, compromised: [a]", "soak: 0m")


def test_who_has_the_key_of_an_intermediate_is_refused_once_it_is_revoked_and_no_request_fails(site, capfd):
    west, _ = site.meshes.all
    (root,) = next(iter(roots(site)))
    thief, rotation = with_intermediate(west), int(west.istiod.issuer().rpartition("-")[2])
    with traffic(site.meshes.loop, site.meshes.routes()) as load:
        site.edit("soak: 0m", "soak: 10s, crls: true")  # longer than the kubelet takes
        until(site, lambda: all(lists(site)), "every workload to have CRLs")
        load.more()
        said = site.order("request-rotation", "west", "--compromised")
        until(site, lambda: issuers(west) == {f"west-{rotation + 1}"}, "west's workloads to be under the next one")
        load.more()
        assert fooled(site) == answers(site, thief)  # nobody has said yet that the old one is bad
        printed = re.search(rf"peermesh ca revoke {root}\s+(\S+)", said)
        assert printed, said
        site.order("revoke", root, printed[1])
        key = ("--key-file", str(site.folder / f"{root}.key"), "--passphrase-file", str(site.folder / "passphrase"))
        site.order("sign-crl", root, *key)
        until(site, lambda: {"west": REVOKED, "east": REVOKED} == answers(site, thief), "the thief to be refused")
        load.more()
    tell(capfd, "an intermediate is compromised", load)
    assert 0 == load.failed, load.say()


def test_distrust_first_refuses_the_thief_where_it_has_come_and_calls_until_it_has_come_everywhere(site, capfd):
    west, _ = site.meshes.all
    (root,) = next(iter(roots(site)))
    thief = with_key_of_root(site, root)
    with traffic(site.meshes.loop, site.meshes.routes()) as load:
        assert fooled(site) == answers(site, thief)
        site.held.add("east")  # nobody waits for it
        site.make_root("c")
        site.order("rollover", "start", "c", "--compromised", "--distrust-first")
        alone = frozenset({"c"})
        until(site, lambda: {alone} == {trust.roots for trust in west.trusts()}, "west to trust the new root alone")
        load.more()
        assert {"west": UNKNOWN, "east": shop.echo("east")} == answers(site, thief)
        broken = load.more()
        assert {"west to east", "east to west"} == {failure.route for failure in broken}
        assert {"new"} == {failure.kind for failure in broken}  # what was connected before stays so

        site.held.clear()
        until(site, lambda: roots(site) == {alone}, "every workload to trust the new root alone")
        until(site, lambda: [] == load.more(), "calls to be answered again")
        assert {"west": UNKNOWN, "east": UNKNOWN} == answers(site, thief)
    tell(capfd, "a root is distrusted first", load)


def until(site: TrustSite, condition: Callable[[], bool], what: str) -> None:
    """Each of these is a way of many steps, and the machine may be slow."""
    site.until(condition, what, 400)


def with_key_of_root(site: TrustSite, name: str) -> Thief:
    return with_root((site.folder / f"{name}.pem").read_text(), site.root_key(name))


def answers(site: TrustSite, thief: Thief) -> dict[str, str]:
    """What each mesh answers to the thief, who claims to be a client of west."""
    return {mesh.name: thief.asks(mesh, as_one_of="west") for mesh in site.meshes.all}


def fooled(site: TrustSite) -> dict[str, str]:
    """What each answers to its own."""
    return {mesh.name: shop.echo(mesh.name) for mesh in site.meshes.all}


def roots(site: TrustSite) -> set[frozenset[str]]:
    """Whatever any workload trusts."""
    return {trust.roots for mesh in site.meshes.all for trust in mesh.trusts()}


def issuers(mesh: Mesh) -> set[str]:
    """What the leaves of a cluster's workloads are under."""
    return {trust.issuer for trust in mesh.trusts()}


def lists(site: TrustSite) -> list[str]:
    """The CRLs that each workload has."""
    return [(proxy.crls / "ca-crl.pem").read_text() for mesh in site.meshes.all for proxy in mesh.proxies]


def issuers_of_chain(mesh: Mesh) -> list[str]:
    """Of all that istiod puts behind a leaf: a cross certificate would name the old root."""
    chain = (mesh.istiod.cacerts / "cert-chain.pem").read_bytes()
    return [found.issuer.rfc4514_string() for found in x509.load_pem_x509_certificates(chain)]


def tell(capfd: pytest.CaptureFixture[str], what: str, load: Load) -> None:
    with capfd.disabled():
        sys.stderr.write(f"\n{what}: {load.say()}\n")
