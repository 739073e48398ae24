"""What all tests share: one way to write golden files anew. (A warning is an error: pyproject.toml.)"""

from __future__ import annotations

import os

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--golden",
        action="store_true",
        default="GOLDEN" in os.environ,
        help="write the golden files anew instead of comparing with them (as GOLDEN=1 does); review them as a diff",
    )

    parser.addoption("--histories", type=int, default=1000, help="how many random histories the simulator runs")


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "golden: owns golden files, which `make golden` writes anew")


@pytest.fixture
def golden(request: pytest.FixtureRequest) -> bool:
    """Whether golden files are written anew."""
    return bool(request.config.getoption("--golden"))
