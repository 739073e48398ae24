"""What a `cacerts` must be. The cases of certificates themselves stand in `corpus.py`."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import ExtendedKeyUsageOID

from syncer.protocol.cacerts import Cacerts, authority_faults, cacerts_faults, root_faults, trust_domain_fault
from syncer.protocol.certificates import Certificate, write_certificates
from tests.pki.authority import DAY, NOW, Authority, Mesh, digest_of, key_pem, private_key
from tests.pki.case import TRUST_DOMAIN
from tests.pki.corpus import Corpus
from tests.pki.drafts import Draft, uri
from tests.pki.leaks import shows

MESH = Mesh()
A, B = MESH.root("a"), MESH.root("b")
WEST = MESH.intermediate("west")


def said(cacerts: Cacerts, **fields: object) -> list[str]:
    fields = {"trust_domain": TRUST_DOMAIN, "now": NOW} | fields
    return [str(fault) for fault in cacerts_faults(cacerts, **fields)]  # type: ignore[arg-type]


def test_a_fault_names_file_certificate_what_is_wrong_and_what_to_do():
    (fault,) = said(WEST.cacerts(B))
    assert fault == (
        "ca-cert.pem, CN=west-1,O=acme: no root of the bundle has issued it or what is above it "
        "(its issuer is CN=a,O=acme). Complete the chain, or add the root to the bundle."
    )


def test_a_file_that_cannot_be_read_is_a_fault_of_that_file():
    faults = cacerts_faults(replace(WEST.cacerts(A), chain="", crl="x"), trust_domain=TRUST_DOMAIN, now=NOW)
    assert [("NotCertificates", "cert-chain.pem"), ("NotRevocationLists", "ca-crl.pem")] == [
        (fault.rule, fault.certificate) for fault in faults
    ]


def test_the_key_is_looked_at_where_it_is_given():
    other = private_key("other").public_key()
    assert [] == said(WEST.cacerts(A))
    assert [] == said(WEST.cacerts(A), key=WEST.key.public_key())
    (fault,) = said(WEST.cacerts(A), key=other)
    assert "ca-cert.pem, CN=west-1,O=acme: ca-key.pem is the key of another certificate. " in fault


@pytest.mark.parametrize(
    ("when", "rules"),
    [
        (NOW - timedelta(minutes=6), {"NotYetValid"}),
        (NOW - timedelta(minutes=5), set()),
        (NOW + 90 * DAY - timedelta(seconds=1), set()),
        (NOW + 90 * DAY, {"Expired"}),
    ],
)
def test_a_certificate_is_valid_from_its_beginning_and_until_its_end(when, rules):
    faults = cacerts_faults(WEST.cacerts(A), trust_domain=TRUST_DOMAIN, now=when)
    assert rules == {fault.rule for fault in faults}


def test_the_trust_domain_of_another_cluster_is_not_accepted():
    faults = cacerts_faults(WEST.cacerts(A), trust_domain="east.acme.example", now=NOW)
    assert ["NameConstraint"] == [fault.rule for fault in faults]


def test_a_private_key_in_any_file_is_refused_and_not_shown():
    secret = key_pem(WEST.key)
    good = WEST.cacerts(A, crl=A.crl() + WEST.crl())
    for file in ("certificate", "chain", "roots", "crl"):
        for text in (secret, getattr(good, file) + secret, secret + getattr(good, file)):
            for adopted in (False, True):
                shown = said(replace(good, **{file: text}), adopted=adopted)
                assert shown
                assert not any(shows(text, secret) for text in shown)


def foreign(**wrong: object) -> Authority:
    """An intermediate as others make them: no name constraint, no path length."""
    draft = Draft(**{"name": "istio-ca", "below": None} | wrong)  # type: ignore[arg-type]
    return draft.issue(NOW, Corpus(NOW).a)


def test_an_adopted_ca_needs_no_template():
    theirs, root = foreign(extended=(ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH)), Corpus(NOW).a
    whole = replace(theirs.cacerts(root), chain="# chain\r\n" + theirs.pem + root.pem)
    assert [] == said(whole, adopted=True)
    assert [] != said(whole)


def test_what_no_path_of_an_adopted_chain_needs_is_not_looked_at():
    theirs, root = foreign(), Corpus(NOW).a
    gone = Draft(name="gone", key=private_key("gone", "RSA-1024"), begin=-9 * DAY, end=-DAY).issue(NOW)
    assert [] == said(replace(theirs.cacerts(root), chain=theirs.pem + gone.pem), adopted=True)


def test_a_self_signed_istiod_may_go_on_with_another_root_beside_its_own():
    own = Draft(name="cluster.local", below=None, own_identifier=False).issue(NOW)
    cacerts = Cacerts(certificate=own.pem, chain=own.pem, roots=own.pem + B.pem)
    assert [] == said(cacerts, adopted=True)
    assert [] == said(replace(cacerts, chain=B.pem), adopted=True)
    assert {"NoPath"} == {
        fault.rule
        for fault in cacerts_faults(replace(cacerts, roots=B.pem), trust_domain=TRUST_DOMAIN, now=NOW, adopted=True)
    }


def test_the_order_of_an_adopted_chain_does_not_matter_but_its_intermediate_does():
    corpus = Corpus(NOW)
    under = corpus.intermediate(corpus.online, below=None)
    cacerts = under.cacerts(corpus.a)
    turned = write_certificates([corpus.online.certificate, under.certificate])
    assert [] == said(replace(cacerts, chain=turned), adopted=True)
    (fault,) = said(replace(cacerts, chain=corpus.online.pem), adopted=True)
    assert "cert-chain.pem, CN=west-1,O=acme: the intermediate isn't in its own chain" in fault


def test_certificates_that_signed_each_other_in_circles_are_walked_once():
    pairs = [Draft(name=f"c{n}", key=private_key(f"circle {n}"), below=None).issue(NOW) for n in range(8)]
    crossed = [
        Draft(name=f"c{n}", key=one.key, below=None).issue(NOW, other).certificate
        for n, one in enumerate(pairs)
        for other in pairs
    ]
    signer = Authority(certificate=crossed[0], key=pairs[0].key)
    cacerts = Cacerts(certificate=signer.pem, chain=write_certificates(dict.fromkeys(crossed)), roots=A.pem)
    faults = cacerts_faults(cacerts, trust_domain=TRUST_DOMAIN, now=NOW, adopted=True)
    assert "NoPath" in {fault.rule for fault in faults}


def test_one_certificate_is_held_against_the_template_or_only_against_what_any_ca_must_be():
    plain = foreign().certificate
    assert () == authority_faults(plain, trust_domain=None, now=NOW)
    assert {"PathLength", "NameConstraint"} == {
        fault.rule for fault in authority_faults(plain, trust_domain=TRUST_DOMAIN, now=NOW)
    }
    named = authority_faults(plain, trust_domain=TRUST_DOMAIN, now=NOW, where="pki/intermediates/west.yaml")
    assert {"pki/intermediates/west.yaml, CN=istio-ca,O=acme"} == {fault.certificate for fault in named}


@pytest.mark.parametrize(("exponent", "bits"), [((1 << 32) + 1, 2048), (65537, 8200)])
def test_rsa_keys_that_go_cannot_use_are_refused(exponent, bits):
    modulus = (1 << (bits - 1)) + 1
    key = rsa.RSAPublicNumbers(exponent, modulus).public_key()
    (fault,) = authority_faults(online_of(key), trust_domain=None, now=NOW)
    assert (fault.rule, "RSA" in fault.what) == ("KeyType", True)


def online_of(key: rsa.RSAPublicKey) -> Certificate:
    """A CA with this key, which nobody needs to hold."""
    return (
        x509.CertificateBuilder()
        .subject_name(A.certificate.subject)
        .issuer_name(A.certificate.subject)
        .public_key(key)
        .serial_number(5)
        .not_valid_before(NOW)
        .not_valid_after(NOW + DAY)
        .add_extension(x509.BasicConstraints(ca=True, path_length=1), critical=True)
        .sign(A.key, digest_of(A.key))
    )


def test_a_root_is_signed_by_its_own_key():
    assert () == root_faults(A.certificate, now=NOW)
    assert ["NotARoot"] == [fault.rule for fault in root_faults(MESH.online().certificate, now=NOW)]
    forged = Draft(name="a", below=None).issue(NOW, signer=B.key)
    assert ["NotARoot"] == [fault.rule for fault in root_faults(forged.certificate, now=NOW)]


@pytest.mark.parametrize(
    ("permitted", "excluded", "admitted"),
    [
        (uri("west.acme.example"), (), True),
        (uri("WEST.acme.example"), (), True),
        (uri(".acme.example", ".other.example"), (), True),
        (uri("acme.example"), (), False),
        (uri(".west.acme.example"), (), False),
        (uri("east.acme.example"), (), False),
        (uri("192.0.2.1", "west.acme.example"), (), False),
        ((), uri("east.acme.example"), True),
        ((), uri(".acme.example"), False),
        ((), uri("west.acme.example"), False),
        ((), uri("acme.example"), False),
        ((), (x509.DNSName("internal"),), False),
        ((*uri("west.acme.example"), x509.DNSName("svc")), (), False),
    ],
)
def test_a_constrained_root_must_admit_the_trust_domain_and_all_dns_names(permitted, excluded, admitted):
    root = Corpus(NOW).root("a", permitted=permitted, excluded=excluded)
    faults = said(Corpus(NOW).intermediate(root).cacerts(root))
    assert admitted == (faults == []), faults


@pytest.mark.parametrize(
    ("name", "others", "says"),
    [
        ("west.acme.example", ("east.acme.example",), None),
        ("cluster.local", (), None),
        ("td", (), None),
        ("west_1.acme.example", (), "underscores"),
        ("West.acme.example", (), "lower case"),
        ("", (), "DNS name"),
        ("a..b", (), "DNS name"),
        ("192.0.2.7", (), "IP address"),
        ("2001:db8::1", (), "IP address"),
        ("[2001:db8::1]", (), "IP address"),
        ("td", ("td",), "another cluster's"),
        ("west.td", ("td",), "west.td is below td"),
        ("td", ("west.td",), "west.td is below td"),
        ("awest.td", ("west.td",), None),
    ],
)
def test_a_trust_domain_must_fit_into_a_name_constraint_apart_from_others(name, others, says):
    fault = trust_domain_fault(name, others)
    assert (says is None) == (fault is None)
    assert (says or "") in (fault or "")


def test_nothing_raises_for_texts_that_are_no_certificates():
    for text in ("", "x", "-----BEGIN CERTIFICATE-----\n", A.pem[:-1] + "x", "\0", "🔑" * 9):
        for file in ("certificate", "chain", "roots"):
            assert said(replace(WEST.cacerts(A), **{file: text}))


def test_years_after_2050_are_read():
    late = Mesh(now=datetime(2060, 1, 1, tzinfo=UTC))
    cacerts = late.intermediate("west").cacerts(late.root("a"))
    assert () == cacerts_faults(cacerts, trust_domain=TRUST_DOMAIN, now=late.now)
