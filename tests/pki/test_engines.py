"""What our own check says of the corpus, and what the openssl command and `cryptography`'s verifier say of it.

The check must refuse whatever istiod or Envoy would refuse; what those two really do is tested in `tests/e2e`, against
the same `refused_by`.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from cryptography import x509
from cryptography.x509 import verification
from hypothesis import given
from hypothesis import strategies as st

from syncer.protocol.cacerts import cacerts_faults
from syncer.protocol.certificates import read_certificates, read_foreign_certificates
from tests.pki.authority import DAY, NOW, Authority, Mesh, private_key
from tests.pki.case import OPENSSL, Case, case
from tests.pki.corpus import Corpus
from tests.pki.openssl import refusal
from tests.pki.random_corpus import random_case
from workers.pki.issue import issue

CASES = Corpus(NOW).cases()
PLAIN = Corpus(NOW, constrained=False).cases()


def rules(case: Case, *, adopted: bool = False) -> set[str]:
    key = case.key.public_key()
    faults = cacerts_faults(case.cacerts, trust_domain=case.trust_domain, now=case.now, key=key, adopted=adopted)
    return {fault.rule for fault in faults}


def test_every_case_has_a_name_of_its_own():
    assert [] == [name for name, count in Counter(case.name for case in CASES).items() if count > 1]
    assert len(CASES) >= 100


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_our_check_names_the_broken_rule_and_no_other(case):
    assert set(case.rule.split()) == rules(case)


@pytest.mark.parametrize("adopted", [False, True])
def test_our_check_refuses_whatever_an_engine_refuses(adopted):
    assert [] == [case.name for case in CASES if case.refused_by and not rules(case, adopted=adopted)]


def test_of_an_adopted_ca_only_what_is_weak_or_ambiguous_is_refused_beyond_that():
    refused = {case.name: rules(case, adopted=True) for case in CASES if not case.refused_by}
    assert set().union(*refused.values()) == {
        "WeakKey", "Version", "NotAnAuthority", "SerialNumber", "SameSubject", "NotARoot", "CrlTwice",
        "NotCertificates",
    }  # fmt: skip
    assert {"a private key in the chain"} == {name for name, broken in refused.items() if "NotCertificates" in broken}


@pytest.mark.parametrize("case", [case for case in CASES if OPENSSL not in case.not_asked], ids=lambda case: case.name)
def test_openssl_says_what_the_corpus_expects(case, tmp_path):
    assert (OPENSSL in case.refused_by) == bool(refusal(case, tmp_path)), refusal(case, tmp_path)


REFUSED_BY_CRYPTOGRAPHY_ALONE = {
    "Ed25519", "Ed448", "RSA 1024", "P-224", "signed with SHA-1", "no key usage",
    "an online intermediate with RSA 1024", "a root with RSA 1024", "a root with Ed25519", "a root without key usage",
    "it names its issuer's serial number alone", "a root of version 1",
    "a root with basic constraints that aren't critical", "basic constraints that aren't critical",
}  # fmt: skip
"""It follows the profile of the web: of what only it refuses, our check refuses the weak, and roots of others pass."""
ACCEPTED_BY_CRYPTOGRAPHY_ALONE = {
    "it names another issuer's key", "it names another serial number",
    "for clients", "for any purpose", "an intermediate as root",
}  # fmt: skip
"""It is asked as a client's peer alone (a workload has no DNS name), and takes any certificate that is trusted."""


def asked_of_cryptography(case: Case) -> bool:
    """It knows neither name constraints nor lists, and takes certificates, not texts."""
    if case.cacerts.crl or OPENSSL in case.not_asked:
        return False
    everything = read_foreign_certificates(case.cacerts.chain + case.cacerts.roots, subject=case.name)
    return not any(ext.oid == x509.NameConstraints.oid for one in everything for ext in one.extensions)


def accepted_by_cryptography(case: Case) -> bool:
    roots = read_certificates(case.cacerts.roots, subject=case.name)
    chain = read_certificates(case.cacerts.chain, subject=case.name)
    verifier = verification.PolicyBuilder().store(verification.Store(list(roots))).time(case.now)
    try:
        verifier.build_client_verifier().verify(case.leaf, list(chain))
    except verification.VerificationError:
        return False
    return True


@pytest.mark.parametrize("case", [case for case in PLAIN if asked_of_cryptography(case)], ids=lambda case: case.name)
def test_cryptography_and_openssl_agree_on_chains_without_constraints(case, tmp_path):
    refused = bool(refusal(case, tmp_path))
    expected = not refused or case.name in ACCEPTED_BY_CRYPTOGRAPHY_ALONE
    assert (expected and case.name not in REFUSED_BY_CRYPTOGRAPHY_ALONE) == accepted_by_cryptography(case)
    if case.name in ACCEPTED_BY_CRYPTOGRAPHY_ALONE | REFUSED_BY_CRYPTOGRAPHY_ALONE:
        assert refused == (case.name in ACCEPTED_BY_CRYPTOGRAPHY_ALONE), "they agree by now"


def test_our_check_refuses_whatever_openssl_refuses_of_random_chains(tmp_path, record_property):
    """Of chains in which anything may be wrong, several things at once."""
    drawn = [random_case(seed, NOW) for seed in range(120)]
    refused = [one for one in drawn if refusal(one, tmp_path)]
    assert [] == [one.name for one in refused for adopted in (False, True) if not rules(one, adopted=adopted)]
    record_property("figures", f"{len(drawn)} random chains, {len(refused)} refused")
    assert 30 < len(refused) < 90


NAMES = st.from_regex(r"[a-z]([a-z0-9-]{0,20}[a-z0-9])?", fullmatch=True)


@given(
    cluster=NAMES,
    trust_domain=st.lists(NAMES, min_size=1, max_size=4).map(".".join),
    rotation=st.integers(1, 10**6),
    lifetime=st.timedeltas(timedelta(minutes=30), 4000 * DAY),
    kind=st.sampled_from(["P-256", "P-384"]),
    root_kind=st.sampled_from(["P-256", "P-384", "P-521", "RSA-2048"]),
    online=st.booleans(),
    url=st.none() | st.just("http://crl.acme.example/a.crl"),
)
def test_whatever_a_template_issues_is_accepted(
    cluster, trust_domain, rotation, lifetime, kind, root_kind, online, url
):
    mesh = Mesh(root_kind=root_kind)
    root = mesh.root("a")
    issuer = mesh.online() if online else root
    template = replace(mesh.template(cluster, rotation, trust_domain, lifetime), crl_url=url)
    key = private_key("any template", kind)
    made = issue(template, key.public_key(), issuer.certificate, issuer.key, now=NOW, serial=mesh.serial())
    signer = Authority(certificate=made, key=key, above=(issuer.certificate,) if online else ())
    one = case("a template", signer, cacerts=signer.cacerts(root), now=NOW, trust_domain=trust_domain)
    assert set() == rules(one)
    with TemporaryDirectory() as folder:
        assert "" == refusal(one, Path(folder))
