"""A cable that breaks: between a client and a server on loopback, where it cuts after so many bytes, or holds them.

Knows bytes and connections. Knows no protocol.
"""

from __future__ import annotations

import selectors
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Literal

Way = Literal["up", "down"]
"""From the client to the server, or back."""


class Cable:
    """Passes connections to `port` on to the server. `cuts` counts the connections that it broke."""

    def __init__(self, server_port: int) -> None:
        self.cuts = 0
        self._target = server_port
        self._open: set[socket.socket] = set()
        self._limits: list[tuple[Way, int, int]] = []
        self._accepted = 0
        self._stalls = False
        self._released = threading.Event()
        self._lock = threading.Lock()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def cut_after(self, way: Way, size: int) -> None:
        """Break the next connection on which more than so many bytes go this way, when they have gone.

        Not one that was opened before: its last bytes may be on their way when the command that sent them is done.
        """
        with self._lock:
            self._limits.append((way, size, self._accepted))

    def cut_all(self) -> None:
        """Break every connection that there is now."""
        with self._lock:
            self.cuts += len(self._open)
            for one in self._open:
                with suppress(OSError):
                    one.shutdown(socket.SHUT_RDWR)

    def mend(self) -> None:
        """Forget the breaks that nobody met."""
        with self._lock:
            self._limits.clear()

    def stall(self) -> None:
        """Keep every byte from now on, on new connections and on old ones, until `release`."""
        self._released.clear()
        self._stalls = True

    def release(self) -> None:
        """Go on."""
        self._stalls = False
        self._released.set()

    def close(self) -> None:
        self.release()
        # Else `accept` would go on waiting for one more.
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            with self._lock:
                self._accepted += 1
                number = self._accepted
            threading.Thread(target=self._serve, args=(client, number), daemon=True).start()

    def _serve(self, client: socket.socket, number: int) -> None:
        with client, suppress(OSError), socket.create_connection(("127.0.0.1", self._target)) as server:
            with self._lock:
                self._open.add(client)
            try:
                self._pass(client, server, number)
            finally:
                with self._lock:
                    self._open.discard(client)

    def _pass(self, client: socket.socket, server: socket.socket, number: int) -> None:
        """Until both sides have said all, or the connection is to break."""
        gone: dict[Way, int] = {"up": 0, "down": 0}
        with selectors.DefaultSelector() as both:
            both.register(client, selectors.EVENT_READ, ("up", server))
            both.register(server, selectors.EVENT_READ, ("down", client))
            while both.get_map():
                for key, _ in both.select():
                    way, sink = key.data
                    source: socket.socket = key.fileobj  # type: ignore[assignment]
                    data = source.recv(4096)
                    if self._stalls:
                        self._released.wait()
                    gone[way] += len(data)
                    if self._breaks(number, way, gone[way]):
                        return
                    if data:
                        sink.sendall(data)
                    else:
                        both.unregister(source)
                        sink.shutdown(socket.SHUT_WR)

    def _breaks(self, number: int, way: Way, gone: int) -> bool:
        with self._lock:
            if not self._limits:
                return False
            limited, size, opened = self._limits[0]
            if number <= opened or way != limited or gone <= size:
                return False
            self._limits.pop(0)
            self.cuts += 1
            return True


@contextmanager
def cable(server_port: int) -> Iterator[Cable]:
    """One to the server on this port."""
    one = Cable(server_port)
    try:
        yield one
    finally:
        one.close()
