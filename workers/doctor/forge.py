"""The forge: whether nothing reaches main but what was checked and approved, and the robot can do its part and no more.

Judges what a person's token shows of a forge with pull requests. Makes no call.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import quote

from workers.doctor import Finding, NotSeen, ok, unknown, warning, wrong
from workers.doctor.clock import skewed
from workers.doctor.owners import owners_by_expression, placeholders, unguarded
from workers.documents.kinds import Approval
from workers.documents.paths import MESH, RENDER_BRANCH

MAIN: Final = "main"


@dataclass(frozen=True, kw_only=True)
class Protection:
    """A rule for the branches that fit `rule`. `pushers`, `mergers`: only these may; None: whoever may write.

    `dismisses`: a push ends approvals; `rejects`: a review that asks for changes stops the merge; `current`: only a
    branch that has all of main may be merged; `checks`: what must have succeeded, None: nothing need.
    """

    rule: str
    push: bool
    pushers: tuple[str, ...] | None
    mergers: tuple[str, ...] | None
    approvals: int
    dismisses: bool
    rejects: bool
    current: bool
    checks: tuple[str, ...] | None

    def fits(self, branch: str) -> bool:
        """Whether it holds for a branch: `*` stands for all but `/`, `**` for everything."""
        if self.rule == branch:
            return True
        globs = {"**": ".*", "*": "[^/]*", "?": "[^/]"}
        parts = (globs.get(part, re.escape(part)) for part in re.split(r"(\*\*|\*|\?)", self.rule))
        return re.fullmatch("".join(parts), branch) is not None

    def lets_push(self, user: str) -> bool:
        """Whether a user who may write may push to its branches without a review."""
        return self.push and (self.pushers is None or user in self.pushers)


@dataclass(frozen=True, kw_only=True)
class Robot:
    """The robot's account: `permission` in the repository (`read`, `write`, `admin`), `admin` of the whole forge."""

    name: str
    permission: str | NotSeen
    admin: bool | NotSeen


@dataclass(frozen=True, kw_only=True)
class ForgeSeen:
    """What was seen. `robot`: None if nobody said who it is; `owners`: path and text of the file, None: there is none.

    `trust`: certificates are looked after. `branches`: all but the robot's own; `api`: for remedies,
    `https://forge/api/v1/repos/owner/name`.
    """

    api: str
    approval: Approval
    rules: tuple[Protection, ...] | NotSeen
    branches: tuple[str, ...] | NotSeen
    robot: Robot | None
    owners: tuple[str, str] | NotSeen | None
    trust: bool
    clock: float | NotSeen

    def rule(self, branch: str) -> Protection | None:
        """The rule that holds for a branch: the one of its name, else the first that fits."""
        fitting = [] if isinstance(self.rules, NotSeen) else [rule for rule in self.rules if rule.fits(branch)]
        return next((rule for rule in fitting if rule.rule == branch), fitting[0] if fitting else None)


_ADMIN: Final = "Only an administrator of the repository sees rules: `--token-file FILE` with a token of one."


def protected(seen: ForgeSeen) -> Iterator[Finding]:
    """Without a rule, the robot's token writes whatever it wants to main."""
    if isinstance(seen.rules, NotSeen):
        yield unknown(f"the rules of main: {seen.rules.why}", _ADMIN)
        return
    rule = seen.rule(MAIN)
    robot = seen.robot.name if seen.robot else ""
    if rule is None:
        fields = {"required_approvals": 1, "dismiss_stale_approvals": True, "block_on_rejected_reviews": True}
        remedy = _call(seen, "POST", "", {"rule_name": MAIN, "enable_push": False, **fields})
        yield wrong("main isn't protected: whoever may write may push to it, the robot too", remedy)
    elif rule.lets_push(robot) or (rule.push and rule.pushers is None):
        who = f"{robot} (the robot)" if robot and rule.lets_push(robot) else "whoever may write"
        yield wrong(f"{who} may push to main without a review", _change(seen, enable_push=False))
    elif rule.push and rule.pushers:
        what = f"{', '.join(rule.pushers)} may push to main without a review"
        yield warning(what, _change(seen, enable_push=False))
    else:
        yield ok("main is protected; nobody pushes to it directly")


