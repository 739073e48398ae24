"""What people didn't approve, or what no honest agent sends, is refused by name, and the signer is never called."""

from __future__ import annotations

from datetime import timedelta

import msgspec
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.serialization import Encoding
from hypothesis import given
from hypothesis import strategies as st

from syncer.protocol.certificates import fingerprint, key_fingerprint, write_certificates
from syncer.protocol.errors import Rejected
from syncer.protocol.request import empty_crl, make_csr
from syncer.protocol.secret import Secret
from tests.signer.site import (
    NOW,
    Site,
    hostile_csr,
    key_of,
    made,
    request,
    rsa_key,
    sealed_request,
    sealing,
    sealing_certificate,
    signer_of,
)
from workers.deliveries import DELIVERIES
from workers.deliveries.sealed_secrets import LARGEST, seal
from workers.documents import paths
from workers.documents.trust import CertificateRequest, ClusterTrust, Intermediates, MeshTrust
from workers.documents.writing import write
from workers.pki.approved import Approved
from workers.pki.issue import Template

CA = x509.BasicConstraints(ca=True, path_length=3)
POLICY = x509.CertificatePolicies([x509.PolicyInformation(x509.ObjectIdentifier("1.3.6.1.4.1.99999.1"), None)])
FOREIGN = x509.SubjectAlternativeName([x509.UniformResourceIdentifier("spiffe://east.acme.example/ns/x/sa/y")])


def changed(document: CertificateRequest, **spec) -> CertificateRequest:
    return msgspec.structs.replace(document, spec=msgspec.structs.replace(document.spec, **spec))


def with_key(key, **said) -> CertificateRequest:
    return changed(request(), csr=hostile_csr(key, **said), key_fingerprint=key_fingerprint(key.public_key()), crl="")


def refused(tmp_path, document: CertificateRequest, **site) -> str:
    """The name by which it is refused; the signer wasn't called, and nothing was handed in."""
    where, signer = Site(tmp_path, **site), signer_of("a")
    where.put(document)
    report = where.signing(signer).look(NOW)
    assert ({}, 0, ()) == (where.inbox.certificates(), signer.key.signatures, report.signed)
    return report.troubles[document.metadata.name].reason


def asks(subject: str = "west-1", mesh: str = "acme", *wishes: x509.ExtensionType) -> CertificateRequest:
    """A request with the key that people saw, and another CSR."""
    return changed(request(), csr=hostile_csr(key_of("west-1"), subject, mesh, *wishes), crl="")


EVIL_CSR = make_csr(key_of("evil"), mesh="acme", cluster="west", rotation=1)
EASTERN_LIST = empty_crl(
    key_of("west-1"), mesh="acme", cluster="east", rotation=1, now=NOW, next_update=NOW + timedelta(days=9)
)
HOSTILE = {
    "the CSR of another cluster": (asks("east-1"), "ForeignSubject"),
    "the CSR of another rotation": (asks("west-2"), "ForeignSubject"),
    "the CSR of another mesh": (asks(mesh="evil"), "ForeignSubject"),
    "the subject of a root": (asks("a"), "ForeignSubject"),
    "an RSA key of 1024 bits": (with_key(rsa_key(1024)), "WeakKey"),
    "a curve below P-256": (with_key(ec.generate_private_key(ec.SECP224R1())), "WeakKey"),
    "a curve that people didn't choose": (with_key(ec.generate_private_key(ec.SECP384R1())), "WrongKeyType"),
    "a curve of nobody": (with_key(ec.generate_private_key(ec.SECP256K1())), "WrongKeyType"),
    "RSA where people chose a curve": (with_key(rsa_key(2048)), "WrongKeyType"),
    "the path length of a root": (asks("west-1", "acme", CA), "AsksForMore"),
    "a policy": (asks("west-1", "acme", POLICY), "AsksForMore"),
    "a name of another mesh": (asks("west-1", "acme", FOREIGN), "ForeignName"),
    "another key than people saw": (changed(request(), csr=EVIL_CSR, crl=""), "BadDocuments"),
    "a fingerprint that nothing has": (changed(request(), key_fingerprint=f"sha256:{'0' * 64}"), "BadDocuments"),
    "no CSR": (changed(request(), csr="", crl=""), "NotWanted"),
    "a certificate in place of a CSR": (changed(request(), csr=write_certificates(made("a").issuers)), "BadDocuments"),
    "two CSRs": (changed(request(), csr=request().spec.csr * 2), "BadDocuments"),
    "the list of another key": (changed(request(), crl=request(key=key_of("evil")).spec.crl), "BadCrl"),
    "the list of another cluster": (changed(request(), crl=EASTERN_LIST), "BadCrl"),
    "a root that nobody knows": (request(root="evil"), "UnknownRoot"),
    "a cluster that nobody knows": (request("north"), "Unmanaged"),
}


