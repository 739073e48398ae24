"""Random `cacerts`: chains of CAs in which anything may be wrong, several things at once.

Each is told by its seed. They hold one property: what an engine refuses, our own check refuses.
"""

from __future__ import annotations

import base64
from dataclasses import replace
from datetime import datetime, timedelta
from random import Random
from typing import Any, Final

from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID

from syncer.protocol.certificates import write_certificates
from tests.pki.authority import DAY, Authority, private_key
from tests.pki.case import TRUST_DOMAIN, Case, case
from tests.pki.drafts import Draft, signed, uri

_BOTH: Final = (ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH)
_UNKNOWN: Final = x509.UnrecognizedExtension(x509.ObjectIdentifier("1.3.6.1.4.1.99999.2"), b"\x05\x00")
_WRONG: Final[dict[str, tuple[Any, ...]]] = {
    "ca": (False,),
    "below": (None, 0, 1, 2),
    "sign": (False,),
    "lists": (False,),
    "usage": (False,),
    "usage_critical": (False,),
    "basic_critical": (False,),
    "constraint_critical": (False,),
    "own_identifier": (False,),
    "issuer_identifier": (False,),
    "extended": (_BOTH, _BOTH[:1], _BOTH[1:], (ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE,)),
    "permitted": (
        (),
        uri(TRUST_DOMAIN),
        uri(TRUST_DOMAIN.upper()),
        uri(f".{TRUST_DOMAIN}"),
        uri("acme.example"),
        uri(".acme.example"),
        uri("east.acme.example"),
        uri("east.acme.example", TRUST_DOMAIN),
        uri("192.0.2.1", TRUST_DOMAIN),
        uri(f"spiffe://{TRUST_DOMAIN}"),
        (*uri(TRUST_DOMAIN), x509.DNSName("svc")),
    ),
    "excluded": (uri("east.acme.example"), uri(TRUST_DOMAIN), uri(".acme.example"), (x509.DNSName("svc"),)),
    "begin": (-9 * DAY, DAY),
    "end": (-DAY / 1440, 5000 * DAY),
    "authority": (x509.AuthorityKeyIdentifier(bytes(20), None, None),),
    "extra": (((_UNKNOWN, False),), ((_UNKNOWN, True),)),
    "name": ("a", ""),
}
"""Fields of a draft, and what else they may be."""


def random_case(seed: int, now: datetime) -> Case:
    """The same for the same seed, but for serial numbers and signatures."""
    rnd = Random(seed)
    root, other = (_root(rnd, name, now) for name in ("a", "b"))
    signer = _below(rnd, root, now)
    chain = [signer.certificate, *signer.above]
    if _seldom(rnd):
        rnd.shuffle(chain)
    if _seldom(rnd):
        chain.pop(rnd.randrange(len(chain)))
    if _seldom(rnd):
        chain.append(other.certificate)
    bundle = rnd.choice([[root], [root], [root, other], [other, root], [root, other, _below(rnd, other, now)], [other]])
    cacerts = replace(signer.cacerts(*bundle, crl=_lists(rnd, [root, signer, other], now)),
                      chain=write_certificates(dict.fromkeys(chain)))  # fmt: skip
    return case(f"seed {seed}", signer, cacerts=cacerts, now=now)


def with_odd_root(seed: int, now: datetime) -> Case:
    """A good signer, and beside its root another with some bytes changed before it was signed."""
    rnd = Random(seed)
    root = Draft(name="a", key=private_key("odd a"), below=None, end=3650 * DAY).issue(now)
    signer = Draft(name="west-1", key=private_key("odd west"), permitted=uri(TRUST_DOMAIN)).issue(now, root)
    names = x509.SubjectAlternativeName(uri("spiffe://b.example/ns/a/sa/b"))
    policies = x509.CertificatePolicies([x509.PolicyInformation(x509.ObjectIdentifier("1.2.3.4"), None)])
    draft = Draft(
        name="b",
        key=private_key("odd b"),
        permitted=uri(TRUST_DOMAIN),
        extra=((names, False), (policies, False)),
    )
    body = bytearray(draft.issue(now).certificate.tbs_certificate_bytes)
    for at in rnd.choices(range(len(body)), k=rnd.choice([1, 1, 2])):
        body[at] = rnd.choice([rnd.randrange(256), body[at] ^ 1 << rnd.randrange(8), (body[at] + 1) % 256])
    text = base64.encodebytes(signed(bytes(body), draft.key)).decode().replace("\n", "")
    lines = "".join(f"{text[at : at + 64]}\n" for at in range(0, len(text), 64))
    odd = f"-----BEGIN CERTIFICATE-----\n{lines}-----END CERTIFICATE-----\n"
    cacerts = replace(signer.cacerts(root), roots=root.pem + odd)
    return case(f"odd {seed}", signer, cacerts=cacerts, now=now)


def _root(rnd: Random, name: str, now: datetime) -> Authority:
    key = private_key(f"random {name}", rnd.choice(["P-256", "P-384", "RSA-2048"]))
    return _draft(rnd, name=name, key=key, below=None, end=3650 * DAY).issue(now)


def _below(rnd: Random, root: Authority, now: datetime) -> Authority:
    """An intermediate, sometimes with a CA between; seldom signed by a key that isn't its issuer's."""
    issuer = root
    if rnd.random() < 0.4:
        drawn = _draft(rnd, name="online", key=private_key("random online"), below=1, end=365 * DAY)
        issuer = drawn.issue(now, root)
    signer = private_key("random thief") if _seldom(rnd) else None
    key = private_key("random west", rnd.choice(["P-256", "P-384"]))
    return _draft(rnd, name="west-1", key=key, permitted=uri(TRUST_DOMAIN)).issue(now, issuer, signer)


def _draft(rnd: Random, **right: Any) -> Draft:
    wrong = {field: rnd.choice(values) for field, values in _WRONG.items() if rnd.random() < 0.015}
    drafted = Draft(**right | wrong)
    return drafted if drafted.begin < drafted.end else replace(drafted, begin=drafted.end - DAY)


def _lists(rnd: Random, authorities: list[Authority], now: datetime) -> str:
    """Mostly none; else those of these CAs, some of which are missing or old."""
    if rnd.random() < 0.7:
        return ""
    lasts = 9 * DAY if _seldom(rnd) else 10 * DAY + timedelta(hours=1)
    return "".join(
        authority.crl(now=now - 10 * DAY, lasts=rnd.choice([lasts, 20 * DAY]))
        for authority in authorities
        if not _seldom(rnd)
    )


def _seldom(rnd: Random) -> bool:
    return rnd.random() < 0.05
