"""A cluster as its API server has it: a thread for each resource lists and watches, and reading costs no request.

All or nothing: while one resource isn't known, or not heard of for too long, nothing is said of any.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from syncer.cluster import ClusterState
from syncer.cluster.connection import Connection
from syncer.cluster.known import NotReadYet, Timing
from syncer.cluster.listing import kubernetes_version, listed, served_version
from syncer.cluster.resources import BY_FIELD, ISTIO_SYSTEM, RESOURCES, ROUTING, Resource
from syncer.cluster.watch import Watch
from syncer.protocol.errors import PeermeshError, Transient

_TICK: Final = 1.0
"""Seconds between two looks at whether everything is still heard of."""
_UPGRADE: Final = 600.0
"""Seconds between two looks at the version of the API server."""
_NO_VERSION: Final = 30.0
"""The same, while none was seen."""
_MAY_BE_NONE: Final = frozenset({"service_exports", "peer_authentications"})


class ApiReader:
    """A `Reader` of the API server that `connection` leads to.

    `read` raises Transient until everything was listed once, which begins with `changes`. `istio_namespace`: where
    Istio's control plane lies.
    """

    def __init__(
        self, connection: Connection, *, istio_namespace: str = ISTIO_SYSTEM, timing: Timing | None = None
    ) -> None:
        self._connection = connection
        self._news = threading.Event()
        self._kubernetes = ""
        listing = threading.Lock()
        self._watches = [
            Watch(
                connection,
                resource,
                istio_namespace,
                timing=timing or Timing(),
                listing=listing,
                news=self._news.set,
            )
            for resource in RESOURCES
        ]

    def read(self) -> ClusterState:
        complaint = self._complaint()
        if complaint is not None:
            raise complaint
        return _state({watch.resource: watch.objects() for watch in self._watches}, self._kubernetes)

    def refresh(self) -> None:
        for watch in self._watches:
            watch.refresh()

    def changes(self, stop: threading.Event) -> Iterator[None]:
        """When everything is read; at every change after that; and when reading becomes or ceases to be possible.

        Raises:
            Transient: a thread has ended, which is a fault in this program; its trace was printed.
        """
        threads = [
            threading.Thread(target=watch.run, args=(stop,), name=watch.resource.plural, daemon=True)
            for watch in self._watches
        ]
        for thread in threads:
            thread.start()
        try:
            yield from self._changes(threads, stop)
        finally:
            for watch in self._watches:
                watch.cut()
            # They are daemons: one that waits for a server that hangs ends with the process.
            until = time.monotonic() + _TICK
            for thread in threads:
                thread.join(max(0.0, until - time.monotonic()))

    def _changes(self, threads: Sequence[threading.Thread], stop: threading.Event) -> Iterator[None]:
        complaint = self._complaint()
        looked = -_UPGRADE
        while not stop.is_set():
            news = self._news.wait(_TICK)
            self._news.clear()
            ended = [thread.name for thread in threads if not thread.is_alive()]
            if ended and not stop.is_set():
                what = f"nothing watches {', '.join(ended)} any more"
                raise Transient("WatchEnded", what, remedy="Report the trace above; a new process begins anew.")
            now = time.monotonic()
            if now - looked >= (_UPGRADE if self._kubernetes else _NO_VERSION):
                looked, news = now, self._look_at_version() or news
            for watch in self._watches:
                watch.settle()
            before, complaint = complaint, self._complaint()
            if not isinstance(complaint, NotReadYet) and (news or _reason(complaint) != _reason(before)):
                yield

    def _look_at_version(self) -> bool:
        """Whether it is another one; it is for people, so that it can't be seen stops nothing."""
        try:
            found = kubernetes_version(self._connection)
        except PeermeshError:
            return False
        before, self._kubernetes = self._kubernetes, found
        return found != before

    def _complaint(self) -> PeermeshError | None:
        now = time.monotonic()
        complaints = [said for watch in self._watches if (said := watch.complaint(now)) is not None]
        # What only a person can mend first; else the one that isn't just "not yet".
        return min(
            complaints, key=lambda said: (isinstance(said, Transient), isinstance(said, NotReadYet)), default=None
        )


def _reason(complaint: PeermeshError | None) -> str:
    return complaint.reason if complaint else ""


def read(connection: Connection, *, istio_namespace: str = ISTIO_SYSTEM) -> ClusterState:
    """The whole state, listed once.

    Raises:
        Transient, HumanNeeded: the API server is away, or refuses.
    """
    found: dict[Resource, tuple[Any, ...] | None] = {}
    for resource in RESOURCES:
        version = served_version(connection, resource)
        if version is None:
            found[resource] = None
        else:
            objects, _ = listed(connection, resource, resource.path(version, istio_namespace), istio_namespace)
            found[resource] = tuple(objects.values())
    return _state(found, kubernetes_version(connection))


def _state(found: Mapping[Resource, tuple[Any, ...] | None], kubernetes_version: str) -> ClusterState:
    """The state that the objects of all resources make; None: that kind isn't served."""
    fields: dict[str, Any] = {}
    for field, resources in BY_FIELD.items():
        parts = [found[resource] for resource in resources]
        absent = field in _MAY_BE_NONE and None in parts
        fields[field] = None if absent else tuple(item for part in parts for item in part or ())
    istio = all(objects is not None for resource, objects in found.items() if resource.kind in ROUTING)
    return ClusterState(**fields, istio=istio, kubernetes_version=kubernetes_version)
