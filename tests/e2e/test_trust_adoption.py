"""Meshes that have a CA of their own are adopted while they call each other.

Nobody gives peermesh that CA's key, no istiod is restarted, and not one request may fail.
"""

from __future__ import annotations

import sys

from tests.e2e.istio.authority import root
from tests.e2e.istio.traffic import traffic
from tests.e2e.trust_site import TrustSite, trust_site


def test_meshes_with_a_ca_of_their_own_are_adopted_and_no_request_fails(tmp_path, capfd):
    foreign = root("foreign")
    (tmp_path / "foreign.pem").write_text(foreign.pem)
    with trust_site(tmp_path, foreign=foreign) as site:
        with traffic(site.meshes.loop, site.meshes.routes()) as load:
            for mesh in site.meshes.all:
                name = ("--name", "foreign") if mesh is site.meshes.all[0] else ()
                site.order("import", mesh.name, "--root", str(tmp_path / "foreign.pem"), *name)
            for mesh in site.meshes.all:
                site.manage(mesh)
            site.until(lambda: roots(site) == {frozenset({"a"})}, "every workload to trust the wanted root alone", 300)
            load.more()
        with capfd.disabled():
            sys.stderr.write(f"\ntwo meshes are adopted: {load.say()}\n")
        assert 0 == load.failed, load.say()
        assert {"west": {"west-1"}, "east": {"east-1"}} == {
            mesh.name: {trust.issuer for trust in mesh.trusts()} for mesh in site.meshes.all
        }


def roots(site: TrustSite) -> set[frozenset[str]]:
    """Whatever any workload trusts."""
    return {trust.roots for mesh in site.meshes.all for trust in mesh.trusts()}
