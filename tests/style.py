"""The measures of style, with the good value beside each and the worst three by name: `make style`.

A report to think about, not a gate: it always ends with 0. Knows the shape of Python code; judges nothing.
"""

from __future__ import annotations

import ast
import statistics
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from rich import box
from rich.console import Console
from rich.table import Table

from tests.house.code import ROOT, module_of, source_files, syntax

Function = ast.FunctionDef | ast.AsyncFunctionDef
Documented = ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef

WIDTH: Final = 100
_MOCKS: Final = {"Mock", "MagicMock", "AsyncMock", "patch", "create_autospec"}


@dataclass(frozen=True, kw_only=True)
class Measure:
    """One row: what is measured, what is good, what is, and the worst (at most three)."""

    name: str
    good: str
    now: str
    worst: tuple[str, ...] = ()


def main() -> int:
    """Print the table."""
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1), show_lines=True)
    for column, width in (("measure", 19), ("good", 18), ("now", 18), ("the worst", 32)):
        table.add_column(column, width=width, overflow="fold")
    for measure in measures():
        table.add_row(measure.name, measure.good, measure.now, "\n".join(measure.worst))
    Console(width=WIDTH).print(table)
    return 0


def measures() -> Iterator[Measure]:
    """All rows, in the order of the table."""
    source, tests = source_files(), source_files("tests")
    yield _files(source)
    yield from _functions(source)
    yield _imports(source)
    yield _mocks(tests)
    yield _ratio(source, tests)
    yield _docstrings(source)
    yield _environment(source)


def _files(paths: Sequence[Path]) -> Measure:
    sizes = {_name(path): _lines(path) for path in paths}
    return Measure(
        name="file, lines",
        good="median ≤ 150, none over 400",
        now=f"median {_median(sizes.values())}, max {max(sizes.values())}",
        worst=_worst(sizes.items()),
    )


def _functions(paths: Sequence[Path]) -> Iterator[Measure]:
    found = [(f"{_name(path)} {function.name}", function) for path in paths for function in _walk_functions(path)]
    lengths = [(name, length(function)) for name, function in found]
    sizes = sorted(length for _, length in lengths)
    yield Measure(
        name="function, lines without docstring",
        good="median ≤ 10, 95 % ≤ 40, none over 60",
        now=f"median {_median(sizes)}, 95 % {sizes[int(len(sizes) * 0.95)]}, max {sizes[-1]}",
        worst=_worst(lengths),
    )
    many = [(name, len(_parameters(function))) for name, function in found]
    yield Measure(
        name="parameters",
        good="≤ 6",
        now=f"max {max(count for _, count in many)}, over 6 in {sum(count > 6 for _, count in many)}",
        worst=_worst(many),
    )
    positional = [(name, _positional(function)) for name, function in found]
    beyond = sum(count > 2 for _, count in positional)
    yield Measure(
        name="positional parameters",
        good="keyword-only beyond 2",
        now=f"{beyond} of {len(found)} functions take more",
        worst=_worst(positional),
    )


def _imports(paths: Sequence[Path]) -> Measure:
    counts = {_name(path): len(_own_modules(path)) for path in paths}
    return Measure(
        name="own modules imported per file",
        good="≤ 8",
        now=f"median {_median(counts.values())}, max {max(counts.values())}",
        worst=_worst(counts.items()),
    )


def _mocks(paths: Sequence[Path]) -> Measure:
    tests = sum(function.name.startswith("test_") for path in paths for function in _walk_functions(path))
    counts = {_name(path): sum(map(_is_mock, ast.walk(syntax(path)))) for path in paths}
    return Measure(
        name="mocks per test",
        good="≤ 0.1",
        now=f"{sum(counts.values()) / max(tests, 1):.3f} ({sum(counts.values())} in {tests} tests)",
        worst=_worst((name, count) for name, count in counts.items() if count),
    )


