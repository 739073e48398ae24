"""The content of Secret `cacerts`, in either of the two forms that istiod reads.

Pure. Knows names of entries and how a change keeps everything else. It holds a private key, so it prints as `***`.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Final

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from cryptography.x509.oid import NameOID

from syncer.protocol.cacerts import CHAIN, CRL, ROOTS, SIGNER, Cacerts
from syncer.protocol.certificates import Certificate, fingerprint, key_fingerprint, read_foreign_certificates
from syncer.protocol.errors import Rejected
from syncer.protocol.request import subject_of
from syncer.protocol.revocation import AuthorityKey

KEY: Final = "ca-key.pem"
_TLS: Final = {CHAIN: "tls.crt", KEY: "tls.key", ROOTS: "ca.crt"}
"""The entries of the other form; istiod takes it wherever there is a `tls.crt`, and reads no CRL then."""


class Content:
    """The entries of the Secret; prints as `***` and can't be pickled."""

    def __init__(self, data: Mapping[str, bytes]) -> None:
        self._data = dict(data)

    @property
    def data(self) -> Mapping[str, bytes]:
        """Every entry, for the one place that writes them."""
        return self._data

    @property
    def tls(self) -> bool:
        """Whether it is the form of `kubernetes.io/tls`."""
        return _TLS[CHAIN] in self._data

    @property
    def digest(self) -> str:
        """Of all entries; says nothing of a key."""
        return hashlib.sha256(encoded(self)).hexdigest()

    def text(self, name: str) -> str:
        """A public entry by its name in the usual form; empty: there is none, or it isn't text."""
        key = (_TLS.get(name) or (_TLS[CHAIN] if name == SIGNER else "")) if self.tls else name
        try:
            return self._data.get(key, b"").decode()
        except UnicodeDecodeError:
            return ""

    @property
    def cacerts(self) -> Cacerts:
        """What istiod makes of it."""
        signer, chain, roots, crl = map(self.text, (SIGNER, CHAIN, ROOTS, CRL))
        return Cacerts(certificate=signer, chain=chain, roots=roots, crl=crl)

    @property
    def key(self) -> bytes:
        """The private key as it stands there; empty: none."""
        return self._data.get(_TLS[KEY] if self.tls else KEY, b"")

    def with_files(self, *, roots: str, crl: str, certificate: str = "", chain: str = "", key: bytes = b"") -> Content:
        """The same with these in place; what isn't given of signer, chain and key stays, and so does all else."""
        files = {ROOTS: roots, CRL: crl}
        files |= {SIGNER: certificate, CHAIN: chain} if certificate else {}
        put = {name: text.encode() for name, text in files.items()} | ({KEY: key} if key else {})
        if self.tls:
            put = {_TLS[name]: value for name, value in put.items() if name in _TLS}
        data = {**self._data, **put}
        return Content({name: value for name, value in data.items() if value or name not in files})

    def __repr__(self) -> str:
        return "Content(***)"

    def __reduce__(self) -> str:
        raise TypeError("the content of cacerts isn't serialised")


def encoded(content: Content) -> bytes:
    """One text of all entries, equal for equal ones."""
    entries = {name: base64.b64encode(value).decode() for name, value in content.data.items()}
    return json.dumps(entries, sort_keys=True).encode()


def decoded(text: bytes) -> Content:
    """What `encoded` made. Raises ValueError."""
    entries = json.loads(text)
    if not isinstance(entries, dict):
        raise ValueError("not a map")  # noqa: TRY004 - of a text, not of an argument
    return Content({str(name): base64.b64decode(value, validate=True) for name, value in entries.items()})


@dataclass(frozen=True, kw_only=True)
class Standing:
    """What a `cacerts` says, as far as it can be read. `mesh` and `cluster`: whose certificates are ours."""

    content: Content
    mesh: str
    cluster: str

    @cached_property
    def signer(self) -> Certificate | None:
        """What istiod signs with."""
        found = _certificates(self.content.text(SIGNER))
        return found[0] if found else None

    @cached_property
    def chain(self) -> tuple[Certificate, ...]:
        """What istiod shows behind the certificates that it signs."""
        return _certificates(self.content.text(CHAIN))

    @cached_property
    def bundle(self) -> tuple[Certificate, ...]:
        """The roots that it trusts."""
        return _certificates(self.content.text(ROOTS))

    @cached_property
    def roots(self) -> frozenset[str]:
        """Their fingerprints."""
        return frozenset(map(fingerprint, self.bundle))

    @cached_property
    def rotation(self) -> int:
        """Of the intermediate; 0: it isn't one of ours."""
        return rotation_of(self.signer, mesh=self.mesh, cluster=self.cluster) if self.signer else 0


def rotation_of(certificate: Certificate, *, mesh: str, cluster: str) -> int:
    """Its number, by its subject; 0: it isn't an intermediate of this cluster."""
    names = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    number = str(names[0].value).rpartition("-")[2] if names else ""
    if not (number.isascii() and number.isdecimal()) or len(number) > 9:
        return 0
    return int(number) if certificate.subject == subject_of(mesh=mesh, cluster=cluster, rotation=int(number)) else 0


def load_key(pem: bytes) -> PrivateKeyTypes | None:
    """The private key; None: it isn't one that istiod could read. What stands there goes into no message."""
    try:
        return load_pem_private_key(pem, None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        return None


def authority_key(pem: bytes) -> AuthorityKey | None:
    """The same, if it can make a proof."""
    key = load_key(pem)
    return key if isinstance(key, ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey) else None


def belongs(pem: bytes, certificate: Certificate) -> bool:
    """Whether this is the private key of the certificate."""
    key = load_key(pem)
    return key is not None and key_fingerprint(key.public_key()) == key_fingerprint(certificate.public_key())  # type: ignore[arg-type]


def _certificates(text: str) -> tuple[Certificate, ...]:
    try:
        return read_foreign_certificates(text, subject="cacerts")
    except Rejected:
        return ()
