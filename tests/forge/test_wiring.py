"""Which forge a worker works with, and as whom."""

from __future__ import annotations

import pytest

from syncer.protocol.errors import HumanNeeded
from workers.cli.wiring import forge_credentials, forges_of
from workers.documents.kinds import Forge
from workers.forge.git import GitForge
from workers.forge.gitea import GiteaForge
from workers.settings import read_settings

GITEA = Forge(type="gitea", url="https://git.example.com", repository="platform/mesh")


def test_main_names_the_forge_and_each_is_made_once(tmp_path):
    forges = forges_of(read_settings({"HOME": str(tmp_path)}))
    assert isinstance(forges(Forge()), GitForge)
    assert isinstance(forges(GITEA), GiteaForge)
    assert forges(GITEA) is forges(Forge(type="gitea", url="https://git.example.com", repository="platform/mesh"))


@pytest.mark.parametrize("own", [True, False], ids=["of its own", "of the repository"])
def test_the_token_is_read_each_time(tmp_path, own):
    file = tmp_path / "token"
    names = ("FORGE_USER", "FORGE_TOKEN_FILE") if own else ("GIT_USER", "GIT_PASSWORD_FILE")
    told = dict(zip((f"PEERMESH_{name}" for name in names), ("robot", str(file)), strict=True))
    others = {"PEERMESH_GIT_USER": "other", "PEERMESH_GIT_PASSWORD_FILE": "/nowhere"}
    settings = read_settings({"HOME": str(tmp_path), **others, **told})
    for token in ("one", "two"):
        file.write_text(f"{token}\n")
        user, secret = forge_credentials(settings)
        assert ("robot", token) == (user, secret.reveal())


@pytest.mark.parametrize(
    "told",
    [
        {},
        {"PEERMESH_FORGE_TOKEN_FILE": "/nowhere"},
        {"PEERMESH_FORGE_USER": "robot"},
        {"PEERMESH_FORGE_USER": "robot", "PEERMESH_FORGE_TOKEN_FILE": "/nowhere"},
    ],
)
def test_a_missing_token_is_said_with_the_setting(tmp_path, told):
    with pytest.raises(HumanNeeded, match="PEERMESH_FORGE_TOKEN_FILE"):
        forge_credentials(read_settings({"HOME": str(tmp_path), **told}))
