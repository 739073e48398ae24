"""`signer`: the process that signs, alone in its folders. What it is told is in its environment."""

from __future__ import annotations

from contextlib import ExitStack

import click

_WAIT_SECONDS = 5.0
"""What a killed one leaves behind ends sooner."""


@click.command(
    epilog="""\b
The environment tells it everything; docs/reference.md has all variables. Ends on SIGTERM.

\b
Example:
  PEERMESH_REPO=https://git.example/mesh.git PEERMESH_GIT_USER=signer \\
    PEERMESH_GIT_PASSWORD_FILE=/run/secrets/git PEERMESH_SIGNER_ISSUERS_FILE=issuers.pem \\
    PEERMESH_SIGNER_KEY_FILE=key.pem PEERMESH_SIGNER_PASSPHRASE_FILE=/run/secrets/passphrase \\
    PEERMESH_SIGNER_JOURNAL=/srv/peermesh/journal \\
    PEERMESH_BROKER_URL=redis://peermesh-signer:…@redis.example/0 peermesh signer"""
)
def signer() -> int:
    """Sign what people approved, with a key of a CA.

    One for each root, and the only one with such a key. It only reads the repository, and knows no forge.
    """
    from workers.broker import log
    from workers.cli.alone import alone
    from workers.cli.wiring import signing
    from workers.settings import COPY, SIGNER_JOURNAL, settings_from_environment
    from workers.signing import run_signer

    settings = settings_from_environment()
    with ExitStack() as locks:
        for folder, setting in ((settings.copy, COPY), (settings.signer_journal, SIGNER_JOURNAL)):
            if folder is not None:
                file = folder.with_name(f"{folder.name}.lock")
                remedy = f"A second process on one machine needs a folder of its own in {setting.name}."
                locks.enter_context(alone(file, seconds=_WAIT_SECONDS, tell=log.warning, remedy=remedy))
        return run_signer(settings, make=signing)
