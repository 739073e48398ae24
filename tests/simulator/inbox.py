"""The inbox in memory: the double of `workers.inbox` that simulations use, with `wipe` for a Redis that was lost."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime

from workers.outside import BorderKeys, Kept, Lost, Refusal, request_of


@dataclass
class _Content:
    newest: dict[str, Kept] = field(default_factory=dict)
    contents: dict[str, str] = field(default_factory=dict)
    requests: dict[str, Kept] = field(default_factory=dict)
    request_contents: dict[str, str] = field(default_factory=dict)
    certificates: dict[str, bytes] = field(default_factory=dict)
    marks: dict[str, int] = field(default_factory=dict)
    since: dict[str, datetime] = field(default_factory=dict)
    refused: dict[str, Refusal] = field(default_factory=dict)
    keys: BorderKeys | None = None
    seen: str | None = None
    look: datetime | None = None
    budget: datetime | None = None
    lost: tuple[Lost, ...] = ()
    troubles: dict[str, str] = field(default_factory=dict)
    locked: bool = False


class MemoryInbox:
    """`workers.outside.Inbox`; one process, one thread."""

    def __init__(self) -> None:
        self._content = _Content()
        # Not part of what is lost: a mark from before a wipe never passes for a newer one.
        self._numbers = itertools.count(1)

    def wipe(self) -> None:
        """Everything in it is gone, the lock too."""
        self._content = _Content()

    def keep(self, cluster: str, kept: Kept, *, content: str) -> bool:
        now = self._content
        return self._kept(cluster, kept, content, newest=now.newest, contents=now.contents, subject=cluster)

    def keep_request(self, cluster: str, kept: Kept, *, content: str) -> bool:
        now, subject = self._content, request_of(cluster)
        return self._kept(cluster, kept, content, newest=now.requests, contents=now.request_contents, subject=subject)

    def _kept(
        self,
        cluster: str,
        kept: Kept,
        content: str,
        *,
        newest: dict[str, Kept],
        contents: dict[str, str],
        subject: str,
    ) -> bool:
        before = newest.get(cluster)
        if before is not None and before.sequence >= kept.sequence:
            return False
        newest[cluster] = kept
        self._content.refused.pop(subject, None)
        if contents.get(cluster) != content:
            contents[cluster] = content
            self.mark(cluster)
        return True

    def requests(self) -> Mapping[str, Kept]:
        return dict(sorted(self._content.requests.items()))

    def keep_certificate(self, cluster: str, document: bytes) -> None:
        self._content.certificates[cluster] = document
        self.mark(cluster)

    def certificates(self) -> Mapping[str, bytes]:
        return dict(sorted(self._content.certificates.items()))

    def refuse(self, cluster: str, reason: str, what: str, now: datetime) -> None:
        before = self._content.refused.get(cluster)
        self._content.refused[cluster] = Refusal(
            reason=reason,
            what=what,
            since=before.since if before else now,
            last=now,
            count=before.count + 1 if before else 1,
        )

    def refusals(self) -> Mapping[str, Refusal]:
        return dict(sorted(self._content.refused.items()))

    def newest(self) -> Mapping[str, Kept]:
        return dict(sorted(self._content.newest.items()))

    def numbers(self) -> Mapping[str, int]:
        return {cluster: kept.sequence for cluster, kept in self.newest().items()}

    def newest_of(self, cluster: str) -> Kept | None:
        return self._content.newest.get(cluster)

    def marked(self) -> Mapping[str, int]:
        return dict(sorted(self._content.marks.items()))

    def mark(self, name: str) -> None:
        self._content.marks[name] = next(self._numbers)

    def clear(self, marked: Mapping[str, int]) -> None:
        for name, number in marked.items():
            if self._content.marks.get(name) == number:
                del self._content.marks[name]

    def since(self, names: Iterable[str], now: datetime) -> Mapping[str, datetime]:
        before = self._content.since
        self._content.since = {name: before.get(name, now) for name in sorted(set(names))}
        return dict(self._content.since)

    def lasting(self) -> Mapping[str, datetime]:
        return dict(self._content.since)

    def border_keys(self) -> BorderKeys | None:
        return self._content.keys

    def set_border_keys(self, keys: BorderKeys) -> None:
        self._content.keys = keys

    def seen(self) -> str | None:
        return self._content.seen

    def set_seen(self, fingerprint: str) -> None:
        self._content.seen = fingerprint

    def look_again(self) -> datetime | None:
        return self._content.look

    def set_look_again(self, at: datetime | None) -> None:
        self._content.look = at

    def budget(self) -> datetime | None:
        return self._content.budget

    def set_budget(self, whole: datetime) -> None:
        self._content.budget = whole

    def lost(self) -> Sequence[Lost]:
        return self._content.lost

    def set_lost(self, lost: Sequence[Lost]) -> None:
        self._content.lost = tuple(lost)

    def say(self, troubles: Mapping[str, str]) -> None:
        self._content.troubles = dict(troubles)

    def said(self) -> Mapping[str, str]:
        return dict(self._content.troubles)

    @contextmanager
    def lock(self) -> Iterator[bool]:
        content = self._content
        ours = not content.locked
        content.locked = True
        try:
            yield ours
        finally:
            if ours:
                content.locked = False
