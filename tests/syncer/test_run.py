from __future__ import annotations

import logging
import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import pytest
from msgspec.structs import replace
from prometheus_client import generate_latest

from syncer import metrics
from syncer.__main__ import main
from syncer.cluster import ClusterState
from syncer.cluster.known import NotReadYet
from syncer.keys import signing_key
from syncer.leader import Alone
from syncer.probing import Prober
from syncer.protocol.errors import PeermeshError, Rejected
from syncer.protocol.observation import Observation
from syncer.rounds import Probing
from syncer.run import Syncer, run
from syncer.settings import SETTINGS, Settings, read_settings
from syncer.trust import Sample
from tests.servers.valkey import Valkey, valkey
from tests.syncer.clusters import NOW, SCOPE, cluster, deployment, service
from tests.syncer.logs import wait_until_logged
from tests.syncer.test_publish import ACL, DEADLINE, QUEUE, arrived, west

SILENT = Prober(Probing(pods=0), "istio-system", tell=lambda: None)
"""Asks nobody."""
INCOMPLETE = "incomplete, nothing is said until it is mended, BadManifest: "

NO_GATEWAY = (
    "no Service in namespace istio-eastwest leads to port 15443 of pods with istio=eastwestgateway. "
    'Write spec.gateway.addresses in mesh/clusters/west.yaml, for example ["203.0.113.10:30443"].'
)


@pytest.fixture(scope="module")
def broker() -> Iterator[Valkey]:
    with valkey(acl=ACL) as server:
        yield server


@pytest.fixture
def environment(broker: Valkey, tmp_path: Path) -> Mapping[str, str]:
    broker.wipe()
    (tmp_path / "west").mkdir()
    (tmp_path / "west" / "a.yaml").write_text(f"{service()}---\n{deployment()}")
    return {
        "PEERMESH_MESH": "acme",
        "PEERMESH_CLUSTER": "west",
        "PEERMESH_BROKER_URL": west(broker).reveal(),
        "PEERMESH_DIRECTORY": str(tmp_path / "west"),
        "PEERMESH_KEY_FILE": str(tmp_path / "key"),
        "PEERMESH_NAMESPACE": "shop",
        "PEERMESH_QUIET": "0.05",
    }


@contextmanager
def running(settings: Settings) -> Iterator[None]:
    stop = threading.Event()
    thread = threading.Thread(target=run, args=(settings,), kwargs={"stop": stop})
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join(DEADLINE)
    assert not thread.is_alive()


def directory_of(settings: Settings) -> Path:
    assert isinstance(settings.source, Path)
    return settings.source


def offered(observation: Observation) -> list[str]:
    return [offer.service for offer in observation.offers]


# --- all of it


def test_changes_are_published_and_what_is_broken_says_nothing(
    broker: Valkey, environment: Mapping[str, str], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, logger="peermesh")
    settings = read_settings(environment)
    second = directory_of(settings) / "b.yaml"
    with broker.client() as client, running(settings):
        first = arrived(client)
        second.write_text(service().replace("name: a,", "name: b,"))
        both = arrived(client)
        second.write_text(service().replace("name: a,", "name: b,")[:-3])
        wait_until_logged(caplog, INCOMPLETE)
        second.write_text(service().replace("name: a,", "name: c,"))
        mended = arrived(client)
        assert 0 == client.llen(QUEUE)
    assert [["a"], ["a", "b"], ["a", "c"]] == [offered(one) for one in (first, both, mended)]
    assert first.sequence < both.sequence < mended.sequence
    assert "read completely" in caplog.messages


def test_a_heartbeat_says_again_what_is_so(broker: Valkey, environment: Mapping[str, str]) -> None:
    settings = read_settings({**environment, "PEERMESH_HEARTBEAT": "0.1"})
    with broker.client() as client, running(settings):
        first, second, third = (arrived(client) for _ in range(3))
    assert first.content() == second.content() == third.content()
    assert first.sequence < second.sequence < third.sequence
    assert first.observed_at < second.observed_at < third.observed_at


def test_what_changed_while_the_broker_was_away_arrives_when_it_is_back(
    environment: Mapping[str, str], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, logger="peermesh")
    with valkey(acl=ACL) as server:
        settings = read_settings({**environment, "PEERMESH_BROKER_URL": west(server).reveal()})
        server.stop()
        with running(settings):
            wait_until_logged(caplog, "not published, BrokerAway")
            (directory_of(settings) / "b.yaml").write_text(service().replace("name: a,", "name: b,"))
            wait_until_logged(caplog, "observed 2 exports")
            server.restart()
            with server.client() as client:
                assert ["a", "b"] == offered(arrived(client))


