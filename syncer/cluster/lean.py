"""What is kept of an object that was read: what an observation can depend on, each value once.

Pure. Twenty thousand pods as they come have 300 MB; what is looked at of them has a few. An object that differs in
nothing that is kept is no change, so that heartbeats of controllers and counters in a status wake nobody up.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any, Final, TypeVar

from msgspec.structs import replace

from syncer.cluster.objects import (
    FOLLOWS_ROOTS,
    MULTIROOT,
    NETWORK,
    PROXY,
    TLS_MODE,
    ConfigMap,
    Container,
    Metadata,
    Pod,
    PodSpec,
    PodStatus,
    ReplicaSet,
    Service,
    Template,
    TemplateMetadata,
    Variable,
    Workload,
    WorkloadSpec,
)
from syncer.protocol.labels import EXPORT_TO, MANAGED_BY, PART_OF, PREFIX

_DISTINCT: Final = 1 << 14
"""Values that are remembered to be shared; what doesn't fit is kept more than once, no more."""
_FINISHED: Final = frozenset({"Succeeded", "Failed"})
_ISTIOD: Final = ("app", "istiod")
_LOOKED_AT: Final = frozenset({EXPORT_TO, MANAGED_BY, NETWORK, PART_OF})
_T = TypeVar("_T")


def lean(item: Any) -> Any | None:
    """The object without what nobody looks at; None if nobody looks at it at all."""
    return _LEAN.get(type(item), _whole)(item)


def _whole(item: Any) -> Any:
    """Everything but labels and annotations of others."""
    metadata = item.metadata
    kept = replace(metadata, labels=_ours(metadata.labels), annotations=_ours(metadata.annotations))
    return replace(item, metadata=kept)


def _service(service: Service) -> Service:
    metadata = service.metadata
    return replace(
        service,
        metadata=replace(
            metadata,
            namespace=sys.intern(metadata.namespace),
            labels=_ours(metadata.labels),
            annotations=_ours(metadata.annotations),
            owner_references=(),
        ),
        spec=replace(
            service.spec, selector=_shared(service.spec.selector), ports=tuple(map(_same, service.spec.ports))
        ),
    )


def _pod(pod: Pod) -> Pod | None:
    if pod.status.phase in _FINISHED:
        return None
    labels, status = pod.metadata.labels.items(), PodStatus()
    if TLS_MODE in labels or _ISTIOD in labels:
        status = replace(pod.status, phase="", host_ip=sys.intern(pod.status.host_ip))
    return Pod(metadata=_named(pod.metadata, pod.metadata.labels), spec=_spec(pod.spec), status=status)


def _config_map(item: ConfigMap) -> ConfigMap:
    """A thousand namespaces have the same roots."""
    kept: ConfigMap = _whole(item)
    return replace(kept, data=_shared(item.data))


def _workload(workload: Workload) -> Workload | None:
    if isinstance(workload, ReplicaSet) and any(owner.controller for owner in workload.metadata.owner_references):
        return None
    template = workload.spec.template
    istiod = _ISTIOD in template.metadata.labels.items()
    return type(workload)(
        metadata=_named(workload.metadata, workload.metadata.labels if istiod else {}),
        spec=WorkloadSpec(
            template=Template(
                metadata=TemplateMetadata(labels=_shared(template.metadata.labels)),
                spec=_spec(template.spec, images=istiod),
            )
        ),
    )


def _named(metadata: Metadata, labels: Mapping[str, str]) -> Metadata:
    return Metadata(name=metadata.name, namespace=sys.intern(metadata.namespace), labels=_shared(labels))


def _spec(spec: PodSpec, *, images: bool = False) -> PodSpec:
    """The service account, the ports that a Service can name, and whether sidecars and istiod follow roots."""
    going_on = (container for container in spec.init_containers if container.restart_policy == "Always")
    kept = PodSpec(
        service_account_name=spec.service_account_name or spec.service_account,
        containers=_ports(spec.containers, images=images),
        init_containers=_ports(going_on, images=images),
    )
    same: PodSpec = _same(kept)
    return same


def _ports(containers: Any, *, images: bool) -> tuple[Container, ...]:
    kept = (
        replace(
            container,
            name=container.name if container.name == PROXY else "",
            image=container.image if images else "",
            env=tuple(one for one in container.env if _follows(one, container, istiod=images)),
            ports=tuple(port for port in container.ports if port.name and port.protocol == "TCP"),
        )
        for container in containers
    )
    return tuple(container for container in kept if container.ports or container.image or container.name)


def _follows(variable: Variable, container: Container, *, istiod: bool) -> bool:
    return variable.name == FOLLOWS_ROOTS if container.name == PROXY else istiod and variable.name == MULTIROOT


def _ours(pairs: Mapping[str, str]) -> dict[str, str]:
    """What we look at among labels or annotations."""
    return _shared({key: value for key, value in pairs.items() if key.startswith(PREFIX) or key in _LOOKED_AT})


@lru_cache(_DISTINCT)
def _same(value: _T) -> _T:
    """The first one of all that are equal."""
    return value


def _shared(pairs: Mapping[str, str]) -> dict[str, str]:
    """The same, for labels. Nobody changes them: the structs that hold them are frozen."""
    return _labels(tuple(sorted(pairs.items())))


@lru_cache(_DISTINCT)
def _labels(pairs: tuple[tuple[str, str], ...]) -> dict[str, str]:
    return {sys.intern(key): sys.intern(value) for key, value in pairs}


_LEAN: Final[Mapping[type[Any], Callable[[Any], Any | None]]] = {
    Service: _service,
    Pod: _pod,
    ConfigMap: _config_map,
    Workload: _workload,
    ReplicaSet: _workload,
}
