"""The file types of trust: what people order in `spec.trust`, and the documents of `pki/` (the robot).

Knows shapes, and what each field means, as `kinds` does. Certificates are texts here: what they must be is said by
`syncer.protocol.cacerts`, what they must be to each other by `workers.pki`.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated, Final, Literal

from msgspec import Meta, field

from syncer.protocol.request import MAX_ROTATION
from workers.documents.strict import API_VERSION, Duration, Fingerprint, Label, Name, PublicKey, Strict, Version

KeyType = Literal["P-256", "P-384"]
RequestReason = Literal["first", "renewal", "ordered", "compromised", "rollover"]
Serial = Annotated[str, Meta(pattern=r"^[0-9a-f]{1,40}$", title="a serial number in hexadecimal digits")]
Rotation = Annotated[int, Meta(ge=1, le=MAX_ROTATION)]


def duration_of(text: str) -> timedelta:
    """The time that a `Duration` says."""
    seconds = {"s": 1, "m": 60, "h": 3600, "d": 86400}
    return timedelta(seconds=int(text[:-1]) * seconds[text[-1]])


# --- people's


class Intermediates(Strict, frozen=True, kw_only=True):
    """What the clusters' signing certificates are like."""

    lifetime: Annotated[Duration, Meta(description="How long one is valid; never longer than its root.")] = "90d"
    key: Annotated[KeyType, Meta(description="The key that the cluster makes.")] = "P-256"
    renew_at: Annotated[
        float,
        Meta(
            ge=0.1, le=0.9, description="The part of its life after which the next is asked for, ± 10 % by the cluster."
        ),
    ] = 0.5


class Order(Strict, frozen=True, kw_only=True):
    """That a cluster shall have a new intermediate although none is due."""

    rotation: Annotated[Rotation, Meta(description="Its number; fulfilled once the cluster has this or a higher one.")]
    reason: Annotated[
        Literal["ordered", "compromised"],
        Meta(description="`compromised`: all leaves are renewed at once, and the old one is revoked where CRLs are."),
    ] = "ordered"


class Revoked(Strict, frozen=True, kw_only=True):
    """A certificate that its issuer's CRL shall name."""

    issuer: Annotated[Label, Meta(description="The root that issued it.")]
    serial: Annotated[Serial, Meta(description="Its number, as `openssl x509 -serial` prints it, in lower case.")]
    reason: Annotated[
        Literal["keyCompromise", "caCompromise", "superseded", "cessationOfOperation"],
        Meta(description="As in RFC 5280."),
    ] = "keyCompromise"


class MeshTrust(Strict, frozen=True, kw_only=True):
    """What people order of the meshes' certificates."""

    root: Annotated[
        Label,
        Meta(
            description="The root that all clusters shall trust and sign under, as `pki/roots/` calls it. "
            "Another name here is a rollover to it; the old name again takes it back."
        ),
    ]
    paused: Annotated[bool, Meta(description="No further step of a rollover; renewals go on.")] = False
    canary: Annotated[tuple[Label, ...], Meta(description="Clusters that take each step of a rollover first.")] = ()
    soak: Annotated[Duration, Meta(description="How long the way must be seen to be free before the next step.")] = "2m"
    workload_lifetime: Annotated[
        Duration,
        Meta(description="How long workloads' certificates live (`SECRET_TTL`): the wait where proxies don't follow."),
    ] = "24h"
    intermediates: Intermediates = Intermediates()
    renewal_requests: Annotated[
        Literal["approved"] | None,
        Meta(
            description="`approved`: a renewal that is asked for with the key in use needs no approval of its own; "
            "absent: each does."
        ),
    ] = None
    rotate: Annotated[dict[str, Order], Meta(description="Ordered intermediates, by cluster.")] = field(
        default_factory=dict
    )
    exclude: Annotated[
        tuple[Label, ...], Meta(description="Clusters that are given up for now: nothing waits for them.")
    ] = ()
    compromised: Annotated[
        tuple[Label, ...], Meta(description="Roots that must go: nothing soaks, and no bundle gets them again.")
    ] = ()
    distrust_first: Annotated[
        bool, Meta(description="With `compromised`: out of the bundles at once; calls fail until all sign anew.")
    ] = False
    crls: Annotated[bool, Meta(description="CRLs of all CAs go to all clusters; needs Istio 1.27 or newer.")] = False
    revoked: Annotated[tuple[Revoked, ...], Meta(description="What the CRLs name.")] = ()


class Agent(Strict, frozen=True, kw_only=True):
    """How the cluster's CA agent is known."""

    public_keys: Annotated[
        tuple[PublicKey, ...],
        Meta(max_length=2, description="What it signs its requests with; two during a change of key."),
    ] = ()


class ClusterTrust(Strict, frozen=True, kw_only=True):
    """How the cluster gets its signing certificate."""

    agent: Agent = Agent()
    delivery: Annotated[
        Literal["request", "sealed-secrets"],
        Meta(
            description="`request`: an agent makes the key in the cluster; `sealed-secrets`: the signer makes it and "
            "seals it for the cluster's Sealed Secrets controller."
        ),
    ] = "request"
    sealing: Annotated[
        Fingerprint | None,
        Meta(description="`sealed-secrets`: the certificate in `pki/sealing/` that is sealed for, by its SHA-256."),
    ] = None


