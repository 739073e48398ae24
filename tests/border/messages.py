"""What clusters push: honest messages, and every kind of hostile one with the reason for which it is refused."""

from __future__ import annotations

import base64
import gzip
import json
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

from syncer.protocol.message import OBSERVE, arguments, queue
from syncer.protocol.observation import Observation, pack
from syncer.protocol.offer import Offer
from syncer.protocol.signature import OBSERVATION, SigningKey
from syncer.protocol.trust import ObservedTrust
from workers.outside import BorderKeys

WEST = SigningKey.from_seed(b"w" * 32)
EAST = SigningKey.from_seed(b"e" * 32)
AGENT = SigningKey.from_seed(b"a" * 32)
KEYS = BorderKeys(
    mesh="acme",
    keys={"east": (EAST.public,), "new": (), "west": (WEST.public,)},
    agents={"west": (AGENT.public,)},
)
WEST_QUEUE = queue("west")


def microseconds(when: datetime) -> int:
    return (when - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)


def observation(now: datetime, *, offers: int = 0, **changes: Any) -> Observation:
    """What west says at `now`: so many offers."""
    names = [f"service-{number:03}" for number in range(offers)]
    honest = Observation(
        mesh="acme",
        cluster="west",
        sequence=microseconds(now),
        observed_at=now,
        sources=("label",),
        offers=tuple(
            Offer(namespace="shop", service=name, source="label", service_accounts=(name,), selector={"app": name})
            for name in names
        ),
    )
    return msgspec.structs.replace(honest, **changes)


def sign(packed: bytes, *, key: SigningKey = WEST, mesh: str = "acme", cluster: str = "west") -> bytes:
    return key.sign(OBSERVATION, mesh, cluster, packed)


def honest_args(now: datetime, **changes: Any) -> tuple[str, str, str]:
    packed = pack(observation(now, **changes))
    return arguments("west", packed, sign(packed))


def message(
    args: Any, *, body: Any = None, embed: Any = None, kwargs: Any = None, **changes: Mapping[str, Any]
) -> bytes:
    """A message as Celery 5.7 sends it (protocol 2). `headers`, `properties`, `top`: what is different."""
    embedded = {"callbacks": None, "errbacks": None, "chain": None, "chord": None, **(embed or {})}
    content = json.dumps([args, kwargs or {}, embedded]).encode() if body is None else body
    headers: dict[str, Any] = {
        "lang": "py",
        "task": OBSERVE,
        "id": "0b5cf8b0-25a3-4f4b-8d7d-6a3b0ff0e1a1",
        "shadow": None,
        "eta": None,
        "expires": None,
        "group": None,
        "retries": 0,
        "timelimit": [None, None],
        "parent_id": None,
        "ignore_result": False,
        "stamped_headers": None,
        "stamps": {},
    }
    properties: dict[str, Any] = {
        "correlation_id": headers["id"],
        "delivery_mode": 2,
        "delivery_info": {"exchange": "", "routing_key": WEST_QUEUE},
        "priority": 0,
        "body_encoding": "base64",
        "delivery_tag": "6e1e9c3c-1f0a-4b0f-9a53-0d6d3a6c6d1e",
    }
    whole = {
        "body": base64.b64encode(content).decode() if isinstance(content, bytes) else content,
        "content-encoding": "utf-8",
        "content-type": "application/json",
        "headers": {**headers, **changes.get("headers", {})},
        "properties": {**properties, **changes.get("properties", {})},
        **changes.get("top", {}),
    }
    return json.dumps({name: part for name, part in whole.items() if part != "missing"}).encode()


def honest(now: datetime, **changes: Any) -> bytes:
    return message(honest_args(now, **changes))


def protocol_1(args: Any) -> bytes:
    """A message as Celery 3 sent it: the task stands in the body."""
    body = {"task": OBSERVE, "id": "1", "args": args, "kwargs": {}, "retries": 0, "eta": None}
    return message(None, body=json.dumps(body).encode(), top={"headers": {}})


def signed(packed: bytes, **how: Any) -> tuple[str, str, str]:
    return arguments("west", packed, sign(packed, **how))


_DEEP = 100_000
_args = honest_args

