"""The shapes of what brings a cluster its `cacerts`, and what is wrong with one across its fields.

As `shapes` has those of Istio's objects: every field that one of ours carries, strictly, written from what istiod,
Sealed Secrets and the two reconcilers do, independent of the renderer. A private key has no place in any of them.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from typing import Annotated, Final, Literal

import msgspec
from msgspec import Meta, field

from syncer.protocol.cacerts import Cacerts, CertificateFault, cacerts_faults
from syncer.protocol.cacerts_rules import TIMELY
from syncer.protocol.certificates import read_certificate
from syncer.protocol.errors import Rejected
from workers.documents.kinds import TrustDomain
from workers.documents.strict import Label

Pem = Annotated[str, Meta(pattern=r"^-----BEGIN CERTIFICATE-----\n")]
Lists = Annotated[str, Meta(pattern=r"^-----BEGIN X509 CRL-----\n")]
Number = Annotated[str, Meta(pattern=r"^(0|[1-9][0-9]{0,8})$")]
Time = Annotated[str, Meta(pattern=r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$")]
_CLOCKS: Final = TIMELY | {"CrlExpired", "CrlNotYetValid"}
"""What time breaks and mends, so that it says nothing of a rendering."""


class _Shape(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, rename="camel"):
    """Strict; a field without default must be there."""


class KeptMetadata(_Shape, frozen=True, kw_only=True):
    """Of an object that no reconciler prunes (`annotation_faults`)."""

    name: Label
    namespace: Label
    labels: dict[str, str]
    annotations: dict[str, str]


class Files(_Shape, frozen=True, kw_only=True):
    """The public files of `cacerts`."""

    roots: Pem = field(name="root-cert.pem")
    certificate: Pem | None = field(name="ca-cert.pem", default=None)
    chain: Pem | None = field(name="cert-chain.pem", default=None)
    crl: Lists | None = field(name="ca-crl.pem", default=None)


class Committed(Files, frozen=True, kw_only=True):
    """What the agent reads."""

    mesh: Label
    cluster: Label
    trust_domain: TrustDomain
    rotation: Number
    wanted: Number
    reason: Literal["first", "renewal", "ordered", "compromised", "rollover"]
    root: Label | None = None
    key_type: Literal["P-256", "P-384"]
    renew_after: Time | None = None


class ConfigMap(_Shape, frozen=True, kw_only=True, tag_field="kind"):
    """For a cluster's CA agent."""

    api_version: Literal["v1"]
    metadata: KeptMetadata
    data: Committed


class Encrypted(_Shape, frozen=True, kw_only=True):
    """Only the key is secret."""

    key: Annotated[str, Meta(pattern=r"^[A-Za-z0-9+/]+=*$")] = field(name="ca-key.pem")


class SecretAnnotations(_Shape, frozen=True, kw_only=True):
    """The Secret outlives the SealedSecret. No scope: with one the ciphertext could be opened elsewhere."""

    managed: Literal["true"] = field(name="sealedsecrets.bitnami.com/managed")
    no_owner: Literal["true"] = field(name="sealedsecrets.bitnami.com/skip-set-owner-references")


class SecretMetadata(_Shape, frozen=True, kw_only=True):
    """Strict scope binds the ciphertext to these two names."""

    name: Literal["cacerts"]
    namespace: Literal["istio-system"]
    annotations: SecretAnnotations


class Template(_Shape, frozen=True, kw_only=True):
    """The Secret that the controller makes."""

    metadata: SecretMetadata
    type: Literal["Opaque"]
    data: Files


class SealedSpec(_Shape, frozen=True, kw_only=True):
    """The key, sealed, and the rest as it is."""

    encrypted_data: Encrypted
    template: Template


class SealedSecret(_Shape, frozen=True, kw_only=True, tag_field="kind"):
    """For a cluster's Sealed Secrets controller."""

    api_version: Literal["bitnami.com/v1alpha1"]
    metadata: KeptMetadata
    spec: SealedSpec


Authority = ConfigMap | SealedSecret
_PLACES: Final = {ConfigMap: ("peermesh-system", "peermesh-cacerts"), SealedSecret: ("istio-system", "cacerts")}


def files_of(authority: Authority) -> Files:
    """The public files that one brings."""
    return authority.data if isinstance(authority, ConfigMap) else authority.spec.template.data


def authority_faults(authority: Authority, *, trust_domain: str, cluster: str, mesh: str) -> Iterator[str]:
    """What is wrong with one by itself, for its cluster."""
    yield from _metadata(authority)
    files = files_of(authority)
    if isinstance(authority, ConfigMap):
        said = authority.data
        if (said.mesh, said.cluster, said.trust_domain) != (mesh, cluster, trust_domain):
            yield f"it is for {said.cluster} ({said.trust_domain}) in {said.mesh}"
        if (said.rotation == "0") != (files.certificate is None):
            yield "its rotation and its certificate don't go together"
    elif files.certificate is None:
        yield "a key without its certificate"
    if (files.certificate is None) != (files.chain is None):
        yield "certificate and chain don't go together"
    if files.certificate is not None and files.chain is not None:
        for fault in _refused(files.certificate, files.chain, files.roots, files.crl or "", trust_domain):
            yield f"istiod or Envoy would refuse it: {fault}"


def _metadata(authority: Authority) -> Iterator[str]:
    metadata = authority.metadata
    if (metadata.namespace, metadata.name) != _PLACES[type(authority)]:
        yield f"{metadata.namespace}/{metadata.name} is read by nobody"
    if metadata.annotations.get("kustomize.toolkit.fluxcd.io/prune") != "disabled":
        yield "Flux would prune it, and istiod would sign with a root of its own"
    if metadata.annotations.get("argocd.argoproj.io/sync-options") != "Prune=false":
        yield "Argo CD would prune it, and istiod would sign with a root of its own"
    if any(name.startswith("sealedsecrets.bitnami.com/") for name in metadata.annotations):
        yield "its scope isn't strict"


@lru_cache(maxsize=1024)
def _refused(certificate: str, chain: str, roots: str, crl: str, trust_domain: str) -> tuple[CertificateFault, ...]:
    """Whatever the clock says: it is asked for a moment at which the certificate is valid."""
    try:
        begins = read_certificate(certificate, subject="ca-cert.pem").not_valid_before_utc
    except Rejected as error:
        return (CertificateFault(rule=error.reason, certificate=error.subject, what=error.what, remedy=error.remedy),)
    files = Cacerts(certificate=certificate, chain=chain, roots=roots, crl=crl)
    faults = cacerts_faults(files, trust_domain=trust_domain, now=begins)
    return tuple(fault for fault in faults if fault.rule not in _CLOCKS)
