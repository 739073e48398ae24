"""What a reader of an API server does when its own program fails; the rest is in `tests/e2e/test_reader*.py`."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest

from syncer.cluster.api import ApiReader
from syncer.cluster.connection import Connection
from syncer.cluster.known import NotReadYet
from syncer.protocol.errors import Transient
from tests.syncer.test_connection import kubeconfig


class Faulty(Connection):
    """Finds a fault of ours at the first request."""

    def stream(self, *_arguments: Any, **_options: Any) -> Any:
        raise RuntimeError("a fault")


def test_nothing_is_read_before_somebody_watches(tmp_path: Path) -> None:
    with pytest.raises(NotReadYet):
        ApiReader(Connection(kubeconfig=kubeconfig(tmp_path))).read()


def test_a_thread_that_ends_ends_the_reader_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    traces: list[str] = []
    monkeypatch.setattr(threading, "excepthook", lambda told: traces.append(str(told.exc_value)))
    reader = ApiReader(Faulty(kubeconfig=kubeconfig(tmp_path)))
    with pytest.raises(Transient) as caught:
        next(reader.changes(threading.Event()))
    assert "WatchEnded" == caught.value.reason
    assert {"a fault"} == set(traces)
