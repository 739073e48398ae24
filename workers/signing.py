"""The signer's process: looks at main every ten seconds, and signs what was approved.

Knows when it looks, what is logged and counted of it, and how it ends. The use-case decides what is signed. It has no
queue and no task: what it must know stands in Git.
"""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Final

from syncer.protocol.environment import bad_setting
from syncer.protocol.errors import PeermeshError
from workers import metrics
from workers.broker import log, log_to_stderr
from workers.inbox import RedisInbox
from workers.settings import REPO, SIGNER_JOURNAL, Settings
from workers.sign import Signing, SignReport

LOOK_SECONDS: Final = 10.0
"""Between two looks. An approved request waits so long, at most, to be signed."""


def run_signer(settings: Settings, *, make: Callable[[Settings], Signing]) -> int:
    """`peermesh signer`: sign until SIGTERM or SIGINT; returns the exit code.

    Raises:
        HumanNeeded: no repository or no journal is named, or something else must be mended first.
    """
    for setting, given in ((REPO, settings.repo), (SIGNER_JOURNAL, settings.signer_journal)):
        if not given:
            raise bad_setting(setting, "it isn't set")
    log_to_stderr()
    signing = make(settings)
    metrics.serve(settings.metrics, RedisInbox(settings.broker).answers)
    metrics.ISSUER_ENDS.set(signing.ends.timestamp())
    ends = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: ends.set())
    log.info("signs for %s, and looks every %.0f s", signing.name, LOOK_SECONDS)
    turn = Turn(signing)
    while not ends.is_set():
        turn(datetime.now(UTC))
        ends.wait(LOOK_SECONDS)
    return 0


class Turn:
    """One look, with what is told of it: a trouble when it begins or changes, not each time it is met."""

    def __init__(self, signing: Signing) -> None:
        self._signing = signing
        self._told: Mapping[str, str] = {}

    def __call__(self, now: datetime) -> None:
        metrics.HEALTH.tried = time.monotonic()
        try:
            report = self._signing.look(now)
        except PeermeshError as error:
            report = SignReport(away=error)
        for cluster in report.signed:
            metrics.SIGNED.labels(cluster).inc()
            log.info("signed for %s", cluster)
        metrics.UNSIGNED.clear()
        for cluster, trouble in report.troubles.items():
            metrics.UNSIGNED.labels(cluster, trouble.reason).set(1)
        if report.away is None:
            metrics.HEALTH.done = time.monotonic()
            metrics.LAST_SIGNING.set_to_current_time()
        self._tell(report)

    def _tell(self, report: SignReport) -> None:
        found = {f"nothing is signed for {name}": trouble for name, trouble in report.troubles.items()}
        if report.away is not None:
            found["nothing can be signed"] = report.away
        said = {where: f"{where}, {trouble.reason}: {trouble}" for where, trouble in found.items()}
        for where, line in said.items():
            if self._told.get(where) != line:
                log.warning("%s", line)
        self._told = said
