"""The layout: small files with a noun for a name, each in the architecture and in a layer."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

from tests.house.code import ROOT, module_of, source_files, syntax
from tests.house.prose import read

PYTHON = source_files("syncer", "workers", "tests")
NOT_A_NOUN = {"utils", "util", "common", "helpers", "helper", "base", "manager", "misc"}


def test_no_file_has_more_than_400_lines():
    sizes = {str(path.relative_to(ROOT)): len(read(path).splitlines()) for path in PYTHON}
    assert {name: size for name, size in sizes.items() if size > 400} == {}


def test_every_module_is_named_after_what_is_in_it():
    assert [str(path) for path in PYTHON if NOT_A_NOUN & set(path.relative_to(ROOT).with_suffix("").parts)] == []


def test_every_module_of_the_project_says_what_it_is():
    silent = [path for path in source_files() if not ast.get_docstring(syntax(path))]
    assert [str(path.relative_to(ROOT)) for path in silent] == []


def test_every_module_is_in_the_architecture_and_the_architecture_names_no_other():
    text = read(ROOT / "docs" / "architecture.md")
    named = set(re.findall(r"`((?:syncer|workers)/[a-z0-9_/]+(?:\.py|/))`", text))
    there = {str(path.relative_to(ROOT)) for path in source_files() if path.name != "__init__.py"}
    packages = {f"{path.parent.relative_to(ROOT)}/" for path in source_files() if path.name == "__init__.py"}
    packages -= {"syncer/", "workers/"}
    inside = {name for name in there | packages for whole in TOLD_AS_A_WHOLE if name.startswith(whole)}
    assert set() == (there | packages) - inside - named
    assert set(TOLD_AS_A_WHOLE) <= named
    assert set() == named - there - packages


TOLD_AS_A_WHOLE = ("workers/cli/",)
"""Packages whose modules are one per command: the reference lists those."""


def test_every_module_of_the_centre_is_in_a_layer():
    layers = contract("layers", "Layers of the centre")["layers"]
    assert centre() == {name.strip() for layer in layers for name in re.split("[|:]", layer)}


def test_everything_from_the_plan_down_is_pure():
    layers = contract("layers", "Layers of the centre")["layers"]
    below = {name.strip() for layer in layers[layers.index("workers.plan") :] for name in re.split("[|:]", layer)}
    assert below == set(contract("forbidden", "The core is pure")["source_modules"])


def contract(kind: str, name: str) -> dict[str, Any]:
    contracts = tomllib.loads(read(ROOT / "pyproject.toml"))["tool"]["importlinter"]["contracts"]
    return next(one for one in contracts if one["type"] == kind and one["name"].startswith(name))


def centre() -> set[str]:
    """The modules and packages directly below `workers`."""
    return {".".join(module_of(path).split(".")[:2]) for path in source_files("workers")} - {"workers"}


def test_the_contracts_of_the_layers_hold():
    command = Path(sys.executable).with_name("lint-imports")
    environment = {**os.environ, "NO_COLOR": "1"}
    done = subprocess.run(
        [command, "--no-cache"], check=False, cwd=ROOT, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout
