"""Who runs at a small site: a process for each part, told what it needs and nothing of what others need.

Pure: what main says and what people said on the command line in, commands with their environments out.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final
from urllib.parse import quote, urlsplit

import click

from syncer import settings as syncer_settings
from syncer.protocol.environment import Setting
from syncer.protocol.errors import HumanNeeded
from syncer.protocol.names import is_label
from syncer.protocol.secret import Secret
from workers import settings
from workers.acl import BORDER, SIGNER, WEBHOOK, WORKER, syncer_user
from workers.cli.delivery.syncer import syncer_environment
from workers.documents import paths
from workers.tree import Tree

_CONTEXT: Final = "context:"
_OURS: Final = "PEERMESH_"


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where a cluster is: a context of a kubeconfig file, or a directory of manifests."""

    context: str = ""
    directory: Path | None = None

    def __str__(self) -> str:
        return f"context {self.context}" if self.directory is None else f"directory {self.directory}"


@dataclass(frozen=True, kw_only=True)
class Role:
    """A process: `peermesh <command>`, with exactly this environment."""

    name: str
    command: str
    environment: Mapping[str, str] = field(repr=False)  # holds passwords


@dataclass(frozen=True, kw_only=True)
class Site:
    """What is so on this machine.

    `state`: the folder in which all of it is kept; `environment`: that of the command; `kubeconfig`: a file, or several
    with colons between them.
    """

    repo: str
    state: Path
    clusters: Mapping[str, Place]
    kubeconfig: str
    metrics: tuple[str, int] | None
    environment: Mapping[str, str] = field(repr=False)

    @property
    def webhook(self) -> bool:
        """Whether somebody wants to hear from the forge."""
        return bool(self.environment.get(settings.WEBHOOK_LISTEN.name))

    @property
    def signs(self) -> bool:
        """Whether certificates are signed here."""
        return bool(self.environment.get(settings.SIGNER_ISSUERS_FILE.name))

    def key_file(self, cluster: str) -> Path:
        """The key of a cluster's syncer."""
        return self.state / "keys" / cluster


@dataclass(frozen=True, kw_only=True)
class Brokers:
    """Where each process finds Redis: the same server, a user for each."""

    worker: Secret
    border: Secret
    webhook: Secret | None
    signer: Secret | None
    syncers: Mapping[str, Secret]


def places(values: tuple[str, ...]) -> dict[str, Place]:
    """`NAME=context:CTX` and `NAME=DIR`, by name.

    Raises:
        click.BadParameter: another form, no such directory, a name twice.
    """
    found: dict[str, Place] = {}
    for value in values:
        name, equals, where = value.partition("=")
        if not equals or not where or not is_label(name):
            raise click.BadParameter(f"{value!r} is neither NAME=context:CONTEXT nor NAME=DIR", param_hint="--cluster")
        if name in found:
            raise click.BadParameter(f"{name} is given twice", param_hint="--cluster")
        context = where.removeprefix(_CONTEXT) if where.startswith(_CONTEXT) else ""
        if not context and not Path(where).is_dir():
            raise click.BadParameter(f"{where} is no directory", param_hint="--cluster")
        found[name] = Place(context=context) if context else Place(directory=Path(where).absolute())
    return found


def host_port(text: str) -> tuple[str, int]:
    """Raises click.BadParameter if it is none."""
    host, _, port = text.rpartition(":")
    if not host or not port.isdecimal() or not 0 < int(port) < 1 << 16:
        raise click.BadParameter(f"{text!r} isn't HOST:PORT", param_hint="--metrics")
    return host.strip("[]"), int(port)


def state_of(repo: str, environment: Mapping[str, str]) -> Path:
    """A folder of its own for each repository, where the XDG Base Directory Specification wants state."""
    home = environment.get("XDG_STATE_HOME") or str(Path("~/.local/state").expanduser())
    return Path(home) / "peermesh" / hashlib.sha256(repo.encode()).hexdigest()[:16]


def roles(site: Site, main: Tree, brokers: Brokers) -> list[Role]:
    """All that runs beside Redis, in the order in which it is started.

    Raises:
        HumanNeeded: main has no such cluster.
    """
    ports = metrics_of(site)
    ears = (settings.WEBHOOK_LISTEN, settings.WEBHOOK_SECRET_FILE)
    others = (*ears, *_SIGNERS)
    worker = _inherited(site, tuple(setting for setting in settings.SETTINGS if setting not in others)) | {
        settings.BROKER.name: brokers.worker.reveal(),
        settings.REPO.name: site.repo,
        settings.COPY.name: str(site.state / "copy"),
    }
    border = _inherited(site, ()) | {settings.BORDER_BROKER.name: brokers.border.reveal()}
    for environment, name in ((worker, "worker"), (border, "receive")):
        environment[settings.METRICS.name] = ports.get(name, "")
    syncers = [
        Role(name=_syncer_name(cluster), command="syncer", environment=_syncer(site, main, cluster, brokers, ports))
        for cluster in site.clusters
    ]
    webhook = _inherited(site, ears) | {settings.BROKER.name: brokers.webhook.reveal() if brokers.webhook else ""}
    return [
        Role(name="worker", command="worker", environment=worker),
        Role(name="receive", command="receive", environment=border),
        *([Role(name="webhook", command="webhook", environment=webhook)] if site.webhook else []),
        *([Role(name="signer", command="signer", environment=_signer(site, brokers))] if site.signs else []),
        *syncers,
    ]


