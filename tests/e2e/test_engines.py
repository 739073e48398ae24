"""What istiod's crypto/x509 and a real Envoy say of the corpus of good and bad `cacerts`.

That our own check refuses whatever one of them refuses follows from it with `tests/pki/test_engines.py`, which holds
the check against the same corpus.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Sequence
from datetime import UTC, datetime

import pytest

from syncer.protocol.cacerts import cacerts_faults
from syncer.protocol.certificates import write_certificates
from tests.e2e import build
from tests.e2e.handshakes import verdicts
from tests.pki.case import ENVOY, GO, ISTIOD, Case
from tests.pki.corpus import Corpus
from tests.pki.random_corpus import random_case, with_odd_root


def faults(case: Case, *, adopted: bool = False) -> tuple[str, ...]:
    key = case.key.public_key()
    found = cacerts_faults(case.cacerts, trust_domain=case.trust_domain, now=case.now, key=key, adopted=adopted)
    return tuple(fault.rule for fault in found)


@pytest.fixture(scope="module")
def cases() -> tuple[Case, ...]:
    """Of today: Envoy has a clock of its own."""
    return Corpus(datetime.now(UTC).replace(microsecond=0)).cases()


def asked_of_go(cases: Sequence[Case]) -> dict[str, frozenset[str]]:
    """Which of the two, `istiod` with the files and `go` with what was signed, refuse each case."""
    asked = [
        {
            "name": case.name,
            "certificate": case.cacerts.certificate,
            "key": case.key_pem,
            "chain": case.cacerts.chain,
            "roots": case.cacerts.roots,
            "crl": case.cacerts.crl,
            "leaf": write_certificates([case.leaf]),
            "serving": write_certificates([case.serving]),
            "now": case.now.isoformat(),
        }
        for case in cases
    ]
    done = subprocess.run(
        [build.build("verify")], input=json.dumps(asked), capture_output=True, text=True, check=True, timeout=120
    )
    engines = (("istiod", ISTIOD), ("leaf", GO), ("serving", GO))
    return {
        verdict["name"]: frozenset(engine for field, engine in engines if verdict[field])
        for verdict in json.loads(done.stdout)
    }


@pytest.fixture(scope="module")
def go(cases) -> dict[str, frozenset[str]]:
    """What both uses of crypto/x509 say."""
    return asked_of_go(cases)


@pytest.fixture(scope="module")
def envoy(cases, tmp_path_factory) -> dict[str, frozenset[str]]:
    """Which roles of Envoy refuse each case that it can load."""
    asked = [case for case in cases if ENVOY not in case.not_asked]
    return verdicts(build.build("envoy"), asked, tmp_path_factory.mktemp("envoy"))


def test_go_says_what_the_corpus_expects(cases, go):
    assert {case.name: case.refused_by & {ISTIOD, GO} for case in cases} == go


def test_envoy_says_what_the_corpus_expects(cases, envoy):
    expected = {case.name: ENVOY in case.refused_by for case in cases if ENVOY not in case.not_asked}
    assert expected == {name: bool(roles) for name, roles in envoy.items()}


def test_envoy_refuses_an_intermediate_for_one_side_on_the_other(envoy):
    assert {"server"} == envoy["for servers"]
    assert {"client"} == envoy["for clients"]
    assert {"server", "client"} == envoy["for any purpose"]


def test_our_check_refuses_whatever_istiod_or_envoy_refuses(cases, go, envoy):
    taken = [case.name for case in cases if (go[case.name] or envoy.get(case.name)) and not faults(case)]
    assert [] == taken


def test_what_our_check_accepts_serves_in_both_directions(cases, go, envoy):
    good = [case.name for case in cases if not faults(case)]
    assert len(good) >= 20
    assert dict.fromkeys(good, frozenset()) == {name: go[name] | envoy[name] for name in good}


def test_of_random_chains_our_check_refuses_what_they_refuse(tmp_path, record_property):
    now = datetime.now(UTC).replace(microsecond=0)
    drawn = [random_case(seed, now) for seed in range(1000, 1500)]
    some = drawn[:150]  # those that a handshake is made for
    go, envoy = asked_of_go(drawn), verdicts(build.build("envoy"), some, tmp_path)
    refused = [case for case in drawn if go[case.name] or envoy.get(case.name)]
    assert [] == [case.name for case in refused if not faults(case)]
    assert [] == [case.name for case in refused if not faults(case, adopted=True)]
    record_property("figures", f"{len(drawn)} random chains, {len(refused)} refused by istiod, a peer in Go or Envoy")
    assert 100 < len(refused) < 400


def test_istiod_starts_with_every_odd_root_that_our_check_lets_in(record_property):
    """A root that Go can't parse stops it, wherever in the bundle it is and though nobody uses it."""
    now = datetime.now(UTC).replace(microsecond=0)
    drawn = [with_odd_root(seed, now) for seed in range(1500)]
    let_in = [case for case in drawn if not faults(case)]
    refused = asked_of_go(drawn)
    assert [] == [case.name for case in let_in if refused[case.name]]
    stopped = sum(ISTIOD in engines for engines in refused.values())
    record_property("figures", f"{len(drawn)} odd roots, {len(let_in)} let in, {stopped} stop istiod")
    assert min(len(let_in), stopped) > 100
