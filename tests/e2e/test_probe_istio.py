"""What a syncer sees of real meshes whose `cacerts` change: what gates are opened by."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from syncer.cluster.api import read
from syncer.cluster.connection import Connection
from syncer.probing import Prober
from syncer.protocol.certificates import fingerprint
from syncer.protocol.trust import ObservedTrust
from syncer.rounds import Probing
from syncer.trust import observed_trust
from tests.border.processes import wait_until
from tests.e2e.istio import shop
from tests.e2e.istio.authority import Authority
from tests.e2e.istio.istiod import NAMESPACE as ISTIO_SYSTEM
from tests.e2e.istio.mesh import Mesh, Meshes
from tests.e2e.test_trust_cacerts import a_root, fresh, only_root, wait_for_leaves

WEST_SIDECARS = ["client-0", "echo-west-0"]


class Observer:
    """A syncer's eyes on one mesh: reads its API server and asks its pods, as often as it is asked to."""

    def __init__(self, mesh: Mesh) -> None:
        self._connection = Connection(kubeconfig=mesh.cluster.kubeconfig)
        self._round = threading.Event()
        self.prober = Prober(Probing(every=0.2, hurry=0.2), ISTIO_SYSTEM, tell=self._round.set)

    def trust(self) -> ObservedTrust:
        """After another round."""
        self.prober.look(read(self._connection))
        self._round.clear()
        assert self._round.wait(60)
        said = observed_trust(read(self._connection), ISTIO_SYSTEM, self.prober.sample)
        assert isinstance(said, ObservedTrust)
        return said

    def wait_for(self, holds: Callable[[ObservedTrust], bool], what: str) -> ObservedTrust:
        found = [self.trust()]

        def there() -> bool:
            found.append(self.trust())
            return holds(found[-1])

        wait_until(there, what=what)
        return found[-1]


@contextmanager
def observing(mesh: Mesh) -> Iterator[Observer]:
    made = Observer(mesh)
    with made.prober:
        yield made


def roots_of(trust: ObservedTrust) -> set[tuple[str, ...]]:
    """What each workload trusts."""
    return {proxy.trusts for proxy in trust.proxies}


def subjects(*roots: Authority) -> tuple[str, ...]:
    return tuple(sorted(root.certificate.subject.rfc4514_string() for root in roots))


def fingerprints(*roots: Authority) -> tuple[str, ...]:
    return tuple(sorted(fingerprint(root.certificate) for root in roots))


def test_every_step_of_a_rollover_is_seen_in_what_istiod_publishes_signs_with_and_workloads_trust(
    two_meshes: Meshes,
) -> None:
    west, old, new = two_meshes.all[0], only_root(two_meshes), a_root()
    assert west.signer
    with observing(west) as observer:
        first = observer.wait_for(lambda trust: roots_of(trust) == {subjects(old)}, "the beginning")
        assert sorted(WEST_SIDECARS) == [proxy.pod for proxy in first.proxies]
        assert {(shop.NAMESPACE, "", True)} == {(proxy.namespace, proxy.error, proxy.live) for proxy in first.proxies}
        assert {fingerprint(west.signer.certificate)} == signers(first)
        assert ([fingerprints(old)], 0, False) == (
            [one.roots for one in first.bundles],
            first.unread,
            first.self_signed,
        )

        for mesh in two_meshes.all:
            mesh.change(bundle=[old, new])
        both = observer.wait_for(lambda trust: roots_of(trust) == {subjects(old, new)}, "both roots")
        assert [fingerprints(old, new)] == [one.roots for one in both.bundles]
        assert signers(first) == signers(both)

        wait_for_leaves(two_meshes)
        for mesh in two_meshes.all:
            mesh.change(signer=fresh(mesh, new), lever=True)
        signed = observer.wait_for(
            lambda trust: signers(trust) == {fingerprint(signer(west).certificate)}, "the new signer"
        )
        assert [fingerprints(old, new)] == [one.roots for one in signed.bundles]

        wait_for_leaves(two_meshes)
        for mesh in two_meshes.all:
            mesh.change(bundle=[new])
        last = observer.wait_for(lambda trust: roots_of(trust) == {subjects(new)}, "the new root alone")
        assert [fingerprints(new)] == [one.roots for one in last.bundles]
    wait_for_leaves(two_meshes)


def signers(trust: ObservedTrust) -> set[str]:
    """What leaves are under, and what istiods sign with."""
    return {proxy.issuer for proxy in trust.proxies} | {replica.issuer for replica in trust.issuers}


def signer(mesh: Mesh) -> Authority:
    assert mesh.signer
    return mesh.signer
