"""Forge `gitea`: a pull request for each branch of the robot, in Gitea or Forgejo (REST v1).

Knows which calls are made, in which order; what they mean is decided in `pull_request`. Never asks for what a list
already said: an unchanged site costs one call. Answers were looked up in Gitea 1.26 and are held by the contract suite.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final, TypeVar

from syncer.protocol.errors import Rejected
from workers.documents import paths
from workers.documents.kinds import Forge as ForgeSettings
from workers.forge.pull_request import (
    LABEL,
    STOPPED,
    Event,
    Label,
    Protection,
    PullRequest,
    Review,
    Status,
    branch_shown,
    closed_by_people,
    color_of,
    edits,
    fingerprint,
    label_edits,
    lacks,
    merging,
    newest_of,
    parsed,
    style_of,
    text_of,
)
from workers.forge.rest import Answer, HttpRest, Method, Rest, pages, refused
from workers.outside import Credentials, Merging, Remote, Shown

_PREFIX: Final = "peermesh/"
_CLOSED_PAGES: Final = 10
"""How far back closed pull requests are looked through for one that people closed: the 500 that changed last."""
T = TypeVar("T")


class GiteaForge:
    """`workers.outside.Forge` over pull requests."""

    merges_in_push = False

    def __init__(self, settings: ForgeSettings, credentials: Credentials, rest: Rest | None = None) -> None:
        """`rest`: how the API is asked; absent: over HTTP at the forge's address."""
        self._repository = settings.repository
        self._home = f"{settings.url.rstrip('/')}/{settings.repository}"
        self._path = f"/repos/{settings.repository}"
        self._credentials = credentials
        self._rest = rest or HttpRest(f"{settings.url.rstrip('/')}/api/v1", credentials)
        self._open: dict[str, PullRequest] = {}
        self._labels: dict[str, int] = {}
        self._rules: Protection | None = None

    # --- reading

    def look(self) -> str:
        found = pages(self._rest, f"{self._path}/pulls", {"state": "open"})
        self._open = newest_of(self._pulls(found), self._repository, _PREFIX)
        self._rules = None
        return fingerprint(self._open.values())

    def rejected(self, remote: Remote) -> frozenset[str]:
        without = {name for name in remote.branches if paths.is_ours(name) and name not in self._open}
        closed = self._closed(without)
        return frozenset(name for name, pull in closed.items() if self._refused(pull, remote.branches[name].head))

    def _closed(self, wanted: set[str]) -> dict[str, PullRequest]:
        """The newest closed pull request of each of these branches, if there is one among those that changed last."""
        found: list[PullRequest] = []
        query = {"state": "closed", "sort": "recentupdate"}
        missing = set(wanted)
        for item in pages(self._rest, f"{self._path}/pulls", query, most=_CLOSED_PAGES) if wanted else ():
            pull = parsed(item, PullRequest, self._home)
            if (branch := branch_shown(pull, self._repository)) in wanted:
                found.append(pull)
                missing.discard(branch)
            if not missing:
                break
        return newest_of(found, self._repository, _PREFIX)

    def _refused(self, pull: PullRequest, head: str) -> bool:
        """Whether people closed it, with this head. A new branch of the same name begins a new proposal."""
        if pull.merged:
            return False
        ref = f"pull/{pull.number}/head"
        answer = self._rest.call("GET", f"{self._path}/git/refs/{ref}")
        heads = {found["ref"]: found["object"]["sha"] for found in answer.value or ()} if answer.done else {}
        if heads.get(f"refs/{ref}") != head:
            return False
        events = self._list(f"/issues/{pull.number}/timeline", Event)
        return closed_by_people(events, self._credentials()[0])

    # --- writing

    def publish(self, shown: Shown) -> bool:
        wanted = [f"{LABEL}{name}" for name in shown.classes]
        before = self._open.get(shown.branch)
        pull = before or self._opened(shown, wanted)
        changes = edits(pull, shown)
        if changes:
            self._send("PATCH", f"/pulls/{pull.number}", changes)
        return self._label(pull, wanted) or bool(changes) or before is None

    def stop(self, branch: str, *, why: str) -> None:
        pull = self._open.get(branch)
        if pull is not None and STOPPED not in {label.name for label in pull.labels or ()}:
            self._send("POST", f"/issues/{pull.number}/comments", {"body": f"peermesh: {why}"})
            self._send("POST", f"/issues/{pull.number}/labels", {"labels": self._ids([STOPPED])})

    def close(self, branch: str, *, reason: str) -> None:
        pull = self._open.pop(branch, None)
        if pull is None:
            return
        self._send("POST", f"/issues/{pull.number}/comments", {"body": f"peermesh: closed, {reason}."})
        # 412: it was merged meanwhile, which closes it as well.
        self._send("PATCH", f"/pulls/{pull.number}", {"state": "closed"}, but=(404, 412))

    def _opened(self, shown: Shown, labels: Iterable[str]) -> PullRequest:
        body = {
            "head": shown.branch,
            "base": "main",
            "title": shown.title,
            "body": text_of(shown),
            "labels": self._ids(labels),
        }
        answer = self._send("POST", "/pulls", body, but=(404, 409))
        if answer.status == 404:
            raise Rejected(
                "NotOnForge",
                "it was pushed, and the forge doesn't find it",
                subject=shown.branch,
                remedy=f"{self._home} must be the repository that PEERMESH_REPO names.",
            )
        if answer.status == 409:
            # Somebody opened one since we looked, or our last answer was lost.
            self.look()
            if shown.branch not in self._open:
                raise refused(answer, shown.branch)
            return self._open[shown.branch]
        pull = self._open[shown.branch] = parsed(answer.value, PullRequest, self._home)
        return pull

    def _label(self, pull: PullRequest, wanted: Iterable[str]) -> bool:
        missing, strays = label_edits(pull, wanted)
        if missing:
            self._send("POST", f"/issues/{pull.number}/labels", {"labels": self._ids(sorted(missing))})
        for label in strays:
            self._send("DELETE", f"/issues/{pull.number}/labels/{label.id}", but=(404, 422))
        return bool(missing or strays)

    def _ids(self, names: Iterable[str]) -> list[int]:
        """The ids of labels; those that the repository lacks are made. Two may have one name: the first counts."""
        wanted = list(names)
        if not self._labels.keys() >= set(wanted):
            found = self._list("/labels", Label)
            self._labels = {label.name: label.id for label in reversed(found)}
        for name in wanted:
            if name not in self._labels:
                made = self._send("POST", "/labels", {"name": name, "color": color_of(name)})
                self._labels[name] = parsed(made.value, Label, self._home).id
        return [self._labels[name] for name in wanted]

    # --- merging

    def merge(self, shown: Shown) -> Merging:
        pull = self._open.get(shown.branch)
        if pull is None or pull.head.sha != shown.head:
            return Merging(status="soon", message="the forge doesn't show what was pushed yet")
        if what := self._lacks(pull):
            return Merging(status="waits", message=f"waits for {what}")
        body = {
            "Do": style_of(self._get("")),
            "head_commit_id": shown.head,
            "MergeTitleField": f"{shown.title} (#{pull.number})",
            "MergeMessageField": text_of(shown),
            "delete_branch_after_merge": True,
        }
        answer = self._rest.call("POST", f"{self._path}/pulls/{pull.number}/merge", body=body)
        found = merging(answer.status, answer.message)
        if found.status == "merged":
            del self._open[shown.branch]
        return found

    def _lacks(self, pull: PullRequest) -> str:
        if self._rules is None:
            self._rules = parsed(self._get("/branches/main"), Protection, self._home)
        rules = self._rules
        reviews = self._list(f"/pulls/{pull.number}/reviews", Review) if rules.required_approvals else ()
        statuses: Iterable[Status] = ()
        if rules.enable_status_check:
            said = self._get(f"/commits/{pull.head.sha}/status")
            statuses = parsed(said.get("statuses") or (), tuple[Status, ...], self._home)
        return lacks(rules, reviews, statuses, pull.head.sha)

    # --- asking

    def _pulls(self, items: Iterable[Any]) -> list[PullRequest]:
        return [parsed(item, PullRequest, self._home) for item in items]

    def _list(self, path: str, kind: type[T]) -> list[T]:
        return [parsed(item, kind, self._home) for item in pages(self._rest, self._path + path, {})]

    def _get(self, path: str) -> Mapping[str, Any]:
        answer = self._rest.call("GET", self._path + path)
        if not answer.done:
            raise refused(answer, self._home)
        return parsed(answer.value, dict[str, Any], self._home)

    def _send(self, method: Method, path: str, body: Any = None, *, but: tuple[int, ...] = ()) -> Answer:
        """A call that must be done; `but`: answers that the caller judges."""
        answer = self._rest.call(method, self._path + path, body=body)
        if not answer.done and answer.status not in but:
            raise refused(answer, f"{self._home}{path}")
        return answer
