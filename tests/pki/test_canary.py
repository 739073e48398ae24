"""The canary is found however it is spelled and wherever it is put; or a test that finds nothing would say nothing."""

from __future__ import annotations

import base64
import gzip
import json
import subprocess
import textwrap
from collections.abc import Callable

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

from syncer.protocol.revocation import AuthorityKey
from syncer.protocol.secret import Secret
from tests.pki.canary import find
from tests.servers.valkey import valkey

KEYS: dict[str, AuthorityKey] = {
    "P-256": ec.generate_private_key(ec.SECP256R1()),
    "P-384": ec.generate_private_key(ec.SECP384R1()),
    "RSA": rsa.generate_private_key(65537, 2048),
}


def raw(key: AuthorityKey) -> bytes:
    if isinstance(key, ec.EllipticCurvePrivateKey):
        number = key.private_numbers().private_value
    else:
        number = key.private_numbers().d
    return number.to_bytes((number.bit_length() + 7) // 8)


def pem(key: AuthorityKey, form=PrivateFormat.PKCS8) -> bytes:
    return key.private_bytes(Encoding.PEM, form, NoEncryption())


SPELLINGS: dict[str, Callable[[AuthorityKey], bytes]] = {
    "PEM": pem,
    "PEM of the older form": lambda key: pem(key, PrivateFormat.TraditionalOpenSSL),
    "DER": lambda key: key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption()),
    "PEM in JSON": lambda key: json.dumps({"key": pem(key).decode()}).encode(),
    "PEM in JSON in JSON": lambda key: json.dumps(json.dumps({"key": pem(key).decode()})).encode(),
    "PEM, indented": lambda key: textwrap.indent(pem(key).decode(), "    ").encode(),
    "base64 of PEM, as a Secret has it": lambda key: base64.b64encode(pem(key)),
    "hexadecimal": lambda key: raw(key).hex().encode(),
    "hexadecimal, as openssl prints it": lambda key: raw(key).hex(":").encode(),
    "an integer": lambda key: str(int.from_bytes(raw(key))).encode(),
    "JWK": lambda key: base64.urlsafe_b64encode(raw(key)).rstrip(b"="),
    "half of it": lambda key: raw(key)[: len(raw(key)) // 2],
    "gzip": lambda key: gzip.compress(pem(key)),
}


@pytest.mark.parametrize("spelling", SPELLINGS)
@pytest.mark.parametrize("kind", KEYS)
def test_it_is_found_however_it_is_spelled(kind, spelling):
    before = b"" if spelling == "gzip" else b"before "
    assert [] != find(KEYS[kind], before + SPELLINGS[spelling](KEYS[kind]))


@pytest.mark.parametrize("kind", KEYS)
def test_what_may_be_seen_of_it_is_no_leak(kind):
    key, other = KEYS[kind], ec.generate_private_key(ec.SECP384R1())
    public = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    sealed = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"a passphrase"))
    assert [] == find(key, public, sealed, pem(other), repr(key), b"")


def test_it_is_found_in_files_names_and_git_objects_that_nothing_leads_to(tmp_path):
    key = KEYS["P-256"]
    (tmp_path / "deep" / "er").mkdir(parents=True)
    (tmp_path / "deep" / "er" / "log").write_bytes(b"x" * 10_000 + pem(key))
    assert 1 <= len(find(key, tmp_path))
    repository = tmp_path / "repository"
    git = ["git", "-C", str(repository)]
    subprocess.run(["git", "init", "--quiet", "--bare", str(repository)], check=True)
    (tmp_path / "deep" / "er" / "log").unlink()
    assert [] == find(key, tmp_path)
    subprocess.run([*git, "hash-object", "-w", "--stdin"], input=pem(key), check=True, capture_output=True)
    assert any("objects of" in found for found in find(key, tmp_path))
    (tmp_path / raw(key).hex()).touch()
    assert any("the name" in found for found in find(key, tmp_path))


def test_it_is_found_in_an_exception_and_in_what_led_to_it():
    key = KEYS["P-256"]
    with pytest.raises(RuntimeError) as error:
        _fails(pem(key).decode())
    assert [] != find(key, error.value)
    assert [] == find(key, RuntimeError("it failed"))


def _fails(text: str) -> None:
    """With a context that isn't shown."""
    try:
        int(text)
    except ValueError:
        raise RuntimeError("it failed") from None


def test_it_is_found_in_every_kind_of_value_of_a_redis():
    key, text = KEYS["P-256"], pem(KEYS["P-256"])
    with valkey() as server, server.client() as client:
        assert [] == find(key, client)
        for put in (
            lambda: client.set("x", text),
            lambda: client.hset("x", "field", text),
            lambda: client.hset("x", text, "value"),
            lambda: client.lpush("x", gzip.compress(text)),
            lambda: client.sadd("x", text),
            lambda: client.zadd("x", {text: 1}),
            lambda: client.set(text, "x"),
        ):
            client.flushall()
            put()
            assert [] != find(key, client)


def test_a_passphrase_is_found_like_a_key():
    word = Secret("correct horse battery staple")
    assert [] != find(word, "… correct horse battery staple …")
    assert [] != find(word, base64.b64encode(b"xx correct horse battery staple"))
    assert [] == find(word, "***")
