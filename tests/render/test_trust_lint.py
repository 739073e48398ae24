"""Lint catches a wrong file of trust: seeded faults in what was rendered rightly, each with what is said of it."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from typing import Any

import pytest

from syncer.protocol.labels import DIGEST
from tests.core.trusting import MADE, begun, tree
from tests.pki.authority import key_pem, private_key
from tests.render.cases import given
from workers.documents.writing import dump
from workers.reach import reach
from workers.render import Rendered, render
from workers.render.lint import lint
from workers.render.metadata import digest
from workers.tree import Tree

CA, SEALED = "clusters/west/ca/cacerts.yaml", "clusters/east/ca/cacerts.yaml"
Change = Callable[[Any], object]
BROKEN = "istiod or Envoy would refuse it: "


def said_of(there: Tree, path: str, change: Change, *, to: str = "") -> list[str]:
    """What lint says after a change of the one object of a file, which may be moved to another path."""
    files = render(there, reach(there))
    file = files.pop(path)
    assert file is not None
    [content] = json.loads(json.dumps(file.objects))
    change(content)
    content["metadata"].get("annotations", {})[DIGEST] = digest(content)
    files[to or path] = Rendered(objects=(copy.deepcopy(content),), data=dump([content]))
    return [problem.what for problem in lint(there, reach(there), files, whole=True)]


def put(name: str, text: str) -> Change:
    return lambda content: content["data"].update({name: text})


def without(name: str) -> Change:
    return lambda content: content["data"].pop(name)


def annotated(name: str, text: str) -> Change:
    return lambda content: content["metadata"]["annotations"].update({name: text})


WRONG: list[tuple[str, Change, str]] = [
    ("another file is read by nobody", lambda c: c["metadata"].update(name="other"), "peermesh-system/other is read"),
    ("Flux prunes it", annotated("kustomize.toolkit.fluxcd.io/prune", "enabled"), "Flux would prune it"),
    ("Argo CD prunes it", annotated("argocd.argoproj.io/sync-options", "Prune=true"), "Argo CD would prune it"),
    ("for another cluster", put("cluster", "east"), "it is for east (west.acme.example) in acme"),
    ("for another trust domain", put("trustDomain", "x.acme.example"), "it is for west (x.acme.example) in acme"),
    ("a chain without the intermediate", put("cert-chain.pem", MADE.root("b").pem), BROKEN),
    ("the root in the chain", lambda c: c["data"].update(
        {"cert-chain.pem": c["data"]["cert-chain.pem"] + MADE.root("a").pem}), BROKEN),
    ("another root", put("root-cert.pem", MADE.root("b").pem), "its bundle isn't a, as pki/trust.yaml says"),
    ("another certificate", put("ca-cert.pem", MADE.intermediate("west", 2).pem),
     "its certificate isn't that of pki/intermediates/west.yaml"),
    ("no certificate", without("ca-cert.pem"), "its rotation and its certificate don't go together"),
    ("no chain", without("cert-chain.pem"), "certificate and chain don't go together"),
    ("no number", put("rotation", "two"), "ConfigMap peermesh-system/peermesh-cacerts: Expected `str` matching regex"),
    ("a key", put("ca-key.pem", key_pem(private_key("west-1"))),
     "ConfigMap peermesh-system/peermesh-cacerts: Object contains unknown field `ca-key.pem`"),
    ("no bundle", without("root-cert.pem"),
     "ConfigMap peermesh-system/peermesh-cacerts: Object missing required field `root-cert.pem`"),
    ("immutable", lambda c: c.update(immutable=True),
     "ConfigMap peermesh-system/peermesh-cacerts: Object contains unknown field `immutable`"),
]  # fmt: skip
WRONG_SEALED: list[tuple[str, Change, str]] = [
    ("a scope", annotated("sealedsecrets.bitnami.com/cluster-wide", "true"), "its scope isn't strict"),
    ("a scope in the template", lambda c: c["spec"]["template"]["metadata"]["annotations"].update(
        {"sealedsecrets.bitnami.com/namespace-wide": "true"}),
     "SealedSecret istio-system/cacerts: Object contains unknown field `sealedsecrets.bitnami.com/namespace-wide`"),
    ("a Secret that goes with it", lambda c: c["spec"]["template"]["metadata"].pop("annotations"),
     "SealedSecret istio-system/cacerts: Object missing required field `annotations`"),
    ("another Secret", lambda c: c["spec"]["template"]["metadata"].update(name="other"),
     "SealedSecret istio-system/cacerts: Invalid enum value 'other'"),
    ("a key in the template", lambda c: c["spec"]["template"]["data"].update({"ca-key.pem": "x"}),
     "SealedSecret istio-system/cacerts: Object contains unknown field `ca-key.pem`"),
    ("no certificate", lambda c: c["spec"]["template"]["data"].pop("ca-cert.pem"), "a key without its certificate"),
]  # fmt: skip


@pytest.mark.parametrize(("change", "says"), [one[1:] for one in WRONG], ids=[one[0] for one in WRONG])
def test_a_wrong_file_of_trust_is_named(change: Change, says: str):
    said = said_of(tree(*begun()), CA, change)
    assert any(what.startswith(says) for what in said), said


@pytest.mark.parametrize(("change", "says"), [one[1:] for one in WRONG_SEALED], ids=[one[0] for one in WRONG_SEALED])
def test_a_wrong_sealed_secret_is_named(change: Change, says: str):
    said = said_of(given("trust"), SEALED, change)
    assert any(what.startswith(says) for what in said), said


@pytest.mark.parametrize("folder", ["gateway", "imports"])
def test_trust_stands_in_its_own_unit(folder: str):
    said = said_of(tree(*begun()), CA, lambda _: None, to=f"clusters/west/{folder}/cacerts.yaml")
    assert any(what.startswith("only ") for what in said), said


def test_a_cluster_that_is_not_managed_has_no_file_of_trust():
    said = said_of(given("trust"), CA, lambda _: None, to="clusters/south/ca/cacerts.yaml")
    assert "only the trust of one managed cluster may stand here" in said


def test_nothing_is_wrong_with_what_was_not_changed():
    assert [] == said_of(tree(*begun()), CA, lambda _: None)
