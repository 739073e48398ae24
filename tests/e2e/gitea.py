"""A real Gitea: an instance of its own for each run, with users, tokens and protected repositories.

Knows how it is configured, started, stopped and asked, and the few acts of people that need its REST API. Tests of the
adapter never ask through this module what the adapter should have found out itself.
"""

from __future__ import annotations

import base64
import json
import os
import secrets
import signal
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

import urllib3

from syncer.protocol.secret import Secret
from tests.border.processes import wait_until
from tests.e2e import build
from tests.e2e.kubernetes import Process, free_port
from tests.servers.git_http import bare_repository

_SCOPES: Mapping[str, str] = {
    "robot": "write:repository,write:issue,read:user",
    "alice": "all",
    "bob": "all",
    "admin": "all",
}
"""Users and what their tokens may. `robot` has no more than docs/operations.md tells people to give it."""

_CONFIGURATION = """\
I_AM_BEING_UNSAFE_RUNNING_AS_ROOT = true
APP_NAME = forge of the tests
RUN_MODE = prod
WORK_PATH = {folder}
[server]
HTTP_ADDR = 127.0.0.1
HTTP_PORT = {port}
ROOT_URL = {url}/
DISABLE_SSH = true
OFFLINE_MODE = true
STATIC_ROOT_PATH = {static}
APP_DATA_PATH = {folder}/data
[database]
DB_TYPE = sqlite3
PATH = {folder}/gitea.db
SQLITE_JOURNAL_MODE = WAL
[repository]
ROOT = {folder}/repositories
DEFAULT_BRANCH = main
[security]
INSTALL_LOCK = true
SECRET_KEY = {secret}
INTERNAL_TOKEN = {secret}
PASSWORD_HASH_ALGO = pbkdf2$1$50
[oauth2]
ENABLED = false
JWT_SECRET = {jwt}
[service]
DISABLE_REGISTRATION = true
[webhook]
ALLOWED_HOST_LIST = loopback
[cron]
ENABLED = false
[mailer]
ENABLED = false
[actions]
ENABLED = false
[packages]
ENABLED = false
[indexer]
ISSUE_INDEXER_TYPE = db
[session]
PROVIDER = memory
[log]
MODE = console
LEVEL = warn
"""


class Gitea:
    """A running instance. `tokens` by user."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.tokens: dict[str, Secret] = {}
        self._http = urllib3.PoolManager(retries=False)
        self._process: Process | None = None
        self._configuration = folder / "app.ini"
        self._configuration.write_text(
            _CONFIGURATION.format(
                folder=folder,
                port=self.port,
                url=self.url,
                static=build.module_folder("gitea", "code.gitea.io/gitea"),
                secret=secrets.token_hex(32),
                jwt=base64.urlsafe_b64encode(secrets.token_bytes(32)).rstrip(b"=").decode(),
            )
        )

    def start(self) -> None:
        """Start it, or start it again."""
        command: tuple[str | Path, ...] = (build.build("gitea"), "--config", self._configuration, "web")
        self._process = Process("gitea", command, self.folder, **self._environment())
        self._process.wait_ready(self._healthy)

    def stop(self) -> None:
        if self._process is not None:
            self._process.end(signal.SIGTERM)
            self._process = None

    def prepare(self) -> None:
        """Database, users and tokens."""
        self._command("migrate")
        for user, scopes in _SCOPES.items():
            names = ("--username", user, "--email", f"{user}@example.org", "--password", secrets.token_hex(8))
            admin = ["--admin"] if user == "admin" else []
            self._command("admin", "user", "create", *names, "--must-change-password=false", *admin)
            self.tokens[user] = self.token(user, scopes)

    def token(self, user: str, scopes: str) -> Secret:
        """A further token of a user, with other rights."""
        made = ("--username", user, "--token-name", secrets.token_hex(8), "--scopes", scopes, "--raw")
        return Secret(self._command("admin", "user", "generate-access-token", *made).strip().splitlines()[-1])

    def ask(self, user: str, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        """One call of the REST API: status, and the decoded answer."""
        headers = {"Authorization": f"token {self.tokens[user].reveal()}", "Content-Type": "application/json"}
        data = None if body is None else json.dumps(body)
        answer = self._http.request(method, f"{self.url}/api/v1{path}", body=data, headers=headers, timeout=60)
        try:
            return answer.status, json.loads(answer.data)
        except ValueError:
            return answer.status, answer.data.decode(errors="replace")

    def done(self, user: str, method: str, path: str, body: Any = None) -> Any:
        """The answer to a call that must succeed."""
        status, answer = self.ask(user, method, path, body)
        assert status < 300, f"{method} {path}: {status} {answer}"
        return answer

    def repository(self, name: str, content: Mapping[str, bytes]) -> str:
        """A new repository `acme/NAME` with `content` on main, where robot, alice and bob may write; its full name."""
        if self.ask("admin", "GET", "/orgs/acme")[0] == 404:
            self.done("admin", "POST", "/orgs", {"username": "acme"})
        full = f"acme/{name}"
        self.done("admin", "POST", "/orgs/acme/repos", {"name": name, "default_branch": "main"})
        for user in ("robot", "alice", "bob"):
            self.done("admin", "PUT", f"/repos/{full}/collaborators/{user}", {"permission": "write"})
        bare = bare_repository(self.folder / f"{name}.git", content)
        basic = base64.b64encode(f"admin:{self.tokens['admin'].reveal()}".encode()).decode()
        environment = {
            "GIT_CONFIG_COUNT": "1",
            "GIT_CONFIG_KEY_0": "http.extraHeader",
            "GIT_CONFIG_VALUE_0": f"Authorization: Basic {basic}",
        }
        command = ["git", "-C", str(bare), "push", "--quiet", self.git_url(full), "main"]
        subprocess.run(command, env={**os.environ, **environment}, check=True, timeout=60)
        # Until it has noticed the push it answers as if there were nothing.
        wait_until(lambda: not self.done("robot", "GET", f"/repos/{full}")["empty"], what="Gitea to notice main")
        return full

    def protect(self, repository: str, **rules: Any) -> None:
        """Let nobody but admin push to main, with further rules."""
        protection = {
            "rule_name": "main",
            "enable_push": True,
            "enable_push_whitelist": True,
            "push_whitelist_usernames": ["admin"],
            **rules,
        }
        self.done("admin", "POST", f"/repos/{repository}/branch_protections", protection)

    def git_url(self, repository: str) -> str:
        return f"{self.url}/{quote(repository)}.git"

    def _healthy(self) -> bool:
        try:
            return self._http.request("GET", f"{self.url}/api/healthz", timeout=5).status == 200
        except urllib3.exceptions.HTTPError:
            return False

    def _environment(self) -> dict[str, str]:
        # Hooks call the binary back.
        return {"HOME": str(self.folder), "GITEA_WORK_DIR": str(self.folder), "GIT_CONFIG_NOSYSTEM": "1"}

    def _command(self, *arguments: str) -> str:
        done = subprocess.run(
            [build.build("gitea"), "--config", self._configuration, *arguments],
            cwd=self.folder,
            env={**os.environ, **self._environment()},
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )
        assert done.returncode == 0, f"gitea {arguments[0]}: {done.stdout}{done.stderr}"
        return done.stdout


@contextmanager
def gitea(folder: Path) -> Iterator[Gitea]:
    """An instance with its users, ready; gone at the end of the block."""
    running = Gitea(folder)
    running.prepare()
    try:
        running.start()
        yield running
    finally:
        running.stop()