def _main(look: Callable[[ForgeSeen, Protection], Iterator[Finding]]) -> Callable[[ForgeSeen], Iterable[Finding]]:
    """A check of main's rule: says nothing where there is none, or none is seen (`protected` says that)."""

    def check(seen: ForgeSeen) -> Iterable[Finding]:
        rule = seen.rule(MAIN)
        return () if rule is None else look(seen, rule)

    return check


def required(seen: ForgeSeen, rule: Protection) -> Iterator[Finding]:
    """`peermesh check` is what holds that clusters/ follows from what people approved."""
    if rule.checks:
        yield ok(f"required: {', '.join(rule.checks)}")
    else:
        what = "no check is required: clusters/ could be merged that doesn't follow from what was approved"
        context = "the name under which your CI reports `peermesh check`"
        yield wrong(
            what,
            _change(seen, enable_status_check=True, status_check_contexts=["peermesh / check*"])
            + f"\nIn place of `peermesh / check*` put {context}.",
        )


def current(seen: ForgeSeen, rule: Protection) -> Iterator[Finding]:
    """Two proposals may each be right and wrong together; the check must have seen what main becomes."""
    if rule.current:
        yield ok("only what has all of main is merged, so the check saw what main becomes")
    else:
        what = "a branch that lacks newer commits of main may be merged: its check saw another main"
        yield wrong(what, _change(seen, block_on_outdated_branch=True))


def approvals(seen: ForgeSeen, rule: Protection) -> Iterator[Finding]:
    """Somebody looked, and looked at what is merged."""
    if not rule.approvals:
        what = "main wants no approval: whoever may write merges alone, and so does who has the robot's token"
        yield (
            warning(what, _change(seen, required_approvals=1))
            if seen.approval.automatic
            else wrong(what, _change(seen, required_approvals=1))
        )
        return
    if not rule.dismisses:
        what = "an approval survives a push: what is merged needn't be what was approved"
        yield wrong(what, _change(seen, dismiss_stale_approvals=True))
    if not rule.rejects:
        what = "a review that asks for changes doesn't stop the merge"
        yield warning(what, _change(seen, block_on_rejected_reviews=True))
    if rule.dismisses and rule.rejects:
        yield ok(f"{rule.approvals} wanted; a push ends them, a request for changes stops the merge")


def automatic(seen: ForgeSeen, rule: Protection) -> Iterator[Finding]:
    """What the robot shall merge by itself, and what the forge lets it."""
    classes = ", ".join(seen.approval.automatic)
    if not classes:
        yield ok("people merge; the robot merges nothing by itself")
        return
    if seen.robot and rule.mergers is not None and seen.robot.name not in rule.mergers:
        what = f"{MESH} lets the robot merge {classes} by itself, and the forge lets only {_names(rule.mergers)} merge"
        yield wrong(what, _change(seen, merge_whitelist_usernames=[*rule.mergers, seen.robot.name]))
    elif rule.approvals:
        what = (
            f"{MESH} lets the robot merge {classes} by itself, and main wants {rule.approvals} approval"
            f"{'s' if rule.approvals > 1 else ''}: each waits for a person all the same"
        )
        remedy = f"Take spec.approval.automatic out of {MESH}, or, if the robot shall do without people:\n"
        yield warning(what, remedy + _change(seen, required_approvals=0))
    else:
        yield ok(f"the robot merges {classes} by itself")


def robot(seen: ForgeSeen) -> Iterator[Finding]:
    """It may write, and decide nothing."""
    found = seen.robot
    if found is None:
        yield unknown("what the robot's account may", "`--robot NAME` says who it is.")
        return
    base = seen.api.partition("/repos/")[0]
    if found.admin is True:
        remedy = f"$ {_curl('PATCH', f'{base}/admin/users/{found.name}', {'admin': False, 'login_name': found.name})}"
        yield wrong(f"{found.name} is an administrator of the whole forge: no rule holds it", remedy)
    if isinstance(found.permission, NotSeen):
        yield unknown(f"what {found.name} may in the repository: {found.permission.why}", _ADMIN)
        return
    remedy = f"$ {_curl('PUT', f'{seen.api}/collaborators/{found.name}', {'permission': 'write'})}"
    if found.permission in {"admin", "owner"}:
        yield wrong(f"{found.name} is an administrator of the repository: it may change its own rules", remedy)
    elif found.permission != "write":
        yield wrong(f"{found.name} may {found.permission or 'nothing'} there; it has to write its branches", remedy)
    elif found.admin is not True:
        yield ok(f"{found.name} may write, and is no administrator")


