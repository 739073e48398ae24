"""Applied: what a cluster says that it holds of what main commits for it, by sync unit.

Pure: rendered files and observations in, values out. Reads of a rendered file only what its objects are called and
their digests, because a mesh of 100 clusters has 100,000 of them. Knows no reconciler but what it says of a unit.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Literal

from msgspec import UNSET

from syncer.protocol.observation import Observation
from workers.documents import paths
from workers.tree import BlobId, Files

State = Literal["applied", "stale", "failed", "unknown"]
ObjectId = str
"""`<kind>/<namespace>/<name>`, as in `Observation.applied`."""
Digests = Mapping[ObjectId, str]
Committed = Mapping[str, Mapping[str, Digests]]
"""By cluster and sync unit, what its files hold."""

_OBJECT: Final = re.compile(
    rb'^kind: "?(?P<kind>\w+)"?\n'
    rb'metadata:\n  name: "?(?P<name>[^"\n]+)"?\n  namespace: "?(?P<namespace>[^"\n]+)"?\n'
    rb'(?:  labels:\n(?:    .*\n)*)?  annotations:\n(?:    .*\n)*?    peermesh\.io/digest: "?(?P<digest>[0-9a-f]+)',
    re.MULTILINE,
)
"""The beginning of a rendered object, as `workers.render.metadata` makes it and `writing.dump` spells it.

Reading all of it as YAML would take 40 s for 100,000 files.
"""
_WORST_FIRST: Final[tuple[State, ...]] = ("failed", "stale", "unknown", "applied")


@dataclass(frozen=True, kw_only=True)
class UnitApplied:
    """What of a sync unit is applied.

    `missing`: committed and not there; `outdated`: there with another content; `left`: there and no longer committed.
    `revision`: the commit that the reconciler applied last, `message`: why it can't go on; empty where nobody says it.
    """

    name: str
    state: State
    missing: tuple[ObjectId, ...] = ()
    outdated: tuple[ObjectId, ...] = ()
    left: tuple[ObjectId, ...] = ()
    revision: str = ""
    message: str = ""


@dataclass(frozen=True, kw_only=True)
class Applied:
    """How a cluster stands to what main commits for it: the worst of its units, sorted by name.

    `since`: it has been stale or failed at least since then; None: the cluster wasn't heard since main changed last.
    """

    state: State
    units: tuple[UnitApplied, ...] = ()
    since: datetime | None = None


def committed(files: Files, known: dict[BlobId, tuple[tuple[ObjectId, str], ...]]) -> Committed:
    """What a tree commits for each cluster. `known`: objects by blob from earlier trees; those read now are added."""
    found: dict[str, dict[str, dict[ObjectId, str]]] = {}
    for path, blob in files.under(paths.RENDERED):
        if not paths.is_rendered(path):
            continue
        _, cluster, folder, rest = path.split("/", 3)
        if folder == "ca":
            continue  # the syncer doesn't read it; what became of it is seen where it counts, in handshakes
        objects = known.get(blob)
        if objects is None:
            objects = known[blob] = tuple(_objects(files.read(path)))
        unit = f"{folder}/{rest.partition('/')[0]}" if folder == "policy" else folder
        found.setdefault(cluster, {}).setdefault(unit, {}).update(objects)
    return found


def applied(wanted: Mapping[str, Digests], observation: Observation | None, main_time: datetime) -> Applied:
    """How the cluster of an observation stands to what is committed for it. `main_time`: when main changed last."""
    there = None if observation is None else _there(wanted, observation)
    if observation is None or there is None:
        return Applied(state="unknown")
    said = {} if observation.settings is UNSET else observation.settings
    told = {key.removeprefix("unit/") for key in said if key.startswith("unit/")}
    names = sorted({*wanted, *there, *told})
    units = tuple(
        _unit(name, wanted.get(name, {}), there.get(name, {}), said.get(f"unit/{name}", "")) for name in names
    )
    state: State = min((unit.state for unit in units), key=_WORST_FIRST.index, default="applied")
    trouble = state in {"stale", "failed"} and observation.observed_at >= main_time
    return Applied(state=state, units=units, since=main_time if trouble else None)


def _objects(data: bytes) -> Iterator[tuple[ObjectId, str]]:
    for match in _OBJECT.finditer(data):
        kind, name, namespace, digest = (value.decode() for value in match.groups())
        yield f"{kind}/{namespace}/{name}", digest


def _there(wanted: Mapping[str, Digests], observation: Observation) -> dict[str, dict[ObjectId, str]] | None:
    """What the cluster holds, by unit; None: it can't say."""
    if observation.applied is UNSET:
        return None
    if not observation.applied and (observation.settings is UNSET or "kubernetes.version" not in observation.settings):
        return None  # a folder of manifests: rarely is what we rendered among them
    units = {name: unit for unit, digests in wanted.items() for name in digests}
    found: dict[str, dict[ObjectId, str]] = {}
    for name, digest in observation.applied.items():
        found.setdefault(units.get(name) or _unit_of(name), {})[name] = digest
    return found


def _unit_of(name: ObjectId) -> str:
    """The unit that an object came from which no file holds any more."""
    kind, namespace, _ = name.split("/", 2)
    if namespace == paths.IMPORTS_NAMESPACE:
        return "imports"
    return "gateway" if kind == "Gateway" else f"policy/{namespace}"


def _unit(name: str, wanted: Digests, there: Digests, told: str) -> UnitApplied:
    revision, _, said = told.partition(" ")
    word, _, message = said.partition(": ")
    missing = tuple(sorted(wanted.keys() - there.keys()))
    outdated = tuple(sorted(one for one in wanted.keys() & there.keys() if wanted[one] != there[one]))
    left = tuple(sorted(there.keys() - wanted.keys()))
    state: State = "failed" if word == "failed" else "stale" if missing or outdated or left else "applied"
    return UnitApplied(
        name=name, state=state, missing=missing, outdated=outdated, left=left, revision=revision, message=message
    )
