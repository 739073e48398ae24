"""promtool, which Debian's package `prometheus` brings."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

needs_promtool = pytest.mark.skipif(
    shutil.which("promtool") is None, reason="no promtool here (Debian package prometheus)"
)


def promtool(*arguments: str, stdin: str = "", folder: Path | None = None) -> subprocess.CompletedProcess[str]:
    """What it says of something; its exit code says whether all is well."""
    return subprocess.run(
        ["promtool", *arguments], input=stdin, capture_output=True, text=True, check=False, cwd=folder, timeout=600
    )
