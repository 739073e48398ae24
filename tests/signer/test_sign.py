"""The signer signs what stands on main, once; what came of it is a document that istiod and Envoy accept."""

from __future__ import annotations

from datetime import timedelta

import msgspec
import pytest

from syncer.protocol.certificates import (
    CertificateFault,
    key_fingerprint,
    read_certificate,
    read_certificates,
    write_certificates,
)
from syncer.protocol.errors import HumanNeeded, Transient
from tests.signer.site import NOW, MemorySigner, Site, key_of, made, request, signer_of, steps
from workers.documents import paths
from workers.documents.strict import Name
from workers.documents.trust import ClusterTrust, Intermediates, MeshTrust
from workers.documents.writing import write
from workers.pki.approved import faults
from workers.sign import AGAIN


def test_an_approved_request_is_signed_and_handed_in(tmp_path):
    site, signer = Site(tmp_path), signer_of("a")
    site.put(request())
    report = site.signing(signer).look(NOW)
    assert (("west",), ("west",), {}, None) == (report.signed, report.handed, report.troubles, report.away)
    assert 1 == signer.key.signatures
    spec = site.signed().spec
    assert (1, "a", "", 0, "") == (spec.rotation, spec.root, spec.chain, spec.lever, spec.sealed)
    assert request().spec.key_fingerprint == key_fingerprint(certificate(spec).public_key())
    assert () == faults(site.signed(), signer.issuers[0], trust_domain="west.acme.example", now=NOW)


def certificate(spec):
    return read_certificate(spec.certificate, subject="west")


def test_the_list_of_the_request_goes_along(tmp_path):
    site, asked = Site(tmp_path), request()
    site.put(asked)
    site.signing(signer_of("a")).look(NOW)
    assert asked.spec.crl == site.signed().spec.crl != ""


def test_what_is_signed_lives_as_long_as_people_say(tmp_path):
    trust = MeshTrust(root="a", intermediates=Intermediates(lifetime="12h", key="P-256"))
    site = Site(tmp_path, trust=trust)
    site.put(request())
    site.signing(signer_of("a")).look(NOW)
    assert NOW + timedelta(hours=12) == certificate(site.signed().spec).not_valid_after_utc


def test_an_online_intermediate_signs_for_its_offline_root(tmp_path):
    made_with = made("a", online=True)
    site, signer = Site(tmp_path, roots={"a": made_with.root}), signer_of("a", online=True)
    site.put(request())
    assert ("west",) == site.signing(signer).look(NOW).signed
    spec = site.signed().spec
    assert write_certificates(made_with.issuers) == spec.chain
    root = read_certificate(made_with.root.spec.certificate, subject="a")
    assert () == faults(site.signed(), root, trust_domain="west.acme.example", now=NOW)


def test_the_root_itself_does_not_sign_where_main_names_its_online_intermediates(tmp_path):
    site = Site(tmp_path, roots={"a": made("a", online=True).root})
    site.put(request())
    offline = MemorySigner(issuers=read_certificates(made("a", online=True).root.spec.certificate, subject="a"),
                           key=signer_of("a").key)  # fmt: skip
    with pytest.raises(HumanNeeded) as error:
        site.signing(offline).look(NOW)
    assert "ForeignIssuer" == error.value.reason
    assert 0 == offline.key.signatures


# --- once


def test_the_same_request_is_signed_once_however_often_it_is_looked_at(tmp_path):
    site, signer = Site(tmp_path), signer_of("a")
    site.put(request())
    signing = site.signing(signer)
    for minute in range(5):
        signing.look(NOW + timedelta(minutes=minute))
    assert 1 == signer.key.signatures


def test_a_signer_that_is_started_again_hands_in_what_it_signed(tmp_path):
    site, signer = Site(tmp_path), signer_of("a")
    site.put(request())
    site.signing(signer).look(NOW)
    before = site.inbox.certificates()
    site.inbox.wipe()
    report = site.signing(signer).look(NOW + timedelta(seconds=10))
    assert ((), ("west",), before) == (report.signed, report.handed, site.inbox.certificates())
    assert 1 == signer.key.signatures


