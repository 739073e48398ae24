"""What a forge shows of its rules to a person's token, and what a bare repository on this machine has in its
configuration. Changes nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, Final, TypeVar
from urllib.parse import quote, urlsplit, urlunsplit

from syncer.protocol.errors import HumanNeeded, PeermeshError
from syncer.protocol.secret import Secret
from workers.cli.doctor.http_clock import ask_time
from workers.doctor import NotSeen
from workers.doctor.forge import ForgeSeen, Protection, Robot
from workers.doctor.git_server import GitServerSeen
from workers.doctor.owners import GITEA_PLACES, PLACES
from workers.documents.paths import PKI
from workers.forge.rest import HttpRest, Rest, pages, refused
from workers.git.address import Address
from workers.git.command import git
from workers.tree import Files, Tree

OURS: Final = "peermesh/"
_SECONDS: Final = 10.0
_T = TypeVar("_T")


def look_at_forge(tree: Tree, files: Files, *, token_file: Path | None, robot: str) -> ForgeSeen:
    """What is judged of the forge that the mesh names, with an administrator's token."""
    approval = tree.mesh.spec.approval
    forge = approval.forge
    api, path = f"{forge.url.rstrip('/')}/api/v1", f"/repos/{quote(forge.repository)}"
    rest = HttpRest(api, lambda: _credentials(token_file))
    return ForgeSeen(
        api=api + path,
        approval=approval,
        rules=_seen(lambda: tuple(map(_protection, _asked(rest, f"{path}/branch_protections")))),
        branches=_seen(lambda: _branches(rest, path)),
        robot=_robot(rest, path, robot) if robot else None,
        owners=owners_in(files, GITEA_PLACES),
        trust=has_trust(tree, files),
        clock=ask_time(forge.url),
    )


def _credentials(token_file: Path | None) -> tuple[str, Secret]:
    if token_file is None:
        raise HumanNeeded("NoToken", "no token was given", remedy="`--token-file FILE` with one of an administrator.")
    try:
        # Gitea and Forgejo take the token for itself, whoever is named beside it.
        return "peermesh", Secret(token_file.read_text().strip())
    except OSError as error:
        raise HumanNeeded("NoToken", f"the token can't be read: {error.strerror}", subject=str(token_file)) from error


def _seen(look: Callable[[], _T]) -> _T | NotSeen:
    try:
        return look()
    except PeermeshError as error:
        return NotSeen(why=error.what)


def _asked(rest: Rest, path: str) -> Any:
    answer = rest.call("GET", path)
    if not answer.done:
        raise refused(answer, path)
    return answer.value


def _protection(rule: Mapping[str, Any]) -> Protection:
    return Protection(
        rule=rule.get("rule_name") or rule.get("branch_name") or "",
        push=bool(rule.get("enable_push")),
        pushers=_whitelist(rule, "push"),
        mergers=_whitelist(rule, "merge"),
        approvals=int(rule.get("required_approvals") or 0),
        dismisses=bool(rule.get("dismiss_stale_approvals")),
        rejects=bool(rule.get("block_on_rejected_reviews")),
        current=bool(rule.get("block_on_outdated_branch")),
        checks=tuple(rule.get("status_check_contexts") or ()) if rule.get("enable_status_check") else None,
    )


def _whitelist(rule: Mapping[str, Any], what: str) -> tuple[str, ...] | None:
    """Users and teams that may; None: everybody."""
    if not rule.get(f"enable_{what}_whitelist"):
        return None
    teams = (f"team {name}" for name in rule.get(f"{what}_whitelist_teams") or ())
    return (*(rule.get(f"{what}_whitelist_usernames") or ()), *teams)


def _branches(rest: Rest, path: str) -> tuple[str, ...]:
    names = (branch["name"] for branch in pages(rest, f"{path}/branches", {}))
    return tuple(sorted(name for name in names if not name.startswith(OURS)))


def _robot(rest: Rest, path: str, name: str) -> Robot:
    found = _seen(lambda: _asked(rest, f"{path}/collaborators/{quote(name)}/permission"))
    if isinstance(found, NotSeen):
        return Robot(name=name, permission=found, admin=found)
    whoever = _seen(lambda: _asked(rest, "/user"))
    # To others than administrators of the forge, everybody looks like none.
    tells = not isinstance(whoever, NotSeen) and whoever.get("is_admin")
    admin = bool((found.get("user") or {}).get("is_admin"))
    return Robot(
        name=name,
        permission=str(found.get("permission", "")),
        admin=admin if tells else NotSeen(why="only an administrator of the forge sees who else is one"),
    )


def has_trust(tree: Tree, files: Files) -> bool:
    """Whether people ordered something of trust, or something of it is there: `pki/` is signed and trusted then."""
    return tree.mesh.spec.trust is not None or any(files.under(PKI))


def owners_in(files: Files, places: Iterable[str]) -> tuple[str, str] | None:
    """Path and text of the first file of these that is there."""
    path = next((place for place in places if files.blob(place) is not None), None)
    return None if path is None else (path, files.read(path).decode(errors="replace"))


# --- forge `git`


def look_at_git(tree: Tree, files: Files, remote: str) -> GitServerSeen:
    """What can be seen of the server behind `remote`, as `workers.git.opening.remote_of` gives it."""
    folder = Path(remote)
    here = "://" not in remote and _git(folder, "rev-parse", "--is-bare-repository") == "true"
    return GitServerSeen(
        repo=_without_user(remote),
        config=_config(folder) if here else None,
        hooks=frozenset(_hooks(folder)) if here else frozenset(),
        owners=owners_in(files, PLACES),
        trust=has_trust(tree, files),
        clock=ask_time(_without_user(remote)) if remote.startswith(("http://", "https://")) else None,
    )


def _config(folder: Path) -> dict[str, str]:
    listed = _git(folder, "config", "--list", "-z")
    entries = (entry.partition("\n") for entry in listed.split("\0") if entry)
    return {name: value if newline else "true" for name, newline, value in entries}


def _git(folder: Path, *args: str) -> str:
    """What git prints there; nothing if there is no repository."""
    return git("-C", str(folder), *args, address=Address(url=""), seconds=_SECONDS).stdout.strip()


def _hooks(folder: Path) -> list[str]:
    hooks = Path(_git(folder, "rev-parse", "--absolute-git-dir")) / "hooks"
    return [hook.name for hook in hooks.iterdir() if hook.stat().st_mode & 0o100] if hooks.is_dir() else []


def _without_user(url: str) -> str:
    parts = urlsplit(url)
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))
