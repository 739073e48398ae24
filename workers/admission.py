"""Admission: which bytes on a border queue are a message, before any library reads them.

What a cluster pushes is read strictly and once, and handed on as a message that is made here: of what was sent it holds
the two arguments and nothing else, so no header, callback, tag or route of a cluster's choice reaches Celery or kombu.
Knows the form of Celery's messages (protocol 2). Knows no keys and no Redis: whether to believe it is decided later.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from typing import Any, Final

import msgspec

from syncer.protocol.errors import Rejected
from syncer.protocol.message import TASKS, arguments, cluster_of, parse_arguments
from syncer.protocol.observation import MAX_PACKED

MAX_MESSAGE: Final = 2 * MAX_PACKED
"""Bytes of a whole message: base64 within base64 makes 16/9 of an observation."""


class _Headers(msgspec.Struct, frozen=True, kw_only=True):
    task: str
    eta: Any = None
    expires: Any = None
    timelimit: Any = None
    group: Any = None
    compression: Any = None


class _Properties(msgspec.Struct, frozen=True, kw_only=True):
    body_encoding: str


class _Message(msgspec.Struct, frozen=True, kw_only=True, rename="kebab"):
    body: str
    content_type: str
    content_encoding: str
    headers: _Headers
    properties: _Properties


_message = msgspec.json.Decoder(_Message)
_body = msgspec.json.Decoder(tuple[list[Any], dict[str, Any], dict[str, Any]])
_unreadable = (msgspec.DecodeError, UnicodeDecodeError, RecursionError, binascii.Error, ValueError)


def admit(queue: str, raw: bytes) -> bytes:
    """The message to hand on for `raw`, found in `queue`; the same again for what was handed on before.

    Raises:
        Rejected: too large, not a message, another task, scheduled, chained, for another queue.
    """
    if len(raw) > MAX_MESSAGE:
        raise Rejected("TooLarge", f"a message of {len(raw)} bytes; at most {MAX_MESSAGE} are accepted")
    try:
        message = _message.decode(raw)
    except _unreadable as error:
        raise Rejected("NotAMessage", f"bytes that are no message of Celery's protocol 2: {error}") from error
    _check(message)
    try:
        args, kwargs, embedded = _body.decode(base64.b64decode(message.body, validate=True))
    except _unreadable as error:
        raise Rejected("BadMessage", f"a message whose body can't be read: {error}") from error
    if kwargs:
        raise Rejected("BadMessage", f"a message with {len(kwargs)} arguments by name; there are none")
    if any(embedded.values()):
        raise Rejected("Chained", "a message that names further tasks", remedy="Nothing of it was run.")
    cluster, packed, signature = parse_arguments(args)
    if cluster != cluster_of(queue):
        raise Rejected("WrongQueue", f"a message of {cluster[:63]!r} in the queue {queue}")
    identity = hashlib.sha256(raw).hexdigest()[:32]
    return _handed_on(queue, message.headers.task, identity, arguments(cluster, packed, signature))


def _check(message: _Message) -> None:
    headers = message.headers
    if headers.task not in TASKS:
        known = " and ".join(sorted(TASKS))
        raise Rejected("ForeignTask", f"a message for task {headers.task[:63]!r}; only {known} are run here")
    encodings = (message.content_type, message.content_encoding.lower(), message.properties.body_encoding)
    if encodings != ("application/json", "utf-8", "base64") or headers.compression:
        raise Rejected("BadEncoding", "a message that isn't JSON, in UTF-8, in base64, uncompressed")
    limits = headers.timelimit if isinstance(headers.timelimit, list) else [headers.timelimit]
    if any(value is not None for value in (headers.eta, headers.expires, headers.group, *limits)):
        raise Rejected("Scheduled", "a message with a time, an expiry, a time limit or a group")


def _handed_on(queue: str, task: str, identity: str, args: tuple[str, str, str]) -> bytes:
    """The digest of what was sent is the id: in a log the same message is seen to be the same."""
    body = msgspec.json.encode((args, {}, {"callbacks": None, "errbacks": None, "chain": None, "chord": None}))
    return msgspec.json.encode(
        {
            "body": base64.b64encode(body).decode(),
            "content-type": "application/json",
            "content-encoding": "utf-8",
            "headers": {"lang": "py", "task": task, "id": identity, "root_id": identity, "parent_id": None},
            "properties": {
                "body_encoding": "base64",
                "delivery_info": {"exchange": "", "routing_key": queue},
                "delivery_tag": identity,
                "priority": 0,
            },
        }
    )
