"""The gates of a rollover where it is harder: a replica of istiod lags, a proxy doesn't follow roots, a gate soaks.

In west istiod has two replicas, each with a mount of its own, and the client's agent talks to the second one. In east
the server learns of roots only with its next leaf. The tests follow one rollover, so each goes on where the one before
ended; the new root has no cross certificate, so a step too early breaks calls. Not one request may fail.
"""

from __future__ import annotations

import re
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from syncer.protocol.certificates import fingerprint, read_certificate
from tests.e2e.istio.mesh import Mesh
from tests.e2e.istio.shop import Variety
from tests.e2e.istio.traffic import Load, traffic
from tests.e2e.trust_site import TrustSite, trust_site

_SOAK, _LIFETIME = 15, 60  # seconds; shorter lifetimes of workloads are refused
_VARIETIES = {"west": Variety(replicas=2), "east": Variety(leaf="30s")}  # so its leaf is new every 15 s
_BOTH = frozenset({"a", "b"})


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TrustSite]:
    with trust_site(tmp_path_factory.mktemp("trust"), varieties=_VARIETIES) as running:
        yield running


def test_what_one_replica_never_takes_is_put_back_on_all(site, capfd):
    west, _ = site.meshes.all
    _, slow = west.kubelets
    site.restart_agent(west, PEERMESH_PATIENCE="30")
    with unharmed(site, capfd, "one replica never takes a rotation") as load:
        slow.held = True
        site.order("request-rotation", "west")
        site.until(lambda: signing(west) == ["west-2", "west-1"], "one replica to sign with rotation 2")
        load.more()
        why = "istiod istiod-1 still signs with another certificate, 30 s after cacerts was changed"
        wait_for(site, rf"west waits: .*its agent has put the previous state back: {why}")
        site.until(lambda: signing(west) == ["west-1", "west-1"], "both replicas to sign with rotation 1 again")
        load.more()
        slow.held = False

        site.restart_agent(west)
        site.order("request-rotation", "west")
        site.until(lambda: signing(west) == ["west-3", "west-3"], "both replicas to sign with rotation 3")


def test_no_other_cluster_gets_a_root_before_each_replica_has_it_and_that_has_soaked(site, capfd):
    west, east = site.meshes.all
    _, slow = west.kubelets
    site.make_root("b")
    with unharmed(site, capfd, "one replica trusts later") as load:
        slow.held = east.kubelet.held = True
        site.order("rollover", "start", "b", "--canary", "west", "--soak", f"{_SOAK}s")
        wait_for(site, r"west waits: .*shop/client-0 doesn't trust root b yet\. It is written")
        site.until(lambda: west.server.trust().roots == _BOTH, "who talks to the other replica to trust both")
        assert {"a"} == west.client.trust().roots
        load.more()
        assert {"west": _BOTH, "east": {"a"}} == bundles(site)
        begun = time.monotonic()
        slow.held = False
        site.until(lambda: bundles(site)["east"] == _BOTH, "east's turn")
        assert time.monotonic() - begun >= _SOAK


def test_nobody_signs_under_it_before_all_leaves_are_new_where_a_proxy_doesnt_follow(site, capfd):
    _, east = site.meshes.all
    site.edit(f'soak: "{_SOAK}s"', f"soak: 0m, workloadLifetime: {_LIFETIME}s")
    with unharmed(site, capfd, "a proxy follows with its leaf") as load:
        before = east.server.trust()
        assert {"a"} == before.roots
        begun = time.monotonic()
        east.kubelet.held = False
        site.until(lambda: east.server.trust().roots == _BOTH, "the server to learn of the root")
        assert before.serial != east.server.trust().serial
        wait_for(site, r"east waits: .*shop/echo-east-0 doesn't follow roots live: another \d+ (s|min) pass")
        load.more()
        assert {"west": "a", "east": "a"} == signers(site)
        site.until(lambda: signers(site)["west"] == "b", "west's turn to sign")
        assert time.monotonic() - begun >= _LIFETIME


def test_nobody_distrusts_a_root_under_which_a_replica_signs_or_a_leaf_may_be(site, capfd):
    west, east = site.meshes.all
    _, slow = west.kubelets
    with unharmed(site, capfd, "one replica signs anew later") as load:
        slow.held = east.kubelet.held = True
        wait_for(site, r"west waits: .*istiod istiod-1 still signs with intermediate 3 under root a")
        assert ["west-4", "west-3"] == signing(west)
        assert {"istiod-0": True, "istiod-1": False} == reported(site, west)
        load.more()
        assert {"west": "b", "east": "a"} == signers(site)
        slow.held = False
        site.until(lambda: site.line.tree().facts.pki.intermediates["east"].spec.root == "b", "east's intermediate")

        site.edit(f"workloadLifetime: {_LIFETIME}s", "workloadLifetime: 24h")
        east.kubelet.held = False
        wait_for(site, r"east waits: .*shop/echo-east-0 doesn't follow roots live: another \d+ h pass")
        assert {"west": _BOTH, "east": _BOTH} == bundles(site)
    # Of these hours nothing is waited for where the pod is younger.
    east.restart(east.server)
    with unharmed(site, capfd, "the old root goes"):
        site.until(lambda: trusted(site) == {frozenset({"b"})}, "every workload to trust the new root alone")


@contextmanager
def unharmed(site: TrustSite, capfd: pytest.CaptureFixture[str], what: str) -> Iterator[Load]:
    """Traffic, none of which may fail."""
    with traffic(site.meshes.loop, site.meshes.routes()) as load:
        yield load
        load.more()
    with capfd.disabled():
        sys.stderr.write(f"\n{what}: {load.say()}\n")
    assert 0 == load.failed, load.say()


def wait_for(site: TrustSite, said: str) -> None:
    """Return when `peermesh ca status` says it."""
    pattern = re.compile(said)
    site.until(lambda: pattern.search(" ".join(site.status().split())) is not None, said)


def signing(mesh: Mesh) -> list[str]:
    """What each replica of istiod signs with."""
    return [istiod.issuer() for istiod in mesh.istiods]


def reported(site: TrustSite, mesh: Mesh) -> dict[str, bool]:
    """Whether each replica signs with the intermediate on main, by what its syncer says."""
    wanted = read_certificate(site.line.tree().facts.pki.intermediates[mesh.name].spec.certificate, subject=mesh.name)
    heard = site.line.heard(mesh.name)
    assert heard
    assert heard.trust
    return {one.pod: one.issuer == fingerprint(wanted) for one in heard.trust.issuers}


def bundles(site: TrustSite) -> dict[str, frozenset[str]]:
    """The roots that main gives each cluster."""
    return {name: frozenset(step.bundle) for name, step in site.line.tree().facts.pki.steps.items()}


def signers(site: TrustSite) -> dict[str, str]:
    """The root under which main lets each cluster sign."""
    return {name: step.signer for name, step in site.line.tree().facts.pki.steps.items()}


def trusted(site: TrustSite) -> set[frozenset[str]]:
    """Whatever any workload trusts."""
    return {trust.roots for mesh in site.meshes.all for trust in mesh.trusts()}
