"""Where reconcilers fetch the mesh repository from, as far as the checkout knows it.

Knows the forms of URL that git takes and those that Flux and Argo CD take. Credentials in a URL are left out: they
belong into a Secret.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from syncer.protocol.errors import Rejected
from workers.cli.checkout import run_git

PLACEHOLDER: Final = "https://git.example.invalid/mesh.git"
"""Stands where nobody said it; `.invalid` never resolves (RFC 2606)."""
_SCP_LIKE: Final = re.compile(r"(?P<host>[^/:\s]+):(?P<path>[^\s]+)")
_FORMS: Final = ("http", "https", "ssh")


def origin_of(checkout: Path) -> str | None:
    """The URL of `origin`, as reconcilers take it; None: there is no such remote, or it is a folder."""
    try:
        return reconcilers_url(run_git(checkout, "config", "--get", "remote.origin.url"))
    except Rejected:
        return None


def reconcilers_url(url: str) -> str:
    """A URL of git as Flux and Argo CD take it: with a scheme, and without a password.

    Raises:
        Rejected: no URL that a server elsewhere could be reached by.
    """
    parts = urlsplit(url)
    if parts.scheme in _FORMS and parts.hostname:
        _, _, host = parts.netloc.rpartition("@")
        user = f"{parts.username}@" if parts.scheme == "ssh" and parts.username else ""
        return parts._replace(netloc=f"{user}{host}").geturl()
    scp = _SCP_LIKE.fullmatch(url) if "://" not in url else None
    if scp:
        return f"ssh://{scp['host']}/{scp['path'].removeprefix('/')}"
    raise Rejected(
        "BadRemote",
        "not a URL that a reconciler in a cluster can fetch from",
        subject=url,
        remedy=f"Name one that begins with {', '.join(f'{form}://' for form in _FORMS)}.",
    )
