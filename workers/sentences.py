"""Sentences: a change of reach as people read it, in Markdown.

Knows checked names and reach. What comes from a cluster as free text (`Refused.message`) is quoted here; nothing else
needs it. Bounded, so that no forge refuses a body.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Final

from syncer.protocol.names import is_label
from syncer.protocol.observation import GatewayAddress
from syncer.protocol.offer import Refused
from workers.difference import HostChange, WayChange
from workers.documents.kinds import ClusterFacts
from workers.reach import Block, PortWay, Provider, Reach, Way

MAX_BODY: Final = 60_000
"""Characters of a body; GitHub and Gitea refuse more than 65,536 (4-byte) characters."""
_FEW: Final = 5
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]+")


def quoted(text: str, most: int = 300) -> str:
    """Free text from a cluster as code, in one line: no Markdown, mention or link of it takes effect."""
    return f"`{_CONTROL.sub(' ', text)[:most].replace('`', chr(39)).strip() or ' '}`"


def clusters(names: Sequence[str]) -> str:
    """`east and north`, or `98 clusters` where they are many."""
    if len(names) > _FEW:
        return f"{len(names)} clusters"
    return " and ".join(filter(None, (", ".join(names[:-1]), *names[-1:])))


def host_sentences(change: HostChange) -> list[str]:
    """What changes for the callers of one host, a sentence each; consumers of whom the same is said stand together."""
    consumers: dict[tuple[str, str], list[str]] = {}
    for way in change.ways:
        for sentence in _way_sentences(change.host, way):
            consumers.setdefault(sentence, []).extend(way.consumers)
    return [f"{before}{clusters(sorted(names))}{after}" for (before, after), names in consumers.items()]


def _way_sentences(host: str, way: WayChange) -> list[tuple[str, str]]:
    """Sentences in two halves, between which the consumers belong."""
    if way.gained:
        return [(f"`{host}` becomes reachable from ", f": {_answered(way.new)}")]
    if way.lost and way.new.ports:
        return [
            (f"`{host}` **stops being reachable** from ", f" on every port that it had ({_numbers(way.old)})"),
            (f"`{host}` becomes reachable from ", f": {_answered(way.new)}"),
        ]
    if way.lost:
        why = "; ".join(sorted({_block(block.provider, block.detail) for block in way.new.blocked}))
        return [(f"`{host}` **stops being reachable** from ", f" ({why})" if why else "")]
    if way.new.ports:
        return [(f"`{host}`, called from ", f": {what}") for what in _differences(way)]
    return [
        (f"`{host}` can't be called from ", f": {_block(block.provider, block.detail)}")
        for block in way.new.blocked
        if block not in way.old.blocked and block.reason != "NotConsumer"
    ]


def _answered(way: Way) -> str:
    ports = ", ".join(f"{port.number} ({_protocol(port)})" for port in way.ports)
    many = "ports" if len(way.ports) > 1 else "port"
    through = clusters([provider.cluster for provider in way.providers])
    return f"{many} {ports}, answered by {through} as {_identities(way.providers)}"


def _block(provider: str, detail: str) -> str:
    return f"{provider}: {detail}" if provider else detail


def _protocol(port: PortWay) -> str:
    return port.protocol or "protocol detected"


def _numbers(way: Way) -> str:
    return ", ".join(str(port.number) for port in way.ports)


def _identities(providers: Iterable[Provider]) -> str:
    return _quoted(identity for provider in providers for identity in provider.identities)


def _quoted(names: Iterable[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)


def _addresses(addresses: Iterable[GatewayAddress]) -> str:
    return ", ".join(f"{address.ip or address.host}:{address.port}" for address in addresses)


def _differences(way: WayChange) -> list[str]:
    old = {provider.cluster: provider for provider in way.old.providers}
    new = {provider.cluster: provider for provider in way.new.providers}
    lines = [f"{name} answers, too, as {_identities([provider])}" for name, provider in new.items() if name not in old]
    lines += [f"{name} **no longer answers**" for name in old if name not in new]
    for name in sorted(old.keys() & new.keys()):
        lines += _provider_differences(old[name], new[name])
    return lines + _port_differences(way)


def _provider_differences(was: Provider, now: Provider) -> list[str]:
    name, lines = now.cluster, []
    added = sorted(set(now.identities) - set(was.identities))
    removed = sorted(set(was.identities) - set(now.identities))
    if added and removed and not set(was.identities) & set(now.identities):
        lines.append(f"{name} answers as {_quoted(added)} **instead of** {_quoted(removed)}")
    else:
        lines += [f"{name} may answer as {_quoted(added)}"] if added else []
        lines += [f"{name} may no longer answer as {_quoted(removed)}"] if removed else []
    if was.addresses != now.addresses:
        lines.append(f"{name} is reached at {_addresses(now.addresses)} (was {_addresses(was.addresses)})")
    if (was.network, was.locality) != (now.network, now.locality):
        lines.append(f"{name} is in network {now.network}, locality {now.locality or 'unknown'}")
    return lines


def _port_differences(way: WayChange) -> list[str]:
    old = {port.number: port for port in way.old.ports}
    new = {port.number: port for port in way.new.ports}
    lines = []
    for number in sorted(old.keys() | new.keys()):
        before, after = old.get(number), new.get(number)
        if before is None and after is not None:
            lines.append(f"port {number} ({_protocol(after)}) can be called, too")
        elif after is None:
            lines.append(f"port {number} **can no longer be called**")
        elif before is not None and (before.name, before.protocol) != (after.name, after.protocol):
            was = f"{before.name} ({_protocol(before)})"
            lines.append(f"port {number} is {after.name} ({_protocol(after)}) **instead of** {was}")
    return lines


def refusal(cluster: str, refused: Refused) -> str:
    """Why something that people asked to export isn't. All of it is text from a cluster."""
    names = (refused.namespace, refused.service)
    subject = "/".join(name if is_label(name) else quoted(name, 80) for name in names)
    reason = refused.reason if refused.reason.isascii() and refused.reason.isalpha() else quoted(refused.reason, 40)
    return f"{subject} in {cluster}: {reason}" + (f", {quoted(refused.message)}" if refused.message else "")


