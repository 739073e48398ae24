"""Pull requests as Gitea and Forgejo describe them, and what follows from them.

Pure: which ones show a branch of ours, what must be written so that they say what they should, whether people approved
exactly this head, what an answer to a merge means. Knows no HTTP.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any, Final, TypeVar

import msgspec

from syncer.protocol.errors import HumanNeeded
from workers.outside import Merging, Shown

LABEL: Final = "peermesh/"
"""Before the class: labels of people are never touched."""
STOPPED: Final = f"{LABEL}stopped"
"""The label of a pull request that the robot leaves alone; the comment beside it says why."""
_RED: Final = "#d73a4a"
_COLORS: Final[Mapping[str, str]] = {
    "held": _RED, "stopped": _RED, "provider": "#e99695", "cluster": "#e99695", "withdrawal": "#fbca04"
}  # fmt: skip
_BLUE: Final = "#0075ca"
_STYLES: Final = frozenset({"merge", "rebase", "rebase-merge", "squash", "fast-forward-only"})
T = TypeVar("T")


class _Struct(msgspec.Struct, frozen=True, kw_only=True):
    """What a forge sends beside this is none of our business."""


class User(_Struct, frozen=True, kw_only=True):
    """Who did it."""

    login: str = ""


class Repo(_Struct, frozen=True, kw_only=True):
    """Where a branch is."""

    full_name: str = ""


class Side(_Struct, frozen=True, kw_only=True):
    """Head or base. `ref` is the branch only while it exists; `label` stays. `repo` None: the fork was deleted."""

    ref: str = ""
    label: str = ""
    sha: str = ""
    repo: Repo | None = None


class Label(_Struct, frozen=True, kw_only=True):
    """A label of the repository."""

    id: int
    name: str


class PullRequest(_Struct, frozen=True, kw_only=True):
    """One pull request. Of a closed one `head.sha` is no witness: it is where a branch of that name stands today."""

    number: int
    title: str = ""
    body: str | None = None
    state: str = ""
    merged: bool = False
    draft: bool = False
    updated_at: str = ""
    labels: tuple[Label, ...] | None = None
    head: Side
    base: Side


class Review(_Struct, frozen=True, kw_only=True):
    """One review. `state`: APPROVED, REQUEST_CHANGES, COMMENT, PENDING…"""

    state: str = ""
    commit_id: str = ""
    stale: bool = False
    dismissed: bool = False
    official: bool = False
    user: User | None = None


class Protection(_Struct, frozen=True, kw_only=True):
    """What a branch asks for before something is merged into it, as everybody may see it."""

    required_approvals: int = 0
    enable_status_check: bool = False
    status_check_contexts: tuple[str, ...] | None = None


class Status(_Struct, frozen=True, kw_only=True):
    """What one check said of a commit."""

    status: str = ""
    context: str = ""


class Event(_Struct, frozen=True, kw_only=True):
    """One entry of a pull request's timeline."""

    type: str = ""
    user: User | None = None


def parsed(value: Any, kind: type[T], subject: str) -> T:
    """What a forge answered, as a value. Raises HumanNeeded: no forge that we know answers so."""
    try:
        return msgspec.convert(value, kind)
    except msgspec.ValidationError as error:
        raise HumanNeeded(
            "NotAForge",
            f"the forge answers something that Gitea doesn't ({error})",
            subject=subject,
            remedy="Mend spec.approval.forge in mesh/mesh.yaml on main; peermesh is tested with Gitea 1.26.",
        ) from error


def branch_shown(pull: PullRequest, repository: str) -> str:
    """The branch of this repository that a pull request asks to merge into main; empty: another one, or another base.

    Of a fork a branch may have the same name.
    """
    repo = pull.head.repo
    if pull.base.ref != "main" or repo is None or repo.full_name.lower() != repository.lower():
        return ""
    return pull.head.label or pull.head.ref


def newest_of(pulls: Iterable[PullRequest], repository: str, prefix: str) -> dict[str, PullRequest]:
    """The newest pull request of each branch below a prefix."""
    found: dict[str, PullRequest] = {}
    for pull in sorted(pulls, key=lambda pull: pull.number):
        branch = branch_shown(pull, repository)
        if branch.startswith(prefix):
            found[branch] = pull
    return found


