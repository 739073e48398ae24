"""Who can call a service, from where, through whom, or why not: as people read it and as scripts do.

Knows reach. Decides nothing.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec
from rich.text import Text

from workers.cli.screen import say, say_indented, styled, table
from workers.documents.paths import export_path
from workers.explain import Explanation
from workers.reach import HostReach, Provider, Way
from workers.sentences import clusters, refusal


def show_explanation(found: Explanation, consumer: str | None) -> None:
    """The service, then each of its hosts with those who call it, then what stands in the way."""
    say(Text(str(found.key), style="bold"))
    for export in found.exports:
        since = f"since {export.spec.since}" if export.spec.since else "of unknown age"
        say_indented(f"exported by {export.cluster} {since} ({export_path(found.key, export.cluster)})", 2)
    if not found.exports:
        say_indented(_nobody(found), 2)
    for cluster, entry in found.refused:
        say_indented(Text.assemble(("not exported: ", "yellow"), styled(refusal(cluster, entry))), 2)
    for host in found.reach:
        say()
        _show_host(host, consumer)


def _nobody(found: Explanation) -> str:
    if found.host is None:
        return "exported by nobody"
    addresses = ", ".join(f"{name} ({address})" for name, address in found.host.spec.addresses.items())
    return f"exported by nobody now; {clusters(found.host.spec.providers)} did, and {addresses} stays reserved"


def _show_host(host: HostReach, consumer: str | None) -> None:
    say(Text.assemble((host.name, "bold cyan"), f"   {host.address}"))
    groups: dict[Way, list[str]] = {}
    for name, way in host.ways.items():
        if consumer in {None, name}:
            groups.setdefault(way, []).append(name)
    for way, names in groups.items():
        _show_way(way, sorted(names))
    for conflict in host.conflicts:
        what = f"port {conflict.port}" if conflict.port else "all ports"
        line = f"{conflict.cluster} loses {what} to {conflict.winner}, whose export is older: {conflict.what}"
        say_indented(Text.assemble(("conflict: ", "yellow"), line), 2)


def _show_way(way: Way, names: list[str]) -> None:
    say_indented(Text.assemble("from ", (clusters(names), "bold"), "" if way.ports else (": can't call it", "red")), 2)
    if way.ports:
        ports = [(f"    {port.number}", f"{port.name} ({port.protocol or 'protocol detected'})") for port in way.ports]
        answers = [f"answered by {', '.join(port.providers)}" for port in way.ports]
        table(("", "", ""), [(*port, answer) for port, answer in zip(ports, answers, strict=True)])
        table(
            ("", "", ""),
            [(f"    {p.cluster}", f"at {_addresses(p)}", f"as {', '.join(p.identities)}") for p in way.providers],
        )
    for block in _told(way, names):
        say_indented(Text.assemble(("not ", "yellow"), f"through {block.provider or 'anybody'}: {block.detail}"), 4)


def _told(way: Way, names: Iterable[str]) -> Any:
    return [block for block in way.blocked if block.provider not in names or block.reason != "NotConsumer"]


def _addresses(provider: Provider) -> str:
    return ", ".join(f"{address.ip or address.host}:{address.port}" for address in provider.addresses)


def explanation_value(found: Explanation, consumer: str | None) -> dict[str, Any]:
    """What `explain --output json` prints."""
    return {
        "service": str(found.key),
        "exports": [msgspec.to_builtins(export) for export in found.exports],
        "host": None if found.host is None else msgspec.to_builtins(found.host),
        "hosts": [
            {
                "name": host.name,
                "address": host.address,
                "callers": {
                    name: msgspec.to_builtins(way) for name, way in host.ways.items() if consumer in {None, name}
                },
                "conflicts": [msgspec.to_builtins(conflict) for conflict in host.conflicts],
            }
            for host in found.reach
        ],
        "refused": [{"cluster": cluster, **msgspec.to_builtins(entry)} for cluster, entry in found.refused],
    }
