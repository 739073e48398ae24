"""The Redis users of the three kinds of process, each with exactly what it needs.

Knows keys and commands. A syncer may push into the queue of its cluster and do nothing else; the border may not touch
what it trusts, nor what the workers hold.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Final

from syncer.protocol.message import KEY_PREFIX, queue
from syncer.protocol.secret import Secret
from workers import inbox
from workers.broker import WORK

BORDER: Final = "peermesh-border"
WORKER: Final = "peermesh-worker"

_SESSION: Final = "+ping +client|setinfo"
"""What redis-py says when it connects. Redis before 7.2 refuses a file with `client|setinfo`: leave that out there."""
_CONSUME: Final = (
    "+brpop +lpush +rpush +multi +exec +watch +unwatch "
    "+hset +hget +hgetall +hdel +zadd +zrem +zrange +set +get +del +time +evalsha +script|load"
)
"""What kombu and the inbox need: take messages, hold them until they are acknowledged, give back what was held long."""


def syncer_user(cluster: str) -> str:
    """The Redis user of a cluster's syncer."""
    return f"syncer-{cluster}"


def acl_lines(clusters: Mapping[str, Secret], *, border: Secret, worker: Secret) -> str:
    """An ACL file for Redis 7.2 or newer, or Valkey: passwords by cluster, and those of `receive` and `worker`.

    It holds digests of the passwords. Set `maxmemory` with `noeviction` and `proto-max-bulk-len 4mb` beside it: an ACL
    doesn't bound how much is pushed.
    """
    lines = ["user default off"]
    lines += [
        _user(syncer_user(cluster), password, f"+lpush {_SESSION}", f"%W~{KEY_PREFIX}{queue(cluster)}")
        for cluster, password in sorted(clusters.items())
    ]
    border_keys = [
        f"~{KEY_PREFIX}{queue('*')}",
        f"~{KEY_PREFIX}border.unacked*",
        f"%W~{KEY_PREFIX}{WORK}",
        f"%R~{inbox.KEYS}",
        *(f"~{key}" for key in (inbox.NEWEST, inbox.SEQUENCES, inbox.CONTENTS, inbox.MARKS, inbox.REFUSED)),
        f"~{inbox.ASKED}",
    ]
    lines.append(_user(BORDER, border, f"{_SESSION} {_CONSUME} +llen +ltrim", *border_keys))
    worker_keys = (f"~{KEY_PREFIX}{WORK}", f"~{KEY_PREFIX}inner.unacked*", f"~{inbox.NAMESPACE}*")
    lines.append(_user(WORKER, worker, f"{_SESSION} {_CONSUME}", *worker_keys))
    return "\n".join(lines) + "\n"


def _user(name: str, password: Secret, commands: str, *keys: str) -> str:
    digest = hashlib.sha256(password.reveal().encode()).hexdigest()
    return f"user {name} on #{digest} resetkeys resetchannels -@all {commands} {' '.join(keys)}"
