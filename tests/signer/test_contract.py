"""What every signer does, whatever its key lies in: it signs for its certificate, and gives nothing away.

A newcomer adds a row to `SIGNERS` and a maker here.
"""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from syncer.protocol.certificates import Certificate, read_certificates, same_key, write_certificates
from syncer.protocol.errors import HumanNeeded, PeermeshError
from syncer.protocol.revocation import crl_faults, read_crls
from syncer.protocol.secret import Secret
from tests.signer.site import NOW, key_of
from tests.signer.tokens import new_token
from workers.outside import Signer
from workers.pki.crl import make_crl
from workers.pki.issue import Template, cross_sign, issue, issue_root
from workers.signers import SIGNERS, Place
from workers.signers.key_file import write_key_file

KINDS = ("P-256", "P-384", "RSA-2048")
CURVES = {"P-256": ec.SECP256R1(), "P-384": ec.SECP384R1()}
YEAR = timedelta(days=365)


def in_a_file(folder: Path, kind: str) -> Place:
    key = rsa.generate_private_key(65537, 2048) if kind[:3] == "RSA" else ec.generate_private_key(CURVES[kind])
    (folder / "passphrase").write_text("correct horse battery staple\n")
    (folder / "passphrase").chmod(0o600)
    write_key_file(key, folder / "key.pem", Secret("correct horse battery staple"))
    root = issue_root(mesh="acme", name="a", key=key, lifetime=YEAR, now=NOW, serial=1)
    return Place(issuers=written(folder, root), key=folder / "key.pem", passphrase=folder / "passphrase")


def in_a_token(folder: Path, kind: str) -> Place:
    """The certificate of a key that nobody can read is issued by another CA."""
    token = new_token(folder)
    issuer = issue_root(mesh="acme", name="above", key=key_of("root-above"), lifetime=YEAR, now=NOW, serial=1)
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "a")])
    public = token.make("root", kind)
    certificate = cross_sign(Like(subject, public), issuer, key_of("root-above"), now=NOW, serial=2)  # type: ignore[arg-type]
    return token.place("root", written(folder, certificate))


class Like:
    """What `cross_sign` reads of a root."""

    def __init__(self, subject, public):
        self.subject = subject
        self.not_valid_after_utc = NOW + YEAR
        self._public = public

    def public_key(self):
        return self._public


def written(folder: Path, *certificates: Certificate) -> Path:
    (folder / "issuers.pem").write_text(write_certificates(certificates))
    return folder / "issuers.pem"


MAKERS: dict[str, Callable[[Path, str], Place]] = {"key-file": in_a_file, "pkcs11": in_a_token}


def test_every_signer_has_a_maker():
    assert set(SIGNERS) == set(MAKERS)


@pytest.fixture(params=[(name, kind) for name in MAKERS for kind in KINDS], ids="-".join)
def place(request, tmp_path):
    name, kind = request.param
    return name, MAKERS[name](tmp_path, kind)


@pytest.fixture
def signer(place) -> Signer:
    return SIGNERS[place[0]](place[1])


def test_it_says_what_it_signs_with(signer, place):
    assert signer.issuers == read_certificates(place[1].issuers.read_text(), subject="issuers")
    assert same_key(signer.issuers[0].public_key(), signer.key.public_key())
    signer.check()


def test_what_it_signs_verifies(signer):
    template = Template(mesh="acme", cluster="west", trust_domain="west.acme.example", rotation=1,
                        lifetime=timedelta(days=90))  # fmt: skip
    issuer = signer.issuers[0]
    certificate = issue(template, key_of("west-1").public_key(), issuer, signer.key, now=NOW, serial=7)
    certificate.verify_directly_issued_by(issuer)
    listed = make_crl(issuer, signer.key, now=NOW, next_update=NOW + YEAR, number=1)
    assert () == crl_faults(read_crls(listed, subject="list"), [issuer], now=NOW)


def test_its_key_is_not_printed_nor_pickled_and_a_copy_is_itself(signer):
    for text in (repr(signer), str(signer), repr(signer.key), f"{signer.key}", f"{vars(signer)}"):
        assert "PRIVATE" not in text
        assert "correct horse" not in text
        assert "5678-of" not in text
    with pytest.raises((TypeError, pickle.PicklingError, AttributeError)):
        pickle.dumps(signer.key)
    for copied in (copy.copy(signer.key), copy.deepcopy(signer.key)):
        assert same_key(copied.public_key(), signer.key.public_key())


def test_issuers_that_cannot_be_meant_are_named(place, tmp_path):
    name, good = place
    root = read_certificates(good.issuers.read_text(), subject="issuers")[0]
    stranger = issue_root(mesh="acme", name="b", key=key_of("root-b"), lifetime=YEAR, now=NOW, serial=1)
    for text, expected in (
        (None, "NoIssuers"),
        ("", "NotCertificates"),
        ("hello", "NotCertificates"),
        ("ümlaut", "NotCertificates"),
        (write_certificates([root]) + key_pem(), "NotCertificates"),
        (write_certificates([root, stranger]), "WrongIssuers"),
        (write_certificates([stranger]), "NoKey" if place_has_no_such_key(name, root) else "OtherKey"),
    ):
        file = tmp_path / "others.pem"
        file.unlink(missing_ok=True)
        if text is not None:
            file.write_text(text)
        assert expected == why(name, good, issuers=file)


def place_has_no_such_key(name: str, root: Certificate) -> bool:
    """A token is asked for a key of the kind that the certificate has."""
    return name == "pkcs11" and isinstance(root.public_key(), rsa.RSAPublicKey)


def key_pem() -> str:
    return key_of("x").private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


def why(name: str, good: Place, **changed) -> str:
    """The reason why it doesn't sign; what it says holds nothing of the files."""
    place = Place(**{**vars(good), **changed})
    with pytest.raises(HumanNeeded) as error:
        SIGNERS[name](place).check()
    quotes_nothing(error.value)
    return error.value.reason


def quotes_nothing(error: PeermeshError) -> None:
    """Neither it nor what led to it."""
    shown = f"{error!r} {error} {error.__cause__!r} {error.__context__!r}"
    assert "PRIVATE KEY" not in shown
    assert "horse" not in shown
    assert "5678" not in shown
