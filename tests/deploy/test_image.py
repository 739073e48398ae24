"""The Dockerfile: what it copies exists, what it installs is fixed by hashes, and nothing in the image can build."""

from __future__ import annotations

import fnmatch
import json
import re
import tomllib
from pathlib import Path
from typing import NamedTuple

from tests.house.code import ROOT
from tests.house.prose import read

FOLDER = ROOT / "deploy"
PROJECT = tomllib.loads(read(ROOT / "pyproject.toml"))["project"]


class Step(NamedTuple):
    """An instruction with all that it says."""

    word: str
    said: str


def steps() -> list[Step]:
    joined = re.sub(
        r"\\\n", " ", "".join(line for line in read(FOLDER / "Dockerfile").splitlines(True) if line[0] != "#")
    )
    return [Step(*line.split(None, 1)) for line in joined.splitlines() if line.strip()]


def stages() -> list[list[Step]]:
    found: list[list[Step]] = []
    for step in steps():
        if step.word == "FROM":
            found.append([])
        elif found:
            found[-1].append(step)
    return found


def said(stage: list[Step], word: str) -> str:
    return "\n".join(step.said for step in stage if step.word == word)


def test_whatever_is_copied_exists_and_is_sent_to_the_builder():
    sources = [
        source
        for step in stages()[0]
        if step.word == "COPY" and not step.said.startswith("--")
        for source in step.said.split()[:-1]
    ]
    sent = [line[1:] for line in read(FOLDER / "Dockerfile.dockerignore").splitlines() if line.startswith("!")]
    assert [] == [source for source in sources if not (ROOT / source).exists()]
    assert sorted(sources) == sorted(sent)


def test_the_package_is_built_of_all_that_it_consists_of():
    copied = said(stages()[0], "COPY").split()
    hatch = tomllib.loads(read(ROOT / "pyproject.toml"))["tool"]["hatch"]["build"]["targets"]["wheel"]
    assert {*hatch["packages"], *hatch["force-include"], PROJECT["readme"], "pyproject.toml"} <= set(copied)


def test_nothing_is_installed_without_hashes_but_our_own_wheel():
    installs = [part for part in re.split("&&|\n", said(stages()[0], "RUN")) if " install " in part]
    loose = [part for part in installs if "--require-hashes" not in part]
    assert [True] == ["--no-deps --no-index /wheels/*.whl" in part for part in loose]


def test_its_lock_is_a_part_of_the_projects_lock_without_tools_of_development():
    mine, all_of_it = (requirements(path) for path in (FOLDER / "requirements.lock", ROOT / "requirements.lock"))
    assert {} == {name: text for name, text in mine.items() if all_of_it.get(name) != text}
    extras = PROJECT["optional-dependencies"]
    asked = [*PROJECT["dependencies"], *extras["center"], *extras["pkcs11"]]
    assert set() == {name_of(one) for one in asked} - mine.keys()
    tools = {name_of(one) for one in PROJECT["optional-dependencies"]["dev"]}
    assert set() == tools & mine.keys() - {name_of(one) for one in asked}


def requirements(path: Path) -> dict[str, str]:
    found = re.findall(r"^(?![#\s])(?:.*\\\n)*.*$", read(path), re.MULTILINE)
    return {text.partition("==")[0]: text for text in found if text}


def name_of(requirement: str) -> str:
    return re.split(r"[\[<>=~! ]", requirement)[0].lower().replace("_", "-")


def test_the_image_holds_git_and_ssh_and_nothing_to_build_or_install_with():
    last = stages()[-1]
    installed = re.search(r"apt-get install ([^&]*)", said(last, "RUN"))
    assert installed
    assert {"ca-certificates", "git", "openssh-client"} == {w for w in installed[1].split() if not w.startswith("-")}
    assert "pip uninstall --yes --root-user-action=ignore setuptools wheel pip" in said(last, "RUN")
    assert "pip install" not in said(last, "RUN")
    assert ["--from=build /opt/peermesh /opt/peermesh"] == [s.said for s in last if s.word == "COPY"]


def test_it_runs_as_a_number_that_has_a_name_and_a_home_of_its_own():
    last = stages()[-1]
    # ssh: "No user exists for uid 65532".
    assert "useradd --uid 65532 " in said(last, "RUN")
    assert "65532:65532" == said(last, "USER")
    home = re.search(r"HOME=(\S+)", said(last, "ENV"))
    assert home
    written = dict(re.findall(r"(TMPDIR|PEERMESH_COPY)=(\S+)", said(last, "ENV")))
    assert {"TMPDIR": home[1], "PEERMESH_COPY": f"{home[1]}/copy"} == written


def test_it_says_what_it_is_and_starts_peermesh():
    last = stages()[-1]
    labels = dict(re.findall(r'org\.opencontainers\.image\.(\w+)="([^"]*)"', said(last, "LABEL")))
    assert {"title", "description", "licenses", "version", "revision"} == labels.keys()
    assert PROJECT["license"] == labels["licenses"]
    assert f"VERSION={PROJECT['version']}" in said(last, "ARG").splitlines()
    assert ["peermesh"] == json.loads(said(last, "ENTRYPOINT"))


def test_no_file_of_the_checkout_that_is_no_source_is_sent_to_the_builder():
    rules = read(FOLDER / "Dockerfile.dockerignore").splitlines()
    assert "*" in rules
    assert any(fnmatch.fnmatch("syncer/__pycache__", rule) for rule in rules if rule[0] not in "#!*" or "**" in rule)
