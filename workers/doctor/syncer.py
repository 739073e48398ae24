"""A cluster's syncer: whether it can work and is heard, and what only a person's kubeconfig shows of it.

Judges what `seen` holds.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import timedelta
from typing import Final

from workers.doctor import Finding, NotSeen, ok, unknown, warning, wrong
from workers.doctor.clock import aged, skewed
from workers.doctor.seen import ClusterSeen, Inside, Right
from workers.documents.paths import IMPORTS_NAMESPACE, cluster_path

SYNCER_NAMESPACE: Final = "peermesh-system"
_SHOWN: Final = 6
"""So many rights are named: without its ClusterRole it lacks some thirty."""
SILENT: Final = timedelta(minutes=15)
"""Three heartbeats; the border refuses what is older."""


def heard(seen: ClusterSeen) -> Iterator[Finding]:
    """The centre has news of it, and believes it."""
    keys = seen.cluster.spec.syncer.public_keys
    if not keys:
        remedy = f"$ peermesh cluster trust {seen.name} KEY\nKEY is what its syncer logs at its start."
        yield wrong(f"no key of its syncer is trusted ({cluster_path(seen.name)}): nothing it says is believed", remedy)
    if not seen.redis:
        yield unknown("not known whether its syncer is heard", "`--redis-url URL` asks the centre.")
        return
    if seen.refusal is not None:
        said = seen.refusal
        what = f"{said.count} of its messages refused since {said.since:%Y-%m-%d %H:%M} UTC, {said.reason}: {said.what}"
        yield wrong(what, _REFUSALS.get(said.reason, _LOGS).format(kubectl=seen.kubectl, name=seen.name))
    if seen.observation is None:
        if keys and seen.refusal is None:
            yield wrong("its syncer was never heard, or not since Redis was emptied", _logs(seen))
        return
    age = seen.now - seen.observation.observed_at
    if age > SILENT:
        yield wrong(f"its syncer was last heard {aged(age)} ago; it speaks every five minutes", _logs(seen))
    elif seen.refusal is None:
        yield ok(f"its syncer was heard {aged(age)} ago")


_LOGS: Final = "$ {kubectl} -n peermesh-system logs deploy/peermesh-syncer --tail=20"
_REFUSALS: Final[Mapping[str, str]] = {
    "BadSignature": f"{_LOGS}\n$ peermesh cluster trust {{name}} KEY\nKEY is what it logged, if the key is its own.",
    "NoKey": f"{_LOGS}\n$ peermesh cluster trust {{name}} KEY\nKEY is what it logged.",
    "ClockAhead": "Mend the clocks of that cluster's nodes (`timedatectl` there), then restart the syncer:\n"
    "$ {kubectl} -n peermesh-system rollout restart deploy/peermesh-syncer",
    "TooOld": "Mend the clocks of that cluster's nodes: `timedatectl` there.",
}
"""What mends the commonest refusals of the border."""


def _logs(seen: ClusterSeen) -> str:
    return _LOGS.format(kubectl=seen.kubectl)


def namespaces(seen: ClusterSeen, inside: Inside) -> Iterator[Finding]:
    """Nothing renders a namespace: both are made once, by people."""
    wanted = {IMPORTS_NAMESPACE, SYNCER_NAMESPACE}
    if isinstance(inside.namespaces, NotSeen):
        yield unknown(inside.namespaces.why)
    elif missing := sorted(wanted - inside.namespaces):
        what = f"missing: {', '.join(missing)}; nothing can be applied there"
        yield wrong(what, f"$ {seen.kubectl} apply -f delivery/clusters/{seen.name}/namespaces.yaml")
    else:
        yield ok(", ".join(sorted(wanted)))


def apis(seen: ClusterSeen, inside: Inside) -> Iterator[Finding]:
    """Istio's kinds are a must; ServiceExport is one of two ways to export."""
    exports, istio = "multicluster.x-k8s.io", "networking.istio.io"
    facts = seen.tree.facts.clusters.get(seen.name)
    if isinstance(inside.apis, NotSeen):
        yield unknown(inside.apis.why)
        return
    if istio not in inside.apis:
        yield wrong(f"{istio} isn't served: there is no Istio here", f"$ {seen.kubectl} api-resources | grep istio")
    if exports in inside.apis:
        yield ok("ServiceExport is served; people may export with it or with the label")
    elif facts is not None and "serviceexport" in facts.spec.sources:
        yield wrong(
            "ServiceExport is no longer served: what it exported is kept, and can't change or be withdrawn",
            f"Install its CRD again; or, if it is gone for good, take `serviceexport` out of facts/clusters/{seen.name}"
            ".yaml.",
        )
    else:
        yield ok("ServiceExport isn't served; people export with the label")


