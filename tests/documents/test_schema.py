"""The formats as editors and people read them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from workers.documents.kinds import KINDS
from workers.documents.schema import formats_markdown, json_schema

ROOT = Path(__file__).parents[2]
FORMATS = ROOT / "docs" / "formats.md"
SCHEMAS = ROOT / "repo-template" / ".schema"
"""In every mesh repository, so that editors find them; `init` copies them with the template."""


def _nodes(node: Any) -> Iterator[dict[str, Any]]:
    if isinstance(node, dict):
        yield node
    for inner in node.values() if isinstance(node, dict) else node if isinstance(node, list) else ():
        yield from _nodes(inner)


@pytest.mark.golden
def test_the_documentation_of_formats_is_what_the_types_say(golden):
    if golden:
        FORMATS.write_text(formats_markdown(), encoding="utf-8")
    assert formats_markdown() == FORMATS.read_text(encoding="utf-8")


@pytest.mark.golden
@pytest.mark.parametrize("kind", ["Mesh", "Cluster"])
def test_the_schemas_of_peoples_documents_lie_in_the_template(kind: str, golden):
    file = SCHEMAS / f"{kind.lower()}.json"
    schema = json.dumps(json_schema()[kind], indent=2) + "\n"
    if golden:
        file.parent.mkdir(exist_ok=True)
        file.write_text(schema, encoding="utf-8")
    assert schema == file.read_text(encoding="utf-8")


def test_each_kind_has_a_schema_of_its_own():
    assert list(KINDS) == list(json_schema())


@pytest.mark.parametrize("kind", KINDS)
def test_a_schema_is_as_strict_as_the_reader(kind: str):
    schema = json_schema()[kind]
    top = schema["$defs"][kind]
    assert ["apiVersion", "kind", "metadata"] == top["required"][:3]
    assert [kind] == top["properties"]["kind"]["enum"]
    for node in _nodes(schema):
        assert node.get("type") != "null"
        assert "properties" not in node or node["additionalProperties"] is False


@pytest.mark.parametrize("kind", KINDS)
def test_each_reference_in_a_schema_leads_somewhere(kind: str):
    schema = json_schema()[kind]
    for node in _nodes(schema):
        if "$ref" in node:
            assert node["$ref"].removeprefix("#/$defs/") in schema["$defs"]


@pytest.mark.parametrize("kind", ["Mesh", "Cluster"])
def test_each_field_that_people_write_says_what_it_is_for(kind: str):
    schema = json_schema()[kind]
    told = {"apiVersion", "kind", "metadata", "name"}
    for node in _nodes(schema):
        for name, field in node.get("properties", {}).items():
            assert "description" in field or "$ref" in field or name in told, name
