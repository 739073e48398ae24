"""A TCP proxy on loopback that loses connections, loudly or silently."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Final

_CHUNK: Final = 1 << 16


class Proxy:
    """`port` leads to `target`, a port of 127.0.0.1."""

    def __init__(self, target: int) -> None:
        self._target = target
        self._lock = threading.Lock()
        self._lanes: list[_Lane] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._thread = threading.Thread(target=self._accept, daemon=True)
        self._thread.start()

    def cut(self) -> int:
        """End every connection; returns how many there were. New ones are let through."""
        with self._lock:
            lanes, self._lanes = self._lanes, []
        alive = sum(lane.alive for lane in lanes)
        for lane in lanes:
            lane.close()
        return alive

    def silence(self) -> int:
        """From now on nothing comes through the connections that there are, and nobody is told; returns how many."""
        with self._lock:
            alive = [lane for lane in self._lanes if lane.alive]
        for lane in alive:
            lane.silent.set()
        return len(alive)

    def close(self) -> None:
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join()
        self.cut()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            try:
                server = socket.create_connection(("127.0.0.1", self._target), 10)
            except OSError:
                client.close()
                continue
            server.settimeout(None)
            with self._lock:
                self._lanes.append(_Lane(client, server))


class _Lane:
    """One connection: both directions."""

    def __init__(self, client: socket.socket, server: socket.socket) -> None:
        self.silent = threading.Event()
        self._ends = (client, server)
        self._threads = [
            threading.Thread(target=self._pump, args=ends, daemon=True) for ends in ((client, server), (server, client))
        ]
        for thread in self._threads:
            thread.start()

    @property
    def alive(self) -> bool:
        return all(thread.is_alive() for thread in self._threads)

    def close(self) -> None:
        for end in self._ends:
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(10)
        for end in self._ends:
            end.close()

    def _pump(self, source: socket.socket, sink: socket.socket) -> None:
        with suppress(OSError):
            while data := source.recv(_CHUNK):
                if not self.silent.is_set():
                    sink.sendall(data)
        if not self.silent.is_set():
            for end in self._ends:
                with suppress(OSError):
                    end.shutdown(socket.SHUT_RDWR)


@contextmanager
def proxy(target: int) -> Iterator[Proxy]:
    """A running one."""
    running = Proxy(target)
    try:
        yield running
    finally:
        running.close()
