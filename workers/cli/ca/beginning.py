"""`init-root`, `manage`, `import`, `sign-crl`: where trust begins, and the commands that open keys."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TextIO

import click
import msgspec

from workers.cli import options

if TYPE_CHECKING:
    from workers.signers import Place

_FILE: Final = click.Path(dir_okay=False, path_type=Path)


def _option(name: str, what: str, **more: Any) -> Callable[[Any], Any]:
    return click.option(name, type=_FILE, metavar="FILE", help=what, **more)


def _time(name: str, default: str, what: str) -> Callable[[Any], Any]:
    return click.option(name, default=default, show_default=True, metavar="TIME", callback=_is_time, help=what)


def _is_time(_context: click.Context, _option: click.Parameter, text: str) -> str:
    """Raises click.BadParameter if it is none."""
    from workers.documents.strict import Duration

    try:
        return msgspec.convert(text, Duration)
    except msgspec.ValidationError:
        raise click.BadParameter(f"{text[:80]!r} isn't a time like 90d or 3653d") from None


@click.command(
    epilog="""\b
Examples:
  peermesh ca init-root root-2026 --key-file root.key --passphrase-file root.pass
  peermesh ca init-root root-2027 --key-file root.key --passphrase-file root.pass \\
    --online-key-file online.key --online-passphrase-file online.pass \\
    --present-key-file old.key --present-passphrase-file old.pass
  peermesh ca init-root root-2027 --module /usr/lib/softhsm/libsofthsm2.so --token mesh \\
    --key-label root-2027 --pin-file pin

\b
Key files are new, encrypted, and outside of any repository; what is proposed is public.
With --online-… the root can stay offline from then on: the online intermediate signs."""
)
@click.argument("name")
@options.REPO
@_option("--key-file", "A new file for the root's key, encrypted.")
@_option("--passphrase-file", "The passphrase for it.")
@_option("--module", "The key is made in a hardware token (PKCS #11): its library.")
@click.option("--token", default="", metavar="LABEL", help="Label of the token.")
@click.option("--key-label", default="", metavar="LABEL", help="Label of the new key in it.")
@_option("--pin-file", "The PIN of the token.")
@click.option("--key-type", type=click.Choice(["P-256", "P-384"]), default="P-384", show_default=True, help="Its kind.")
@_time("--lifetime", "3653d", "How long the root is valid.")
@_option("--online-key-file", "A new file for the key of an online intermediate, encrypted.")
@_option("--online-passphrase-file", "The passphrase for that.")
@_time("--online-lifetime", "1096d", "How long that is valid.")
@_option("--present-key-file", "The key of the present root: the two then vouch for each other during a rollover.")
@_option("--present-passphrase-file", "The passphrase of that.")
@click.option("--present-key-label", default="", metavar="LABEL", help="The same, if that key is in the token.")
@_option("--issuers-file", "A new file with the certificates that the signer signs with. Default: NAME-issuers.pem.")
def init_root(
    name: str,
    repo: str,
    *,
    key_type: str,
    lifetime: str,
    online_lifetime: str,
    issuers_file: Path | None,
    **where: Any,
) -> None:
    """Make a root, and propose its public side.

    A ceremony: the record of it, signed by the new key, stands in the proposal.
    """
    from workers.cli.ca.ceremony import Keys, new_root
    from workers.cli.ca.proposing import propose
    from workers.git.opening import identity, is_folder

    keys = Keys(
        own=_place(where),
        online=_place(where, "online_") if where["online_key_file"] else None,
        present=_present(where),
        key_type=key_type,
    )
    who, mail = identity(Path(repo) if is_folder(repo) else None)
    issuers = issuers_file or Path(f"{name}-issuers.pem")
    made = new_root(
        name, keys, who=f"{who} <{mail}>", lifetime=lifetime, online_lifetime=online_lifetime, issuers=issuers
    )
    propose(repo, made)


@click.command(
    epilog="""\b
