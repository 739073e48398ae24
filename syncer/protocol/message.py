"""How a cluster's messages travel: the names of the tasks, the queue of a cluster, the arguments of a message.

Knows names and encodings, no queue library. A syncer sends `send_task(OBSERVE, args=arguments(…), queue=queue(cluster),
declare=[])`; its Redis user may do nothing else.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence
from typing import Final

from syncer.protocol.errors import Rejected

OBSERVE: Final = "observe"
"""The task of an observation."""
SIGN_REQUEST: Final = "sign_request"
"""The task of a request for an intermediate."""
TASKS: Final = frozenset({OBSERVE, SIGN_REQUEST})
"""What a message on a border queue may name; any other is refused."""
KEY_PREFIX: Final = "peermesh:"
"""Prefix of every key in Redis (Celery's `global_keyprefix`)."""
_QUEUES: Final = "observations."


def queue(cluster: str) -> str:
    """The queue that this cluster alone may push into."""
    return _QUEUES + cluster


def cluster_of(queue: str) -> str | None:
    """Whose border queue it is; None: not a border queue."""
    return queue.removeprefix(_QUEUES) if queue.startswith(_QUEUES) else None


def arguments(cluster: str, packed: bytes, signature: bytes) -> tuple[str, str, str]:
    """The arguments of the task; binary ones in base64, for the message is JSON."""
    return cluster, base64.b64encode(packed).decode(), base64.b64encode(signature).decode()


def parse_arguments(args: Sequence[object]) -> tuple[str, bytes, bytes]:
    """Cluster, packed content and signature.

    Raises:
        Rejected: other than three strings, the latter two in base64.
    """
    match args:
        case [str(cluster), str(packed), str(signature)]:
            try:
                return cluster, base64.b64decode(packed, validate=True), base64.b64decode(signature, validate=True)
            except (binascii.Error, ValueError) as error:
                raise Rejected("BadMessage", f"arguments that aren't base64: {error}") from error
    raise Rejected("BadMessage", "arguments that aren't cluster, content and signature")
