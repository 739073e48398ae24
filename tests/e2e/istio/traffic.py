"""Requests between the meshes, and every one that failed with its reason: on kept connections and on new ones.

A new TCP connection of a client is a new connection between the sidecars, too, with a handshake of its own; a kept one
is kept by all of them. Knows sockets of pods and nothing of Istio.
"""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from collections import Counter
from collections.abc import Coroutine, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any, TypeVar

from tests.e2e.istio.network import Namespace

T = TypeVar("T")
_TIMEOUT = 10.0


class Loop:
    """An event loop in a thread of its own."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()

    def call(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """What it returns, from another thread."""
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(120)

    def close(self) -> None:
        self.call(_end_all())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(60)
        self._loop.close()


async def _end_all() -> None:
    tasks = asyncio.all_tasks() - {asyncio.current_task()}
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


@dataclass(frozen=True, kw_only=True)
class Route:
    """A client's way to a service of another mesh. `http`, `tcp`: its ports, both of one server, which says `host`'s
    first label.
    """

    name: str
    client: Namespace
    address: str
    host: str
    http: int
    tcp: int


@dataclass(frozen=True, kw_only=True)
class Failure:
    """One request that failed. `at`: seconds since the traffic began."""

    at: float
    route: str
    kind: str
    reason: str


class Load:
    """What became of the requests so far."""

    def __init__(self, routes: Sequence[Route]) -> None:
        self.routes = routes
        self.begun = time.monotonic()
        self.failures: list[Failure] = []
        self._done: Counter[tuple[str, str]] = Counter()
        self._change = threading.Condition()

    @property
    def total(self) -> int:
        return self._done.total()

    @property
    def failed(self) -> int:
        return len(self.failures)

    def say(self) -> str:
        """In words, for whoever reads a test's output."""
        why = Counter((failure.route, failure.kind, failure.reason) for failure in self.failures)
        lines = [f"  {count} × {', '.join(what)}" for what, count in why.most_common(8)]
        return "\n".join([f"{self.failed} of {self.total} failed in {time.monotonic() - self.begun:.0f} s", *lines])

    def more(self, count: int = 40, *, seconds: float = 60) -> list[Failure]:
        """Wait for so many new connections that begin now on every route; what failed of all requests meanwhile."""
        with self._change:
            before, wanted = len(self.failures), {route.name: self._done[route.name, "new"] for route in self.routes}
            enough = self._change.wait_for(
                lambda: all(self._done[name, "new"] >= done + count for name, done in wanted.items()), seconds
            )
            assert enough, f"fewer than {count} new connections on a route in {seconds} s: {self._done}"
            return self.failures[before:]

    def record(self, route: Route, kind: str, reason: str) -> None:
        with self._change:
            self._done[route.name, kind] += 1
            if reason:
                at = time.monotonic() - self.begun
                self.failures.append(Failure(at=at, route=route.name, kind=kind, reason=reason))
            self._change.notify_all()


@contextmanager
def traffic(loop: Loop, routes: Sequence[Route], *, new: float = 20, kept: int = 2) -> Iterator[Load]:
    """Load on all routes while the block runs; by route `new` connections a second and `kept` ones in steady use.

    Begins when every route has answered once; at the end all that was sent has been answered or has failed.
    """
    loop.call(_warm(routes))
    load, stop = Load(routes), asyncio.Event()
    running = loop.call(_start(load, stop, new=new, kept=kept))
    try:
        yield load
    finally:
        loop.call(_finish(running, stop))


async def _start(load: Load, stop: asyncio.Event, *, new: float, kept: int) -> list[asyncio.Task[None]]:
    tasks = [asyncio.create_task(_new(load, route, stop, 1 / new)) for route in load.routes]
    tasks += [asyncio.create_task(_kept(load, route, stop)) for route in load.routes for _ in range(kept)]
    return tasks


async def _finish(tasks: Sequence[asyncio.Task[None]], stop: asyncio.Event) -> None:
    stop.set()
    await asyncio.gather(*tasks)


