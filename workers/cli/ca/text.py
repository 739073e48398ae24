"""How certificates stand, as people read it and as scripts do: a table, a timeline, verdicts.

Knows statuses. Decides nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from datetime import datetime, timedelta
from typing import Any, Final

import msgspec
from rich.text import Text

from workers.cli.screen import say, say_item, table
from workers.doctor.clock import aged
from workers.pki.due import Dates
from workers.pki.proposing import Lasting
from workers.trust import ClusterCertificate, Pair, RootStatus, TrustStatus

_BAR: Final = 72
"""Columns of the timeline; with the names beside it it fits into 100."""
_SOON: Final = timedelta(days=365)
"""Before the end of a root people should think of the next one."""


def show_trust(status: TrustStatus, now: datetime) -> None:
    """Everything, what is wrong in colour."""
    say(Text.assemble("mesh ", (status.mesh, "bold")))
    if status.orders is None:
        say("It has no spec.trust, so certificates are left alone. `peermesh ca init-root NAME` begins.")
        return
    _show_orders(status, now)
    say()
    table(("root", "subject", "ends", "trusted by", "signs for"), [_root_row(root, now) for root in status.roots])
    say()
    heads = ("cluster", "issuer", "rotation", "expires", "renews", "phase")
    managed = [cluster for cluster in status.clusters if cluster.managed]
    table(heads, [_cluster_row(cluster, now) for cluster in managed])
    for cluster in managed:
        if cluster.waits:
            said = cluster.waits.removeprefix("waits ")
            say_item(Text.assemble("  ", (cluster.name, "bold"), " waits: "), said)
        _show_lasting(Text.assemble("  ", (cluster.name, "bold"), " since: "), cluster.lasting, now)
    _show_timeline([(cluster.name, cluster.dates) for cluster in managed if cluster.dates], now)
    for cluster in managed:
        _show_trouble(cluster)
    left_alone = [cluster.name for cluster in status.clusters if not cluster.managed]
    if left_alone:
        say()
        say(f"Left alone: {', '.join(left_alone)}. `peermesh ca manage CLUSTER` proposes to look after one.", "dim")


def _show_orders(status: TrustStatus, now: datetime) -> None:
    orders = status.orders
    assert orders is not None
    steps = " · ".join(f"{step} {done}/{of}" for step, (done, of) in status.progress.items())
    arrived = all(done == of for done, of in status.progress.values())
    say(Text.assemble("wanted root ", (orders.root, "bold"), "   ", (steps, "green" if arrived else "yellow")))
    for what, style, said in (
        ("a rollover is paused", "yellow", orders.paused),
        (f"excluded, nobody waits for it: {', '.join(orders.exclude)}", "yellow", orders.exclude),
        (f"compromised roots: {', '.join(orders.compromised)}", "bold red", orders.compromised),
        ("distrust comes first: calls fail until all sign anew", "bold red", orders.distrust_first),
        (f"revoked certificates: {len(orders.revoked)}", "", orders.revoked),
    ):
        if said:
            say(what, style)
    if status.waits:
        say_item("waits: ", status.waits)
    _show_lasting(Text("since: "), status.lasting, now)


def _root_row(root: RootStatus, now: datetime) -> tuple[str | Text, ...]:
    left = root.ends - now
    return (
        Text(root.name, style="bold"),
        f"{root.subject}{' (imported)' if root.imported else ''}",
        Text(f"{root.ends:%Y-%m-%d}", style="red" if left < timedelta() else "yellow" if left < _SOON else ""),
        _names(root.trusted_by),
        _names(root.used_by),
    )


def _names(names: Sequence[str]) -> str:
    return ", ".join(names) if len(names) <= 3 else f"{', '.join(names[:2])} and {len(names) - 2} more"


def _cluster_row(cluster: ClusterCertificate, now: datetime) -> tuple[str | Text, ...]:
    found = cluster.dates
    rotation = f"{cluster.rotation}" if cluster.rotation else "none"
    return (
        Text(cluster.name, style="bold"),
        cluster.root or Text("–", style="dim"),
        f"{rotation}, {cluster.ordered} ordered" if cluster.ordered else rotation,
        _left(found.ends, now, _style(found, now)) if found else Text("–", style="dim"),
        _left(found.renews, now, "") if found else Text("–", style="dim"),
        Text("excluded", style="yellow") if cluster.excluded else Text(cluster.phase),
    )


def _left(at: datetime, now: datetime, style: str) -> Text:
    when = f"in {aged(at - now)}" if at > now else f"{aged(now - at)} ago"
    return Text.assemble(f"{at:%Y-%m-%d} ", (when, style or "dim"))


def _style(found: Dates, now: datetime) -> str:
    if now >= found.last_call:
        return "bold red"
    return "yellow" if now >= found.late else "green"


def _show_lasting(mark: Text, lasting: Sequence[Lasting], now: datetime) -> None:
    """All moments in one paragraph, the mark before it; of one within a day the time is told, of others the day."""
    if lasting:
        parts = (
            Text.assemble(f"{_moment(each.since, now)} ", (f"({aged(now - each.since)})", "dim"), f" {each.what}")
            for each in lasting
        )
        say_item(mark, Text(" · ").join(parts))


def _moment(at: datetime, now: datetime) -> str:
    return f"{at:%H:%M} UTC" if now - at < timedelta(days=1) else f"{at:%Y-%m-%d}"


def _show_timeline(rows: Sequence[tuple[str, Dates]], now: datetime) -> None:
    """A bar for each intermediate, all on one scale."""
    if not rows:
        return
    begin = min(*(found.begins for _, found in rows), now)
    end = max(*(found.ends for _, found in rows), now)
    width = max(len(name) for name, _ in rows) + 2

    def column(at: datetime) -> int:
        return round((_BAR - 1) * ((at - begin) / (end - begin)))

    say()
    dates = f"{begin:%Y-%m-%d}{f'{end:%Y-%m-%d}':>{_BAR - 10}}"
    say(Text(" " * width + dates, style="dim"))
    for name, found in rows:
        say(Text.assemble(f"{name:<{width}}", bar(found, now, column)))
    say(Text(f"{'':<{width}}├ begins   R renews   ! two thirds   ┤ ends   │ now", style="dim"))


def bar(found: Dates, now: datetime, column: Callable[[datetime], int]) -> Text:
    """One intermediate from its beginning to its end."""
    cells = [" "] * _BAR
    for cell in range(column(found.begins), column(found.ends) + 1):
        cells[cell] = "─"
    for at, mark in ((found.begins, "├"), (found.ends, "┤"), (found.late, "!"), (found.renews, "R"), (now, "│")):
        cells[column(at)] = mark
    text = Text("".join(cells).rstrip())
    text.stylize(_style(found, now))
    text.stylize("bold", column(now), column(now) + 1)
    return text


def _show_trouble(cluster: ClusterCertificate) -> None:
    for what, style in _troubles(cluster):
        say_item(Text.assemble("  ", (cluster.name, "bold"), ": "), Text(what, style=style))


def _troubles(cluster: ClusterCertificate) -> Iterator[tuple[str, str]]:
    if cluster.alarm:
        yield cluster.alarm, "red"
    for what in cluster.unmet:
        yield what, "yellow"
    seen = cluster.observed
    agent = seen.agent if seen else None
    if agent and agent.restored:
        yield f"its agent put the previous state back: {agent.trouble or 'istiod refused the new one'}", "red"
    elif agent and agent.trouble:
        yield f"its agent says: {agent.trouble}", "yellow"
    for issuer in seen.issuers if seen else ():
        if issuer.error:
            yield f"what {issuer.pod} signs with isn't known: {issuer.error}", "yellow"


def show_pairs(found: Sequence[Pair], status: TrustStatus) -> None:
    """A verdict for each pair; what fails with its reasons."""
    heads = ("leaf of", "at", "bundle as", "") if found else ()
    table(heads, [(pair.shower, pair.verifier, _source(pair), _verdict(pair)) for pair in found])
    for cluster in status.clusters:
        _show_trouble(cluster)
    unknown = [cluster.name for cluster in status.clusters if cluster.managed and not cluster.rotation]
    if unknown:
        say(f"Not verified, for what they sign with isn't on main: {', '.join(unknown)}.", "yellow")
    failing = sum(bool(pair.why) for pair in found)
    if found:
        say()
    if failing:
        say(f"{failing} of {len(found)} fail: those calls break when the leaves are renewed, if not now.", "red")
    elif found:
        say(f"All {len(found)} accept each other.", "green")
    else:
        say("No two clusters have an intermediate or a bundle on main, so there is nothing to verify.")


def _source(pair: Pair) -> str:
    return "main says" if pair.source == "main" else "observed"


def _verdict(pair: Pair) -> Text:
    return Text(f"refused: {pair.why}", style="red") if pair.why else Text("accepted", style="green")


def trust_value(status: TrustStatus) -> dict[str, Any]:
    """What `ca status --output json` prints."""
    value: dict[str, Any] = msgspec.to_builtins(status)
    value["orders"] = None if status.orders is None else msgspec.to_builtins(status.orders)
    value["progress"] = {step: {"done": done, "of": of} for step, (done, of) in status.progress.items()}
    return value


def pairs_value(found: Sequence[Pair]) -> list[dict[str, Any]]:
    """What `ca verify --output json` prints."""
    return [{"ok": not pair.why, **msgspec.to_builtins(pair)} for pair in found]
