"""A Git server over http that belongs to one test: `git http-backend` behind `http.server`, with faults on demand.

Knows the protocol only as far as the CGI needs it (gitprotocol-http(5), git-http-backend(1)). Listens on loopback, on a
free port; passwords are those of a throw-away server.
"""

from __future__ import annotations

import base64
import os
import socket
import ssl
import subprocess
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

import pygit2

from tests.servers.listening import limited

Service = Literal["", "git-upload-pack", "git-receive-pack"]
USER, PASSWORD = "robot", "correct horse/battery"
PERSON = pygit2.Signature("A person", "person@example.org", 1_767_225_600, 0)


@dataclass(frozen=True, kw_only=True)
class Fault:
    """What the server does to a request in place of answering it.

    `status`: answers so and does nothing; `reset`: hangs up before the work; `lost`: hangs up after it; `stall`: does
    the work only when the server is closed or `release` is called. `service`: only requests for it, if given.
    """

    kind: Literal["status", "reset", "lost", "stall"]
    status: int = 500
    service: Service = ""
    method: Literal["", "GET", "POST"] = ""


class GitServer:
    """Serves the bare repositories below `root`; `fail` takes faults, each for one request, in order.

    `certificate`: then it speaks https, with the key beside it (`.key`). `file_kilobytes`: as in `git_daemon`.
    """

    def __init__(self, root: Path, *, certificate: Path | None = None, file_kilobytes: int | None = None) -> None:
        self.root = root
        self.backend = limited(file_kilobytes, "git", "http-backend")
        self.requests: list[str] = []
        self._scheme = "http" if certificate is None else "https"
        self._faults: list[Fault] = []
        self._released = threading.Event()
        self._server = _Server(("127.0.0.1", 0), _Handler)
        self._server.git = self
        if certificate is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificate, certificate.with_suffix(".key"))
            # The handshake is made by the thread of the connection: one that refuses us mustn't stop the others.
            self._server.socket = context.wrap_socket(
                self._server.socket, server_side=True, do_handshake_on_connect=False
            )
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)

    def start(self) -> None:
        self._thread.start()

    def close(self) -> None:
        self.release()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def url(self, name: str, userinfo: str = "") -> str:
        """The address of a repository; `userinfo` is `user:password`, encoded as in URLs."""
        return f"{self._scheme}://{userinfo}{'@' if userinfo else ''}127.0.0.1:{self.port}/{name}"

    @property
    def port(self) -> int:
        return self._server.server_port

    def fail(self, *faults: Fault) -> None:
        self._faults += faults

    def pass_on(self) -> None:
        """Forget the faults that no request met."""
        self._faults.clear()

    def release(self) -> None:
        """Let what stalls go on."""
        self._released.set()

    def fault(self, method: str, path: str) -> Fault | None:
        """The next fault, if it is for this request."""
        if not self._faults:
            return None
        fault = self._faults[0]
        if fault.service not in path or fault.method not in method:
            return None
        return self._faults.pop(0)

    def stall(self) -> None:
        self._released.wait(30)


@contextmanager
def git_server(
    root: Path, *, certificate: Path | None = None, file_kilobytes: int | None = None
) -> Iterator[GitServer]:
    """A server for the repositories below `root`, running."""
    server = GitServer(root, certificate=certificate, file_kilobytes=file_kilobytes)
    server.start()
    try:
        yield server
    finally:
        server.close()


def bare_repository(path: Path, content: Mapping[str, bytes] | None = None) -> Path:
    """A bare repository that allows what forges allow; with `content` as the first commit on main, if there is any."""
    repo = pygit2.init_repository(str(path), bare=True, initial_head="main")
    for name in ("uploadpack.allowFilter", "uploadpack.allowAnySHA1InWant", "http.receivepack"):
        repo.config[name] = True
    if content is not None:
        index = pygit2.Index()
        for name, data in content.items():
            index.add(pygit2.IndexEntry(name, repo.create_blob(data), pygit2.enums.FileMode.BLOB))
        tree = index.write_tree(repo)
        repo.create_commit("refs/heads/main", PERSON, PERSON, "Begin\n", tree, [])
    return path


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    git: GitServer

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that was killed, or hung up on, is what these tests are about."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def do_GET(self) -> None:
        self._serve(b"")

    def do_POST(self) -> None:
        self._serve(self._body())

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name that http.server gives it
        """Nothing: a test that fails shows what the client said."""

    def _serve(self, body: bytes) -> None:
        git = self.server.git
        git.requests.append(f"{self.command} {self.path}")
        fault = git.fault(self.command, self.path)
        if fault is None and not self._is_known():
            self._answer(401, {"WWW-Authenticate": 'Basic realm="mesh"'}, b"who are you?\n")
            return
        match fault:
            case Fault(kind="status", status=status):
                self._answer(status, {}, b"not now\n")
                return
            case Fault(kind="reset"):
                self._hang_up()
                return
            case Fault(kind="stall"):
                git.stall()
        status, headers, answer = self._backend(body)
        if fault is not None and fault.kind == "lost":
            self._hang_up()
        else:
            self._answer(status, headers, answer)

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding", "").lower() != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length", "0")))
        chunks = []
        while size := int(self.rfile.readline().split(b";")[0], 16):
            chunks.append(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(chunks)

    def _is_known(self) -> bool:
        wanted = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
        return self.headers.get("Authorization") == f"Basic {wanted}"

    def _backend(self, body: bytes) -> tuple[int, dict[str, str], bytes]:
        parts = urlsplit(self.path)
        environment = {
            "PATH": os.environ["PATH"],
            "HOME": os.devnull,
            "GIT_CONFIG_NOSYSTEM": "1",
            "GIT_PROJECT_ROOT": str(self.server.git.root),
            "GIT_HTTP_EXPORT_ALL": "1",
            "GIT_PROTOCOL": self.headers.get("Git-Protocol", ""),
            "PATH_INFO": parts.path,
            "QUERY_STRING": parts.query,
            "REQUEST_METHOD": self.command,
            "CONTENT_TYPE": self.headers.get("Content-Type", ""),
            "CONTENT_LENGTH": str(len(body)),
            "HTTP_CONTENT_ENCODING": self.headers.get("Content-Encoding", ""),
            "REMOTE_ADDR": "127.0.0.1",
            "REMOTE_USER": USER,
        }
        done = subprocess.run(self.server.git.backend, input=body, env=environment, capture_output=True, check=False)
        head, _, answer = done.stdout.partition(b"\r\n\r\n")
        headers = dict(line.split(": ", 1) for line in head.decode().split("\r\n") if ": " in line)
        return int(headers.pop("Status", "200").split()[0]), headers, answer

    def _answer(self, status: int, headers: Mapping[str, str], body: bytes) -> None:
        with suppress(ConnectionError):
            self.send_response(status)
            # Else libcurl would send a request again whose connection breaks, and no fault would be seen.
            for name, value in (*headers.items(), ("Connection", "close")):
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    def _hang_up(self) -> None:
        self.close_connection = True
        with suppress(OSError):
            self.connection.shutdown(socket.SHUT_RDWR)