@pytest.mark.parametrize("what", HOSTILE)
def test_it_is_refused_by_name_and_the_signer_is_never_called(tmp_path, what):
    document, expected = HOSTILE[what]
    assert expected == refused(tmp_path, document)


UNREAD = {
    "another key than people saw": ({"csr": EVIL_CSR, "crl": ""}, "OtherKey"),
    "a fingerprint that nothing has": ({"key_fingerprint": f"sha256:{'0' * 64}"}, "OtherKey"),
    "no CSR": ({"csr": "", "crl": ""}, "NotARequest"),
    "a certificate in place of a CSR": ({"csr": write_certificates(made("a").issuers)}, "NotARequest"),
    "two CSRs": ({"csr": request().spec.csr * 2}, "NotARequest"),
}


@pytest.mark.parametrize("what", UNREAD)
def test_the_delivery_refuses_it_too_whoever_let_it_pass(what):
    """What the reading of documents refuses already is refused again where the key is taken out."""
    spec, expected = UNREAD[what]
    with pytest.raises(Rejected) as error:
        DELIVERIES["request"](asked(changed(request(), **spec), ClusterTrust()), NOW)
    assert expected == error.value.reason


def asked(document: CertificateRequest, trust: ClusterTrust, sealed_for: str = "") -> Approved:
    template = Template(mesh="acme", cluster="west", trust_domain="west.acme.example", rotation=1,
                        lifetime=timedelta(days=90))  # fmt: skip
    return Approved(cluster="west", request=document.spec, template=template, key_type="P-256", trust=trust,
                    sealing=sealed_for)  # fmt: skip


def test_a_csr_whose_own_key_did_not_sign_it_is_refused(tmp_path):
    """Whoever copies a public key has no proof that they hold the private one."""
    asked = request(crl=False)
    der = bytearray(x509.load_pem_x509_csr(asked.spec.csr.encode()).public_bytes(Encoding.DER))
    der[-1] ^= 1
    try:
        text = x509.load_der_x509_csr(bytes(der)).public_bytes(Encoding.PEM).decode()
    except ValueError:
        pytest.skip("the flipped bit made it unreadable")
    assert "BadCsrSignature" == refused(tmp_path, changed(asked, csr=text))


def test_a_key_on_no_curve_of_nist_is_refused(tmp_path):
    key = ed25519.Ed25519PrivateKey.generate()
    csr = hostile_csr(key)
    document = changed(request(), csr=csr, key_fingerprint=key_fingerprint(key.public_key()), crl="")
    assert "WrongKeyType" == refused(tmp_path, document)


def test_a_cluster_whose_certificates_people_do_not_manage_gets_none(tmp_path):
    assert "Unmanaged" == refused(tmp_path, request(), clusters={"west": None, "east": ClusterTrust()})


def test_a_request_that_stands_on_a_branch_only_is_not_seen(tmp_path):
    site, signer = Site(tmp_path), signer_of("a")
    site.put(request(), branch=paths.request_branch("west"))
    report = site.signing(signer).look(NOW)
    assert ((), {}, {}, 0) == (report.signed, report.troubles, site.inbox.certificates(), signer.key.signatures)


def test_a_request_that_was_changed_on_its_branch_is_signed_as_main_has_it(tmp_path):
    site, signer = Site(tmp_path), signer_of("a")
    site.put(request(), branch=paths.request_branch("west"))
    site.put(request())
    site.put(request(key=key_of("evil")), branch="peermesh/trust/request-west-2")
    site.signing(signer).look(NOW)
    entry = (site.folder / "journal" / "west.1.json").read_text()
    assert key_fingerprint(key_of("west-1").public_key()) in entry
    assert 1 == signer.key.signatures


@pytest.mark.parametrize("rotation", [1, 2])
def test_an_older_or_fulfilled_request_that_comes_back_is_not_signed_again(tmp_path, rotation):
    site, signer = Site(tmp_path), signer_of("a")
    for one in (1, 2):
        site.put(request(rotation=one))
        site.signing(signer).look(NOW)
        site.put(site.signed())
    for file in (site.folder / "journal").iterdir():
        file.unlink()
    site.put(request(rotation=rotation, key=key_of("evil")))
    site.inbox.wipe()
    report = site.signing(signer).look(NOW)
    assert ((), {}, 2) == (report.signed, site.inbox.certificates(), signer.key.signatures)


def test_what_a_request_wishes_does_not_lengthen_a_certificate(tmp_path):
    """Nothing but the public key gets through: `spec.trust` of main says all the rest."""
    site, signer = Site(tmp_path, trust=MeshTrust(root="a", intermediates=Intermediates(lifetime="1h"))), signer_of("a")
    asked = request()
    site.put(asked)
    site.signing(signer).look(NOW)
    certificate = x509.load_pem_x509_certificate(site.signed().spec.certificate.encode())
    assert NOW + timedelta(hours=1) == certificate.not_valid_after_utc
    assert 0 == certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.path_length


