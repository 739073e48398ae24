"""What real processes of the centre answer: probes, and metrics that Prometheus has nothing to object to."""

from __future__ import annotations

import urllib.error
import urllib.request
from collections.abc import Iterator

import pytest

from syncer.protocol.secret import Secret
from tests.border.messages import KEYS
from tests.border.processes import Process, process, wait_until
from tests.deploy.promtool import needs_promtool, promtool
from tests.servers.valkey import Valkey, valkey
from workers.acl import BORDER, WORKER, acl_lines
from workers.inbox import RedisInbox


@pytest.fixture(scope="module")
def server() -> Iterator[Valkey]:
    with valkey(acl=acl_lines({}, border=Secret("b"), worker=Secret("i"))) as running:
        inbox = RedisInbox(Secret(running.url_for(WORKER, "i")))
        inbox.set_border_keys(KEYS)
        inbox.close()
        yield running


@pytest.fixture(scope="module", params=["receive", "work"])
def running(request: pytest.FixtureRequest, server: Valkey) -> Iterator[Process]:
    environment = {
        "PEERMESH_BROKER_URL": server.url_for(WORKER, "i"),
        "PEERMESH_BORDER_BROKER_URL": server.url_for(BORDER, "b"),
        "TEST_REDIS_URL": server.redis_url,
        "TEST_SWEEP_SECONDS": "0.2",
    }
    with process(request.param, **environment) as started:
        wait_until(lambda: started.serves and answer(started, "/readyz")[0] == 200, what="it to be ready")
        yield started


def answer(running: Process, path: str) -> tuple[int, str]:
    """Status and text."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{running._port}{path}") as page:
            return page.status, page.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def test_a_process_at_work_says_so_to_probes(running):
    assert [(200, "ok\n")] * 2 == [answer(running, path) for path in ("/healthz", "/readyz")]


def test_its_health_is_a_metric_too(running):
    stamps = {"peermesh_last_sweep_timestamp_seconds", "peermesh_last_listened_timestamp_seconds"}
    assert any(running.metrics()[name] > 0 for name in stamps)


@needs_promtool
def test_prometheus_finds_nothing_to_object_to(running):
    status, text = answer(running, "/metrics")
    done = promtool("check", "metrics", stdin=text)
    assert (200, 0, "") == (status, done.returncode, done.stdout + done.stderr)


def test_a_worker_whose_sweeps_fail_is_alive_and_not_ready(server):
    environment = {"PEERMESH_BROKER_URL": server.url_for(WORKER, "i"), "TEST_REDIS_URL": "redis://127.0.0.1:1"}
    with process("work", TEST_SWEEP_SECONDS="0.2", **environment) as started:
        wait_until(lambda: started.serves, what="it to start")
        assert [200, 503] == [answer(started, path)[0] for path in ("/healthz", "/readyz")]