Examples:
  peermesh ca manage west --agent-key ed25519:VZ0…=          the key that its agent logs
  peermesh ca manage west --sealing-certificate west.pem     what `kubeseal --fetch-cert` prints"""
)
@click.argument("cluster")
@options.REPO
@click.option("--agent-key", metavar="KEY", help="A public key of its CA agent; a second one is for a change of keys.")
@click.option(
    "--sealing-certificate",
    type=click.File(),
    metavar="FILE",
    help="The certificate of its Sealed Secrets controller (PEM): the signer makes the key and seals it for that.",
)
def manage(cluster: str, repo: str, agent_key: str | None, sealing_certificate: TextIO | None) -> None:
    """Look after the certificates of a cluster.

    For one that has a CA of its own already: `ca import`, too.
    """
    from workers.cli.ca.joining import managed
    from workers.cli.ca.proposing import propose

    sealing = sealing_certificate.read() if sealing_certificate else None
    propose(repo, lambda orders: managed(orders, cluster, agent=agent_key, sealing=sealing))


@click.command(
    name="import",
    epilog="""\b
Examples:
  kubectl -n istio-system get secret cacerts -o jsonpath='{.data.root-cert\\.pem}' \\
    | base64 -d > west-root.pem
  peermesh ca import west --root west-root.pem

\b
Where istiod made its root itself (no Secret cacerts), the root is ca-cert.pem of istio-ca-secret,
and docs/trust.md has the two ways from there.""",
)
@click.argument("cluster")
@options.REPO
@click.option("--root", type=click.File(), required=True, metavar="FILE", help="The root that it stands under (PEM).")
@click.option("--name", metavar="ROOT", help="What that root is called here. Default: CLUSTER-before.")
def import_(cluster: str, repo: str, root: TextIO, name: str | None) -> None:
    """Adopt a cluster with the CA that it has.

    From its root it is brought to that of the mesh by the steps of a rollover.
    """
    from workers.cli.ca.joining import imported
    from workers.cli.ca.proposing import propose

    text = root.read()
    propose(repo, lambda orders: imported(orders, cluster, root=text, called=name))


@click.command(
    epilog="""\b
Examples:
  peermesh ca sign-crl root-2026 --key-file root.key --passphrase-file root.pass
  peermesh ca sign-crl root-2026 --module /usr/lib/softhsm/libsofthsm2.so --token mesh \\
    --key-label root-2026 --pin-file pin"""
)
@click.argument("root")
@options.REPO
@_option("--key-file", "The key of the root, encrypted.")
@_option("--passphrase-file", "Its passphrase.")
@_option("--module", "The key is in a hardware token (PKCS #11): its library.")
@click.option("--token", default="", metavar="LABEL", help="Label of the token.")
@click.option("--key-label", default="", metavar="LABEL", help="Label of the key in it.")
@_option("--pin-file", "The PIN of the token.")
def sign_crl(root: str, repo: str, **where: Any) -> None:
    """Sign the CRL of a root, as people ordered it.

    It names what `ca revoke` ordered and people merged. Where the root has an online intermediate, that one issued
    the certificates of clusters: give its key.
    """
    from workers.cli.ca.ceremony import signed_list
    from workers.cli.ca.proposing import propose

    propose(repo, signed_list(root, _place(where)))


def _place(where: dict[str, Any], prefix: str = "") -> Place:
    """Where a key lies, as the options say. Raises click.UsageError: nowhere, or in two places."""
    from workers.signers import Place

    key, passphrase = where[f"{prefix}key_file"], where[f"{prefix}passphrase_file"]
    module = None if prefix else where["module"]
    if (key is None) == (module is None):
        raise click.UsageError("Name --key-file with --passphrase-file, or --module with --token and --key-label.")
    if key is not None:
        if passphrase is None:
            raise click.UsageError(f"Name --{prefix.replace('_', '-')}passphrase-file, too.")
        return Place(issuers=None, key=key.absolute(), passphrase=passphrase.absolute())
    return Place(issuers=None, module=module, token=where["token"], label=where["key_label"], pin=where["pin_file"])


def _present(where: dict[str, Any]) -> Place | None:
    from workers.signers import Place

    if where["present_key_file"]:
        return _place(where, "present_")
    if where["present_key_label"]:
        token, pin = where["token"], where["pin_file"]
        return Place(issuers=None, module=where["module"], token=token, label=where["present_key_label"], pin=pin)
    return None


COMMANDS = (init_root, manage, import_)
