from __future__ import annotations

import base64
import json
import logging
import queue
import random
import socketserver
import threading
from collections.abc import Iterator

import pytest
import redis
from celery import Celery
from celery.contrib.testing.worker import start_worker
from celery.signals import setup_logging
from kombu.entity import Queue
from msgspec.structs import replace

from syncer.protocol.errors import HumanNeeded, Rejected, Superseded, Transient
from syncer.protocol.message import KEY_PREFIX, OBSERVE
from syncer.protocol.observation import MAX_PACKED, Observation, unpack
from syncer.protocol.offer import Offer
from syncer.protocol.secret import Secret
from syncer.protocol.signature import OBSERVATION, SigningKey, verify
from syncer.publish import Publisher, pause, send, signed
from tests.servers.valkey import Valkey, valkey
from tests.syncer.clusters import cluster, observed
from tests.syncer.logs import wait_until_logged
from workers.admission import admit

ACL = """
user syncer-west on >canary resetkeys resetchannels -@all +lpush +ping %W~peermesh:observations.west
user silent on >canary resetkeys resetchannels -@all +ping
user default off
"""
QUEUE = "peermesh:observations.west"
DEADLINE = 60
KEY = SigningKey.from_seed(bytes(32))
SAID = observed(cluster())


@pytest.fixture(scope="module")
def broker() -> Iterator[Valkey]:
    with valkey(acl=ACL) as server:
        yield server


@pytest.fixture
def client(broker: Valkey) -> Iterator[redis.Redis]:
    broker.wipe()
    with broker.client() as client:
        client.acl_log_reset()
        yield client


def west(server: Valkey) -> Secret:
    return Secret(server.url_for("syncer-west", "canary"))


def numbered(sequence: int) -> Observation:
    return replace(SAID, sequence=sequence)


def arrived(client: redis.Redis) -> Observation:
    """The oldest message, waited for."""
    answer = client.brpop([QUEUE], timeout=DEADLINE)
    assert isinstance(answer, list | tuple), "nothing arrived"
    body = json.loads(base64.b64decode(json.loads(answer[1])["body"]))
    return unpack(base64.b64decode(body[0][1]))


# --- one message


def test_a_syncer_needs_no_more_rights_than_to_push_into_its_own_queue(broker: Valkey, client: redis.Redis) -> None:
    send(west(broker), signed(SAID, KEY))
    assert 1 == client.llen(QUEUE)
    assert [QUEUE.encode()] == client.keys("*")
    assert [] == client.acl_log()


def test_what_is_sent_is_signed_and_admitted_at_the_border(broker: Valkey, client: redis.Redis) -> None:
    send(west(broker), signed(SAID, KEY))
    raw = client.rpop(QUEUE)
    assert isinstance(raw, bytes)
    handed_on = admit("observations.west", raw)
    assert handed_on is not None
    (cluster, packed, signature), _, _ = json.loads(base64.b64decode(json.loads(handed_on)["body"]))
    verify([KEY.public], OBSERVATION, "acme", "west", base64.b64decode(packed), base64.b64decode(signature))
    assert ("west", SAID) == (cluster, unpack(base64.b64decode(packed)))


@pytest.mark.usefixtures("client")
def test_any_celery_worker_runs_what_is_sent(broker: Valkey) -> None:
    app = Celery("test", set_as_current=False, broker=broker.url, fixups=[])
    app.conf.update(
        broker_transport_options={"global_keyprefix": KEY_PREFIX},
        task_queues=[Queue("observations.west")],
        accept_content=["json"],
        worker_hijack_root_logger=False,
    )
    ran: queue.SimpleQueue[tuple[str, ...]] = queue.SimpleQueue()

    @app.task(name=OBSERVE)  # type: ignore[untyped-decorator] # Celery has no types
    def observe(*args: str) -> None:
        ran.put(args)

    def leave_the_log_alone(**_: object) -> None:
        pass

    args = signed(SAID, KEY)
    send(west(broker), args)
    setup_logging.connect(leave_the_log_alone)
    try:
        with start_worker(app, pool="solo", perform_ping_check=False, shutdown_timeout=DEADLINE):
            assert args == ran.get(timeout=DEADLINE)
    finally:
        setup_logging.disconnect(leave_the_log_alone)


