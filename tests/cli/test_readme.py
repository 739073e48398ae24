"""The README's chapter for newcomers: its commands, as they stand there, do what it says."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from tests.cli.calls import Said
from tests.house.code import ROOT
from tests.house.prose import read

CHAPTER = re.compile(r"^## From the demo.*?(?=^## )", re.MULTILINE | re.DOTALL)
BLOCK = re.compile(r"^```\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def shell(script: str, folder: Path) -> Said:
    """The script in `folder`, stopped at the first command that fails."""
    ran = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script], check=False, cwd=folder, capture_output=True, text=True, timeout=120
    )
    return Said(ran.returncode, ran.stdout, ran.stderr)


def test_the_way_from_the_demo_to_two_folders_of_ones_own(tmp_path):
    chapter = CHAPTER.search(read(ROOT / "README.md"))
    assert chapter is not None
    # A checkout with its environment, of which nothing may be written.
    (tmp_path / ".venv").mkdir()
    (tmp_path / ".venv" / "bin").symlink_to(Path(sys.executable).parent)
    (tmp_path / "workers").symlink_to(ROOT / "workers")
    said = shell("\n".join(BLOCK.findall(chapter[0])), tmp_path)
    assert (0, "") == (said.code, said.stderr), said
    assert 2 == said.stdout.count("Nothing wrong: documents are valid, and clusters/ is their rendering.")
    assert "    west   at 203.0.113.10:15443   as spiffe://west.acme.example/ns/shop/sa/catalog\n" in said.stdout
    assert said.stdout.rstrip().endswith("1 proposal")
