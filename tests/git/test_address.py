"""Where a repository is, who asks, and that no secret is seen on the way."""

from __future__ import annotations

import base64
import os
import stat
import time
from pathlib import Path

import pytest

from syncer.protocol.errors import HumanNeeded
from syncer.protocol.secret import Secret
from tests.git.acts import ROBOT
from workers.git import Access, GitRepository
from workers.git.address import parse_address
from workers.git.command import git

TOKEN = "t0ken/with:odd@signs"
ROBOTS = Access(user="robot", password=Secret(TOKEN))
BASIC = base64.b64encode(f"robot:{TOKEN}".encode()).decode()


@pytest.mark.parametrize(
    ("location", "url", "user", "password"),
    [
        ("https://git.example/mesh.git", "https://git.example/mesh.git", "", ""),
        ("https://robot:a%2Fb%40c@git.example:8443/mesh.git", "https://git.example:8443/mesh.git", "robot", "a/b@c"),
        ("https://robot@git.example/mesh.git", "https://git.example/mesh.git", "robot", ""),
        ("ssh://git@git.example/mesh.git", "ssh://git@git.example/mesh.git", "", ""),
        ("ssh://git:ignored@git.example:22/mesh.git", "ssh://git@git.example:22/mesh.git", "", ""),
        ("git@git.example:platform/mesh.git", "git@git.example:platform/mesh.git", "", ""),
        ("file:///srv/mesh.git", "file:///srv/mesh.git", "", ""),
        ("/srv/mesh repository.git", "file:///srv/mesh%20repository.git", "", ""),
    ],
)
def test_a_location_is_a_url_and_credentials_beside_it(location, url, user, password):
    address = parse_address(location)
    assert (url, user, password) == (address.url, address.access.user, address.access.password.reveal())


def test_a_relative_path_is_one_of_this_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert f"{tmp_path.as_uri()}/mesh.git" == parse_address("mesh.git").url


def test_credentials_given_apart_win():
    address = parse_address("https://other:x@git.example/mesh.git", ROBOTS)
    assert ("robot", TOKEN) == (address.access.user, address.access.password.reveal())


def test_a_password_alone_goes_with_the_user_of_the_url():
    address = parse_address("https://robot@git.example/mesh.git", Access(password=Secret(TOKEN)))
    assert ("robot", TOKEN) == (address.access.user, address.access.password.reveal())
    for access in (Access(password=Secret(TOKEN)), Access(password_file=Path("token"))):
        with pytest.raises(HumanNeeded, match=r"git\.example/mesh\.git: there is a password .*, and no user"):
            parse_address("https://git.example/mesh.git", access)


def test_credentials_go_to_their_server_only():
    address = parse_address("https://git.example:8443/platform/mesh.git", ROBOTS)
    assert {
        "http.https://git.example:8443/.extraHeader": f"Authorization: Basic {BASIC}",
        "credential.helper": "",
    } == dict(address.settings())
    assert {"credential.https://git.example/.username": "robot"} == dict(
        parse_address("https://robot@git.example/mesh.git").settings()
    )


def test_an_address_prints_without_its_password():
    address = parse_address("https://git.example/", ROBOTS)
    assert TOKEN not in repr(address)
    assert "a *** b *** c" == address.scrubbed(f"a {TOKEN} b {BASIC} c")


@pytest.fixture
def fake_git(tmp_path, monkeypatch):
    """A program called git that tells how it was called."""
    folder = tmp_path / "bin"
    folder.mkdir()
    program = folder / "git"
    program.write_text('#!/bin/sh\necho "args: $@"\nenv\ncat\n')
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")


@pytest.mark.usefixtures("fake_git")
def test_git_gets_a_clean_environment_and_no_secret_in_its_arguments(monkeypatch):
    for name, value in {
        "GIT_DIR": "/elsewhere",
        "GIT_INDEX_FILE": "/elsewhere/index",
        "GIT_TRACE": "1",
        "GIT_SSH_COMMAND": "ssh -i key",
        "GIT_CONFIG_COUNT": "1",
        "GIT_CONFIG_KEY_0": "http.proxy",
        "GIT_CONFIG_VALUE_0": "http://proxy.example",
        "LC_ALL": "de_DE.UTF-8",
    }.items():
        monkeypatch.setenv(name, value)
    address = parse_address("https://git.example/mesh.git", ROBOTS)
    ran = git("push", "origin", address=address, seconds=10, stdin=b"input")
    lines = ran.stdout.splitlines()
    assert ("args: push origin", "input") == (lines[0], lines[-1])
    seen = dict(line.split("=", 1) for line in lines[1:-1])
    assert {"GIT_DIR", "GIT_INDEX_FILE", "GIT_TRACE"}.isdisjoint(seen)
    assert ("ssh -i key", "0", "C.UTF-8") == (seen["GIT_SSH_COMMAND"], seen["GIT_TERMINAL_PROMPT"], seen["LC_ALL"])
    settings = [
        (seen[f"GIT_CONFIG_KEY_{number}"], seen[f"GIT_CONFIG_VALUE_{number}"])
        for number in range(int(seen["GIT_CONFIG_COUNT"]))
    ]
    assert ("http.proxy", "http://proxy.example") == settings[0]
    assert ("core.hooksPath", os.devnull) in settings
    assert ("http.https://git.example/.extraHeader", "Authorization: Basic ***") in settings


@pytest.mark.usefixtures("fake_git")
def test_what_git_starts_is_ended_with_it(tmp_path):
    """A child that holds the output open would be waited for."""
    (tmp_path / "bin" / "git").write_text("#!/bin/sh\nsleep 60 &\nwait\n")
    began = time.monotonic()
    ran = git("fetch", address=parse_address("https://git.example/"), seconds=0.2)
    assert ran.exit_code is None
    assert time.monotonic() - began < 50


def test_without_git_a_person_is_needed(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(HumanNeeded, match="`git` isn't on PATH"):
        GitRepository("https://git.example/", copy=tmp_path / "copy", author=ROBOT).fetch()
