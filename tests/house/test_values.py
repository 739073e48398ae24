"""Values for scripts: every name that a command prints is in `docs/cli.md`."""

from __future__ import annotations

import ast
import re

import pytest

from tests.house.code import ROOT, syntax
from tests.house.prose import read

MODULES = ("plan_value", "status_text", "explain_text", "doctor/text")


@pytest.mark.parametrize("module", MODULES)
def test_every_name_in_a_value_is_in_the_page(module):
    words = set(re.findall(r"`([a-z_]+)`", read(ROOT / "docs" / "cli.md")))
    assert set() == names(module) - words


def names(module: str) -> set[str]:
    """Keys of the dicts that functions returning a value write out."""
    tree = syntax(ROOT / "workers" / "cli" / f"{module}.py")
    functions = [
        node
        for node in tree.body
        if isinstance(node, ast.FunctionDef) and node.returns is not None and "dict" in ast.unparse(node.returns)
    ]
    assert functions
    dicts = (node for function in functions for node in ast.walk(function) if isinstance(node, ast.Dict))
    return {str(key.value) for node in dicts for key in node.keys if isinstance(key, ast.Constant)}
