"""How a cluster comes under the care of peermesh: managed from the start, or adopted with the CA that it has.

Pure: certificates as texts in, an `Order` out.
"""

from __future__ import annotations

from typing import Final

import msgspec

from syncer.protocol.cacerts import trust_domain_fault
from syncer.protocol.certificates import (
    Certificate,
    fingerprint,
    name_text,
    read_certificate,
    read_foreign_certificates,
    read_sealing_certificate,
    write_certificates,
)
from syncer.protocol.errors import Rejected
from syncer.protocol.names import is_label
from workers.cli.ca.orders import TRUST, Order, Orders
from workers.cli.delivery.agent import agent_files
from workers.cli.edit import with_item, with_value
from workers.documents import paths
from workers.documents.kinds import Cluster
from workers.documents.reading import read
from workers.documents.strict import Name
from workers.documents.trust import (
    ClusterStep,
    ClusterTrust,
    Root,
    RootSpec,
    SealingCertificate,
    SealingSpec,
    Trust,
    TrustSpec,
)
from workers.documents.writing import write

MAX_KEYS: Final = 2
WAYS: Final = (
    "If istiod has a Secret cacerts, its agent does all of it: nothing is restarted and nothing fails.",
    "If istiod made its root itself (no cacerts), people choose one of two ways; docs/trust.md has the commands.",
    (
        "Way 1, no key is read: the new root goes into meshConfig.caCertificates everywhere, then the agent writes "
        "cacerts, and istiod is restarted. From there until the kubelet has brought the new ConfigMap (about a minute) "
        "proxies can't reach istiod: traffic goes on, new pods wait."
    ),
    (
        "Way 2, no gap: the agent is told to make cacerts of the Secret istio-ca-secret "
        "(PEERMESH_ADOPT_SELF_SIGNED=yes, and the right to read it), which reads the old CA key once; then people "
        "restart istiod. From then on it is a cluster with a cacerts."
    ),
)


def managed(orders: Orders, name: str, *, agent: str | None, sealing: str | None) -> Order:
    """That a cluster's certificates are managed. `agent`: one more key of its CA agent; `sealing`: PEM of the
    certificate of its Sealed Secrets controller.

    Raises:
        Rejected: the cluster's trust domain fits into no constraint, two agents' keys are trusted, or nothing changes.
    """
    cluster = orders.cluster(name)
    _fits(cluster)
    path = paths.cluster_path(name)
    text, trust = orders.files.read(path).decode(), cluster.spec.trust or ClusterTrust()
    changes: dict[str, bytes | None] = {}
    sentences = [] if cluster.spec.trust else [f"The certificates of {name} are looked after from now on."]
    if agent and agent not in trust.agent.public_keys:
        if len(trust.agent.public_keys) == MAX_KEYS:
            remedy = f"Take the one out that is no longer used: {' or '.join(trust.agent.public_keys)}."
            raise Rejected("TooManyKeys", "two keys of its agent are trusted already", subject=path, remedy=remedy)
        text = with_item(text, (*TRUST, "agent", "publicKeys"), agent)
        sentences.append(f"What is signed with {agent} is a request of its CA agent.")
    if sealing:
        certificate = read_sealing_certificate(sealing, subject="sealing certificate")
        if trust.sealing != fingerprint(certificate):
            for key, value in (("delivery", "sealed-secrets"), ("sealing", fingerprint(certificate))):
                text = with_value(text, (*TRUST, key), value)
            changes[paths.sealing_path(name)] = _sealing(name, certificate)
            sentences.append(
                f"Its key is made by the signer and sealed for {fingerprint(certificate)}: compare that with what "
                "`kubeseal --fetch-cert` shows there. Whoever has that controller's key can sign for the cluster."
            )
    if not sentences:
        raise Rejected("NothingToOrder", "that is so already", subject=path)
    if not agent and not sealing:
        text = with_value(text, TRUST, {})
    files = agent_files(orders.tree.mesh, _read(path, text))
    changes |= {at: data for at, data in files.items() if orders.files.blob(at) is None}
    changes[path] = text.encode()
    hints = (
        ()
        if agent or sealing
        else (
            f"When it is merged, start its agent: delivery/clusters/{name}/ca-agent/README.md.",
            f"peermesh ca manage {name} --agent-key KEY, with what its agent logs.",
        )
    )
    return orders.order(f"manage-{name}", f"Manage the certificates of {name}", sentences, changes, hints)


