"""A mesh repository with roots and intermediates, and the remote that people's orders go to."""

from __future__ import annotations

import functools
import subprocess
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec

from syncer.protocol.certificates import Certificate, write_certificates
from workers.cli.edit import with_value
from workers.documents import paths
from workers.documents.strict import Name
from workers.documents.trust import (
    ClusterStep,
    Intermediate,
    IntermediateSpec,
    PkiDocument,
    Root,
    RootSpec,
    Trust,
    TrustSpec,
)
from workers.documents.writing import write
from workers.pki.issue import Template, issue, issue_root

NOW = datetime.now(UTC).replace(microsecond=0)
CLUSTERS = ("west", "east")


@functools.cache
def key(name: str) -> ec.EllipticCurvePrivateKey:
    """The key of a root or an intermediate; the same for a name."""
    del name
    return ec.generate_private_key(ec.SECP256R1())


@functools.cache
def root(name: str, *, began: timedelta = timedelta(days=30), life: timedelta = timedelta(days=3650)) -> Certificate:
    serial = x509.random_serial_number()
    return issue_root(mesh="shop", name=name, key=key(name), lifetime=life, now=NOW - began, serial=serial)


def intermediate(
    cluster: str, under: str = "a", *, rotation: int = 7, began: timedelta = timedelta(days=9)
) -> Intermediate:
    """One with a life of 90 days that began so long ago."""
    template = Template(
        mesh="shop",
        cluster=cluster,
        trust_domain=f"{cluster}.shop.example",
        rotation=rotation,
        lifetime=timedelta(days=90),
    )
    public = key(f"{cluster}-{rotation}").public_key()
    certificate = issue(template, public, root(under), key(under), now=NOW - began, serial=0x3F91 + rotation)
    spec = IntermediateSpec(rotation=rotation, root=under, certificate=write_certificates([certificate]))
    return Intermediate(metadata=Name(name=cluster), spec=spec)


def root_document(name: str, *, imported: bool = False) -> Root:
    spec = RootSpec(certificate=write_certificates([root(name)]), imported=imported)
    return Root(metadata=Name(name=name), spec=spec)


def steps(**clusters: ClusterStep) -> Trust:
    return Trust(metadata=Name(name="shop"), spec=TrustSpec(clusters=dict(sorted(clusters.items()))))


STEADY = ClusterStep(bundle=("a",), signer="a")


@dataclass(frozen=True)
class Place:
    """A checkout and its bare remote."""

    folder: Path

    @property
    def mesh(self) -> Path:
        return self.folder / "mesh"

    @property
    def remote(self) -> Path:
        return self.folder / "mesh.git"

    def git(self, *arguments: str, at: str = "mesh.git") -> str:
        command = ["git", "-C", str(self.folder / at), *arguments]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.rstrip("\n")

    def put(self, *documents: PkiDocument, trust: str | None = None) -> None:
        """Documents of `pki/` and the text of `spec.trust`, on main of the remote."""
        for document in documents:
            target = self.mesh / paths.path_of(document)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(write(document))
        if trust is not None:
            with (self.mesh / paths.MESH).open("a") as mesh:
                mesh.write(f"\n  # who signs\n{trust}")
        self.commit()

    def commit(self) -> None:
        from tests.cli.calls import done

        done("render", "--repo", self.mesh)
        self.git("add", "--all", at="mesh")
        self.git("commit", "--quiet", "--allow-empty", "--message", "What people did", at="mesh")
        self.git("push", "--quiet", str(self.remote), "HEAD:main", at="mesh")

    def file(self, branch: str, path: str) -> str:
        return self.git("show", f"{branch}:{path}")


def managed(mesh: Path, *clusters: str) -> None:
    """`spec.trust` of clusters, in the checkout."""
    for cluster in clusters:
        path = mesh / paths.cluster_path(cluster)
        path.write_text(with_value(path.read_text(), ("spec", "trust"), {}))
