"""What running meshes do when `cacerts` is changed by hand: the orders that peermesh takes lose no request, others do.

Each test begins with all clusters under one root and ends so; which root that is and who signs, it finds.
"""

from __future__ import annotations

import itertools
import sys

import pytest

from tests.border.processes import wait_until
from tests.e2e.istio.authority import Authority, intermediate, root
from tests.e2e.istio.mesh import Mesh, Meshes
from tests.e2e.istio.traffic import Load, traffic

_NUMBERS = itertools.count(2)


def test_intermediates_rotate_under_one_root_without_a_failed_request(two_meshes, capfd):
    the_root = only_root(two_meshes)
    with traffic(two_meshes.loop, two_meshes.routes()) as load:
        for mesh in two_meshes.all:
            before = leaves(mesh)
            mesh.change(signer=fresh(mesh, the_root))
            wait_for_istiod(mesh)
            load.more()
            assert before == leaves(mesh)  # nobody renews its leaf because istiod signs with something else
            mesh.change(lever=True)
            wait_for_leaves(two_meshes)
            load.more()
    tell(capfd, "an intermediate rotates", load)
    assert 0 == load.failed, load.say()


def test_a_root_rolls_over_step_by_step_without_a_failed_request(two_meshes, capfd):
    old, new = only_root(two_meshes), a_root()
    with traffic(two_meshes.loop, two_meshes.routes()) as load:
        for mesh in two_meshes.all:
            mesh.change(bundle=[old, new])
        wait_for_leaves(two_meshes)
        for mesh in two_meshes.all:
            mesh.change(signer=fresh(mesh, new), lever=True)
            wait_for_leaves(two_meshes)
            load.more()
        for mesh in two_meshes.all:
            mesh.change(bundle=[new])
        wait_for_leaves(two_meshes)
        load.more()
    tell(capfd, "a root rolls over", load)
    assert 0 == load.failed, load.say()


def test_signing_before_the_peers_trust_breaks_new_connections_both_ways_until_they_do(two_meshes, capfd):
    west, east = two_meshes.all
    old, new = only_root(two_meshes), a_root()
    with traffic(two_meshes.loop, two_meshes.routes()) as load:
        west.change(bundle=[old, new])
        wait_for_leaves(two_meshes)
        signed = west.signer
        west.change(signer=fresh(west, new), lever=True)
        wait_for_leaves(two_meshes)
        broken = load.more()
        assert {"west to east", "east to west"} == {failure.route for failure in broken}
        assert {"new"} == {failure.kind for failure in broken}  # what was connected before stays so
        # East's client refuses west's server, and its server west's client.
        assert min(east.client.refused(), east.server.refused()) > 0

        east.change(bundle=[old, new])
        wait_for_leaves(two_meshes)
        load.more()  # whatever was on its way
        assert [] == load.more()

        west.change(signer=signed, lever=True)
        wait_for_leaves(two_meshes)
        for mesh in two_meshes.all:
            mesh.change(bundle=[old])
        wait_for_leaves(two_meshes)
        assert [] == load.more()
    tell(capfd, "a wrong order", load)


def only_root(running: Meshes) -> Authority:
    """The root that all clusters begin with."""
    (found,) = {mesh.bundle for mesh in running.all}
    (the_root,) = found
    return the_root


def a_root() -> Authority:
    return root(f"root-{next(_NUMBERS)}")


def fresh(mesh: Mesh, under: Authority) -> Authority:
    """An intermediate for a cluster."""
    return intermediate(f"{mesh.name}-{next(_NUMBERS)}", under)


def leaves(mesh: Mesh) -> list[int]:
    """Serial numbers of what its workloads prove themselves with."""
    return [trust.serial for trust in mesh.trusts()]


def wait_for_istiod(mesh: Mesh) -> None:
    """Return when it signs with what its cluster's `cacerts` says."""
    assert mesh.signer
    name = mesh.signer.name
    wait_until(lambda: mesh.istiod.issuer() == name, what=f"istiod of {mesh.name} to sign with {name}")


def wait_for_leaves(running: Meshes) -> None:
    """Return when every workload has and trusts what its cluster's `cacerts` says."""

    def as_written(mesh: Mesh) -> bool:
        assert mesh.signer
        wanted = (mesh.signer.name, frozenset(root.name for root in mesh.bundle))
        return all(wanted == (trust.issuer, trust.roots) for trust in mesh.trusts())

    wait_until(lambda: all(as_written(mesh) for mesh in running.all), what="workloads to have what cacerts says")


def tell(capfd: pytest.CaptureFixture[str], what: str, load: Load) -> None:
    with capfd.disabled():
        sys.stderr.write(f"\n{what}: {load.say()}\n")
