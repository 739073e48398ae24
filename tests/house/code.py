"""What the source says of itself, read as syntax trees: reasons of errors, metrics, modules.

Knows how this project names its errors and metrics. Runs nothing of it.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parents[2]
PACKAGES: Final = ("syncer", "workers")
ERRORS: Final = {"Rejected", "Transient", "HumanNeeded", "Superseded"}
REASON: Final = re.compile(r"[A-Z][A-Za-z0-9]*[a-z][A-Za-z0-9]*")
"""CamelCase."""


@dataclass(frozen=True, kw_only=True, order=True)
class Reason:
    """A reason and who gives it: `kind` is the class that carries it, `module` where, `what` what it says."""

    reason: str
    kind: str
    module: str
    what: str


@dataclass(frozen=True, kw_only=True, order=True)
class Metric:
    """A metric as it is exposed (`_total` of counters included)."""

    name: str
    kind: str
    labels: tuple[str, ...]
    what: str


@cache
def source_files(*folders: str) -> tuple[Path, ...]:
    """Python files of the packages (or of these folders), sorted."""
    return tuple(sorted(path for folder in folders or PACKAGES for path in (ROOT / folder).rglob("*.py")))


@cache
def syntax(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), filename=str(path))


def module_of(path: Path) -> str:
    """The dotted name."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def calls(path: Path) -> Iterator[tuple[str, ast.Call]]:
    """Every call with the last part of the called name."""
    for node in ast.walk(syntax(path)):
        if isinstance(node, ast.Call):
            match node.func:
                case ast.Name(id=name) | ast.Attribute(attr=name):
                    yield name, node


@cache
def error_classes() -> Mapping[str, str]:
    """Exceptions that carry a reason, and which of the four errors each is (itself if it is none of them)."""
    found = {error: error for error in ERRORS}
    classes = [node for path in source_files() for node in ast.walk(syntax(path)) if isinstance(node, ast.ClassDef)]
    for node in classes:
        above = [base.id for base in node.bases if isinstance(base, ast.Name)]
        if mine := [found[name] for name in above if name in found]:
            found.setdefault(node.name, mine[0])
        elif "Exception" in above and _takes_reason(node) and node.name != "PeermeshError":
            found[node.name] = node.name
    return found


def _takes_reason(node: ast.ClassDef) -> bool:
    return any(
        argument.arg == "reason"
        for method in node.body
        if isinstance(method, ast.FunctionDef) and method.name == "__init__"
        for argument in method.args.args
    )


def reasons() -> tuple[Reason, ...]:
    """Every reason that stands in the code, sorted; the same one may come from several places."""
    found: set[Reason] = set()
    for path in source_files():
        for name, call in (*calls(path), *_own_reasons(path)):
            given = _reason_argument(name, call)
            for constant in ast.walk(given) if given is not None else ():
                if isinstance(constant, ast.Constant) and _is_reason(constant.value):
                    kind = _kind_of_failure(call) if name == "Failure" else name
                    what = _message(call, path)
                    found.add(Reason(reason=str(constant.value), kind=kind, module=module_of(path), what=what))
    return tuple(sorted(found))


def _own_reasons(path: Path) -> Iterator[tuple[str, ast.Call]]:
    """What an error class passes to the one above: `super().__init__("Malformed", …)`, as a call of that class."""
    for node in ast.walk(syntax(path)):
        if isinstance(node, ast.ClassDef) and node.name in error_classes():
            for call in ast.walk(node):
                if isinstance(call, ast.Call) and ast.unparse(call.func) == "super().__init__":
                    yield node.name, call


def sentence_of(name: str) -> str:
    """The first sentence of the docstring of an error class."""
    classes = (node for path in source_files() for node in ast.walk(syntax(path)) if isinstance(node, ast.ClassDef))
    text = next((ast.get_docstring(node) or "" for node in classes if node.name == name), "")
    return text.partition(".")[0]


def _kind_of_failure(call: ast.Call) -> str:
    """The error that a row in the table of git's refusals becomes (`workers.git.copy`)."""
    kind = next(keyword.value for keyword in call.keywords if keyword.arg == "kind")
    return "HumanNeeded" if ast.unparse(kind) == "'human'" else "Transient"


def _is_reason(value: object) -> bool:
    return isinstance(value, str) and REASON.fullmatch(value) is not None


def _reason_argument(name: str, call: ast.Call) -> ast.expr | None:
    for keyword in call.keywords:
        if keyword.arg == "reason":
            return keyword.value
    return call.args[0] if name in error_classes() and call.args else None


def _message(call: ast.Call, path: Path) -> str:
    """What the call says, with `…` for what is put in; empty where it is put together elsewhere."""
    named = {keyword.arg: keyword.value for keyword in call.keywords}
    what = call.args[1] if len(call.args) > 1 else named.get("what") or named.get("message") or named.get("detail")
    said, remedy = (_text(_assigned(node, path)) for node in (what, named.get("remedy")))
    return f"{said}. {remedy}" if said and remedy else said or remedy


def _assigned(node: ast.expr | None, path: Path) -> ast.expr | None:
    """What a name stands for: the value of the last assignment above it."""
    if not isinstance(node, ast.Name):
        return node
    values = [
        above.value
        for above in ast.walk(syntax(path))
        if isinstance(above, ast.Assign)
        and above.lineno <= node.lineno
        and [ast.unparse(target) for target in above.targets] == [node.id]
    ]
    return max(values, key=lambda value: value.lineno, default=None)


def _text(node: ast.expr | None) -> str:
    match node:
        case ast.Constant(value=str(value)):
            return value
        case ast.JoinedStr(values=values):
            return "".join(str(part.value) if isinstance(part, ast.Constant) else "…" for part in values)
        case ast.IfExp(body=body, orelse=other):
            return _text(body) or _text(other)
        case _:
            return ""


def metrics() -> tuple[Metric, ...]:
    """Every metric of `prometheus_client` that is made in the code, sorted."""
    kinds = {"Counter", "Gauge", "Histogram", "Summary", "CounterMetricFamily", "GaugeMetricFamily"}
    found: set[Metric] = set()
    for path in source_files():
        for name, call in calls(path):
            if name in kinds and len(call.args) > 1 and _text(call.args[0]).startswith("peermesh_"):
                kind = name.removesuffix("MetricFamily").lower()
                text = _text(call.args[0]).removesuffix("_total") + ("_total" if kind == "counter" else "")
                found.add(Metric(name=text, kind=kind, labels=_labels(call), what=_text(call.args[1])))
    return tuple(sorted(found))


def _labels(call: ast.Call) -> tuple[str, ...]:
    given = [*call.args[2:3], *(word.value for word in call.keywords if word.arg in {"labelnames", "labels"})]
    return tuple(
        str(constant.value) for node in given for constant in ast.walk(node) if isinstance(constant, ast.Constant)
    )
