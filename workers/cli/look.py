"""`plan`, `render`, `diff`, `check` and `explain`: look at a tree, and at what would become of it.

Nothing here needs a queue or a forge, and nothing but `render` and `plan --write` writes.
"""

from __future__ import annotations

from pathlib import Path

import click
from rich.text import Text

from workers.cli import options
from workers.cli.exits import Exit
from workers.cli.screen import give, progress, say


@click.command(
    epilog="""\b
Examples:
  peermesh plan --from west=manifests/west --from east=manifests/east
  peermesh plan --repo https://git.example/mesh.git --from west=dump/ --output json
  peermesh plan --from west=manifests/west --write /tmp/mesh-after
  KUBECONFIG=west.kubeconfig peermesh plan --from west=context:west-admin

\b
A context is looked for where kubectl does: in $KUBECONFIG, else in ~/.kube/config.
Whoever it names must be allowed what the cluster's syncer is; nothing is written there.
With --write all proposals but the held ones are merged, in order.
It ends with 3 if something is held."""
)
@options.REPO
@click.option(
    "--from",
    "sources",
    multiple=True,
    required=True,
    metavar="NAME=DIR|NAME=context:CTX",
    help="What cluster NAME holds: a directory of manifests (YAML or JSON), or what runs there. Repeatable.",
)
@click.option("--namespace", default="default", show_default=True, help="Where objects without a namespace belong.")
@click.option(
    "--write",
    "out",
    type=click.Path(path_type=Path),
    metavar="OUT",
    help="Put the tree as it would be into OUT: absent, empty, or written so before.",
)
@options.output("json", "yaml")
@options.EXIT_CODE
def plan(repo: str, sources: tuple[str, ...], namespace: str, out: Path | None, output: str, exit_code: bool) -> int:
    """Show what would change, and why.

    Needs neither queue nor forge. Clusters that aren't named say what their open proposals or main say.
    """
    from workers.cli.plan_text import show_plan
    from workers.cli.plan_value import plan_value
    from workers.cli.planning import planned, refuse_inside, write_after

    if out is not None:
        refuse_inside(repo, out)
    with progress("planning"), planned(repo, options.pairs(sources, "--from"), namespace) as (files, made):
        if out is not None:
            write_after(out, files, made)
    if output == "text":
        show_plan(made)
        if out is not None:
            say(f"{out}: the tree with all of it but what is held.")
    else:
        give(plan_value(made), output)
    if any(made.problems.values()):
        return Exit.BAD
    if any("held" in proposal.classes for proposal in made.proposals):
        return Exit.HELD
    return Exit.TO_DO if exit_code and made.proposals else Exit.DONE


@click.command(
    epilog="""\b
Example:
  peermesh render && git add clusters && git commit"""
)
@options.FOLDER
@options.EXIT_CODE
def render(repo: str, exit_code: bool) -> int:
    """Write clusters/ as mesh/ and facts/ say.

    Commit it with the change that it follows from.
    """
    from workers.cli.rendered import rendering_changes
    from workers.folder import read_checkout, write_folder

    with progress("rendering"):
        changes = rendering_changes(read_checkout(Path(repo)))
        write_folder(Path(repo), changes)
    for path, data in changes.items():
        say(f"{'removed' if data is None else 'wrote'} {path}")
    if not changes:
        say("clusters/ is as mesh/ and facts/ say.")
    return Exit.TO_DO if exit_code and changes else Exit.DONE


@click.command(
    epilog="""\b
Examples:
  peermesh diff | less -R
  peermesh diff --exit-code > /dev/null   ends with 2 if `render` has something to do"""
)
@options.FOLDER
@options.EXIT_CODE
def diff(repo: str, exit_code: bool) -> int:
    """Show what `render` would change, as a unified diff."""
    from workers.cli.proposal_text import show_diff_lines
    from workers.cli.rendered import diff_lines, rendering_changes
    from workers.folder import read_checkout

    with progress("rendering"):
        files = read_checkout(Path(repo))
        changes = rendering_changes(files)
    show_diff_lines(diff_lines(files, changes))
    return Exit.TO_DO if exit_code and changes else Exit.DONE


@click.command(
    epilog="""\b
Examples:
  peermesh check
  peermesh check --repo . --base ../main   (no Host of main may be missing)"""
)
@options.FOLDER
@click.option("--base", type=click.Path(file_okay=False, exists=True), metavar="DIR", help="What it shall replace.")
@options.output("json", "yaml")
def check(repo: str, base: str | None, output: str) -> int:
    """Check a tree as CI does.

    Documents are valid, clusters/ is their rendering, and nothing unsafe is in it.
    """
    from workers.check import check as problems_of
    from workers.folder import read_checkout, read_folder

    with progress("checking"):
        problems = problems_of(read_checkout(Path(repo)), read_folder(Path(base)) if base else None)
    if output != "text":
        give([{"path": p.path, "line": p.line, "what": p.what, "remedy": p.remedy} for p in problems], output)
    for problem in problems if output == "text" else ():
        say(Text(str(problem)))
    if output == "text":
        say(_verdict(len(problems)), "red" if problems else "green")
    return Exit.BAD if problems else Exit.DONE


def _verdict(count: int) -> str:
    if not count:
        return "Nothing wrong: documents are valid, and clusters/ is their rendering."
    return f"{count} problem{'s' if count > 1 else ''}."


@click.command(
    epilog="""\b
Examples:
  peermesh explain shop/catalog
  peermesh explain catalog.shop.mesh.internal --from north --repo https://git.example/mesh.git"""
)
@click.argument("asked", metavar="HOST|NAMESPACE/SERVICE")
@click.option("--from", "consumer", metavar="CLUSTER", help="As this cluster calls it; default: every one.")
@options.REPO
@options.REDIS
@options.output("json", "yaml")
def explain(asked: str, consumer: str | None, repo: str, redis_url: str | None, output: str) -> None:
    """Say who can call a service, or why not.

    From where, through whom, as which identity.
    """
    from workers.cli.explain_text import explanation_value, show_explanation
    from workers.cli.explaining import explained

    with progress("looking"):
        found = explained(repo, asked, consumer, redis_url)
    if output == "text":
        show_explanation(found, consumer)
    else:
        give(explanation_value(found, consumer), output)


COMMANDS = (plan, render, diff, check, explain)
