from __future__ import annotations

import base64
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from syncer.keys import signing_key
from syncer.protocol.errors import HumanNeeded


def test_a_key_is_made_once_for_its_owner_only_and_kept(tmp_path: Path) -> None:
    path = tmp_path / "key"
    first = signing_key(path)
    assert first.public == signing_key(path).public
    assert 0o600 == stat.S_IMODE(path.stat().st_mode)
    assert ["key"] == [file.name for file in tmp_path.iterdir()]


def test_the_file_holds_the_seed_in_base64(tmp_path: Path) -> None:
    path = tmp_path / "key"
    assert signing_key(path).seed() == base64.b64decode(path.read_bytes())


def test_two_processes_that_start_at_once_have_the_same_key(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        publics = set(pool.map(lambda _: signing_key(tmp_path / "key").public, range(8)))
    assert 1 == len(publics)


@pytest.mark.parametrize("content", [b"", b"canary", base64.b64encode(b"canary"), b"\xff" * 44])
def test_a_file_that_holds_no_key_is_told_without_what_is_in_it(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "key"
    path.write_bytes(content)
    with pytest.raises(HumanNeeded) as error:
        signing_key(path)
    assert str(error.value) == (
        f"{path}: it doesn't hold a signing key. "
        "Take it from a backup; or remove it: a new key is made, which `peermesh cluster trust` must trust."
    )
    assert error.value.__cause__ is None


@pytest.mark.parametrize(("path", "message"), [("none/key", "No such file or directory"), (".", "Is a directory")])
def test_a_place_where_no_key_can_be_is_told(tmp_path: Path, path: str, message: str) -> None:
    with pytest.raises(HumanNeeded) as error:
        signing_key(tmp_path / path)
    expected = f"{tmp_path / path}: the signing key: {message}. Name a file in a folder that this process may write."
    assert expected == str(error.value)
