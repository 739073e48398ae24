"""Roots, intermediates, requests and leaves for tests, made in milliseconds and with one seam for mistakes.

    mesh = Mesh()                          # roots a and b, clusters as they are asked for
    mesh.root("a").certificate             # a root of the mesh
    west = mesh.intermediate("west")       # rotation 1 under root a, with its key
    west.cacerts(mesh.root("a"))           # the four texts

Keys are made once per process and name, so that making a mesh again costs signatures alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID

from syncer.protocol.cacerts import Cacerts
from syncer.protocol.certificates import Certificate, write_certificates
from syncer.protocol.request import SignRequest, empty_crl, make_csr, prove, read_csr
from syncer.protocol.revocation import AuthorityKey, signature_hash
from workers.pki.crl import Revoked, make_crl
from workers.pki.issue import Template, cross_sign, issue, issue_online, issue_root

NOW: Final = datetime(2026, 11, 27, 12, 0, tzinfo=UTC)
"""The time of tests that don't shake hands with a program that has its own clock."""
DAY: Final = timedelta(days=1)
MESH: Final = "acme"
_CURVES: Final = {"P-256": ec.SECP256R1(), "P-384": ec.SECP384R1(), "P-521": ec.SECP521R1(), "P-224": ec.SECP224R1()}


_KEYS: dict[tuple[str, str], AuthorityKey] = {}


def private_key(name: str, kind: str = "P-256") -> AuthorityKey:
    """A key of this kind (`P-256`, `RSA-2048`); the same one for the same name and kind."""
    if (name, kind) not in _KEYS:
        _KEYS[name, kind] = _new_key(kind)
    return _KEYS[name, kind]


def _new_key(kind: str) -> AuthorityKey:
    if kind.startswith("RSA-"):
        return rsa.generate_private_key(65537, int(kind.removeprefix("RSA-")))
    return ec.generate_private_key(_CURVES[kind])


def digest_of(
    key: AuthorityKey | ed25519.Ed25519PrivateKey | ed448.Ed448PrivateKey,
) -> hashes.SHA256 | hashes.SHA384 | None:
    """What this key signs with."""
    return (
        None if isinstance(key, ed25519.Ed25519PrivateKey | ed448.Ed448PrivateKey) else signature_hash(key.public_key())
    )


def key_pem(key: AuthorityKey) -> str:
    """PKCS#8 without a password: what istiod reads as `ca-key.pem`."""
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


@dataclass(frozen=True, kw_only=True)
class Authority:
    """A CA with its key. `above`: its issuers below the root, the nearest first (what follows it in a chain)."""

    certificate: Certificate
    key: AuthorityKey = field(repr=False)
    above: tuple[Certificate, ...] = ()

    @property
    def pem(self) -> str:
        return write_certificates([self.certificate])

    @property
    def chain(self) -> str:
        """`cert-chain.pem`."""
        return write_certificates([self.certificate, *self.above])

    def cacerts(self, *roots: Authority, crl: str = "") -> Cacerts:
        """The four texts, with these roots as the bundle."""
        bundle = write_certificates(root.certificate for root in roots)
        return Cacerts(certificate=self.pem, chain=self.chain, roots=bundle, crl=crl)

    def crl(self, *revoked: Revoked, now: datetime = NOW, number: int = 1, lasts: timedelta = 30 * DAY) -> str:
        """A list of this CA."""
        return make_crl(self.certificate, self.key, revoked, now=now, next_update=now + lasts, number=number)

    def leaf(self, trust_domain: str, *, now: datetime = NOW, **change: object) -> Leaf:
        """A workload's certificate as istiod issues it: URI SAN alone, server and client."""
        return leaf(self, f"spiffe://{trust_domain}/ns/shop/sa/web", now=now, **change)  # type: ignore[arg-type]


@dataclass(frozen=True, kw_only=True)
class Leaf:
    """The certificate of a workload with its key."""

    certificate: Certificate
    key: AuthorityKey = field(repr=False)


