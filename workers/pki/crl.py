"""What CAs take back: revocation lists, signed by the CA that issued.

Knows who may sign which list; their content and rules are `syncer.protocol.revocation`'s, which agents share.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from syncer.protocol.certificates import Certificate, name_text, same_key
from syncer.protocol.errors import Rejected
from syncer.protocol.revocation import AuthorityKey, Revoked, crl_faults, read_crls, write_crls
from syncer.protocol.revocation import make_crl as make_list

__all__ = ["Revoked", "crl_bundle", "crl_faults", "make_crl", "read_crls"]


def make_crl(
    issuer: Certificate,
    key: AuthorityKey,
    revoked: Iterable[Revoked] = (),
    *,
    now: datetime,
    next_update: datetime,
    number: int,
) -> str:
    """A list in PEM of what this CA takes back, signed by it.

    Raises:
        Rejected: `WrongKey`: the key is another's; `BadRevocation`, as `syncer.protocol.revocation.make_crl`.
    """
    if not same_key(issuer.public_key(), key.public_key()):
        raise Rejected("WrongKey", "the key that should sign a revocation list isn't that of the CA's certificate",
                       subject=name_text(issuer.subject),
                       remedy="Give the signer the certificate that belongs to its key.")  # fmt: skip
    return make_list(key, issuer=issuer.subject, revoked=revoked, now=now, next_update=next_update, number=number)


def crl_bundle(texts: Iterable[str]) -> str:
    """A `ca-crl.pem` of these lists, in one order whatever theirs is; empty texts are passed over.

    Raises:
        Rejected: `NotRevocationLists`: one of them isn't canonical PEM with lists alone.
    """
    return write_crls(crl for text in texts for crl in read_crls(text, subject="a revocation list"))
