"""The manifests of `deploy/` as values."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any, Final

import yaml

from tests.house.code import ROOT
from tests.house.prose import read

DEPLOY: Final = ROOT / "deploy"
CENTER: Final = DEPLOY / "center"


@cache
def documents(path: Path) -> tuple[Any, ...]:
    """What stands in a file of manifests."""
    return tuple(one for one in yaml.safe_load_all(read(path)) if one is not None)


def objects(folder: Path = CENTER) -> Iterator[dict[str, Any]]:
    """All objects of a folder and those below; not what only Kustomize reads."""
    for path in sorted(folder.rglob("*.yaml")):
        for one in documents(path):
            if one["apiVersion"].split("/")[0] != "kustomize.config.k8s.io":
                yield one


def of_kind(*kinds: str) -> list[dict[str, Any]]:
    """Those of the centre."""
    return [one for one in objects() if one["kind"] in kinds]


def workloads() -> dict[str, dict[str, Any]]:
    """The pods of the centre, by the name of what makes them."""
    made = of_kind("Deployment", "StatefulSet")
    return {one["metadata"]["name"]: one["spec"]["template"]["spec"] for one in made}
