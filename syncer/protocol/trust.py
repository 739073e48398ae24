"""What one cluster was observed to trust and to sign with: what the gates of a rollover look at.

Lenient as offers are: a newer worker reads what an older syncer says; what isn't said is empty or None, never "no".
Certificates are named by fingerprint (`sha256:<hex>` of their DER), roots that a proxy names by RFC 4514 subject.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Final

import msgspec

Moment = Annotated[datetime, msgspec.Meta(tz=True)]
"""With a time zone: what has none can't be held against any other."""
STATUS_NAME: Final = "peermesh-ca-status"
"""Name of the ConfigMap in the agent's namespace that tells how the agent fares."""
STATUS_KEY: Final = "status"
"""Its entry: JSON of an `ObservedAgent`."""
AGENT_NAMESPACE: Final = "peermesh-system"
"""Namespace of the CA agent and of what it reads and writes, but for `cacerts` itself."""


class ObservedBundle(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, rename="camel", order=True):
    """Namespaces whose ConfigMap `istio-ca-root-cert` shows exactly these roots; `example` is one of them.

    `roots`: sorted fingerprints, each once. Empty: what stands there holds no certificate, or can't be read as some.
    """

    roots: tuple[str, ...] = ()
    namespaces: int = 0
    example: str = ""


class ObservedIssuer(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, rename="camel", order=True):
    """What one replica of istiod signs with, as its serving certificate shows; `error` says why it isn't known.

    `issuer`: fingerprint of the CA certificate that issued the serving certificate: the second one of the chain.
    """

    pod: str
    issuer: str = ""
    error: str = ""


class ObservedProxy(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, rename="camel"):
    """What a handshake with one workload showed; `error` says why nothing is known of it.

    `issuer`: fingerprint of the CA certificate that issued the leaf, from the chain on the wire; empty: not in there.
    `authority`: the leaf's authority key identifier, in hex. `trusts`: sorted RFC 4514 subjects of the roots that its
    CertificateRequest names. `live`: whether it follows roots live (`PROXY_CONFIG_XDS_AGENT`); None: not known.
    `started`: of its pod. `seen`: when the round began in which the handshake was made.
    """

    namespace: str
    pod: str
    issuer: str = ""
    authority: str = ""
    trusts: tuple[str, ...] = ()
    not_after: Moment | None = None
    live: bool | None = None
    started: Moment | None = None
    seen: Moment | None = None
    error: str = ""


class ObservedLag(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, rename="camel"):
    """Workloads that don't follow roots live, or may not, whether or not they were asked; `example` is one of them.

    `oldest`: when the first of their pods started; None: of one of them that isn't known.
    """

    workloads: int = 0
    example: str = ""
    oldest: Moment | None = None


class ObservedAgent(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, rename="camel"):
    """How the cluster's CA agent fares, as it says itself.

    `rotation`: the one installed; `wanted`: the one it was told to ask for; `pending`: the one whose key it holds and
    has asked for; 0: none. `roots`: sorted fingerprints of the bundle that it wrote. `crls`: sorted key identifiers,
    in hex, of the CAs whose revocation lists it wrote and istiod was seen to publish. `trouble`: why it waits or has
    refused, a sentence; empty: nothing is wrong. `restored`: it put the previous state back.
    """

    rotation: int = 0
    wanted: int = 0
    pending: int = 0
    roots: tuple[str, ...] = ()
    crls: tuple[str, ...] = ()
    trouble: str = ""
    restored: bool = False


class ObservedTrust(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, rename="camel"):
    """All that is known of a cluster's trust.

    `bundles`: sorted, every set of roots that some namespace shows. `unread`: how many namespaces with workloads of the
    mesh have no such ConfigMap.
    `issuers`: one for each replica of istiod. `proxies`: the newest result of each workload that was probed and is
    still there (the newest 1,000). `sampled_at`: when the last round of handshakes began, in which all of `issuers` and
    some of `proxies` were seen; None: none was made, so both say nothing. `lag`: None where nobody lags. `agent`: None
    where there is none. `istio`: versions of istiod, or empty. `self_signed`: whether istiod signs with a published
    root itself, as it does without `cacerts`; None: not known.
    """

    bundles: tuple[ObservedBundle, ...] = ()
    unread: int = 0
    issuers: tuple[ObservedIssuer, ...] = ()
    proxies: tuple[ObservedProxy, ...] = ()
    sampled_at: Moment | None = None
    lag: ObservedLag | None = None
    agent: ObservedAgent | None = None
    istio: str = ""
    self_signed: bool | None = None
