"""The gates: what must have been seen of a cluster before the next step, and why it isn't so yet.

Each is a question about one cluster and one root, answered with the empty string (open) or the reason why not, with
its remedy. What isn't known closes a gate: silence, a handshake that failed, an issuer that stands nowhere. Knows what
was observed (`state`), no order of steps and no documents. `trust.md` of Istio's behaviour is behind each:

- The ConfigMap of a namespace shows what the leading istiod took, not what any proxy has: so proxies are asked, too.
- A proxy that doesn't follow roots live learns them with its next certificate: so one workload lifetime passes.
- istiod refuses in silence: so only what is seen counts, never what was written.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta
from typing import Final

from workers.pki.state import FRESH, UNKNOWN, Member, Proxy, State, minutes

KUBELETS: Final = timedelta(minutes=2)
"""Two of a kubelet's periods: what is written is mounted and taken by then, or it was refused."""

SILENT: Final = "Mend its syncer, or exclude the cluster: `peermesh ca exclude {}`."
"""What is to be done about a cluster (its name) that nothing is heard of."""
_UNREAD: Final = "istiod publishes them wherever its `discoverySelectors` let it; pods start there no more without."
_PROBE: Final = "Mend or delete the pod, or let the syncer reach it (NetworkPolicy)."


def shows(member: Member, root: str) -> str:
    """Every namespace's ConfigMap has the root, or can't have it and proxies were seen to get it all the same."""
    if member.sight.blind:
        return f"{member.sight.blind}. {SILENT.format(member.name)}"
    if not member.sight.shown:
        return f"no namespace shows roots (`istio-ca-root-cert`). {_unwritten(member)}"
    for shown in member.sight.shown:
        if root not in shown.roots and not _by_mesh_config(member, root):
            return f"namespace {shown.example} doesn't show root {root} yet. {_unwritten(member)}"
    if member.sight.unread:
        return f"{member.sight.unread} namespaces with workloads show no roots (`istio-ca-root-cert`). {_UNREAD}"
    return ""


def _by_mesh_config(member: Member, root: str) -> bool:
    """An istiod without `cacerts` publishes its own root alone, whatever its mesh config lets proxies trust: there only
    these can tell, and all that are asked must trust the root before a gate opens.
    """
    own = member.sight.self_signed and not member.root
    return own and any(root in proxy.trusts for proxy in member.sight.proxies)


def takes(member: Member, root: str, state: State) -> str:
    """It shows the root, and every proxy that follows live was seen to trust it since."""
    return shows(member, root) or _proxies_trust(member, root, state, live_only=True)


def trusts(member: Member, root: str, state: State) -> str:
    """It shows the root, and every proxy that was asked since trusts it."""
    return shows(member, root) or _proxies_trust(member, root, state, live_only=False)


def issues_off(member: Member, root: str) -> str:
    """No replica of istiod signs under the root, or may do so for all that is known."""
    if member.sight.blind:
        return f"{member.sight.blind}. {SILENT.format(member.name)}"
    if root in member.uses:
        return f"it has no intermediate under another root than {root} yet"
    if not member.sight.istiods:
        return f"no replica of istiod was seen. {SILENT.format(member.name)}"
    for istiod in member.sight.istiods:
        if istiod.error:
            return f"istiod {istiod.pod} can't be asked: {istiod.error}. {_PROBE}"
        if istiod.under in {root, UNKNOWN}:
            how = "under" if istiod.under == root else "with"
            return f"istiod {istiod.pod} still signs {how} {istiod.issuer}. {_unwritten(member)}"
    return ""


def signs_off(member: Member, root: str, state: State) -> str:
    """No istiod signs under the root, and no proxy that follows live has a leaf under it."""
    return issues_off(member, root) or _leaves_off(member, root, state, live_only=True)


def free_of(member: Member, root: str, state: State) -> str:
    """No istiod signs under the root, and no proxy that was asked since has a leaf under it."""
    return issues_off(member, root) or _leaves_off(member, root, state, live_only=False)


def without(member: Member, root: str) -> str:
    """No namespace shows the root any more, and no proxy that follows live trusts it."""
    if member.sight.blind:
        return f"{member.sight.blind}. {SILENT.format(member.name)}"
    for shown in member.sight.shown:
        if root in shown.roots:
            return f"namespace {shown.example} still shows root {root}. {_unwritten(member)}"
    for proxy in member.sight.proxies:
        if proxy.live and not proxy.error and root in proxy.trusts:
            return f"{proxy.name} still trusts root {root}. Is that in `caCertificates` of the mesh configuration, too?"
    return ""


# --- gates that must have been open for a while


def condition(member: Member, gate: str, root: str) -> str:
    """The name under which it is remembered since when a gate is open."""
    return f"trust/{member.name}/{gate}/{root}"


def unseen(member: Member) -> str:
    """The name under which it is remembered since when what is written isn't seen."""
    return f"trust/{member.name}/unseen/{'+'.join(sorted(member.bundle))}/{member.rotation}"


def soaked(member: Member, gate: str, root: str, why: str, state: State) -> str:
    """Why a gate isn't open, or hasn't been for long enough."""
    return why or lacking(member, gate, root, state, state.soak)


def lacking(member: Member, gate: str, root: str, state: State, soak: timedelta) -> str:
    """Why a gate that is open hasn't been so for long enough."""
    lasted = state.lasted(condition(member, gate, root))
    if soak and (lasted is None or lasted < soak):
        return f"seen for {minutes(lasted or timedelta())}; the next step waits for {minutes(soak)}"
    return ""


