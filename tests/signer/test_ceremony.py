"""A ceremony makes a root that every engine accepts, with a record that only its key could have signed."""

from __future__ import annotations

from datetime import timedelta

import msgspec
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec

from syncer.protocol.cacerts_rules import path_length, root_faults
from syncer.protocol.certificates import fingerprint, key_fingerprint, read_certificate, read_certificates
from syncer.protocol.errors import Rejected
from syncer.protocol.revocation import crl_faults, read_crls
from tests.signer.site import NOW, key_of, made, rsa_key
from workers.ceremony import ONLINE_LIFETIME, ROOT_LIFETIME, Holder, Wish, init_root, record_fault, revoke
from workers.documents import paths
from workers.documents.reading import read
from workers.documents.writing import write
from workers.pki.crl import Revoked

WISH = Wish(mesh="acme", name="b", who="Ada <ada@acme.example>")


def held(wish=WISH, key=None, **given):
    serial = iter(range(1, 100)).__next__
    return init_root(wish, key or key_of("root-b"), now=NOW, serial=serial, **given)


def certificate(root):
    return read_certificate(root.spec.certificate, subject="root")


def test_a_root_has_a_subject_of_its_own_and_lives_ten_years():
    root = held().root
    found = certificate(root)
    assert "CN=b,O=acme" == found.subject.rfc4514_string()
    assert NOW + ROOT_LIFETIME == found.not_valid_after_utc
    assert () == root_faults(found, now=NOW)
    assert ("", {}) == (root.spec.issuers, root.spec.cross_signed)


@pytest.mark.parametrize("online", [False, True])
def test_the_document_is_one_that_can_be_read_again(online):
    wish = msgspec_replace(WISH, online=key_of("online-b")) if online else WISH
    root = held(wish).root
    assert root == read(paths.root_path("b"), write(root))


def msgspec_replace(wish: Wish, **changed) -> Wish:
    return Wish(**{**vars(wish), **changed})


def test_an_online_intermediate_signs_in_place_of_the_root():
    after = held(msgspec_replace(WISH, online=key_of("online-b")))
    [online] = read_certificates(after.root.spec.issuers, subject="issuers")
    assert (online,) == after.issuers
    assert ("CN=b-online-1,O=acme", 1) == (online.subject.rfc4514_string(), path_length(online))
    assert NOW + ONLINE_LIFETIME == online.not_valid_after_utc
    online.verify_directly_issued_by(certificate(after.root))


@pytest.mark.parametrize("online", [False, True])
def test_each_ca_has_an_empty_list_that_holds_as_long_as_it_lives(online):
    after = held(msgspec_replace(WISH, online=key_of("online-b") if online else None))
    authorities = {certificate(after.root), *after.issuers}
    crls = read_crls(after.root.spec.crl, subject="crl")
    assert 1 + online == len(crls)
    for at in (NOW, NOW + ONLINE_LIFETIME - timedelta(days=1)):
        assert () == crl_faults(crls, authorities, now=at)


@pytest.mark.parametrize("online", [False, True])
def test_two_roots_whose_keys_are_at_hand_certify_each_other(online):
    before = made("a", online=online)
    wish = msgspec_replace(WISH, online=key_of("online-b") if online else None)
    after = held(wish, known=[before.root], present=[Holder(root=before.root, key=key_of("root-a"))])
    [former] = after.others
    for root, by in ((after.root, before.root), (former, after.root)):
        crossed = read_certificate(root.spec.cross_signed[by.metadata.name], subject="cross")
        crossed.verify_directly_issued_by(certificate(by))
        assert certificate(root).subject == crossed.subject
        assert key_fingerprint(certificate(root).public_key()) == key_fingerprint(crossed.public_key())
        assert 1 + online == path_length(crossed)
        assert root == read(paths.root_path(root.metadata.name), write(root))
    assert before.root.spec.certificate == former.spec.certificate


@pytest.mark.parametrize(
    ("wish", "key", "expected"),
    [
        (msgspec_replace(WISH, name="a"), "root-new", "name"),
        (WISH, "root-a", "key"),
    ],
)
def test_a_root_that_could_be_taken_for_another_is_refused(wish, key, expected):
    with pytest.raises(Rejected) as error:
        held(wish, key_of(key), known=[made("a").root])
    assert ("KnownRoot", True) == (error.value.reason, expected in error.value.what)


