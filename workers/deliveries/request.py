"""Delivery `request`: an agent made the key in its cluster, and asks for a certificate of its public half.

Knows what an honest request of an agent is. Whatever it says beyond its key goes nowhere.
"""

from __future__ import annotations

from datetime import datetime

from syncer.protocol.certificates import key_fingerprint
from syncer.protocol.errors import Rejected
from syncer.protocol.request import SignRequest, read_csr, request_faults
from workers.pki.approved import Approved, Brought


def bring(asked: Approved, now: datetime, /) -> Brought:
    """The public key of the CSR on main.

    Raises:
        Rejected: the rule of `syncer.protocol.request` that it breaks; `OtherKey`: it isn't the key that people saw.
    """
    said, subject = asked.request, f"the request of {asked.cluster}"
    sent = SignRequest(
        mesh=asked.template.mesh,
        cluster=asked.cluster,
        sequence=0,
        requested_at=now,
        rotation=said.rotation,
        reason=said.reason,
        csr=said.csr,
        crl=said.crl,
    )
    for fault in request_faults(sent, cluster=asked.cluster, mesh=asked.template.mesh, key_type=asked.key_type):
        raise Rejected(fault.rule, fault.what, subject=fault.certificate, remedy=fault.remedy)
    key = read_csr(said.csr, subject=subject).public_key()
    if key_fingerprint(key) != said.key_fingerprint:
        what = "its CSR is for another key than its keyFingerprint says"
        raise Rejected("OtherKey", what, subject=subject, remedy="Close it: somebody changed it.")
    return Brought(key=key, crl=said.crl)
