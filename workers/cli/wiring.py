"""The centre of a worker, and that of a signer: the use-cases with their adapters plugged in. Decides nothing."""

from __future__ import annotations

import functools
from datetime import datetime

from syncer.protocol.errors import HumanNeeded
from syncer.protocol.secret import Secret
from workers.app import Centre
from workers.budget import Budget
from workers.documents.kinds import Forge as ForgeSettings
from workers.flush import flush
from workers.forge import FORGES
from workers.git import Access, GitRepository
from workers.inbox import RedisInbox
from workers.journal import FolderJournal
from workers.outside import Forge, Forges
from workers.poke import Poker
from workers.rotate import Rotation, Turn
from workers.settings import FORGE_TOKEN_FILE, FORGE_USER, Settings
from workers.sign import Signing
from workers.signers import SIGNERS
from workers.situation import Warm
from workers.tree import read_tree
from workers.watch import Watch


def centre(settings: Settings) -> Centre:
    """What a worker's tasks work with.

    Raises:
        HumanNeeded: there is a password, and no user.
    """
    inbox = RedisInbox(settings.broker)
    repository = GitRepository(
        settings.repo,
        copy=settings.copy,
        author=(settings.author_name, settings.author_email),
        access=access(settings),
    )
    forges = forges_of(settings)
    poke = [Poker(settings.poke_file).moved] if settings.poke_file else []
    warm, watch = Warm(), Watch(repository, forges, inbox, *poke)
    budget, rotation = Budget(per_minute=settings.pushes), Rotation(inbox)

    def rotate(now: datetime) -> Turn:
        remote = repository.fetch()
        tree, _ = read_tree(remote.files, warm.documents)
        return Turn() if tree is None else rotation.turn(remote, tree, now)  # a flush says why there is none

    return Centre(
        inbox=inbox,
        flush=lambda now: flush(repository, forges, inbox, now, warm, budget),
        sweep=watch.sweep,
        figures=watch.figures,
        rotate=rotate,
    )


def signing(settings: Settings) -> Signing:
    """What a signer's process works with.

    Raises:
        HumanNeeded: the key can't be used, or there is no journal.
    """
    assert settings.signer_journal is not None  # `run_signer` looked
    return Signing(
        GitRepository(
            settings.repo,
            copy=settings.copy,
            author=(settings.author_name, settings.author_email),
            access=access(settings),
        ),
        SIGNERS[settings.signer](settings.signer_place),
        FolderJournal(settings.signer_journal),
        RedisInbox(settings.broker),
    )


def forges_of(settings: Settings) -> Forges:
    """The forges that main may name, each made once: what one knows of labels and pauses stays with it."""

    @functools.cache
    def forge(named: ForgeSettings) -> Forge:
        return FORGES[named.type](named, lambda: forge_credentials(settings))

    return forge


def forge_credentials(settings: Settings) -> tuple[str, Secret]:
    """User and token at the forge; where none are named those of the repository serve.

    Raises:
        HumanNeeded: there are none, or the file can't be read.
    """
    file = settings.forge_token_file or settings.git_password_file
    user = settings.forge_user or settings.git_user
    if file is None or not user:
        raise HumanNeeded(
            "NoForgeToken",
            "main names a forge, and this process has no user and token for it",
            subject=FORGE_TOKEN_FILE.name,
            remedy=f"Set it, and {FORGE_USER.name}, or take the forge out of mesh/mesh.yaml.",
        )
    try:
        return user, Secret(file.read_text().strip())
    except OSError as error:
        what = f"{file} can't be read: {error.strerror}"
        raise HumanNeeded("NoForgeToken", what, subject=FORGE_TOKEN_FILE.name) from error


def access(settings: Settings) -> Access:
    """How the repository is reached, as the environment says."""
    return Access(
        user=settings.git_user,
        password_file=settings.git_password_file,
        ssh_key=settings.git_ssh_key_file,
        known_hosts=settings.git_known_hosts_file,
        ca_file=settings.git_ca_file,
    )
