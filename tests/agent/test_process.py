"""The agent as a process: what it is told, what it answers, and that nothing ends it but being told to."""

from __future__ import annotations

import base64
import json
import logging
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest
import urllib3
import yaml

from syncer.__main__ import main
from syncer.agent.run import Agent, run
from syncer.agent.settings import SETTINGS, read_settings
from syncer.protocol.message import SIGN_REQUEST, parse_arguments
from syncer.protocol.request import unpack
from syncer.publish import send
from tests.agent.test_values import LEAST
from tests.agent.world import World, config_map
from tests.border.processes import wait_until
from tests.servers.valkey import free_port, valkey
from tests.simulator.inbox import MemoryInbox
from tests.syncer.logs import wait_until_logged
from tests.syncer.test_publish import ACL, QUEUE, west
from workers.admission import admit
from workers.outside import BorderKeys
from workers.receive import receive_request

LISTEN = "PEERMESH_LISTEN"


@pytest.fixture
def environment(tmp_path: Path) -> Mapping[str, str]:
    """An API server that isn't there."""
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "west", "cluster": {"server": f"https://127.0.0.1:{free_port()}"}}],
        "users": [{"name": "agent", "user": {"token": "canary"}}],
        "contexts": [{"name": "west", "context": {"cluster": "west", "user": "agent"}}],
        "current-context": "west",
    }
    (tmp_path / "config").write_text(yaml.safe_dump(config))
    more = {
        "PEERMESH_KUBECONFIG": str(tmp_path / "config"),
        LISTEN: f"127.0.0.1:{free_port()}",
        "PEERMESH_LOOK": "0.05",
    }
    return {**LEAST, **more}


@contextmanager
def running(environment: Mapping[str, str]) -> Iterator[None]:
    stop = threading.Event()
    thread = threading.Thread(target=run, args=(read_settings(environment),), kwargs={"stop": stop})
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join(60)
    assert not thread.is_alive()


def asked(environment: Mapping[str, str], path: str) -> tuple[int, str]:
    answer = urllib3.request("GET", f"http://{environment[LISTEN]}{path}", retries=False, timeout=60)
    return answer.status, answer.data.decode()


def test_an_agent_without_an_api_server_lives_says_why_it_isnt_ready_and_ends_when_it_is_told(
    environment: Mapping[str, str], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, logger="peermesh")
    with running(environment):
        wait_until_logged(caplog, "https://127.0.0.1:")
        wait_until(lambda: "the API server doesn't answer" in asked(environment, "/readyz")[1], what="why")
        assert (200, "ok\n") == asked(environment, "/healthz")
        assert 503 == asked(environment, "/readyz")[0]
        assert "peermesh_ca_agent_troubled 1.0" in asked(environment, "/metrics")[1]
    assert "CA agent of cluster west stopped" in caplog.messages
    assert "canary" not in caplog.text


def test_the_same_trouble_is_logged_once_and_its_end_too(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, logger="peermesh")
    world = World(installed=1)
    agent: Agent = world.agent()
    agent.turn()
    caplog.clear()
    world.api.away = True
    agent.turn()
    agent.turn()
    world.api.away = False
    agent.turn()
    assert ["https://api: the API server doesn't answer", "nothing is in the way any more"] == caplog.messages


def test_its_key_is_logged_at_the_start_with_the_command_that_trusts_it(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, logger="peermesh")
    world = World(installed=1)
    world.agent().turn()
    (said,) = [message for message in caplog.messages if "signs with ed25519:" in message]
    assert said.endswith("`peermesh ca manage west --agent-key KEY` lets the mesh trust it")


def test_an_answer_that_is_no_object_is_trouble_and_isnt_quoted() -> None:
    world = World(installed=1)
    agent = world.agent()
    agent.turn()
    world.api.objects[config_map("istio-ca-root-cert")] = "canary"  # type: ignore[assignment]
    agent.turn()
    assert "an answer that isn't an object in JSON" in world.status.trouble
    assert "canary" not in world.status.trouble


@pytest.mark.usefixtures("no_settings")
def test_a_setting_that_is_missing_ends_it_with_3_and_its_name(capsys: pytest.CaptureFixture[str]) -> None:
    assert 3 == main(["ca-agent"])
    assert "BadSetting: PEERMESH_MESH: it isn't set." in capsys.readouterr().err


@pytest.fixture
def no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    for setting in SETTINGS:
        monkeypatch.delenv(setting.name, raising=False)


def test_help_names_every_setting(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--help"])
    said = capsys.readouterr().out
    assert [] == [setting.name for setting in SETTINGS if setting.name not in said]


def test_what_it_sends_is_admitted_at_the_border_and_kept() -> None:
    """Through a real broker, as the user of the cluster, who may do nothing else."""
    world = World(installed=1)
    world.commit(1, wanted="2", reason="ordered")
    inbox = MemoryInbox()
    with valkey(acl=ACL) as broker, broker.client() as client:
        agent = world.agent(lambda args: send(west(broker), args, task=SIGN_REQUEST))
        agent.turn()
        raw = client.rpop(QUEUE)
        assert isinstance(raw, bytes)
        assert [] == client.acl_log()
    inbox.set_border_keys(BorderKeys(mesh="acme", keys={"west": ()}, agents={"west": (world.signing_key,)}))
    message = json.loads(admit("observations.west", raw) or b"")
    assert SIGN_REQUEST == message["headers"]["task"]
    args = parse_arguments(json.loads(base64.b64decode(message["body"]))[0])
    assert receive_request(inbox, *args, world.now)
    kept = unpack(inbox.requests()["west"].packed)
    assert (2, "ordered") == (kept.rotation, kept.reason)
