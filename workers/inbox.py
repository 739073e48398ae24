"""The inbox on Redis: what waits to be looked at, and what the border may trust.

Knows the keys below `peermesh:inbox.` and the scripts that make each step atomic; the only module that knows redis-py.
Everything here may be lost at any moment. Knows neither what an observation says nor what becomes of it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import datetime
from typing import Any, Final, Protocol, TypeVar

import msgspec
import redis

from syncer.protocol.broker import REMEDY, check_files, tls_trouble
from syncer.protocol.errors import HumanNeeded, Transient
from syncer.protocol.message import KEY_PREFIX, queue
from syncer.protocol.secret import Secret
from workers.outside import BorderKeys, Kept, Lost, Refusal, request_of

NAMESPACE: Final = f"{KEY_PREFIX}inbox."
NEWEST: Final = f"{NAMESPACE}newest"
SEQUENCES: Final = f"{NAMESPACE}sequences"
CONTENTS: Final = f"{NAMESPACE}contents"
REQUESTS: Final = f"{NAMESPACE}requests"
REQUEST_SEQUENCES: Final = f"{NAMESPACE}request-sequences"
REQUEST_CONTENTS: Final = f"{NAMESPACE}request-contents"
CERTIFICATES: Final = f"{NAMESPACE}certificates"
MARKS: Final = f"{NAMESPACE}marks"
SINCE: Final = f"{NAMESPACE}since"
REFUSED: Final = f"{NAMESPACE}refused"
KEYS: Final = f"{NAMESPACE}keys"
SEEN: Final = f"{NAMESPACE}seen"
LOOK: Final = f"{NAMESPACE}look"
BUDGET: Final = f"{NAMESPACE}budget"
LOST: Final = f"{NAMESPACE}lost"
TROUBLES: Final = f"{NAMESPACE}troubles"
LOCK: Final = f"{NAMESPACE}lock"
ASKED: Final = f"{NAMESPACE}asked"

_SECONDS: Final = 5.0
"""How long a command may take before Redis counts as away."""
_LOCK_SECONDS: Final = 30
"""How long a killed worker keeps others waiting. A longer flush may meet a second one: Git's lease decides."""
_ASKED_SECONDS: Final = 30
"""How long a request for a flush keeps others from being sent: the message may have been lost."""

_MARK: Final = """
local function mark(marks, name)
  -- The clock as number: after Redis was wiped, an old mark doesn't pass for a new one.
  local now = redis.call('TIME')
  local last = tonumber(redis.call('HGET', marks, name) or 0)
  redis.call('HSET', marks, name, string.format('%.0f', math.max(last + 1, now[1] * 1000000 + now[2])))
end
"""
_KEEP: Final = (
    _MARK
    + """
local sequences, newest, contents, marks, refused = unpack(KEYS)
local cluster, sequence, kept, content, subject = unpack(ARGV)
if tonumber(redis.call('HGET', sequences, cluster) or -1) >= tonumber(sequence) then return 0 end
redis.call('HSET', sequences, cluster, sequence)
redis.call('HSET', newest, cluster, kept)
redis.call('HDEL', refused, subject)
if redis.call('HGET', contents, cluster) ~= content then
  redis.call('HSET', contents, cluster, content)
  mark(marks, cluster)
end
return 1
"""
)
_MARK_ONE: Final = f"{_MARK} mark(KEYS[1], ARGV[1])"
_SIGNED: Final = f"{_MARK} redis.call('HSET', KEYS[1], ARGV[1], ARGV[2]) mark(KEYS[2], ARGV[1])"
_CLEAR: Final = """
for i = 1, #ARGV, 2 do
  if redis.call('HGET', KEYS[1], ARGV[i]) == ARGV[i + 1] then redis.call('HDEL', KEYS[1], ARGV[i]) end
end
"""
_SINCE: Final = """
local found = {}
for i = 2, #ARGV do found[#found + 1] = redis.call('HGET', KEYS[1], ARGV[i]) or ARGV[1] end
redis.call('DEL', KEYS[1])
for i = 2, #ARGV do redis.call('HSET', KEYS[1], ARGV[i], found[i - 1]) end
return found
"""
T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)


class _Decoder(Protocol[T_co]):
    def decode(self, raw: bytes, /) -> T_co: ...


