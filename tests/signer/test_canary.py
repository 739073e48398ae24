"""No private key and no passphrase stands where it doesn't belong: all that a signer wrote is searched for them.

The root's key may stand in its encrypted file; the key that is made for a cluster stands nowhere but in what was
sealed, which its controller's key opens.
"""

from __future__ import annotations

import base64
import traceback
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from syncer.protocol.certificates import fingerprint, write_certificates
from syncer.protocol.errors import PeermeshError
from syncer.protocol.secret import Secret
from tests.border.processes import wait_until
from tests.pki.canary import find
from tests.signer.running import Bare, Broker, broker, signer
from tests.signer.site import NOW, Site, key_of, made, request, rsa_key, sealed_request, sealing, sealing_certificate
from tests.signer.test_process import WORD, handed_in, settings
from tests.signer.test_sealed import opened
from tests.signer.tokens import PIN, new_token
from workers.ceremony import Wish, init_root
from workers.documents.trust import ClusterTrust
from workers.signers import SIGNERS, Place
from workers.signers.key_file import read_key_file, write_key_file

ROOT = key_of("root-a")


@pytest.fixture
def kept(tmp_path_factory) -> Iterator[Broker]:
    with broker(tmp_path_factory.mktemp("r")) as running:
        yield running


def test_a_signer_at_work_writes_no_key_anywhere(tmp_path, kept):
    """It signs, refuses, is told wrong things, is ended, started again, and loses its Redis."""
    folder = tmp_path / "all"
    folder.mkdir()
    certificate = sealing_certificate()
    trust = ClusterTrust(delivery="sealed-secrets", sealing=fingerprint(certificate))
    site = Site(folder / "site", clusters={"west": trust, "east": ClusterTrust()})
    site.put(sealed_request(certificate), sealing(certificate), request("east"), request("north"))
    bare = Bare(site, folder)
    told = settings(folder, bare, kept)
    pages = ""
    for _ in range(2):
        with signer(folder, told) as running:
            document = handed_in(kept)
            wait_until(lambda: kept.certificate("east"), what="the other certificate")
            wait_until(lambda: running.says("Unmanaged"), what="the refusal")
            pages += running.page("/metrics")
            process = Path(f"/proc/{running.pid}")
            pages += (process / "environ").read_text() + (process / "cmdline").read_text()
            assert 0 == running.end()
        with kept.client() as client:
            client.rename("peermesh:inbox.certificates", "kept")
    (folder / "passphrase").write_text("wrong horse")
    with signer(folder, told) as running:
        assert 3 == running.wait()
        assert running.says("the passphrase in")
    key = load_pem_private_key(opened(base64.b64decode(document.spec.sealed)), None)
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    with kept.client() as client:
        for secret in (ROOT, key, Secret(WORD), rsa_key(2048)):
            assert [] == find(secret, folder, kept.server.folder, client, pages)
    assert any(kept.server.folder.rglob("*.aof")), "the append-only file was searched, too"


def test_what_is_searched_would_be_found(tmp_path, kept):
    """The same places, with the key put into each of them."""
    pem = ROOT.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"another passphrase"))
    (tmp_path / "key.pem").write_bytes(pem)
    assert [] == find(ROOT, tmp_path)
    number = ROOT.private_numbers().private_value
    with kept.client() as client:
        client.set("x", str(number))
        assert [] != find(ROOT, client)
        client.delete("x")
        assert [] == find(ROOT, client)
        wait_until(lambda: find(ROOT, kept.server.folder), what="the append-only file")


FAULTS = {
    "a wrong passphrase": {"passphrase": "wrong"},
    "a key that isn't encrypted": {"key": "plain"},
    "a key that is cut": {"key": "cut"},
    "a key in place of the issuers": {"issuers": "plain"},
    "a key in place of the passphrase": {"passphrase": "plain"},
    "a passphrase in place of the key": {"key": "word"},
    "a key in place of a PIN": {"pin": "plain"},
}


@pytest.mark.parametrize("what", FAULTS)
def test_no_error_quotes_what_it_found_wrong(tmp_path, what):
    """Neither its text, nor its arguments, nor its traceback, nor whatever led to it, with all local variables."""
    plain = ROOT.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    sealed = ROOT.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(WORD.encode()))
    good = {"issuers": write_certificates(made("a").issuers).encode(), "key": sealed, "passphrase": WORD.encode(),
            "pin": PIN.encode()}  # fmt: skip
    bad = {"wrong": b"wrong horse", "plain": plain, "cut": sealed[:200], "word": WORD.encode()}
    content = good | {name: bad[kind] for name, kind in FAULTS[what].items()}
    for name, data in content.items():
        (tmp_path / name).write_bytes(data)
        (tmp_path / name).chmod(0o600)
    token = new_token(tmp_path) if "pin" in FAULTS[what] else None
    if token is not None:
        token.pin.write_bytes(content["pin"])
    place = Place(**{name: tmp_path / name for name in ("issuers", "key", "passphrase")})
    kind, place = ("pkcs11", token.place("a", tmp_path / "issuers")) if token else ("key-file", place)
    with pytest.raises(PeermeshError) as error:
        SIGNERS[kind](place).check()
    assert error.tb.tb_next is not None  # without this function, which has all of them
    shown = traceback.TracebackException(error.type, error.value, error.tb.tb_next, capture_locals=True)
    for secret in (ROOT, Secret(WORD), Secret(PIN)):
        assert [] == find(secret, error.value, str(error.value), repr(error.value))
    assert [] == find(ROOT, "".join(shown.format()))


def test_a_ceremony_leaves_no_key_but_the_encrypted_one(tmp_path):
    key = ec.generate_private_key(ec.SECP384R1())
    made_now = init_root(
        Wish(mesh="acme", name="new", who="Ada <ada@acme.example>"), key, now=NOW, serial=iter(range(1, 9)).__next__
    )
    write_key_file(key, tmp_path / "key.pem", Secret(WORD))
    (tmp_path / "word").write_text(WORD)
    (tmp_path / "word").chmod(0o600)
    opened_again = read_key_file(tmp_path / "key.pem", tmp_path / "word")
    assert [] == find(key, tmp_path, repr(made_now), repr(opened_again), str(made_now.root))
    (tmp_path / "word").unlink()
    assert [] == find(Secret(WORD), tmp_path)