def _ratio(source: Sequence[Path], tests: Sequence[Path]) -> Measure:
    ours, theirs = sum(map(_lines, source)), sum(map(_lines, tests))
    return Measure(
        name="test lines : source lines",
        good="1.0 to 1.7",
        now=f"{theirs / ours:.2f} ({theirs} : {ours})",
    )


def _docstrings(paths: Sequence[Path]) -> Measure:
    public = [(path, name, node) for path in paths if "cli" not in path.parts for name, node in _public(path)]
    without = [f"{_name(path)} {name}" for path, name, node in public if ast.get_docstring(node) is None]
    return Measure(
        name="public names with docstring",
        good="all in syncer and the core",
        now=f"{100 * (1 - len(without) / len(public)):.0f} % of {len(public)}",
        worst=tuple(without[:3]),
    )


def _environment(paths: Sequence[Path]) -> Measure:
    readers = tuple(_name(path) for path in paths if any(map(reads_environment, ast.walk(syntax(path)))))
    return Measure(name="files that read the environment", good="1 per process", now=str(len(readers)), worst=readers)


# --- what is counted


def _name(path: Path) -> str:
    return str(path.relative_to(ROOT))


def _lines(path: Path) -> int:
    return len(path.read_text(encoding="utf-8").splitlines())


def _median(values: Iterable[int]) -> int:
    return round(statistics.median(list(values) or [0]))


def _worst(named: Iterable[tuple[str, int]]) -> tuple[str, ...]:
    worst = sorted(named, key=lambda pair: (-pair[1], pair[0]))[:3]
    return tuple(f"{number} {name}" for name, number in worst)


def _walk_functions(path: Path) -> Iterator[Function]:
    return (node for node in ast.walk(syntax(path)) if isinstance(node, Function))


def length(function: Function) -> int:
    """Lines from `def` to the last statement, without the docstring."""
    assert function.end_lineno is not None
    length = function.end_lineno - function.lineno + 1
    first = function.body[0]
    if ast.get_docstring(function) is not None and first.end_lineno is not None:
        length -= first.end_lineno - first.lineno + 1
    return length


def _parameters(function: Function) -> list[str]:
    given = function.args
    return [one.arg for one in (*given.posonlyargs, *given.args, *given.kwonlyargs) if one.arg not in {"self", "cls"}]


def _positional(function: Function) -> int:
    given = function.args
    return sum(one.arg not in {"self", "cls"} for one in (*given.posonlyargs, *given.args))


def _own_modules(path: Path) -> set[str]:
    """Modules of the project that a file imports; its own package's parts count like the others."""
    known = {module_of(other) for other in source_files()}
    found: set[str] = set()
    for node in ast.walk(syntax(path)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names} & known
        elif isinstance(node, ast.ImportFrom) and node.module is not None:
            below = {f"{node.module}.{alias.name}" for alias in node.names} & known
            found |= below or {node.module} & known
    return found - {module_of(path)}


def _is_mock(node: ast.AST) -> bool:
    match node:
        case ast.Call(func=ast.Name(id=name) | ast.Attribute(attr=name)) if name in _MOCKS:
            return True
        case ast.Call(func=ast.Attribute(value=ast.Name(id="monkeypatch"), attr="setattr")):
            return True
        case _:
            return False


def _public(path: Path) -> Iterator[tuple[str, Documented]]:
    """Module, classes, functions and methods that don't begin with `_`; what a Protocol describes isn't said twice."""
    tree = syntax(path)
    yield "(module)", tree
    for node in tree.body:
        if isinstance(node, ast.ClassDef | Function) and not node.name.startswith("_"):
            yield node.name, node


def reads_environment(node: ast.AST) -> bool:
    """Whether a node takes something from the environment of the process."""
    match node:
        case ast.Attribute(value=ast.Name(id="os"), attr="environ" | "getenv" | "environb"):
            return True
        case ast.ImportFrom(module="os", names=names):
            return any(alias.name in {"environ", "getenv"} for alias in names)
        case ast.keyword(arg="envvar"):
            return True
        case _:
            return False


if __name__ == "__main__":
    sys.exit(main())
