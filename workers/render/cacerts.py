"""What brings a cluster its `cacerts`: a ConfigMap that its CA agent follows, or a SealedSecret.

Neither is ever pruned: an istiod that starts without `cacerts` signs with a root of its own, and every peer breaks.
Knows an AuthorityView. Decides nothing about who trusts whom.
"""

from __future__ import annotations

from typing import Final

from syncer.protocol.cacerts import CHAIN, CRL, ROOTS, SIGNER
from syncer.protocol.trust import AGENT_NAMESPACE
from workers.render.authority import AuthorityView
from workers.render.metadata import Object, managed_object

VIEW: Final = AuthorityView
COMMITTED: Final = "peermesh-cacerts"
"""The ConfigMap, in the agent's namespace."""
SECRET: Final = ("istio-system", "cacerts")
"""Namespace and name of the Secret: what is sealed opens there alone (strict scope)."""
KEY: Final = "ca-key.pem"
SEALED: Final = "bitnami.com/v1alpha1"
KEPT: Final = {
    "argocd.argoproj.io/sync-options": "Prune=false",
    "kustomize.toolkit.fluxcd.io/prune": "disabled",
}
"""What tells Argo CD and Flux to leave it although no file holds it any more."""


def render(view: AuthorityView) -> tuple[Object, ...]:
    """The one object of a cluster."""
    return (_sealed(view) if view.sealed else _committed(view),)


def _files(view: AuthorityView) -> dict[str, str]:
    """The public files of `cacerts`, those that aren't empty."""
    files = {SIGNER: view.certificate, CHAIN: view.chain, ROOTS: view.bundle, CRL: view.crls}
    return {name: text for name, text in files.items() if text}


def _committed(view: AuthorityView) -> Object:
    said = {
        "mesh": view.mesh,
        "cluster": view.cluster,
        "trustDomain": view.trust_domain,
        "rotation": str(view.rotation),
        "wanted": str(view.wanted),
        "reason": view.reason,
        "root": view.root,
        "keyType": view.key_type,
        "renewAfter": view.renew_after,
    }
    data = {**{name: text for name, text in said.items() if text}, **_files(view)}
    return managed_object(
        "v1",
        "ConfigMap",
        name=COMMITTED,
        namespace=AGENT_NAMESPACE,
        source=view.source,
        content={"data": data},
        annotations=KEPT,
    )


def _sealed(view: AuthorityView) -> Object:
    """Strict scope, which is no annotation but the absence of one. The Secret doesn't go with this object."""
    namespace, name = SECRET
    template = {
        "metadata": {"name": name, "namespace": namespace, "annotations": dict(_STAYS)},
        "type": "Opaque",
        "data": _files(view),
    }
    return managed_object(
        SEALED,
        "SealedSecret",
        name=name,
        namespace=namespace,
        source=view.source,
        content={"spec": {"encryptedData": {KEY: view.sealed}, "template": template}},
        annotations=KEPT,
    )


_STAYS: Final = {
    "sealedsecrets.bitnami.com/managed": "true",
    "sealedsecrets.bitnami.com/skip-set-owner-references": "true",
}
