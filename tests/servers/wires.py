"""The ways to a Git server that differ: http with basic authentication, ssh, git://; each behind a cable that breaks.

Knows how each is started and what its client must know.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Literal

import pytest

from syncer.protocol.secret import Secret
from tests.servers import sshd
from tests.servers.cable import Cable, cable
from tests.servers.git_daemon import git_daemon
from tests.servers.git_http import PASSWORD, USER, GitServer, git_server
from workers.git import Access

Transport = Literal["http", "ssh", "git"]
TRANSPORTS: Final[tuple[Transport, ...]] = ("http", "ssh", "git")


@dataclass(frozen=True, kw_only=True)
class Wire:
    """How a client reaches the repositories below `root`, and what may break on the way."""

    transport: Transport
    root: Path
    cable: Cable
    access: Access = field(default_factory=Access)

    def url(self, name: str) -> str:
        """The address of a repository."""
        match self.transport:
            case "ssh":
                return sshd.ssh_url(self.cable.port, self.root / name)
            case scheme:
                return f"{scheme}://127.0.0.1:{self.cable.port}/{name}"


@contextmanager
def wire(
    transport: Transport,
    root: Path,
    folder: Path,
    *,
    file_kilobytes: int | None = None,
    http: GitServer | None = None,
) -> Iterator[Wire]:
    """A running server for the repositories below `root`; what it needs lies in `folder`. Skips where it can't be.

    `http`: a server over http that runs already. `file_kilobytes`: as in `git_daemon`.
    """
    for needed in (folder, root):
        needed.mkdir(parents=True, exist_ok=True)
    with ExitStack() as running:
        access = Access()
        match transport:
            case "http":
                server = http or running.enter_context(git_server(root, file_kilobytes=file_kilobytes))
                port, access = server.port, Access(user=USER, password=Secret(PASSWORD))
            case "git":
                port = running.enter_context(git_daemon(root, log=folder / "log", file_kilobytes=file_kilobytes))
            case "ssh":
                if reason := sshd.missing():
                    pytest.skip(reason)
                known = sshd.keys(folder / "keys")
                served = sshd.ssh_server(known, log=folder / "log", file_kilobytes=file_kilobytes)
                port, access = running.enter_context(served), known.access
        between = running.enter_context(cable(port))
        yield Wire(transport=transport, root=root, cable=between, access=access)
