"""Passwords of Redis users: made here, shown once or written to a file outside the repository, kept as digests in it.

Knows the checkout and the terminal. A password is never an argument of a command.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable
from pathlib import Path

from syncer.protocol.errors import Rejected
from syncer.protocol.secret import Secret
from workers.acl import password_digest, syncer_user
from workers.cli.delivery.redis import (
    OURS,
    USERS,
    digests_of,
    redis_files,
    with_newest_password,
    with_password,
    with_users,
)
from workers.cli.rendered import valid_tree
from workers.cli.screen import say
from workers.folder import read_checkout, write_folder


def new_password() -> Secret:
    """256 random bits, in characters that need no escape in a URL."""
    return Secret(secrets.token_urlsafe(32))


def hand_over(user: str, password: Secret, file: Path | None) -> None:
    """Tell the person the password, once."""
    if file is None:
        say(f"The password of Redis user {user}, shown only now:")
        say(f"  {password.reveal()}")
    else:
        say(f"wrote the password of Redis user {user} to {file}")


def check_file(file: Path | None, folder: Path) -> None:
    """Raises Rejected: a password can't be written there, or would get into the repository."""
    if file is None:
        return
    if file.resolve().is_relative_to(folder.resolve()):
        remedy = "Name a file outside the checkout: what is committed can't be taken back."
        raise Rejected("InRepository", "it is in the repository", subject=str(file), remedy=remedy)
    if file.exists():
        raise Rejected("Exists", "it is there already", subject=str(file), remedy="Name a file that isn't.")


def write_password(file: Path | None, password: Secret) -> None:
    """Into a new file that only its owner may read, if one is named."""
    if file is not None:
        with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as written:
            written.write(f"{password.reveal()}\n")


def add_password(folder: Path, user: str, file: Path | None) -> list[str]:
    """One more password lets a user in; returns the paths that were written.

    Raises:
        Rejected: two do already, or the file can't be.
    """
    check_file(file, folder)
    password = new_password()
    changes = _changes(folder, lambda text: with_password(with_users(text), user, password_digest(password)))
    write_password(file, password)
    write_folder(folder, changes)
    hand_over(user, password, file)
    return sorted(changes)


def finish_password(folder: Path, user: str) -> list[str]:
    """Only the newest password lets a user in; returns the paths that were written.

    Raises:
        Rejected: it has none.
    """
    changes = _changes(folder, lambda text: with_newest_password(with_users(text), user))
    write_folder(folder, changes)
    return sorted(changes)


def refresh_users(folder: Path) -> tuple[list[str], list[str]]:
    """Write what this version needs for every user of the mesh; the paths written, and the users without a password."""
    users = [syncer_user(cluster) for cluster in valid_tree(read_checkout(folder)).clusters]
    changes = _changes(folder, lambda text: with_users(text, users))
    write_folder(folder, changes)
    text = (folder / USERS).read_text()
    return sorted(changes), [user for user in (*OURS, *users) if not digests_of(text, user)]


def check_cluster(folder: Path, name: str) -> None:
    """Raises Rejected: the mesh has no such cluster."""
    tree = valid_tree(read_checkout(folder))
    if name not in tree.clusters:
        known = ", ".join(tree.clusters) or "none yet"
        raise Rejected("UnknownCluster", "no such cluster", subject=name, remedy=f"There are: {known}.")


def _changes(folder: Path, change: Callable[[str], str]) -> dict[str, bytes]:
    files = read_checkout(folder)
    before = files.read(USERS).decode() if files.blob(USERS) is not None else ""
    changes = {path: data for path, data in redis_files().items() if files.blob(path) is None}
    changed = change(before)
    return changes | ({} if changed == before else {USERS: changed.encode()})
