"""A Git server over ssh that belongs to one test: OpenSSH's, with keys of its own, behind which is only `git-shell`.

Listens on loopback, on a free port; logs in whoever runs the tests. Where there is no `sshd`, `missing` says so.
"""

from __future__ import annotations

import getpass
import os
import shlex
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.servers.listening import limited, listening
from workers.git import Access

_CONFIG = """\
ListenAddress 127.0.0.1
HostKey {folder}/host
AuthorizedKeysFile {folder}/authorized
PidFile none
StrictModes no
UsePAM no
PasswordAuthentication no
KbdInteractiveAuthentication no
PermitRootLogin prohibit-password
AcceptEnv GIT_PROTOCOL
MaxStartups 100
"""


@dataclass(frozen=True, kw_only=True)
class Keys:
    """Everything that a server and its client know: in `folder`, made once."""

    folder: Path

    @property
    def access(self) -> Access:
        """What a client needs, whatever port of loopback it goes to."""
        return Access(ssh_key=self.folder / "client", known_hosts=self.folder / "known")


def missing() -> str:
    """Why there can't be such a server on this machine; empty if there can."""
    if _sshd() is None:
        return "no sshd: apt-get install openssh-server"
    if shutil.which("ssh-keygen") is None:
        return "no ssh: apt-get install openssh-client"
    return ""


def keys(folder: Path) -> Keys:
    """New keys of a server and a client; each knows the other."""
    folder.mkdir(parents=True)
    for name in ("host", "client"):
        new_key(folder / name)
    host = (folder / "host.pub").read_text()
    (folder / "known").write_text(f"[127.0.0.1]:* {host}")
    return Keys(folder=folder)


def new_key(path: Path, *, passphrase: str = "") -> None:
    """A key pair: `path` and `path.pub`."""
    command = ["ssh-keygen", "-q", "-t", "ed25519", "-N", passphrase, "-C", "test", "-f", str(path)]
    subprocess.run(command, check=True, stdin=subprocess.DEVNULL)


@contextmanager
def ssh_server(known: Keys, *, log: Path, file_kilobytes: int | None = None) -> Iterator[int]:
    """Serves every repository of this machine by its absolute path; the port. `file_kilobytes`: as in `git_daemon`."""
    sshd = _sshd()
    assert sshd is not None, missing()
    if os.geteuid() == 0:
        Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)  # else: "Missing privilege separation directory"
    settings = known.folder / "sshd_config"
    settings.write_text(_CONFIG.format(folder=known.folder))
    shell = shlex.join(limited(file_kilobytes, "env", f"GIT_CONFIG_GLOBAL={os.devnull}", "git-shell", "-c"))
    escaped = f'exec {shell} "$SSH_ORIGINAL_COMMAND"'.replace("\\", "\\\\").replace('"', '\\"')
    client = (known.folder / "client.pub").read_text()
    (known.folder / "authorized").write_text(f'restrict,command="{escaped}" {client}')

    def command(port: int) -> list[str]:
        return [sshd, "-D", "-e", "-f", str(settings), "-o", f"Port={port}"]

    with listening(command, log) as port:
        yield port


def ssh_url(port: int, repository: Path) -> str:
    """The address of a repository behind such a server."""
    return f"ssh://{getpass.getuser()}@127.0.0.1:{port}{repository}"


def _sshd() -> str | None:
    """By its absolute path, or it refuses to start."""
    return shutil.which("sshd", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")
