"""What may happen in a history, as sentences, and what it does to the world."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import timedelta
from typing import Any, Final

from msgspec import structs

from syncer.protocol.certificates import fingerprint
from syncer.protocol.request import make_csr
from syncer.protocol.trust import ObservedAgent, ObservedProxy
from tests.histories.teller import Teller, There
from tests.pki import mesh_of_slips as trees
from tests.pki.authority import NOW, Authority, private_key
from workers.documents.strict import Name
from workers.documents.trust import ClusterTrust, Intermediate, IntermediateSpec, Order
from workers.pki import approved
from workers.tree import Tree


def tell(teller: Teller, event: str) -> None:
    """Let it happen, and plan."""
    for pattern, act in _EVENTS:
        if (said := re.fullmatch(pattern, event)) is not None:
            act(teller, *said.groups())
            teller.plan()
            return
    raise ValueError(f"nobody knows how this happens: {event}")


def _join(teller: Teller, names: str, root: str, *, managed: bool = True) -> None:
    """They signed under it all along."""
    steps = {name: ((step.bundle), step.signer) for name, step in teller.main.facts.pki.steps.items()}
    known = dict(teller.main.clusters)
    for name in names.split(", "):
        known[name] = trees.cluster(name, ClusterTrust() if managed else None)
        steps[name] = ((root,), root)
        if root != "old":
            made = teller.issued(name, 1, root)
            teller.put(_document(name, 1, root, made))
    built = trees.tree(*known.values(), steps=steps)
    teller.main = Tree(mesh=teller.main.mesh, clusters=built.clusters, facts=teller.main.facts)
    assert built.facts.pki.trust is not None
    teller.put(built.facts.pki.trust)
    for name in names.split(", "):
        roots, issuer = frozenset({root}), teller.issuer(name)
        teller.clusters[name] = There(
            shown={"shop": roots, "bank": roots},
            issuers={"istiod-0": issuer, "istiod-1": issuer},
            proxies={pod: _proxy(teller, pod, roots, issuer) for pod in ("shop/web", "bank/web")},
        )


def _proxy(teller: Teller, pod: str, roots: frozenset[str], issuer: str) -> ObservedProxy:
    namespace, _, name = pod.partition("/")
    return ObservedProxy(
        namespace=namespace, pod=name, issuer=issuer, trusts=teller.subjects(roots), live=True, started=NOW
    )


def _document(name: str, rotation: int, root: str, made: Authority, **change: Any) -> Intermediate:
    said = {"rotation": rotation, "root": root, "certificate": made.pem, **change}
    return Intermediate(metadata=Name(name=name), spec=IntermediateSpec(**said))


def _newcomer(teller: Teller, name: str) -> None:
    clusters = {**teller.main.clusters, name: trees.cluster(name)}
    teller.main = Tree(mesh=teller.main.mesh, clusters=dict(sorted(clusters.items())), facts=teller.main.facts)


def _self_signed(teller: Teller, name: str) -> None:
    """Its istiod made itself a root before anybody managed it."""
    _newcomer(teller, name)
    roots, issuer = frozenset({"old"}), teller.fingerprint("old")
    teller.clusters[name] = There(shown={"shop": roots}, issuers={"istiod-0": issuer}, proxies={}, self_signed=True)


def _unmanaged(teller: Teller, name: str) -> None:
    clusters = {**teller.main.clusters, name: trees.cluster(name, None)}
    teller.main = Tree(mesh=teller.main.mesh, clusters=dict(sorted(clusters.items())), facts=teller.main.facts)


def _pass(teller: Teller, number: str, unit: str) -> None:
    teller.now += timedelta(**{f"{unit}s": int(number)})


def _order(teller: Teller, orders: str) -> None:
    said: dict[str, Any] = {}
    for word in orders.split():
        field_, _, value = word.partition("=")
        said[field_] = _read(field_, value)
    teller.main = trees.ordered(teller.main, **said)


def _read(name: str, value: str) -> Any:
    if name in {"canary", "exclude", "compromised"}:
        return tuple(value.split(",")) if value else ()
    if name in {"paused", "distrust_first", "crls"}:
        return value == "yes"
    if name == "rotate":
        cluster, rotation, reason = value.split(":")
        return {cluster: Order(rotation=int(rotation), reason=reason)}  # type: ignore[arg-type]
    return value


def _approve(teller: Teller, branches: str) -> None:
    for branch in branches.split(", "):
        (step,) = [step for step in teller.next.steps if step.branch == f"peermesh/trust/{branch}"]
        teller.main = teller.main.with_facts(teller.main.facts.with_changes(step.facts))


def _apply(teller: Teller, names: str) -> None:
    for name in names.split(", "):
        there, step = teller.clusters.get(name), teller.main.facts.pki.steps[name]
        roots, issuer = frozenset(step.bundle), teller.issuer(name)
        standing = teller.main.facts.pki.intermediates.get(name)
        if there is None:
            _join_cold(teller, name, roots, issuer)
            continue
        there.shown = dict.fromkeys(there.shown, roots)
        there.issuers = dict.fromkeys(there.issuers, issuer)
        there.proxies = {
            pod: structs.replace(proxy, issuer=issuer, trusts=teller.subjects(roots)) if proxy.live else proxy
            for pod, proxy in there.proxies.items()
        }
        there.agent = ObservedAgent(
            rotation=standing.spec.rotation if standing else 0,
            roots=tuple(sorted(teller.fingerprint(root) for root in roots)),
        )


def _join_cold(teller: Teller, name: str, roots: frozenset[str], issuer: str) -> None:
    teller.clusters[name] = There(
        shown={"shop": roots}, issuers={"istiod-0": issuer},
        proxies={"shop/web": _proxy(teller, "shop/web", roots, issuer)},
    )  # fmt: skip


def _write(teller: Teller, name: str) -> None:
    """Its agent writes what is on main, and istiod doesn't take it."""
    step = teller.main.facts.pki.steps[name]
    roots = tuple(sorted(teller.fingerprint(root) for root in step.bundle))
    teller.clusters[name].agent = ObservedAgent(rotation=1, roots=roots)


