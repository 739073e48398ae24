"""A scenario as its folder says it: main before, what people did, and what clusters say.

Knows the form of a folder, which `README.md` beside this file describes. Knows nothing of what follows.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final, NamedTuple

import msgspec
import yaml

from syncer.protocol.observation import Observation
from syncer.protocol.request import SignRequest
from syncer.protocol.signature import SigningKey

ROOT: Final = Path(__file__).parent
START: Final = datetime(2026, 4, 1, 8, 0, tzinfo=UTC)


class Deed(NamedTuple):
    """People `merged`, `rejected` or `reverted` a branch or `reopened` a path between two steps; Redis was `lost`."""

    verb: str
    what: str


@dataclass(frozen=True, kw_only=True)
class Step:
    """One look at the world.

    `meanwhile`: what was done with the proposals of the step before; None: all but the held were merged.
    `committed`: files that people put on main then; for a first step all of main.
    """

    folder: Path
    meanwhile: tuple[Deed, ...] | None
    committed: Mapping[str, bytes]
    observations: Mapping[str, Observation]
    requests: Mapping[str, SignRequest]
    """What CA agents ask for."""
    signed: Mapping[str, bytes]
    """What the signer handed in: an Intermediate document."""
    now: datetime

    def __str__(self) -> str:
        return str(self.folder.relative_to(ROOT))


@dataclass(frozen=True, kw_only=True)
class Scenario:
    """A folder of `tests/scenarios/`."""

    folder: Path
    steps: tuple[Step, ...]


def scenarios() -> tuple[Scenario, ...]:
    """All of them, in the order of the tutorial."""
    return tuple(map(_scenario, sorted(ROOT.glob("[0-9][0-9]-*"))))


def key_of(cluster: str) -> SigningKey:
    """What the syncer of a cluster signs with, in all scenarios."""
    return SigningKey.from_seed(hashlib.sha256(cluster.encode()).digest())


def files_in(folder: Path) -> dict[str, bytes]:
    """The files of a folder by path; empty where there is none."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def _scenario(folder: Path) -> Scenario:
    folders = sorted((folder / "steps").iterdir()) if (folder / "steps").exists() else [folder]
    return Scenario(folder=folder, steps=tuple(_step(each, number) for number, each in enumerate(folders, 1)))


def _step(folder: Path, number: int) -> Step:
    said = folder / "meanwhile.yaml"
    return Step(
        folder=folder,
        meanwhile=_deeds(said.read_text(encoding="utf-8")) if said.exists() else None,
        committed=files_in(folder / ("given" if number == 1 else "people")),
        observations={path.stem: _observation(path, number) for path in sorted(folder.glob("observations/*.yaml"))},
        requests={path.stem: _request(path, number) for path in sorted(folder.glob("requests/*.yaml"))},
        signed={path.stem: path.read_bytes() for path in sorted(folder.glob("signed/*.yaml"))},
        now=_at(number),
    )


def _at(number: int) -> datetime:
    return START + timedelta(minutes=number)


def agent_key_of(cluster: str) -> SigningKey:
    """What the CA agent of a cluster signs with, in all scenarios."""
    return SigningKey.from_seed(hashlib.sha256(f"{cluster} agent".encode()).digest())


def _request(path: Path, number: int) -> SignRequest:
    """The request of a file; as with observations, what is always the same needn't stand there."""
    said: dict[str, Any] = yaml.safe_load(path.read_text(encoding="utf-8"))
    at = _at(number)
    whole = {
        "mesh": "acme",
        "cluster": path.stem,
        "sequence": int(at.timestamp() * 1_000_000),
        "requestedAt": at,
        **said,
    }
    return msgspec.convert(whole, SignRequest, strict=True)


def _deeds(text: str) -> tuple[Deed, ...]:
    return tuple(Deed(verb, what) for deed in yaml.safe_load(text) for verb, what in deed.items())


def _observation(path: Path, number: int) -> Observation:
    """The observation of a file: what is always the same needn't stand there, nor annotations that a Service lacks."""
    said: dict[str, Any] = yaml.safe_load(path.read_text(encoding="utf-8"))
    at = _at(number)
    offers = [{"consumers": None, "hosts": None, **offer} for offer in said.pop("offers", [])]
    whole = {
        "mesh": "acme",
        "cluster": path.stem,
        "sequence": int(at.timestamp() * 1_000_000),
        "observedAt": at,
        "sources": ["label"],
        "foreign": [],
        "offers": offers,
        **said,
    }
    if "trust" in said:
        whole["trust"] = seen_at(said["trust"], at)
    return msgspec.convert(whole, Observation, strict=True)


def seen_at(trust: Mapping[str, Any], at: datetime) -> dict[str, Any]:
    """What a syncer says of trust, whose handshakes were made at this time."""
    proxies = [{"live": True, **proxy, "seen": at} for proxy in trust.get("proxies", ())]
    return {**trust, "proxies": proxies, "sampledAt": at}
