"""Meshes whose istiods made their roots themselves are adopted while they call each other, and not one request fails.

Both roots have one name, as in meshes that began as `cluster.local`, and each stands in the mesh config of the other
mesh. West goes the way on which its agent reads the old CA's key, east the one on which nobody does.
"""

from __future__ import annotations

import base64
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from syncer.agent.names import AGENT, AGENT_NAMESPACE, SELF_SIGNED
from syncer.agent.settings import ADOPT
from tests.e2e.istio.istiod import NAMESPACE as ISTIO_SYSTEM
from tests.e2e.istio.mesh import OWN_ROOT, Mesh
from tests.e2e.istio.traffic import traffic
from tests.e2e.trust_site import TrustSite, trust_site

OLD, ROLE = "O=cluster.local", "peermesh-adopts"
SECONDS = 300


def test_meshes_whose_istiods_made_their_roots_themselves_are_adopted_and_no_request_fails(tmp_path, capfd):
    with trust_site(tmp_path, self_signed=True) as site:
        west, east = site.meshes.all
        assert {(OLD, frozenset({OLD}))} == shown(west) | shown(east)
        with traffic(site.meshes.loop, [*site.meshes.routes(), *site.meshes.routes_within()], kept=1) as load:
            for mesh in site.meshes.all:
                site.order("import", mesh.name, "--root", str(own_root(mesh, tmp_path)))
            for mesh in site.meshes.all:
                site.manage(mesh)
                wait_for_its_agent(site, mesh, "There is no cacerts: istiod made its root itself")

            give_the_right(west)
            site.restart_agent(west, **{ADOPT.name: "yes"})
            wait_for_its_agent(site, west, "Restart istiod")
            west.restart_istiod()
            load.more()

            east.configure([*east.roots, (site.folder / "a.pem").read_text()])
            wait_for_its_agent(site, east, "Restart istiod")
            gap = restarted_before_the_kubelet_comes(site, east, load.more)
            site.until(lambda: issuers(site) == {"west-1", "east-1"}, "every workload to be under the root", SECONDS)
            load.more()

            wait_for_status(site, "Is that in `caCertificates` of the mesh configuration, too?")
            for mesh in site.meshes.all:
                mesh.configure([])
            site.until(lambda: roots(site) == {frozenset({"a"})}, "every workload to trust the root alone", SECONDS)
            load.more()

            take_the_right_away(west)
            site.restart_agent(west)
            for mesh in site.meshes.all:
                mesh.cluster.kubectl("-n", ISTIO_SYSTEM, "delete", "secret", SELF_SIGNED)
            west.restart_istiod()
            site.order("request-rotation", "west")
            site.until(lambda: signs(west) == "west-2", "the agent to go on", SECONDS)
            load.more()
        with capfd.disabled():
            sys.stderr.write(f"\ntwo self-signed meshes are adopted, a gap of {gap:.0f} s in one: {load.say()}\n")
        assert 0 == load.failed, load.say()


def restarted_before_the_kubelet_comes(site: TrustSite, mesh: Mesh, more: Callable[[int], object]) -> float:
    """Until then istiod serves under a root that agents don't know: they can't reach it, and traffic goes on.

    How many seconds it takes.
    """
    begun = time.monotonic()
    mesh.kubelet.held = True
    mesh.restart_istiod()
    site.line.wait_for(lambda: signs(mesh) == f"{mesh.name}-1", "istiod to sign with what its agent wrote")
    more(100)
    assert {OLD} == {trust.issuer for trust in mesh.trusts()}
    mesh.kubelet.held = False
    site.line.wait_for(lambda: {issuer for issuer, _ in shown(mesh)} == {f"{mesh.name}-1"}, "new certificates", SECONDS)
    return time.monotonic() - begun


# --- what people do, as docs/trust.md has it


def own_root(mesh: Mesh, folder: Path) -> Path:
    _, secret = mesh.cluster.request("GET", OWN_ROOT)
    file = folder / f"{mesh.name}-root.pem"
    file.write_bytes(base64.b64decode(secret["data"]["ca-cert.pem"]))
    return file


def give_the_right(mesh: Mesh) -> None:
    create, account = ("-n", ISTIO_SYSTEM, "create"), f"{AGENT_NAMESPACE}:{AGENT}"
    mesh.cluster.kubectl(*create, "role", ROLE, "--verb=get", "--resource=secrets", f"--resource-name={SELF_SIGNED}")
    mesh.cluster.kubectl(*create, "rolebinding", ROLE, f"--role={ROLE}", f"--serviceaccount={account}")


def take_the_right_away(mesh: Mesh) -> None:
    mesh.cluster.kubectl("-n", ISTIO_SYSTEM, "delete", f"rolebinding/{ROLE}", f"role/{ROLE}")


# --- what is seen


def wait_for_its_agent(site: TrustSite, mesh: Mesh, what: str) -> None:
    """Return when `ca status` tells that the mesh's agent says this."""
    wait_for_status(site, f"{mesh.name}: its agent says: {what}")


def wait_for_status(site: TrustSite, what: str) -> None:
    """Return when `ca status` says this, wherever its lines break."""
    site.until(lambda: what in " ".join(site.status().split()), repr(what), SECONDS)


def shown(mesh: Mesh) -> set[tuple[str, frozenset[str]]]:
    """What its workloads' certificates are under, and what they trust."""
    return {(trust.issuer, trust.roots) for trust in mesh.trusts()}


def issuers(site: TrustSite) -> set[str]:
    return {issuer for mesh in site.meshes.all for issuer, _ in shown(mesh)}


def roots(site: TrustSite) -> set[frozenset[str]]:
    return {trusted for mesh in site.meshes.all for _, trusted in shown(mesh)}


def signs(mesh: Mesh) -> str:
    """What istiod signs with; empty while it doesn't answer."""
    with suppress(OSError):
        return mesh.istiod.issuer()
    return ""
