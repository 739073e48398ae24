"""How a server is reached that wants to know who asks: keys of ssh, credential helpers, files, certificates.

Each against the real server.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from syncer.protocol.errors import HumanNeeded
from syncer.protocol.secret import Secret
from tests.e2e.kubernetes import Certificates
from tests.git.acts import PERSON, propose
from tests.servers.git_http import PASSWORD, USER, git_server
from tests.servers.sshd import new_key
from workers.git import Access
from workers.git.address import parse_address

GOOD = Access(user=USER, password=Secret(PASSWORD))


# --- ssh


@pytest.fixture
def ssh(wired):
    return wired("ssh")


@pytest.fixture
def denied(client, ssh):
    """What a client is told whose access differs so."""

    def ask(**different: object) -> HumanNeeded:
        with pytest.raises(HumanNeeded) as caught:
            client(ssh.url("mesh.git"), access=replace(ssh.access, **different)).fetch()
        return caught.value

    return ask


def test_a_host_key_that_changed_is_an_alarm(ssh, denied, tmp_path):
    new_key(tmp_path / "other")
    ssh.access.known_hosts.write_text(f"[127.0.0.1]:* {(tmp_path / 'other.pub').read_text()}")
    error = denied()
    assert "HostKeyChanged" == error.reason
    assert "ALARM: the server shows another host key than before, somebody may be in between" in str(error)
    assert f"Host key for [127.0.0.1]:{ssh.cable.port} has changed" in str(error)


def test_a_host_key_that_is_not_known_is_not_accepted(ssh, denied):
    before = ""
    ssh.access.known_hosts.write_text(before)
    error = denied()
    assert "HostKeyUnknown" == error.reason
    assert f"No ED25519 host key is known for [127.0.0.1]:{ssh.cable.port}" in str(error)
    assert "`ssh-keyscan HOST`" in error.remedy
    assert before == ssh.access.known_hosts.read_text()


def test_a_key_that_the_server_does_not_know_is_refused(denied, tmp_path):
    new_key(tmp_path / "stranger")
    error = denied(ssh_key=tmp_path / "stranger")
    assert ("KeyRefused", True) == (error.reason, "PEERMESH_GIT_SSH_KEY_FILE" in error.remedy)


def test_a_key_that_others_may_read_is_told(ssh, denied):
    ssh.access.ssh_key.chmod(0o644)
    error = denied()
    assert "KeyTooOpen" == error.reason
    assert "`chmod 600`" in error.remedy


def test_a_key_that_is_broken_is_told(denied, tmp_path):
    (tmp_path / "broken").write_text("no key\n")
    (tmp_path / "broken").chmod(0o600)
    assert "BadKey" == denied(ssh_key=tmp_path / "broken").reason


def test_a_key_with_a_passphrase_is_refused_and_nothing_is_asked(ssh, denied, tmp_path, monkeypatch):
    asked = tmp_path / "asked"
    helper = _program(tmp_path / "askpass", f"touch {asked}; echo secret1")
    for name in ("SSH_ASKPASS", "GIT_ASKPASS"):
        monkeypatch.setenv(name, helper)
    monkeypatch.setenv("DISPLAY", ":0")
    monkeypatch.setenv("SSH_ASKPASS_REQUIRE", "force")
    new_key(tmp_path / "locked", passphrase="secret1")
    authorized = ssh.access.ssh_key.with_name("authorized")
    options = authorized.read_text().partition(" ssh-ed25519")[0]
    authorized.write_text(f"{options} {(tmp_path / 'locked.pub').read_text()}")
    error = denied(ssh_key=tmp_path / "locked")
    assert "KeyRefused" == error.reason
    assert "must have no passphrase" in error.remedy
    assert not asked.exists()


def test_no_file_of_ssh_and_no_agent_is_used_but_those_that_are_named(client, ssh, tmp_path, monkeypatch):
    """HOME has settings that lead elsewhere, and the agent isn't one."""
    home = tmp_path / ".ssh"
    home.mkdir()
    (home / "config").write_text("Host *\n  ProxyCommand false\n  StrictHostKeyChecking no\n")
    monkeypatch.setenv("SSH_AUTH_SOCK", str(tmp_path / "no-agent"))
    monkeypatch.setenv("GIT_SSH_COMMAND", "false")
    robot = client(ssh.url("mesh.git"), access=ssh.access)
    propose(robot)
    assert ["config"] == [path.name for path in home.iterdir()]


