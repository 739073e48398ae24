"""Issuing from templates. That engines accept the outcome is tested in `test_engines.py`."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from syncer.protocol.cacerts import authority_faults, cacerts_faults
from syncer.protocol.cacerts_rules import issued, path_length
from syncer.protocol.certificates import Certificate, key_fingerprint
from syncer.protocol.errors import Rejected
from syncer.protocol.request import read_csr
from tests.pki.authority import DAY, NOW, Authority, Mesh, digest_of, key_pem, private_key
from tests.pki.drafts import Draft
from tests.pki.leaks import printed, shows
from tests.signer.site import CountingKey
from workers.pki.issue import cross_sign, issue, issue_online, issue_root

MESH = Mesh()
A, B = MESH.root("a"), MESH.root("b")
KEY = private_key("west-1")


def made(template: Any = None, key: Any = KEY, issuer: Authority = A, **fields: Any) -> Certificate:
    """The intermediate of west, unless said otherwise."""
    named: dict[str, Any] = {"now": NOW, "serial": 7} | fields
    template = template or MESH.template("west")
    return issue(template, key.public_key(), issuer.certificate, named.pop("signer", issuer.key), **named)


def extension(certificate: Certificate, kind: type[x509.ExtensionType]) -> tuple[Any, bool]:
    found = certificate.extensions.get_extension_for_class(kind)
    return found.value, found.critical


def test_an_intermediate_is_exactly_its_template():
    certificate = made()
    names = {attribute.oid: attribute.value for attribute in certificate.subject}
    assert {NameOID.COMMON_NAME: "west-1", NameOID.ORGANIZATION_NAME: "acme"} == names
    assert certificate.issuer == A.certificate.subject
    assert certificate.serial_number == 7
    assert (NOW - timedelta(minutes=5), NOW + 90 * DAY) == (
        certificate.not_valid_before_utc,
        certificate.not_valid_after_utc,
    )
    assert (x509.BasicConstraints(ca=True, path_length=0), True) == extension(certificate, x509.BasicConstraints)
    only = x509.NameConstraints([x509.UniformResourceIdentifier("west.acme.example")], None)
    assert (only, True) == extension(certificate, x509.NameConstraints)
    usage, critical = extension(certificate, x509.KeyUsage)
    assert (critical, usage.key_cert_sign, usage.crl_sign) == (True, True, True)
    assert not any((usage.digital_signature, usage.key_encipherment, usage.key_agreement, usage.content_commitment))
    assert len(certificate.extensions) == 5
    assert issued(certificate, A.certificate)


def test_a_list_is_pointed_at_where_there_is_one():
    certificate = made(replace(MESH.template("west"), crl_url="http://crl.acme.example/a.crl"))
    points, critical = extension(certificate, x509.CRLDistributionPoints)
    assert ["http://crl.acme.example/a.crl"] == [name.value for point in points for name in point.full_name]
    assert not critical
    assert len(certificate.extensions) == 6


def test_nothing_of_a_request_but_its_key_gets_in():
    hostile = (
        x509.CertificateSigningRequestBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "root")]))
        .add_extension(x509.BasicConstraints(ca=True, path_length=9), critical=True)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("istiod.istio-system.svc")]), critical=False)
        .sign(KEY, digest_of(KEY))
    )
    csr = read_csr(hostile.public_bytes(Encoding.PEM).decode(), subject="west")
    asked = issue(MESH.template("west"), csr.public_key(), A.certificate, A.key, now=NOW, serial=7)
    honest = made()
    assert honest.subject == asked.subject
    assert list(honest.extensions) == list(asked.extensions)


@pytest.mark.parametrize(
    ("lifetime", "root", "ends"),
    [
        (90 * DAY, 3650 * DAY, 90 * DAY),
        (90 * DAY, 30 * DAY, 30 * DAY),
        (4000 * DAY, 3650 * DAY, 3650 * DAY),
    ],
)
def test_it_never_outlives_its_issuer(lifetime, root, ends):
    issuer = Mesh().root("short", lifetime=root)
    certificate = made(MESH.template("west", lifetime=lifetime), issuer=issuer)
    assert certificate.not_valid_after_utc == NOW + ends


def test_it_never_outlives_the_root_above_its_issuer():
    root = Mesh().root("short", lifetime=30 * DAY)
    online = MESH.online("long", root="b", lifetime=365 * DAY)
    certificate = made(issuer=online, above=(root.certificate,))
    assert certificate.not_valid_after_utc == NOW + 30 * DAY


@pytest.mark.parametrize("left", [timedelta(seconds=-5), timedelta(0), timedelta(seconds=30)])
def test_an_issuer_that_ends_signs_nothing(left):
    root = Mesh().root("ends", lifetime=DAY)
    with pytest.raises(Rejected) as caught:
        made(issuer=root, now=NOW + DAY - left)
    assert caught.value.reason == "IssuerExpired"


def test_a_key_of_another_issuer_signs_nothing():
    with pytest.raises(Rejected) as caught:
        made(signer=B.key)
    assert (caught.value.reason, caught.value.subject) == ("WrongKey", "CN=a,O=acme")


@pytest.mark.parametrize("kind", ["RSA-1024", "RSA-2048", "P-224", "P-521"])
def test_keys_that_the_template_has_not_are_refused(kind):
    with pytest.raises(Rejected) as caught:
        made(key=private_key("refused", kind))
    assert caught.value.reason in {"WeakKey", "KeyType"}


@pytest.mark.parametrize("domain", ["west_1.acme.example", "192.0.2.7", "West.example", ""])
def test_a_trust_domain_that_the_constraint_cannot_hold_is_refused(domain):
    with pytest.raises(Rejected) as caught:
        made(replace(MESH.template("west"), trust_domain=domain))
    assert (caught.value.reason, caught.value.subject) == ("TrustDomain", "west")


def test_an_intermediate_of_a_cluster_signs_no_other():
    below = MESH.intermediate("east")
    with pytest.raises(Rejected) as caught:
        made(issuer=below)
    assert caught.value.reason == "PathLength"


def test_a_root_stands_for_itself():
    root = A.certificate
    assert issued(root, root)
    assert path_length(root) is None
    assert root.subject == root.issuer
    assert "CN=a,O=acme" == root.subject.rfc4514_string()


def test_a_root_with_a_weak_key_is_refused():
    with pytest.raises(Rejected) as caught:
        issue_root(mesh="acme", name="a", key=private_key("weak", "RSA-1024"), lifetime=DAY, now=NOW, serial=1)
    assert caught.value.reason == "WeakKey"


def test_an_online_intermediate_signs_for_clusters_and_for_no_further_issuer():
    online = MESH.online()
    assert path_length(online.certificate) == 1
    assert () == authority_faults(online.certificate, trust_domain=None, now=NOW)
    with pytest.raises(Rejected) as caught:
        issue_online(
            mesh="acme",
            name="further",
            public_key=private_key("further").public_key(),
            issuer=online.certificate,
            key=online.key,
            lifetime=DAY,
            now=NOW,
            serial=9,
        )
    assert caught.value.reason == "PathLength"


@pytest.mark.parametrize(("below", "with_online"), [(1, False), (2, True)])
def test_a_cross_certificate_lets_those_in_who_trust_the_old_root_alone(below, with_online):
    cross = MESH.cross("b", by="a", below=below)
    signer = MESH.intermediate("west", 5, under=MESH.online("online b", root="b") if with_online else B)
    whole = replace(signer, above=(*signer.above, cross.certificate))
    for bundle in ((A,), (B,), (A, B)):
        faults = cacerts_faults(whole.cacerts(*bundle), trust_domain="west.acme.example", now=NOW)
        assert () == faults


def test_a_cross_certificate_is_the_other_roots_key_and_name_and_ends_with_the_first_of_both():
    short = Mesh().root("short", lifetime=30 * DAY)
    for subject, by in ((A, short), (short, A)):
        cross = cross_sign(subject.certificate, by.certificate, by.key, now=NOW, serial=3)
        assert cross.subject == subject.certificate.subject
        assert key_fingerprint(cross.public_key()) == key_fingerprint(subject.key.public_key())
        assert cross.not_valid_after_utc == NOW + 30 * DAY
        assert path_length(cross) == 1
        assert issued(cross, by.certificate)


def test_a_foreign_root_without_key_identifier_can_issue():
    root = Draft(name="theirs", key=private_key("theirs"), below=None, own_identifier=False).issue(NOW)
    signer = Authority(certificate=made(issuer=root), key=KEY)
    assert () == cacerts_faults(signer.cacerts(root), trust_domain="west.acme.example", now=NOW)


def test_a_key_in_a_token_signs_as_one_in_a_file():
    assert isinstance(A.key, ec.EllipticCurvePrivateKey)
    token = CountingKey(A.key)
    certificate = made(signer=token)
    assert issued(certificate, A.certificate)
    assert token.signatures == 1


def test_no_refusal_shows_the_key():
    for wrong in (
        {"signer": B.key},
        {"key": private_key("refused", "P-521")},
        {"now": NOW + 4000 * DAY},
        {"template": replace(MESH.template("west"), trust_domain="a_b")},
    ):
        with pytest.raises(Rejected) as caught:
            made(**wrong)
        assert not any(shows(printed(caught.value), key_pem(key)) for key in (A.key, B.key, KEY))
