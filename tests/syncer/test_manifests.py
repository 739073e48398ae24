from __future__ import annotations

import json
import textwrap
from contextlib import suppress
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from syncer.cluster.manifests import manifests
from syncer.cluster.objects import KINDS
from syncer.protocol.errors import Rejected

SERVICE = """\
apiVersion: v1
kind: Service
metadata:
  name: a
spec:
  ports:
  - port: 80
"""


def names(text: str, path: str = "test.yaml") -> list[str]:
    found = manifests(path, textwrap.dedent(text).encode(), "shop")
    return [f"{one.kind} {one.namespace}/{one.name}" for one in found]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("---\n---\n# nothing\n", []),
        (SERVICE, ["Service shop/a"]),
        ("\ufeff" + SERVICE, ["Service shop/a"]),
        (SERVICE.replace("name: a", "name: a\n  namespace: bank"), ["Service bank/a"]),
        (SERVICE.replace("name: a", "name: a\n  namespace:"), ["Service shop/a"]),
        (SERVICE.replace("name: a", 'name: a\n  namespace: ""'), ["Service shop/a"]),
        (f"{SERVICE}---\n{SERVICE.replace('name: a', 'name: b')}", ["Service shop/a", "Service shop/b"]),
        ("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: 1}\n", []),
        ("apiVersion: networking.k8s.io/v1\nkind: Service\nmetadata: {name: a}\n", []),
        ("{apiVersion: v1, kind: List, items: []}", []),
        ("{apiVersion: v1, kind: List, items: [{apiVersion: v1, kind: Pod, metadata: {name: p}}]}", ["Pod shop/p"]),
        ("{apiVersion: v1, kind: ServiceList, items: [{metadata: {name: a}}]}", ["Service shop/a"]),
        ("{apiVersion: gateway.networking.k8s.io/v1, kind: Gateway, metadata: {name: 1}}", []),
    ],
)
def test_the_objects_that_matter_are_found(text: str, expected: list[str]) -> None:
    assert expected == names(text)


def test_json_means_the_same_as_yaml() -> None:
    service = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "a", "labels": None}}
    assert ["Service shop/a"] == names(json.dumps(service, indent="\t"), "test.json")


def test_anchors_and_merges_mean_what_yaml_says() -> None:
    text = """\
        apiVersion: v1
        kind: Service
        metadata: &metadata {name: a, labels: &labels {app: a, tier: back}}
        spec: {selector: {<<: *labels, app: b}, ports: [{port: 80}]}
        status: {conditions: *metadata}
        """
    ((found),) = manifests("test.yaml", textwrap.dedent(text).encode(), "shop")
    assert {"app": "b", "tier": "back"} == found.value.spec.selector


def test_a_merged_map_that_is_merged_again_isnt_taken_for_a_key_that_stands_twice() -> None:
    text = """\
        apiVersion: v1
        kind: Service
        metadata: {name: a, deep: {deeper: &b {<<: {app: a}, app: b}}, labels: {<<: *b}}
        """
    ((found),) = manifests("test.yaml", textwrap.dedent(text).encode(), "shop")
    assert {"app": "b"} == found.value.metadata.labels


def test_times_stay_text_and_null_is_absent() -> None:
    text = SERVICE.replace("name: a", "name: a\n  creationTimestamp: 2026-01-12T09:05:00Z\n  labels: null")
    ((found),) = manifests("test.yaml", text.encode(), "shop")
    assert ("2026-01-12T09:05:00Z", {}) == (found.value.metadata.creation_timestamp, found.value.metadata.labels)