def conflict_sentences(reach: Reach, changes: Iterable[HostChange]) -> list[str]:
    """The conflicts of the hosts that change."""
    return [
        f"`{change.host}`: {conflict.cluster} loses {f'port {conflict.port}' if conflict.port else 'all ports'} to"
        f" {conflict.winner}, whose export is older: {conflict.what}"
        for change in changes
        if change.host in reach
        for conflict in reach[change.host].conflicts
    ]


def blocked_sentences(changes: Iterable[HostChange]) -> list[str]:
    """Why consumers of the hosts that change can't call some provider, each reason once with those whom it meets."""
    found: dict[tuple[str, Block], list[str]] = {}
    for change in changes:
        for way in change.ways:
            for block in way.new.blocked:
                if block.reason != "NotConsumer":
                    found.setdefault((change.host, block), []).extend(way.consumers)
    return [
        f"`{host}` from {clusters(sorted(names))}{_through(block.provider)}: {block.detail}"
        for (host, block), names in found.items()
    ]


def _through(provider: str) -> str:
    return f" through {provider}" if provider else ""


def cluster_sentences(facts: ClusterFacts) -> list[str]:
    """What main says of a cluster as such when it has these facts."""
    gateway = facts.spec.gateway
    lines = [f"the Service of its gateway shows peers {_addresses(gateway.addresses) or 'no address'}"]
    if gateway.cluster_ip is not None:
        port = "" if gateway.cluster_port is None else f":{gateway.cluster_port}"
        lines.append(f"callers inside reach the gateway at {gateway.cluster_ip}{port}")
    if gateway.wildcard:
        lines.append("people's own Gateway lets every service in, so none of ours stands beside it")
    lines += [
        f"people's own {foreign.kind} {foreign.namespace}/{foreign.name} is for `{foreign.host}`"
        for foreign in facts.spec.foreign
    ]
    return [*lines, f"ways to export that were seen to work: {', '.join(facts.spec.sources) or 'none'}"]


def section(title: str, lines: Iterable[str]) -> str:
    """A titled list; empty without lines."""
    items = "".join(f"- {line}\n" for line in lines)
    return f"### {title}\n\n{items}\n" if items else ""


def bounded(body: str) -> str:
    """The body, cut at a line with a note if it is longer than MAX_BODY."""
    if len(body) <= MAX_BODY:
        return body
    cut = body[: MAX_BODY - 200].rpartition("\n")[0]
    left = body.count("\n") - cut.count("\n")
    return f"{cut}\n\n… {left} more lines. `peermesh show` and the files of the change have all of it.\n"
