"""What git said -> what it means: the table of refusals, as one pure function.

Knows the texts of git 2.34 and newer in the C locale, and those of common servers. Runs nothing.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Final, Literal

from syncer.protocol.printable import one_line

Verdict = Literal["done", "stale", "refused", "unknown", "together", "busy"]
"""`together`: refused, but perhaps for the sake of another ref; `busy`: the server holds a lock on it."""


@dataclass(frozen=True, kw_only=True)
class Line:
    """What became of one ref, from its status line and what the server said of it."""

    verdict: Verdict
    message: str = ""


@dataclass(frozen=True, kw_only=True)
class Failure:
    """Why the command as a whole did not do its work.

    `unknown`: the answer was lost, the work may have been done; `copy`: our copy is damaged, not the remote.
    """

    kind: Literal["transient", "human", "unknown", "copy"]
    reason: str
    what: str
    remedy: str = ""


@dataclass(frozen=True, kw_only=True)
class Report:
    """`lines` by ref, only those that git gave; `failure` None: there are lines, or the command succeeded."""

    lines: Mapping[str, Line]
    failure: Failure | None


def classify(exit_code: int | None, stdout: str, stderr: str) -> Report:
    """The meaning of `git push --porcelain`, or of any other command that talks to the remote.

    `exit_code` None: it was ended because its time was up. A ref without a line is unknown even after exit code 0 or
    1: git prints `Done` after a connection that broke while the server was working.
    """
    found = dict(_lines(stdout, stderr))
    lines = {ref: line for ref, line in found.items() if line is not None}
    if exit_code == 0 or (exit_code == 1 and found and len(lines) == len(found)):
        return Report(lines=lines, failure=None)
    return Report(lines=lines, failure=_failure(exit_code, stderr))


# --- one ref

_SUCCESS: Final = frozenset(" +*-=")
_REASON = re.compile(r"\[(?P<who>[^]]+)\](?: \((?P<why>.*)\))?")
_STALE: Final = frozenset({"stale info", "fetch first", "non-fast-forward", "needs force", "already exists"})
_TOGETHER: Final = frozenset(
    {
        "atomic push failed",  # the client: another ref of the push is the cause
        "atomic push failure",  # the server: another ref was refused by its `update` hook
        "pre-receive hook declined",  # one hook for all refs (Gitea, GitLab): the innocent are refused, too
        "protected branch hook declined",  # GitHub
    }
)
_NO_UPDATE: Final = frozenset({"failed to update ref", "failed to update", "failed to lock", "failed to write"})


def _lines(stdout: str, stderr: str) -> Iterator[tuple[str, Line | None]]:
    """Status lines: flag, `src:dst`, summary, separated by tabs (git-push(1), OUTPUT). None: it says nothing."""
    for text in stdout.splitlines():
        flag, _, rest = text.partition("\t")
        names, tab, summary = rest.partition("\t")
        if not tab or len(flag) != 1 or ":" not in names:
            continue
        ref = names.rpartition(":")[2]
        if flag in _SUCCESS:
            yield ref, Line(verdict="done")
        elif flag == "!":
            yield ref, _refusal(ref, summary, stderr)


def _refusal(ref: str, summary: str, stderr: str) -> Line | None:
    match = _REASON.search(summary)
    who, why = (match["who"], match["why"] or "") if match else ("", summary)
    if who == "remote failure" or why == "unpacker error":
        return None  # no answer, or no push that the server could have looked at: the command as a whole failed
    if who == "rejected" and why in _STALE:
        return Line(verdict="stale", message=why)
    if why in _TOGETHER:
        return Line(verdict="together", message=_explained(why, stderr))
    if why == "atomic transaction failed":
        return Line(verdict="stale", message=why)  # a true race: one ref moved while the server was updating
    if why in _NO_UPDATE:
        return _not_updated(why, _about(ref, stderr))
    if "currently checked out" in why:
        why += ": a mesh repository with a work tree can't be pushed to, give it a bare one as remote"
    return Line(verdict="refused", message=_explained(why, stderr))


def _not_updated(why: str, said: str) -> Line:
    if "cannot create" in said:
        return Line(verdict="refused", message=f"{why} ({said}): a branch can't have the name of a folder of branches")
    if "File exists" in said:
        return Line(verdict="busy", message=f"{why} ({said}): a writer that died left its lock file on the server")
    return Line(verdict="stale", message=f"{why} ({said})" if said else why)


def _about(ref: str, stderr: str) -> str:
    """What the server said of this ref, if it named it, else what it said of none in particular."""
    said = [line.removeprefix("remote: ").strip() for line in stderr.splitlines() if line.startswith("remote: ")]
    named = [line for line in said if f"'{ref}'" in line or f"{ref}.lock'" in line]
    return one_line("; ".join(named or [line for line in said if "refs/" not in line]))


def _explained(why: str, stderr: str) -> str:
    said = _said(stderr)
    return f"{why} ({said})" if said else why


# --- the whole command


@dataclass(frozen=True, kw_only=True)
class _Row:
    pattern: re.Pattern[str]
    failure: Failure


def _row(pattern: str, failure: Failure) -> _Row:
    return _Row(pattern=re.compile(pattern, re.IGNORECASE), failure=failure)


_CREDENTIALS: Final = Failure(
    kind="human",
    reason="BadCredentials",
    what="the server doesn't accept the credentials",
    remedy="Set PEERMESH_GIT_USER and PEERMESH_GIT_PASSWORD_FILE, or a credential helper of git.",
)
_AWAY: Final = Failure(kind="transient", reason="RemoteAway", what="the server can't be reached")
_LOST: Final = Failure(kind="unknown", reason="AnswerLost", what="the connection broke before the server answered")
_DAMAGED: Final = Failure(kind="copy", reason="CopyDamaged", what="the local copy of the repository is damaged")

# The first row that fits decides: what is certain stands above what git prints after any broken connection.
_TABLE: Final = (
    _row(r"'origin' does not appear to be a git repository", _DAMAGED),
    _row(
        r"(returned error:|HTTP) 403",
        Failure(
            kind="human",
            reason="Forbidden",
            what="the server knows the credentials and refuses what they ask for",
            remedy="Give them the right to read and write this repository.",
        ),
    ),
    _row(r"Authentication failed for|could not read (Username|Password)|(returned error:|HTTP) 401", _CREDENTIALS),
    _row(
        r"UNPROTECTED PRIVATE KEY FILE|^Permissions .* are too open",
        Failure(
            kind="human",
            reason="KeyTooOpen",
            what="others may read the private key of ssh, so ssh doesn't use it",
            remedy="`chmod 600` the file of PEERMESH_GIT_SSH_KEY_FILE.",
        ),
    ),
    _row(
        r"^Load key .*:",
        Failure(
            kind="human",
            reason="BadKey",
            what="ssh can't read the private key",
            remedy="Make another: `ssh-keygen -t ed25519 -N '' -f FILE`, and give FILE.pub to the server.",
        ),
    ),
    _row(
        r"Permission denied \(|Permission denied, please try again|Too many authentication failures",
        Failure(
            kind="human",
            reason="KeyRefused",
            what="the server doesn't accept the key, or ssh can't use it",
            remedy="Give the public key of PEERMESH_GIT_SSH_KEY_FILE to the server, with the right to write."
            " The private key must have no passphrase.",
        ),
    ),
    _row(
        r"REMOTE HOST IDENTIFICATION HAS CHANGED|^Host key for .* has changed",
        Failure(
            kind="human",
            reason="HostKeyChanged",
            what="ALARM: the server shows another host key than before, somebody may be in between",
            remedy="Ask whoever runs the server. Only if it was meant, put the new key into the known hosts"
            " (PEERMESH_GIT_KNOWN_HOSTS_FILE).",
        ),
    ),
    _row(
        r"Host key verification failed|^No .* host key is known for",
        Failure(
            kind="human",
            reason="HostKeyUnknown",
            what="the host key of the server isn't known",
            remedy="`ssh-keyscan HOST` shows it; compare it with what whoever runs the server says, and put it into the"
            " known hosts (PEERMESH_GIT_KNOWN_HOSTS_FILE).",
        ),
    ),
    _row(
        r"SSL certificate problem|certificate verif|unable to get local issuer|SSL: no alternative certificate",
        Failure(
            kind="human",
            reason="BadCertificate",
            what="the certificate of the server isn't trusted",
            remedy="Set PEERMESH_GIT_CA_FILE, or `http.sslCAInfo` of git.",
        ),
    ),
    _row(
        r"(returned error:|HTTP) 429",
        Failure(kind="transient", reason="RateLimited", what="the server asks for fewer requests"),
    ),
    _row(
        r"(returned error:|HTTP) 413|exceeds maximum allowed size",
        Failure(
            kind="human",
            reason="TooLarge",
            what="the server refuses a push of this size",
            remedy="Raise the limit of the server (`receive.maxInputSize`, `client_max_body_size`…).",
        ),
    ),
    _row(
        r"couldn't find remote ref refs/heads/main",
        Failure(
            kind="human",
            reason="NoMain",
            what="the repository has no branch main",
            remedy="`peermesh init` writes a mesh repository; push it there.",
        ),
    ),
    _row(
        r"(returned error:|HTTP) 404|repository '.*' not found|does not appear to be a git repository"
        r"|no such repository|repository not found|could not be found",
        Failure(
            kind="human",
            reason="NoRepository",
            what="there is no repository, or the credentials may not see it",
            remedy="Look at the address, and at the rights of the credentials.",
        ),
    ),
    _row(
        r"dubious ownership",
        Failure(
            kind="human",
            reason="DubiousOwnership",
            what="the folder of the repository belongs to another user",
            remedy="`git config --global --add safe.directory FOLDER` trusts it.",
        ),
    ),
    _row(
        r"does not allow request for unadvertised object|not our ref",
        Failure(
            kind="human",
            reason="NoPartialClone",
            what="the server hands out no single files",
            remedy="Set `uploadpack.allowFilter` and `uploadpack.allowAnySHA1InWant` of the repository.",
        ),
    ),
    _row(
        r"does not support --atomic",
        Failure(kind="human", reason="NoAtomicPush", what="the server can't update two branches in one step"),
    ),
    _row(
        r"(returned error:|HTTP) 5\d\d",
        Failure(kind="transient", reason="ServerError", what="the server failed"),
    ),
    _row(r"Could not resolve host|unable to look up|Temporary failure in name resolution", _AWAY),
    _row(r"Connection refused|Failed to connect|Couldn't connect|Connection timed out|No route to host", _AWAY),
    _row(r"Network is unreachable", _AWAY),
    _row(
        r"^(fatal|error): (bad object|object file|loose object|unable to read|missing (blob|tree|commit)|not a git repo"
        r"|Unable to create|cannot lock ref|bad config|packfile|pack has|invalid object|shallow file has changed"
        r"|bad shallow|some local refs could not be updated|.*did not send all necessary objects|.*is corrupt)",
        _DAMAGED,
    ),
    _row(
        r"remote unpack failed",
        Failure(
            kind="human",
            reason="NotStored",
            what="the server can't store what is pushed",
            remedy="Look at its disk, its quotas and its log.",
        ),
    ),
    _row(r"hung up unexpectedly|curl \d+|Connection reset|early EOF|unexpected disconnect|Broken pipe", _LOST),
)
_AFTER_SSH: Final = "fatal: Could not read from remote repository."
"""What git says of whatever ssh said before."""
_TIME_UP: Final = Failure(kind="unknown", reason="TimeUp", what="git took too long and was ended")
_OTHER: Final = Failure(kind="unknown", reason="GitFailed", what="git failed")


def _failure(exit_code: int | None, stderr: str) -> Failure:
    if exit_code is None:
        return _TIME_UP
    if exit_code < 0:
        return replace(_OTHER, what=f"git was ended by signal {-exit_code}")
    found, mention = next(((row.failure, line) for row in _TABLE if (line := _mention(row, stderr))), (_OTHER, ""))
    said = _said(stderr) or one_line(mention)
    return replace(found, what=f"{found.what} ({said})") if said else found


def _mention(row: _Row, stderr: str) -> str:
    """The line that says so; of several the longest, for ssh repeats itself in fewer words.

    Rows about the copy look at what git said itself, not at what it passed on from the server.
    """
    lines = (line for line in stderr.splitlines() if row.failure is not _DAMAGED or "remote: " not in line)
    return max((line for line in lines if row.pattern.search(line)), key=len, default="")


def _said(stderr: str) -> str:
    """What a person should read of it: what the server said, else git's first complaint."""
    lines = [line for line in stderr.splitlines() if line != _AFTER_SSH]
    remote = [line.removeprefix("remote:").strip() for line in lines if line.startswith("remote:")]
    remote = [line for line in remote if line not in {"", "error:"} and not line.startswith("error: hook declined")]
    own = [line for line in lines if line.startswith(("fatal:", "error:"))]
    return one_line("; ".join(remote or own[:1]))
