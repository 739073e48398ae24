"""The Git server refuses, fails, stalls and loses answers: the worker recovers and does nothing twice."""

from __future__ import annotations

from typing import Final

from tests.pipeline.directory import directory
from tests.pipeline.harness import Pipeline, pipeline
from tests.servers.git_http import Fault
from tests.servers.sshd import new_key
from workers.documents.paths import MAIN

AUTOMATIC = ("export", "change", "withdrawal", "address", "follow-up")
PUSH: Final = "git-receive-pack"
FETCH: Final = "git-upload-pack"
FAULTS = {
    "errors": [Fault(kind="status", status=500, service=PUSH)] * 3,
    "an answer that is lost": [Fault(kind="lost", service=PUSH, method="POST")],
    "a connection that breaks": [Fault(kind="reset", service=PUSH, method="POST")],
    "a fetch that fails": [Fault(kind="status", status=503, service=FETCH)] * 2,
    "a fetch whose answer is lost": [Fault(kind="lost", service=FETCH, method="POST")],
}
PROTECTED = """\
#!/bin/sh
while read old new ref; do
  if [ "$ref" = refs/heads/main ] && [ "$(git log -1 --format=%an "$new")" = peermesh ]; then
    echo "main is protected: ask the platform team" >&2
    exit 1
  fi
done
"""


def test_whatever_the_server_does_each_change_is_committed_once(tmp_path):
    west = directory(tmp_path / "west", "203.0.113.10")
    west.put("shop/cart")
    with pipeline(tmp_path, {"west": west}, automatic=AUTOMATIC) as line:
        line.everything_approved()
        for number, (name, faults) in enumerate(FAULTS.items(), 1):
            before = line.robots_commits()
            line.server.fail(*faults)
            west.put(f"shop/new-{number}")
            _is_heard(line, 1 + number)
            line.wait_until_settled(hurry=True)
            after = line.robots_commits()
            assert before == after[1:], name
            assert f"facts/exports/shop/west/new-{number}.yaml" in after[0], name


def test_a_push_that_stalls_is_refused_when_somebody_else_was_faster(tmp_path):
    west = directory(tmp_path / "west", "203.0.113.10")
    west.put("shop/cart")
    with pipeline(tmp_path, {"west": west}, automatic=AUTOMATIC) as line:
        line.everything_approved()
        before = line.robots_commits()
        line.server.fail(Fault(kind="stall", service=PUSH, method="POST"))
        pushes = line.server.requests.count(f"POST /mesh.git/{PUSH}")
        west.put("shop/cart", port=9090)
        line.wait_for(lambda: line.server.requests.count(f"POST /mesh.git/{PUSH}") > pushes, "the push that stalls")

        line.git("pull", "--quiet", "--ff-only", "origin", "main")
        (line.checkout / "NOTES").write_text("somebody else was here\n")
        line.git("add", "NOTES")
        line.git("commit", "--quiet", "--message", "Notes")
        line.git("push", "--quiet", "origin", "main")
        line.server.release()
        line.wait_until_settled(hurry=True)
        assert b"somebody else was here\n" == line.main_files()["NOTES"]
        assert before == line.robots_commits()[1:]


def test_a_main_that_only_people_may_push_to_is_told_and_stops_no_other_proposal(tmp_path):
    west, east = directory(tmp_path / "west", "203.0.113.10"), directory(tmp_path / "east", "203.0.113.20")
    west.put("bank/ledger")
    with pipeline(tmp_path, {"west": west, "east": east}, automatic=AUTOMATIC) as line:
        line.everything_approved()
        before = line.refs()[MAIN]
        hook = line.bare / "hooks" / "pre-receive"
        hook.write_text(PROTECTED)
        hook.chmod(0o755)

        west.put("shop/cart")
        line.wait_for(lambda: MAIN in line.inbox.said(), "the refusal to be told")
        assert "main is protected: ask the platform team" in line.inbox.said()[MAIN]
        assert "main is protected" in line.status()
        east.put("bank/ledger")  # a second provider: never automatic
        other = line.opened("peermesh/exports/bank")
        assert before == line.refs()[MAIN]
        line.approve(other)

        hook.unlink()
        west.put("shop/till")
        line.wait_until_settled(hurry=True)
        assert {"bank/ledger", "shop/cart", "shop/till"} == set(map(str, line.tree().facts.exports))


def test_a_host_key_that_changed_is_an_alarm_and_nothing_is_pushed_until_somebody_has_looked(tmp_path):
    west = directory(tmp_path / "west", "203.0.113.10")
    west.put("shop/cart")
    with pipeline(tmp_path, {"west": west}, automatic=AUTOMATIC, transport="ssh") as line:
        line.everything_approved()
        before = line.refs()
        known = line.wire.access.known_hosts
        good = known.read_text()
        new_key(tmp_path / "other")
        known.write_text(f"[127.0.0.1]:* {(tmp_path / 'other.pub').read_text()}")
        west.put("shop/cart", port=9090)
        line.wait_for(lambda: "ALARM" in "".join(line.inbox.said().values()), "the alarm")
        assert "somebody may be in between" in line.status()
        assert before == line.refs()

        known.write_text(good)
        west.put("shop/cart", port=9091)
        line.wait_until_settled(hurry=True)
        assert before != line.refs()
        assert "ALARM" not in line.status()


def _is_heard(line: Pipeline, exports: int) -> None:
    line.wait_for(lambda: len(line.heard("west").offers) == exports, f"{exports} exports at the border")
