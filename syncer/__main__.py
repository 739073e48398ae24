"""`python -m syncer`, a syncer as a process, and `python -m syncer ca-agent`, a CA agent: told by their environment."""

from __future__ import annotations

import argparse
import logging
import signal
import sys
import threading
from collections.abc import Iterable
from typing import Final

from syncer.agent import run as ca_agent
from syncer.agent import settings as agent_settings
from syncer.protocol.environment import Setting
from syncer.protocol.errors import HumanNeeded, PeermeshError
from syncer.protocol.printable import printable
from syncer.run import run
from syncer.settings import SETTINGS, settings_from_environment

_AGENT: Final = "ca-agent"


def main(arguments: list[str] | None = None) -> int:
    """Run until SIGTERM or SIGINT.

    Returns the exit code, as `peermesh syncer` has them. 0: it was stopped; 3: a person must mend something before it
    can start or go on; 1: it can't, and trying again may help. It logs what it is.
    """
    agent = _parser().parse_args(arguments).process == _AGENT
    log_to_stderr()
    try:
        if agent:
            ca_agent.run(agent_settings.settings_from_environment(), stop=stop_on_signals())
        else:
            run(settings_from_environment(), stop=stop_on_signals())
    except PeermeshError as error:
        logging.getLogger("peermesh.syncer").error("%s: %s", error.reason, error)  # noqa: TRY400 - a sentence, no trace
        return 3 if isinstance(error, HumanNeeded) else 1
    return 0


def stop_on_signals() -> threading.Event:
    """An event that SIGTERM and SIGINT set."""
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    return stop


def log_to_stderr() -> None:
    """One line for each event that a person may care about."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_OneLine("%(asctime)s %(levelname)s %(message)s"))
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)
    logging.getLogger("peermesh").setLevel(logging.INFO)


class _OneLine(logging.Formatter):
    """Texts from a cluster begin no line of their own."""

    def format(self, record: logging.LogRecord) -> str:
        return printable(" ".join(super().format(record).split()))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m syncer",
        description="Says what this cluster exports, until it is stopped.",
        epilog=f"environment:\n{_rows(SETTINGS)}\n\nenvironment of {_AGENT}:\n{_rows(agent_settings.SETTINGS)}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "process", nargs="?", choices=[_AGENT], help="instead: keep the signing certificate of this cluster"
    )
    return parser


def _rows(settings: Iterable[Setting]) -> str:
    rows = (f"  {row.name}\n      {row.meaning}" + (f" [{row.default}]" if row.default else "") for row in settings)
    return "\n".join(rows)


if __name__ == "__main__":
    sys.exit(main())