BOMB = "a: &a [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{chr(98 + i)}: &{chr(98 + i)} [{', '.join([f'*{chr(97 + i)}'] * 10)}]\n" for i in range(8)
)
TRUNCATED = "Look for a missing quote, bracket or indent, or a file that isn't written to its end."
TYPES = "Manifests hold what JSON can say, too: no other types, and keys that are text."
BAD = [
    ("nothing", " \n", 1, "an empty file. Write it to its end, or remove it."),
    (
        "a list that isn't closed",
        SERVICE + "  selector: {app: a\n",
        9,
        f"not YAML: did not find expected ',' or '}}'. {TRUNCATED}",
    ),
    ("half of a quote", SERVICE[:-3] + '"8', 7, f"not YAML: found unexpected end of stream. {TRUNCATED}"),
    (
        "a tab",
        SERVICE.replace("  ports", "\tports"),
        6,
        f"not YAML: found character that cannot start any token. {TRUNCATED}",
    ),
    (
        "a key twice",
        SERVICE.replace("kind: Service\n", "kind: Service\nkind: Service\n"),
        3,
        "key 'kind' stands twice, first in line 2. Keep one of the two.",
    ),
    (
        "a tag",
        SERVICE.replace("port: 80", "port: !!python/object/apply:os.system [id]"),
        7,
        (
            "not YAML: could not determine a constructor for the tag "
            f"'tag:yaml.org,2002:python/object/apply:os.system'. {TYPES}"
        ),
    ),
    (
        "a tag of YAML that JSON doesn't have",
        SERVICE.replace("name: a", "name: !!binary YQ=="),
        4,
        f"not YAML: could not determine a constructor for the tag 'tag:yaml.org,2002:binary'. {TYPES}",
    ),
    ("a bomb", BOMB, 6, "aliases that stand for more than 1000000 values. Write the values themselves."),
    (
        "a value that contains itself",
        SERVICE.replace("- port: 80", "- &p [*p]"),
        7,
        "aliases that stand for more than 1000000 values. Write the values themselves.",
    ),
    ("an unknown alias", SERVICE.replace("80", "*p"), 7, f"not YAML: found undefined alias. {TRUNCATED}"),
    ("a key that is a list", SERVICE + "[a]: b\n", 8, f"not YAML: found unhashable key. {TYPES}"),
    ("a control character", SERVICE.replace("80", "8\x000"), 7, "a character that YAML doesn't allow. Remove it."),
    (
        "a thousand levels",
        "[" * 2000,
        1,
        f"not YAML: exceeded maximum nesting depth. {TRUNCATED}",
    ),
    (
        "hundreds of levels",
        "[" * 900 + "]" * 900,
        1,
        "hundreds of levels. No manifest needs that many.",
    ),
    (
        "a number that is none",
        SERVICE.replace("80", "!!int eighty"),
        1,
        "a value that can't be read: invalid literal for int() with base 10: 'eighty'. Write it plainly.",
    ),
    (
        "no object",
        "replicas: 2\nimage: x\n",
        1,
        (
            "not a Kubernetes object: `apiVersion` or `kind` is missing. "
            "Put files that aren't manifests elsewhere, or let their names begin with a dot."
        ),
    ),
    (
        "no object in the second document",
        SERVICE + "---\nreplicas: 2\n",
        9,
        (
            "not a Kubernetes object: `apiVersion` or `kind` is missing. "
            "Put files that aren't manifests elsewhere, or let their names begin with a dot."
        ),
    ),
    (
        "an item that is none",
        "apiVersion: v1\nkind: List\nitems:\n- 1\n",
        4,
        "an item that isn't an object. Remove it.",
    ),
    (
        "a label that isn't text",
        SERVICE.replace("name: a", "name: a\n  labels:\n    app: a\n    peermesh.io/export: true"),
        7,
        (
            "Service: metadata.labels[peermesh.io/export]: Expected `str`, got `bool`. "
            'Put the value in quotes: "true", "8080".'
        ),
    ),
    (
        "an annotation that isn't text",
        SERVICE.replace("name: a", "name: a\n  annotations: {peermesh.io/ports: 80}"),
        5,
        (
            "Service: metadata.annotations[peermesh.io/ports]: Expected `str`, got `int`. "
            'Put the value in quotes: "true", "8080".'
        ),
    ),
    (
        "a port that is text",
        SERVICE.replace("80", '"80"'),
        7,
        "Service: spec.ports[0].port: Expected `int`, got `str`. An API server would refuse it, too.",
    ),
    (
        "a port that is none",
        SERVICE.replace("80", "80800"),
        7,
        "Service: spec.ports[0].port: Expected `int` <= 65535. An API server would refuse it, too.",
    ),
    (
        "no name",
        SERVICE.replace("name: a", "generateName: a-"),
        3,
        "Service: metadata: Object missing required field `name`. An API server would refuse it, too.",
    ),
    (
        "no metadata",
        "apiVersion: v1\nkind: Pod\n",
        1,
        "Pod: the object: Object missing required field `metadata`. An API server would refuse it, too.",
    ),
    (
        "a name that is a path",
        SERVICE.replace("name: a", "name: ../a"),
        4,
        "Service: metadata.name: isn't a name that Kubernetes allows. Use a-z, 0-9, - and . only.",
    ),
    (
        "a name with a line feed",
        SERVICE.replace("name: a", 'name: "a\\n"'),
        4,
        "Service: metadata.name: isn't a name that Kubernetes allows. Use a-z, 0-9, - and . only.",
    ),
    (
        "a name of 300 characters",
        SERVICE.replace("name: a", f"name: {'a' * 300}"),
        4,
        "Service: metadata.name: isn't a name that Kubernetes allows. Use a-z, 0-9, - and . only.",
    ),
    (
        "a Service's name with a dot",
        SERVICE.replace("name: a", "name: a.b"),
        4,
        "Service: metadata.name: isn't a name that Kubernetes allows. Use a-z, 0-9, - and . only.",
    ),
    (
        "a namespace that is none",
        SERVICE.replace("name: a", "name: a\n  namespace: A"),
        5,
        "Service: metadata.namespace: isn't a name that Kubernetes allows. Use a-z, 0-9, - and . only.",
    ),
    (
        "a Service of an unknown type",
        SERVICE + "  type: Outside\n",
        8,
        "Service: spec.type: Invalid enum value 'Outside'. An API server would refuse it, too.",
    ),
    (
        "a fault in a list",
        "apiVersion: v1\nkind: List\nitems:\n- apiVersion: v1\n  kind: Pod\n  metadata: {name: p}\n  spec: x\n",
        7,
        "Pod: spec: Expected `object`, got `str`. An API server would refuse it, too.",
    ),
    (
        "a service account that is none",
        "apiVersion: v1\nkind: Pod\nmetadata: {name: p}\nspec:\n  serviceAccountName: a/b\n",
        5,
        "Pod: spec.serviceAccountName: isn't a name that Kubernetes allows. Use a-z, 0-9, - and . only.",
    ),
]


