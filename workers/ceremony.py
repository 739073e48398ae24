"""The ceremony of a root: its certificate, what it signs at once, and a record of it that its key signed.

Knows what is made and in which order. Pure but for the keys that sign: time and serial numbers are arguments, and where
keys lie is the caller's. What comes of it is documents that people approve like any other.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

import msgspec
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.types import CertificatePublicKeyTypes

from syncer.protocol.certificates import (
    Certificate,
    fingerprint,
    key_fingerprint,
    read_certificate,
    read_certificates,
    same_key,
    write_certificates,
)
from syncer.protocol.errors import Rejected
from syncer.protocol.printable import printable
from syncer.protocol.revocation import AuthorityKey, read_crls, signature_hash, write_crls
from workers.documents.strict import Name
from workers.documents.trust import Record, Root, RootSpec
from workers.pki.crl import Revoked, crl_bundle, make_crl
from workers.pki.issue import cross_sign, issue_online, issue_root

ROOT_LIFETIME: Final = timedelta(days=3653)
"""Ten years."""
ONLINE_LIFETIME: Final = timedelta(days=1096)
"""Three years of an online intermediate, whose key is nearer to harm."""
_PURPOSE: Final = b"peermesh/root-ceremony/1\0"
_LONGEST: Final = 200


@dataclass(frozen=True, kw_only=True)
class Holder:
    """A root that stands in `pki/`, and its key, at hand for the ceremony."""

    root: Root
    key: AuthorityKey


@dataclass(frozen=True, kw_only=True)
class Wish:
    """What people want to make. `who`: the author as git has them; `online`: the key of an intermediate that will sign
    for clusters while the root is offline.
    """

    mesh: str
    name: str
    who: str
    lifetime: timedelta = ROOT_LIFETIME
    online: AuthorityKey | None = None
    online_lifetime: timedelta = ONLINE_LIFETIME


@dataclass(frozen=True, kw_only=True)
class Made:
    """What a ceremony made: the new root, the roots that got its cross certificate, and what signs for clusters."""

    root: Root
    others: tuple[Root, ...]
    issuers: tuple[Certificate, ...]
    """The content of the signer's PEERMESH_SIGNER_ISSUERS_FILE, in its order."""


def init_root(
    wish: Wish,
    key: AuthorityKey,
    *,
    now: datetime,
    serial: Callable[[], int],
    known: Iterable[Root] = (),
    present: Iterable[Holder] = (),
) -> Made:
    """Make a root. `known`: those on main; `present`: those of them whose keys are at hand, which are cross-certified
    both ways, so that a rollover has a safety net there and back.

    Raises:
        Rejected: `KnownRoot`: the name, the subject or the key is another root's; else as `workers.pki.issue`.
    """
    root = issue_root(mesh=wish.mesh, name=wish.name, key=key, lifetime=wish.lifetime, now=now, serial=serial())
    _distinct(wish.name, root, known)
    issuers, crls = (root,), [_first_list(root, key, now)]
    if wish.online is not None:
        online = _online(wish, wish.online, root, key, now=now, serial=serial())
        issuers, crls = (online,), [*crls, _first_list(online, wish.online, now)]
    crossed, others = {}, []
    for holder in present:
        theirs = _certificate(holder.root)
        crossed[holder.root.metadata.name] = write_certificates(
            [cross_sign(root, theirs, holder.key, now=now, serial=serial(), below=1 + (wish.online is not None))]
        )
        back = cross_sign(theirs, root, key, now=now, serial=serial(), below=1 + bool(holder.root.spec.issuers))
        spec = holder.root.spec
        signed = {**spec.cross_signed, wish.name: write_certificates([back])}
        others.append(msgspec.structs.replace(holder.root, spec=msgspec.structs.replace(spec, cross_signed=signed)))
    text = _text(wish, root, issuers, crossed, now)
    made = Root(
        metadata=Name(name=wish.name),
        spec=RootSpec(
            certificate=write_certificates([root]),
            cross_signed=dict(sorted(crossed.items())),
            issuers=write_certificates(issuers) if wish.online is not None else "",
            crl=crl_bundle(crls),
            record=Record(text=text, signature=_signed(text, key)),
        ),
    )
    return Made(root=made, others=tuple(others), issuers=issuers)


