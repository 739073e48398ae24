"""The lock: everything by version and hash, from wherever the reader gets packages."""

from __future__ import annotations

import re
import tomllib

import pytest

from tests.house.code import ROOT
from tests.house.prose import read

LOCK = read(ROOT / "requirements.lock")
REQUIREMENTS = re.findall(r"^(?![#\s])(?:.*\\\n)*.*$", LOCK, re.MULTILINE)


def test_every_requirement_has_a_version_and_hashes():
    form = re.compile(r"[a-z0-9][a-z0-9._-]*==[^\s;]+( ; [^\\]*)?( \\\n    --hash=sha256:[0-9a-f]{64})+\n?")
    assert [wrong for wrong in REQUIREMENTS if wrong and form.fullmatch(wrong + "\n") is None] == []


def test_it_names_no_index():
    assert None is re.search(r"https?:|--(extra-)?index|--find-links|--trusted-host", LOCK)


def test_it_holds_everything_that_the_project_asks_for():
    project = tomllib.loads(read(ROOT / "pyproject.toml"))["project"]
    asked = [*project["dependencies"], *(one for extra in project["optional-dependencies"].values() for one in extra)]
    names = {re.split(r"[\[<>=~! ]", one)[0].lower().replace("_", "-") for one in asked}
    locked = {requirement.partition("==")[0] for requirement in REQUIREMENTS}
    assert set() == names - locked


@pytest.mark.parametrize("name", ["celery", "kombu"])
def test_what_the_guarded_channel_leans_on_is_pinned_exactly(name):
    dependencies = tomllib.loads(read(ROOT / "pyproject.toml"))["project"]["dependencies"]
    pin = next(one for one in dependencies if re.split(r"[\[=<>]", one)[0] == name)
    assert f"\n{name}=={pin.partition('==')[2]} " in LOCK
