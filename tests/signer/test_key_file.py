"""A key in a file: what isn't as it should be is named, and never quoted."""

from __future__ import annotations

import os
import stat

import pytest
from cryptography.hazmat.primitives.asymmetric import ed25519
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from syncer.protocol.errors import Rejected
from syncer.protocol.secret import Secret
from tests.signer.site import key_of
from tests.signer.test_contract import in_a_file, why
from workers.signers.key_file import write_key_file

WORD = b"correct horse battery staple"


@pytest.fixture
def good(tmp_path):
    return in_a_file(tmp_path, "P-256")


def put(file, data: bytes, mode: int = 0o600):
    file.unlink(missing_ok=True)
    file.write_bytes(data)
    file.chmod(mode)
    return file


def pem(key=None, form=PrivateFormat.PKCS8, encryption=None) -> bytes:
    return (key or key_of("x")).private_bytes(Encoding.PEM, form, encryption or BestAvailableEncryption(WORD))


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (pem(encryption=NoEncryption()), "NotEncrypted"),
        (pem(form=PrivateFormat.TraditionalOpenSSL, encryption=NoEncryption()), "NotEncrypted"),
        (pem(form=PrivateFormat.TraditionalOpenSSL), "NotEncrypted"),
        (b"", "NoSecret"),
        (b"hello", "NotAKey"),
        (b"\xff\xfe", "NoSecret"),
        (b"x" * (1 << 20), "NoSecret"),
        (b"-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n", "NotAKey"),
        (pem(ed25519.Ed25519PrivateKey.generate()), "UnsuitableKey"),
        (pem(), "OtherKey"),
        (pem(encryption=BestAvailableEncryption(b"another")), "WrongPassphrase"),
    ],
)
def test_a_file_that_is_no_encrypted_key_of_its_certificate_is_named(good, tmp_path, data, expected):
    assert expected == why("key-file", good, key=put(tmp_path / "other.pem", data))


@pytest.mark.parametrize("which", ["key", "passphrase"])
@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o602, 0o666])
def test_a_file_that_others_may_use_is_refused(good, which, mode):
    file = getattr(good, which)
    file.chmod(mode)
    assert "OpenToOthers" == why("key-file", good)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
def test_a_mounted_file_of_somebody_else_may_be_read_by_our_group(good):
    """As kubelets mount a Secret for a pod with fsGroup; its group can't change it, and nobody else reads it."""
    from workers.signers import SIGNERS

    for file in (good.key, good.passphrase):
        os.chown(file, 12345, 0)
        file.chmod(0o440)
    SIGNERS["key-file"](good).check()
    good.key.chmod(0o444)
    assert "OpenToOthers" == why("key-file", good)


@pytest.mark.parametrize("which", ["key", "passphrase"])
@pytest.mark.parametrize("named", [False, True])
def test_a_file_that_is_not_there_is_named(good, tmp_path, which, named):
    assert "NoSecret" == why("key-file", good, **{which: tmp_path / "nowhere" if named else None})


def test_a_wrong_or_empty_passphrase_is_named(good, tmp_path):
    assert "WrongPassphrase" == why("key-file", good, passphrase=put(tmp_path / "word", b"wrong horse\n"))
    assert "NoSecret" == why("key-file", good, passphrase=put(tmp_path / "word", b"\n"))


def test_a_key_is_written_for_its_owner_alone_and_opens_with_its_passphrase(tmp_path):
    file = tmp_path / "key.pem"
    write_key_file(key_of("x"), file, Secret(WORD.decode()))
    assert 0o600 == stat.S_IMODE(file.stat().st_mode)
    assert file.read_bytes().startswith(b"-----BEGIN ENCRYPTED PRIVATE KEY-----")
    loaded = load_pem_private_key(file.read_bytes(), WORD)
    assert key_of("x").public_key() == loaded.public_key()


@pytest.mark.parametrize(
    ("place", "word", "expected"),
    [
        ("there", "long enough for it", "Exists"),
        ("nowhere/key.pem", "long enough for it", "NoFolder"),
        ("tree/key.pem", "long enough for it", "InRepository"),
        ("tree/sub/key.pem", "long enough for it", "InRepository"),
        ("link/key.pem", "long enough for it", "InRepository"),
        ("new.pem", "short", "WeakPassphrase"),
    ],
)
def test_a_key_is_not_written_where_it_does_not_belong(tmp_path, place, word, expected):
    (tmp_path / "there").write_text("x")
    (tmp_path / "tree" / "sub").mkdir(parents=True)
    (tmp_path / "tree" / ".git").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "tree" / "sub")
    with pytest.raises(Rejected) as error:
        write_key_file(key_of("x"), tmp_path / place, Secret(word))
    assert expected == error.value.reason
    assert [] == [file for file in tmp_path.rglob("*.pem") if file.is_file()]
