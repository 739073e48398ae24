"""The journal of a signer: a folder with a file for each rotation that was signed. `workers.outside.Journal`.

Knows how a file gets onto a disk for good. Holds certificates and fingerprints, and nothing secret. Who loses it signs
nothing twice that Git has.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from syncer.protocol.errors import HumanNeeded
from workers.outside import Signed

_REMEDY = "Restore it, or move it away: what Git has isn't signed again without it."


class FolderJournal:
    """A journal in a folder, which is made if it isn't there. One process at a time.

    Raises:
        HumanNeeded: `NoJournal`: it can't be used.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        with _errors(folder):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            # What a process left that was killed while it wrote: nobody was told of it.
            for unfinished in folder.glob("*.unfinished"):
                unfinished.unlink()

    def find(self, cluster: str, rotation: int) -> Signed | None:
        file = self._file(cluster, rotation)
        with _errors(file):
            try:
                data = file.read_bytes()
            except FileNotFoundError:
                return None
        try:
            found = msgspec.json.decode(data, type=Signed)
        except (msgspec.DecodeError, UnicodeDecodeError):
            raise HumanNeeded("BadJournal", "it can't be read", subject=str(file), remedy=_REMEDY) from None
        if (found.cluster, found.rotation) != (cluster, rotation):
            raise HumanNeeded("BadJournal", "it is of another rotation", subject=str(file), remedy=_REMEDY)
        return found

    def keep(self, signed: Signed) -> None:
        file = self._file(signed.cluster, signed.rotation)
        unfinished = file.with_suffix(".unfinished")
        with _errors(file):
            with unfinished.open("wb") as written:
                written.write(msgspec.json.encode(signed))
                written.flush()
                os.fsync(written.fileno())
            os.link(unfinished, file)  # never over one that is there
            unfinished.unlink()
            folder = os.open(self._folder, os.O_RDONLY | os.O_DIRECTORY)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)

    def _file(self, cluster: str, rotation: int) -> Path:
        return self._folder / f"{cluster}.{rotation}.json"


@contextmanager
def _errors(subject: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        what = f"the journal of the signer: {error.strerror}"
        raise HumanNeeded("NoJournal", what, subject=str(subject), remedy="Give it a folder of its own.") from error