@pytest.mark.parametrize(("text", "line", "message"), [row[1:] for row in BAD], ids=[row[0] for row in BAD])
def test_a_broken_manifest_is_named_with_its_line_and_what_to_do(text: str, line: int, message: str) -> None:
    with pytest.raises(Rejected) as error:
        names(text)
    assert f"test.yaml:{line}: {message}" == str(error.value)


BAD_JSON = [
    (
        '{"apiVersion": "v1",\n "kind": "Service"',
        (
            "test.json:2: not JSON: Expecting ',' delimiter. "
            "Look for a missing quote, bracket or comma, or a file that isn't written to its end."
        ),
    ),
    (
        '{"apiVersion": "v1",\n "kind": "Service",\n "kind": "Pod"}',
        "test.json:3: a value that can't be read: a key stands twice in one object. Write it plainly.",
    ),
    (
        '{"apiVersion": "v1", "kind": "Service",\n "metadata": {"name":\n 7}}',
        'test.json:2: Service: metadata.name: Expected `str`, got `int`. Put the value in quotes: "true", "8080".',
    ),
    (
        "[" * 100_000,
        "test.json:1: hundreds of levels. No manifest needs that many.",
    ),
]


@pytest.mark.parametrize(("text", "message"), BAD_JSON)
def test_broken_json_is_named_like_broken_yaml(text: str, message: str) -> None:
    with pytest.raises(Rejected) as error:
        names(text, "test.json")
    assert message == str(error.value)


def test_a_file_that_isnt_utf_8_is_named_with_its_line() -> None:
    with pytest.raises(Rejected) as error:
        list(manifests("test.yaml", SERVICE.encode() + b"# \xff\n", "shop"))
    assert "test.yaml:8: not UTF-8. Save the file as UTF-8." == str(error.value)


@given(
    st.integers(0, len(SERVICE)),
    st.integers(0, 40),
    st.text(st.sampled_from(" \n\t-:[]{}\"'&*!|>#%@,x0~\x00é"), max_size=8),
)
def test_whatever_is_written_is_read_or_refused(at: int, cut: int, put_in: str) -> None:
    with suppress(Rejected):
        names(SERVICE[:at] + put_in + SERVICE[at + cut :])


def fields_of(kind: Any) -> set[str]:
    """The names of all fields in a type and in what it holds."""
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        inner = msgspec.structs.fields(kind)
        return {one.encode_name for one in inner} | {name for one in inner for name in fields_of(one.type)}
    return {name for argument in getattr(kind, "__args__", ()) for name in fields_of(argument)}


FIELDS = sorted({name for _, shape in KINDS.values() for name in fields_of(shape)})
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(FIELDS), inner, max_size=4),
    max_leaves=12,
)


@given(st.sampled_from(sorted(KINDS)), JSON, JSON)
def test_whatever_an_object_holds_is_read_or_refused(kind: tuple[str, str], metadata: object, spec: object) -> None:
    group, name = kind
    value = {"apiVersion": f"{group}/v1".removeprefix("/"), "kind": name, "metadata": metadata, "spec": spec}
    for path in ("test.json", "test.yaml"):
        with suppress(Rejected):
            names(json.dumps(value), path)