async def _warm(routes: Sequence[Route], *, seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    for route in routes:
        for port in (route.http, route.tcp):
            while reason := await _once(route, port):
                assert time.monotonic() < deadline, f"{route.name}, port {port}: {reason}"
                await asyncio.sleep(0.1)


async def _new(load: Load, route: Route, stop: asyncio.Event, pause: float) -> None:
    """Connections at a steady rate, whatever becomes of those before."""
    running: set[asyncio.Task[None]] = set()

    async def one() -> None:
        load.record(route, "new", await _once(route, route.tcp))

    while not stop.is_set():
        task = asyncio.create_task(one())
        running.add(task)
        task.add_done_callback(running.discard)
        await _pause(stop, pause)
    await asyncio.gather(*running)


async def _kept(load: Load, route: Route, stop: asyncio.Event, pause: float = 0.1) -> None:
    """Requests on one connection; one that fails is followed by a new one."""
    streams: _Streams | None = None
    while not stop.is_set():
        reason = ""
        try:
            async with asyncio.timeout(_TIMEOUT):
                streams = streams or await _connect(route, route.http)
                reason = await _request(route, *streams)
        except (OSError, TimeoutError, asyncio.IncompleteReadError) as error:
            reason = _said(error)
        load.record(route, "kept", reason)
        if reason and streams:
            streams[1].close()
            streams = None
        await _pause(stop, pause)
    if streams:
        streams[1].close()


async def _once(route: Route, port: int) -> str:
    """Why one request on a connection of its own failed; empty if it didn't."""
    try:
        async with asyncio.timeout(_TIMEOUT):
            reader, writer = await _connect(route, port)
            try:
                return await _request(route, reader, writer)
            finally:
                writer.close()
    except (OSError, TimeoutError, asyncio.IncompleteReadError) as error:
        return _said(error)


async def _pause(stop: asyncio.Event, seconds: float) -> None:
    with suppress(TimeoutError):
        await asyncio.wait_for(stop.wait(), seconds)


_Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


async def _connect(route: Route, port: int) -> _Streams:
    connection = route.client.socket()
    connection.setblocking(False)
    try:
        await asyncio.get_running_loop().sock_connect(connection, (route.address, port))
    except BaseException:
        connection.close()
        raise
    return await asyncio.open_connection(sock=connection)


async def _request(route: Route, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> str:
    writer.write(f"GET / HTTP/1.1\r\nHost: {route.host}\r\n\r\n".encode())
    head = (await reader.readuntil(b"\r\n\r\n")).decode()
    status, *headers = head.split("\r\n")
    sizes = [int(line.split(":")[1]) for line in headers if line.lower().startswith("content-length:")]
    body = (await reader.readexactly(sizes[0] if sizes else 0)).decode()
    if " 200 " not in f"{status} ":
        return f"{status}: {body[:300]}"
    return "" if body == route.host.split(".")[0] else f"answered by {body}"


def _said(error: Exception) -> str:
    return "closed without an answer" if isinstance(error, asyncio.IncompleteReadError) else repr(error)


def serve(loop: Loop, network: Namespace, name: str, ports: Sequence[int]) -> None:
    """A server in a pod that answers every HTTP request with its name, for as long as the loop lives."""
    for port in ports:
        listening = network.socket()
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(("0.0.0.0", port))
        loop.call(_listen(listening, name))


async def _listen(listening: socket.socket, name: str) -> None:
    answer = f"HTTP/1.1 200 OK\r\ncontent-length: {len(name)}\r\n\r\n{name}".encode()

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            with suppress(OSError, asyncio.IncompleteReadError):
                while await reader.readuntil(b"\r\n\r\n"):
                    writer.write(answer)
                    await writer.drain()
        finally:
            writer.close()

    server = await asyncio.start_server(talk, sock=listening)
    _serving.add(asyncio.create_task(_until_cancelled(server)))


_serving: set[asyncio.Task[None]] = set()  # an event loop keeps only weak references


async def _until_cancelled(server: asyncio.Server) -> None:
    async with server:
        await server.serve_forever()
