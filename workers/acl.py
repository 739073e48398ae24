"""The Redis users of the kinds of process, each with exactly what it needs.

Knows keys and commands. A syncer may push into the queue of its cluster and do nothing else; the border may not touch
what it trusts, nor what the workers hold.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from typing import Final

from syncer.protocol.message import KEY_PREFIX, queue
from syncer.protocol.secret import Secret
from workers import inbox
from workers.broker import WORK

BORDER: Final = "peermesh-border"
WORKER: Final = "peermesh-worker"
WEBHOOK: Final = "peermesh-webhook"
"""Optional, as `peermesh webhook` is."""

SIGNER: Final = "peermesh-signer"
"""Optional, as `peermesh signer` is."""

SYNCER: Final = "syncer-"
"""What the user of a cluster's syncer begins with; its CA agent is the same user."""

_CONSUME: Final = (
    "+ping +brpop +lpush +rpush +multi +exec +watch "
    "+hset +hget +hgetall +hdel +zadd +zrem +zrange +set +get +del +time +evalsha +script|load"
)
"""What kombu and the inbox need: take messages, hold them until they are acknowledged, give back what was held long."""
_KEPT: Final = (
    inbox.NEWEST,
    inbox.SEQUENCES,
    inbox.CONTENTS,
    inbox.REQUESTS,
    inbox.REQUEST_SEQUENCES,
    inbox.REQUEST_CONTENTS,
    inbox.MARKS,
    inbox.REFUSED,
)
NOBODY_ELSE: Final = "user default off"
"""The first line: without a name and a password nobody gets in."""


def syncer_user(cluster: str) -> str:
    """The Redis user of a cluster's syncer."""
    return f"{SYNCER}{cluster}"


def acl_file(passwords: Mapping[str, Secret]) -> str:
    """An ACL file for Redis 7.0 or newer, or Valkey, with these users, by name.

    Set `maxmemory` with `noeviction` and `proto-max-bulk-len 4mb` beside it: an ACL doesn't bound how much is pushed.
    """
    lines = (user_line(user, (password_digest(password),)) for user, password in passwords.items())
    return "\n".join((NOBODY_ELSE, *lines)) + "\n"


def acl_lines(clusters: Mapping[str, Secret], *, border: Secret, worker: Secret) -> str:
    """The ACL file of a mesh: passwords by cluster, and those of `receive` and `worker`."""
    users = {syncer_user(cluster): password for cluster, password in sorted(clusters.items())}
    return acl_file({**users, BORDER: border, WORKER: worker})


def user_line(user: str, digests: Iterable[str]) -> str:
    """The line of a user in an ACL file. `digests` of the passwords that let it in; without one, nobody gets in."""
    passwords = "".join(f" #{digest}" for digest in digests)
    return f"user {user} on{passwords} resetkeys resetchannels -@all {rights(user)}"


def password_digest(password: Secret) -> str:
    """What an ACL file holds in place of a password."""
    return hashlib.sha256(password.reveal().encode()).hexdigest()


def rights(user: str) -> str:
    """Exactly what a process that is this user needs: commands and keys, as an ACL has them."""
    if user == BORDER:
        keys = [
            f"~{KEY_PREFIX}{queue('*')}",
            f"~{KEY_PREFIX}border.unacked*",
            f"%W~{KEY_PREFIX}{WORK}",
            f"%R~{inbox.KEYS}",
            *(f"~{key}" for key in _KEPT),
            f"~{inbox.ASKED}",
        ]
        return f"{_CONSUME} +llen +ltrim {' '.join(keys)}"
    if user == WORKER:
        return f"{_CONSUME} ~{KEY_PREFIX}{WORK} ~{KEY_PREFIX}inner.unacked* ~{inbox.NAMESPACE}*"
    if user == SIGNER:
        # Not %W: for a script that is given a key, Redis wants both rights to it.
        return f"+ping +hset +hget +time +evalsha +script|load ~{inbox.CERTIFICATES} ~{inbox.MARKS}"
    if user == WEBHOOK:
        return f"+ping +lpush %W~{KEY_PREFIX}{WORK}"
    return f"+ping +lpush %W~{KEY_PREFIX}{queue(user.removeprefix(SYNCER))}"
