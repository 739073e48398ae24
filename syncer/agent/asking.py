"""Keys, and requests for their certificates.

Knows what is made of chance: keys, and signatures. Keeps and sends nothing.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from syncer.agent.content import authority_key
from syncer.agent.kept import Pending
from syncer.protocol.message import arguments
from syncer.protocol.request import SIGN_REQUEST_PURPOSE, SignRequest, empty_crl, make_csr, pack, prove, read_csr
from syncer.protocol.secret import Secret
from syncer.protocol.signature import SigningKey

_CURVES: Final = {"P-256": ec.SECP256R1(), "P-384": ec.SECP384R1()}
_CRL_LASTS: Final = timedelta(days=3650)
"""Longer than any intermediate lives: nobody could make the next list in time, and none will ever name anything."""


def new_pending(*, mesh: str, cluster: str, rotation: int, key_type: str, now: datetime) -> Pending:
    """A new key of this type (`P-256`, `P-384`), with its CSR and the first CRL of its intermediate."""
    key = ec.generate_private_key(_CURVES[key_type])
    crl = empty_crl(key, mesh=mesh, cluster=cluster, rotation=rotation, now=now, next_update=now + _CRL_LASTS)
    return Pending(
        rotation=rotation,
        key=Secret(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()),
        csr=make_csr(key, mesh=mesh, cluster=cluster, rotation=rotation),
        crl=crl,
    )


def request_of(
    pending: Pending, *, mesh: str, cluster: str, sequence: int, reason: str, now: datetime, current: bytes
) -> SignRequest:
    """The request for its certificate. `current`: the private key of `cacerts`, which proves who asks; empty: none."""
    der = read_csr(pending.csr, subject=cluster).public_bytes(Encoding.DER)
    key = authority_key(current)
    return SignRequest(
        mesh=mesh,
        cluster=cluster,
        sequence=sequence,
        requested_at=now,
        rotation=pending.rotation,
        reason=reason,
        csr=pending.csr,
        crl=pending.crl,
        proof=prove(der, key) if key else "",
    )


def signed_request(request: SignRequest, key: SigningKey) -> tuple[str, str, str]:
    """The arguments of the task: cluster, request, signature."""
    packed = pack(request)
    signature = key.sign(SIGN_REQUEST_PURPOSE, request.mesh, request.cluster, packed)
    return arguments(request.cluster, packed, signature)