def its_branches(seen: ForgeSeen) -> Iterator[Finding]:
    """It makes its branches again by force and deletes them; all others are protected from it."""
    if isinstance(seen.rules, NotSeen):
        return
    if rule := seen.rule(RENDER_BRANCH):
        url = f"{seen.api}/branch_protections/{quote(rule.rule, safe='')}"
        yield wrong(
            f"the rule {rule.rule} holds for peermesh/*, too: its branches can't be made again or deleted",
            f"$ {_curl('DELETE', url)}\nMake it again for the branches that it is meant for, each by its name.",
        )
    if isinstance(seen.branches, NotSeen):
        yield unknown(f"which other branches there are: {seen.branches.why}")
        return
    name = seen.robot.name if seen.robot else ""
    rules = ((branch, seen.rule(branch)) for branch in seen.branches if branch != MAIN)
    open_ones = [branch for branch, rule in rules if rule is None or rule.lets_push(name)]
    if open_ones:
        shown = ", ".join(open_ones[:5]) + (f" and {len(open_ones) - 5} more" if len(open_ones) > 5 else "")
        remedy = _call(seen, "POST", "", {"rule_name": open_ones[0], "enable_push": False})
        yield warning(f"the robot may push to {shown}: they aren't protected", remedy)
    elif not seen.rule(RENDER_BRANCH):
        yield ok("the robot may push to peermesh/* only")


def owners(seen: ForgeSeen) -> Iterator[Finding]:
    """Who is asked for a review. On Gitea and Forgejo it asks, and doesn't bind: approvals do."""
    if isinstance(seen.owners, NotSeen):
        yield unknown(f"CODEOWNERS: {seen.owners.why}")
        return
    if seen.owners is None:
        yield wrong("there is no CODEOWNERS: nobody is asked to review", "`peermesh init` writes one to begin with.")
        return
    path, text = seen.owners
    left = placeholders(text)
    if left:
        yield wrong(f"{path} still has {', '.join(left)}: nobody is asked", f"Put your own teams into {path}.")
    missing = unguarded(text, owners_by_expression, trust=seen.trust)
    for each in missing:
        what = f"{path} names nobody for {each.what} (this forge reads regular expressions): {each.why}"
        yield wrong(what, f"Add to {path}, with a team of yours:\n  {each.expression} @team")
    if not left and not missing:
        yield ok(f"{path} names who reviews mesh/ and facts/exports/{' and pki/' if seen.trust else ''}")


def clock(seen: ForgeSeen) -> Iterator[Finding]:
    """Times of commits and reviews are compared with ours."""
    yield skewed("the forge", seen.clock)


CHECKS: Final[Mapping[str, Callable[[ForgeSeen], Iterable[Finding]]]] = {
    "protection": protected,
    "required check": _main(required),
    "up to date": _main(current),
    "approvals": _main(approvals),
    "automatic": _main(automatic),
    "robot": robot,
    "robot's branches": its_branches,
    "code owners": owners,
    "clock": clock,
}
"""What is looked at in a forge with pull requests, in the order in which it is printed."""


def _names(names: Iterable[str]) -> str:
    return ", ".join(names) or "nobody"


def _change(seen: ForgeSeen, **fields: Any) -> str:
    rule = seen.rule(MAIN)
    return _call(seen, "PATCH", "/" + quote(rule.rule if rule else MAIN, safe=""), fields)


def _call(seen: ForgeSeen, method: str, path: str, fields: Mapping[str, Any]) -> str:
    return f"$ {_curl(method, f'{seen.api}/branch_protections{path}', fields)}"


def _curl(method: str, url: str, fields: Mapping[str, Any] | None = None) -> str:
    """A call as an administrator, whose name and token curl takes from ~/.netrc: arguments are seen by others."""
    head = f"curl -n -X {method} {url}"
    if fields is None:
        return head
    return f"{head} \\\n    -H 'Content-Type: application/json' \\\n    -d '{json.dumps(fields)}'"
