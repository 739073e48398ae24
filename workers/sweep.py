"""Sweep: notices what nobody said: main moved, people touched a branch, something is due, a message was lost.

Reads the heads of the remote and marks; `flush` does the rest. Doubled or late it changes nothing.
"""

from __future__ import annotations

from datetime import datetime

from workers.outside import Inbox, Repository


def sweep(repository: Repository, inbox: Inbox, now: datetime) -> bool:
    """Mark `main` if the remote isn't as the last flush saw it or something is due; returns whether to flush.

    Raises Transient or HumanNeeded if the remote can't be asked.
    """
    due = inbox.look_again()
    if inbox.seen() != repository.fetch().fingerprint or (due is not None and due <= now):
        inbox.mark("main")
    return bool(inbox.marked())
