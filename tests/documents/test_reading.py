"""Strict reading, and that what is written is read as the same document."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from syncer.protocol.errors import Rejected
from tests.documents.samples import EAST, EAST_PATH, EXPORT_PATH, FILES, MESH, MESH_PATH, WEST, WEST_PATH
from tests.documents.strategies import DOCUMENTS
from workers.documents import paths
from workers.documents.examples import EXAMPLES
from workers.documents.kinds import Cluster, Document, Export, Mesh
from workers.documents.reading import Invalid, Problem, read
from workers.documents.writing import write


@given(DOCUMENTS)
def test_a_document_is_read_as_it_was_written(document: Document):
    path = paths.path_of(document)
    data = write(document)
    again = read(path, data)
    assert document == again
    assert data == write(again)


@given(DOCUMENTS)
def test_a_document_may_stand_at_one_path_only(document: Document):
    with pytest.raises(Invalid):
        read("facts/clusters/somewhere-else.yaml", write(document))


@given(st.sampled_from(sorted(FILES)), st.binary(max_size=200) | st.text(max_size=200).map(str.encode))
def test_whatever_the_bytes_are_they_are_read_or_refused(path: str, data: bytes):
    with pytest.raises(Invalid):
        read(path, data)


@given(st.sampled_from(sorted(FILES)), st.data())
def test_a_document_with_a_changed_line_is_read_or_refused_with_a_line(path: str, data: st.DataObject):
    lines = FILES[path].splitlines()
    at = data.draw(st.integers(0, len(lines) - 1))
    changes = st.sampled_from(
        ["", "  ", "- ", "\t", "? ", "a:", "{", "[", '"', "*a", "&a", "!a", "%", "|", "a: b: c", "\x00"]
    )
    lines[at] = data.draw(st.sampled_from(["", lines[at], lines[at][:-2]])) + data.draw(changes)
    lines_told = [problem.line for problem in _problems(path, "\n".join(lines).encode())]
    assert all(0 <= line <= len(lines) + 1 for line in lines_told)


def _problems(path: str, data: bytes) -> tuple[Problem, ...]:
    try:
        read(path, data)
    except Invalid as error:
        return error.problems
    return ()


def test_people_write_in_whatever_style_they_like():
    assert read(WEST_PATH, WEST.encode()) == read(
        WEST_PATH,
        b"""# our first cluster
---
kind: 'Cluster'
apiVersion: "peermesh.io/v1alpha1"
metadata: {name: west, labels: {env: prod}}
spec:
    trustDomain: west.acme.example   # as in istiod
    network: west
    locality: eu-west-1/eu-west-1a
    gateway: {addresses: ["203.0.113.10"]}
    syncer: {publicKeys: ["ed25519:11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo="]}
    mayExport:
        - bookinfo
...
""",
    )


def test_windows_line_ends_and_a_byte_order_mark_are_read_in_peoples_files():
    assert read(EAST_PATH, EAST.encode()) == read(EAST_PATH, EAST.replace("\n", "\r\n").encode("utf-8-sig"))


@pytest.mark.parametrize("text", ["yes", "No", "on", "012", "0x1F", "1_000", "1e", "2026-01-31", "0o7"])
def test_what_readers_of_yaml_disagree_on_is_text(text: str):
    document = read(WEST_PATH, WEST.replace("env: prod", f"env: {text}").encode())
    assert isinstance(document, Cluster)
    assert {"env": text} == document.metadata.labels


@pytest.mark.parametrize(("text", "share"), [("0", 0.0), ("1", 1.0), ("0.25", 0.25), ("5e-1", 0.5), ("1.0e-05", 1e-05)])
def test_decimals_are_read_as_json_has_them(text: str, share: float):
    document = read(MESH_PATH, MESH.replace("share: 0.5", f"share: {text}").encode())
    assert isinstance(document, Mesh)
    assert share == document.spec.guard.share


@pytest.mark.parametrize("kind", EXAMPLES)
def test_the_examples_of_the_documentation_are_valid(kind: str):
    places = {
        "Mesh": MESH_PATH,
        "Cluster": WEST_PATH,
        "ClusterFacts": "facts/clusters/west.yaml",
        "Export": EXPORT_PATH,
        "Host": "facts/hosts/bookinfo/reviews.yaml",
        "Root": "pki/roots/a.yaml",
        "CertificateRequest": "pki/requests/west.yaml",
        "Intermediate": "pki/intermediates/west.yaml",
        "SealingCertificate": "pki/sealing/south.yaml",
        "Trust": "pki/trust.yaml",
    }
    assert kind == read(places[kind], EXAMPLES[kind].encode()).kind


def test_all_problems_of_a_file_are_told_at_once():
    text = WEST.replace("network: west", "network: West").replace("port: 15443", "prt: 15443").replace("prod", "1")
    with pytest.raises(Invalid) as caught:
        read(WEST_PATH, text.encode())
    assert [6, 8, 15] == [problem.line for problem in caught.value.problems]
    assert 3 == len(str(caught.value).splitlines())


def test_an_invalid_document_is_rejected_not_retried():
    with pytest.raises(Rejected) as caught:
        read(WEST_PATH, b"")
    assert "InvalidDocument" == caught.value.reason
    assert "mesh/clusters/west.yaml: an empty file. Write the document, or remove the file." == str(caught.value)


def test_a_time_stays_the_text_that_it_was():
    document = read(EXPORT_PATH, FILES[EXPORT_PATH].encode())
    assert isinstance(document, Export)
    assert "2026-11-24T08:00:00Z" == document.spec.since


def test_a_problem_reads_as_one_line_of_a_compiler():
    problem = Problem(path="mesh/mesh.yaml", line=3, what="it is so", remedy="Do this.")
    assert "mesh/mesh.yaml:3: it is so. Do this." == str(problem)
    assert "mesh/mesh.yaml: it is so" == str(Problem(path="mesh/mesh.yaml", line=0, what="it is so"))
