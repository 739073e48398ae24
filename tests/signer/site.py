"""A mesh whose certificates are managed, in memory, and signers that count what they sign.

`Site` is people and robot at once: it puts documents on main or on a branch. Two clusters, west and east; the root `a`
signs for them itself unless a test says otherwise.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any, NoReturn

import msgspec
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding

from syncer.protocol.certificates import Certificate, fingerprint, key_fingerprint, write_certificates
from syncer.protocol.request import empty_crl, make_csr
from tests import meshes
from tests.simulator.inbox import MemoryInbox
from tests.simulator.repository import MemoryRemote, MemoryRepository
from workers.ceremony import Made, Wish, init_root
from workers.documents import paths
from workers.documents.kinds import Cluster, Mesh
from workers.documents.reading import read
from workers.documents.strict import Name
from workers.documents.trust import (
    CertificateRequest,
    CertificateRequestSpec,
    ClusterStep,
    ClusterTrust,
    Intermediate,
    MeshTrust,
    PkiDocument,
    Root,
    SealingCertificate,
    SealingSpec,
    Trust,
    TrustSpec,
)
from workers.documents.writing import write
from workers.git.history import CHANGE
from workers.journal import FolderJournal
from workers.outside import Signer, Update
from workers.sign import Signing
from workers.tree import blob_id, change_digest

NOW = datetime(2026, 11, 27, 12, tzinfo=UTC)
ROBOT = ("peermesh", "peermesh@localhost.invalid")


class CountingKey(ec.EllipticCurvePrivateKey):
    """A key that counts its signatures: 0 says that the signer was never called."""

    def __init__(self, key: ec.EllipticCurvePrivateKey) -> None:
        self._key = key
        self.signatures = 0

    @property
    def curve(self) -> ec.EllipticCurve:
        return self._key.curve

    @property
    def key_size(self) -> int:
        return self._key.key_size

    def public_key(self) -> ec.EllipticCurvePublicKey:
        return self._key.public_key()

    def sign(self, data: Any, signature_algorithm: ec.EllipticCurveSignatureAlgorithm) -> bytes:
        self.signatures += 1
        return self._key.sign(data, signature_algorithm)

    def exchange(self, *_: object) -> NoReturn:
        raise AssertionError

    def private_numbers(self) -> NoReturn:
        raise AssertionError

    def private_bytes(self, *_: object) -> NoReturn:
        raise AssertionError

    def __copy__(self) -> CountingKey:
        return self

    def __deepcopy__(self, memo: object) -> CountingKey:
        return self


@dataclass
class MemorySigner:
    """`workers.outside.Signer` of a key at hand; `away` is raised by `check`."""

    issuers: tuple[Certificate, ...]
    key: CountingKey
    away: Exception | None = None

    def check(self) -> None:
        if self.away is not None:
            raise self.away


@cache
def key_of(name: str) -> ec.EllipticCurvePrivateKey:
    """A key for each name; the same in one run of the tests."""
    return ec.generate_private_key(ec.SECP384R1() if name.startswith("root") else ec.SECP256R1())


@cache
def rsa_key(bits: int) -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(65537, bits)


def made(name: str, *, online: bool = False, days: int = 3650) -> Made:
    """The ceremony of the root `name`, a month ago; the same for the same arguments."""
    return _made(name, online, days)


@cache
def _made(name: str, online: bool, days: int) -> Made:
    wish = Wish(
        mesh="acme",
        name=name,
        who="Ada <ada@acme.example>",
        lifetime=timedelta(days=days),
        online=key_of(f"online-{name}") if online else None,
    )
    return init_root(wish, key_of(f"root-{name}"), now=NOW - timedelta(days=30), serial=x509.random_serial_number)


def signer_of(name: str, *, online: bool = False) -> MemorySigner:
    key = key_of(f"online-{name}" if online else f"root-{name}")
    return MemorySigner(issuers=made(name, online=online).issuers, key=CountingKey(key))


def request(
    cluster: str = "west",
    *,
    rotation: int = 1,
    root: str = "a",
    reason: Any = "first",
    key: Any = None,
    csr: str | None = None,
    crl: bool = True,
) -> CertificateRequest:
    """What an honest agent asks for, as it stands in `pki/`."""
    key = key or key_of(f"{cluster}-{rotation}")
    end = NOW + timedelta(days=90)
    listed = empty_crl(key, mesh="acme", cluster=cluster, rotation=rotation, now=NOW, next_update=end) if crl else ""
    return CertificateRequest(
        metadata=Name(name=cluster),
        spec=CertificateRequestSpec(
            rotation=rotation,
            reason=reason,
            root=root,
            key_fingerprint=key_fingerprint(key.public_key()),
            csr=make_csr(key, mesh="acme", cluster=cluster, rotation=rotation) if csr is None else csr,
            crl=listed,
        ),
    )


def hostile_csr(key: Any, subject: str = "west-1", mesh: str = "acme", *extensions: x509.ExtensionType) -> str:
    """A CSR that asks for more than an agent does."""
    builder = x509.CertificateSigningRequestBuilder().subject_name(
        x509.Name(
            [
                x509.NameAttribute(x509.NameOID.ORGANIZATION_NAME, mesh),
                x509.NameAttribute(x509.NameOID.COMMON_NAME, subject),
            ]
        )
    )
    for extension in extensions:
        builder = builder.add_extension(extension, critical=False)
    algorithm = None if isinstance(key, ed25519.Ed25519PrivateKey) else hashes.SHA256()
    return builder.sign(key, algorithm).public_bytes(Encoding.PEM).decode()


def sealing_certificate(
    key: Any = None, *, begin: timedelta = -timedelta(days=1), end: timedelta = timedelta(days=3650)
) -> Certificate:
    """As a Sealed Secrets controller makes one for itself: nameless, with a key usage that can't be."""
    key = key or rsa_key(2048)
    name = x509.Name([])
    return (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(NOW + begin)
        .not_valid_after(NOW + end)
        .add_extension(x509.UnrecognizedExtension(x509.KeyUsage.oid, b"\x03\x02\x00\x01"), critical=True)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )


