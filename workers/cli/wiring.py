"""The worker's centre: the use-cases with their adapters plugged in. Decides nothing."""

from __future__ import annotations

from syncer.protocol.errors import HumanNeeded
from syncer.protocol.secret import Secret
from workers.app import Centre
from workers.documents.kinds import Forge as ForgeSettings
from workers.flush import flush
from workers.forge import FORGES
from workers.git import GitRepository
from workers.inbox import RedisInbox
from workers.settings import GIT_PASSWORD_FILE, Settings
from workers.situation import Warm
from workers.sweep import sweep


def centre(settings: Settings) -> Centre:
    """What a worker's tasks work with.

    Raises:
        HumanNeeded: the password can't be read.
    """
    inbox = RedisInbox(settings.broker)
    repository = GitRepository(
        settings.repo,
        copy=settings.copy,
        author=(settings.author_name, settings.author_email),
        credentials=_credentials(settings),
    )
    forge = FORGES["git"](ForgeSettings())
    warm = Warm()
    return Centre(
        inbox=inbox,
        flush=lambda now: flush(repository, forge, inbox, now, warm),
        sweep=lambda now: sweep(repository, inbox, now),
    )


def _credentials(settings: Settings) -> tuple[str, Secret] | None:
    if settings.git_password_file is None:
        return (settings.git_user, Secret("")) if settings.git_user else None
    try:
        return settings.git_user, Secret(settings.git_password_file.read_text().strip())
    except OSError as error:
        raise HumanNeeded("NoPassword", f"{error.strerror}", subject=GIT_PASSWORD_FILE.name) from error
