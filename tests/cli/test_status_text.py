"""What `status` says of what is applied, as somebody reads it who was just woken up."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from workers.applied import Applied, UnitApplied
from workers.cli.status_text import show_status, status_value
from workers.status import ClusterStatus, Heard, Status

NOON = datetime(2026, 11, 24, 12, tzinfo=UTC)
COMMIT = "1c2b3a"


def test_what_is_applied_has_a_column_and_no_more_to_say(capsys):
    said = shown(capsys, Applied(state="applied", units=(UnitApplied(name="imports", state="applied"),)))
    assert said[2].split() == ["cluster", "exports", "can", "call", "gateway", "heard", "applied"]
    assert said[3].endswith("1 s ago   as committed")
    assert not any("clusters/west" in line for line in said)


def test_without_redis_there_is_no_column(capsys):
    said = shown(capsys, None)
    assert "applied" not in said[2]
    assert said[3].rstrip().endswith("no address")


def test_objects_that_differ_are_named_with_the_commit_that_was_applied_and_since_when(capsys):
    unit = UnitApplied(
        name="imports",
        state="stale",
        missing=tuple(f"ServiceEntry/peermesh-imports/{number}.shop" for number in range(7)),
        left=("ServiceEntry/peermesh-imports/old.shop",),
        revision=COMMIT,
    )
    said = " ".join(shown(capsys, Applied(state="stale", units=(unit,), since=NOON)))
    assert "not yet" in said
    assert "west: clusters/west/imports/ isn't applied: ServiceEntry/peermesh-imports/0.shop, " in said
    assert "4.shop and 2 more not there; ServiceEntry/peermesh-imports/old.shop still there, though withdrawn" in said
    assert "(since 2026-11-24 12:00 UTC or longer, last applied: 1c2b3a)" in said
    assert "5.shop" not in said


def test_what_a_reconciler_says_is_one_line_that_no_terminal_obeys(capsys):
    unit = UnitApplied(name="gateway", state="failed", message="dry-run\tfailed:\n\x1b[2Jboom " + "x" * 1000)
    said = shown(capsys, Applied(state="failed", units=(unit,)))
    told = " ".join(said)
    assert "west: clusters/west/gateway/ can't be applied: dry-run failed: [2Jboom xxx" in told
    assert "heard before main changed last, no reconciler of it was seen there: delivery/README.md" in told
    assert ("\x1b" in told, told.count("x") < 600) == (False, True)


@pytest.mark.parametrize("state", ["unknown"])
def test_what_is_not_known_is_no_trouble(capsys, state):
    assert any("unknown" in line for line in shown(capsys, Applied(state=state)))


def test_scripts_get_all_of_it():
    unit = UnitApplied(name="imports", state="stale", missing=("ServiceEntry/a/b",))
    [value] = status_value(status(Applied(state="stale", units=(unit,), since=NOON)))["clusters"]
    assert {"stale", "2026-11-24T12:00:00Z"} == {value["applied"]["state"], value["applied"]["since"]}
    assert ["ServiceEntry/a/b"] == list(value["applied"]["units"][0]["missing"])


def status(applied: Applied | None) -> Status:
    cluster = ClusterStatus(
        name="west",
        exports=1,
        calls=2,
        addresses=(),
        keys=1,
        observed_at=NOON if applied else None,
        refusal=None,
        applied=applied,
    )
    heard = Heard() if applied else None
    return Status(mesh="acme", paused=None, clusters=(cluster,), proposals=(), rejected=frozenset(), heard=heard)


def shown(capsys: pytest.CaptureFixture[str], applied: Applied | None) -> list[str]:
    show_status(status(applied), NOON + timedelta(seconds=1))
    return capsys.readouterr().out.splitlines()
