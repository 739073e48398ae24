"""A canary: a private key that is known, searched in everything that was written.

    assert [] == find(key, folder, log, error, b"bytes", "text", client)

It knows how a key may be spelled (PEM, DER, hexadecimal, base64, integers) and how what holds it may be packed (gzip,
zlib, Git objects, escaped line breaks). Half of a number is enough to be found.
"""

from __future__ import annotations

import base64
import gzip
import os
import re
import subprocess
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import redis
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from syncer.protocol.revocation import AuthorityKey
from syncer.protocol.secret import Secret
from tests.pki.leaks import printed

Place = Path | bytes | str | BaseException | redis.Redis
_BREAKS = (b"\\\\r", b"\\\\n", b"\\r", b"\\n", b"\r", b"\n", b" ", b"\t")
"""What may stand inside a number that was broken into lines, also where those were escaped, once or twice."""

_BASE64 = re.compile(rb"[A-Za-z0-9+/]{64,}")
"""As a Secret has what is PEM itself."""


def find(key: AuthorityKey | Secret, *places: Place) -> list[str]:
    """Where the key (or a secret text) stands, and how it is spelled there; empty: nowhere.

    A place is a file, a folder with all that is below it (Git repositories by their objects, too), bytes or a text, an
    exception with its traceback and whatever led to it, or a Redis with all its keys.
    """
    needles = _needles(key)
    return [
        f"{where}: {spelling}"
        for place in places
        for where, data in _contents(place)
        for spelling, needle in needles.items()
        if any(needle in view for view in _views(data))
    ]


def _needles(key: AuthorityKey | Secret) -> dict[str, bytes]:
    if isinstance(key, Secret):
        return {"text": key.reveal().encode(), **_spellings("text", key.reveal().encode())}
    found: dict[str, bytes] = {}
    for name, number in _numbers(key).items():
        raw = number.to_bytes((number.bit_length() + 7) // 8)
        found[f"{name} as an integer"] = str(number).encode()
        for half, part in (("begin", raw[: max(16, len(raw) // 2)]), ("end", raw[-max(16, len(raw) // 2) :])):
            found |= _spellings(f"{half} of {name}", part)
    return found


def _numbers(key: AuthorityKey) -> dict[str, int]:
    if isinstance(key, ec.EllipticCurvePrivateKey):
        return {"d": key.private_numbers().private_value}
    assert isinstance(key, rsa.RSAPrivateKey)
    numbers = key.private_numbers()
    return {"d": numbers.d, "p": numbers.p, "q": numbers.q}


def _spellings(name: str, raw: bytes) -> dict[str, bytes]:
    """Inside of a longer base64 the ends of a number mix with their neighbours, so they are left out."""
    found = {f"{name}, raw": raw, f"{name}, raw backwards": raw[::-1]}
    for number, text in enumerate((raw.hex(), raw.hex().upper(), raw.hex(":"), raw.hex(":").upper())):
        found[f"{name}, hexadecimal {number}"] = text.encode()
    for shift in range(3):
        inside = base64.b64encode(bytes(shift) + raw)[4:-4]
        found[f"{name}, base64 {shift}"] = inside
        found[f"{name}, base64 for URLs {shift}"] = inside.translate(bytes.maketrans(b"+/", b"-_"))
    return found


def _views(data: bytes) -> Iterator[bytes]:
    yield data
    joined = _joined(data)
    yield joined
    for run in _BASE64.findall(joined):
        for shift in range(4):
            inside = base64.b64decode(run[shift : shift + (len(run) - shift) // 4 * 4])
            yield inside
            yield _joined(inside)


def _joined(data: bytes) -> bytes:
    for pattern in _BREAKS:
        data = data.replace(pattern, b"")
    return data


def _contents(place: Place) -> Iterator[tuple[str, bytes]]:
    match place:
        case bytes():
            yield from _unpacked("bytes", place)
        case str():
            yield "text", place.encode(errors="surrogateescape")
        case BaseException():
            yield repr(type(place)), printed(place).encode(errors="surrogateescape")
        case Path():
            yield from _below(place)
        case _:
            yield from _kept(place)


def _below(path: Path) -> Iterator[tuple[str, bytes]]:
    if path.is_file():
        yield from _unpacked(str(path), path.read_bytes())
        return
    for folder, folders, files in os.walk(path):
        if {"HEAD", "objects"} <= {*folders, *files}:
            yield f"objects of {folder}", _objects(Path(folder))
        for name in files:
            file = Path(folder) / name
            if file.is_file():  # no sockets
                yield from _unpacked(str(file), file.read_bytes())
            yield f"the name {file}", os.fsencode(name)


def _objects(repository: Path) -> bytes:
    """All of them, reachable or not: packs hold differences that nobody can search."""
    command = ["git", "--git-dir", str(repository), "cat-file", "--batch", "--batch-all-objects", "--unordered"]
    environment = {**os.environ, "GIT_NO_LAZY_FETCH": "1"}
    return subprocess.run(command, check=False, capture_output=True, env=environment).stdout


def _unpacked(where: str, data: bytes) -> Iterator[tuple[str, bytes]]:
    yield where, data
    for unpack in (gzip.decompress, zlib.decompress):
        try:
            yield f"{where}, unpacked", unpack(data)
        except (OSError, EOFError, zlib.error):
            continue


def _kept(client: redis.Redis) -> Iterator[tuple[str, bytes]]:
    """What a Redis holds now; what it held before stands in its append-only file."""
    for key in client.scan_iter():
        yield f"the name {key!r}", key
        kind: bytes = client.type(key)  # type: ignore[assignment] # no asyncio
        readers: dict[bytes, Any] = {
            b"string": client.get,
            b"hash": client.hgetall,
            b"list": lambda key: client.lrange(key, 0, -1),
            b"set": client.smembers,
            b"zset": lambda key: client.zrange(key, 0, -1),
        }
        for part in _parts(readers[kind](key)):
            yield from _unpacked(f"key {key!r}", part)


def _parts(value: Any) -> Iterator[bytes]:
    if isinstance(value, dict):
        for pair in value.items():
            yield from pair
    elif isinstance(value, bytes):
        yield value
    else:
        yield from value or ()
