"""The centre: whether Redis keeps what it is given and keeps clusters apart, and whether the processes do their turns.

Judges what was seen. Asks nothing.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

from workers.doctor import Finding, NotSeen, ok, unknown, warning, wrong
from workers.doctor.clock import aged, skewed
from workers.doctor.syncer import SILENT
from workers.outside import Refusal

STUCK: Final = timedelta(minutes=5)
"""Many turns; what made none for so long is stuck (`workers.health`)."""
LONG: Final = 10
"""Messages: the border takes one within a second, and drops what is over 20."""
FULL: Final = 0.8
MAX_BULK: Final = 4 << 20
"""Bytes of one value that Redis should take at most: an observation has at most 1 MiB, in base64 and JSON."""


@dataclass(frozen=True, kw_only=True)
class Account:
    """A Redis user. `commands`: `+lpush` and whatever else it may, after `-@all`; `keys`: `%W~peermesh:…`."""

    on: bool
    commands: frozenset[str]
    keys: frozenset[str]
    channels: frozenset[str]


@dataclass(frozen=True, kw_only=True)
class RedisSeen:
    """A Redis that answers. `where`: without user and password; `private`: nobody else's network is in between.

    `info` and `config` as Redis names them; `accounts` the users that there are, `wanted` those that there should be;
    `waiting` messages by queue; `unknown_users`: syncers' users of clusters that main doesn't have.
    """

    where: str
    private: bool
    tls: bool
    info: Mapping[str, str] | NotSeen
    config: Mapping[str, str] | NotSeen
    accounts: Mapping[str, Account] | NotSeen
    wanted: Mapping[str, Account]
    waiting: Mapping[str, int] | NotSeen
    clock: float | NotSeen
    observed_at: Mapping[str, datetime] | NotSeen = field(default_factory=dict)
    refusals: Mapping[str, Refusal] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class CenterSeen:
    """Everything that was seen of the centre. `redis` None: no address is known; `trusted`: clusters that may speak.

    `turns`: by process when it last did its turn, None if it didn't yet; `turns` itself is None if nobody asked.
    """

    now: datetime
    redis: RedisSeen | NotSeen | None
    trusted: tuple[str, ...]
    turns: Mapping[str, datetime | None] | NotSeen | None = None


_ADMIN: Final = "`--redis-url URL` with a user that may ask it (INFO, CONFIG GET, ACL GETUSER)."
_TRUE: Final = frozenset({"yes", "1"})
_SYNCER: Final = "syncer-"
"""What the user of a cluster's syncer begins with (`workers.acl`)."""
_Check = Callable[[CenterSeen, RedisSeen], Iterator[Finding]]


def answers(seen: CenterSeen) -> Iterator[Finding]:
    """Without Redis nothing is learned; what main says stays."""
    match seen.redis:
        case None:
            yield unknown("no address of Redis is known", "`--redis-url URL`, or PEERMESH_BROKER_URL.")
        case NotSeen(why=why):
            yield wrong(why, "$ redis-cli -u URL ping\nAddress, password and certificate: PEERMESH_BROKER_URL.")
        case RedisSeen():
            version = "" if isinstance(seen.redis.info, NotSeen) else _version(seen.redis.info)
            yield ok(f"{seen.redis.where} answers{version}")


def _version(info: Mapping[str, str]) -> str:
    return f" ({info.get('server_name', 'redis')} {info.get('valkey_version') or info.get('redis_version', '')})"


def _redis(look: _Check) -> Callable[[CenterSeen], Iterable[Finding]]:
    def check(seen: CenterSeen) -> Iterable[Finding]:
        return look(seen, seen.redis) if isinstance(seen.redis, RedisSeen) else ()

    return check


def encrypted(seen: CenterSeen, redis: RedisSeen) -> Iterator[Finding]:
    """Passwords and what clusters say cross networks."""
    del seen
    if redis.tls:
        yield ok("by TLS")
    elif redis.private:
        yield ok("by loopback or a socket of this machine")
    else:
        yield wrong(
            f"{redis.where} is called in plain text: passwords can be read on the way",
            "Set tls-port, tls-cert-file, tls-key-file and tls-ca-cert-file in redis.conf, and `port 0`;\n"
            "then `rediss://` in every PEERMESH_…_URL.",
        )
    if redis.tls and not isinstance(redis.config, NotSeen) and redis.config.get("port", "0") != "0":
        what = f"port {redis.config['port']} still takes connections in plain text"
        yield warning(what, "$ redis-cli CONFIG SET port 0")