class RedisInbox:
    """`workers.outside.Inbox` on a Redis; safe to share between threads, made anew after a fork.

    Raises:
        HumanNeeded: a file of certificates that `url` names isn't one.
    """

    def __init__(self, url: Secret) -> None:
        check_files(url)
        self._client = redis.Redis.from_url(
            _redis_url(url.reveal()),
            socket_timeout=_SECONDS,
            socket_connect_timeout=_SECONDS,
            health_check_interval=30,
            driver_info=None,  # as in `channel`
        )
        script = self._client.register_script
        self._keep, self._mark, self._clear = script(_KEEP), script(_MARK_ONE), script(_CLEAR)
        self._since, self._signed = script(_SINCE), script(_SIGNED)

    def keep(self, cluster: str, kept: Kept, *, content: str) -> bool:
        args = (cluster, kept.sequence, msgspec.msgpack.encode(kept), content, cluster)
        with _redis_errors():
            return bool(self._keep(keys=(SEQUENCES, NEWEST, CONTENTS, MARKS, REFUSED), args=args))

    def keep_request(self, cluster: str, kept: Kept, *, content: str) -> bool:
        args = (cluster, kept.sequence, msgspec.msgpack.encode(kept), content, request_of(cluster))
        keys = (REQUEST_SEQUENCES, REQUESTS, REQUEST_CONTENTS, MARKS, REFUSED)
        with _redis_errors():
            return bool(self._keep(keys=keys, args=args))

    def requests(self) -> Mapping[str, Kept]:
        return self._hash(REQUESTS, msgspec.msgpack.Decoder(Kept))

    def keep_certificate(self, cluster: str, document: bytes) -> None:
        with _redis_errors():
            self._signed(keys=(CERTIFICATES, MARKS), args=(cluster, document))

    def certificates(self) -> Mapping[str, bytes]:
        return dict(self._entries(CERTIFICATES))

    def refuse(self, cluster: str, reason: str, what: str, now: datetime) -> None:
        # Two border processes may count one too few between them; it's a number for people.
        before = self.refusals().get(cluster)
        refusal = Refusal(
            reason=reason,
            what=what,
            since=before.since if before else now,
            last=now,
            count=before.count + 1 if before else 1,
        )
        with _redis_errors():
            self._client.hset(REFUSED, cluster, msgspec.json.encode(refusal))

    def refusals(self) -> Mapping[str, Refusal]:
        return self._hash(REFUSED, msgspec.json.Decoder(Refusal))

    def newest(self) -> Mapping[str, Kept]:
        return self._hash(NEWEST, msgspec.msgpack.Decoder(Kept))

    def numbers(self) -> Mapping[str, int]:
        return self._hash(SEQUENCES, msgspec.json.Decoder(int))

    def newest_of(self, cluster: str) -> Kept | None:
        with _redis_errors():
            raw: bytes | None = self._client.hget(NEWEST, cluster)  # type: ignore[assignment] # no decode_responses
        return None if raw is None else _decoded(raw, msgspec.msgpack.Decoder(Kept))

    def marked(self) -> Mapping[str, int]:
        return self._hash(MARKS, msgspec.json.Decoder(int))

    def mark(self, name: str) -> None:
        with _redis_errors():
            self._mark(keys=(MARKS,), args=(name,))

    def clear(self, marked: Mapping[str, int]) -> None:
        with _redis_errors():
            self._clear(keys=(MARKS,), args=[part for mark in marked.items() for part in mark])

    def since(self, names: Iterable[str], now: datetime) -> Mapping[str, datetime]:
        asked = sorted(set(names))
        with _redis_errors():
            found = self._since(keys=(SINCE,), args=(now.isoformat(), *asked))
        return {name: datetime.fromisoformat(raw.decode()) for name, raw in zip(asked, found, strict=True)}

    def lasting(self) -> Mapping[str, datetime]:
        return {name: datetime.fromisoformat(raw.decode()) for name, raw in self._entries(SINCE)}

    def border_keys(self) -> BorderKeys | None:
        return self._value(KEYS, msgspec.json.Decoder(BorderKeys))

    def set_border_keys(self, keys: BorderKeys) -> None:
        self._set(KEYS, msgspec.json.encode(keys))

    def seen(self) -> str | None:
        return self._value(SEEN, msgspec.json.Decoder(str))

    def set_seen(self, fingerprint: str) -> None:
        self._set(SEEN, msgspec.json.encode(fingerprint))

    def look_again(self) -> datetime | None:
        return self._value(LOOK, msgspec.json.Decoder(datetime))

    def set_look_again(self, at: datetime | None) -> None:
        if at is None:
            with _redis_errors():
                self._client.delete(LOOK)
        else:
            self._set(LOOK, msgspec.json.encode(at))

    def budget(self) -> datetime | None:
        return self._value(BUDGET, msgspec.json.Decoder(datetime))

    def set_budget(self, whole: datetime) -> None:
        self._set(BUDGET, msgspec.json.encode(whole))

    def lost(self) -> Sequence[Lost]:
        return self._value(LOST, msgspec.json.Decoder(tuple[Lost, ...])) or ()

    def set_lost(self, lost: Sequence[Lost]) -> None:
        self._set(LOST, msgspec.json.encode(tuple(lost)))

    def say(self, troubles: Mapping[str, str]) -> None:
        self._set(TROUBLES, msgspec.json.encode(dict(troubles)))

    def said(self) -> Mapping[str, str]:
        return self._value(TROUBLES, msgspec.json.Decoder(dict[str, str])) or {}

    @contextmanager
    def lock(self) -> Iterator[bool]:
        lock = self._client.lock(LOCK, timeout=_LOCK_SECONDS, blocking=False, thread_local=False)
        with _redis_errors():
            ours = bool(lock.acquire())
        try:
            yield ours
        finally:
            if ours:
                # Not released, it ends by itself; it may also be somebody else's by now.
                with suppress(redis.RedisError):
                    lock.release()

    # --- what the two Celery apps need beside the use-cases

    def ask(self) -> bool:
        """Whether a message that asks for a flush should be sent: none was in the last seconds, or it was taken."""
        with _redis_errors():
            return bool(self._client.set(ASKED, "1", nx=True, ex=_ASKED_SECONDS))

    def take(self) -> None:
        """A flush begins: from now on news asks for the next one."""
        with _redis_errors():
            self._client.delete(ASKED)

    def trim(self, cluster: str, length: int) -> int:
        """Leave the newest `length` messages in the queue of a cluster; how many there were."""
        with _redis_errors():
            waiting = int(self._client.llen(KEY_PREFIX + queue(cluster)))
            if waiting > length:
                # Celery pushes at the left end.
                self._client.ltrim(KEY_PREFIX + queue(cluster), 0, length - 1)
        return waiting

    def check(self) -> None:
        """Ask whether Redis would serve us.

        Raises:
            HumanNeeded: a person must mend something first.
            Transient: it is away.
        """
        with _redis_errors():
            self._client.ping()

    def answers(self) -> bool:
        """Whether Redis is there; a refusal is an answer, too."""
        try:
            self._client.ping()
        except redis.AuthenticationError:
            return True
        except (redis.ConnectionError, redis.TimeoutError):
            return False
        except redis.RedisError:
            return True
        return True

    def ask_server(self, command: str, *args: str) -> Any:
        """What the server says of itself: `INFO`, `CONFIG GET`, `ACL LIST`; most users may not ask."""
        with _redis_errors():
            return self._client.execute_command(command, *args)  # type: ignore[no-untyped-call]

    def close(self) -> None:
        """Give the connections back."""
        self._client.close()

    def _hash(self, key: str, decoder: _Decoder[T]) -> dict[str, T]:
        values = ((name, _decoded(raw, decoder)) for name, raw in self._entries(key))
        return {name: value for name, value in values if value is not None}

    def _entries(self, key: str) -> Iterable[tuple[str, bytes]]:
        """What is in a hash, sorted by name."""
        with _redis_errors():
            found: dict[bytes, bytes] = self._client.hgetall(key)  # type: ignore[assignment] # no decode_responses
        return ((name.decode(), raw) for name, raw in sorted(found.items()))

    def _value(self, key: str, decoder: _Decoder[T]) -> T | None:
        with _redis_errors():
            raw: bytes | None = self._client.get(key)  # type: ignore[assignment] # no decode_responses
        return None if raw is None else _decoded(raw, decoder)

    def _set(self, key: str, value: bytes) -> None:
        with _redis_errors():
            self._client.set(key, value)


