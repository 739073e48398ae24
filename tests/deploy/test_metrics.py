"""Figures as Prometheus sees them, and the metrics that begin before anything happened."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import get_args

import pytest
from prometheus_client import CollectorRegistry, generate_latest

from tests.deploy.promtool import needs_promtool, promtool
from workers import metrics
from workers.documents import paths
from workers.documents.kinds import ProposalClass
from workers.figures import Figures, OpenSince, TrustFigures
from workers.pki.due import Dates

NOW = datetime(2026, 4, 1, 8, 0, tzinfo=UTC)
FIGURES = Figures(
    observed_at={"east": None, "west": NOW},
    proposals={
        "peermesh/exports/shop": OpenSince(since=NOW, classes=("export", "withdrawal")),
        "peermesh/exports/pay": OpenSince(since=NOW - timedelta(hours=1), classes=("export",)),
    },
    marked=2,
    paused=True,
    unapplied={"east": {}, "west": {"Gateway/a/b": NOW, "Gateway/a/c": NOW - timedelta(minutes=3)}},
    failing={"east": 0, "west": 1},
)


@pytest.fixture
def registry() -> CollectorRegistry:
    shown, made = metrics.Shown(), CollectorRegistry()
    made.register(shown)
    shown.show(FIGURES)
    return made


def test_before_the_first_sweep_nothing_is_said():
    registry = CollectorRegistry()
    registry.register(metrics.Shown())
    assert b"" == generate_latest(registry)


def test_what_a_sweep_found_is_shown(registry):
    found = {
        (sample.name, *sample.labels.values()): sample.value
        for family in registry.collect()
        for sample in family.samples
    }
    expected: dict[tuple[str, ...], float] = {
        ("peermesh_observation_timestamp_seconds", "east"): 0,
        ("peermesh_observation_timestamp_seconds", "west"): NOW.timestamp(),
        **{("peermesh_proposals", name): 0 for name in get_args(ProposalClass)},
        ("peermesh_proposals", "export"): 2,
        ("peermesh_proposals", "withdrawal"): 1,
        ("peermesh_oldest_proposal_timestamp_seconds", "export"): NOW.timestamp() - 3600,
        ("peermesh_oldest_proposal_timestamp_seconds", "withdrawal"): NOW.timestamp(),
        ("peermesh_unapplied_objects", "east"): 0,
        ("peermesh_unapplied_objects", "west"): 2,
        ("peermesh_oldest_unapplied_timestamp_seconds", "west"): NOW.timestamp() - 180,
        ("peermesh_failing_units", "east"): 0,
        ("peermesh_failing_units", "west"): 1,
        ("peermesh_marked",): 2,
        ("peermesh_paused",): 1,
    }
    assert expected == found


@needs_promtool
def test_prometheus_has_nothing_to_object_to_in_figures(registry):
    done = promtool("check", "metrics", stdin=generate_latest(registry).decode())
    assert (0, "") == (done.returncode, done.stdout + done.stderr)


def test_refused_refs_are_counted_by_what_they_are_and_begin_at_nothing():
    def counted() -> list[float]:
        return [metrics.REFUSED_WRITES.labels(ref)._value.get() for ref in ("main", "proposal", "memory")]

    text = generate_latest(metrics.REGISTRY).decode()
    assert 3 == text.count("peermesh_refused_writes_total{")
    before = counted()
    metrics.count_refused(
        [paths.MAIN, "refs/heads/peermesh/exports/shop", "refs/heads/peermesh/render", paths.REJECTED]
    )
    assert [1, 2, 1] == [after - one for after, one in zip(counted(), before, strict=True)]


TRUST = TrustFigures(
    dates={"west": Dates(begins=NOW, renews=NOW, late=NOW, last_call=NOW, ends=NOW + timedelta(hours=1))},
    roots={"a": NOW},
    crls={"a": NOW, "west": NOW},
    agents={"west": 2, "east": 0},
    unsigned={"west": NOW},
    unmet={"east": NOW},
    refused={("east", "BadRequest"): NOW},
)


def shown_of_trust(seconds_later: float) -> dict[tuple[str, ...], float]:
    """What is served so long after a turn."""
    now = [0.0]
    shown = metrics.ShownTrust(clock=lambda: now[0])
    shown.show(TRUST)
    now[0] += seconds_later
    families = list(shown.collect())
    return {(one.name, *one.labels.values()): one.value for family in families for one in family.samples}


DATES: dict[tuple[str, ...], float] = {
    ("peermesh_intermediate_end_timestamp_seconds", "west"): NOW.timestamp() + 3600,
    ("peermesh_intermediate_renewal_timestamp_seconds", "west"): NOW.timestamp(),
    ("peermesh_intermediate_late_timestamp_seconds", "west"): NOW.timestamp(),
    ("peermesh_intermediate_last_call_timestamp_seconds", "west"): NOW.timestamp(),
    ("peermesh_root_end_timestamp_seconds", "a"): NOW.timestamp(),
    ("peermesh_crl_end_timestamp_seconds", "a"): NOW.timestamp(),
    ("peermesh_crl_end_timestamp_seconds", "west"): NOW.timestamp(),
}


def test_what_a_turn_found_of_certificates_is_shown():
    assert {
        **DATES,
        ("peermesh_oldest_unsigned_timestamp_seconds", "west"): NOW.timestamp(),
        ("peermesh_oldest_unmet_trust_timestamp_seconds", "east"): NOW.timestamp(),
        ("peermesh_oldest_refused_request_timestamp_seconds", "east", "BadRequest"): NOW.timestamp(),
        ("peermesh_agent_trouble", "west"): 2,
        ("peermesh_agent_trouble", "east"): 0,
    } == shown_of_trust(899)


def test_a_worker_that_takes_no_more_turns_tells_dates_alone():
    assert DATES == shown_of_trust(901)
