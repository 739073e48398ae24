"""A key in a token: it comes back after the token was away, and a PIN that was refused isn't tried again."""

from __future__ import annotations

import os
import subprocess
import sys
from datetime import timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from syncer.protocol.certificates import read_certificate, write_certificates
from syncer.protocol.errors import HumanNeeded, Rejected, Transient
from tests.signer.site import NOW, Site, request
from tests.signer.test_contract import in_a_token, why
from tests.signer.tokens import new_token
from workers.ceremony import Wish, init_root, record_fault
from workers.pki.approved import faults
from workers.sign import Signing
from workers.signers import SIGNERS, Place
from workers.signers.pkcs11 import Token, make_key

ALGORITHM = ec.ECDSA(hashes.SHA256())


@pytest.fixture
def good(tmp_path) -> Place:
    return in_a_token(tmp_path, "P-256")


def signs(signer) -> bool:
    signer.issuers[0].public_key().verify(signer.key.sign(b"x", ALGORITHM), b"x", ALGORITHM)
    return True


def test_it_signs_again_when_the_token_was_away(good, tmp_path):
    signer = SIGNERS["pkcs11"](good)
    assert signs(signer)
    (tmp_path / "tokens").rename(tmp_path / "away")
    try:
        with pytest.raises(Transient) as error:
            signs(signer)
        assert "TokenAway" == error.value.reason
        with pytest.raises(Transient):
            signer.check()
    finally:
        (tmp_path / "away").rename(tmp_path / "tokens")
    signer.check()
    assert signs(signer)


def test_a_token_that_is_not_there_at_the_start_is_waited_for(good, tmp_path):
    (tmp_path / "tokens").rename(tmp_path / "away")
    try:
        signer = SIGNERS["pkcs11"](good)
        with pytest.raises(Transient):
            signer.check()
    finally:
        (tmp_path / "away").rename(tmp_path / "tokens")
    assert signs(signer)


def test_a_session_that_ended_is_opened_again_within_the_signature(good):
    signer = Token(good)
    assert signs(signer)
    opened = signer._session._open
    assert opened is not None
    opened[0].close()
    assert signs(signer)


def test_a_refused_pin_is_not_tried_again_until_the_file_holds_another(good):
    """A real token counts, and locks itself."""
    signer = Token(good)
    right, tries = good.pin.read_text(), Counting(signer._session._library)
    signer._session._library = tries
    good.pin.write_text("0000-wrong")
    for _ in range(20):
        with pytest.raises(HumanNeeded) as error:
            signer.check()
        assert "WrongPin" == error.value.reason
    assert 1 == tries.asked
    good.pin.write_text(right)
    signer.check()
    assert signs(signer)
    assert 2 == tries.asked


class Counting:
    """The library of the token, with how often a token was asked for."""

    def __init__(self, library):
        self._library = library
        self.asked = 0

    def reinitialize(self):
        self._library.reinitialize()

    def get_token(self, **wanted):
        self.asked += 1
        return self._library.get_token(**wanted)


def test_a_file_with_a_pin_that_others_may_read_is_refused(good):
    good.pin.chmod(0o644)
    assert "OpenToOthers" == why("pkcs11", good)


def test_what_is_not_named_or_not_there_is_named(good, tmp_path):
    assert "BadSetting" == why("pkcs11", good, module=None)
    assert "BadSetting" == why("pkcs11", good, token="")
    assert "BadSetting" == why("pkcs11", good, label="")
    assert "NoPkcs11" == why("pkcs11", good, module=tmp_path / "nowhere.so")
    assert "NoKey" == why("pkcs11", good, label="another")
    assert "NoSecret" == why("pkcs11", good, pin=tmp_path / "nowhere")


def test_a_token_nobody_knows_is_waited_for(good):
    with pytest.raises(Transient) as error:
        SIGNERS["pkcs11"](Place(**{**vars(good), "token": "another"})).check()
    assert "TokenAway" == error.value.reason


def test_a_key_of_another_certificate_in_the_token_is_named(tmp_path):
    place = in_a_token(tmp_path, "P-256")
    make_key(Place(**{**vars(place), "label": "second"}), "P-256")
    assert "OtherKey" == why("pkcs11", place, label="second")


def test_a_key_is_made_in_the_token_once_and_cannot_be_read_out_of_it(tmp_path):
    token = new_token(tmp_path)
    key = make_key(token.place("root"), "P-384")
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    key.public_key().verify(key.sign(b"x", ALGORITHM), b"x", ALGORITHM)
    with pytest.raises(TypeError):
        key.private_numbers()
    with pytest.raises(TypeError):
        key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
    with pytest.raises(Rejected) as error:
        make_key(token.place("root"), "P-384")
    assert "Exists" == error.value.reason


def site_of_a_token(tmp_path) -> tuple[Site, Signing]:
    """A root from a ceremony whose key never was anywhere but in a token, and a request under it."""
    token = new_token(tmp_path)
    wish = Wish(mesh="acme", name="a", who="Ada <ada@acme.example>")
    key, begin = make_key(token.place("root"), "P-384"), NOW - timedelta(days=1)
    made = init_root(wish, key, now=begin, serial=x509.random_serial_number)
    assert "" == record_fault(made.root)
    (tmp_path / "issuers.pem").write_text(write_certificates(made.issuers))
    site = Site(tmp_path / "site", roots={"a": made.root})
    site.put(request())
    return site, site.signing(SIGNERS["pkcs11"](token.place("root", tmp_path / "issuers.pem")))


def test_a_root_that_was_made_in_a_token_signs_for_a_cluster_from_there(tmp_path):
    site, signing = site_of_a_token(tmp_path)
    report = signing.look(NOW)
    assert (("west",), {}, None) == (report.signed, report.troubles, report.away)
    root = read_certificate(site.roots["a"].spec.certificate, subject="a")
    assert () == faults(site.signed(), root, trust_domain="west.acme.example", now=NOW)


def test_a_token_that_is_away_leaves_the_request_waiting(tmp_path):
    _, signing = site_of_a_token(tmp_path)
    (tmp_path / "tokens").rename(tmp_path / "away")
    report = signing.look(NOW)
    assert ("TokenAway", "TokenAway") == (report.troubles["west"].reason, report.away and report.away.reason)
    (tmp_path / "away").rename(tmp_path / "tokens")
    assert ("west",) == signing.look(NOW).signed


def test_without_python_pkcs11_it_says_what_to_install(good):
    """In an interpreter that can't import it."""
    code = (
        "import sys; sys.modules['pkcs11'] = None\n"
        "from pathlib import Path\n"
        "from workers.signers import SIGNERS, Place\n"
        f"SIGNERS['pkcs11'](Place(issuers=Path({str(good.issuers)!r}), module=Path('x'), token='t', label='l'))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, env=dict(os.environ)
    )
    assert "pip install 'peermesh[pkcs11]'" in done.stderr