def persistence(seen: CenterSeen, redis: RedisSeen) -> Iterator[Finding]:
    """What is lost comes back with the next heartbeats; until then the centre is blind."""
    del seen
    if isinstance(redis.config, NotSeen) or isinstance(redis.info, NotSeen):
        yield unknown(f"whether it keeps what it is given: {_why(redis.config, redis.info)}", _ADMIN)
    elif redis.config.get("appendonly") not in _TRUE:
        yield warning(
            "appendonly is off: after a restart nothing is known until the next heartbeats, five minutes",
            "$ redis-cli CONFIG SET appendonly yes && redis-cli CONFIG REWRITE",
        )
    elif redis.info.get("aof_last_write_status", "ok") != "ok":
        yield wrong(
            "it can't write its append-only file: the disk is full, perhaps", "$ df -h; redis-cli INFO persistence"
        )
    else:
        yield ok(f"appendonly, fsync {redis.config.get('appendfsync', 'everysec')}")


def memory(seen: CenterSeen, redis: RedisSeen) -> Iterator[Finding]:
    """An ACL doesn't bound how much a cluster pushes."""
    del seen
    if isinstance(redis.config, NotSeen) or isinstance(redis.info, NotSeen):
        yield unknown(f"how much memory it may take: {_why(redis.config, redis.info)}", _ADMIN)
        return
    most, used = int(redis.config.get("maxmemory", "0")), int(redis.info.get("used_memory", "0"))
    policy = redis.config.get("maxmemory-policy", "")
    if not most:
        remedy = "$ redis-cli CONFIG SET maxmemory 256mb && redis-cli CONFIG REWRITE"
        yield wrong("maxmemory isn't set: one cluster can fill the machine", remedy)
    if policy != "noeviction":
        remedy = "$ redis-cli CONFIG SET maxmemory-policy noeviction && redis-cli CONFIG REWRITE"
        yield wrong(f"maxmemory-policy is {policy}: it throws queues and observations away when it is full", remedy)
    if most and used > FULL * most:
        what = f"{used / most:.0%} of maxmemory are used; when it is full nothing more is taken from anybody"
        yield warning(what, "$ redis-cli --bigkeys\n$ redis-cli CONFIG SET maxmemory 512mb && redis-cli CONFIG REWRITE")
    elif most and policy == "noeviction":
        yield ok(f"{used >> 20} of {most >> 20} MiB used, noeviction")
    if int(redis.config.get("proto-max-bulk-len", "0")) > MAX_BULK:
        remedy = "$ redis-cli CONFIG SET proto-max-bulk-len 4mb && redis-cli CONFIG REWRITE"
        yield warning("one value may have more than 4 MiB (proto-max-bulk-len)", remedy)


def users(seen: CenterSeen, redis: RedisSeen) -> Iterator[Finding]:
    """Each user may do what it needs and nothing else; that is what keeps clusters apart."""
    del seen
    if isinstance(redis.accounts, NotSeen):
        yield unknown(f"what its users may: {redis.accounts.why}", _ADMIN)
        return
    default = redis.accounts.get("default")
    if default is not None and default.on:
        remedy = "$ redis-cli ACL SETUSER default off\nOnly once every process has its own user."
        yield wrong("user default is on: who reaches it may do everything", remedy)
    good = 0
    for name, wanted in sorted(redis.wanted.items()):
        problem = _account(name, wanted, redis.accounts.get(name))
        good += problem is None
        if problem is not None:
            yield problem
    stale = [name for name in sorted(redis.accounts.keys() - redis.wanted.keys()) if name.startswith(_SYNCER)]
    if stale:
        remedy = f"$ redis-cli ACL DELUSER {' '.join(stale)}"
        yield warning(f"users of clusters that main doesn't have: {', '.join(stale)}", remedy)
    if good:
        yield ok(f"{good} of {len(redis.wanted)} users have exactly what they need")


def _account(name: str, wanted: Account, found: Account | None) -> Finding | None:
    if found is None:
        return wrong(f"there is no user {name}", f"{_password(name)}\nCommit delivery/redis/users.acl, restart Redis.")
    if not found.on:
        return wrong(f"user {name} is off", f"$ redis-cli ACL SETUSER {name} on")
    parts = ("commands", "keys", "channels")
    more = sorted({right for part in parts for right in getattr(found, part) - getattr(wanted, part)} - _HARMLESS)
    less = sorted({right for part in parts for right in getattr(wanted, part) - getattr(found, part)} - _HARMLESS)
    if not more and not less:
        return None
    said = [f"{word}: {' '.join(rights)}" for word, rights in (("too much", more), ("lacks", less)) if rights]
    remedy = f"{_setuser(name, wanted)}\nThat lasts until Redis restarts; for good:\n$ peermesh redis users"
    return wrong(f"user {name}: {'; '.join(said)}", remedy)


_HARMLESS: Final = {"+client|setinfo"}
"""Without it a connection leaves an entry in the log of the ACL; a Redis before 7.2 doesn't know it."""


def _password(name: str) -> str:
    what = name.removeprefix("peermesh-")
    command = f"redis password {what}" if what != name else f"cluster password {name.removeprefix(_SYNCER)}"
    return f"$ peermesh {command} --password-file FILE"