def test_a_directory_that_isnt_there_yet_is_waited_for(
    broker: Valkey, environment: Mapping[str, str], caplog: pytest.LogCaptureFixture
) -> None:
    settings = read_settings(environment)
    moved = directory_of(settings).rename(directory_of(settings).parent / "moved")
    with broker.client() as client, running(settings):
        wait_until_logged(caplog, "incomplete, nothing is said until it is mended, NoManifests: ")
        moved.rename(directory_of(settings))
        assert ["a"] == offered(arrived(client))


def test_a_process_logs_its_public_key_and_ends_with_0_on_sigterm(
    broker: Valkey, environment: Mapping[str, str]
) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "syncer"],
        env={**os.environ, **environment},
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        with broker.client() as client:
            assert ["a"] == offered(arrived(client))
        process.send_signal(signal.SIGTERM)
        _, said = process.communicate(timeout=DEADLINE)
    finally:
        process.kill()  # does nothing to one that has ended
        process.wait()
    lines = [re.sub(r"^\S+ \S+ ", "", line) for line in said.splitlines()]
    folder, key = environment["PEERMESH_DIRECTORY"], signing_key(Path(environment["PEERMESH_KEY_FILE"]))
    assert lines == [
        f"INFO syncer of cluster west in mesh acme reads {folder} and signs with {key.public}",
        "INFO observed 1 exports, 1 refused (changed)",
        f"WARNING refused istio-eastwest/gateway, NoGateway: {NO_GATEWAY}",
        "INFO syncer of cluster west stopped",
    ]
    assert 0 == process.returncode
    assert "canary" not in said