def rights(seen: ClusterSeen, inside: Inside) -> Iterator[Finding]:
    """The syncer may read what it reads and nothing more; asked of the API server itself, right by right."""
    if isinstance(inside.rights, NotSeen):
        yield unknown(inside.rights.why, "A person with the right to create SubjectAccessReviews may ask.")
        return
    found = inside.rights
    if found.missing:
        what = f"its syncer lacks: {_some(found.missing)}"
        yield wrong(what, f"$ {seen.kubectl} apply -f delivery/clusters/{seen.name}/rights.yaml")
    if found.excess:
        subject = f"system:serviceaccount:{SYNCER_NAMESPACE}:peermesh-syncer"
        yield wrong(
            f"its syncer has more than it needs: {_some(found.excess)}",
            f"Find the binding that gives it, and take its service account out:\n"
            f"$ {seen.kubectl} get clusterrolebindings,rolebindings -A -o wide | grep -e peermesh -e serviceaccounts\n"
            f"$ {seen.kubectl} auth can-i --list --as {subject}",
        )
    if not found.missing and not found.excess:
        yield ok(f"its syncer has the {found.needed} that it needs, and none of those that would be dangerous")


def _some(rights: tuple[Right, ...]) -> str:
    shown = "; ".join(map(str, rights[:_SHOWN]))
    return f"{shown}; and {len(rights) - _SHOWN} more" if len(rights) > _SHOWN else shown


def deployment(seen: ClusterSeen, inside: Inside) -> Iterator[Finding]:
    """Something runs that can be heard."""
    found = inside.syncer
    if isinstance(found, NotSeen):
        yield unknown(found.why)
    elif found is None:
        what = f"no Deployment peermesh-syncer in {SYNCER_NAMESPACE}"
        yield wrong(what, f"$ {seen.kubectl} apply -f delivery/clusters/{seen.name}/")
    elif not found.ready:
        what = f"0 of {found.wanted} replicas are ready{f': {found.message}' if found.message else ''}"
        remedy = f"$ {seen.kubectl} -n {SYNCER_NAMESPACE} describe pods\n{_logs(seen)}"
        yield wrong(what, remedy)
    elif found.ready < found.wanted:
        what = f"{found.ready} of {found.wanted} replicas are ready{f': {found.message}' if found.message else ''}"
        yield warning(what, f"$ {seen.kubectl} -n {SYNCER_NAMESPACE} describe pods")
    else:
        yield ok(f"{found.ready} of {found.wanted} replicas are ready")


def key(seen: ClusterSeen, inside: Inside) -> Iterator[Finding]:
    """The key that it signs with is one that main trusts."""
    if isinstance(inside.key, NotSeen):
        yield unknown(inside.key.why)
    elif inside.key is None:
        what = f"no Secret for its key in {SYNCER_NAMESPACE}; its syncer can't make one"
        yield wrong(what, f"$ {seen.kubectl} apply -f delivery/clusters/{seen.name}/")
    elif not inside.key:
        yield wrong("the Secret for its key holds none: its syncer never started", _logs(seen))
    elif inside.key not in seen.cluster.spec.syncer.public_keys:
        what = f"it signs with {inside.key}, which {cluster_path(seen.name)} doesn't trust"
        yield wrong(what, f"$ peermesh cluster trust {seen.name} {inside.key}")
    else:
        yield ok(f"{inside.key[:20]}… is trusted on main")


def clock(seen: ClusterSeen, inside: Inside) -> Iterator[Finding]:
    """What is observed too far from our time is refused."""
    del seen
    yield skewed("its API server", inside.clock)
