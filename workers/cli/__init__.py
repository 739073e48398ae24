"""`peermesh`, the command line: people's side of the mesh, and how the processes are started.

Commands call use-cases and print values. `exits` has the exit codes, `screen` what people see; nothing below it
knows that there is a command line.
"""

from __future__ import annotations

import click

from workers.cli import ca, doctor, look, redis, review, run, start
from workers.cli.exits import Commands
from workers.cli.screen import WIDTH


@click.group(
    cls=Commands,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": WIDTH},
    epilog="""\b
Examples:
  peermesh demo                                    see all of it work, in a minute
  peermesh init mesh-repository                    begin
  peermesh plan --from west=manifests/west         what would change, and why
  peermesh explain shop/catalog --from north       who can call it, or why not

\b
Exit codes: 0 done, also when there is something to do (with --exit-code: 2);
1 bad input or refused; 3 held for a person. COMMAND --help has examples for each.""",
)
@click.version_option(package_name="peermesh", message="%(prog)s %(version)s")
def main() -> None:
    """Services of one Istio mesh, callable in others, through reviewed changes in Git."""


_GROUPS = (start, redis, look, review, ca, doctor, run)
for _command in (command for group in _GROUPS for command in group.COMMANDS):
    main.add_command(_command)
