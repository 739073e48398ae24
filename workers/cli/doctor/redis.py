"""What a Redis and the processes around it say of themselves. Changes nothing.

Each thing is asked by itself, so that a user that may little hides only what it may not ask.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from typing import Final, TypeVar
from urllib.parse import urlsplit

import urllib3
from prometheus_client.parser import text_string_to_metric_families

from syncer.protocol.errors import PeermeshError
from syncer.protocol.message import KEY_PREFIX, queue
from syncer.protocol.observation import unpack
from syncer.protocol.secret import Secret
from workers.acl import acl_lines
from workers.broker import WORK
from workers.doctor import NotSeen
from workers.doctor.center import RedisSeen, accounts_of
from workers.inbox import RedisInbox

_CONFIG: Final = (
    "appendonly",
    "appendfsync",
    "maxmemory",
    "maxmemory-policy",
    "proto-max-bulk-len",
    "port",
    "tls-port",
)
_TURNS: Final = {
    "peermesh_last_sweep_timestamp_seconds": "worker",
    "peermesh_last_listened_timestamp_seconds": "receive",
}
_SECONDS: Final = 5.0
_T = TypeVar("_T")


def look_at_redis(url: str, clusters: Iterable[str]) -> RedisSeen | NotSeen:
    """What is judged of a Redis whose users are those of these clusters; NotSeen: it doesn't let us in at all."""
    inbox = RedisInbox(Secret(url))
    try:
        inbox.ask_server("PING")
        return _looked(inbox, url, tuple(clusters))
    except PeermeshError as error:
        return NotSeen(why=f"{_where(url)}: {error.what}")
    finally:
        inbox.close()


def _looked(inbox: RedisInbox, url: str, clusters: tuple[str, ...]) -> RedisSeen:
    nobody = Secret("")
    wanted = accounts_of(
        acl_lines(dict.fromkeys(clusters, nobody), border=nobody, worker=nobody).splitlines(),
    )
    refusals = _seen(inbox.refusals)
    return RedisSeen(
        where=_where(url),
        private=urlsplit(url).hostname in {None, "localhost", "127.0.0.1", "::1"},
        tls=url.startswith("rediss:"),
        info=_seen(lambda: _texts(inbox.ask_server("INFO"))),
        config=_seen(lambda: _texts(inbox.ask_server("CONFIG GET", *_CONFIG))),
        accounts=_seen(lambda: accounts_of(map(_text, inbox.ask_server("ACL LIST")))),
        wanted={name: account for name, account in wanted.items() if name != "default"},
        waiting=_seen(lambda: {name: _length(inbox, name) for name in (WORK, *map(queue, clusters))}),
        clock=_seen(lambda: _ahead(inbox)),
        observed_at=_seen(lambda: {name: unpack(kept.packed).observed_at for name, kept in inbox.newest().items()}),
        refusals={} if isinstance(refusals, NotSeen) else refusals,
    )


def _seen(look: Callable[[], _T]) -> _T | NotSeen:
    try:
        return look()
    except PeermeshError as error:
        return NotSeen(why=error.what)


def _length(inbox: RedisInbox, name: str) -> int:
    return int(inbox.ask_server("LLEN", KEY_PREFIX + name))


def _ahead(inbox: RedisInbox) -> float:
    before = time.time()
    seconds, micro = inbox.ask_server("TIME")
    return float(seconds + micro / 1_000_000 - (before + time.time()) / 2)


def _texts(found: Mapping[object, object]) -> Mapping[str, str]:
    return {_text(name): _text(value) for name, value in found.items()}


def _text(value: object) -> str:
    return value.decode(errors="replace") if isinstance(value, bytes) else str(value)


def _where(url: str) -> str:
    parts = urlsplit(url)
    return parts.path if parts.hostname is None else f"{parts.hostname}:{parts.port or 6379}"


def look_at_turns(addresses: Iterable[str]) -> Mapping[str, datetime | None] | NotSeen:
    """When the processes whose metrics are served there did their last turn; an address whose process did none yet."""
    found: dict[str, datetime | None] = {}
    for address in addresses:
        try:
            answer = urllib3.request("GET", f"http://{address}/metrics", timeout=_SECONDS, retries=False)
        except (urllib3.exceptions.HTTPError, ValueError) as error:
            return NotSeen(why=f"{address} serves no metrics ({type(error).__name__})")
        turns = _turns(answer.data.decode(errors="replace"))
        found.update(turns or {address: None})
    return found


def _turns(text: str) -> dict[str, datetime | None]:
    """Every process has all gauges; those of the others stay at zero."""
    samples = (sample for family in text_string_to_metric_families(text) for sample in family.samples)
    return {
        _TURNS[sample.name]: datetime.fromtimestamp(sample.value, UTC)
        for sample in samples
        if sample.name in _TURNS and sample.value
    }
