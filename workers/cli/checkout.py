"""The git command in a checkout, as a person would call it: with their configuration, hooks and signature."""

from __future__ import annotations

import subprocess
from pathlib import Path

from syncer.protocol.errors import HumanNeeded, Rejected


def run_git(folder: Path, *arguments: str) -> str:
    """What git printed.

    Raises:
        HumanNeeded: there is no git.
        Rejected: it refused.
    """
    try:
        done = subprocess.run(["git", "-C", str(folder), *arguments], check=False, capture_output=True, text=True)
    except FileNotFoundError as error:
        raise HumanNeeded("NoGit", "the command `git` isn't on PATH", remedy="Install git 2.34 or newer.") from error
    if done.returncode == 0:
        return done.stdout.strip()
    said = (done.stderr.strip() or done.stdout.strip()).splitlines()
    if arguments[0] == "var" or any("Please tell me who you are" in line for line in said):
        remedy = '`git config --global user.name "…"` and `git config --global user.email …` tell it.'
        raise Rejected("NoIdentity", "git doesn't know who commits", remedy=remedy)
    raise Rejected("GitFailed", f"git {arguments[0]}: {said[-1] if said else done.returncode}", subject=str(folder))
