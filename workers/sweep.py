"""Sweep: notices what nobody said: main moved, people touched a proposal, something is due, a message was lost.

Compares what one look at the remote and at the forge saw, and marks; `flush` does the rest. Doubled or late it changes
nothing.
"""

from __future__ import annotations

from datetime import datetime

from workers.outside import Forges, Inbox, Remote
from workers.situation import forge_of, seen_of


def sweep(remote: Remote, forges: Forges, inbox: Inbox, now: datetime) -> bool:
    """Mark `main` if remote or forge aren't as the last flush saw them or something is due; returns whether to flush.

    The forge is asked last, and only if nothing else is a reason: a flush asks it anyway.

    Raises Transient or HumanNeeded if the forge can't be asked.
    """
    due = inbox.look_again()
    if (due is not None and due <= now) or _moved(remote, forges, inbox):
        inbox.mark("main")
    return bool(inbox.marked())


def _moved(remote: Remote, forges: Forges, inbox: Inbox) -> bool:
    seen = inbox.seen() or ""
    if not seen.startswith(f"{remote.fingerprint} "):
        return True
    forge = None if inbox.marked() else forge_of(remote, forges)
    return forge is not None and seen != seen_of(remote, forge.look())