def _restore(teller: Teller, name: str) -> None:
    there = teller.clusters[name]
    there.agent = structs.replace(there.agent, restored=True, trouble="istiod kept the old issuer")


def _silence(teller: Teller, name: str) -> None:
    teller.clusters[name].silent = True


def _hear(teller: Teller, name: str) -> None:
    teller.clusters[name].silent = False


def _show(teller: Teller, namespace: str, name: str, roots: str) -> None:
    teller.clusters[name].shown[namespace] = frozenset(roots.split("+"))


def _have(teller: Teller, pod: str, name: str, roots: str, rotation: str) -> None:
    """A proxy that has roots, and a leaf under an intermediate of its cluster."""
    there = teller.clusters[name]
    issuer = fingerprint(teller.mesh.intermediate(name, int(rotation), under=teller.mesh.root("a")).certificate)
    trusts = teller.subjects(frozenset(roots.split("+")))
    there.proxies[pod] = structs.replace(_proxy(teller, pod, frozenset(), issuer), trusts=trusts)


def _lag(teller: Teller, pod: str, name: str) -> None:
    there = teller.clusters[name]
    there.proxies[pod] = structs.replace(there.proxies[pod], live=False)


def _restart(teller: Teller, pod: str, name: str) -> None:
    """Another pod of that name, with what istiod has now."""
    there, step = teller.clusters[name], teller.main.facts.pki.steps[name]
    fresh = _proxy(teller, pod, frozenset(step.bundle), teller.issuer(name))
    there.proxies[pod] = structs.replace(fresh, live=False, started=teller.now)


def _mute(teller: Teller, pod: str, name: str) -> None:
    there = teller.clusters[name]
    there.proxies[pod] = structs.replace(there.proxies[pod], error="connection refused")


def _sign_still(teller: Teller, istiod: str, name: str, rotation: str) -> None:
    made = teller.mesh.intermediate(name, int(rotation), under=teller.mesh.root("a"))
    teller.clusters[name].issuers[istiod] = fingerprint(made.certificate)


def _run(teller: Teller, name: str, version: str) -> None:
    teller.clusters[name].istio = version