def _setuser(name: str, wanted: Account) -> str:
    keys = " ".join(f"'{key}'" for key in sorted(wanted.keys))
    commands = " ".join(sorted(wanted.commands))
    return f"$ redis-cli ACL SETUSER {name} resetkeys resetchannels -@all {commands} {keys}"


def queues(seen: CenterSeen, redis: RedisSeen) -> Iterator[Finding]:
    """What waits long shows a process that takes nothing."""
    del seen
    if isinstance(redis.waiting, NotSeen):
        yield unknown(f"how much waits: {redis.waiting.why}", _ADMIN)
        return
    for name, length in sorted(redis.waiting.items()):
        if length > LONG:
            process = "worker" if name == "work" else "receive"
            what = f"{length} messages wait in {name}: `peermesh {process}` takes none, or not enough"
            yield wrong(what, f"$ kubectl -n peermesh-system logs deploy/peermesh-{process} --tail=20")
    if all(length <= LONG for length in redis.waiting.values()):
        yield ok(f"{sum(redis.waiting.values())} messages wait")


def heard(seen: CenterSeen, redis: RedisSeen) -> Iterator[Finding]:
    """Each cluster speaks every five minutes."""
    if isinstance(redis.observed_at, NotSeen):
        yield unknown(f"who was heard when: {redis.observed_at.why}")
        return
    fresh = []
    for name in seen.trusted:
        at, refusal = redis.observed_at.get(name), redis.refusals.get(name)
        if refusal is not None:
            yield wrong(f"{name}: refused, {refusal.reason}: {refusal.what}", f"$ peermesh doctor cluster {name}")
        elif at is None:
            yield wrong(f"{name} was never heard, or not since Redis was emptied", f"$ peermesh doctor cluster {name}")
        elif seen.now - at > SILENT:
            yield wrong(f"{name} was last heard {aged(seen.now - at)} ago", f"$ peermesh doctor cluster {name}")
        else:
            fresh.append(f"{name} {aged(seen.now - at)} ago")
    if fresh:
        yield ok(", ".join(fresh))


def turns(seen: CenterSeen) -> Iterator[Finding]:
    """A worker looks at the repository every ten seconds, the border at its queues."""
    if seen.turns is None:
        yield unknown(
            "when the worker last looked at the repository", "`--metrics HOST:PORT`, as PEERMESH_METRICS has it."
        )
        return
    if isinstance(seen.turns, NotSeen):
        yield wrong(seen.turns.why, "$ peermesh worker\nOr another address: PEERMESH_METRICS of that process.")
        return
    for process, at in sorted(seen.turns.items()):
        logs = f"$ kubectl -n peermesh-system logs deploy/peermesh-{process} --tail=20"
        if at is None:
            yield warning(f"{process} did no turn yet", logs)
        elif seen.now - at > STUCK:
            yield wrong(f"{process} did its last turn {aged(seen.now - at)} ago", logs)
        else:
            yield ok(f"{process} did its last turn {aged(seen.now - at)} ago")


def clock(seen: CenterSeen, redis: RedisSeen) -> Iterator[Finding]:
    """Marks are made with the clock of Redis."""
    del seen
    yield skewed("Redis", redis.clock)


CHECKS: Final[Mapping[str, Callable[[CenterSeen], Iterable[Finding]]]] = {
    "Redis": answers,
    "encryption": _redis(encrypted),
    "persistence": _redis(persistence),
    "memory": _redis(memory),
    "users": _redis(users),
    "queues": _redis(queues),
    "heard": _redis(heard),
    "turns": turns,
    "clock": _redis(clock),
}
"""What is looked at in the centre, in the order in which it is printed."""


def accounts_of(lines: Iterable[str]) -> Mapping[str, Account]:
    """Users by name, from the lines of an ACL file or of `ACL LIST`, which are alike."""
    found = {}
    for line in lines:
        match line.split():
            case ["user", name, *rules]:
                found[name] = _account_of(rules)
    return found


def _account_of(rules: Iterable[str]) -> Account:
    rules = tuple(rules)
    keys = {rule for rule in rules if re.match(r"~|%[RW]+~", rule)}
    channels = {rule for rule in rules if rule.startswith("&")}
    silent = {"on", "off", "resetkeys", "resetchannels", "sanitize-payload", "skip-sanitize-payload"}
    # `-get` takes away only from what a `+@…` gives, which is too much anyway.
    others = {rule for rule in rules if not rule.startswith(("#", ">", "-"))} - keys - channels - silent
    return Account(on="on" in rules, commands=frozenset(others), keys=frozenset(keys), channels=frozenset(channels))


def _why(*values: object) -> str:
    return next(value.why for value in values if isinstance(value, NotSeen))
