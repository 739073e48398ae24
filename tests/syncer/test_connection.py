"""What can be known of a connection without a server; the rest is in `tests/e2e/test_reader_faults.py`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from syncer.cluster.connection import Conflict, Connection, Expired, NotFound, refusal
from syncer.protocol.errors import HumanNeeded, PeermeshError, Transient

CANARY = "canary-token-0123456789"


def kubeconfig(folder: Path, **user: Any) -> Path:
    path = folder / "config"
    path.write_text(
        yaml.safe_dump(
            {
                "apiVersion": "v1",
                "kind": "Config",
                "clusters": [{"name": "west", "cluster": {"server": "https://127.0.0.1:1"}}],
                "users": [{"name": "syncer", "user": user}],
                "contexts": [{"name": "west", "context": {"cluster": "west", "user": "syncer"}}],
                "current-context": "west",
            }
        )
    )
    return path


@pytest.mark.parametrize(
    ("status", "kind", "reason"),
    [
        (400, HumanNeeded, "BadRequest"),
        (401, HumanNeeded, "NoCredentials"),
        (403, HumanNeeded, "Forbidden"),
        (404, NotFound, "NotFound"),
        (409, Conflict, "Conflict"),
        (410, Expired, "Expired"),
        (422, HumanNeeded, "BadRequest"),
        (429, Transient, "ApiAway"),
        (500, Transient, "ApiAway"),
        (503, Transient, "ApiAway"),
    ],
)
def test_a_status_says_whether_to_try_again(status: int, kind: type[PeermeshError], reason: str) -> None:
    error = refusal(status, '{"kind": "Status", "message": "said"}', request="GET /x", server="https://west")
    assert (kind, reason) == (type(error), error.reason)
    assert f"https://west: GET /x: {status} said" in str(error)


def test_an_answer_that_is_no_status_is_quoted_on_one_line() -> None:
    error = refusal(404, "404 page\nnot found", request="GET /x", server="https://west")
    assert "https://west: GET /x: 404 404 page not found" == str(error)


def test_a_server_that_nobody_runs_is_away(tmp_path: Path) -> None:
    with pytest.raises(Transient) as caught:
        Connection(kubeconfig=kubeconfig(tmp_path, token=CANARY)).call("GET", "/version")
    assert ("ApiAway", "https://127.0.0.1:1") == (caught.value.reason, caught.value.subject)
    assert CANARY not in str(caught.value)


@pytest.mark.parametrize(
    "text",
    ["", "[1, 2]", "a: [", "contexts: 1", "current-context: west", "\x00", "!!python/object:x {}"],
)
def test_a_kubeconfig_that_cant_be_read_is_a_persons_to_mend(tmp_path: Path, text: str) -> None:
    path = tmp_path / "config"
    path.write_text(text)
    with pytest.raises(HumanNeeded) as caught:
        Connection(kubeconfig=path)
    assert "NoKubernetes" == caught.value.reason
    assert str(path) in caught.value.subject


def test_a_kubeconfig_or_context_that_isnt_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(HumanNeeded) as caught:
        Connection(kubeconfig=tmp_path / "absent")
    assert str(tmp_path / "absent") == caught.value.subject
    with pytest.raises(HumanNeeded) as caught:
        Connection(kubeconfig=kubeconfig(tmp_path, token=CANARY), context="east")
    assert f"{tmp_path / 'config'}, context east" == caught.value.subject
    assert "kubectl config get-contexts" in caught.value.remedy


def test_outside_a_cluster_nobody_has_a_service_account(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    with pytest.raises(HumanNeeded) as caught:
        Connection()
    assert "PEERMESH_KUBECONFIG" in caught.value.remedy


def test_no_token_of_a_broken_kubeconfig_reaches_a_message(tmp_path: Path) -> None:
    """The official client puts the whole user into what it says of a missing key."""
    broken = kubeconfig(tmp_path, **{"auth-provider": {"name": "oidc", "config": {"refresh-token": CANARY}}})
    with pytest.raises(HumanNeeded) as caught:
        Connection(kubeconfig=broken)
    assert CANARY not in str(caught.value)


def test_a_kubeconfig_that_changes_is_read_again(tmp_path: Path) -> None:
    path = kubeconfig(tmp_path, token=CANARY)
    connection = Connection(kubeconfig=path)
    first = connection.client
    assert first is connection.client
    path.write_text(path.read_text().replace("127.0.0.1:1", "127.0.0.1:2"))
    assert first is not connection.client
    assert "https://127.0.0.1:2" == connection.server
