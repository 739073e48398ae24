"""Where the signing key is kept: a file, or a Secret. Made once, read at every start.

Knows both, and that two processes may start at once: they end with one key. What is kept goes into no message.
"""

from __future__ import annotations

import base64
import json
import os
import tempfile
from pathlib import Path
from typing import Any, Final

from syncer.cluster.connection import Conflict, Connection, NotFound
from syncer.protocol.errors import HumanNeeded, Transient
from syncer.protocol.signature import SigningKey

SECRET_KEY: Final = "key"  # noqa: S105 - the name of an entry
"""The entry of the Secret; it holds what the file would."""
_TRIES: Final = 5


def signing_key(path: Path) -> SigningKey:
    """The key in a file (its 32 secret bytes in base64); a new one where there is no file, readable for its owner only.

    Raises:
        HumanNeeded: the file can't be read or made, or holds something else.
    """
    try:
        if not path.exists():
            _make(path)
        text = path.read_bytes()
    except OSError as error:
        remedy = "Name a file in a folder that this process may write."
        raise HumanNeeded(
            "NoKeyFile", f"the signing key: {error.strerror}", subject=str(path), remedy=remedy
        ) from error
    return _parsed(text, str(path), remove="it")


def key_of_secret(connection: Connection, *, namespace: str, name: str) -> SigningKey:
    """The key in a Secret; a new one where the Secret is empty. The Secret itself must be there.

    Raises:
        HumanNeeded: there is no such Secret, it may not be read or written, or it holds something else.
        Transient: the API server is away.
    """
    where = f"Secret {namespace}/{name}"
    path = f"/api/v1/namespaces/{namespace}/secrets/{name}"
    for _ in range(_TRIES):
        try:
            secret: dict[str, Any] = json.loads(connection.call("GET", path))
            data = secret.get("data") or {}
            if data.get(SECRET_KEY):
                return _parsed(base64.b64decode(data[SECRET_KEY]), where, remove=f"its entry `{SECRET_KEY}`")
            data[SECRET_KEY] = base64.b64encode(_text(SigningKey.generate())).decode()
            connection.call("PUT", path, body={**secret, "data": data})
        except NotFound as error:
            remedy = "Apply delivery/clusters/<cluster>/, which has an empty one."
            raise HumanNeeded("NoKeySecret", "there is no such Secret", subject=where, remedy=remedy) from error
        except Conflict:
            continue  # somebody else wrote, probably another replica its key: look again
    raise Transient("KeySecretMoves", "the Secret was changed again and again meanwhile", subject=where)


def _parsed(text: bytes, where: str, *, remove: str) -> SigningKey:
    try:
        return SigningKey.from_seed(base64.b64decode(text.strip(), validate=True))
    except ValueError:
        remedy = (
            f"Take it from a backup; or remove {remove}: a new key is made, which `peermesh cluster trust` must trust."
        )
        # Without the cause: it could quote what is in there.
        raise HumanNeeded("BadKeyFile", "it doesn't hold a signing key", subject=where, remedy=remedy) from None


def _text(key: SigningKey) -> bytes:
    return base64.b64encode(key.seed()) + b"\n"


def _make(path: Path) -> None:
    """Whole or not at all; of two processes that start at once, the first one's key counts for both."""
    with tempfile.NamedTemporaryFile(dir=path.parent, prefix=f".{path.name}.") as file:  # made with mode 0600
        file.write(_text(SigningKey.generate()))
        file.flush()
        os.fsync(file.fileno())
        try:
            os.link(file.name, path)
        except FileExistsError:
            return