HONEST = write(request())


@given(at=st.integers(0, len(HONEST) - 1), cut=st.integers(0, 3), new=st.binary(max_size=3))
def test_whatever_becomes_of_the_bytes_on_main_no_key_but_the_honest_one_is_certified(tmp_path_factory, at, cut, new):
    site, signer = Site(tmp_path_factory.mktemp("site")), signer_of("a")
    site.put_files({paths.request_path("west"): HONEST[:at] + new + HONEST[at + cut :]})
    site.signing(signer).look(NOW)
    for cluster in site.inbox.certificates():
        certificate = x509.load_pem_x509_certificate(site.signed(cluster).spec.certificate.encode())
        assert key_fingerprint(key_of("west-1").public_key()) == key_fingerprint(certificate.public_key())


# --- sealed-secrets


SEALED = sealing_certificate()


def sealed_site(certificate):
    trust = ClusterTrust(delivery="sealed-secrets", sealing=fingerprint(certificate))
    return {"clusters": {"west": trust, "east": ClusterTrust()}}


def refused_sealed(tmp_path, certificate) -> str:
    where, signer = Site(tmp_path, **sealed_site(certificate)), signer_of("a")
    where.put(sealed_request(certificate))
    where.put(sealing(certificate))
    report = where.signing(signer).look(NOW)
    assert ({}, 0, ()) == (where.inbox.certificates(), signer.key.signatures, report.signed)
    return report.troubles["west"].reason


def test_a_sealing_certificate_that_has_ended_is_refused(tmp_path):
    assert "SealingExpired" == refused_sealed(tmp_path, sealing_certificate(end=-timedelta(seconds=1)))


def test_a_sealing_certificate_that_has_not_begun_is_refused(tmp_path):
    assert "SealingNotYetValid" == refused_sealed(tmp_path, sealing_certificate(begin=timedelta(minutes=1)))


def test_a_sealing_certificate_with_a_short_key_is_refused(tmp_path):
    assert "WeakSealingKey" == refused_sealed(tmp_path, sealing_certificate(rsa_key(1024)))


def test_a_sealing_certificate_without_an_rsa_key_is_refused(tmp_path):
    assert "BadDocuments" == refused_sealed(tmp_path, sealing_certificate(key_of("elliptic")))


def test_a_sealing_certificate_that_stands_nowhere_is_refused(tmp_path):
    where, signer = Site(tmp_path, **sealed_site(SEALED)), signer_of("a")
    where.put_files({paths.request_path("west"): write(sealed_request(SEALED))})
    assert "NoSealingCertificate" == where.signing(signer).look(NOW).troubles["west"].reason
    assert 0 == signer.key.signatures


def bring(document, pinned, sealed_for):
    pin = None if pinned is None else fingerprint(pinned)
    trust = ClusterTrust(delivery="sealed-secrets", sealing=pin)
    with pytest.raises(Rejected) as error:
        DELIVERIES["sealed-secrets"](asked(document, trust, write_certificates(sealed_for)), NOW)
    return error.value.reason


EVIL = sealing_certificate()


@pytest.mark.parametrize(
    ("document", "pinned", "sealed_for", "expected"),
    [
        (sealed_request(SEALED), SEALED, [], "NoSealingCertificate"),
        (sealed_request(SEALED), None, [SEALED], "NoSealingCertificate"),
        (sealed_request(EVIL), SEALED, [EVIL], "OtherSealingCertificate"),
        (sealed_request(SEALED), EVIL, [SEALED], "OtherSealingCertificate"),
        (sealed_request(EVIL), SEALED, [SEALED], "OtherSealingCertificate"),
        (sealed_request(SEALED), SEALED, [SEALED, EVIL], "NotCertificates"),
        (changed(sealed_request(SEALED), csr=request().spec.csr), SEALED, [SEALED], "OwnKey"),
        (changed(sealed_request(SEALED), crl=request().spec.crl), SEALED, [SEALED], "OwnKey"),
    ],
)
def test_nothing_is_sealed_for_whom_people_did_not_pin(document, pinned, sealed_for, expected):
    assert expected == bring(document, pinned, sealed_for)


def test_nothing_is_sealed_for_a_key_that_is_not_rsa():
    certificate = sealing_certificate(key_of("elliptic"))
    assert "NotRSA" == bring(sealed_request(certificate), certificate, [certificate])


def test_what_is_too_large_is_not_sealed():
    with pytest.raises(Rejected) as error:
        seal(Secret("x" * (LARGEST + 1)), SEALED, subject="west")
    assert "TooLarge" == error.value.reason
