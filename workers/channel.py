"""The guarded channel: kombu's Redis transport whose consumer sees only what `admit` lets through.

kombu and Celery 5.7 die of what isn't a message (`Unrecoverable error: JSONDecodeError`) and obey whatever one says.
So what clusters push is exchanged for a message of our own before kombu parses it. Leans on private methods of kombu,
which is pinned; the hostile messages of `tests/border/` are the contract test of each update.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, Final

from kombu.transport import TRANSPORT_ALIASES, redis

Admit = Callable[[str, bytes], bytes | None]
"""From queue and bytes to the message to hand on, or None to drop it. Raises nothing."""

SCHEME: Final = "guarded"
"""In place of `redis` in the URL of a broker; transport option `admit` is an `Admit`."""


class _QoS(redis.QoS):
    """Counts a message as done even if Redis was away when it was acknowledged.

    Else it would count as held for ever: with one message at a time the worker would take no other, nor notice that its
    connection is broken (seen with Celery 5.7). Redis, if it still has it, delivers it again.
    """

    def ack(self, delivery_tag: str) -> None:
        try:
            super().ack(delivery_tag)  # type: ignore[no-untyped-call]
        finally:
            self._quick_ack(delivery_tag)

    def reject(self, delivery_tag: str, requeue: bool = False) -> None:  # noqa: FBT001, FBT002 # kombu's signature
        try:
            super().reject(delivery_tag, requeue)  # type: ignore[no-untyped-call]
        finally:
            self._quick_ack(delivery_tag)


class Channel(redis.Channel):
    """Its client hands on what `admit` returns instead of what was sent."""

    QoS = _QoS

    def _connparams(self, asynchronous: bool = False) -> dict[str, Any]:  # noqa: FBT001, FBT002 # kombu's signature
        # Else redis-py tells its name and version: a right more, which Redis before 7.2 doesn't even know.
        return {**super()._connparams(asynchronous), "driver_info": None}  # type: ignore[no-untyped-call]

    def _get_client(self) -> Callable[..., Any]:
        admit: Admit = self.connection.client.transport_options["admit"]
        return functools.partial(_Client, admit=admit, global_keyprefix=self.global_keyprefix)


class Transport(redis.Transport):
    """kombu's, with the guarded channel."""

    Channel = Channel


class _Client(redis.PrefixedStrictRedis):
    def __init__(self, *args: Any, admit: Admit, **kwargs: Any) -> None:
        self._admit = admit
        super().__init__(*args, **kwargs)  # type: ignore[no-untyped-call]

    def parse_response(self, connection: Any, command_name: str, **options: Any) -> Any:
        answer = super().parse_response(connection, command_name, **options)  # type: ignore[no-untyped-call]
        if command_name != "BRPOP" or not answer:
            return answer
        key, raw = answer
        admitted = self._admit(key.decode(), raw)
        # None is what kombu takes for "nothing there".
        return None if admitted is None else (key, admitted)


TRANSPORT_ALIASES[SCHEME] = f"{__name__}:Transport"
