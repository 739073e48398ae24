"""Whether a syncer does its turns: what probes and Prometheus are answered with.

A process that waits for an API server or a broker is alive: ending it would mend nothing. It is ready when it has read
the cluster completely once and can tell whether it leads. Metrics tell what goes wrong later, for nobody calls it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Final, Protocol

from prometheus_client import CollectorRegistry, start_http_server

from syncer import metrics
from syncer.protocol.errors import HumanNeeded
from syncer.protocol.probes import with_probes

TURN_SECONDS: Final = 10.0
"""A loop that waits longer than this looks up in between."""
LATE_SECONDS: Final = 120.0
"""Many turns, and longer than a reading takes: a loop that made none for so long is stuck."""


class Loop(Protocol):
    """What runs in a thread of its own."""

    @property
    def alive(self) -> bool:
        """It runs."""
        ...


@dataclass(kw_only=True)
class Health:
    """`turned`: when the main loop last came round, in seconds of `clock`; `waiting`: what it must do to be ready."""

    clock: Callable[[], float] = time.monotonic
    turned: float = field(init=False)
    waiting: str = "it hasn't begun"
    loops: dict[str, Loop] = field(default_factory=dict)
    election: Callable[[], str] = str
    """Why nobody can tell who leads; empty: it can be told, or there is no election."""

    def __post_init__(self) -> None:
        self.turn()

    def turn(self) -> None:
        """The main loop came round."""
        self.turned = self.clock()

    def stuck(self) -> str:
        """Why this process should be ended; empty: it needn't be."""
        dead = [name for name, loop in self.loops.items() if not loop.alive]
        if dead:
            return f"the {dead[0]} has ended"
        since = self.clock() - self.turned
        return f"the main loop hasn't come round for {since:.0f} seconds" if since > LATE_SECONDS else ""

    def unready(self) -> str:
        """Why it isn't at work; empty: it is."""
        return self.stuck() or self.waiting or self.election()


@contextmanager
def serving(
    address: tuple[str, int] | None, health: Health, registry: CollectorRegistry = metrics.REGISTRY
) -> Iterator[int]:
    """Serve `/healthz`, `/readyz` and, as everything else, metrics; yields the port (0: there was no `address`).

    Raises:
        HumanNeeded: it can't be listened on.
    """
    if address is None:
        yield 0
        return
    host, port = address
    try:
        server, thread = start_http_server(port, host, registry)
    except OSError as error:
        what = f"{host}:{port} can't be listened on: {error.strerror or error}"
        raise HumanNeeded("NoListen", what, remedy="Name another address in PEERMESH_LISTEN.") from error
    try:
        server.set_app(with_probes(server.get_app(), {"/healthz": health.stuck, "/readyz": health.unready}))
        yield int(server.server_port)
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