def test_celerys_own_environment_variables_lead_nothing_elsewhere(
    broker: Valkey, client: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CELERY_BROKER_URL", "redis://127.0.0.1:1/0")
    send(west(broker), signed(SAID, KEY))
    assert SAID == arrived(client)


def test_over_tcp_it_is_the_same() -> None:
    with valkey(acl=ACL, tcp=True) as server, server.client() as client:
        send(west(server), signed(SAID, KEY))
        assert SAID == arrived(client)


@pytest.mark.parametrize(
    ("user", "password", "cluster", "why"),
    [
        ("syncer-west", "canary", "east", "No permissions to access a key"),
        ("silent", "canary", "west", "User silent has no permissions to run the 'lpush' command"),
        ("syncer-west", "canarybird", "west", "invalid username-password pair or user is disabled"),
    ],
)
def test_a_broker_that_refuses_needs_a_person(broker: Valkey, user: str, password: str, cluster: str, why: str) -> None:
    with pytest.raises(HumanNeeded) as error:
        send(Secret(broker.url_for(user, password)), signed(replace(SAID, cluster=cluster), KEY))
    assert str(error.value) == (
        f"{cluster}: the broker refuses us: {why}. "
        f"Its user in PEERMESH_BROKER_URL needs `+lpush +ping %W~peermesh:observations.{cluster}`."
    )


def test_a_broker_that_is_away_is_a_matter_of_time() -> None:
    with pytest.raises(Transient) as error:
        send(Secret("redis+socket:///nowhere/s?virtual_host=0"), signed(SAID, KEY))
    assert str(error.value) == (
        "west: the broker didn't take it: Error 2 connecting to /nowhere/s. No such file or directory. "
        "The newest observation is kept and sent when it is back."
    )


def test_over_tls_nothing_is_said_in_plain_text() -> None:
    heard: queue.SimpleQueue[bytes] = queue.SimpleQueue()

    class Listener(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            heard.put(self.request.recv(1))

    with socketserver.TCPServer(("127.0.0.1", 0), Listener) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            with pytest.raises(Transient):
                send(Secret(f"rediss://syncer-west:canary@127.0.0.1:{server.server_address[1]}/0"), signed(SAID, KEY))
        finally:
            server.shutdown()
            thread.join(DEADLINE)
    assert b"\x16" == heard.get(timeout=DEADLINE)  # a TLS handshake (RFC 8446, 5.1)


def test_more_than_the_border_takes_isnt_sent() -> None:
    chance = random.Random(1)
    selectors = ({"a": chance.randbytes(100).hex()} for _ in range(12_000))
    offers = tuple(Offer(namespace="shop", service="a", source="label", selector=one) for one in selectors)
    with pytest.raises(Rejected) as error:
        signed(replace(SAID, offers=offers), KEY)
    assert str(error.value).endswith(f"the border takes {MAX_PACKED}. Export less from one cluster.")


# --- the publisher


def test_what_is_overtaken_while_the_broker_is_slow_is_never_sent() -> None:
    begun, go_on = threading.Event(), threading.Event()
    sent: queue.SimpleQueue[int] = queue.SimpleQueue()

    def deliver(observation: Observation) -> None:
        begun.set()
        assert go_on.wait(DEADLINE)
        sent.put(observation.sequence)

    with Publisher(deliver) as publisher:
        publisher.publish(numbered(1))
        assert begun.wait(DEADLINE)
        for sequence in range(2, 100):
            publisher.publish(numbered(sequence))
        go_on.set()
        assert [1, 99] == [sent.get(timeout=DEADLINE) for _ in range(2)]
    assert sent.empty()


def test_while_the_broker_is_away_only_the_newest_is_kept_and_sent_when_it_is_back(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO, logger="peermesh")
    failed = threading.Semaphore(0)
    with valkey(acl=ACL) as server:

        def deliver(observation: Observation) -> None:
            try:
                send(west(server), signed(observation, KEY))
            except Transient:
                failed.release()
                raise

        with Publisher(deliver, pause=lambda _: 0.01) as publisher:
            publisher.publish(numbered(1))
            with server.client() as client:
                assert 1 == arrived(client).sequence
            server.stop()
            for sequence in (2, 3, 4):
                publisher.publish(numbered(sequence))
                assert failed.acquire(timeout=DEADLINE)
            server.restart()
            with server.client() as client:
                assert 4 == arrived(client).sequence
                wait_until_logged(caplog, "published again")
                assert 0 == client.llen(QUEUE)
    said = [record.message for record in caplog.records]
    assert ["published again"] == said[1:]
    assert said[0].startswith("not published, BrokerAway: west: the broker didn't take it: ")
    assert "canary" not in caplog.text


def test_what_can_never_be_sent_doesnt_stop_what_comes_after() -> None:
    sent: queue.SimpleQueue[int] = queue.SimpleQueue()

    def deliver(observation: Observation) -> None:
        if observation.sequence == 1:
            raise Rejected("TooLarge", "an observation of a terabyte")
        sent.put(observation.sequence)

    with Publisher(deliver) as publisher:
        publisher.publish(numbered(1))
        publisher.publish(numbered(2))
        assert 2 == sent.get(timeout=DEADLINE)


def test_what_may_no_longer_be_sent_when_the_broker_answers_isnt_sent(broker: Valkey, client: redis.Redis) -> None:
    def check() -> None:
        assert 0 == client.llen(QUEUE)
        raise Superseded("NotLeading", "another replica publishes")

    with pytest.raises(Superseded):
        send(west(broker), signed(SAID, KEY), check)
    assert 0 == client.llen(QUEUE)


def test_what_another_replica_says_is_dropped_silently(caplog: pytest.LogCaptureFixture) -> None:
    sent: queue.SimpleQueue[int] = queue.SimpleQueue()
    tried = threading.Event()

    def deliver(observation: Observation) -> None:
        if observation.sequence == 1:
            tried.set()
            raise Superseded("NotLeading", "another replica publishes")
        sent.put(observation.sequence)

    with Publisher(deliver, pause=lambda _: 3600) as publisher:
        publisher.publish(numbered(1))
        assert tried.wait(DEADLINE)
        publisher.publish(numbered(2))
        assert 2 == sent.get(timeout=DEADLINE)
    assert [] == caplog.messages


def test_a_publisher_that_waits_ends_at_once() -> None:
    def away(_: Observation) -> None:
        raise Transient("BrokerAway", "it is away")

    with Publisher(away, pause=lambda _: 3600) as publisher:
        publisher.publish(numbered(1))
    with pytest.raises(HumanNeeded, match="the thread that publishes has ended"):
        publisher.publish(numbered(2))


def test_pauses_grow_to_a_minute_at_most() -> None:
    assert all(0 <= pause(1) <= 2 for _ in range(100))
    assert all(0 <= pause(1000) <= 60 for _ in range(100))
    assert any(pause(1000) > 10 for _ in range(100))
