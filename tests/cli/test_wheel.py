"""What a wheel must hold beside the code: the template of a mesh repository and the demo's clusters."""

from __future__ import annotations

import subprocess
import sys
import zipfile

from tests.cli.calls import MANIFESTS, files_in
from tests.house.code import ROOT


def test_a_wheel_holds_the_template_and_the_manifests(tmp_path):
    command = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(tmp_path)]
    subprocess.run(command, check=True, cwd=ROOT, capture_output=True)
    with zipfile.ZipFile(next(tmp_path.glob("*.whl"))) as wheel:
        names = set(wheel.namelist())
    template = {f"workers/_repo_template/{path}" for path in files_in(ROOT / "repo-template")}
    manifests = {f"workers/cli/demo/manifests/{path}" for path in files_in(MANIFESTS)}
    assert set() == (template | manifests) - names