def imported(orders: Orders, name: str, *, root: str, called: str | None) -> Order:
    """That a cluster is adopted with the CA that it has. `root`: PEM of the root that its workloads stand under.

    Raises:
        Rejected: that isn't one root; the cluster signs under a root of ours already; the name is taken.
    """
    cluster = orders.cluster(name)
    _fits(cluster)
    pki = orders.tree.facts.pki
    if name in pki.intermediates or name in pki.steps:
        remedy = "`peermesh ca status` shows how it stands."
        raise Rejected("AdoptedAlready", "it is looked after already", subject=name, remedy=remedy)
    certificate = _one_root(root)
    known = {fingerprint(_certificate(document, at)): at for at, document in pki.roots.items()}
    at = known.get(fingerprint(certificate))
    changes: dict[str, bytes | None] = {}
    if at is None:
        at = called or f"{name}-before"
        if not is_label(at) or at in pki.roots:
            what = "it is taken" if at in pki.roots else "it isn't a DNS label"
            raise Rejected("BadName", what, subject=at, remedy="Name another one with --name.")
        changes[paths.root_path(at)] = write(
            Root(metadata=Name(name=at), spec=RootSpec(certificate=write_certificates([certificate]), imported=True))
        )
    step = ClusterStep(bundle=(at,), signer=at)
    changes[paths.TRUST] = write(
        Trust(
            metadata=pki.trust.metadata if pki.trust else Name(name=orders.tree.mesh.metadata.name),
            spec=TrustSpec(clusters=dict(sorted({**pki.steps, name: step}.items()))),
        )
    )
    sentences = (
        f"{name} trusts {at} ({name_text(certificate.subject)}, {fingerprint(certificate)}) and signs under it today.",
        "It is brought to the root that the mesh wants like any other cluster: trust, sign, distrust.",
        *WAYS,
    )
    hints = [] if cluster.spec.trust else [f"peermesh ca manage {name} --agent-key KEY, with what its agent logs."]
    return orders.order(f"import-{name}", f"Adopt {name} with its root {at}", sentences, changes, hints)


def _fits(cluster: Cluster) -> None:
    if fault := trust_domain_fault(cluster.spec.trust_domain):
        raise Rejected("TrustDomain", fault, subject=paths.cluster_path(cluster.name),
                       remedy="Give the cluster a trust domain that is a DNS name.")  # fmt: skip


def _one_root(text: str) -> Certificate:
    found = read_foreign_certificates(text, subject="--root")
    if len(found) != 1:
        remedy = "Give it the root that its intermediate stands under, alone."
        raise Rejected("NotOneRoot", f"it holds {len(found)} certificates", subject="--root", remedy=remedy)
    if found[0].subject != found[0].issuer:
        what = f"{name_text(found[0].subject)} is issued by {name_text(found[0].issuer)}"
        raise Rejected("NotARoot", what, subject="--root", remedy="Give it the root, not the intermediate.")
    return found[0]


def _certificate(document: Root, name: str) -> Certificate:
    return read_certificate(document.spec.certificate, subject=paths.root_path(name))


def _sealing(name: str, certificate: Certificate) -> bytes:
    spec = SealingSpec(certificate=write_certificates([certificate]))
    return write(SealingCertificate(metadata=Name(name=name), spec=spec))


def _read(path: str, text: str) -> Cluster:
    """Raises Invalid where the edit has made something else of it than a cluster's document."""
    document = read(path, text.encode())
    assert isinstance(document, Cluster)
    assert msgspec.structs.asdict(document)["spec"].trust is not None
    return document
