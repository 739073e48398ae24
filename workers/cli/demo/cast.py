"""Who takes part in the demo: a Redis, three syncers, the border and a worker, told what they are told anywhere.

Knows their environments. Knows no story.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from celery import Celery

from syncer import settings as syncer_settings
from syncer.protocol.secret import Secret
from workers import settings
from workers.acl import BORDER, SIGNER, WORKER, acl_file, syncer_user
from workers.broker import SWEEP, WORK, celery_app
from workers.cli.demo.site import CLUSTERS, MESH, Site
from workers.cli.processes import Processes, peermesh
from workers.embedded import embedded
from workers.inbox import RedisInbox


@dataclass(frozen=True, kw_only=True)
class Brokers:
    """Where each process finds Redis: the same server, a user for each."""

    worker: Secret
    border: Secret
    signer: Secret
    syncers: dict[str, Secret]


@contextmanager
def brokers(redis_url: str | None) -> Iterator[Brokers]:
    """A Redis of the caller's with its one user, or an embedded one in which each process may do what it must.

    Raises:
        HumanNeeded, Transient: the caller's doesn't answer.
    """
    if redis_url is not None:
        url = Secret(redis_url)
        _ask(url)
        yield Brokers(worker=url, border=url, signer=url, syncers=dict.fromkeys(CLUSTERS, url))
        return
    users = (*map(syncer_user, CLUSTERS), BORDER, WORKER, SIGNER)
    passwords = {user: Secret(secrets.token_urlsafe()) for user in users}
    with embedded(acl=acl_file(passwords)) as server:

        def url_of(user: str) -> Secret:
            return Secret(server.url_for(user, passwords[user].reveal()))

        yield Brokers(
            worker=url_of(WORKER),
            border=url_of(BORDER),
            signer=url_of(SIGNER),
            syncers={name: url_of(syncer_user(name)) for name in CLUSTERS},
        )


def _ask(url: Secret) -> None:
    inbox = RedisInbox(url)
    try:
        inbox.check()
    finally:
        inbox.close()


def enter(site: Site, told: Brokers, running: Processes) -> None:
    """Start all of them."""

    def start(name: str, command: str, environment: dict[str, str]) -> None:
        running.start(name, peermesh(command), {**os.environ, **environment})

    start(
        "worker",
        "worker",
        {
            settings.BROKER.name: told.worker.reveal(),
            settings.REPO.name: str(site.remote),
            settings.COPY.name: str(site.folder / "copy"),
            settings.PUSHES.name: "600",  # nobody else's server is pushed to
        },
    )
    start("receive", "receive", {settings.BORDER_BROKER.name: told.border.reveal()})
    for cluster in CLUSTERS:
        start(
            f"syncer {cluster}",
            "syncer",
            {
                syncer_settings.MESH.name: MESH,
                syncer_settings.CLUSTER.name: cluster,
                syncer_settings.DIRECTORY.name: str(site.manifests(cluster)),
                syncer_settings.KEY_FILE.name: str(site.key_file(cluster)),
                syncer_settings.BROKER.name: told.syncers[cluster].reveal(),
            },
        )


def enter_signer(site: Site, told: Brokers, running: Processes, key: dict[str, str]) -> None:
    """Start what signs; `key`: what it is told of its key."""
    environment = {
        **os.environ,
        **key,
        settings.BROKER.name: told.signer.reveal(),
        settings.REPO.name: str(site.remote),
        settings.COPY.name: str(site.folder / "signer-copy"),
    }
    running.start("signer", peermesh("signer"), environment)


class Bell:
    """Rings for the worker to look at the repository now: what a forge's webhook would do."""

    def __init__(self, broker: Secret) -> None:
        self._app: Celery = celery_app("bell", broker)

    def ring(self) -> None:
        self._app.send_task(SWEEP, queue=WORK, declare=[])
