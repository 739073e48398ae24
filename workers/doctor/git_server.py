"""The forge `git`: a plain Git server says nothing of its rules from afar, a repository on this machine does.

Judges what was read. Makes no call.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from workers.doctor import Finding, NotSeen, ok, unknown, warning, wrong
from workers.doctor.clock import skewed
from workers.doctor.owners import owners_by_pattern, placeholders, unguarded


@dataclass(frozen=True, kw_only=True)
class GitServerSeen:
    """`config` (None elsewhere) and `hooks` of a bare repository that lies here; `clock`: None if nobody tells it.

    `trust`: certificates are looked after.
    """

    repo: str
    config: Mapping[str, str] | None
    hooks: frozenset[str]
    owners: tuple[str, str] | None
    trust: bool
    clock: float | NotSeen | None


def single_files(seen: GitServerSeen) -> Iterator[Finding]:
    """A worker fetches only what it reads, if the server hands out single files."""
    if seen.config is None:
        return
    wanted = ("uploadpack.allowfilter", "uploadpack.allowanysha1inwant")
    off = [name for name in wanted if seen.config.get(name) not in {"true", "1", "yes", "on"}]
    if off:
        remedy = "\n".join(f"$ git -C {seen.repo} config {name} true" for name in off)
        yield warning(f"{' and '.join(off)} aren't set: every worker fetches everything", remedy)
    else:
        yield ok("single files are handed out")


def moves(seen: GitServerSeen) -> Iterator[Finding]:
    """The robot makes its branches again by force, and deletes them."""
    if seen.config is None:
        return
    on = [
        name
        for name in ("receive.denynonfastforwards", "receive.denydeletes")
        if seen.config.get(name) in {"true", "1", "yes", "on"}
    ]
    if on:
        remedy = "\n".join(f"$ git -C {seen.repo} config --unset {name}" for name in on)
        what = f"{' and '.join(on)} hold for peermesh/*, too: proposals can't be made again or closed"
        yield wrong(what, f"{remedy}\nProtect main by a hook instead.")
    else:
        yield ok("branches can be made again and deleted")


def protected(seen: GitServerSeen) -> Iterator[Finding]:
    """Only a hook (or what runs before git: gitolite, ssh) tells the robot's pushes from people's."""
    if deciding := {"pre-receive", "update"} & seen.hooks:
        yield unknown(
            f"a hook ({', '.join(sorted(deciding))}) decides on pushes; what, it doesn't say",
            "It should let the robot push peermesh/* and refs/peermesh/*, and main only if classes are automatic.",
        )
    elif seen.config is not None:
        yield warning(
            "no hook decides on pushes: whoever may write may push to main, the robot too",
            f"Write {seen.repo}/hooks/pre-receive: let the robot push peermesh/* and refs/peermesh/* (main only if "
            "classes are automatic), and people main.",
        )
    else:
        yield unknown(
            "whether main is protected: a Git server doesn't say, and trying would change something",
            "Ask who runs it: the robot should push peermesh/* and refs/peermesh/* only (and main, if classes are "
            "automatic); `peermesh check` should run before main moves.",
        )


def owners(seen: GitServerSeen) -> Iterator[Finding]:
    """Nobody enforces it on a plain server; it says whom to ask."""
    if seen.owners is None:
        return
    path, text = seen.owners
    if left := placeholders(text):
        yield warning(f"{path} still has {', '.join(left)}", f"Put your own teams into {path}.")
        return
    missing = unguarded(text, owners_by_pattern, trust=seen.trust)
    for each in missing:
        what = f"{path} names nobody for {each.what}: {each.why}"
        free = f"\n  {each.free}" if each.free else ""
        yield warning(what, f"Add to {path}, with a team of yours:\n  {each.pattern} @team{free}")
    if not missing:
        named = f"mesh/ and facts/exports/{' and pki/' if seen.trust else ''}"
        yield ok(f"{path} names who reviews {named}; `peermesh approve` doesn't ask for it")


def clock(seen: GitServerSeen) -> Iterator[Finding]:
    """Only a server over http says what time it is."""
    if seen.clock is not None:
        yield skewed("the Git server", seen.clock)


CHECKS: Final[Mapping[str, Callable[[GitServerSeen], Iterable[Finding]]]] = {
    "protection": protected,
    "single files": single_files,
    "robot's branches": moves,
    "code owners": owners,
    "clock": clock,
}
"""What is looked at where proposals are plain branches, in the order in which it is printed."""
