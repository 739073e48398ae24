"""What people see of findings: a terminal of 100 columns, a pipe, a script."""

from __future__ import annotations

import io
import subprocess
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from rich.console import Console

from syncer.protocol.observation import GatewayAddress, ObservedGateway
from tests.doctor.sights import CLOSED, INSIDE, NOW, OTHER_KEY, SETTINGS, SHOWN, healthy, observation
from workers.cli import screen
from workers.cli.doctor.text import continued, reports_value, show_reports
from workers.doctor import Finding, Report, examine
from workers.doctor.cluster import CHECKS
from workers.doctor.seen import Replicas, Right, Rights
from workers.outside import Refusal

GOLDEN = Path(__file__).parent / "golden"
SICK = healthy(
    settings={
        **SETTINGS,
        "istio.version": "1.27.3",
        "istio.mtls": "PERMISSIVE",
        "istio.trustDomain": "cluster.local",
        "istio.trustDomains": "cluster.local",
        "istio.dnsCapture": "false",
        "istio.network": "",
        "unit/imports": "1c2b3a4 failed: ServiceEntry/peermesh-imports/cart.shop dry-run failed: .spec.bogus: field "
        "not declared in schema",
    },
    observation=observation(
        observed_at=NOW - timedelta(hours=3),
        gateway=ObservedGateway(addresses=(GatewayAddress(ip="203.0.113.77", port=15443),)),
    ),
    refusal=Refusal(
        reason="BadSignature",
        what="no key of this cluster in mesh/clusters/west.yaml signed this",
        since=NOW - timedelta(hours=2),
        last=NOW,
        count=24,
    ),
    inside=replace(
        INSIDE,
        namespaces=frozenset({"peermesh-system"}),
        rights=Rights(
            needed=36,
            missing=(
                Right(verb="watch", resource="pods"),
                Right(verb="list", resource="gateways", group="networking.istio.io"),
            ),
            excess=(Right(verb="list", resource="secrets"),),
        ),
        syncer=Replicas(wanted=2, ready=1, message="Deployment does not have minimum availability."),
        key=OTHER_KEY,
        clock=-301.0,
    ),
    handshakes=(replace(SHOWN, outcome="closed"), CLOSED),
)


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> io.StringIO:
    """What a terminal of 100 columns without colours gets."""
    shown = io.StringIO()
    made = Console(file=shown, width=100, force_terminal=True, color_system=None, highlight=False, markup=False)
    monkeypatch.setattr(screen, "console", lambda **_: made)
    return shown


@pytest.mark.golden
@pytest.mark.parametrize(("name", "seen"), [("healthy", healthy()), ("sick", SICK)])
def test_a_terminal_of_100_columns_shows_what_is_wrong_and_the_command_below_it(terminal, golden, name, seen):
    show_reports([examine("cluster west", CHECKS, seen)])
    shown = "".join(f"{line.rstrip()}\n" for line in terminal.getvalue().splitlines())
    assert [] == [line for line in shown.splitlines() if len(line) > 100]
    path = GOLDEN / f"{name}.txt"
    if golden:
        path.write_text(shown)
    assert path.read_text() == shown


def test_a_pipe_gets_each_finding_on_one_line(capsys):
    show_reports([examine("cluster west", CHECKS, SICK)])
    lines = capsys.readouterr().out.splitlines()
    commands = [line for line in lines if line.startswith("          $ ")]
    assert "          $ peermesh cluster trust west " + OTHER_KEY in commands
    assert any(len(line) > 100 for line in lines)
    assert "8 ok" not in lines[-1]
    assert "\x1b" not in "".join(lines)


def test_what_a_server_says_cannot_command_a_terminal(capsys):
    evil = Finding(subject="x", status="wrong", what="\x1b[2J\x07gone\nok", remedy="$ a\x1b]0;b")
    show_reports([Report(about="center", findings=(evil,))])
    assert "center\n  wrong   x:  [2J gone ok\n          $ a ]0;b\n\n1 wrong\n" == capsys.readouterr().out


def test_a_script_gets_every_finding_and_how_many_there_are():
    value = reports_value([examine("cluster west", CHECKS, healthy(inside=replace(INSIDE, key="")))])
    assert {"findings", "summary"} == set(value)
    (wrong,) = (finding for finding in value["findings"] if finding["status"] != "ok")
    assert {
        "about": "cluster west",
        "subject": "key",
        "status": "wrong",
        "what": "the Secret for its key holds none: its syncer never started",
        "remedy": "$ kubectl --context west -n peermesh-system logs deploy/peermesh-syncer --tail=20",
    } == wrong
    assert 1 == value["summary"]["wrong"]
    assert len(value["findings"]) == sum(value["summary"].values())


def test_a_command_wider_than_the_terminal_can_be_copied_as_it_stands():
    command = "$ printf '%s\\n' one 'two  words' \"and 'more'\" " + " ".join(f"word{number}" for number in range(30))
    lines = list(continued(command, 40))
    assert [] == [line for line in lines if len(line) > 40]
    assert _run(command.removeprefix("$ ")) == _run("\n".join(lines).removeprefix("$ "))
    assert ["$ short"] == list(continued("$ short", 40))


def _run(script: str) -> str:
    return subprocess.run(["sh", "-c", script], check=True, capture_output=True, text=True).stdout
