"""The certificates of the demo: a root and an intermediate for each cluster, dated back, and the part of an agent.

Knows how they are made and where keys are kept in the demo's folder: the root's in an encrypted file, as a site would
have it; those of clusters in memory, for there is no cluster that could keep them. Starts nothing.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec

from syncer.agent.asking import new_pending, request_of, signed_request
from syncer.agent.kept import Pending
from syncer.keys import signing_key
from syncer.protocol.certificates import key_fingerprint, write_certificates
from syncer.protocol.message import SIGN_REQUEST
from syncer.protocol.request import read_csr
from syncer.protocol.secret import Secret
from syncer.publish import send
from workers import settings
from workers.ceremony import Made, Wish, init_root
from workers.cli.checkout import run_git
from workers.cli.demo.site import CLUSTERS, MESH, PERSON, Site
from workers.cli.edit import with_value
from workers.cli.rendered import rendering_changes
from workers.documents import paths
from workers.documents.strict import Name
from workers.documents.trust import (
    CertificateRequest,
    CertificateRequestSpec,
    ClusterStep,
    Intermediate,
    IntermediateSpec,
    MeshTrust,
    PkiDocument,
    Trust,
    TrustSpec,
    duration_of,
)
from workers.documents.writing import write
from workers.folder import read_folder, write_folder
from workers.pki.issue import Template, issue
from workers.signers.key_file import write_key_file

ROOT: Final = "root-a"
RENEWED: Final = "west"
_LIFETIME: Final = duration_of(MeshTrust(root=ROOT).intermediates.lifetime)
_AGES: Final = {RENEWED: timedelta(days=50), "east": timedelta(days=21), "north": timedelta(days=9)}
"""How long ago each began. Whatever its name, one is renewed after 50 of 90 days."""


@dataclass(frozen=True, kw_only=True)
class Authority:
    """What is needed of it later: the key of the renewed cluster's intermediate, which its istiod would have."""

    site: Site
    current: Secret

    def signer(self) -> dict[str, str]:
        """What the signer's process is told of its key."""
        keys = self.site.folder / "keys"
        return {
            settings.SIGNER_ISSUERS_FILE.name: str(keys / "issuers.pem"),
            settings.SIGNER_KEY_FILE.name: str(keys / "root.key"),
            settings.SIGNER_PASSPHRASE_FILE.name: str(keys / "root.pass"),
            settings.SIGNER_JOURNAL.name: str(self.site.folder / "journal"),
        }

    def ask(self, broker: Secret) -> None:
        """What the agent of the cluster does when the next intermediate is due: make a key, and ask."""
        now = datetime.now(UTC)
        pending = new_pending(mesh=MESH, cluster=RENEWED, rotation=2, key_type="P-256", now=now)
        request = request_of(
            pending,
            mesh=MESH,
            cluster=RENEWED,
            sequence=int(now.timestamp() * 1_000_000),
            reason="renewal",
            now=now,
            current=self.current.reveal().encode(),
        )
        send(broker, signed_request(request, signing_key(_agent_file(self.site, RENEWED))), task=SIGN_REQUEST)


def found(site: Site) -> Authority:
    """Make it as if it had been made when the renewed intermediate began, and bring its public side to main."""
    now = datetime.now(UTC).replace(microsecond=0)
    key = ec.generate_private_key(ec.SECP384R1())
    wish = Wish(mesh=MESH, name=ROOT, who=f"{PERSON[0]} <{PERSON[1]}>")
    made = init_root(wish, key, now=now - max(_AGES.values()), serial=x509.random_serial_number)
    _keep(site.folder / "keys", key, made)
    documents: list[PkiDocument] = [made.root]
    pending = {}
    for name in CLUSTERS:
        began = now - _AGES[name]
        pending[name] = new_pending(mesh=MESH, cluster=name, rotation=1, key_type="P-256", now=began)
        documents += _signed(name, pending[name], made, key, began)
    step = ClusterStep(bundle=(ROOT,), signer=ROOT)
    documents.append(Trust(metadata=Name(name=MESH), spec=TrustSpec(clusters=dict.fromkeys(sorted(CLUSTERS), step))))
    _commit(site, documents)
    return Authority(site=site, current=pending[RENEWED].key)


def _keep(folder: Path, key: ec.EllipticCurvePrivateKey, made: Made) -> None:
    """As `init-root` does."""
    passphrase = Secret(secrets.token_urlsafe())
    word = folder / "root.pass"
    word.touch(mode=0o600)
    word.write_text(f"{passphrase.reveal()}\n")
    write_key_file(key, folder / "root.key", passphrase)
    (folder / "issuers.pem").write_text(write_certificates(made.issuers))


def _signed(
    name: str, pending: Pending, made: Made, key: ec.EllipticCurvePrivateKey, began: datetime
) -> tuple[CertificateRequest, Intermediate]:
    """The request that was approved, and the certificate that answered it."""
    public = read_csr(pending.csr, subject=name).public_key()
    template = Template(mesh=MESH, cluster=name, trust_domain=f"{name}.shop.example", rotation=1, lifetime=_LIFETIME)
    certificate = issue(template, public, made.issuers[0], key, now=began, serial=x509.random_serial_number())
    asked = CertificateRequestSpec(
        rotation=1,
        reason="first",
        root=ROOT,
        key_fingerprint=key_fingerprint(public),
        csr=pending.csr,
        crl=pending.crl,
    )
    given = IntermediateSpec(rotation=1, root=ROOT, certificate=write_certificates([certificate]), crl=pending.crl)
    return (
        CertificateRequest(metadata=Name(name=name), spec=asked),
        Intermediate(metadata=Name(name=name), spec=given),
    )


def _commit(site: Site, documents: list[PkiDocument]) -> None:
    """The public side, and people's word that peermesh looks after it, in one commit on main."""
    run_git(site.checkout, "pull", "--quiet", "--ff-only")
    files = read_folder(site.checkout)
    changes = {paths.path_of(document): write(document) for document in documents}
    orders = {paths.MESH: {"root": ROOT}}
    for name in CLUSTERS:
        key = signing_key(_agent_file(site, name)).public
        orders[paths.cluster_path(name)] = {"agent": {"publicKeys": [key]}}  # type: ignore[dict-item]
    for path, said in orders.items():
        changes[path] = with_value(files.read(path).decode(), ("spec", "trust"), said).encode()
    write_folder(site.checkout, changes)
    write_folder(site.checkout, rendering_changes(read_folder(site.checkout)))
    run_git(site.checkout, "add", "--all")
    run_git(site.checkout, "commit", "--quiet", "--message", "Look after the certificates of all clusters")
    run_git(site.checkout, "push", "--quiet")


def _agent_file(site: Site, cluster: str) -> Path:
    """Where the key is kept that the cluster's agent signs its requests with."""
    return site.folder / "keys" / f"agent-{cluster}"