def _decoded(raw: bytes, decoder: _Decoder[T]) -> T | None:
    """What a program of another version wrote and this one can't read is as good as lost."""
    try:
        return decoder.decode(raw)
    except msgspec.DecodeError:
        return None


@contextmanager
def _redis_errors() -> Iterator[None]:
    try:
        yield
    except redis.AuthenticationError as error:
        remedy = "The password in the URL isn't one of those in delivery/redis/users.acl as Redis has it."
        raise HumanNeeded("RedisRefuses", f"Redis doesn't let this user in: {error}", remedy=remedy) from error
    except redis.exceptions.NoPermissionError as error:
        remedy = "`peermesh redis users` writes what each user needs into delivery/redis/users.acl; restart Redis then."
        raise HumanNeeded("RedisRefuses", f"Redis refuses this user: {error}", remedy=remedy) from error
    except redis.RedisError as error:
        if trouble := tls_trouble(error):
            raise HumanNeeded("NoTLS", f"TLS with Redis fails: {trouble}", remedy=REMEDY) from error
        raise Transient("RedisAway", f"Redis doesn't answer as it should: {error}") from error


def _redis_url(url: str) -> str:
    """redis-py's form of the address that Celery takes: they differ for sockets only."""
    address, mark, query = url.partition("?")
    if not address.startswith("redis+socket:"):
        return url
    return address.replace("redis+socket:", "unix:", 1) + mark + query.replace("virtual_host=", "db=")
