"""What a person is told who stands in the wrong folder, or names something that isn't what it should be."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.cli.calls import KEY, call, on_terminal, sources


@pytest.mark.parametrize(
    "command",
    [
        ("plan", *sources()),
        ("render",),
        ("diff",),
        ("check",),
        ("explain", "shop/cart"),
        ("doctor",),
        ("status",),
        ("proposals",),
        ("ca", "status"),
        ("pause",),
        ("cluster", "trust", "west", KEY),
        ("cluster", "password", "west"),
        ("redis", "users"),
    ],
    ids=lambda command: " ".join(command[:2]),
)
def test_a_folder_of_something_else_is_named_and_not_read(tmp_path, command):
    (tmp_path / "link").symlink_to("nowhere")  # a mesh repository with it is refused in other words
    said = call(*command, "--repo", tmp_path)
    what = "this is no mesh repository, for mesh/mesh.yaml is missing"
    told = f"error: {tmp_path}: {what}. `--repo` names one, and `peermesh init` begins one.\n"
    assert (1, "", told) == (said.code, said.stdout, said.stderr)


@pytest.mark.parametrize("command", ["pause", "proposals", "status"])
def test_the_repository_around_a_folder_is_let_alone_if_it_is_no_mesh(tmp_path, command):
    program, remote = tmp_path / "program", tmp_path / "program.git"
    git("init", "--quiet", "--initial-branch=main", program)
    git("-C", program, "commit", "--quiet", "--allow-empty", "--message", "Something else")
    git("clone", "--quiet", "--bare", program, remote)
    git("-C", program, "remote", "add", "origin", remote)
    (program / "below").mkdir()
    before = git("-C", remote, "show-ref")
    said = call(command, "--repo", program / "below")
    assert 1 == said.code
    assert f"error: main of {remote}: this is no mesh repository" in said.stderr
    assert before == git("-C", remote, "show-ref")


@pytest.mark.parametrize(
    "url", ["redis.example", "http://:geheim@redis.example/0", "redis://:geheim@redis.example:x/0"]
)
@pytest.mark.parametrize("command", [("status",), ("explain", "shop/cart"), ("ca", "status"), ("doctor",), ("up",)])
def test_what_is_no_address_of_redis_is_refused_and_not_shown(mesh, command, url):
    said = call(*command, "--repo", mesh, "--redis-url", url)
    assert (1, "") == (said.code, said.stdout)
    assert "Invalid value for '--redis-url'" in said.stderr
    assert "it isn't an address like redis://USER:PASSWORD@HOST:6379/0" in said.stderr
    assert "geheim" not in said.stderr


def test_an_empty_address_of_redis_is_none(mesh, monkeypatch):
    monkeypatch.setenv("PEERMESH_BROKER_URL", "")
    assert 0 == call("status", "--repo", mesh).code


def test_a_command_to_be_copied_stays_on_one_line_of_a_narrow_terminal(mesh):
    said = on_terminal("cluster", "trust", "west", KEY, "--repo", mesh, columns=40, NO_COLOR="1", TERM="dumb")
    commit = f"git -C {mesh} add mesh/clusters/west.yaml && git -C {mesh} commit -m 'Trust the syncer of west'"
    assert f"  {commit}" in said.stdout.splitlines()


def git(*arguments: str | Path) -> str:
    """What git printed."""
    done = subprocess.run(["git", *map(str, arguments)], check=True, capture_output=True, text=True)
    return done.stdout
