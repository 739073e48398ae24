"""`peermesh plan` and the pipeline agree: the same manifests give the same tree, to the byte."""

from __future__ import annotations

from pathlib import Path

from tests.pipeline.harness import pipeline

MANIFESTS = Path(__file__).parent / "manifests"
CLUSTERS = {"east": MANIFESTS / "east", "west": MANIFESTS / "west"}


def test_plan_and_pipeline_make_the_same_tree_of_the_same_manifests(tmp_path):
    out = tmp_path / "out"
    with pipeline(tmp_path, CLUSTERS) as line:
        sources = [part for name, path in CLUSTERS.items() for part in ("--from", f"{name}={path}")]
        line.done("plan", "--repo", str(line.checkout), *sources, "--write", str(out))
        line.wait_until_settled()
        line.everything_approved()
        made = line.main_files()
    planned = {path.relative_to(out).as_posix(): path.read_bytes() for path in out.rglob("*") if path.is_file()}
    assert _robots(planned) == _robots(made)
    assert {
        "facts/exports/library/east/branch.yaml",
        "facts/exports/library/east/loans.yaml",
        "facts/exports/library/west/catalogue.yaml",
        "facts/exports/library/west/loans.yaml",
        "facts/exports/library/west/readers.yaml",
    } == {path for path in made if path.startswith("facts/exports/")}


def _robots(files: dict[str, bytes]) -> dict[str, bytes]:
    return {path: data for path, data in files.items() if path.startswith(("facts/", "clusters/"))}
