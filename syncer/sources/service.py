"""What is offered of one Service, whatever marked it: ports, identities, and what its annotations ask for.

Knows the Service, what runs it, and Istio's objects that would make the export fail. Knows no mesh and no other
cluster: whether somebody may claim a host or export at all is decided in the centre.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from syncer.cluster import ClusterState
from syncer.cluster.objects import DestinationRule, Metadata, PodSpec, ReplicaSet, Service, Workload
from syncer.protocol.errors import Rejected
from syncer.protocol.labels import ANNOTATIONS, CONSUMERS, EXPORT, EXPORT_TO, HOST, PORTS, PREFIX, SERVICE_ACCOUNTS
from syncer.protocol.names import is_label, is_subdomain
from syncer.protocol.offer import Offer, Refused
from syncer.sources.ports import exported_ports

_HIDDEN: Final = frozenset({".", "~"})
"""Values of exportTo that a gateway in another namespace doesn't see."""
_FINISHED: Final = frozenset({"Succeeded", "Failed"})
_LABELLED: Final = re.compile(r"[A-Za-z0-9._/-]{1,316}=[A-Za-z0-9._-]{0,63}")


@dataclass(frozen=True, kw_only=True)
class _Running:
    """What runs a Service: its pods (finished ones left out), and the templates that would make more of them."""

    pods: tuple[PodSpec, ...]
    templates: tuple[PodSpec, ...]

    def accounts(self) -> set[str]:
        specs = (*self.pods, *self.templates)
        return {spec.service_account_name or spec.service_account or "default" for spec in specs}


def export(state: ClusterState, service: Service, *, source: str, since: str | None) -> Iterator[Offer | Refused]:
    """The offer, with a refusal for each port that is left out of it; or refusals only.

    `since`: the creation of the object that exports, as the API writes it.
    """
    try:
        _check(state, service)
        running = _running(state, service)
        ports, left_out = exported_ports(service, _list(service, PORTS), running.pods or running.templates)
        yield from (refused(service.metadata, source, error) for error in left_out)
        if ports:
            yield Offer(
                namespace=service.metadata.namespace,
                service=service.metadata.name,
                source=source,
                since=_utc(since),
                headless=service.spec.cluster_ip == "None",
                ports=ports,
                service_accounts=_accounts(service, running),
                selector=dict(sorted(service.spec.selector.items())),
                consumers=_names(service, CONSUMERS),
                hosts=_names(service, HOST),
            )
        elif not left_out:
            yield refused(service.metadata, source, Rejected("NoPort", "the Service has no ports"))
    except Rejected as error:
        yield refused(service.metadata, source, error)


def refused(metadata: Metadata, source: str, why: Rejected) -> Refused:
    """A refusal of what `metadata` names."""
    return Refused(
        namespace=metadata.namespace, service=metadata.name, source=source, reason=why.reason, message=str(why)
    )


def _check(state: ClusterState, service: Service) -> None:
    """Raises Rejected for what makes the whole Service unfit."""
    annotations = service.metadata.annotations
    if service.spec.type == "ExternalName":
        raise Rejected("ExternalName", "an ExternalName Service has no pods that could answer")
    for what, keys, known in (("annotation", annotations, ANNOTATIONS), ("label", service.metadata.labels, {EXPORT})):
        for key in sorted(keys):
            if key.startswith(PREFIX) and key not in known:
                remedy = f"Known are label {EXPORT} and annotations {', '.join(sorted(ANNOTATIONS))}."
                raise Rejected("NotEnforced", f"{what} {key[:80]!r} isn't known, so nothing holds it", remedy=remedy)
    visible = _split(annotations.get(EXPORT_TO, "*"))
    if visible and set(visible) <= _HIDDEN:
        what = f"{EXPORT_TO} hides the Service from the gateway's namespace"
        raise Rejected("NotVisible", what, remedy="Add the gateway's namespace, or `*`.")
    for rule in state.destination_rules_by_namespace.get(service.metadata.namespace, ()):
        mode = _other_tls(rule, service)
        if mode:
            what = f"DestinationRule {rule.metadata.name} sets TLS mode {mode}, so the gateway passes nobody through"
            raise Rejected("NotMutualTLS", what, remedy='Use ISTIO_MUTUAL, or exportTo: ["."].')


