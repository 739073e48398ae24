from __future__ import annotations

import pytest
import urllib3

from syncer import metrics
from syncer.health import Health, serving
from syncer.protocol.errors import HumanNeeded
from tests.servers.valkey import free_port


class Loop:
    alive = True


def ready() -> Health:
    health = Health()
    health.waiting = ""
    return health


def asked(port: int, path: str) -> tuple[int, str]:
    answer = urllib3.request("GET", f"http://127.0.0.1:{port}{path}", retries=False, timeout=60)
    return answer.status, answer.data.decode()


def test_one_that_does_its_turns_is_alive_and_ready_when_it_has_begun() -> None:
    health = Health()
    assert ("", "it hasn't begun") == (health.stuck(), health.unready())
    health.waiting = ""
    assert ("", "") == (health.stuck(), health.unready())


def test_a_loop_that_has_ended_is_told() -> None:
    health, loop = ready(), Loop()
    health.loops = {"thread that publishes": loop}
    assert "" == health.stuck()
    loop.alive = False
    assert "the thread that publishes has ended" == health.stuck() == health.unready()


def test_a_main_loop_that_doesnt_come_round_is_told() -> None:
    seconds = [0.0]
    health = Health(clock=lambda: seconds[0])
    health.waiting = ""
    seconds[0] = 120
    assert "" == health.stuck()
    seconds[0] = 121
    assert "the main loop hasn't come round for 121 seconds" == health.stuck()
    health.turn()
    assert "" == health.stuck()


def test_one_that_cant_tell_who_leads_is_alive_and_not_ready() -> None:
    health = ready()
    health.election = lambda: "403 Forbidden"
    assert ("", "403 Forbidden") == (health.stuck(), health.unready())


def test_probes_and_metrics_are_served() -> None:
    health = ready()
    metrics.LAST_COMPLETE.set(1)
    with serving(("127.0.0.1", 0), health) as port:
        assert [(200, "ok\n")] * 2 == [asked(port, path) for path in ("/healthz", "/readyz")]
        health.waiting = "not yet"
        assert [(200, "ok\n"), (503, "not yet\n")] == [asked(port, path) for path in ("/healthz", "/readyz")]
        status, text = asked(port, "/metrics")
        assert 200 == status
        assert "peermesh_syncer_last_complete_timestamp_seconds 1.0" in text
    with pytest.raises(urllib3.exceptions.HTTPError):
        asked(port, "/healthz")


def test_nothing_is_served_where_no_address_is_named() -> None:
    with serving(None, ready()) as port:
        assert 0 == port


def test_an_address_that_is_taken_is_told() -> None:
    port = free_port()
    with (
        serving(("127.0.0.1", port), ready()),
        pytest.raises(HumanNeeded) as error,
        serving(("127.0.0.1", port), ready()),
    ):
        pass
    assert str(error.value) == (
        f"127.0.0.1:{port} can't be listened on: Address already in use. Name another address in PEERMESH_LISTEN."
    )


def test_an_address_that_is_none_is_told() -> None:
    with (
        pytest.raises(HumanNeeded, match=r"nowhere\.invalid:80 can't be listened on"),
        serving(("nowhere.invalid", 80), ready()),
    ):
        pass