def fingerprint(pulls: Iterable[PullRequest]) -> str:
    """Equal for as long as nobody does anything to them: a comment, a review and a push change the time."""
    lines = sorted(f"{pull.number} {pull.head.sha} {pull.updated_at} {pull.draft}\n" for pull in pulls)
    return hashlib.sha256("".join(lines).encode()).hexdigest()[:40]


def text_of(shown: Shown) -> str:
    """The text of a pull request. The trailer is what a squash keeps, and by it the robot knows its change again."""
    return f"{shown.body.rstrip()}\n\n{_trailer(shown)}\n"


def edits(pull: PullRequest, shown: Shown) -> dict[str, str]:
    """Title and text that must be written: they belong to a change, and stay with it whatever people add to them.

    What the robot could say better now (of a cluster that is silent since Redis was lost: nothing) waits for the next
    change, as it does in the message of the commit. A title that people marked as a draft stays: that is their brake.
    """
    if _trailer(shown) in (pull.body or ""):
        return {}
    return {"body": text_of(shown)} if pull.draft else {"title": shown.title, "body": text_of(shown)}


def _trailer(shown: Shown) -> str:
    return f"Peermesh-Change: {shown.digest}"


def label_edits(pull: PullRequest, wanted: Iterable[str]) -> tuple[frozenset[str], tuple[Label, ...]]:
    """Names of labels to add, and labels of ours to take off."""
    names = frozenset(wanted)
    have = pull.labels or ()
    stray = tuple(label for label in have if label.name.startswith(LABEL) and label.name not in names)
    return names - {label.name for label in have}, stray


def color_of(label: str) -> str:
    """Red for what a person must look at."""
    return _COLORS.get(label.removeprefix(LABEL), _BLUE)


def closed_by_people(events: Sequence[Event], robot: str) -> bool:
    """Whether a person closed it, and not the robot. Deleting the branch closes it, too, and refuses nothing."""
    last = max((i for i, event in enumerate(events) if event.type == "close"), default=None)
    if last is None:
        return False
    deleted = any(event.type == "delete_branch" for event in events[last:])
    user = events[last].user
    return not deleted and (user is None or user.login.lower() != robot.lower())


def lacks(protection: Protection, reviews: Iterable[Review], statuses: Iterable[Status], head: str) -> str:
    """What people's rules still ask for, before the forge is asked; empty: nothing.

    Gitea 1.26 lets an approval pass for half a second after a push of something else, so only reviews of exactly this
    head count. (It is asked all the same, and knows more rules.)
    """
    latest: dict[str, Review] = {}
    for review in reviews:
        if review.user is not None and review.state in {"APPROVED", "REQUEST_CHANGES"}:
            latest[review.user.login] = review
    good = [review for review in latest.values() if _approves(review, head)]
    if len(good) < protection.required_approvals:
        return f"an approval of {head[:12]} (it has {len(good)} of {protection.required_approvals})"
    said = {status.context: status.status for status in statuses}
    for pattern in (protection.status_check_contexts or ()) if protection.enable_status_check else ():
        found = [state for context, state in said.items() if fnmatchcase(context, pattern)]
        if not found or any(state != "success" for state in found):
            return f"the check {pattern!r} of {head[:12]} ({', '.join(found) or 'not reported yet'})"
    return ""


def _approves(review: Review, head: str) -> bool:
    return (
        review.state == "APPROVED"
        and review.official
        and review.commit_id == head
        and not review.stale
        and not review.dismissed
    )


def style_of(repository: Mapping[str, Any]) -> str:
    """How this repository merges, if nobody says otherwise."""
    style = str(repository.get("default_merge_style") or "merge")
    return style if style in _STYLES else "merge"


def merging(status: int, message: str) -> Merging:
    """What an answer to a merge means (Gitea 1.26, routers/api/v1/repo/pull.go)."""
    said = message.lower()
    if 200 <= status < 300 or "already merged" in said:
        return Merging(status="merged")
    if "pushrejected" in said:
        return Merging(status="waits", message=message)
    if status == 500 or "behind the base" in said or "out of date with base" in said:
        return Merging(status="behind", message=message)
    if status in {404, 409} or "try again later" in said:
        # Closed meanwhile, another head, or it is still looking whether it can be merged.
        return Merging(status="soon", message=message)
    return Merging(status="waits", message=message or f"the forge answers {status}")