def aged(member: Member, gate: str, root: str, state: State) -> str:
    """Where proxies don't follow live, one workload lifetime passes since a gate opened, or all of them are younger.

    Not again in a cluster that signs under the root itself: this had passed before it began to.
    """
    if gate == "shows" and root == member.root:
        return ""
    since = state.since.get(condition(member, gate, root))
    if since is not None and state.now - since >= state.lifetime:
        return ""
    for name, started in _lagging(member):
        if since is None or started is None or started < since:
            left = state.lifetime - (state.now - since if since is not None else timedelta())
            return (
                f"{name} doesn't follow roots live: another {minutes(left)} pass until all such certificates are"
                " new. Restarting these pods shortens it; `PROXY_CONFIG_XDS_AGENT` ends it for good."
            )
    return ""


def _lagging(member: Member) -> Iterator[tuple[str, datetime | None]]:
    """Names and starts of workloads that don't follow live: of those asked, and the oldest of all there are, because
    one that wasn't asked yet (its syncer has just begun) waits like any other.
    """
    yield from ((proxy.name, proxy.started) for proxy in member.sight.proxies if not proxy.live)
    if (lag := member.sight.lag) is not None:
        yield lag.example, lag.oldest


def trusted(member: Member, root: str, state: State) -> str:
    """The gate of signing: it trusts the root, long enough, and so do proxies that don't follow live."""
    return soaked(member, "trusts", root, trusts(member, root, state), state) or aged(member, "shows", root, state)


def freed(member: Member, root: str, state: State) -> str:
    """The gate of distrust: nothing of it is under the root, for long enough."""
    return soaked(member, "free-of", root, free_of(member, root, state), state) or aged(
        member, "issues-off", root, state
    )


def taken(member: Member, root: str, state: State) -> str:
    """What the next cluster waits for before it gets the root, too."""
    return soaked(member, "takes", root, takes(member, root, state), state)


def signed_off(member: Member, root: str, state: State) -> str:
    """What the next cluster waits for before it signs under another root, too."""
    return soaked(member, "signs-off", root, signs_off(member, root, state), state)


def dropped(member: Member, root: str, state: State) -> str:
    """What the next cluster waits for before it distrusts the root, too."""
    return soaked(member, "without", root, without(member, root), state)


def holding(state: State, roots: Iterable[str]) -> frozenset[str]:
    """The conditions that hold now, by name: of what people wait for, since when it has been so.

    Those of a cluster whose syncer was just started are remembered for as long as an observation is fresh. No gate is
    open meanwhile; but a wait of a workload's lifetime doesn't begin anew for a syncer's upgrade.
    """
    names = tuple(roots)
    found = {name for member in state.members if member.is_born for name in _holding(member, names, state)}
    for member in state.members:
        if member.sight.begins:
            begun = condition(member, "begins", "")
            found.add(begun)
            if (state.lasted(begun) or timedelta()) <= FRESH:
                found.update(name for name in state.since if name.startswith(f"trust/{member.name}/"))
    return frozenset(found)


def _holding(member: Member, roots: Iterable[str], state: State) -> Iterator[str]:
    for root in roots:
        answers = {
            "shows": shows(member, root),
            "takes": takes(member, root, state),
            "trusts": trusts(member, root, state),
            "issues-off": issues_off(member, root),
            "signs-off": signs_off(member, root, state),
            "free-of": free_of(member, root, state),
            "without": without(member, root),
        }
        yield from (condition(member, gate, root) for gate, why in answers.items() if not why)


# --- proxies


def _proxies_trust(member: Member, root: str, state: State, *, live_only: bool) -> str:
    since = state.since.get(condition(member, "shows", root), state.now)
    for proxy in member.sight.proxies:
        if proxy.live or not live_only:
            if why := _unasked(proxy, since):
                return why
            if root not in proxy.trusts:
                return f"{proxy.name} doesn't trust root {root} yet. {_unwritten(member)}"
    return ""


def _leaves_off(member: Member, root: str, state: State, *, live_only: bool) -> str:
    since = state.since.get(condition(member, "issues-off", root), state.now)
    for proxy in member.sight.proxies:
        if proxy.live or not live_only:
            if why := _unasked(proxy, since):
                return why
            if proxy.under in {root, UNKNOWN}:
                how = "under" if proxy.under == root else "of"
                return f"the certificate of {proxy.name} is still {how} {proxy.issuer}"
    return ""


def _unasked(proxy: Proxy, since: datetime) -> str:
    """Whether what is known of it is older than what must be known."""
    if proxy.error:
        return f"{proxy.name} can't be asked: {proxy.error}. {_PROBE}"
    if proxy.seen < since:
        return f"{proxy.name} wasn't asked since"
    return ""


def _unwritten(member: Member) -> str:
    """Who is to be looked at where something isn't seen that main says."""
    agent = member.sight.agent
    if agent is not None and agent.restored:
        return f"Its agent has put the previous state back: {agent.trouble or 'istiod refused the new one'}."
    if agent is not None and agent.trouble:
        return f"Its agent says: {agent.trouble}."
    if is_written(member):
        return "It is written; istiod takes it within two kubelet periods, or has refused it."
    return "Its sync unit `ca` or its agent hasn't written it yet."


def is_written(member: Member) -> bool:
    """Whether its agent says that it wrote what main says."""
    agent = member.sight.agent
    return agent is not None and frozenset(agent.roots) == member.written and agent.rotation == member.rotation
