"""What probes are answered, beside the metrics of a process. Knows HTTP as WSGI (PEP 3333), and no server of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any


def with_probes(served: Any, probes: Mapping[str, Callable[[], str]]) -> Any:
    """A WSGI app: each probe at its path, which says what is wrong (empty: nothing is), and all else as `served`."""

    def answer(environ: Mapping[str, Any], start_response: Callable[[str, list[tuple[str, str]]], object]) -> Any:
        probe = probes.get(environ["PATH_INFO"])
        if probe is None:
            return served(environ, start_response)
        trouble = probe()
        status = "503 Service Unavailable" if trouble else "200 OK"
        start_response(status, [("Content-Type", "text/plain; charset=utf-8")])
        return [f"{trouble or 'ok'}\n".encode()]

    return answer
