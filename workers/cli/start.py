"""`init` and `cluster`: a mesh repository begins, and its clusters.

They change files in a checkout and say what to commit; what is on main is people's business.
"""

from __future__ import annotations

import shlex
from pathlib import Path

import click

from workers.cli import options
from workers.cli.exits import Commands
from workers.cli.screen import say, say_command, say_commit


@click.command(
    epilog="""\b
Examples:
  peermesh init mesh-repository
  peermesh init acme-mesh --name acme"""
)
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path))
@click.option("--name", help="What the mesh is called. Default: as DIR, if that is a DNS label.")
def init(folder: Path, name: str | None) -> None:
    """Make the repository of a new mesh in DIR."""
    from workers.cli.template import new_repository

    mesh = new_repository(folder, name=name)
    say(f"{folder}: repository of mesh {mesh}, one commit on branch main.")
    say("mesh/mesh.yaml says what can be set; CODEOWNERS wants the names of your teams.")
    say(f"Next: peermesh cluster add NAME --network N --trust-domain T --repo {shlex.quote(str(folder))}")


@click.group(cls=Commands)
def cluster() -> None:
    """Add clusters to the mesh, and trust their syncers."""


@cluster.command(
    epilog="""\b
Examples:
  peermesh cluster add west --network west --trust-domain west.acme.example --label env=prod
  peermesh cluster add edge --network edge --trust-domain edge.acme.example \\
    --gateway-address 198.51.100.7:30443"""
)
@click.argument("name")
@options.FOLDER
@click.option("--network", required=True, help="Its network in Istio (topology.istio.io/network); no other cluster's.")
@click.option("--trust-domain", required=True, help="What its istiod signs identities for; no other cluster's.")
@click.option("--locality", default="", help="Where it runs: region/zone.")
@click.option("--label", "labels", multiple=True, metavar="K=V", help="For consumers by label. Repeatable.")
@click.option(
    "--gateway-address",
    "addresses",
    multiple=True,
    metavar="HOST[:PORT]",
    help="How peers reach its east-west gateway. Default: as its Service says. Repeatable.",
)
@click.option("--gateway-namespace", default="istio-eastwest", show_default=True, help="Where the gateway's pods are.")
@click.option(
    "--gateway-selector",
    "selector",
    multiple=True,
    metavar="K=V",
    help="Labels of the gateway's pods. Default: istio=eastwestgateway. Repeatable.",
)
@click.option("--gateway-port", type=click.IntRange(1, 65535), default=15443, show_default=True, help="Its port.")
@click.option(
    "--trust", "managed", is_flag=True, help="Its signing certificate is looked after, too: writes its CA agent."
)
@click.option(
    "--remote",
    metavar="URL",
    help="Where Flux and Argo CD fetch the repository from. Default: origin of the checkout, without its password.",
)
@options.PASSWORD_FILE
def add(
    *,
    name: str,
    repo: str,
    network: str,
    trust_domain: str,
    locality: str,
    labels: tuple[str, ...],
    addresses: tuple[str, ...],
    gateway_namespace: str,
    selector: tuple[str, ...],
    gateway_port: int,
    managed: bool,
    remote: str | None,
    password_file: Path | None,
) -> None:
    """Add a cluster to the mesh.

    Writes mesh/clusters/NAME.yaml, and in delivery/ what its syncer needs and what applies clusters/NAME/ there.
    """
    from workers.acl import password_digest, syncer_user
    from workers.cli.delivery.origin import PLACEHOLDER, origin_of, reconcilers_url
    from workers.cli.joining import add_cluster
    from workers.cli.passwords import check_file, hand_over, new_password, write_password
    from workers.documents.kinds import Cluster, ClusterSpec, GatewaySettings, NameAndLabels
    from workers.documents.trust import ClusterTrust

    gateway = GatewaySettings(
        namespace=gateway_namespace,
        selector=options.pairs(selector, "--gateway-selector") or {"istio": "eastwestgateway"},
        port=gateway_port,
        addresses=addresses,
    )
    spec = ClusterSpec(
        network=network,
        trust_domain=trust_domain,
        locality=locality,
        gateway=gateway,
        trust=ClusterTrust() if managed else None,
    )
    metadata = NameAndLabels(name=name, labels=options.pairs(labels, "--label"))
    url = reconcilers_url(remote) if remote else origin_of(Path(repo))
    check_file(password_file, Path(repo))
    password = new_password()
    digest = password_digest(password)
    written = add_cluster(Path(repo), Cluster(metadata=metadata, spec=spec), remote=url or PLACEHOLDER, password=digest)
    write_password(password_file, password)
    for path in written:
        say(f"wrote {path}")
    if url is None:
        say("The checkout has no origin that a cluster could fetch from. Put the URL of the repository into")
        say(f"delivery/flux/{name}/ and delivery/argocd/ in place of {PLACEHOLDER}.")
    say_commit(repo, written, f"Add cluster {name}")
    hand_over(syncer_user(name), password, password_file)
    say(f"Then start its syncer (delivery/clusters/{name}/README.md), and let the mesh trust the key that it logs:")
    say_command(f"peermesh cluster trust {name} KEY --repo {shlex.quote(repo)}")
    if managed:
        say(f"And its CA agent: delivery/clusters/{name}/ca-agent/README.md.")


@cluster.command(
    epilog="""\b
Example:
  peermesh cluster trust west ed25519:VZ0…="""
)
@click.argument("name")
@click.argument("key")
@options.FOLDER
def trust(name: str, key: str, repo: str) -> None:
    """Trust the key of a cluster's syncer.

    KEY is what the syncer of cluster NAME logs at its start.
    A second key is for a change of keys: the first goes when the syncer signs with the second.
    """
    from workers.cli.joining import trust_key

    path = trust_key(Path(repo), name, key)
    if path is None:
        say(f"{name}: this key is trusted already.")
        return
    say(f"wrote {path}")
    say_commit(repo, [path], f"Trust the syncer of {name}")


@cluster.command(
    epilog="""\b
Examples:
  peermesh cluster password west                       shown once
  peermesh cluster password west --password-file ../west
  peermesh cluster password west --finish              once its syncer has the new one"""
)
@click.argument("name")
@options.FOLDER
@options.PASSWORD_FILE
@options.FINISH
def password(name: str, repo: str, password_file: Path | None, *, finish: bool) -> None:
    """Change the password of a cluster's Redis user.

    Writes a digest into delivery/redis/users.acl; the old password counts until --finish.
    """
    from workers.acl import syncer_user
    from workers.cli.passwords import check_cluster
    from workers.cli.redis import change_password

    check_cluster(Path(repo), name)
    change_password(repo, syncer_user(name), password_file, finish=finish)


COMMANDS = (init, cluster)