NO_MESSAGE: Mapping[str, tuple[str, Callable[[datetime], bytes]]] = {
    "nothing": ("NotAMessage", lambda _: b""),
    "no JSON": ("NotAMessage", lambda _: b"garbage{"),
    "no UTF-8": ("NotAMessage", lambda _: b"\xff\xfe\x00"),
    "half a message": ("NotAMessage", lambda now: honest(now)[:200]),
    "two messages": ("NotAMessage", lambda now: honest(now) + honest(now)),
    "null": ("NotAMessage", lambda _: b"null"),
    "a number": ("NotAMessage", lambda _: b"1e999"),
    "a list": ("NotAMessage", lambda _: b"[]"),
    "an empty object": ("NotAMessage", lambda _: b"{}"),
    "lists in lists": ("NotAMessage", lambda _: b"[" * _DEEP),
    "objects in objects": ("NotAMessage", lambda _: b'{"a":' * _DEEP),
    "lists in a header": (
        "NotAMessage",
        lambda now: honest(now).replace(b'"eta": null', b'"eta": ' + b"[" * _DEEP + b"]" * _DEEP),
    ),
    "headers are a list": ("NotAMessage", lambda now: message(_args(now), top={"headers": []})),
    "headers are null": ("NotAMessage", lambda now: message(_args(now), top={"headers": None})),
    "headers are missing": ("NotAMessage", lambda now: message(_args(now), top={"headers": "missing"})),
    "properties are a text": ("NotAMessage", lambda now: message(_args(now), top={"properties": "x"})),
    "properties are missing": ("NotAMessage", lambda now: message(_args(now), top={"properties": "missing"})),
    "the body is a number": ("NotAMessage", lambda now: message(_args(now), top={"body": 7})),
    "the body is missing": ("NotAMessage", lambda now: message(_args(now), top={"body": "missing"})),
    "the task is a list": ("NotAMessage", lambda now: message(_args(now), headers={"task": [OBSERVE]})),
    "protocol 1": ("NotAMessage", lambda now: protocol_1(_args(now))),
    "a hundred times too large": ("TooLarge", lambda _: b"x" * (100 << 20)),
    "a little too large": ("TooLarge", lambda now: message(_args(now), headers={"stamps": {"x": "y" * (2 << 20)}})),
    "another task": ("ForeignTask", lambda now: message(_args(now), headers={"task": "flush"})),
    "a task that Celery brings": ("ForeignTask", lambda now: message(_args(now), headers={"task": "celery.starmap"})),
    "a task with a newline": ("ForeignTask", lambda now: message(_args(now), headers={"task": "observe\nflush"})),
    "an eta": ("Scheduled", lambda now: message(_args(now), headers={"eta": "2026-11-24T09:00:00+00:00"})),
    "an expiry": ("Scheduled", lambda now: message(_args(now), headers={"expires": "2026-11-24T09:00:00+00:00"})),
    "a time limit": ("Scheduled", lambda now: message(_args(now), headers={"timelimit": [1, None]})),
    "a time limit of another form": ("Scheduled", lambda now: message(_args(now), headers={"timelimit": 0})),
    "a group": ("Scheduled", lambda now: message(_args(now), headers={"group": "g"})),
    "pickle": (
        "BadEncoding",
        lambda now: message(_args(now), top={"content-type": "application/x-python-serialize"}),
    ),
    "YAML": ("BadEncoding", lambda now: message(_args(now), top={"content-type": "application/x-yaml"})),
    "binary": ("BadEncoding", lambda now: message(_args(now), top={"content-encoding": "binary"})),
    "no base64": ("BadEncoding", lambda now: message(_args(now), properties={"body_encoding": "utf-8"})),
    "compressed": ("BadEncoding", lambda now: message(_args(now), headers={"compression": "application/x-gzip"})),
    "base64 that isn't": ("BadMessage", lambda now: message(_args(now), top={"body": "%%%"})),
    "a body that isn't JSON": ("BadMessage", lambda now: message(_args(now), body=b"garbage{")),
    "a body that isn't UTF-8": ("BadMessage", lambda now: message(_args(now), body=b'[["\xff"], {}, {}]')),
    "a body of lists in lists": ("BadMessage", lambda now: message(_args(now), body=b"[" * _DEEP)),
    "a body of two parts": ("BadMessage", lambda now: message(_args(now), body=b"[[], {}]")),
    "a body of other parts": ("BadMessage", lambda now: message(_args(now), body=b"[{}, [], 1]")),
    "arguments by name": ("BadMessage", lambda now: message(_args(now), kwargs={"now": 1})),
    "no arguments": ("BadMessage", lambda _: message([])),
    "two arguments": ("BadMessage", lambda now: message(_args(now)[:2])),
    "four arguments": ("BadMessage", lambda now: message([*_args(now), "x"])),
    "arguments that are numbers": ("BadMessage", lambda _: message([1, 2, 3])),
    "arguments of kombu's own types": (
        "BadMessage",
        lambda now: message([_args(now)[0], {"__type__": "bytes", "__value__": "x"}, "AA=="]),
    ),
    "arguments that aren't base64": ("BadMessage", lambda _: message(["west", "%%%", "%%%"])),
    "arguments beyond ASCII": ("BadMessage", lambda _: message(["west", "ü", "ü"])),
    "a callback": ("Chained", lambda now: message(_args(now), embed={"callbacks": [{"task": "flush"}]})),
    "a callback for errors": ("Chained", lambda now: message(_args(now), embed={"errbacks": [{"task": "flush"}]})),
    "a chain": ("Chained", lambda now: message(_args(now), embed={"chain": [{"task": "flush"}]})),
    "a chord": ("Chained", lambda now: message(_args(now), embed={"chord": {"task": "flush"}})),
    "in another cluster's name": ("WrongQueue", lambda now: message(["east", *_args(now)[1:]])),
    "a cluster that climbs": ("WrongQueue", lambda now: message(["../../etc", *_args(now)[1:]])),
    "a cluster with a newline": ("WrongQueue", lambda now: message(["west\nPaused: x", *_args(now)[1:]])),
    "a cluster of 300 characters": ("WrongQueue", lambda now: message(["w" * 300, *_args(now)[1:]])),
    "a cluster without a name": ("WrongQueue", lambda now: message(["", *_args(now)[1:]])),
}
"""What never reaches Celery."""


