"""Ed25519 over the bytes as sent, bound to purpose, mesh and cluster.

Knows keys as text (`ed25519:<base64>`) and what is signed. A key that prints never shows its private half.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterable
from typing import Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from syncer.protocol.errors import Rejected

OBSERVATION: Final = "peermesh/observation/1"
"""The purpose that prefixes what a syncer signs: nothing signed for another purpose passes as an observation."""
_SCHEME: Final = "ed25519:"


def parse_public_key(text: str) -> Ed25519PublicKey:
    """A public key from `ed25519:<base64 of 32 bytes>`.

    Raises:
        ValueError: another scheme, not base64, not 32 bytes.
    """
    if not text.startswith(_SCHEME):
        raise ValueError(f"a public key starts with {_SCHEME!r}")
    try:
        raw = base64.b64decode(text.removeprefix(_SCHEME), validate=True)
    except binascii.Error as error:
        raise ValueError(f"a public key is {_SCHEME}<base64>: {error}") from error
    if len(raw) != 32:
        raise ValueError(f"an Ed25519 public key has 32 bytes, this one has {len(raw)}")
    return Ed25519PublicKey.from_public_bytes(raw)


class SigningKey:
    """A syncer's private key; prints as `***`, can't be pickled."""

    def __init__(self, key: Ed25519PrivateKey) -> None:
        self._key = key

    @classmethod
    def generate(cls) -> SigningKey:
        return cls(Ed25519PrivateKey.generate())

    @classmethod
    def from_seed(cls, seed: bytes) -> SigningKey:
        """From the 32 bytes that `seed` returned. Raises ValueError for another length."""
        return cls(Ed25519PrivateKey.from_private_bytes(seed))

    def seed(self) -> bytes:
        """The 32 secret bytes, for the one place that keeps them."""
        return self._key.private_bytes_raw()

    @property
    def public(self) -> str:
        return _SCHEME + base64.b64encode(self._key.public_key().public_bytes_raw()).decode()

    def sign(self, purpose: str, mesh: str, cluster: str, body: bytes) -> bytes:
        """64 bytes over purpose, mesh, cluster and body."""
        return self._key.sign(_signed(purpose, mesh, cluster, body))

    def __repr__(self) -> str:
        return "SigningKey(***)"

    def __reduce__(self) -> str:
        raise TypeError("a signing key isn't serialised")


def verify(keys: Iterable[str], purpose: str, mesh: str, cluster: str, body: bytes, signature: bytes) -> None:
    """Return if one of `keys` (text form) signed; at most two stand in a Cluster document.

    Raises:
        Rejected: `NoKey` without keys, `BadSignature` if none of them signed.
    """
    known = tuple(keys)
    if not known:
        raise Rejected(
            "NoKey",
            "no public key of its syncer is known",
            subject=cluster,
            remedy=f"`peermesh cluster trust {cluster} KEY --repo …` adds the key that the syncer logs at its start.",
        )
    signed = _signed(purpose, mesh, cluster, body)
    for text in known:
        try:
            parse_public_key(text).verify(signature, signed)
        except (InvalidSignature, ValueError):
            continue
        return
    raise Rejected(
        "BadSignature",
        f"no key of this cluster in mesh/clusters/{cluster}.yaml signed this",
        subject=cluster,
        remedy="If the syncer made a new key, `peermesh cluster trust` adds the one that it logs at its start.",
    )


def _signed(purpose: str, mesh: str, cluster: str, body: bytes) -> bytes:
    """NUL can't occur in the names, so no two different inputs give the same bytes."""
    return b"\0".join((purpose.encode(), mesh.encode(), cluster.encode(), body))