def test_a_repository_that_is_not_there_is_told_by_its_address(client, ssh):
    with pytest.raises(HumanNeeded, match=r"none\.git: there is no repository") as caught:
        client(ssh.url("none.git"), access=ssh.access).fetch()
    assert "Could not read from remote repository" not in str(caught.value)


def test_paths_with_spaces_and_quotes_reach_ssh_as_they_are(client, ssh, tmp_path):
    folder = tmp_path / 'it\'s a "key" folder, 100%'
    folder.mkdir()
    moved = {}
    for name in ("ssh_key", "known_hosts"):
        old = getattr(ssh.access, name)
        moved[name] = folder / old.name if name == "ssh_key" else tmp_path / "known hosts 100%"
        moved[name].write_bytes(old.read_bytes())
        moved[name].chmod(0o600)
    assert client(ssh.url("mesh.git"), access=Access(**moved)).fetch().main


def test_without_settings_ssh_is_as_the_site_has_it():
    assert {} == parse_address("ssh://git@git.example/mesh.git").environment()


# --- files


@pytest.mark.parametrize(
    ("name", "what"),
    [
        ("password_file", "password"),
        ("ssh_key", "private key"),
        ("known_hosts", "known hosts"),
        ("ca_file", "certificates"),
    ],
)
def test_a_file_that_is_not_there_is_named(client, tmp_path, name, what):
    robot = client("https://robot@127.0.0.1:1/mesh.git", access=Access(**{name: tmp_path / "none"}))
    with pytest.raises(HumanNeeded, match=f"none: the file of the {what} .* can't be read: No such file"):
        robot.fetch()


def test_a_password_file_is_read_again_whenever_it_is_needed(client, server, remote, tmp_path):
    del remote
    file = tmp_path / "password"
    file.write_text("old\n")
    robot = client(server.url("mesh.git"), access=Access(user=USER, password_file=file))
    with pytest.raises(HumanNeeded, match="doesn't accept the credentials"):
        robot.fetch()
    file.write_text(f"{PASSWORD}\n")
    assert propose(robot)


# --- credential helpers


@pytest.fixture
def helper(tmp_path, monkeypatch):
    """A helper of the site, in its settings of git; the file in which it writes what it was asked for."""
    asked = tmp_path / "asked"
    answer = f"username={USER}\\npassword={PASSWORD}\\n"
    program = _program(tmp_path / "helper", f'echo "$1" >> {asked}; [ "$1" = get ] && printf "{answer}"')
    settings = tmp_path / "gitconfig"
    settings.write_text(f'[credential]\n\thelper = "{program}"\n')
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(settings))
    return asked


def test_a_credential_helper_of_the_site_has_the_password(client, server, remote, helper):
    del remote
    for access in (Access(), Access(user=USER)):
        propose(client(server.url("mesh.git"), PERSON, access=access), branch=f"peermesh/exports/a{len(access.user)}")
    assert {"get", "store"} == set(helper.read_text().split())


def test_a_helper_is_not_asked_where_a_password_is_set(client, server, remote, helper):
    del remote
    with pytest.raises(HumanNeeded, match="doesn't accept the credentials"):
        client(server.url("mesh.git"), access=Access(user=USER, password=Secret("wrong"))).fetch()
    assert not helper.exists()


# --- https


@pytest.fixture
def certificates(tmp_path):
    folder = tmp_path / "certificates"
    folder.mkdir()
    return Certificates(folder)


@pytest.fixture
def https(tmp_path, remote, certificates):
    del remote
    with git_server(tmp_path, certificate=certificates.issue("git")) as running:
        yield running


def test_https_is_trusted_by_the_certificates_that_are_set(client, https, certificates, monkeypatch):
    monkeypatch.setenv("GIT_SSL_CAINFO", "/dev/null")
    propose(client(https.url("mesh.git"), access=replace(GOOD, ca_file=certificates.ca)))


def test_https_that_is_not_trusted_needs_a_person_and_gets_no_password(client, https):
    with pytest.raises(HumanNeeded, match=r"the certificate of the server isn't trusted.*PEERMESH_GIT_CA_FILE"):
        client(https.url("mesh.git"), access=GOOD).fetch()
    assert [] == https.requests


def _program(path: Path, script: str) -> str:
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return str(path)