def _changed(now: datetime, **changes: Any) -> tuple[str, str, str]:
    return signed(pack(observation(now, **changes)))


NOT_BELIEVED: Mapping[str, tuple[str, Callable[[datetime], tuple[str, str, str]]]] = {
    "signed by another cluster": ("BadSignature", lambda now: signed(pack(observation(now)), key=EAST)),
    "signed for another mesh": ("BadSignature", lambda now: signed(pack(observation(now)), mesh="other")),
    "signed for another cluster": ("BadSignature", lambda now: signed(pack(observation(now)), cluster="east")),
    "signed for another purpose": (
        "BadSignature",
        lambda now: arguments("west", pack(observation(now)), WEST.sign("x", "acme", "west", pack(observation(now)))),
    ),
    "a signature of zeros": ("BadSignature", lambda now: arguments("west", pack(observation(now)), bytes(64))),
    "no signature": ("BadSignature", lambda now: arguments("west", pack(observation(now)), b"")),
    "changed after it was signed": (
        "BadSignature",
        lambda now: arguments("west", pack(observation(now, offers=1)), sign(pack(observation(now)))),
    ),
    "too large": ("TooLarge", lambda _: signed(bytes(1_100_000))),
    "a zip bomb": ("TooLarge", lambda _: signed(gzip.compress(bytes(100 << 20), 1))),
    "not gzip": ("NotGzip", lambda _: signed(b"garbage{")),
    "nothing": ("NotGzip", lambda _: signed(b"")),
    "gzip with something behind": ("NotGzip", lambda now: signed(pack(observation(now)) + b"x")),
    "no JSON in gzip": ("BadObservation", lambda _: signed(gzip.compress(b"garbage{"))),
    "lists in lists": ("BadObservation", lambda _: signed(gzip.compress(b"[" * _DEEP))),
    "unknown fields in each other": (
        "BadObservation",
        lambda _: signed(gzip.compress(b'{"x":' + b'{"x":' * _DEEP + b"1" + b"}" * _DEEP + b"}")),
    ),
    "an unknown format": ("UnknownFormat", lambda now: _changed(now, format=2)),
    "a time without zone": ("BadObservation", lambda now: _changed(now, observed_at=now.replace(tzinfo=None))),
    "a time of trust without zone": (
        "BadObservation",
        lambda now: _changed(now, trust=ObservedTrust(sampled_at=now.replace(tzinfo=None))),
    ),
    "of another mesh": ("WrongCluster", lambda now: _changed(now, mesh="other\nmesh")),
    "of another cluster": ("WrongCluster", lambda now: _changed(now, cluster="../east")),
    "sixteen minutes old": ("TooOld", lambda now: _changed(now, observed_at=now - timedelta(minutes=16))),
    "from the year one": ("TooOld", lambda now: _changed(now, observed_at=datetime(1, 1, 1, tzinfo=UTC))),
    "six minutes ahead": ("ClockAhead", lambda now: _changed(now, observed_at=now + timedelta(minutes=6))),
    "of the year 9999": ("ClockAhead", lambda now: _changed(now, observed_at=datetime(9999, 12, 31, tzinfo=UTC))),
    "a number far ahead": ("ClockAhead", lambda now: _changed(now, sequence=2**62)),
    "a number of an hour ahead": (
        "ClockAhead",
        lambda now: _changed(now, sequence=microseconds(now + timedelta(hours=1))),
    ),
}
"""What is a message, and isn't kept."""
