"""`python -m workers.cli` is `peermesh`."""

from workers.cli import main

main(prog_name="peermesh")
