"""Revocation lists: made, read, and held against the CAs of all meshes."""

from __future__ import annotations

import subprocess
from datetime import timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ed25519
from cryptography.hazmat.primitives.serialization import Encoding

from syncer.protocol.errors import Rejected
from syncer.protocol.request import empty_crl, subject_of
from syncer.protocol.revocation import MAX_CRLS, REASONS, listers, read_crls, signature_hash, write_crls
from tests.pki.authority import DAY, NOW, Authority, Mesh, key_pem, private_key
from tests.pki.drafts import Draft
from tests.pki.leaks import printed, shows
from workers.pki.crl import Revoked, crl_bundle, crl_faults, make_crl

MESH = Mesh()
A, B = MESH.root("a"), MESH.root("b")
WEST, EAST = MESH.intermediate("west"), MESH.intermediate("east", under=B)
EVERYBODY = (A, B, WEST, EAST)


def rules(text: str, *authorities: Authority, now: object = NOW) -> list[str]:
    certificates = [one.certificate for one in authorities or EVERYBODY]
    faults = crl_faults(read_crls(text, subject="ca-crl.pem"), certificates, now=now)  # type: ignore[arg-type]
    return [fault.rule for fault in faults]


def lists(*authorities: Authority) -> str:
    return crl_bundle(one.crl() for one in authorities)


def test_lists_of_all_cas_of_all_meshes_are_in_order():
    assert [] == rules(lists(*EVERYBODY))


@pytest.mark.parametrize("missing", EVERYBODY, ids=lambda one: one.certificate.subject.rfc4514_string())
def test_the_list_of_no_ca_may_be_missing(missing):
    assert ["CrlMissing"] == rules(lists(*(one for one in EVERYBODY if one is not missing)))


def test_the_list_of_a_ca_that_nobody_asked_about_is_let_in():
    assert [] == rules(lists(*EVERYBODY), A, WEST)


def test_any_list_that_is_not_current_is_a_fault_since_it_stops_all_connections():
    assert ["CrlExpired"] == rules(lists(A, WEST) + B.crl(now=NOW - 2 * DAY, lasts=DAY), A, WEST)
    assert ["CrlNotYetValid"] == rules(lists(A, WEST) + B.crl(now=NOW + DAY), A, WEST)


def test_a_list_is_current_until_the_second_in_which_the_next_one_is_due():
    text = A.crl(lasts=DAY)
    assert [] == rules(text, A, now=NOW + DAY - timedelta(seconds=1))
    assert ["CrlExpired"] == rules(text, A, now=NOW + DAY)


@pytest.mark.parametrize("reason", ["", *REASONS])
def test_what_is_taken_back_is_named(reason):
    text = crl_bundle([A.crl(Revoked(WEST.certificate.serial_number, reason)), WEST.crl()])
    faults = crl_faults(read_crls(text, subject="ca-crl.pem"), [A.certificate, WEST.certificate], now=NOW)
    assert ["CN=west-1,O=acme: CN=a,O=acme has revoked it. Rotate to another intermediate."] == list(map(str, faults))


def test_a_serial_number_of_another_issuer_takes_nothing_back():
    serial = WEST.certificate.serial_number
    assert [] == rules(crl_bundle([A.crl(), WEST.crl(), B.crl(Revoked(serial))]), A, WEST)


def test_a_list_that_its_ca_did_not_sign_counts_for_nothing():
    forged = make_crl(
        Authority(certificate=MESH.root("a", kind="P-384").certificate, key=private_key("x")).certificate,
        private_key("root a", "P-384"),
        now=NOW,
        next_update=NOW + DAY,
        number=1,
    )
    assert ["CrlSignature"] == rules(forged, A)
    assert ["CrlTwice"] == rules(forged + A.crl(), A)


def test_a_ca_that_may_not_sign_lists_has_none():
    authority = Draft(name="a", lists=False).issue(NOW)
    assert ["KeyUsage"] == rules(authority.crl(), authority)


def test_the_order_of_lists_does_not_change_the_bytes():
    texts = [one.crl() for one in EVERYBODY]
    assert crl_bundle(texts) == crl_bundle(reversed(texts)) == crl_bundle([*texts, "", *texts])
    assert crl_bundle(texts) == write_crls(read_crls(crl_bundle(texts), subject="x"))
    assert "" == crl_bundle([])