def test_a_root_with_the_subject_of_another_is_refused():
    theirs = msgspec.structs.replace(
        made("b").root, metadata=msgspec.structs.replace(made("b").root.metadata, name="x")
    )
    with pytest.raises(Rejected) as error:
        held(key=key_of("root-new"), known=[theirs])
    assert ("KnownRoot", True) == (error.value.reason, "subject" in error.value.what)


def test_a_weak_key_makes_no_root():
    with pytest.raises(Rejected):
        held(key=rsa_key(1024))
    with pytest.raises(Rejected):
        held(key=ec.generate_private_key(ec.SECP224R1()))


# --- the record


@pytest.mark.parametrize("key", [key_of("root-b"), rsa_key(3072)], ids=["P-384", "RSA"])
def test_the_record_says_who_when_and_what_and_its_key_signed_it(key):
    root = held(key=key).root
    text = root.spec.record.text
    assert "by: Ada <ada@acme.example>\n" in text
    assert "made at: 2026-11-27T12:00:00Z\n" in text
    assert f"certificate: {fingerprint(certificate(root))}\n" in text
    assert key_fingerprint(key.public_key()) in text
    assert "" == record_fault(root)


def with_record(root, **changed):
    record = msgspec.structs.replace(root.spec.record, **changed)
    return msgspec.structs.replace(root, spec=msgspec.structs.replace(root.spec, record=record))


def test_a_record_that_was_changed_or_is_of_another_root_is_seen():
    root, other = held().root, made("a").root
    signature = root.spec.record.signature
    assert "" != record_fault(with_record(root, text=root.spec.record.text.replace("Ada", "Eve")))
    assert "" != record_fault(with_record(root, signature=signature[:-4] + "AAAA"))
    assert "" != record_fault(with_record(root, signature="not base64"))
    assert "" != record_fault(with_record(root, text=other.spec.record.text, signature=other.spec.record.signature))
    again = held(key=key_of("root-b"), wish=msgspec_replace(WISH, lifetime=timedelta(days=9))).root
    assert "another certificate" in record_fault(
        with_record(root, text=again.spec.record.text, signature=again.spec.record.signature)
    )
    assert "" == record_fault(msgspec.structs.replace(root, spec=msgspec.structs.replace(root.spec, record=None)))


def test_a_name_with_line_breaks_forges_no_line_of_the_record():
    root = held(msgspec_replace(WISH, who="Ada\ncertificate: sha256:00")).root
    assert 1 == sum(line.startswith("certificate:") for line in root.spec.record.text.splitlines())


# --- taking back


def test_a_root_takes_back_what_it_signed_and_the_lists_of_its_issuers_stay():
    before = held(msgspec_replace(WISH, online=key_of("online-b")))
    after = revoke(before.root, key_of("root-b"), [Revoked(7, "keyCompromise")], now=NOW + timedelta(days=1))
    lists = {crl.issuer.rfc4514_string(): crl for crl in read_crls(after.spec.crl, subject="crl")}
    assert {"CN=b,O=acme", "CN=b-online-1,O=acme"} == lists.keys()
    entry = lists["CN=b,O=acme"].get_revoked_certificate_by_serial_number(7)
    assert entry is not None
    assert x509.ReasonFlags.key_compromise == entry.extensions.get_extension_for_class(x509.CRLReason).value.reason
    numbers = [one.extensions.get_extension_for_class(x509.CRLNumber).value.crl_number
               for root in (before.root, after) for one in read_crls(root.spec.crl, subject="crl")
               if one.issuer.rfc4514_string() == "CN=b,O=acme"]  # fmt: skip
    assert numbers == sorted(set(numbers))
    assert after == read(paths.root_path("b"), write(after))


def test_a_list_is_signed_with_the_roots_own_key_alone():
    with pytest.raises(Rejected) as error:
        revoke(held().root, key_of("root-a"), [], now=NOW)
    assert "WrongKey" == error.value.reason