def test_a_signer_that_dies_before_it_hands_in_hands_in_the_same_later(tmp_path, monkeypatch):
    site, signer = Site(tmp_path), signer_of("a")
    site.put(request())

    def dies(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(site.inbox, "keep_certificate", dies)
    with pytest.raises(KeyboardInterrupt):
        site.signing(signer).look(NOW)
    monkeypatch.undo()
    site.signing(signer).look(NOW)
    assert 1 == signer.key.signatures
    assert 1 == site.signed().spec.rotation


def test_redis_that_was_lost_gets_the_certificate_again_after_a_while(tmp_path):
    site, signer = Site(tmp_path), signer_of("a")
    site.put(request())
    signing = site.signing(signer)
    signing.look(NOW)
    site.inbox.wipe()
    assert () == signing.look(NOW + AGAIN / 2).handed
    assert ("west",) == signing.look(NOW + AGAIN).handed


def test_redis_that_is_away_delays_nothing_but_the_handing_in(tmp_path, monkeypatch):
    site, signer = Site(tmp_path), signer_of("a")
    site.put(request())

    def away(*_):
        raise Transient("RedisAway", "Redis doesn't answer")

    monkeypatch.setattr(site.inbox, "keep_certificate", away)
    signing = site.signing(signer)
    report = signing.look(NOW)
    assert (("west",), ()) == (report.signed, report.handed)
    assert "RedisAway" == report.troubles["west"].reason
    monkeypatch.undo()
    again = signing.look(NOW)
    assert ((), ("west",)) == (again.signed, again.handed)
    assert 1 == signer.key.signatures


def test_what_main_has_is_neither_signed_nor_handed_in_again(tmp_path):
    site, signer = Site(tmp_path), signer_of("a")
    site.put(request())
    signing = site.signing(signer)
    signing.look(NOW)
    site.put(site.signed())
    site.inbox.wipe()
    for one in (signing, site.signing(signer)):
        report = one.look(NOW + timedelta(hours=1))
        assert ((), {}) == (report.handed, report.troubles)
    assert 1 == signer.key.signatures


def test_a_lost_journal_is_made_up_from_main(tmp_path):
    site, signer = Site(tmp_path), signer_of("a")
    site.put(request())
    site.signing(signer).look(NOW)
    site.put(site.signed())
    lose_the_journal(site)
    assert () == site.signing(signer).look(NOW).signed
    assert 1 == signer.key.signatures


def test_a_lost_journal_is_made_up_from_the_branch_that_proposes_the_certificate(tmp_path):
    site, signer = Site(tmp_path), signer_of("a")
    site.put(request())
    site.signing(signer).look(NOW)
    before = site.signed()
    site.put(before, branch=paths.certificate_branch("west"))
    lose_the_journal(site)
    site.inbox.wipe()
    report = site.signing(signer).look(NOW)
    assert ((), ("west",), before) == (report.signed, report.handed, site.signed())
    assert 1 == signer.key.signatures


def test_what_somebody_else_put_on_that_branch_is_no_certificate(tmp_path):
    theirs = msgspec.structs.replace(made("b").root, metadata=Name(name="a"))
    site, signer, stranger = Site(tmp_path), signer_of("a"), Site(tmp_path / "elsewhere", roots={"a": theirs})
    for one in (site, stranger):
        one.put(request())
    stranger.signing(signer_of("b")).look(NOW)
    site.put(stranger.signed(), branch=paths.certificate_branch("west"))
    assert ("west",) == site.signing(signer).look(NOW).signed


def test_a_branch_that_somebody_changed_is_not_believed(tmp_path):
    site, signer = Site(tmp_path), signer_of("a")
    site.put(request())
    site.signing(signer).look(NOW)
    site.put_files({paths.intermediate_path("west"): write(site.signed())}, branch=paths.certificate_branch("west"),
                   message="By hand\n")  # fmt: skip
    lose_the_journal(site)
    assert ("west",) == site.signing(signer).look(NOW).signed


def test_of_that_branch_only_the_certificate_is_believed(tmp_path):
    site, signer = Site(tmp_path), signer_of("a")
    site.put(request())
    site.signing(signer).look(NOW)
    before = site.signed()
    changed = msgspec.structs.replace(before, spec=msgspec.structs.replace(before.spec, lever=7, crl=""))
    site.put(changed, branch=paths.certificate_branch("west"))
    lose_the_journal(site)
    site.signing(signer).look(NOW)
    assert before == site.signed()


def lose_the_journal(site):
    for file in (site.folder / "journal").iterdir():
        file.unlink()


def test_a_journal_that_cannot_be_read_stops_this_cluster_and_no_other(tmp_path):
    site, signer = Site(tmp_path), signer_of("a")
    site.put(request(), request("east"))
    site.signing(signer).look(NOW)
    (site.folder / "journal" / "west.1.json").write_text("{")
    site.inbox.wipe()
    report = site.signing(signer).look(NOW)
    assert (("east",), "BadJournal") == (report.handed, report.troubles["west"].reason)
    assert isinstance(report.troubles["west"], HumanNeeded)
    assert 2 == signer.key.signatures


def test_a_number_that_was_given_up_is_passed_over(tmp_path):
    """An agent that lost its key asks with the next number, whatever became of the one before."""
    site, signer = Site(tmp_path), signer_of("a")
    site.put(request())
    site.signing(signer).look(NOW)
    site.put(request(rotation=2))
    site.signing(signer).look(NOW)
    assert (2, 2) == (site.signed().spec.rotation, signer.key.signatures)


def test_a_rotation_that_was_signed_for_another_key_is_not_signed_again(tmp_path):
    site, signer = Site(tmp_path), signer_of("a")
    site.put(request())
    site.signing(signer).look(NOW)
    site.put(request(key=key_of("another")))
    report = site.signing(signer).look(NOW)
    assert "SignedBefore" == report.troubles["west"].reason
    assert isinstance(report.troubles["west"], HumanNeeded)
    assert 1 == signer.key.signatures


def test_who_comes_back_under_a_name_that_had_intermediates_is_told_the_first_number_that_is_free(tmp_path):
    """Its numbers begin anew, and the journal forgets none."""
    site, signer = Site(tmp_path), signer_of("a")
    for rotation in (1, 2, 3):
        site.put(request(rotation=rotation))
        site.signing(signer).look(NOW)
    site.put(request(key=key_of("another")))
    remedy = site.signing(signer).look(NOW).troubles["west"].remedy
    assert "Order rotation 4 in spec.trust.rotate of mesh/mesh.yaml: those before it were signed, too." == remedy


def test_the_next_rotation_is_signed_when_main_has_the_one_before(tmp_path):
    site, signer = Site(tmp_path), signer_of("a")
    signing = site.signing(signer)
    for rotation in (1, 2, 3):
        site.put(request(rotation=rotation, reason="renewal"))
        signing.look(NOW)
        site.put(site.signed())
    assert 3 == signer.key.signatures
    assert (3, 0) == (site.signed().spec.rotation, site.signed().spec.lever)


# --- the others


def test_a_signer_of_another_root_leaves_it_alone(tmp_path):
    site = Site(tmp_path, trust=MeshTrust(root="b"), roots={"a": made("a").root, "b": made("b").root})
    site.put(steps("west", "east", bundle=("b",), signer="b"), request(root="b"))
    a, b = signer_of("a"), signer_of("b")
    assert ((), {}) == ((report := site.signing(a).look(NOW)).signed, report.troubles)
    lose_the_journal(site)
    assert ("west",) == site.signing(b).look(NOW).signed
    assert (0, 1) == (a.key.signatures, b.key.signatures)


def test_a_signer_whose_root_is_not_on_main_signs_nothing(tmp_path):
    site, signer = Site(tmp_path), signer_of("b")
    site.put(request())
    with pytest.raises(HumanNeeded) as error:
        site.signing(signer).look(NOW)
    assert "NoRoot" == error.value.reason
    assert 0 == signer.key.signatures


def test_nothing_is_signed_under_an_imported_root(tmp_path):
    root = made("a").root
    imported = msgspec.structs.replace(root, spec=msgspec.structs.replace(root.spec, imported=True))
    site, signer = Site(tmp_path, roots={"a": imported}), signer_of("a")
    site.put(request())
    with pytest.raises(HumanNeeded) as error:
        site.signing(signer).look(NOW)
    assert "ForeignIssuer" == error.value.reason
    assert 0 == signer.key.signatures


def test_a_token_that_is_away_keeps_nobody_from_what_was_signed_before(tmp_path):
    site, signer = Site(tmp_path), signer_of("a")
    site.put(request())
    site.signing(signer).look(NOW)
    site.inbox.wipe()
    signer.away = Transient("TokenAway", "it doesn't answer")
    report = site.signing(signer).look(NOW)
    assert (("west",), signer.away) == (report.handed, report.away)


def test_a_mesh_whose_certificates_are_not_managed_is_left_alone(tmp_path):
    site, signer = Site(tmp_path, clusters={"west": None, "east": None}), signer_of("a")
    site.put(request())
    site.want(None)
    assert () == site.signing(signer).look(NOW).signed
    assert 0 == signer.key.signatures


def test_a_fact_that_cannot_be_read_is_no_trouble_of_the_signer(tmp_path):
    site, signer = Site(tmp_path), signer_of("a")
    site.put(request())
    site.put_files({"facts/hosts/x/y.yaml": b"{"})
    assert ("west",) == site.signing(signer).look(NOW).signed


@pytest.mark.parametrize("path", [paths.intermediate_path("west"), paths.sealing_path("west"), paths.TRUST])
def test_what_cannot_be_read_in_pki_is_not_as_good_as_absent(tmp_path, path):
    site, signer = Site(tmp_path), signer_of("a")
    site.put(request())
    site.put_files({path: b"{"})
    report = site.signing(signer).look(NOW)
    assert "BadDocuments" == report.troubles["west"].reason
    assert 0 == signer.key.signatures


def test_nothing_is_signed_that_would_end_at_once(tmp_path):
    short = made("a", days=31)
    site, signer = Site(tmp_path, roots={"a": short.root}), signer_of("a")
    signer.issuers = short.issuers
    site.put(request())
    report = site.signing(signer).look(NOW + timedelta(days=1))
    assert "IssuerExpired" == report.troubles["west"].reason
    assert 0 == signer.key.signatures


def test_what_was_signed_in_vain_is_not_signed_again_before_main_moves(tmp_path, monkeypatch):
    """What istiod or Envoy would refuse is never handed in, whatever let it come so far."""
    site, signer = Site(tmp_path), signer_of("a")
    site.put(request())
    fault = CertificateFault(rule="Bad", certificate="ca-cert.pem", what="bad", remedy="Mend it.")
    monkeypatch.setattr("workers.sign.faults", lambda *_, **__: (fault,))
    signing = site.signing(signer)
    for _ in range(3):
        assert "Bad" == signing.look(NOW).troubles["west"].reason
    assert ({}, 1) == (site.inbox.certificates(), signer.key.signatures)
    monkeypatch.undo()
    site.put(request("east"))
    assert ("east", "west") == signing.look(NOW).signed


def test_what_cannot_be_read_is_no_trouble_of_a_cluster_that_asks_for_nothing(tmp_path):
    site, signer = Site(tmp_path), signer_of("a")
    site.put_files({paths.TRUST: b"{"})
    assert {} == site.signing(signer).look(NOW).troubles


def test_one_bad_cluster_keeps_no_other_from_its_certificate(tmp_path):
    site, signer = Site(tmp_path, clusters={"west": None, "east": ClusterTrust()}), signer_of("a")
    site.put(request(), request("east"))
    report = site.signing(signer).look(NOW)
    assert (("east",), ["west"]) == (report.signed, list(report.troubles))
