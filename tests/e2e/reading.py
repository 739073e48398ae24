"""An API server under the eyes of a reader: what it says at each moment, and what it asked for."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import urllib3

from syncer.cluster import ClusterState
from syncer.cluster.api import ApiReader
from syncer.cluster.connection import TIMEOUT, Connection
from syncer.cluster.known import Timing
from syncer.protocol.errors import PeermeshError
from tests.e2e.kubernetes import Cluster

DEADLINE = 90.0
FAST = Timing(turn=2, silence=6, unheard=12, grace=3, settle=1, look=0.5)
"""Everything happens as in the field, in seconds."""


class Recorded(Connection):
    """Remembers what is asked for."""

    def __init__(self, **place: Any) -> None:
        super().__init__(**place)
        self.asked: list[tuple[str, Mapping[str, str]]] = []

    def stream(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        body: Any = None,
        content_type: str = "application/json",
        read_timeout: float = TIMEOUT,
    ) -> urllib3.BaseHTTPResponse:
        self.asked.append((path, dict(query or {})))
        return super().stream(
            method, path, query=query, body=body, content_type=content_type, read_timeout=read_timeout
        )

    def lists(self, plural: str = "") -> list[Mapping[str, str]]:
        """The queries of the lists (of a kind) so far; a look at the newest version asks for one object."""
        return [
            query
            for path, query in self.asked
            if path.endswith(f"/{plural}" if plural else "") and query.get("limit", "1") != "1"
        ]


class Watched:
    """A reader whose changes are looked at in a thread of their own."""

    def __init__(self, connection: Connection, timing: Timing = FAST) -> None:
        self.reader = ApiReader(connection, timing=timing)
        self.said: list[ClusterState | PeermeshError] = []
        """What reading gave, each time that something may have changed."""
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._look)
        self._thread.start()

    def close(self) -> None:
        self._stop.set()
        self._thread.join(30)
        assert not self._thread.is_alive()

    def now(self) -> ClusterState | PeermeshError:
        """What reading gives now."""
        try:
            return self.reader.read()
        except PeermeshError as error:
            return error

    def state(self, wanted: Callable[[ClusterState], Any]) -> ClusterState:
        """The first state that is as wanted."""
        found = self._wait(lambda said: isinstance(said, ClusterState) and bool(wanted(said)))
        assert isinstance(found, ClusterState)
        return found

    def error(self, wanted: type[PeermeshError]) -> PeermeshError:
        """The first refusal to say anything, of that class."""
        found = self._wait(lambda said: isinstance(said, wanted))
        assert isinstance(found, PeermeshError)
        return found

    def told(self, wanted: type[ClusterState | PeermeshError]) -> None:
        """Return when the last thing that was read after a change is of that class."""
        self._wait(lambda _: isinstance(self.said[-1], wanted))

    def _wait(self, wanted: Callable[[ClusterState | PeermeshError], bool]) -> ClusterState | PeermeshError:
        deadline = time.monotonic() + DEADLINE
        while not wanted(said := self.now()):
            assert time.monotonic() < deadline, f"at last it said {said}"
            time.sleep(0.02)
        return said

    def _look(self) -> None:
        for _ in self.reader.changes(self._stop):
            self.said.append(self.now())


@contextmanager
def watched(connection: Connection, timing: Timing = FAST) -> Iterator[Watched]:
    """A reader that has read everything once."""
    running = Watched(connection, timing)
    try:
        running.state(bool)
        yield running
    finally:
        running.close()


def admin(cluster: Cluster) -> Recorded:
    """As administrator."""
    return Recorded(kubeconfig=cluster.kubeconfig)


def names(objects: Any) -> list[str]:
    """`namespace/name`, sorted."""
    return sorted(f"{one.metadata.namespace}/{one.metadata.name}" for one in objects)


def service(name: str, *, exported: bool = True) -> dict[str, Any]:
    labels = {"peermesh.io/export": "true"} if exported else {}
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": name, "labels": labels},
        "spec": {"selector": {"app": name}, "ports": [{"name": "http", "port": 8080}]},
    }


def pod(name: str, app: str) -> dict[str, Any]:
    container = {"name": "main", "image": "registry.example.com/app:1", "ports": [{"name": "web", "containerPort": 80}]}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "labels": {"app": app}, "annotations": {"note": "x" * 1000}},
        "spec": {"serviceAccountName": app, "containers": [container]},
    }


def create(cluster: Cluster, namespace: str, *objects: dict[str, Any]) -> None:
    for item in objects:
        plural = f"{item['kind'].lower()}s"
        root = "/api/v1" if item["apiVersion"] == "v1" else f"/apis/{item['apiVersion']}"
        code, answer = cluster.request("POST", f"{root}/namespaces/{namespace}/{plural}", item)
        assert code == 201, answer


def namespace(cluster: Cluster, name: str) -> str:
    code, answer = cluster.request("POST", "/api/v1/namespaces", {"metadata": {"name": name}})
    assert code in {201, 409}, answer
    return name
