"""Delivery `sealed-secrets`: the key is made here, sealed for the controller of its cluster, and forgotten.

Knows the format of Bitnami Sealed Secrets (v0.40.0, `pkg/crypto/crypto.go: HybridEncrypt`) with strict scope: what is
sealed can be opened in the one Secret that it was made for. People pin whom it is sealed for by a fingerprint.
"""

from __future__ import annotations

import base64
import os
from datetime import datetime
from typing import Final

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.padding import MGF1, OAEP
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from syncer.protocol.certificates import Certificate, fingerprint, read_sealing_certificate
from syncer.protocol.errors import Rejected
from syncer.protocol.request import empty_crl
from syncer.protocol.secret import Secret
from workers.pki.approved import Approved, Brought

SCOPE: Final = "istio-system/cacerts"
"""Namespace and name of the Secret: the label of strict scope (`v1alpha1.EncryptionLabel`)."""
SHORTEST: Final = 2048
"""Bits of an RSA key that is sealed for; the controller's own has 4096."""
LARGEST: Final = 16 << 10
"""Bytes that are sealed; a key has about 300."""
_CURVES: Final = {"P-256": ec.SECP256R1, "P-384": ec.SECP384R1}


def bring(asked: Approved, now: datetime, /) -> Brought:
    """A new key, its CRL, and its private half sealed for the cluster.

    Raises:
        Rejected: `OwnKey`: it brings a CSR; else whom it shall be sealed for isn't to be trusted: see `recipient`.
    """
    subject = f"the request of {asked.cluster}"
    if asked.request.csr or asked.request.crl:
        what = "it brings a key of its own, and the signer makes those of this cluster"
        raise Rejected(
            "OwnKey", what, subject=subject, remedy="Close it: nobody sends this for delivery sealed-secrets."
        )
    certificate = recipient(asked, now)
    key = ec.generate_private_key(_CURVES[asked.key_type]())
    pem = Secret(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode())
    said = asked.template
    crl = empty_crl(
        key, mesh=said.mesh, cluster=said.cluster, rotation=said.rotation, now=now, next_update=now + said.lifetime
    )
    sealed = base64.b64encode(seal(pem, certificate, subject=subject)).decode()
    return Brought(key=key.public_key(), crl=crl, sealed=sealed)


def recipient(asked: Approved, now: datetime) -> Certificate:
    """The sealing certificate of the cluster, as people pinned it and as the request names it.

    Raises:
        Rejected: `NoSealingCertificate`, `NotCertificates`, `OtherSealingCertificate`, `SealingExpired`,
            `SealingNotYetValid`.
    """
    subject = f"pki/sealing/{asked.cluster}.yaml"
    if not asked.sealing or asked.trust.sealing is None:
        what = "there is none on main, or mesh/ doesn't pin it"
        remedy = f"Say its fingerprint in spec.trust.sealing of mesh/clusters/{asked.cluster}.yaml."
        raise Rejected("NoSealingCertificate", what, subject=subject, remedy=remedy)
    certificate = read_sealing_certificate(asked.sealing, subject=subject)
    found = fingerprint(certificate)
    if not found == asked.trust.sealing == asked.request.key_fingerprint:
        what = f"its fingerprint is {found}; pinned is {asked.trust.sealing}, requested {asked.request.key_fingerprint}"
        remedy = "Ask the cluster's people which one is theirs, and pin that one."
        raise Rejected("OtherSealingCertificate", what, subject=subject, remedy=remedy)
    if certificate.not_valid_after_utc <= now:
        what = f"it ended at {certificate.not_valid_after_utc:%Y-%m-%dT%H:%M:%SZ}"
        raise Rejected("SealingExpired", what, subject=subject, remedy="Pin the controller's newest one.")
    if certificate.not_valid_before_utc > now:
        what = f"it begins at {certificate.not_valid_before_utc:%Y-%m-%dT%H:%M:%SZ}"
        raise Rejected("SealingNotYetValid", what, subject=subject, remedy="Set the clocks right.")
    return certificate


def seal(secret: Secret, certificate: Certificate, *, subject: str) -> bytes:
    """Seal a text for the key of a certificate: only its owner opens it, and only into the Secret of `SCOPE`.

    Raises:
        Rejected: `NotRSA`, `WeakSealingKey`: the key; `TooLarge`: the text.
    """
    key = certificate.public_key()
    if not isinstance(key, rsa.RSAPublicKey):
        what = "its key isn't an RSA key, and Sealed Secrets knows no others"
        raise Rejected("NotRSA", what, subject=subject, remedy="Pin the controller's own certificate.")
    if key.key_size < SHORTEST:
        what = f"its RSA key has {key.key_size} bits; at least {SHORTEST} are sealed for"
        raise Rejected("WeakSealingKey", what, subject=subject, remedy="Start the controller with --key-size 4096.")
    data = secret.reveal().encode()
    if len(data) > LARGEST:
        raise Rejected("TooLarge", f"{len(data)} bytes should be sealed; at most {LARGEST} are", subject=subject)
    session = os.urandom(32)
    wrapped = key.encrypt(session, OAEP(mgf=MGF1(hashes.SHA256()), algorithm=hashes.SHA256(), label=SCOPE.encode()))
    # A session key seals once, so its nonce may be zero.
    return len(wrapped).to_bytes(2) + wrapped + AESGCM(session).encrypt(bytes(12), data, None)
