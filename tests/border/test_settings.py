"""The settings of the centre, and that none of them shows a secret."""

from __future__ import annotations

import pickle
from pathlib import Path

import msgspec
import pytest

from syncer.protocol.errors import HumanNeeded
from syncer.protocol.secret import Secret
from workers.settings import SETTINGS, read_settings


def test_without_an_environment_the_defaults_hold():
    settings = read_settings({"HOME": "/home/robot"})
    assert settings.broker.reveal() == "redis://127.0.0.1:6379/0"
    assert settings.border_broker.reveal() == "redis://127.0.0.1:6379/0"
    assert Path("/home/robot/.cache/peermesh") == settings.copy.parent
    assert settings.metrics is None
    assert settings.git_password_file is None


def test_what_the_environment_says_holds():
    settings = read_settings(
        {
            "PEERMESH_BROKER_URL": "rediss://worker:w@redis.example/0",
            "PEERMESH_BORDER_BROKER_URL": "rediss://border:b@redis.example/0",
            "PEERMESH_REPO": "https://git.example/mesh.git",
            "PEERMESH_COPY": "/var/cache/mesh",
            "PEERMESH_AUTHOR_NAME": "robot",
            "PEERMESH_AUTHOR_EMAIL": "robot@example.org",
            "PEERMESH_GIT_USER": "robot",
            "PEERMESH_GIT_PASSWORD_FILE": "/run/secrets/git",
            "PEERMESH_METRICS": "[::]:9464",
        }
    )
    assert settings.broker.reveal() == "rediss://worker:w@redis.example/0"
    assert settings.border_broker.reveal() == "rediss://border:b@redis.example/0"
    assert settings.repo == "https://git.example/mesh.git"
    assert Path("/var/cache/mesh") == settings.copy
    assert (settings.author_name, settings.author_email) == ("robot", "robot@example.org")
    assert (settings.git_user, settings.git_password_file) == ("robot", Path("/run/secrets/git"))
    assert settings.metrics == ("::", 9464)


def test_an_empty_variable_is_as_good_as_none():
    assert read_settings({"PEERMESH_AUTHOR_NAME": " "}).author_name == "peermesh"


def test_two_repositories_never_share_a_copy():
    first, second = (read_settings({"PEERMESH_REPO": url, "XDG_CACHE_HOME": "/c"}).copy for url in ("a", "b"))
    assert first != second
    assert Path("/c/peermesh") == first.parent == second.parent


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("PEERMESH_BROKER_URL", "amqp://user:canary@host"),
        ("PEERMESH_BROKER_URL", "redis://user:canary@host:no"),
        ("PEERMESH_BROKER_URL", "redis://user:canary/@host"),
        ("PEERMESH_BROKER_URL", "redis://user:canary@host\u2100"),
        ("PEERMESH_BORDER_BROKER_URL", "host:6379"),
        ("PEERMESH_PUSHES_PER_MINUTE", "0"),
        ("PEERMESH_PUSHES_PER_MINUTE", "many"),
        ("PEERMESH_WEBHOOK_LISTEN", "8081"),
        ("PEERMESH_METRICS", "9464"),
        ("PEERMESH_METRICS", ":9464"),
        ("PEERMESH_METRICS", "host:"),
        ("PEERMESH_METRICS", "host:0"),
        ("PEERMESH_METRICS", "host:65536"),
    ],
)
def test_what_cannot_be_meant_is_refused_by_the_name_of_the_variable(name, value):
    with pytest.raises(HumanNeeded) as refused:
        read_settings({name: value})
    assert str(refused.value).startswith(f"{name}: ")
    assert "canary" not in str(refused.value)


def test_settings_print_without_secrets():
    environment = {
        "PEERMESH_BROKER_URL": "redis://u:canary@h",
        "PEERMESH_BORDER_BROKER_URL": "redis://v:canary@h",
        "PEERMESH_REPO": "https://robot:canary@git.example/mesh.git",
    }
    assert "canary" not in repr(read_settings(environment))


def test_a_secret_neither_prints_nor_travels():
    secret = Secret("canary")
    assert f"{secret} {secret!r} {[secret]}" == "*** *** [***]"
    with pytest.raises(TypeError):
        pickle.dumps(secret)
    with pytest.raises(TypeError):
        msgspec.json.encode(secret)


def test_every_setting_says_what_it_means():
    assert all(setting.name.startswith("PEERMESH_") and setting.meaning for setting in SETTINGS)
