"""How the Celery apps are set up: TLS that checks, addresses without secrets, a log that can't be forged."""

from __future__ import annotations

import logging
import socket
import ssl

import pytest

from syncer.protocol.errors import HumanNeeded
from syncer.protocol.secret import Secret
from workers import metrics
from workers.app import inner_app
from workers.border import border_app
from workers.broker import _OneLine, celery_app
from workers.settings import read_settings


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("redis://h/0", None),
        ("rediss://h/0", ssl.CERT_REQUIRED),
        ("rediss://h/0?ssl_ca_certs=/ca.pem", ssl.CERT_REQUIRED),
        ("rediss://h/0?ssl_cert_reqs=required", ssl.CERT_REQUIRED),
    ],
)
def test_tls_checks_the_servers_certificate(url, expected):
    options = celery_app("x", Secret(url)).connection_for_read().ssl or {}
    assert expected == options.get("ssl_cert_reqs", ssl.CERT_REQUIRED if options else None)


@pytest.mark.parametrize("url", ["redis://u:canary@h/0", "rediss://u:canary@h/0", "redis+socket://u:canary@/run/s"])
def test_an_address_is_shown_without_its_password(url):
    assert "canary" not in celery_app("x", Secret(url)).connection_for_read().as_uri()


def test_celerys_own_variables_do_not_lead_it_elsewhere(monkeypatch):
    monkeypatch.setenv("CELERY_BROKER_URL", "redis://elsewhere/0")
    assert celery_app("x", Secret("redis://here/0")).connection_for_read().hostname == "here"
    assert celery_app("x", Secret("redis://here/0")).connection_for_write().hostname == "here"


def test_each_app_has_its_tasks_and_none_of_the_other():
    settings = read_settings({})
    border, inner = border_app(settings), inner_app(settings, lambda _: None)  # type: ignore[arg-type, return-value]
    ours = [{name for name in app.tasks if not name.startswith("celery.")} for app in (border, inner)]
    assert ours == [{"observe", "sign_request"}, {"flush", "sweep", "rotate"}]
    border.inbox.close()


def test_a_port_for_metrics_that_is_taken_is_told():
    with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(HumanNeeded, match="PEERMESH_METRICS"):
        metrics.serve(("127.0.0.1", taken.getsockname()[1]), lambda: True)


def test_every_metric_says_what_it_counts():
    families = list(metrics.REGISTRY.collect())
    assert families
    assert [] == [family.name for family in families if not family.documentation]
    assert all(family.name.startswith("peermesh_") for family in families)


def test_an_event_is_one_line_and_its_traceback_is_indented():
    formatter = _OneLine("%(levelname)s %(message)s")
    with pytest.raises(ValueError, match="first") as raised:
        int("first\n2026-11-24 INFO forged\x1b[31m")
    info = (ValueError, ValueError("first\n2026-11-24 INFO forged\x1b[31m"), raised.tb)
    record = logging.LogRecord("x", logging.ERROR, "x.py", 1, "said\n%s", ("a\r\nb\x1b",), info)
    first, *rest = formatter.format(record).splitlines()
    assert first == "ERROR said a b\N{REPLACEMENT CHARACTER}"
    assert all(line.startswith("    ") and line.isprintable() for line in rest)
