"""The table of benchmarks: it fits a page, and judges by the right figure."""

from __future__ import annotations

from io import StringIO

import pytest
from rich.console import Console

from tests.bench import __main__ as bench
from tests.bench.figures import Figures, Timed, alternated, of_times, told
from tests.bench.report import WIDTH, Row, table

OTHER = Figures(values=(3.0, 5.0))


def row(*values: float, **changes: object) -> Row:
    said = {"what": "a long name " * 5, "measured": Figures(values=values), "baseline": "another way", "beside": OTHER}
    return Row(**(said | changes))  # type: ignore[arg-type]


def printed(*rows: Row, judge: bool = True) -> list[str]:
    out = StringIO()
    page = Console(width=WIDTH, file=out)
    page.print(table(rows, judge=judge, caption="a machine"))
    return out.getvalue().splitlines()


def test_the_table_fits_in_100_columns():
    wide = row(123.4, 5678.9, budget=1000.0, measured=Figures(values=(0.00123, 0.00456), cpu=(0.00789,)))
    assert max(map(len, printed(wide, row(1.0, budget=2.0)))) <= WIDTH


@pytest.mark.parametrize(
    ("values", "judged", "over"),
    [((1.0, 1.9, 9.0), "median", False), ((1.0, 2.1, 2.2), "median", True), ((1.0, 1.9, 9.0), "p95", True)],
)
def test_a_budget_is_judged_by_the_median_or_by_the_95th_percentile(values, judged, over):
    assert over == row(*values, budget=2.0, judged=judged).over


def test_without_a_budget_nothing_is_judged():
    text = "\n".join(printed(row(1.0)))
    assert ("none" in text, "within" in text, "over" in text) == (True, False, False)


def test_a_small_mesh_gets_no_verdict():
    assert "within" not in "\n".join(printed(row(1.0, budget=2.0), judge=False))


def test_the_ratio_says_how_many_times_the_baseline_costs_it():
    assert 2.0 == row(1.0, 2.0, 3.0).ratio


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (0.00016, "s", "0.16 ms"),
        (0.0263, "s", "26 ms"),
        (4.21, "s", "4.2 s"),
        (99.4, "s", "99 s"),
        (246.0, "MiB", "246 MiB"),
    ],
)
def test_values_are_told_with_few_digits(value, unit, text):
    assert text == told(value, unit)


def test_the_baseline_is_measured_in_between():
    order: list[str] = []

    def note(name: str) -> Timed:
        order.append(name)
        return Timed(wall=1.0, cpu=0.5)

    measured, beside = alternated(lambda _: note("ours"), lambda _: note("theirs"), times=4, baselines=2)
    assert ["ours", "theirs", "ours", "ours", "theirs", "ours"] == order
    assert (of_times([note("x")] * 4), of_times([note("x")] * 2)) == (measured, beside)


def test_the_program_measures_what_it_is_asked_for_and_ends_well(capsys):
    code = bench.main(["--quick", "--only", "dump"])
    out = capsys.readouterr().out
    assert (0, True, False) == (code, "DestinationRule" in out, "learn to lint" in out)
