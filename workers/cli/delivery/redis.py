"""The Redis of the mesh: its users and its settings, `delivery/redis/`.

Pure: texts in, texts out. Passwords appear as digests only. Lines of users that aren't ours stay as they are.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from syncer.protocol.errors import Rejected
from workers.acl import BORDER, NOBODY_ELSE, SIGNER, WEBHOOK, WORKER, user_line

FOLDER: Final = "delivery/redis"
USERS: Final = f"{FOLDER}/users.acl"
OURS: Final = (BORDER, WORKER)
"""The users of the centre, whom every mesh has."""

_CONF: Final = """\
# Redis 7.0 or newer, or Valkey, for peermesh. Yours to edit: `peermesh cluster add` wrote it and doesn't come back.
# What is kept here may be lost at any moment; every cluster says it again within five minutes.

# Nothing travels unencrypted. `tls-auth-clients yes` asks every process for a certificate, too.
port 0
tls-port 6379
tls-cert-file /etc/redis/tls/tls.crt
tls-key-file /etc/redis/tls/tls.key
tls-ca-cert-file /etc/redis/tls/ca.crt
tls-auth-clients optional

# Who may do what. Redis reads it at its start: restart it when the file has changed.
protected-mode yes
aclfile /etc/redis/users.acl

# A restart costs at most a second of news.
dir /data
save ""
appendonly yes
appendfsync everysec

# A cluster that sends too much must not push out what others said; then writes fail until its queue is taken.
maxmemory 256mb
maxmemory-policy noeviction
# The largest message that the border takes is 1 MiB, in base64.
proto-max-bulk-len 4mb
"""
_README: Final = """\
# The Redis of this mesh

| file | what it is |
|---|---|
| `redis.conf` | settings for Redis 7.0 or newer, or Valkey; yours to edit |
| `users.acl` | its users: `syncer-NAME` for clusters, `peermesh-border`, `peermesh-worker`, `peermesh-webhook` |

`users.acl` holds digests of passwords (SHA-256 of 256 random bits), never a password.
peermesh writes the lines of its own users whole; users of yours on other lines stay as they are.
Redis reads the file at its start and knows no comments in it.

```
peermesh redis password border --password-file ../border  the password of `receive`; a file outside this repository
peermesh redis password worker --password-file ../worker  that of `worker`; so for `webhook`
peermesh cluster password NAME --password-file ../NAME    that of a cluster's syncer; `cluster add` made the first one
peermesh redis users                                      after an upgrade: every user gets what this version needs
```

A password is changed without a gap:

1. The command for its user, as above: the old one and the new one let it in. Commit, merge, restart Redis.
2. Give the new one to the process, as part of its `PEERMESH_BROKER_URL` (`PEERMESH_BORDER_BROKER_URL` for `receive`):
   `rediss://USER:PASSWORD@HOST:6379/0?ssl_ca_certs=/path/of/ca.crt`
3. The same command with `--finish`: only the new one is left. Commit, merge, restart Redis.

A password that others may have seen: `--finish` at once after the first step.
The process is out until it has the new one; nothing is lost, for every cluster says all of it again.
"""


def redis_files() -> Mapping[str, bytes]:
    """The files that are written once, by path."""
    return {f"{FOLDER}/redis.conf": _CONF.encode(), f"{FOLDER}/README.md": _README.encode()}


def with_users(text: str, users: Iterable[str] = ()) -> str:
    """The ACL file with a line for each of these users and for those of the centre, with the rights of this version.

    A user that is new in it has no password, so nobody gets in by its name.
    """
    optional = {user for user in (SIGNER, WEBHOOK) if digests_of(text, user)}
    for user in sorted({*OURS, *users} | optional):
        text = _with_line(text, user, digests_of(text, user))
    return text


def with_password(text: str, user: str, digest: str) -> str:
    """The ACL file in which one more password lets this user in.

    Raises:
        Rejected: two do already.
    """
    digests = digests_of(text, user)
    if len(digests) > 1:
        raise Rejected(
            "TooManyPasswords",
            "two passwords let it in already",
            subject=f"{USERS}: {user}",
            remedy="The same command with --finish leaves only the newer one.",
        )
    return _with_line(text, user, (*digests, digest))


def with_newest_password(text: str, user: str) -> str:
    """The ACL file in which only the newest password lets this user in; the same text if it is the only one.

    Raises:
        Rejected: the user has none.
    """
    digests = digests_of(text, user)
    if not digests:
        raise Rejected(
            "NoPassword",
            "it has no password yet",
            subject=f"{USERS}: {user}",
            remedy="The same command without --finish makes one.",
        )
    return _with_line(text, user, digests[-1:])


def digests_of(text: str, user: str) -> tuple[str, ...]:
    """The digests of the passwords that let a user in, the oldest first."""
    words = next((line.split() for line in text.splitlines() if line.split()[:2] == ["user", user]), [])
    return tuple(word.removeprefix("#") for word in words if word.startswith("#"))


def _with_line(text: str, user: str, digests: tuple[str, ...]) -> str:
    lines = text.splitlines() or [NOBODY_ELSE]
    line = user_line(user, digests)
    if not any(words[:2] == ["user", user] for words in map(str.split, lines)):
        lines.append(line)
    lines = [line if words[:2] == ["user", user] else old for old in lines for words in [old.split()]]
    return "\n".join(lines) + "\n"