def _ask(teller: Teller, name: str, rotation: str, reason: str, how: str | None) -> None:
    teller.mesh.now = teller.now
    proven = private_key(f"{name}-{int(rotation) - 1}") if how == ", proven" else None
    request = teller.mesh.request(name, int(rotation), reason=reason, current=proven)
    if how == ", with another key":
        csr = make_csr(private_key("another"), mesh="acme", cluster=name, rotation=int(rotation))
        request = structs.replace(request, csr=csr)
    if how == ", with its old key":
        csr = make_csr(private_key(f"{name}-1"), mesh="acme", cluster=name, rotation=int(rotation))
        request = structs.replace(request, csr=csr)
    if how == ", with the CSR of east":
        request = structs.replace(request, csr=teller.mesh.request("east", int(rotation)).csr)
    if how == ", on P-384":
        request = teller.mesh.request(name, int(rotation), reason=reason, kind="P-384")
    teller.requests[name] = request


def _sign(teller: Teller, name: str, how: str | None) -> None:
    """The signer signs what is on main, or somebody else something else."""
    pki = teller.main.facts.pki
    asked, standing = pki.requests[name], pki.intermediates.get(name)
    spec = asked.spec
    made = teller.issued(name, spec.rotation, spec.root)
    lever = approved.lever(spec, standing.spec if standing else None, pki.steps.get(name))
    crossed = pki.roots[spec.root].spec.cross_signed
    change: dict[str, Any] = {"lever": lever}
    if standing is not None and standing.spec.root in crossed and how != ", without a cross certificate":
        change["chain"] = crossed[standing.spec.root] if standing.spec.root != spec.root else ""
    if how == ", and forgets the lever":
        change["lever"] = standing.spec.lever if standing else 0
    if how == ", for another key":
        made = teller.mesh.intermediate("stranger", 9)
    if how == ", without its issuer":
        made = teller.mesh.intermediate(name, spec.rotation, under=teller.mesh.online())
    teller.signed[name] = _document(name, spec.rotation, spec.root, made, **change)


def _sign_unapproved(teller: Teller, name: str, rotation: str) -> None:
    teller.signed[name] = _document(name, int(rotation), "a", teller.issued(name, int(rotation), "a"))


def _lose(teller: Teller) -> None:
    teller.since, teller.requests, teller.signed = {}, {}, {}
    teller.observed.clear()


def _nothing(teller: Teller) -> None:
    """The next flush."""


_EVENTS: Final[tuple[tuple[str, Callable[..., None]], ...]] = (
    (r"([a-z, ]+) signs? under ([a-z]+)", _join),
    (r"([a-z]+) gets a `spec.trust`", _newcomer),
    (r"([a-z]+) gets a `spec.trust`, and is self-signed", _self_signed),
    (r"([a-z]+) isn't managed", _unmanaged),
    (r"(\d+) (minute|hour|day)s? pass", _pass),
    (r"people order (.*)", _order),
    (r"people approve (.*)", _approve),
    (r"([a-z, ]+) appl(?:ies|y)", _apply),
    (r"the agent of ([a-z]+) writes it, and istiod refuses", _write),
    (r"the agent of ([a-z]+) puts the old state back", _restore),
    (r"([a-z]+) falls silent", _silence),
    (r"([a-z]+) is heard again", _hear),
    (r"namespace ([a-z]+) of ([a-z]+) shows ([a-z+]+)", _show),
    (r"([a-z]+/[a-z]+) of ([a-z]+) trusts ([a-z+]+) and has a leaf under (\d+)", _have),
    (r"([a-z]+/[a-z]+) of ([a-z]+) doesn't follow live", _lag),
    (r"([a-z]+/[a-z]+) of ([a-z]+) is restarted", _restart),
    (r"([a-z]+/[a-z]+) of ([a-z]+) can't be asked", _mute),
    (r"(istiod-\d) of ([a-z]+) still signs with (\d+)", _sign_still),
    (r"([a-z]+) runs Istio ([\d.]+)", _run),
    (r"([a-z]+) asks for (\d+): ([a-z]+)(, .*)?", _ask),
    (r"the signer signs ([a-z]+)(, .*)?", _sign),
    (r"somebody signs ([a-z]+) (\d+) unasked", _sign_unapproved),
    (r"Redis is lost", _lose),
    (r"nothing happens", _nothing),
)
