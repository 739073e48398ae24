"""Refs onto the remote: one push, an outcome for every ref.

Knows when a push must be tried again, ref by ref or after a look, and when the answer is only lost. Knows nothing of
what the refs lead to.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Final, Literal

from syncer.protocol.errors import HumanNeeded, PeermeshError
from workers.git.copy import Copy
from workers.git.outcomes import Failure, Line
from workers.outside import CommitId, Outcome, Update

_LOCK_TRIES: Final = 3
_LOCK_SECONDS: Final = 0.3
_LOST: Final = Failure(kind="unknown", reason="AnswerLost", what="the server said nothing about this ref")


def push(copy: Copy, updates: Sequence[Update], *, atomic: bool) -> dict[str, Outcome]:
    """Push with a lease for every ref.

    Raises:
        Transient, HumanNeeded: nothing arrived, and no ref in particular is the reason.
        Damaged: the copy must be made again.
    """
    if not updates:
        return {}
    lines = _pushed(copy, updates, atomic=atomic)
    lines |= _there(copy, [update for update in updates if lines[update.ref].verdict == "stale"])
    if atomic:
        return _as_one(lines)
    for update in updates if len(updates) > 1 else ():
        if lines[update.ref].verdict == "together":
            lines[update.ref] = _alone(copy, update)
    for attempt in range(1, _LOCK_TRIES):
        busy = [update for update in updates if lines[update.ref].verdict == "busy"]
        if busy:
            time.sleep(_LOCK_SECONDS * attempt)
        for update in busy:
            lines[update.ref] = _alone(copy, update)
    return {ref: _outcome(line) for ref, line in lines.items()}


def _pushed(copy: Copy, updates: Sequence[Update], *, atomic: bool = False) -> dict[str, Line]:
    leases = [f"--force-with-lease={update.ref}:{update.old or ''}" for update in updates]
    refspecs = [f"{update.new or ''}:{update.ref}" for update in updates]
    report = copy.push(refspecs, options=["--atomic", *leases] if atomic else leases)
    lines = {update.ref: line for update in updates if (line := report.lines.get(update.ref))}
    missing = [update for update in updates if update.ref not in lines]
    if not missing:
        return lines
    failure = report.failure or _LOST
    if failure.reason == "TooLarge" and len(updates) > 1 and not atomic:
        return lines | {update.ref: Line(verdict="together", message=failure.what) for update in missing}
    if failure.kind == "human":
        raise copy.error(failure)
    return lines | _looked(copy, missing, failure)


def _there(copy: Copy, updates: Sequence[Update]) -> dict[str, Line]:
    """Those that are where they should be although their lease didn't hold.

    libcurl sends a request again when a connection breaks that was used before (curl 7.88), so a push may come twice.
    """
    try:
        there = copy.look([update.ref for update in updates]) if updates else {}
    except PeermeshError:
        return {}
    return {update.ref: Line(verdict="done") for update in updates if there.get(update.ref) == update.new}


def _looked(copy: Copy, updates: Sequence[Update], failure: Failure) -> dict[str, Line]:
    """What arrived although git doesn't know: servers finish what they have begun when the connection breaks."""
    try:
        there = copy.look([update.ref for update in updates])
    except PeermeshError as error:
        if failure.kind == "transient":
            raise copy.error(failure) from error
        return {update.ref: Line(verdict="unknown", message=failure.what) for update in updates}
    lines = {update.ref: _as_seen(update, there.get(update.ref), failure) for update in updates}
    if failure.kind == "transient" and all(line.verdict == "unknown" for line in lines.values()):
        raise copy.error(failure)
    return lines


def _as_seen(update: Update, at: CommitId | None, failure: Failure) -> Line:
    if at == update.new:
        return Line(verdict="done")
    return Line(verdict="unknown" if at == update.old else "stale", message=failure.what)


def _alone(copy: Copy, update: Update) -> Line:
    """One ref again. What was pushed before it counts, so nothing is raised any more."""
    try:
        return _pushed(copy, [update])[update.ref]
    except HumanNeeded as error:
        return Line(verdict="refused", message=str(error))
    except PeermeshError as error:
        return Line(verdict="unknown", message=str(error))


def _as_one(lines: dict[str, Line]) -> dict[str, Outcome]:
    """An atomic push is done as a whole, or refused as a whole for the reason of one ref."""
    cause = next((line for line in lines.values() if line.verdict not in {"done", "together"}), None)
    return {ref: _outcome(cause if cause and line.verdict == "together" else line) for ref, line in lines.items()}


def _outcome(line: Line) -> Outcome:
    status: Literal["done", "stale", "refused", "unknown"]
    match line.verdict:
        case "together" | "busy":
            status = "refused"
        case "done" | "stale" | "refused" | "unknown" as status:
            pass
    return Outcome(status=status, message=line.message)
