"""The git command: how it is called, bounded and ended.

Knows processes and the environment that git reads. Knows no repository and doesn't judge what git says (`outcomes`).
"""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

from syncer.protocol.errors import HumanNeeded
from workers.git.address import Address

# Variables of git that choose programs, certificates and credentials are the site's; all others (GIT_DIR,
# GIT_INDEX_FILE, GIT_TRACE…) would lead git elsewhere or print secrets. The list is that of pre-commit
# (`pre_commit/git.py: no_git_env`), which is called from hooks as our command line may be.
_KEPT: Final = frozenset(
    {
        "GIT_EXEC_PATH",
        "GIT_SSH",
        "GIT_SSH_COMMAND",
        "GIT_SSL_CAINFO",
        "GIT_SSL_NO_VERIFY",
        "GIT_HTTP_PROXY_AUTHMETHOD",
        "GIT_ALLOW_PROTOCOL",
        "GIT_ASKPASS",
    }
)
_KEPT_PREFIX: Final = "GIT_CONFIG_"
_SETTINGS: Final = (
    ("core.hooksPath", os.devnull),  # a person's global pre-push hook isn't for the copy
    ("http.lowSpeedLimit", "1"),  # bytes a second, for as long as …
    ("http.lowSpeedTime", "20"),
    ("advice.pushUpdateRejected", "false"),
    ("gc.autoDetach", "false"),  # nothing may work on the copy behind our back
    ("gc.pruneExpire", "1.hour.ago"),
    ("repack.writeBitmaps", "false"),  # a bare repository wants them, and they want every file
    ("push.followTags", "false"),
)
_END_SECONDS: Final = 5.0
"""How long git has to remove its lock files before it is killed."""


@dataclass(frozen=True, kw_only=True)
class Ran:
    """What a command left. `exit_code` None: it was ended because its time was up."""

    exit_code: int | None
    stdout: str
    stderr: str


def git(*args: str, address: Address, seconds: float, stdin: bytes = b"") -> Ran:
    """Run git, at most for `seconds`; the whole process group is ended with it (git forks `git-remote-https`, `ssh`).

    Raises:
        HumanNeeded: there is no git, or a file that it needs for the address can't be read.
    """
    address = address.opened()
    try:
        process = subprocess.Popen(
            ["git", *args],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=_environment(os.environ, address),
            start_new_session=True,
        )
    except FileNotFoundError as error:
        raise HumanNeeded("NoGit", "the command `git` isn't on PATH", remedy="Install git 2.34 or newer.") from error
    with process:
        exit_code: int | None
        try:
            stdout, stderr = process.communicate(stdin, timeout=seconds)
            exit_code = process.returncode
        except subprocess.TimeoutExpired:
            stdout, stderr = _ended(process)
            exit_code = None
        except BaseException:
            _ended(process)
            raise
    said = [address.scrubbed(output.decode(errors="replace")) for output in (stdout, stderr)]
    return Ran(exit_code=exit_code, stdout=said[0], stderr=said[1])


def _ended(process: subprocess.Popen[bytes]) -> tuple[bytes, bytes]:
    """End the group, at first in a way that lets git clean up; what it had printed."""
    for kind in (signal.SIGTERM, signal.SIGKILL):
        with suppress(ProcessLookupError):
            os.killpg(process.pid, kind)
        with suppress(subprocess.TimeoutExpired):
            return process.communicate(timeout=_END_SECONDS)
    return b"", b""


def _environment(inherited: Mapping[str, str], address: Address) -> dict[str, str]:
    """System and personal configuration stay in force: credential helpers, proxies and certificates are set there."""
    kept = {
        name: value
        for name, value in inherited.items()
        if not name.startswith("GIT_") or name in _KEPT or name.startswith(_KEPT_PREFIX)
    }
    count = int(kept.get("GIT_CONFIG_COUNT", "0"))
    settings = (*_SETTINGS, *address.settings())
    for number, (key, value) in enumerate(settings, start=count):
        kept[f"GIT_CONFIG_KEY_{number}"] = key
        kept[f"GIT_CONFIG_VALUE_{number}"] = value
    return {
        **kept,
        **address.environment(),
        "GIT_CONFIG_COUNT": str(count + len(settings)),
        "GIT_TERMINAL_PROMPT": "0",
        "LC_ALL": "C.UTF-8",
        "LANGUAGE": "",
    }