def test_equal_arguments_say_the_same():
    entries = [Revoked(9, "keyCompromise"), Revoked(3)]
    first, second = (read_crls(A.crl(*some), subject="x")[0] for some in (entries, entries[::-1]))
    assert first.tbs_certlist_bytes == second.tbs_certlist_bytes
    assert [3, 9] == [entry.serial_number for entry in first]


@pytest.mark.parametrize(
    ("revoked", "lasts"),
    [([Revoked(3, "because")], DAY), ([Revoked(3), Revoked(3, "keyCompromise")], DAY), ([], timedelta(0))],
)
def test_a_list_that_says_nonsense_is_not_signed(revoked, lasts):
    with pytest.raises(Rejected) as caught:
        A.crl(*revoked, lasts=lasts)
    assert caught.value.reason == "BadRevocation"


def test_the_key_of_another_ca_signs_no_list():
    with pytest.raises(Rejected) as caught:
        make_crl(A.certificate, B.key, now=NOW, next_update=NOW + DAY, number=1)
    assert caught.value.reason == "WrongKey"
    assert not shows(printed(caught.value), key_pem(B.key))


def test_an_agent_signs_the_first_list_of_an_intermediate_that_is_not_issued_yet():
    key = private_key("west-1")
    named = {"mesh": "acme", "cluster": "west", "rotation": 1}
    text = empty_crl(key, now=NOW, next_update=NOW + 100 * DAY, **named)  # type: ignore[arg-type]
    (crl,) = read_crls(text, subject="west")
    assert crl.issuer.public_bytes() == subject_of(**named).public_bytes()  # type: ignore[arg-type]
    assert [] == rules(text, WEST)


@pytest.mark.parametrize(
    "text",
    [
        "x",
        A.pem,
        key_pem(A.key),
        A.crl() + key_pem(A.key),
        A.crl()[:-30],
        "-----BEGIN X509 CRL-----\nMAA=\n-----END X509 CRL-----\n",
        "x" * (MAX_CRLS + 1),
    ],
    ids=["text", "a certificate", "a key", "a list and a key", "cut", "empty", "long"],
)
def test_anything_else_than_lists_is_refused_and_not_shown(text):
    with pytest.raises(Rejected) as caught:
        read_crls(text, subject="ca-crl.pem")
    assert (caught.value.reason, caught.value.subject) == ("NotRevocationLists", "ca-crl.pem")
    assert not shows(printed(caught.value), key_pem(A.key))


def test_openssl_reads_it(tmp_path):
    (tmp_path / "a.pem").write_text(A.pem)
    command = ["openssl", "crl", "-noout", "-CAfile", str(tmp_path / "a.pem"), "-text"]
    text = A.crl(Revoked(0xABC, "keyCompromise"), number=5)
    done = subprocess.run(command, input=text, capture_output=True, text=True, check=True, timeout=60)
    assert "verify OK" in done.stderr
    assert "Serial Number: 0ABC" in done.stdout
    assert "Key Compromise" in done.stdout


def test_a_foreign_root_with_ed25519_signs_lists_too():
    keys = [ed25519.Ed25519PrivateKey.from_private_bytes(bytes([n]) * 32) for n in (1, 2)]
    authority = Draft(name="theirs", key=keys[0]).issue(NOW)
    builder = x509.CertificateRevocationListBuilder().issuer_name(authority.certificate.subject)
    builder = builder.last_update(NOW).next_update(NOW + DAY)
    own, other = (builder.sign(key, None).public_bytes(Encoding.PEM).decode() for key in keys)
    assert [] == rules(own, authority)
    assert ["CrlSignature"] == rules(other, authority)


def test_a_delta_list_is_refused():
    builder = x509.CertificateRevocationListBuilder().issuer_name(A.certificate.subject)
    builder = builder.last_update(NOW).next_update(NOW + DAY)
    builder = builder.add_extension(x509.DeltaCRLIndicator(1), critical=True)
    text = builder.sign(A.key, signature_hash(A.key.public_key())).public_bytes(Encoding.PEM).decode()
    assert ["CrlExtension"] == rules(text, A)


def test_whose_lists_a_text_holds_is_said_by_the_keys_of_cas():
    identifiers = sorted(ca.certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value.digest.hex()
                         for ca in (A, WEST))  # fmt: skip
    assert tuple(identifiers) == listers(crl_bundle([WEST.crl(), A.crl()]))
    assert () == listers("") == listers("no list")
