"""`peermesh up`: all of it on one machine, as a small site runs it for good.

Prepares the folder with the state, starts, listens, starts again what died, and ends all of it. What each process is
told stands in `up_roles`.
"""

from __future__ import annotations

import os
import secrets
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from rich.text import Text

from syncer.keys import signing_key
from syncer.protocol.errors import HumanNeeded, Transient
from syncer.protocol.secret import Secret
from workers.acl import acl_file
from workers.cli.alone import alone
from workers.cli.exits import Exit
from workers.cli.opening import readable_tree
from workers.cli.processes import Ended, Processes, interruptible, peermesh, processes
from workers.cli.screen import console
from workers.cli.up_roles import Brokers, Site, address, brokers_of, metrics_of, names_of, roles, users_of
from workers.cli.wiring import access
from workers.embedded import Server
from workers.git import GitRepository
from workers.settings import REPO, read_settings
from workers.tree import Tree

REDIS: Final = "redis"
_LONGEST_PAUSE: Final = 60.0
"""Seconds before a process that keeps ending is started again; one that ran so long begins anew."""
_READY_SECONDS: Final = 20.0
_LOCK_SECONDS: Final = 20.0
"""How long the processes of an `up` that was killed may take to end."""


@dataclass(frozen=True, kw_only=True)
class Start:
    """A process to be run: its command line and its whole environment."""

    command: Sequence[str]
    environment: Mapping[str, str]


def run(site: Site, redis_url: Secret | None) -> int:
    """Run until SIGTERM, SIGINT or SIGHUP; returns the exit code. No `redis_url`: with a Redis of its own.

    Raises:
        HumanNeeded: something must be mended before it can start.
    """
    screen = _Screen(max(map(len, names_of(site))))
    with suppress(KeyboardInterrupt), interruptible(), _alone(site.state, screen) as lock:
        main = _main(site, screen)
        screen.say(f"mesh {main.mesh.metadata.name} of {site.repo}, state in {site.state}")
        server, brokers = _embedded(site) if redis_url is None else (None, _given(site, redis_url))
        if server is not None:
            screen.say(f"for `peermesh status`: export PEERMESH_BROKER_URL=$(cat {_worker_url(site.state)})")
        _tell_clusters(site, main, screen)
        starts = {
            role.name: Start(command=peermesh(role.command), environment=role.environment)
            for role in roles(site, main, brokers)
        }
        with processes(screen.hear, last=REDIS) as running:
            keeper = Keeper(running, lock, screen)
            if server is not None:
                keeper.start(REDIS, Start(command=server.command(), environment=_nothing()))
                running.wait("Redis", server.answers, _READY_SECONDS)
            for name, start in starts.items():
                keeper.start(name, start)
            keeper.forever()
    screen.say("ended, with all that it started")
    return Exit.DONE


class Keeper:
    """Starts processes, and starts again what ended, after a pause that grows as long as it goes on ending.

    `lock` is a file descriptor that all of them hold, so that the next `up` waits for whoever is left of this one.
    """

    def __init__(self, running: Processes, lock: int, screen: _Screen) -> None:
        self._running = running
        self._lock = lock
        self._screen = screen
        self._starts: dict[str, Start] = {}
        self._since: dict[str, float] = {}
        self._pauses: dict[str, float] = {}
        self._due: dict[str, float] = {}

    def start(self, name: str, start: Start) -> None:
        """Start it, now and whenever it ends."""
        self._starts[name] = start
        self._since[name] = time.monotonic()
        self._running.start(name, start.command, start.environment, keeps=(self._lock,))

    def forever(self) -> None:
        """Listen until somebody interrupts."""
        while True:
            self._running.listen(0.2)
            now = time.monotonic()
            for ended in self._running.ended():
                self._plan(ended, now)
            for name in [name for name, due in self._due.items() if due <= now]:
                del self._due[name]
                self.start(name, self._starts[name])

    def _plan(self, ended: Ended, now: float) -> None:
        pause = next_pause(self._pauses.get(ended.name), lived=now - self._since[ended.name])
        self._pauses[ended.name] = pause
        self._due[ended.name] = now + pause
        self._screen.say(f"{ended.name} ended, {ended.how}; it is started again in {pause:.0f} s")