class Mesh:
    """Everything that is signed in one mesh, at one time. Asked twice for the same, it gives the same."""

    def __init__(
        self, *, now: datetime = NOW, name: str = MESH, root_lifetime: timedelta = 3650 * DAY, root_kind: str = "P-256"
    ) -> None:
        self.now = now
        self.name = name
        self._root_lifetime = root_lifetime
        self._root_kind = root_kind
        self._serial = 0x1000
        self._made: dict[tuple[object, ...], Authority] = {}

    def serial(self) -> int:
        """Another one each time."""
        self._serial += 1
        return self._serial

    def root(self, name: str = "a", *, kind: str = "", lifetime: timedelta | None = None) -> Authority:
        """A root `CN=<name>`."""
        kind = kind or self._root_kind
        return self._once(("root", name, kind, lifetime), lambda: self._root(name, kind, lifetime))

    def online(self, name: str = "online", *, root: str = "a", lifetime: timedelta = 365 * DAY) -> Authority:
        """An online intermediate of a root."""
        return self._once(("online", name, root, lifetime), lambda: self._online(name, root, lifetime))

    def cross(self, root: str = "b", *, by: str = "a", below: int = 1) -> Authority:
        """A root's key and subject, signed by another root."""
        return self._once(("cross", root, by, below), lambda: self._cross(root, by, below))

    def intermediate(
        self,
        cluster: str = "west",
        rotation: int = 1,
        *,
        under: Authority | None = None,
        kind: str = "P-256",
        lifetime: timedelta = 90 * DAY,
        trust_domain: str | None = None,
    ) -> Authority:
        """A cluster's intermediate (under root a unless said otherwise)."""
        issuer = under or self.root("a")
        of = (issuer.certificate, kind, lifetime, trust_domain)
        return self._once(
            ("intermediate", cluster, rotation, *of),
            lambda: self._intermediate(issuer, self.template(cluster, rotation, trust_domain, lifetime), kind),
        )

    def template(
        self,
        cluster: str = "west",
        rotation: int = 1,
        trust_domain: str | None = None,
        lifetime: timedelta = 90 * DAY,
    ) -> Template:
        """What is said of a cluster's intermediate; its trust domain is `<cluster>.<mesh>.example`."""
        return Template(
            mesh=self.name,
            cluster=cluster,
            trust_domain=trust_domain or self.trust_domain(cluster),
            rotation=rotation,
            lifetime=lifetime,
        )

    def trust_domain(self, cluster: str = "west") -> str:
        return f"{cluster}.{self.name}.example"

    def request(
        self,
        cluster: str = "west",
        rotation: int = 1,
        *,
        kind: str = "P-256",
        reason: str = "first",
        with_crl: bool = False,
        current: AuthorityKey | None = None,
    ) -> SignRequest:
        """What an agent sends for this rotation, with the key that `intermediate` signs; proven with `current`."""
        key = private_key(f"{cluster}-{rotation}", kind)
        named = {"mesh": self.name, "cluster": cluster, "rotation": rotation}
        csr = make_csr(key, mesh=self.name, cluster=cluster, rotation=rotation)
        der = read_csr(csr, subject=cluster).public_bytes(Encoding.DER)
        crl = empty_crl(key, now=self.now, next_update=self.now + 365 * DAY, **named) if with_crl else ""  # type: ignore[arg-type]
        return SignRequest(
            mesh=self.name,
            cluster=cluster,
            sequence=int(self.now.timestamp() * 1_000_000),
            requested_at=self.now,
            rotation=rotation,
            reason=reason,
            csr=csr,
            crl=crl,
            proof=prove(der, current) if current else "",
        )

    def _once(self, what: tuple[object, ...], make: Callable[[], Authority]) -> Authority:
        if what not in self._made:
            self._made[what] = make()
        return self._made[what]

    def _root(self, name: str, kind: str, lifetime: timedelta | None) -> Authority:
        key = private_key(f"root {name}", kind)
        lasts = lifetime or self._root_lifetime
        serial = self.serial()
        made = issue_root(mesh=self.name, name=name, key=key, lifetime=lasts, now=self.now, serial=serial)
        return Authority(certificate=made, key=key)

    def _online(self, name: str, root: str, lifetime: timedelta) -> Authority:
        key = private_key(f"online {name}")
        issuer = self.root(root)
        made = issue_online(
            mesh=self.name,
            name=name,
            public_key=key.public_key(),
            issuer=issuer.certificate,
            key=issuer.key,
            lifetime=lifetime,
            now=self.now,
            serial=self.serial(),
        )
        return Authority(certificate=made, key=key)

    def _cross(self, root: str, by: str, below: int) -> Authority:
        subject, issuer = self.root(root), self.root(by)
        made = cross_sign(
            subject.certificate, issuer.certificate, issuer.key, now=self.now, serial=self.serial(), below=below
        )
        return Authority(certificate=made, key=subject.key)

    def _intermediate(self, issuer: Authority, template: Template, kind: str) -> Authority:
        key = private_key(f"{template.cluster}-{template.rotation}", kind)
        made = issue(
            template,
            key.public_key(),
            issuer.certificate,
            issuer.key,
            now=self.now,
            serial=self.serial(),
            above=issuer.above,
        )
        root = issuer.certificate.issuer == issuer.certificate.subject
        return Authority(certificate=made, key=key, above=() if root else (issuer.certificate, *issuer.above))


def leaf(
    issuer: Authority,
    uri: str,
    *,
    now: datetime = NOW,
    lifetime: timedelta = DAY,
    names: Iterable[x509.GeneralName] = (),
) -> Leaf:
    """What istiod issues for a CSR of a workload, or (with a DNS name) for itself."""
    key = private_key("leaf")
    usage = x509.KeyUsage(
        digital_signature=True, content_commitment=False, key_encipherment=True, data_encipherment=False,
        key_agreement=False, key_cert_sign=False, crl_sign=False, encipher_only=False, decipher_only=False,
    )  # fmt: skip
    both = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH])
    san = x509.SubjectAlternativeName([*names] or [x509.UniformResourceIdentifier(uri)])
    ends = issuer.certificate.not_valid_after_utc
    made = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([]))
        .issuer_name(issuer.certificate.subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(minutes=2))
        .not_valid_after(min(now + lifetime, ends) if ends > now else now + lifetime)
        .add_extension(usage, critical=True)
        .add_extension(both, critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer.key.public_key()), critical=False)
        .add_extension(san, critical=True)
        .sign(issuer.key, digest_of(issuer.key))
    )
    return Leaf(certificate=made, key=key)
