"""With sealed-secrets the signer makes the key, and only the cluster's controller ever reads it.

That the controller's own code opens it is shown in `tests/e2e/test_sealed_secrets.py`; here the other half of the key
is at hand, and the format of v0.40.0 (`HybridDecrypt`) is read back.
"""

from __future__ import annotations

import base64

import msgspec
import pytest
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.padding import MGF1, OAEP
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from syncer.protocol.certificates import fingerprint, read_certificate, same_key
from syncer.protocol.revocation import crl_faults, read_crls
from syncer.protocol.secret import Secret
from tests.signer.site import NOW, Site, rsa_key, sealed_request, sealing, sealing_certificate, signer_of
from workers.deliveries.sealed_secrets import seal
from workers.documents import paths
from workers.documents.trust import ClusterTrust, Intermediates, MeshTrust
from workers.pki.approved import faults

CERTIFICATE = sealing_certificate()


def opened(sealed: bytes, label: str = "istio-system/cacerts", key=None) -> bytes:
    """As `HybridDecrypt` does it."""
    length = int.from_bytes(sealed[:2])
    padding = OAEP(mgf=MGF1(hashes.SHA256()), algorithm=hashes.SHA256(), label=label.encode())
    session = (key or rsa_key(2048)).decrypt(sealed[2 : 2 + length], padding)
    return AESGCM(session).decrypt(bytes(12), sealed[2 + length :], None)


def site_of(tmp_path, certificate=CERTIFICATE, **trust) -> Site:
    pinned = ClusterTrust(delivery="sealed-secrets", sealing=fingerprint(certificate))
    site = Site(tmp_path, trust=MeshTrust(root="a", **trust), clusters={"west": pinned, "east": ClusterTrust()})
    site.put(sealed_request(certificate), sealing(certificate))
    return site


@pytest.mark.parametrize("kind", ["P-256", "P-384"])
def test_the_sealed_key_is_the_one_that_was_certified(tmp_path, kind):
    site, signer = site_of(tmp_path, intermediates=Intermediates(key=kind)), signer_of("a")
    assert ("west",) == site.signing(signer).look(NOW).signed
    spec = site.signed().spec
    key = load_pem_private_key(opened(base64.b64decode(spec.sealed)), None)
    certificate = read_certificate(spec.certificate, subject="west")
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    assert same_key(key.public_key(), certificate.public_key())
    assert {"P-256": "secp256r1", "P-384": "secp384r1"}[kind] == key.curve.name
    assert () == faults(site.signed(), signer.issuers[0], trust_domain="west.acme.example", now=NOW)
    assert () == crl_faults(read_crls(spec.crl, subject="west"), [certificate], now=NOW)


def test_it_is_sealed_once_whatever_is_asked_again(tmp_path):
    """Random ciphertext never makes noise: it changes with the rotation or the sealing certificate, else never."""
    site, signer = site_of(tmp_path), signer_of("a")
    for _ in range(3):
        site.signing(signer).look(NOW)
    first = site.signed()
    site.put(first)
    site.inbox.wipe()
    site.signing(signer).look(NOW)
    assert ({}, 1) == (site.inbox.certificates(), signer.key.signatures)


def test_a_lost_journal_is_made_up_from_the_branch_with_what_was_sealed(tmp_path):
    site, signer = site_of(tmp_path), signer_of("a")
    site.signing(signer).look(NOW)
    first = site.signed()
    site.put(first, branch=paths.certificate_branch("west"))
    for file in (site.folder / "journal").iterdir():
        file.unlink()
    site.inbox.wipe()
    site.signing(signer).look(NOW)
    assert (first, 1) == (site.signed(), signer.key.signatures)


def test_a_certificate_of_an_earlier_rotation_is_not_taken_for_the_next_one(tmp_path):
    """Its key can't be compared with a request that names none."""
    site, signer = site_of(tmp_path), signer_of("a")
    site.signing(signer).look(NOW)
    site.put(first := site.signed())
    stale = msgspec.structs.replace(first, spec=msgspec.structs.replace(first.spec, rotation=2))
    site.put(sealed_request(CERTIFICATE, rotation=2))
    site.put(stale, branch=paths.certificate_branch("west"))
    site.signing(signer).look(NOW)
    assert (2, True) == (signer.key.signatures, site.signed() != stale)


def test_each_rotation_has_a_key_of_its_own(tmp_path):
    site, signer = site_of(tmp_path), signer_of("a")
    keys = set()
    for rotation in (1, 2):
        site.put(sealed_request(CERTIFICATE, rotation=rotation))
        site.signing(signer).look(NOW)
        keys.add(opened(base64.b64decode(site.signed().spec.sealed)))
        site.put(site.signed())
    assert 2 == len(keys)


def test_strict_scope_opens_in_no_other_secret_and_with_no_other_key():
    sealed = seal(Secret("the key"), CERTIFICATE, subject="west")
    assert b"the key" == opened(sealed)
    for label in ("istio-system/other", "other/cacerts", "istio-system", ""):
        with pytest.raises(ValueError, match="Decryption failed"):
            opened(sealed, label)
    with pytest.raises(ValueError, match="Decryption failed"):
        opened(sealed, key=rsa.generate_private_key(65537, 2048))
    with pytest.raises(InvalidTag):
        opened(sealed[:-1] + bytes([sealed[-1] ^ 1]))


def test_the_same_text_is_never_sealed_alike():
    assert seal(Secret("x"), CERTIFICATE, subject="west") != seal(Secret("x"), CERTIFICATE, subject="west")