def next_pause(last: float | None, *, lived: float) -> float:
    """Seconds before a process that lived so long is started again; `last`: the pause before."""
    if last is None or lived >= _LONGEST_PAUSE:
        return 1.0
    return min(2 * last, _LONGEST_PAUSE)


class _Screen:
    """Lines of the processes, each after the name of who wrote it. Nobody listening any more stops nothing."""

    def __init__(self, width: int) -> None:
        self._width = width

    def hear(self, name: str, line: str) -> None:
        if not line.strip():
            return
        with suppress(BrokenPipeError):
            # Not wrapped: a line is a line, for whoever collects them.
            console().print(Text.assemble((f"{name:<{self._width}}  ", "magenta"), line), soft_wrap=True)

    def say(self, line: str) -> None:
        """A line of our own."""
        self.hear("up", line)


# --- the folder with the state


@contextmanager
def _alone(state: Path, screen: _Screen) -> Iterator[int]:
    """The folder, made and locked; what holds the lock.

    Raises:
        HumanNeeded: it can't be made, or somebody else works in it.
    """
    remedy = "Or name another folder with --state."
    with alone(state / "lock", seconds=_LOCK_SECONDS, tell=screen.say, remedy=remedy) as lock:
        for folder in (state / "keys", state / "passwords", state / REDIS):
            folder.mkdir(mode=0o700, exist_ok=True)
        yield lock


def _tell_clusters(site: Site, main: Tree, screen: _Screen) -> None:
    for name, served in metrics_of(site).items():
        screen.say(f"metrics of {name}: http://{served}/metrics")
    for name, place in site.clusters.items():
        key = signing_key(site.key_file(name)).public
        screen.say(f"{name}: {place}, signs with {key}")
        cluster = main.clusters.get(name)
        if cluster is not None and key not in cluster.spec.syncer.public_keys:
            screen.say(f"{name}: main does not trust this key yet; in a checkout, and then commit and push:")
            screen.say(f"  peermesh cluster trust {name} {key}")


# --- what main says


def _main(site: Site, screen: _Screen) -> Tree:
    """The documents on main; tries again until the repository answers.

    Raises:
        HumanNeeded: the repository refuses.
        Invalid: something in `mesh/` is wrong.
    """
    settings = read_settings({**site.environment, REPO.name: site.repo})
    pause, said = 0.0, ""
    while True:
        try:
            with tempfile.TemporaryDirectory(prefix="peermesh-") as folder:
                author = (settings.author_name, settings.author_email)
                repository = GitRepository(
                    site.repo, copy=Path(folder) / "copy", author=author, access=access(settings)
                )
                return readable_tree(repository.fetch().files)
        except Transient as error:
            pause = min(2 * pause or 1.0, _LONGEST_PAUSE)
            if said != str(error):
                said = str(error)
                screen.say(f"the repository can't be read, tried again until it can: {error}")
            time.sleep(pause)


# --- Redis


def _embedded(site: Site) -> tuple[Server, Brokers]:
    """A Redis of its own, whose users have new passwords at each start."""
    passwords = {user: Secret(secrets.token_urlsafe()) for user in users_of(site)}
    server = Server(site.state / REDIS, acl=acl_file(passwords), durable=True)
    brokers = brokers_of(site, {user: Secret(server.url_for(user, passwords[user].reveal())) for user in passwords})
    path = _worker_url(site.state)
    path.touch(mode=0o600)
    path.write_text(f"{brokers.worker.reveal()}\n")
    return server, brokers


def _given(site: Site, url: Secret) -> Brokers:
    """A Redis of the site.

    Raises:
        HumanNeeded: the password of a user is missing.
    """
    return brokers_of(site, {user: address(url, user, lambda user: _password(site, user)) for user in users_of(site)})


def _password(site: Site, user: str) -> Secret:
    path = site.state / "passwords" / user
    try:
        return Secret(path.read_text().strip())
    except OSError as error:
        remedy = f"Put the password of Redis user {user} there; or name one user for all processes in the URL."
        raise HumanNeeded("NoPassword", f"{error.strerror}", subject=str(path), remedy=remedy) from error


def _worker_url(state: Path) -> Path:
    return state / REDIS / "worker.url"


def _nothing() -> dict[str, str]:
    return {"PATH": os.defpath}
