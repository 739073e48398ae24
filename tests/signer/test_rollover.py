"""What goes along with a certificate on the way from one root to another: the lever, and the cross certificate."""

from __future__ import annotations

from datetime import timedelta

import msgspec
import pytest
from cryptography import x509

from syncer.protocol.certificates import read_certificate, read_certificates
from tests.signer.site import NOW, MemorySigner, Site, key_of, made, request, signer_of, steps
from workers.ceremony import Holder, Wish, init_root
from workers.documents.trust import MeshTrust, Root
from workers.pki.approved import faults


@pytest.mark.parametrize(("reason", "expected"), [("renewal", 3), ("ordered", 3), ("compromised", 4), ("rollover", 4)])
def test_leaves_are_renewed_at_once_only_where_they_must_be(tmp_path, reason, expected):
    site, signer = Site(tmp_path), signer_of("a")
    site.put(request())
    signing = site.signing(signer)
    signing.look(NOW)
    first = site.signed()
    site.put(msgspec.structs.replace(first, spec=msgspec.structs.replace(first.spec, lever=3)))
    site.put(request(rotation=2, reason=reason))
    signing.look(NOW)
    assert expected == site.signed().spec.lever


@pytest.mark.parametrize("reason", ["first", "rollover"])
def test_the_first_intermediate_of_an_adopted_cluster_renews_the_leaves_of_its_own_ca(tmp_path, reason):
    foreign = made("old").root
    imported = msgspec.structs.replace(foreign, spec=msgspec.structs.replace(foreign.spec, imported=True))
    site = Site(tmp_path, roots={"a": made("a").root, "old": imported})
    site.put(steps("west", "east", bundle=("a", "old")), request(reason=reason))
    site.signing(signer_of("a")).look(NOW)
    assert 1 == site.signed().spec.lever


def crossed(*, compromised: tuple[str, ...] = ()) -> tuple[MeshTrust, dict[str, Root]]:
    """Two roots that certified each other, and a rollover from the first to the second."""
    first = made("a")
    second = init_root(
        Wish(mesh="acme", name="b", who="Ada <ada@acme.example>"),
        key_of("root-b"),
        now=NOW - timedelta(days=1),
        serial=x509.random_serial_number,
        known=[first.root],
        present=[Holder(root=first.root, key=key_of("root-a"))],
    )
    roots = {"a": second.others[0], "b": second.root}
    return MeshTrust(root="b", compromised=compromised), roots


def rolled_over(tmp_path, *, compromised=()):
    trust, roots = crossed(compromised=compromised)
    site = Site(tmp_path, trust=MeshTrust(root="a"), roots=roots)
    site.put(request())
    site.signing(signer_of("a")).look(NOW)
    site.put(site.signed())
    site.want(trust)
    site.put(steps("west", "east", bundle=("a", "b"), signer="b"), request(rotation=2, root="b", reason="rollover"))
    new = MemorySigner(issuers=read_certificates(roots["b"].spec.certificate, subject="b"), key=signer_of("b").key)
    return site, new, roots


def test_a_rollover_brings_the_cross_certificate_along_and_renews_all_leaves(tmp_path):
    site, signer, roots = rolled_over(tmp_path)
    site.signing(signer).look(NOW)
    spec = site.signed().spec
    assert (roots["b"].spec.cross_signed["a"], "b", 1) == (spec.chain, spec.root, spec.lever)
    for name in "ab":
        root = read_certificate(roots[name].spec.certificate, subject=name)
        assert () == faults(site.signed(), root, trust_domain="west.acme.example", now=NOW), name


def test_the_cross_certificate_stays_until_the_former_root_has_left_the_bundle(tmp_path):
    site, signer, roots = rolled_over(tmp_path)
    signing = site.signing(signer)
    signing.look(NOW)
    site.put(site.signed(), request(rotation=3, root="b", reason="renewal"))
    signing.look(NOW)
    assert roots["b"].spec.cross_signed["a"] == site.signed().spec.chain
    step = steps("west", "east", bundle=("b",), signer="b")
    site.put(site.signed(), step, request(rotation=4, root="b", reason="renewal"))
    signing.look(NOW)
    assert (4, "", 1) == ((spec := site.signed().spec).rotation, spec.chain, spec.lever)


def test_a_compromised_root_vouches_for_nobody(tmp_path):
    site, signer, _ = rolled_over(tmp_path, compromised=("a",))
    site.signing(signer).look(NOW)
    assert "" == site.signed().spec.chain


def test_a_rollover_is_taken_back_with_the_cross_certificate_of_the_former_root(tmp_path):
    site, signer, roots = rolled_over(tmp_path)
    site.signing(signer).look(NOW)
    site.want(MeshTrust(root="a"))
    step = steps("west", "east", bundle=("a", "b"), signer="a")
    site.put(site.signed(), step, request(rotation=3, root="a", reason="rollover"))
    site.signing(signer_of("a")).look(NOW)
    assert (roots["a"].spec.cross_signed["b"], 2) == ((spec := site.signed().spec).chain, spec.lever)


def test_a_request_that_is_no_longer_wanted_is_not_signed(tmp_path):
    """People took the rollover back while its request waited on main."""
    site, signer, _ = rolled_over(tmp_path)
    site.want(MeshTrust(root="a"))
    report = site.signing(signer).look(NOW)
    assert ((), "NotWanted", 0) == (report.signed, report.troubles["west"].reason, signer.key.signatures)