def revoke(root: Root, key: AuthorityKey, revoked: Iterable[Revoked], *, now: datetime) -> Root:
    """The root with a list that takes these back, in place of the former one of the same CA: the root itself, or the
    online intermediate that the key belongs to. The lists of the others stay.

    Raises:
        Rejected: as `workers.pki.crl.make_crl`.
    """
    subject = f"root {root.metadata.name}"
    online = read_certificates(root.spec.issuers, subject=subject) if root.spec.issuers else ()
    authorities = (_certificate(root), *online)
    certificate = next((one for one in authorities if same_key(one.public_key(), key.public_key())), authorities[0])
    own = make_crl(
        certificate,
        key,
        revoked,
        now=now,
        next_update=certificate.not_valid_after_utc,
        number=int(now.timestamp()),
    )
    former = read_crls(root.spec.crl, subject=subject)
    others = write_crls(crl for crl in former if crl.issuer != certificate.subject)
    return msgspec.structs.replace(root, spec=msgspec.structs.replace(root.spec, crl=crl_bundle((own, others))))


def record_fault(root: Root) -> str:
    """Why the record of a root isn't its own; empty: it is, or there is none."""
    record, certificate = root.spec.record, _certificate(root)
    if record is None:
        return ""
    if not _holds(record, certificate.public_key()):
        return "its key didn't sign its record"
    return "" if f"certificate: {fingerprint(certificate)}\n" in record.text else "its record is of another certificate"


def key_type(key: CertificatePublicKeyTypes) -> str:
    """What people call it."""
    if isinstance(key, ec.EllipticCurvePublicKey):
        return {"secp256r1": "P-256", "secp384r1": "P-384", "secp521r1": "P-521"}.get(key.curve.name, key.curve.name)
    return f"RSA {key.key_size}" if isinstance(key, rsa.RSAPublicKey) else type(key).__name__


def _distinct(name: str, root: Certificate, known: Iterable[Root]) -> None:
    for other in known:
        theirs = _certificate(other)
        same = "name" if other.metadata.name == name else ""
        same = same or ("subject" if theirs.subject == root.subject else "")
        same = same or ("key" if same_key(theirs.public_key(), root.public_key()) else "")
        if same:
            what = f"the root {other.metadata.name} has this {same} already"
            remedy = "A new root is a new name with a new key: nobody could tell the two apart."
            raise Rejected("KnownRoot", what, subject=f"root {name}", remedy=remedy)


def _online(
    wish: Wish, key: AuthorityKey, root: Certificate, above: AuthorityKey, *, now: datetime, serial: int
) -> Certificate:
    return issue_online(
        mesh=wish.mesh,
        name=f"{wish.name}-online-1",
        public_key=key.public_key(),
        issuer=root,
        key=above,
        lifetime=wish.online_lifetime,
        now=now,
        serial=serial,
    )


def _first_list(authority: Certificate, key: AuthorityKey, now: datetime) -> str:
    """Empty, and for as long as the CA lives: Envoy wants one of each, and what is revoked comes through Git."""
    return make_crl(authority, key, now=now, next_update=authority.not_valid_after_utc, number=1)


def _text(
    wish: Wish, root: Certificate, issuers: tuple[Certificate, ...], crossed: Iterable[str], now: datetime
) -> str:
    lines = [
        f"root {wish.name} of mesh {wish.mesh}",
        f"made at: {now:%Y-%m-%dT%H:%M:%SZ}",
        f"by: {printable(wish.who, '?')[:_LONGEST]}",
        f"key: {key_type(root.public_key())} {key_fingerprint(root.public_key())}",
        f"certificate: {fingerprint(root)}",
        f"ends: {root.not_valid_after_utc:%Y-%m-%dT%H:%M:%SZ}",
        *(f"online issuer: {fingerprint(issuer)}" for issuer in issuers if issuer != root),
        *(f"cross-certified with: {name}" for name in sorted(crossed)),
    ]
    return "".join(f"{line}\n" for line in lines)


def _signed(text: str, key: AuthorityKey) -> str:
    data, algorithm = _PURPOSE + text.encode(), signature_hash(key.public_key())
    if isinstance(key, ec.EllipticCurvePrivateKey):
        return base64.b64encode(key.sign(data, ec.ECDSA(algorithm))).decode()
    return base64.b64encode(key.sign(data, padding.PKCS1v15(), algorithm)).decode()


def _holds(record: Record, key: CertificatePublicKeyTypes) -> bool:
    data, algorithm = _PURPOSE + record.text.encode(), signature_hash(key)
    try:
        signature = base64.b64decode(record.signature, validate=True)
        if isinstance(key, ec.EllipticCurvePublicKey):
            key.verify(signature, data, ec.ECDSA(algorithm))
        elif isinstance(key, rsa.RSAPublicKey):
            key.verify(signature, data, padding.PKCS1v15(), algorithm)
        else:
            return False
    except (InvalidSignature, binascii.Error, ValueError):
        return False
    return True


def _certificate(root: Root) -> Certificate:
    return read_certificate(root.spec.certificate, subject=f"root {root.metadata.name}")
