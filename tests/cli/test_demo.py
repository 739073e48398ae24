"""The demo as people start it: it comes to its end, and whatever becomes of it, nothing that it started is left."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.cli.calls import done

CHAPTERS = (
    "Three clusters, and a repository between them",
    "Each cluster says where its gateway is; a person lets it in",
    "What teams export becomes one proposal for each namespace",
    "Now north can call the catalog, and west and east answer",
    "A team adds a port to the cart and runs it under another service account",
    "Another team withdraws its ledger: the label goes",
    "Something takes away all that north exports: that is held, whatever merges by itself",
    "Seven weeks later the certificate that west's istiod signs with is due",
)


@contextmanager
def demo(folder: Path, *arguments: str, **told: str) -> Iterator[subprocess.Popen[str]]:
    """The demo, its temporary files in a folder of its own; killed at the end if it still runs."""
    folder.mkdir()
    command = [sys.executable, "-m", "workers.cli", "demo", *arguments]
    environment = {"PATH": "/usr/bin:/bin:/usr/local/bin", "HOME": str(folder), "TMPDIR": str(folder)} | told
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment
    ) as running:
        try:
            yield running
        finally:
            running.send_signal(signal.SIGTERM)


@pytest.fixture
def short() -> Iterator[Path]:
    """A folder whose name leaves room for that of a socket; pytest's don't."""
    with tempfile.TemporaryDirectory() as folder:
        yield Path(folder)


def left(folder: Path) -> list[str]:
    """Processes that were told of the folder."""
    found = []
    for path in Path("/proc").glob("[0-9]*"):
        try:
            if str(folder).encode() in (path / "environ").read_bytes():
                found.append((path / "cmdline").read_text())
        except OSError:
            continue  # it ended meanwhile, or isn't ours
    return found


def test_the_demo_tells_its_story_on_a_machine_where_git_knows_nobody(short):
    with demo(short / "d") as running:
        assert running.stdout is not None
        said = running.stdout.read()
    assert 0 == running.returncode, said
    assert list(CHAPTERS) == [line for line in said.splitlines() if line in CHAPTERS]
    assert "peermesh/held/warehouse   held" in said
    assert "worker        flushed: closed peermesh/held/warehouse" in said
    assert ["1", "2"] == re.findall(r"^west +root-a +(\d+) ", said, re.MULTILINE)
    assert "  signer        signed for west\n" in said
    assert said.index("approve peermesh/trust/request-west") < said.index("signed for west")
    assert [] == left(short)
    mesh = re.search(r"explain shop/catalog --repo (\S+)", said)
    assert mesh is not None
    assert "exported by nobody now; east did" in done("explain", "payments/ledger", "--repo", mesh[1])
    assert "No proposal is open." in done("status", "--repo", mesh[1])
    assert "9090   grpc-events (GRPC)" in done("explain", "shop/cart", "--repo", mesh[1])
    assert "Nothing wrong" in done("check", "--repo", mesh[1])
    assert "All 6 accept each other." in done("ca", "verify", "--repo", mesh[1])


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 130), (signal.SIGINT, 130)])
def test_whoever_interrupts_it_is_left_with_no_process(short, number, code):
    with demo(short / "d") as running:
        assert running.stdout is not None
        while not running.stdout.readline().startswith("  syncer"):
            assert running.poll() is None
        assert left(short)
        running.send_signal(number)
        running.stdout.read()
    assert code == running.returncode
    assert [] == left(short)


def test_a_process_that_ends_ends_the_demo_and_is_named(short):
    with demo(short / "d", PEERMESH_HEARTBEAT="never") as running:
        assert running.stdout is not None
        said = running.stdout.read()
    assert 1 == running.returncode
    assert re.search(r"error: syncer \w+ ended: .*PEERMESH_HEARTBEAT", said)
    assert [] == left(short)


def test_without_the_redis_that_was_named_nothing_begins(short):
    with demo(short / "d", "--redis-url", f"unix://{short}/none") as refused:
        assert refused.stdout is not None
        assert "Invalid value for '--redis-url'" in refused.stdout.read()
    assert 1 == refused.wait()
    with demo(short / "e", "--redis-url", f"redis+socket://{short}/none") as away:
        assert away.stdout is not None
        assert "error: Redis doesn't answer as it should" in away.stdout.read()
    assert 1 == away.wait()
    assert [] == [*(short / "d").iterdir(), *(short / "e").iterdir()]
