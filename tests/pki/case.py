"""One `cacerts` to be judged, with what its CA signed, and the engines that judge.

Knows no case and no engine's call.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, Final

from cryptography import x509

from syncer.protocol.cacerts import Cacerts
from syncer.protocol.certificates import Certificate
from tests.pki.authority import Authority, key_pem, leaf

TRUST_DOMAIN: Final = "west.acme.example"
ISTIOD, GO, OPENSSL, ENVOY = "istiod", "go", "openssl", "envoy"
ALL: Final = frozenset({ISTIOD, GO, OPENSSL, ENVOY})
PEERS: Final = frozenset({GO, OPENSSL, ENVOY})
"""Those that see the leaf and not the files."""
TOLERATED: Final[frozenset[str]] = frozenset()
"""Nobody refuses it: the rule is ours alone."""


@dataclass(frozen=True, kw_only=True)
class Case:
    """One `cacerts` with its private key, and what this key signed: the leaf of a workload, and istiod's own.

    `rule`: what `cacerts_faults` says (rules as words), empty for nothing. `not_asked`: engines that can't be asked.
    """

    name: str
    cacerts: Cacerts
    key: Any = field(repr=False)
    leaf: Certificate
    serving: Certificate
    leaf_key: Any = field(repr=False)
    now: datetime
    trust_domain: str = TRUST_DOMAIN
    rule: str = ""
    refused_by: frozenset[str] = frozenset()
    not_asked: frozenset[str] = frozenset()

    @property
    def key_pem(self) -> str:
        return key_pem(self.key)


def case(
    name: str, signer: Authority, *, now: datetime, trust_domain: str = TRUST_DOMAIN, key: Any = None, **fields: Any
) -> Case:
    """With what the signer signs, or what this key signs in its name."""
    by = replace(signer, key=key or signer.key)
    workload = leaf(by, f"spiffe://{trust_domain}/ns/shop/sa/web", now=now)
    serving = leaf(by, "", now=now, names=(x509.DNSName("istiod.istio-system.svc"),)).certificate
    return Case(
        name=name,
        key=by.key,
        leaf=workload.certificate,
        leaf_key=workload.key,
        serving=serving,
        now=now,
        trust_domain=trust_domain,
        **fields,
    )