def _other_tls(rule: DestinationRule, service: Service) -> str:
    """The TLS mode by which a rule for this Service takes it off an AUTO_PASSTHROUGH gateway.

    Source: Istio 1.31, seen live: such a gateway has no endpoints then, and callers get resets.
    """
    name, namespace = service.metadata.name, service.metadata.namespace
    names = {name, f"{name}.{namespace}", f"{name}.{namespace}.svc", f"{name}.{namespace}.svc.cluster.local"}
    if rule.spec.host not in names or (rule.spec.export_to and set(rule.spec.export_to) <= _HIDDEN):
        return ""
    policy = rule.spec.traffic_policy
    modes = (policy.tls.mode, *(port.tls.mode for port in policy.port_level_settings))
    return next((mode for mode in modes if mode not in {"", "ISTIO_MUTUAL"}), "")


def _running(state: ClusterState, service: Service) -> _Running:
    namespace, selector = service.metadata.namespace, service.spec.selector
    if not selector:
        return _Running(pods=(), templates=())
    pods = state.pods_by_namespace.get(namespace, ())
    workloads = state.workloads_by_namespace.get(namespace, ())
    return _Running(
        pods=tuple(
            pod.spec
            for pod in pods
            if pod.status.phase not in _FINISHED and selector.items() <= pod.metadata.labels.items()
        ),
        templates=tuple(
            workload.spec.template.spec
            for workload in workloads
            if selector.items() <= workload.spec.template.metadata.labels.items() and not _is_kept(workload)
        ),
    )


def _is_kept(workload: Workload) -> bool:
    """True for the ReplicaSet of a Deployment: old ones stay, with the accounts of then, and the Deployment counts."""
    return isinstance(workload, ReplicaSet) and any(owner.controller for owner in workload.metadata.owner_references)


def _accounts(service: Service, running: _Running) -> tuple[str, ...]:
    """Observed and declared ones; empty where pods are selected and none is seen."""
    declared = _names(service, SERVICE_ACCOUNTS) or ()
    if not service.spec.selector and not declared:
        what = "without a selector nobody knows which service accounts answer"
        raise Rejected("NoIdentity", what, remedy=f"Declare them in annotation {SERVICE_ACCOUNTS}.")
    return tuple(sorted(running.accounts() | set(declared)))


def _names(service: Service, annotation: str) -> tuple[str, ...] | None:
    """The checked values of an annotation, sorted; None where it is absent."""
    values = _list(service, annotation)
    if values is None:
        return None
    consumers = annotation == CONSUMERS
    for value in values:
        if not (_is_consumer(value) if consumers else is_subdomain(value)):
            allowed = "cluster names or key=value" if consumers else "names of a-z, 0-9, - and ."
            what = f"{annotation} says {value[:80]!r}"
            raise Rejected("BadAnnotation", what, remedy=f"Write {allowed}, separated by commas.")
    return tuple(sorted(set(values)))


def _is_consumer(value: str) -> bool:
    return is_label(value) or _LABELLED.fullmatch(value) is not None


def _list(service: Service, annotation: str) -> tuple[str, ...] | None:
    text = service.metadata.annotations.get(annotation)
    return None if text is None else _split(text)


def _split(text: str) -> tuple[str, ...]:
    return tuple(part for part in map(str.strip, text.split(",")) if part)


def _utc(time: str | None) -> str | None:
    """RFC 3339 in UTC to the second, which sorts as text; None for what isn't a time."""
    try:
        moment = datetime.fromisoformat(time or "")
        return f"{moment.astimezone(UTC):%Y-%m-%dT%H:%M:%S}Z".zfill(20) if moment.tzinfo else None
    except (ValueError, OverflowError):
        return None
