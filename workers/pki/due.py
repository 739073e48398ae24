"""Dates: when an intermediate is renewed, and when it is late.

All of them follow from the certificate itself, what people ordered, and a hash of the cluster's name that keeps
clusters apart. No clock is kept anywhere, so one that is dead or doubled is harmless.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Final

from workers.documents.trust import duration_of
from workers.pki.papers import PAPERS, Papers, first, readable
from workers.tree import Tree

JITTER: Final = 0.1
"""By this part of it the moment of a renewal is earlier or later."""
LATE: Final = 2 / 3
"""The part of its life after which an intermediate should have had a successor: somebody must look."""
LAST_CALL: Final = timedelta(days=1)
"""With one workload lifetime more before the end: leaves are cut short from then on, and at the end all calls fail."""


@dataclass(frozen=True, kw_only=True)
class Dates:
    """What happens to one intermediate, and when. `late` and `last_call` are alarms."""

    begins: datetime
    renews: datetime
    late: datetime
    last_call: datetime
    ends: datetime

    def alarm(self, now: datetime) -> str:
        """What an alarm would say now; empty: nothing is wrong."""
        if now >= self.ends:
            return "its intermediate has expired: every new connection fails"
        if now >= self.last_call:
            return f"its intermediate ends at {self.ends:%Y-%m-%dT%H:%MZ}, within a day and a workload's lifetime"
        if now >= self.late:
            due = f"a successor was due {self.renews:%Y-%m-%d}"
            if self.renews == self.ends:
                due = f"what signs for it ends with it at {self.ends:%Y-%m-%d}, so that must be renewed first"
            return f"its intermediate has lived two thirds of its life; {due}"
        return ""


def dates(tree: Tree, cluster: str, *, papers: Papers = PAPERS) -> Dates | None:
    """The dates of the intermediate that stands in the tree; None: there is none (or none that can be read)."""
    trust, standing = tree.mesh.spec.trust, tree.facts.pki.intermediates.get(cluster)
    paper = first(papers, standing.spec.certificate) if standing else None
    if trust is None or paper is None:
        return None
    last = _last_end(tree, standing.spec.root, papers) if standing else None
    part = trust.intermediates.renew_at if last is None or last > paper.ends else 1.0
    return _dates(cluster, paper.begins, paper.ends, part, trust.workload_lifetime)


def _last_end(tree: Tree, root: str, papers: Papers) -> datetime | None:
    """When the last of those ends that sign under a root: no intermediate outlives it, so the next would end no later
    than one that does. Without this each would be renewed after half of what is left, then half of that, and so on.
    """
    document = tree.facts.pki.roots.get(root)
    above = first(papers, document.spec.certificate) if document else None
    if document is None or above is None:
        return None
    issuers = readable(papers, document.spec.issuers) if document.spec.issuers else ()
    return max((min(issuer.ends, above.ends) for issuer in issuers), default=above.ends)


@lru_cache(maxsize=1024)
def _dates(cluster: str, begins: datetime, ends: datetime, part: float, workload_lifetime: str) -> Dates:
    """`part`: of its life, after which it is renewed; 1: no other could live longer, so there is no sense in that."""
    life = ends - begins
    return Dates(
        begins=begins,
        renews=ends if part >= 1 else begins + life * min(part * (1 + jitter(cluster)), 0.95),
        late=begins + life * LATE,
        last_call=ends - LAST_CALL - duration_of(workload_lifetime),
        ends=ends,
    )


def renew_after(tree: Tree, cluster: str, *, papers: Papers = PAPERS) -> datetime | None:
    """When the agent asks for the next one by itself."""
    found = dates(tree, cluster, papers=papers)
    return found.renews.replace(microsecond=0) if found else None


def jitter(cluster: str) -> float:
    """A number from -0.1 to 0.1 that is always the same for a name, so that clusters don't renew on one day."""
    number = int.from_bytes(hashlib.sha256(cluster.encode()).digest()[:4])
    return JITTER * (2 * number / (2**32 - 1) - 1)
