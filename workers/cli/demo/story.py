"""The story of the demo: what happens, in which order, and what people see of it."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

from rich.text import Text

from workers.cli.ca.text import show_trust
from workers.cli.checkout import run_git
from workers.cli.demo.authority import RENEWED, found
from workers.cli.demo.cast import Bell, Brokers, brokers, enter, enter_signer
from workers.cli.demo.site import CLUSTERS, PERSON, Site, build
from workers.cli.demo.stage import Log, Stage
from workers.cli.exits import Exit
from workers.cli.explain_text import show_explanation
from workers.cli.processes import Processes, interruptible, processes
from workers.cli.proposal_text import show_proposal
from workers.cli.rendered import valid_tree
from workers.cli.screen import say, say_indented
from workers.documents import paths
from workers.explain import explain
from workers.git.opening import open_repository
from workers.inbox import RedisInbox
from workers.outside import Remote
from workers.pki.step import Seen, next_step
from workers.reach import reach
from workers.trust import trust_status

_WAREHOUSE = ("returns", "shipping", "stock")


def tell(*, keep: bool, redis_url: str | None) -> int:
    """Play it; with `keep` go on afterwards until Ctrl-C. Returns the exit code."""
    began = time.monotonic()
    with interruptible(), brokers(redis_url) as told:
        site = build(Path(tempfile.mkdtemp(prefix="peermesh-demo-")))
        log = Log(site.logs)
        with processes(log) as running:
            _chapter("Three clusters, and a repository between them")
            say_indented(f"{site.folder}/manifests/{{{','.join(CLUSTERS)}}}: directories that stand for clusters", 2)
            say_indented(f"{site.remote}: the mesh repository, with nothing but the names of its clusters", 2)
            enter(site, told, running)
            with open_repository(str(site.remote), author=PERSON) as repository:
                stage = Stage(running, log, repository, Bell(told.worker))
                _first_exports(stage)
                _change(stage, site)
                _withdrawal(stage, site)
                _mass_withdrawal(stage, site)
                _renewal(stage, site, told, running)
                if keep:
                    _keep(stage, site)
    run_git(site.checkout, "pull", "--quiet", "--ff-only")
    _summary(site, time.monotonic() - began)
    return Exit.DONE


def _first_exports(stage: Stage) -> None:
    _chapter("Each cluster says where its gateway is; a person lets it in")
    for cluster in CLUSTERS:
        stage.approve(stage.proposal(paths.clusters_branch(cluster), paths.cluster_facts_path(cluster)))
    _chapter("What teams export becomes one proposal for each namespace")
    shop = stage.proposal(
        paths.exports_branch("shop"),
        *(f"facts/exports/shop/{name}.yaml" for name in ("west/cart", "west/catalog", "east/catalog")),
    )
    payments = stage.proposal(
        paths.exports_branch("payments"),
        *(f"facts/exports/payments/east/{name}.yaml" for name in ("ledger", "payments")),
    )
    warehouse = stage.proposal(paths.exports_branch("warehouse"), *_stored(_WAREHOUSE))
    say()
    show_proposal(shop)
    say()
    for proposal in (shop, payments, warehouse):
        stage.approve(proposal)
    _chapter("Now north can call the catalog, and west and east answer")
    tree = valid_tree(stage.remote().files)
    show_explanation(explain(tree, reach(tree), "shop/catalog"), "north")


def _change(stage: Stage, site: Site) -> None:
    _chapter("A team adds a port to the cart and runs it under another service account")
    ports = "  - {name: http, port: 8080, targetPort: 8080}\n"
    more = f"{ports}  - {{name: grpc-events, port: 9090, targetPort: 9090}}\n"
    account = "serviceAccountName: cart\n"
    site.edit("west/cart.yaml", {ports: more, account: "serviceAccountName: cart-v2\n"})
    proposal = stage.proposal(paths.exports_branch("shop"), "facts/exports/shop/west/cart.yaml")
    say()
    show_proposal(proposal, way_back=False)
    say()
    stage.approve(proposal)


def _withdrawal(stage: Stage, site: Site) -> None:
    _chapter("Another team withdraws its ledger: the label goes")
    site.edit("east/ledger.yaml", {'    peermesh.io/export: "true"\n': ""})
    proposal = stage.proposal(paths.exports_branch("payments"), "facts/exports/payments/east/ledger.yaml")
    say()
    show_proposal(proposal, way_back=False)
    say()
    stage.approve(proposal)


def _mass_withdrawal(stage: Stage, site: Site) -> None:
    _chapter("Something takes away all that north exports: that is held, whatever merges by itself")
    site.take_away("north", _WAREHOUSE)
    branch = paths.held_branch("warehouse")
    proposal = stage.proposal(branch, *_stored(_WAREHOUSE))
    say()
    show_proposal(proposal, way_back=False)
    say()
    say_indented("Nobody approves it, and nobody loses a call. Then it is all there again:", 2)
    site.bring_back("north")

    def gone(remote: Remote) -> bool:
        return branch not in remote.branches

    stage.until(f"{branch} to close by itself", gone)
    stage.tell_events()


def _renewal(stage: Stage, site: Site, told: Brokers, running: Processes) -> None:
    _chapter("Seven weeks later the certificate that west's istiod signs with is due")
    authority = found(site)
    say_indented("The weeks are made up: these certificates are dated back. All else happens now.", 2)
    say()
    _show_certificates(stage)
    stage.ring()
    inbox = RedisInbox(told.worker)

    def known(_: Remote) -> bool:
        keys = inbox.border_keys()
        return keys is not None and bool(keys.agents.get(RENEWED))

    stage.until("the border to know the agents", known)
    inbox.close()
    authority.ask(told.syncers[RENEWED])
    request = stage.proposal(paths.request_branch(RENEWED), paths.request_path(RENEWED))
    say()
    show_proposal(request, way_back=False)
    say()
    stage.approve(request)
    say_indented("Only now, and only this, is signed:", 2)
    enter_signer(site, told, running, authority.signer())
    certificate = stage.proposal(paths.certificate_branch(RENEWED), paths.intermediate_path(RENEWED))
    say()
    show_proposal(certificate, way_back=False)
    say()
    stage.approve(certificate)
    say_indented("Flux or Argo CD would bring it to west, whose agent has had the key all the while.", 2)
    say()
    _show_certificates(stage)


def _show_certificates(stage: Stage) -> None:
    say(Text(f"{_program()} ca status", style="bold"))
    now = datetime.now(UTC)
    remote = stage.remote()
    tree = valid_tree(remote.files)
    phases = {name: phase.name for name, phase in next_step(tree, Seen(), now).phases.items()}
    show_trust(trust_status(tree, now, observed={}, phases=phases, waiting={}), now)
    say()


def _stored(names: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(f"facts/exports/warehouse/north/{name}.yaml" for name in names)


def _keep(stage: Stage, site: Site) -> None:
    _chapter("It stays up")
    say_indented(f"Edit {site.folder}/manifests/west/cart.yaml, say, or any other one.", 2)
    say_indented("In another terminal:", 2)
    for line in ("proposals", "show BRANCH", "approve BRANCH --digest …", "status"):
        say_indented(Text(f"{_program()} {line} --repo {site.checkout}", style="bold"), 4)
    say_indented("Ctrl-C ends it.", 2)
    try:
        stage.forever()
    except KeyboardInterrupt:
        say()


def _summary(site: Site, seconds: float) -> None:
    _chapter(f"That was all, in {seconds:.0f} seconds; every process has ended. What there is to look at")
    program, checkout = _program(), site.checkout
    for command in (
        f"{program} explain shop/catalog --repo {checkout}",
        f"{program} explain payments/ledger --repo {checkout}",
        f"{program} status --repo {checkout}",
        f"{program} ca status --repo {checkout}",
        f"cat {checkout}/clusters/north/imports/shop/catalog.yaml",
        f"git -C {checkout} log --stat",
    ):
        say_indented(Text(command, style="bold"), 2)
    say_indented(f"The next step, with two folders of your own: README.md. Take this away: rm -r {site.folder}", 2)


def _chapter(title: str) -> None:
    say()
    say(title, "bold reverse")
    say()


def _program() -> str:
    """How the reader can call what they just called."""
    return "peermesh" if shutil.which("peermesh") else os.path.relpath(sys.argv[0])