# --- the robot's


class Record(Strict, frozen=True, kw_only=True):
    """What was said and signed when a root was made."""

    text: Annotated[str, Meta(description="Who made it, when, where, with what.")]
    signature: Annotated[str, Meta(description="Of the text, by the root's key, in base64.")]


class RootSpec(Strict, frozen=True, kw_only=True):
    """A root, and what signs under it."""

    certificate: Annotated[str, Meta(description="The certificate, as PEM.")]
    cross_signed: Annotated[
        dict[str, str], Meta(description="This root's key, certified by another root (named), as PEM: a safety net.")
    ] = field(default_factory=dict)
    issuers: Annotated[
        str, Meta(description="Intermediates that sign for clusters while the root is offline, as PEM; empty: itself.")
    ] = ""
    crl: Annotated[str, Meta(description="What it revoked, as PEM; empty: it never said.")] = ""
    imported: Annotated[
        bool, Meta(description="The root of a cluster that is being adopted: nothing is signed under it here.")
    ] = False
    record: Annotated[Record | None, Meta(description="The ceremony at which it was made.")] = None


class Root(Strict, frozen=True, kw_only=True):
    """A root certificate that clusters trust."""

    api_version: Version = API_VERSION
    kind: Literal["Root"] = "Root"
    metadata: Name
    spec: RootSpec


class CertificateRequestSpec(Strict, frozen=True, kw_only=True):
    """What shall be signed."""

    rotation: Annotated[Rotation, Meta(description="The number of the intermediate; signed once.")]
    reason: Annotated[RequestReason, Meta(description="Why it is asked for.")]
    root: Annotated[Label, Meta(description="The root that it shall be signed under.")]
    key_fingerprint: Annotated[
        Fingerprint,
        Meta(description="Of the public key; with `sealed-secrets`: of the certificate that the key is sealed for."),
    ]
    csr: Annotated[str, Meta(description="The request (PKCS #10), as PEM; empty: the signer makes the key.")] = ""
    crl: Annotated[str, Meta(description="The empty CRL of the new intermediate, as PEM, made with its key.")] = ""


class CertificateRequest(Strict, frozen=True, kw_only=True):
    """A cluster's request for an intermediate. On main it is approved."""

    api_version: Version = API_VERSION
    kind: Literal["CertificateRequest"] = "CertificateRequest"
    metadata: Name
    spec: CertificateRequestSpec


class IntermediateSpec(Strict, frozen=True, kw_only=True):
    """What a cluster signs with."""

    rotation: Annotated[Rotation, Meta(description="Its number, as requested.")]
    root: Annotated[Label, Meta(description="The root that it stands under.")]
    certificate: Annotated[str, Meta(description="The certificate, as PEM.")]
    chain: Annotated[
        str, Meta(description="What lies between it and the root (issuers, cross certificates), as PEM; may be empty.")
    ] = ""
    lever: Annotated[
        int,
        Meta(ge=0, le=1000, description="Line breaks after the bundle: one more renews all leaves at once."),
    ] = 0
    crl: Annotated[str, Meta(description="Its empty CRL, as PEM.")] = ""
    former_crls: Annotated[
        str, Meta(description="Those of the last three before it, as PEM: leaves under them may still be in use.")
    ] = ""
    sealed: Annotated[str, Meta(description="Its key, sealed for the cluster, in base64; empty: made there.")] = ""


class Intermediate(Strict, frozen=True, kw_only=True):
    """The intermediate that a cluster's istiod signs with."""

    api_version: Version = API_VERSION
    kind: Literal["Intermediate"] = "Intermediate"
    metadata: Name
    spec: IntermediateSpec


class SealingSpec(Strict, frozen=True, kw_only=True):
    """Whom the signer seals for."""

    certificate: Annotated[str, Meta(description="The certificate of the cluster's controller, as PEM.")]


class SealingCertificate(Strict, frozen=True, kw_only=True):
    """The certificate of a cluster's Sealed Secrets controller."""

    api_version: Version = API_VERSION
    kind: Literal["SealingCertificate"] = "SealingCertificate"
    metadata: Name
    spec: SealingSpec


class ClusterStep(Strict, frozen=True, kw_only=True):
    """What one cluster shall trust, and sign under."""

    bundle: Annotated[tuple[Label, ...], Meta(min_length=1, description="The roots that it trusts, sorted.")]
    signer: Annotated[Label, Meta(description="The root that it signs under, or shall sign under next.")]


class TrustSpec(Strict, frozen=True, kw_only=True):
    """How far the clusters are."""

    clusters: Annotated[dict[str, ClusterStep], Meta(description="By cluster.")] = field(default_factory=dict)


class Trust(Strict, frozen=True, kw_only=True):
    """How far the clusters are on their way to the root that people want."""

    api_version: Version = API_VERSION
    kind: Literal["Trust"] = "Trust"
    metadata: Name
    spec: TrustSpec = TrustSpec()


PkiDocument = Root | CertificateRequest | Intermediate | SealingCertificate | Trust
PKI_KINDS: Final[dict[str, type[PkiDocument]]] = {
    "Root": Root,
    "CertificateRequest": CertificateRequest,
    "Intermediate": Intermediate,
    "SealingCertificate": SealingCertificate,
    "Trust": Trust,
}
