"""A real `peermesh signer`: its process, a bare repository, and a Redis that lets it do what its user may, and no more.

`python -m tests.signer.running signer` is the command with a fifth of a second between two looks.
The Redis keeps an append-only file, so that what once was in it can be searched.
"""

from __future__ import annotations

import os
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import redis

from syncer.protocol.secret import Secret
from tests.servers.valkey import free_port
from tests.signer.site import Site
from workers import inbox, signing
from workers.acl import SIGNER, acl_file
from workers.cli import main
from workers.documents import paths
from workers.embedded import Server

_TESTS = "user tests on >tests allkeys allchannels +@all\n"
_PASSWORD = "password-of-the-signer"


@dataclass(frozen=True, kw_only=True)
class Broker:
    """A Redis; `url` is that of the signer's user."""

    server: Server

    @property
    def url(self) -> str:
        return self.server.url_for(SIGNER, _PASSWORD)

    def client(self) -> redis.Redis:
        return redis.Redis(unix_socket_path=str(self.server.socket), username="tests", password="tests")

    def certificate(self, cluster: str = "west") -> bytes | None:
        """What was handed in for a cluster."""
        with self.client() as client:
            found: bytes | None = client.hget(inbox.CERTIFICATES, cluster)
            return found


@contextmanager
def broker(folder: Path) -> Iterator[Broker]:
    """A Redis with the signer's user, durable; its files stay in `folder`, whose path must be short."""
    users = acl_file({SIGNER: Secret(_PASSWORD)}) + _TESTS
    server = Server(folder, acl=users, durable=True)
    server.start()
    try:
        yield Broker(server=server)
    finally:
        server.stop()


class Bare:
    """A bare repository with a checkout of people's beside it."""

    def __init__(self, site: Site, folder: Path) -> None:
        self.site = site
        self.path = folder / "mesh.git"
        self._checkout = folder / "checkout"
        _git(folder, "init", "--quiet", "--bare", "--initial-branch=main", str(self.path))
        _git(folder, "init", "--quiet", "--initial-branch=main", str(self._checkout))
        _git(self._checkout, "remote", "add", "origin", str(self.path))
        self.push()

    def push(self) -> None:
        """Bring main there as the site has it."""
        files = self.site.repository().files(self.site.remote.refs[paths.MAIN])
        for path, _ in files.under(""):
            target = self._checkout / path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(files.read(path))
        _git(self._checkout, "add", "--all")
        _git(self._checkout, "commit", "--quiet", "--message=A change")
        _git(self._checkout, "push", "--quiet", "origin", "main")

    def refs(self) -> str:
        return _git(self.path, "show-ref")


def _git(folder: Path, *arguments: str) -> str:
    person = {"GIT_AUTHOR_NAME": "Ada", "GIT_AUTHOR_EMAIL": "ada@acme.example"}
    person |= {name.replace("AUTHOR", "COMMITTER"): value for name, value in person.items()}
    environment = {**os.environ, **person, "GIT_CONFIG_GLOBAL": os.devnull}
    done = subprocess.run(["git", *arguments], cwd=folder, env=environment, check=True, capture_output=True, text=True)
    return done.stdout


class Running:
    """A signer that runs."""

    def __init__(self, process: subprocess.Popen[bytes], log: Path, port: int) -> None:
        self._process = process
        self.log = log
        self._port = port

    @property
    def pid(self) -> int:
        return self._process.pid

    def says(self, text: str) -> bool:
        return text in self.log.read_text()

    def page(self, path: str) -> str:
        """What is served: metrics, or the answer to a probe; empty: nothing yet."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self._port}{path}") as page:
                return str(page.read().decode())
        except urllib.error.HTTPError as error:
            with error:
                return f"{error.code} {error.read().decode()}"
        except urllib.error.URLError:
            return ""

    def end(self) -> int:
        """SIGTERM; the exit code."""
        self._process.terminate()
        return self._process.wait(60)

    def wait(self) -> int:
        """Wait for it to end by itself; the exit code."""
        return self._process.wait(60)


@contextmanager
def signer(folder: Path, environment: Mapping[str, str]) -> Iterator[Running]:
    """`peermesh signer` with exactly these settings; killed at the end if it still runs."""
    port = free_port()
    log = folder / "signer.log"
    clean = {name: value for name, value in os.environ.items() if not name.startswith("PEERMESH_")}
    with log.open("ab") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.signer.running", "signer"],
            env={**clean, **environment, "PEERMESH_METRICS": f"127.0.0.1:{port}"},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            cwd=Path(__file__).parents[2],
            start_new_session=True,
        )
    try:
        yield Running(process, log, port)
    except BaseException:
        sys.stderr.write(log.read_text())
        raise
    finally:
        process.kill()
        process.wait()


if __name__ == "__main__":
    signing.LOOK_SECONDS = 0.2  # type: ignore[misc]
    sys.exit(main())