def test_a_process_that_needs_a_person_says_why_and_ends_with_3(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for setting in SETTINGS:
        monkeypatch.delenv(setting.name, raising=False)
    assert 3 == main([])
    assert "ERROR BadSetting: PEERMESH_MESH: it isn't set." in capsys.readouterr().err


@pytest.mark.parametrize("module", ["syncer", "workers.cli"])
def test_however_it_is_started_it_ends_with_the_same_code(module: str, environment: Mapping[str, str]) -> None:
    command = [sys.executable, "-m", module, *(["syncer"] if module == "workers.cli" else [])]
    told = {**os.environ, **environment, "PEERMESH_LISTEN": "192.0.2.1:80"}  # TEST-NET-1: never an address of ours
    done = subprocess.run(command, check=False, env=told, capture_output=True, text=True, timeout=DEADLINE)
    assert 3 == done.returncode
    assert ": 192.0.2.1:80 can't be listened on: " in done.stderr
    assert 1 == done.stderr.count("\n")


def test_help_names_every_setting(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--help"])
    text = capsys.readouterr().out
    assert [] == [setting.name for setting in SETTINGS if setting.name not in text]


# --- one of several replicas


class Following:
    """An election in which a test says who leads."""

    alive = True
    term = 0

    def __init__(self) -> None:
        self.leads = False

    def begin(self) -> None:
        self.leads = True
        self.term += 1

    def leading(self) -> bool:
        return self.leads


def test_one_that_doesnt_lead_reads_and_says_nothing() -> None:
    published: list[Observation] = []
    syncer = Syncer(SCOPE, Scripted(ONE, ONE), published.append, Following(), SILENT)
    assert [False, False] == [syncer.read(NOW, heartbeat=heartbeat) for heartbeat in (True, False)]
    assert ([], "") == (published, syncer.waiting)


def test_one_that_begins_to_lead_says_all_of_it_when_it_was_read_anew() -> None:
    published: list[Observation] = []
    reader, leader = Scripted(ONE, ONE), Following()
    syncer = Syncer(SCOPE, reader, published.append, leader, SILENT)
    syncer.read(NOW, heartbeat=True)
    leader.begin()
    assert (False, 1, []) == (syncer.read(NOW, heartbeat=False), reader.refreshed, published)
    assert (True, 1) == (syncer.read(NOW, heartbeat=False), reader.refreshed)
    assert ["a"] == offered(published[0])


def test_one_that_leads_from_the_beginning_reads_once() -> None:
    published: list[Observation] = []
    reader, leader = Scripted(ONE), Following()
    leader.begin()
    syncer = Syncer(SCOPE, reader, published.append, leader, SILENT)
    assert (True, 0) == (syncer.read(NOW, heartbeat=True), reader.refreshed)


def test_one_that_leads_again_says_again_what_another_one_may_have_contradicted() -> None:
    published: list[Observation] = []
    leader = Following()
    leader.begin()
    syncer = Syncer(SCOPE, Scripted(ONE, ONE, ONE), published.append, leader, SILENT)
    assert [True, False] == [syncer.read(NOW, heartbeat=False) for _ in range(2)]
    leader.begin()
    assert [False, True] == [syncer.read(NOW, heartbeat=False) for _ in range(2)]
    assert published[0].sequence < published[1].sequence


# --- one reading after the other


class Scripted:
    """A reader that gives one state after the other, or raises."""

    def __init__(self, *states: ClusterState | PeermeshError) -> None:
        self._states = iter(states)
        self.refreshed = 0

    def read(self) -> ClusterState:
        state = next(self._states)
        if isinstance(state, PeermeshError):
            raise state
        return state

    def refresh(self) -> None:
        self.refreshed += 1

    def changes(self, stop: threading.Event) -> Iterator[None]:
        del stop
        yield from ()


ONE = cluster(service(), deployment())
BROKEN = Rejected("BadManifest", "not YAML", subject="a.yaml:1")


def read_all(*states: ClusterState | PeermeshError, heartbeat: bool = False) -> tuple[list[bool], list[Observation]]:
    """Whether each reading was published, and what was."""
    published: list[Observation] = []
    syncer = Syncer(SCOPE, Scripted(*states), published.append, Alone(), SILENT)
    return [syncer.read(NOW, heartbeat=heartbeat) for _ in states], published


def test_the_same_state_is_published_once() -> None:
    assert [True, False, False] == read_all(ONE, ONE, ONE)[0]


def test_the_same_state_is_published_at_every_heartbeat_under_a_new_number() -> None:
    sent, published = read_all(ONE, ONE, heartbeat=True)
    assert [True, True] == sent
    assert published[1] == replace(published[0], sequence=published[0].sequence + 1)


@pytest.mark.parametrize("heartbeat", [True, False])
def test_an_incomplete_reading_is_never_published_and_changes_nothing(heartbeat: bool) -> None:
    sent, published = read_all(ONE, BROKEN, ONE, heartbeat=heartbeat)
    assert [True, False, heartbeat] == sent
    assert all(offered(one) == ["a"] for one in published)


def test_what_was_applied_is_news() -> None:
    rule = """
        apiVersion: networking.istio.io/v1
        kind: DestinationRule
        metadata:
          name: reviews.bookinfo
          labels: {app.kubernetes.io/managed-by: peermesh}
          annotations: {peermesh.io/digest: aa}
        """
    assert [True, True, False] == read_all(ONE, applied := cluster(service(), deployment(), rule), applied)[0]


def test_numbers_and_times_are_those_of_the_reading() -> None:
    published: list[Observation] = []
    syncer = Syncer(SCOPE, Scripted(ONE, cluster()), published.append, Alone(), SILENT)
    for seconds in (0, 5):
        syncer.read(NOW + timedelta(seconds=seconds), heartbeat=False)
    first, second = published
    assert [NOW, NOW + timedelta(seconds=5)] == [first.observed_at, second.observed_at]
    assert 5_000_000 == second.sequence - first.sequence


def test_each_trouble_is_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, logger="peermesh")
    bad = cluster(service(selector="{}"))
    read_all(bad, bad, BROKEN, BROKEN, bad, heartbeat=True)
    refused = "refused shop/a, NoIdentity: "
    assert 1 == sum(message.startswith(refused) for message in caplog.messages)
    assert 1 == caplog.messages.count(f"{INCOMPLETE}a.yaml:1: not YAML")
    assert 1 == caplog.messages.count("read completely")


def test_the_end_of_a_round_of_handshakes_is_logged_as_no_change_of_people(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, logger="peermesh")
    prober = Prober(Probing(pods=0), "istio-system", tell=lambda: None)
    syncer = Syncer(SCOPE, Scripted(ONE, ONE, cluster()), lambda _: None, Alone(), prober)
    syncer.read(NOW, heartbeat=False)
    prober._sample = Sample(at=NOW)
    syncer.read(NOW, heartbeat=False)
    syncer.read(NOW, heartbeat=False)
    said = [text.rpartition(" ")[2] for text in caplog.messages if text.startswith("observed ")]
    assert ["(changed)", "(trust)", "(changed)"] == said


def test_that_nothing_was_read_yet_is_no_trouble_worth_a_warning(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, logger="peermesh")
    read_all(NotReadYet("services"), NotReadYet("pods"), ONE)
    assert [] == [
        record.message for record in caplog.records if record.levelno >= logging.WARNING and "read" in record.message
    ]
    assert ["services"] == [text.split(": ")[1] for text in caplog.messages if text.startswith("nothing is said yet")]


def test_until_it_was_read_once_it_says_what_it_waits_for() -> None:
    syncer = Syncer(SCOPE, Scripted(BROKEN, ONE, BROKEN), lambda _: None, Alone(), SILENT)
    said = [syncer.waiting]
    for _ in range(3):
        syncer.read(NOW, heartbeat=False)
        said.append(syncer.waiting)
    assert ["the cluster wasn't read yet", "a.yaml:1: not YAML", "", ""] == said


def test_readings_are_counted() -> None:
    read_all(ONE, BROKEN)
    text = generate_latest(metrics.REGISTRY).decode()
    assert "peermesh_syncer_complete 0.0" in text
    assert "peermesh_syncer_offers 1.0" in text
    assert 'peermesh_syncer_readings_total{outcome="incomplete"}' in text