def steps(*clusters: str, bundle: tuple[str, ...] = ("a",), signer: str = "a") -> Trust:
    """Where these clusters are on their way."""
    step = ClusterStep(bundle=bundle, signer=signer)
    return Trust(metadata=Name(name="acme"), spec=TrustSpec(clusters=dict.fromkeys(clusters, step)))


def sealed_request(certificate: Certificate, *, rotation: int = 1, root: str = "a") -> CertificateRequest:
    return CertificateRequest(
        metadata=Name(name="west"),
        spec=CertificateRequestSpec(
            rotation=rotation, reason="first", root=root, key_fingerprint=fingerprint(certificate)
        ),
    )


def sealing(certificate: Certificate, cluster: str = "west") -> SealingCertificate:
    return SealingCertificate(
        metadata=Name(name=cluster), spec=SealingSpec(certificate=write_certificates([certificate]))
    )


@dataclass
class Site:
    """A repository, an inbox, and the journal of a signer in `folder`."""

    folder: Path
    trust: MeshTrust | None = field(default_factory=lambda: MeshTrust(root="a"))
    clusters: Mapping[str, ClusterTrust | None] = field(
        default_factory=lambda: {"west": ClusterTrust(), "east": ClusterTrust()}
    )
    roots: Mapping[str, Root] = field(default_factory=lambda: {"a": made("a").root})

    def __post_init__(self) -> None:
        begin = {paths.MESH: write(self.mesh())}
        begin |= {paths.cluster_path(name): write(self.cluster(name)) for name in self.clusters}
        begin[paths.TRUST] = write(steps(*(name for name, trust in self.clusters.items() if trust)))
        begin |= {paths.root_path(name): write(root) for name, root in self.roots.items()}
        self.remote = MemoryRemote(begin, author=("Ada", "ada@acme.example"), when=NOW)
        self.inbox = MemoryInbox()

    def mesh(self) -> Mesh:
        """What people say of all clusters."""
        mesh = meshes.mesh()
        return msgspec.structs.replace(mesh, spec=msgspec.structs.replace(mesh.spec, trust=self.trust))

    def cluster(self, name: str) -> Cluster:
        """What people say of one."""
        cluster = meshes.cluster(name)
        spec = msgspec.structs.replace(cluster.spec, trust=self.clusters[name])
        return msgspec.structs.replace(cluster, spec=spec)

    def put(self, *documents: PkiDocument, branch: str | None = None) -> None:
        """Commit documents on main, or on a branch that begins there."""
        self.put_files({paths.path_of(one): write(one) for one in documents}, branch=branch)

    def put_files(
        self, files: Mapping[str, bytes | None], *, branch: str | None = None, message: str | None = None
    ) -> None:
        """`message`: of people; else the robot says what it changed."""
        main = self.remote.refs[paths.MAIN]
        before = self.repository().files(main)
        change = {path: (before.blob(path), None if data is None else blob_id(data)) for path, data in files.items()}
        message = message or f"A change\n\n{CHANGE}: {change_digest(change)}\n"
        commit = self.remote.commit([main], files, message, author=ROBOT, when=NOW)
        ref = f"refs/heads/{branch}" if branch else paths.MAIN
        outcome = self.remote.move(Update(ref=ref, old=self.remote.refs.get(ref), new=commit))
        assert outcome.status == "done"

    def want(self, trust: MeshTrust | None) -> None:
        """People say something else of all clusters."""
        self.trust = trust
        self.put_files({paths.MESH: write(self.mesh())})

    def signing(self, signer: Signer, *, serial: Callable[[], int] = x509.random_serial_number) -> Signing:
        """A signer that has just started."""
        return Signing(self.repository(), signer, FolderJournal(self.folder / "journal"), self.inbox, serial=serial)

    def repository(self) -> MemoryRepository:
        """As a process sees it that has just started."""
        return MemoryRepository(self.remote, author=ROBOT)

    def signed(self, cluster: str = "west") -> Intermediate:
        """What was handed in for a cluster."""
        document = read(paths.intermediate_path(cluster), self.inbox.certificates()[cluster])
        assert isinstance(document, Intermediate)
        return document
