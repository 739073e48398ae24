"""Gitea's REST API in memory, as far as the adapter and people use it: the double of a real one, fast enough for
thousands of histories.

Answers what Gitea 1.26 answers; `tests/e2e/test_gitea.py` holds the real one to the same contract. Its traps are here,
too: what follows from a push comes late (`lag`), so that an approval survives it for a while and a pull request of a
deleted branch stays open; `head` of a closed pull request is where a branch of that name stands today.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from tests.simulator.repository import MemoryRemote, MemoryRepository
from workers.documents import paths
from workers.outside import CommitId, Update
from workers.tree import BlobId

PAGE = 50
Answer = tuple[int, Any]


@dataclass(kw_only=True)
class Review:
    user: str
    state: str
    commit: str
    dismissed: bool = False


@dataclass(kw_only=True)
class Pull:
    number: int
    user: str
    branch: str
    base: str
    title: str
    body: str
    at: str
    """Where `refs/pull/N/head` stands: its head as the forge noticed it last; final when it is closed."""
    updated: int
    repository: str
    open: bool = True
    merged: bool = False
    labels: set[int] = field(default_factory=set)
    comments: list[str] = field(default_factory=list)
    reviews: list[Review] = field(default_factory=list)
    events: list[tuple[str, str]] = field(default_factory=list)


class FakeGitea:
    """One repository on a forge. `lag`: whether what follows from pushes stays undone, asked at each call."""

    def __init__(
        self,
        remote: MemoryRemote,
        *,
        repository: str = "acme/mesh",
        lag: Callable[[], bool] = lambda: False,
        now: Callable[[], datetime] = lambda: datetime(2026, 4, 1, 9, 0, tzinfo=UTC),
    ) -> None:
        self.remote = remote
        self.repository = repository
        self.pulls: list[Pull] = []
        self.labels: list[str] = []
        self.statuses: dict[str, dict[str, str]] = {}
        self.rules: dict[str, Any] = {}
        self.style = "merge"
        self.calls: list[str] = []
        self._lag = lag
        self._now = now
        self._time = 0
        self._routes: tuple[tuple[str, str, Callable[..., Answer]], ...] = (
            ("GET", r"", self._repo),
            ("GET", r"/branches/main", self._main),
            ("GET", r"/pulls", self._list),
            ("POST", r"/pulls", self._create),
            ("GET", r"/pulls/(\d+)", self._get),
            ("PATCH", r"/pulls/(\d+)", self._edit),
            ("POST", r"/pulls/(\d+)/merge", self._merge),
            ("POST", r"/pulls/(\d+)/update", self._update),
            ("GET", r"/pulls/(\d+)/reviews", self._reviews),
            ("POST", r"/pulls/(\d+)/reviews", self._review),
            ("GET", r"/git/refs/pull/(\d+)/head", self._head),
            ("GET", r"/issues/(\d+)/timeline", self._timeline),
            ("GET", r"/issues/(\d+)/comments", self._comments),
            ("POST", r"/issues/(\d+)/comments", self._comment),
            ("POST", r"/issues/(\d+)/labels", self._add_labels),
            ("DELETE", r"/issues/(\d+)/labels/(\d+)", self._remove_label),
            ("GET", r"/labels", self._labels),
            ("POST", r"/labels", self._make_label),
            ("GET", r"/commits/([0-9a-f]+)/status", self._combined),
            ("POST", r"/statuses/([0-9a-f]+)", self._report),
        )

    def ask(
        self, user: str, method: str, path: str, body: Any = None, query: Mapping[str, str] | None = None
    ) -> Answer:
        """One call: the status, and the value of the answer."""
        self.calls.append(f"{method} {path}")
        prefix = f"/repos/{self.repository}"
        if not self._lag():
            self.catch_up()
        for verb, pattern, handler in self._routes:
            match = re.fullmatch(re.escape(prefix) + pattern, path)
            if match and verb == method:
                return handler(*match.groups(), user=user, body=body or {}, query=query or {})
        return _refusal(404, "not found")

    def catch_up(self) -> None:
        """What a real one does in a queue: notice pushes, dismiss approvals, close what has lost its branch."""
        for pull in self.pulls:
            head = self._branch(pull)
            if not pull.open or head == pull.at:
                continue
            if head is None:
                pull.open = False
                pull.events += [("close", "robot"), ("delete_branch", "robot")]
            else:
                pull.at = head
                pull.events.append(("pull_push", "robot"))
                if self.rules.get("dismiss_stale_approvals"):
                    for review in pull.reviews:
                        review.dismissed = True
            self._touch(pull)

    # --- the repository

    def _repo(self, **_: Any) -> Answer:
        return 200, {"full_name": self.repository, "default_merge_style": self.style}

    def _main(self, **_: Any) -> Answer:
        rules = ("required_approvals", "enable_status_check", "status_check_contexts")
        return 200, {"name": "main", **{name: self.rules[name] for name in rules if name in self.rules}}

    def _labels(self, **_: Any) -> Answer:
        return 200, [self._label(number) for number in range(1, len(self.labels) + 1)]

    def _make_label(self, *, body: Any, **_: Any) -> Answer:
        self.labels.append(body["name"])
        return 201, self._label(len(self.labels))

    def _combined(self, sha: str, **_: Any) -> Answer:
        said = self.statuses.get(sha, {})
        return 200, {"statuses": [{"context": context, "status": state} for context, state in said.items()]}

    def _report(self, sha: str, *, body: Any, **_: Any) -> Answer:
        self.statuses.setdefault(sha, {})[body["context"]] = body["state"]
        return 201, {}

    # --- pull requests

    def _list(self, *, query: Mapping[str, str], **_: Any) -> Answer:
        state = query.get("state", "open")
        found = [pull for pull in self.pulls if state == "all" or pull.open == (state == "open")]
        recent = query.get("sort") == "recentupdate"
        found.sort(key=lambda pull: -pull.updated if recent else -pull.number)
        return 200, [self._shown(pull) for pull in found]

    def _create(self, *, user: str, body: Any, **_: Any) -> Answer:
        branch, base = body["head"], body["base"]
        head, main = (self.remote.refs.get(f"refs/heads/{name}") for name in (branch, base))
        if head is None or main is None:
            return _refusal(404, "not found")
        if any(pull.open and (pull.branch, pull.base) == (branch, base) for pull in self.pulls):
            return _refusal(409, "pull request already exists for these targets [id: 1, …]")
        if not self._change(head):
            return _refusal(422, "There are no changes between the head and the base")
        pull = self._add(user, branch, base, body)
        return 201, self._shown(pull)

    def _add(self, user: str, branch: str, base: str, body: Any, repository: str = "") -> Pull:
        pull = Pull(
            number=len(self.pulls) + 1,
            user=user,
            branch=branch,
            base=base,
            title=body["title"],
            body=body.get("body", ""),
            at=self.remote.refs.get(f"refs/heads/{branch}", CommitId("0" * 40)),
            updated=0,
            repository=repository or self.repository,
            labels=set(body.get("labels") or ()),
        )
        self._touch(pull)
        self.pulls.append(pull)
        return pull

    def from_fork(self, branch: str) -> Pull:
        """A pull request of somebody's fork, from a branch of the same name."""
        return self._add("mallory", branch, "main", {"title": "Mine"}, repository="mallory/mesh")

    def _get(self, number: str, **_: Any) -> Answer:
        return 200, self._shown(self._pull(number))

    def _edit(self, number: str, *, user: str, body: Any, **_: Any) -> Answer:
        pull = self._pull(number)
        if pull.merged and body.get("state"):
            return _refusal(412, "cannot change state of this pull request, it was already merged")
        pull.title, pull.body = body.get("title", pull.title), body.get("body", pull.body)
        if body.get("state") == "closed" and pull.open:
            pull.open = False
            pull.events.append(("close", user))
        elif body.get("state") == "open":
            pull.open = True
        self._touch(pull)
        return 201, self._shown(pull)

    def _head(self, number: str, **_: Any) -> Answer:
        return 200, [{"ref": f"refs/pull/{number}/head", "object": {"sha": self._pull(number).at}}]

    def _timeline(self, number: str, **_: Any) -> Answer:
        return 200, [{"type": kind, "user": {"login": who}} for kind, who in self._pull(number).events]

    def _comments(self, number: str, **_: Any) -> Answer:
        return 200, [{"body": text} for text in self._pull(number).comments]

    def _comment(self, number: str, *, body: Any, **_: Any) -> Answer:
        self._pull(number).comments.append(body["body"])
        self._touch(self._pull(number))
        return 201, {}

    def _add_labels(self, number: str, *, body: Any, **_: Any) -> Answer:
        self._pull(number).labels |= {label for label in body["labels"] if 0 < label <= len(self.labels)}
        self._touch(self._pull(number))
        return 200, []

    def _remove_label(self, number: str, label: str, **_: Any) -> Answer:
        self._pull(number).labels.discard(int(label))
        return 204, None

    def _reviews(self, number: str, **_: Any) -> Answer:
        pull = self._pull(number)
        return 200, [
            {
                "state": review.state,
                "commit_id": review.commit,
                "dismissed": review.dismissed,
                "stale": review.commit != pull.at,
                "official": not review.dismissed,
                "user": {"login": review.user},
            }
            for review in pull.reviews
        ]

    def _review(self, number: str, *, user: str, body: Any, **_: Any) -> Answer:
        pull = self._pull(number)
        if not pull.open or user == pull.user:
            return _refusal(422, "approve your own pull is not allowed")
        pull.reviews.append(Review(user=user, state=body["event"], commit=self._branch(pull) or pull.at))
        self._touch(pull)
        return 200, {}

    # --- merging

    def _merge(self, number: str, *, user: str, body: Any, **_: Any) -> Answer:
        pull, head = self._pull(number), self._branch(self._pull(number))
        if refusal := self._not_mergeable(pull, head):
            return refusal
        assert head is not None
        if body.get("head_commit_id") not in {None, head}:
            return _refusal(409, "head out of date")
        style = body.get("Do", "merge")
        if style == "fast-forward-only" and self.remote.refs[paths.MAIN] not in self._ancestors(head):
            return _refusal(500, "")
        message = f"{body.get('MergeTitleField') or pull.title}\n\n{body.get('MergeMessageField') or pull.body}"
        self._move(paths.MAIN, self._merged(head, style, message))
        pull.at, pull.open, pull.merged = head, False, True
        pull.events.append(("merge_pull", user))
        if body.get("delete_branch_after_merge"):
            self._move(f"refs/heads/{pull.branch}", None)
        self._touch(pull)
        return 200, None

    def _not_mergeable(self, pull: Pull, head: CommitId | None) -> Answer | None:
        approvals = {review.user for review in pull.reviews if review.state == "APPROVED" and not review.dismissed}
        wanted = self.rules.get("status_check_contexts") or () if self.rules.get("enable_status_check") else ()
        said = self.statuses.get(head or "", {})
        refusals = (
            (pull.merged, 405, "The PR is already merged"),
            (not pull.open or head is None, 404, "not found"),
            (pull.title.startswith("WIP:"), 405, "Work in progress PRs cannot be merged"),
            (any(said.get(one) != "success" for one in wanted), 405, "Not all required status checks successful"),
            (len(approvals) < self.rules.get("required_approvals", 0), 405, "Does not have enough approvals"),
            (head is not None and not self._merges(head), 405, "Please try again later"),
        )
        return next((_refusal(status, why) for refused, status, why in refusals if refused), None)

    def _update(self, number: str, *, user: str, query: Mapping[str, str], **_: Any) -> Answer:
        """The button "Update branch"."""
        pull, main = self._pull(number), self.remote.refs[paths.MAIN]
        head = self._branch(pull)
        if head is None or main in self._ancestors(head):
            return _refusal(500, "HeadBranch of PR is up to date")
        change = self._change(head)
        if query.get("style") == "rebase":
            new = self._replayed(head, main)
        else:
            who = (user, f"{user}@example.org")
            tree = self.remote.store.commits[main].tree
            said = f"Merge branch 'main' into {pull.branch}\n"
            new = self.remote.commit_blobs([head, main], change, said, author=who, when=self._now(), base=tree)
        self._move(f"refs/heads/{pull.branch}", new)
        return 200, None

    def _merged(self, head: CommitId, style: str, message: str) -> CommitId:
        main, change = self.remote.refs[paths.MAIN], self._change(head)
        if style == "fast-forward-only":
            return head
        if style == "rebase":
            return head if main in self._ancestors(head) else self._replayed(head, main)
        parents = [main] if style == "squash" else [main, head]
        author = ("robot", "robot@example.org")
        return self.remote.commit_blobs(parents, change, message, author=author, when=self._now())

    def _replayed(self, head: CommitId, main: CommitId) -> CommitId:
        """One commit with the author and the message of the head: robots' branches have no more."""
        old = self.remote.store.commits[head].commit
        change = self._change(head)
        return self.remote.commit_blobs([main], change, old.message, author=old.author, when=self._now())

    # --- git

    def _git(self) -> MemoryRepository:
        return MemoryRepository(self.remote, author=("forge", "forge@example.org"))

    def _branch(self, pull: Pull) -> CommitId | None:
        if pull.repository != self.repository:
            return CommitId(pull.at)
        return self.remote.refs.get(f"refs/heads/{pull.branch}")

    def _ancestors(self, head: CommitId) -> frozenset[CommitId]:
        return self.remote.store.commits[head].ancestors

    def _change(self, head: CommitId) -> dict[str, BlobId | None]:
        return {path: new for path, (_, new) in self._against_base(head).items()}

    def _against_base(self, head: CommitId) -> Mapping[str, tuple[BlobId | None, BlobId | None]]:
        main = self.remote.refs[paths.MAIN]
        return self._git().changes(self._git().merge_base(main, head) or main, head)

    def _merges(self, head: CommitId) -> bool:
        main = self.remote.refs[paths.MAIN]
        return all(self._git().blob(main, path) in both for path, both in self._against_base(head).items())

    def _move(self, ref: str, new: CommitId | None) -> None:
        assert self.remote.move(Update(ref=ref, old=self.remote.refs[ref], new=new)).status == "done"

    # --- values

    def _pull(self, number: str) -> Pull:
        return self.pulls[int(number) - 1]

    def _touch(self, pull: Pull) -> None:
        self._time += 1
        pull.updated = self._time

    def _label(self, number: int) -> Mapping[str, Any]:
        return {"id": number, "name": self.labels[number - 1]}

    def _shown(self, pull: Pull) -> Mapping[str, Any]:
        head = self._branch(pull)
        return {
            "number": pull.number,
            "title": pull.title,
            "body": pull.body,
            "state": "open" if pull.open else "closed",
            "merged": pull.merged,
            "draft": pull.title.startswith("WIP:"),
            "updated_at": str(pull.updated),
            "labels": [self._label(number) for number in sorted(pull.labels)],
            "user": {"login": pull.user},
            "head": {
                "ref": pull.branch if head else f"refs/pull/{pull.number}/head",
                "label": pull.branch,
                "sha": head or pull.at,
                "repo": {"full_name": pull.repository},
            },
            "base": {"ref": pull.base, "label": pull.base, "sha": self.remote.refs[paths.MAIN], "repo": None},
        }


def paged(value: Any, query: Mapping[str, str]) -> tuple[Any, bool]:
    """A page of a list, and whether there is another one; whatever else is one page."""
    if not isinstance(value, Sequence) or isinstance(value, str):
        return value, False
    size = min(PAGE, int(query.get("limit", PAGE)))
    start = (int(query.get("page", 1)) - 1) * size
    return value[start : start + size], len(value) > start + size


def _refusal(status: int, message: str) -> Answer:
    return status, {"message": message}