_SIGNERS: Final = (
    settings.SIGNER,
    settings.SIGNER_ISSUERS_FILE,
    settings.SIGNER_JOURNAL,
    settings.SIGNER_KEY_FILE,
    settings.SIGNER_PASSPHRASE_FILE,
    settings.SIGNER_MODULE,
    settings.SIGNER_TOKEN,
    settings.SIGNER_KEY_LABEL,
    settings.SIGNER_PIN_FILE,
)
_GIT: Final = (
    settings.GIT_USER,
    settings.GIT_PASSWORD_FILE,
    settings.GIT_CA_FILE,
    settings.GIT_SSH_KEY_FILE,
    settings.GIT_KNOWN_HOSTS_FILE,
)


def _signer(site: Site, brokers: Brokers) -> dict[str, str]:
    """It reads the repository with the worker's credential, for there is no other one here; it never has a forge's."""
    robot = (settings.AUTHOR_NAME, settings.AUTHOR_EMAIL)  # whose branches are believed
    told = _inherited(site, (*_SIGNERS, *_GIT, *robot))
    told.setdefault(settings.SIGNER_JOURNAL.name, str(site.state / "journal"))
    return told | {
        settings.BROKER.name: brokers.signer.reveal() if brokers.signer else "",
        settings.REPO.name: site.repo,
        settings.COPY.name: str(site.state / "signer-copy"),
    }


def _syncer_name(cluster: str) -> str:
    """What the process of a cluster's syncer is called."""
    return f"syncer {cluster}"


def metrics_of(site: Site) -> dict[str, str]:
    """On which address each process serves its metrics: ports one after the other."""
    if site.metrics is None:
        return {}
    host, port = site.metrics
    shown = f"[{host}]" if ":" in host else host
    return {name: f"{shown}:{port + number}" for number, name in enumerate(names_of(site))}


def _syncer(site: Site, main: Tree, cluster: str, brokers: Brokers, ports: Mapping[str, str]) -> dict[str, str]:
    if cluster not in main.clusters:
        raise HumanNeeded(
            "UnknownCluster",
            f"main has no {paths.cluster_path(cluster)}",
            subject=cluster,
            remedy=f"`peermesh cluster add {cluster} …` writes it; commit it and bring it to main.",
        )
    place = site.clusters[cluster]
    where = (
        {syncer_settings.KUBECONFIG.name: site.kubeconfig, syncer_settings.CONTEXT.name: place.context}
        if place.directory is None
        else {syncer_settings.DIRECTORY.name: str(place.directory)}
    )
    timing = (syncer_settings.QUIET, syncer_settings.LONGEST, syncer_settings.HEARTBEAT, syncer_settings.NAMESPACE)
    return {
        **_inherited(site, timing),
        **syncer_environment(main.mesh, main.clusters[cluster]),
        **where,
        syncer_settings.KEY_FILE.name: str(site.key_file(cluster)),
        syncer_settings.BROKER.name: brokers.syncers[cluster].reveal(),
        syncer_settings.LISTEN.name: ports.get(_syncer_name(cluster), ""),
    }


def _inherited(site: Site, own: Iterable[Setting]) -> dict[str, str]:
    """The environment of the command without settings of ours but these: no process has credentials of another."""
    kept = {setting.name for setting in own}
    return {name: value for name, value in site.environment.items() if not name.startswith(_OURS) or name in kept}


def brokers_of(site: Site, addresses: Mapping[str, Secret]) -> Brokers:
    """Where each process finds Redis, from the address for each user."""
    return Brokers(
        worker=addresses[WORKER],
        border=addresses[BORDER],
        webhook=addresses.get(WEBHOOK),
        signer=addresses.get(SIGNER),
        syncers={cluster: addresses[syncer_user(cluster)] for cluster in site.clusters},
    )


def address(url: Secret, user: str, password_of: Callable[[str], Secret]) -> Secret:
    """The address of Redis for a user; one that names a user holds for all of them."""
    parts = urlsplit(url.reveal())
    if parts.username is not None or parts.password is not None:
        return url
    return Secret(url.reveal().replace("://", f"://{user}:{quote(password_of(user).reveal(), safe='')}@", 1))


def users_of(site: Site) -> list[str]:
    """The users of Redis that these processes are."""
    optional = [*([WEBHOOK] if site.webhook else []), *([SIGNER] if site.signs else [])]
    return [WORKER, BORDER, *optional, *map(syncer_user, site.clusters)]


def names_of(site: Site) -> list[str]:
    """The names of the processes but Redis."""
    return ["worker", "receive", *map(_syncer_name, site.clusters)]
