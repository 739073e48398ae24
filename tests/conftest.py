"""What all tests share: their options, and how long random ones may take. (A warning is an error: pyproject.toml.)

With the variable SOAK set (`make soak`) random tests run many more examples, histories and kills.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

_SOAK = "SOAK" in os.environ

# A busy machine is no failure, so neither an example nor its making is timed.
# The same examples each time, so that a change is what makes a test fail; `make soak` looks for new ones.
settings.register_profile(
    "busy", deadline=None, max_examples=40, derandomize=True, suppress_health_check=[HealthCheck.too_slow]
)
settings.register_profile("soak", settings.get_profile("busy"), max_examples=2000, derandomize=False)
settings.load_profile("soak" if _SOAK else "busy")


def pytest_addoption(parser: pytest.Parser) -> None:
    """The options of these tests."""
    parser.addoption(
        "--golden",
        action="store_true",
        default="GOLDEN" in os.environ,
        help="write the golden files anew instead of comparing with them (as GOLDEN=1 does); review them as a diff",
    )
    parser.addoption(
        "--histories", type=int, default=40_000 if _SOAK else 2000, help="random histories that the simulator runs"
    )
    parser.addoption("--kills", type=int, default=1000 if _SOAK else 50, help="processes that are killed")


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """End-to-end tests run when they are named (`make e2e`): they need Go, and minutes to build what they test on."""
    if collection_path.name == "e2e" and not any("e2e" in argument for argument in config.invocation_params.args):
        return True
    return None


def pytest_configure(config: pytest.Config) -> None:
    """The markers of these tests."""
    config.addinivalue_line("markers", "golden: owns golden files, which `make golden` writes anew")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """What tests of chance recorded as `figures`: what it was that nothing was lost by."""
    for report in terminalreporter.getreports("passed"):
        for name, value in report.user_properties:
            if name == "figures":
                terminalreporter.write_line(f"{report.nodeid}: {value}")


@pytest.fixture
def golden(request: pytest.FixtureRequest) -> bool:
    """Whether golden files are written anew."""
    return bool(request.config.getoption("--golden"))
