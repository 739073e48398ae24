from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest

from syncer.cluster import wire
from syncer.cluster.objects import Service
from syncer.protocol.errors import Rejected, Transient

WHERE = "https://west.example, services"


def encoded(value: Any) -> bytes:
    return json.dumps(value).encode()


def test_a_page_says_its_version_and_whether_there_is_more() -> None:
    item = {"metadata": {"name": "a", "namespace": "shop", "managedFields": [{"manager": "x"}]}, "spec": {}}
    made = wire.page(
        encoded({"kind": "ServiceList", "metadata": {"resourceVersion": "7", "continue": "t"}, "items": [item]}),
        Service,
        WHERE,
    )
    assert ("7", "t") == (made.metadata.resource_version, made.metadata.go_on)
    assert ["a"] == [one.metadata.name for one in made.items or ()]


@pytest.mark.parametrize(
    "value",
    [
        {"metadata": {"resourceVersion": "7"}, "items": None},
        {"metadata": {"resourceVersion": "7"}},
        {"metadata": {"resourceVersion": "7", "continue": None}, "items": []},
    ],
)
def test_null_is_absent(value: Any) -> None:
    assert not wire.page(encoded(value), Service, WHERE).items


def test_null_inside_an_object_is_absent_too() -> None:
    item = {"metadata": {"name": "a", "labels": None}, "spec": {"ports": [{"port": 80, "name": None}]}}
    (made,) = wire.page(encoded({"metadata": {}, "items": [item]}), Service, WHERE).items or ()
    assert ({}, "") == (made.metadata.labels, made.spec.ports[0].name)


@pytest.mark.parametrize("data", [b"", b"{", b"<html>", b'{"metadata": {}, "items": [', b"\xff\xfe"])
def test_an_answer_that_was_cut_off_is_tried_again(data: bytes) -> None:
    with pytest.raises(Transient) as caught:
        wire.page(data, Service, WHERE)
    assert ("BadAnswer", WHERE) == (caught.value.reason, caught.value.subject)


@pytest.mark.parametrize("items", [[{"metadata": {"name": "A_B"}}], [{"spec": {}}], [{"metadata": {"name": 1}}], {}])
def test_an_object_that_no_api_server_gives_stops_the_reading(items: Any) -> None:
    with pytest.raises(Rejected) as caught:
        wire.page(encoded({"metadata": {}, "items": items}), Service, WHERE)
    assert "BadObject" == caught.value.reason


def test_a_line_of_a_watch_is_decoded_as_far_as_it_must_be() -> None:
    line = encoded({"type": "ADDED", "object": {"metadata": {"name": "a", "resourceVersion": "9"}}}) + b"\n"
    told = wire.event(line, WHERE)
    assert ("ADDED", "9") == (told.type, wire.version(told, WHERE))
    assert "a" == wire.changed(told, Service, WHERE).metadata.name


def test_a_bookmark_has_a_version_and_nothing_else() -> None:
    told = wire.event(encoded({"type": "BOOKMARK", "object": {"metadata": {"resourceVersion": "12"}}}), WHERE)
    assert "12" == wire.version(told, WHERE)


def test_an_error_has_a_code_and_a_message() -> None:
    status = {"kind": "Status", "code": 410, "message": "too old resource version: 1240 (1252)"}
    told = wire.event(encoded({"type": "ERROR", "object": status}), WHERE)
    assert (410, "too old resource version: 1240 (1252)") == wire.trouble(told, WHERE)


@pytest.mark.parametrize(
    ("verbs", "there"),
    [
        (["get", "list", "watch", "create", "update"], True),
        (["delete", "deletecollection", "get", "list", "watch"], False),
        (["create"], False),
        ([], False),
    ],
)
def test_a_kind_that_can_no_longer_be_created_is_on_its_way_out(verbs: list[str], there: bool) -> None:
    """Source: apiextensions-apiserver lists fewer verbs for a CRD that is being deleted."""
    kinds = [{"name": "serviceexports/status", "verbs": ["get"]}, {"name": "serviceexports", "verbs": verbs}]
    assert there == wire.serves(encoded({"resources": kinds}), "serviceexports", WHERE)


def test_a_kind_that_isnt_listed_isnt_there() -> None:
    assert not wire.serves(encoded({"resources": []}), "serviceexports", WHERE)


def test_the_versions_of_a_group_and_of_a_server() -> None:
    group = {"versions": [{"groupVersion": "x/v1", "version": "v1"}, {"version": "v1beta1"}]}
    assert ("v1", "v1beta1") == wire.group_versions(encoded(group), WHERE)
    assert "v1.37.2" == wire.git_version(encoded({"major": "1", "gitVersion": "v1.37.2"}), WHERE)


_ALL_AT_ONCE = """
import importlib.util, sys, threading
from syncer.cluster import objects, wire

sys.setswitchinterval(1e-6)
for turn in range(10):
    spec = importlib.util.spec_from_file_location(f"objects_{turn}", objects.__file__)
    fresh = sys.modules[spec.name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(fresh)
    shapes = [shape for _, shape in fresh.KINDS.values()]
    ready = threading.Barrier(len(shapes))

    def read(shape):
        ready.wait()
        wire.page(b'{"metadata": {}, "items": [{"metadata": {"name": "a"}}]}', shape, "here")

    threads = [threading.Thread(target=read, args=(shape,)) for shape in shapes]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
"""


def test_all_kinds_can_be_read_for_the_first_time_at_once() -> None:
    """In a process of its own, since what this is about ends the process."""
    ended = subprocess.run(
        [sys.executable, "-c", _ALL_AT_ONCE], capture_output=True, text=True, check=False, timeout=120
    )
    assert (0, "") == (ended.returncode, ended.stderr)
