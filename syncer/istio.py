"""How Istio is set up in a cluster, as far as its objects show: for `doctor`, `status` and gates, never for facts.

Pure. Says what is set, never whether that is good. What can't be known is left out.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, Final

import yaml

from syncer.cluster import ClusterState
from syncer.cluster.objects import FOLLOWS_ROOTS, ISTIO_CONFIG, MULTIROOT, NETWORK, Workload

TRUE: Final = frozenset({"1", "t", "true"})
"""What Go's `strconv.ParseBool` takes for true, in lower case."""
_TAG: Final = re.compile(r":v?(\d+\.\d+[A-Za-z0-9._-]*)(?:@|\Z)")
_VARIANTS: Final = re.compile(r"-(?:distroless|debug|default)\Z")
_VERSION_LABEL: Final = "app.kubernetes.io/version"


def istio_settings(state: ClusterState, istio_namespace: str) -> Iterator[tuple[str, str]]:
    """`istio.<setting>` and its value."""
    versions = istio_versions(state, istio_namespace)
    if versions:
        yield "istio.version", ",".join(versions)
    istiods = tuple(_istiods(state, istio_namespace))
    if istiods:
        yield "istio.multiroot", "true" if all(map(_takes_roots, istiods)) else "false"
    for namespace in state.namespaces:
        if namespace.metadata.name == istio_namespace and namespace.metadata.labels.get(NETWORK):
            yield "istio.network", namespace.metadata.labels[NETWORK]
    config = _mesh_config(state, istio_namespace)
    if config is not None:
        yield from _of_mesh_config(config)
    if config is None or config.get("rootNamespace", istio_namespace) == istio_namespace:
        yield from _mutual_tls(state, istio_namespace)


def istio_versions(state: ClusterState, istio_namespace: str) -> tuple[str, ...]:
    """Those of all istiods, sorted, as far as their images or charts say them."""
    found = {version for workload in _istiods(state, istio_namespace) for version in _versions(workload)}
    return tuple(sorted(found))


def _istiods(state: ClusterState, istio_namespace: str) -> Iterator[Workload]:
    for workload in state.workloads_by_namespace.get(istio_namespace, ()):
        if workload.spec.template.metadata.labels.get("app") == "istiod":
            yield workload


def _takes_roots(istiod: Workload) -> bool:
    variables = (one for container in istiod.spec.template.spec.containers for one in container.env)
    return any(one.name == MULTIROOT and one.value.lower() in TRUE for one in variables)


def _versions(istiod: Workload) -> Iterator[str]:
    """The tag of its image; where that is a digest or a name, what its chart says."""
    tags = [tag for container in istiod.spec.template.spec.containers for tag in _TAG.findall(container.image)]
    if tags:
        yield _VARIANTS.sub("", tags[0])
    elif _VERSION_LABEL in istiod.metadata.labels:
        yield istiod.metadata.labels[_VERSION_LABEL]


def _mesh_config(state: ClusterState, istio_namespace: str) -> dict[str, Any] | None:
    """`meshConfig`; None where it isn't there or can't be read (then istiod goes on with the one before)."""
    for config_map in state.config_maps:
        if (config_map.metadata.namespace, config_map.metadata.name) == (istio_namespace, ISTIO_CONFIG):
            try:
                config = yaml.load(config_map.data.get("mesh", ""), Loader=yaml.CSafeLoader)
            except (yaml.YAMLError, ValueError, RecursionError):
                return None
            return config if isinstance(config, dict) else None if config else {}
    return None


def _of_mesh_config(config: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Defaults are those of Istio (`pkg/config/mesh/mesh.go`, DefaultMeshConfig)."""
    own = str(config.get("trustDomain") or "cluster.local")
    yield "istio.trustDomain", own
    accepted = {own, *_texts(config.get("trustDomainAliases"))}
    for authority in _dicts(config.get("caCertificates")):
        accepted |= _texts(authority.get("trustDomains"))
    yield "istio.trustDomains", ",".join(sorted(accepted))
    metadata = _dict(_dict(config.get("defaultConfig")).get("proxyMetadata"))
    captured = str(metadata.get("ISTIO_META_DNS_CAPTURE", "")).lower() == "true"
    yield "istio.dnsCapture", "true" if captured else "false"
    follows = str(metadata.get(FOLLOWS_ROOTS, "")).lower() in TRUE
    yield "istio.followsRoots", "true" if follows else "false"


def _mutual_tls(state: ClusterState, istio_namespace: str) -> Iterator[tuple[str, str]]:
    """What holds for the whole mesh: the oldest PeerAuthentication of the root namespace that selects no workload.

    Source: Istio, `pilot/pkg/model/authentication.go`.
    """
    if state.peer_authentications is None:
        return
    whole = [
        policy
        for policy in state.peer_authentications
        if policy.metadata.namespace == istio_namespace and not policy.spec.selector.match_labels
    ]
    oldest = min(whole, key=lambda one: (one.metadata.creation_timestamp or "", one.metadata.name), default=None)
    yield "istio.mtls", (oldest.spec.mtls.mode if oldest else "") or "UNSET"


def _dict(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _dicts(value: Any) -> list[dict[str, Any]]:
    return [one for one in value if isinstance(one, dict)] if isinstance(value, list) else []


def _texts(value: Any) -> set[str]:
    return {str(one) for one in value} if isinstance(value, list) else set()
