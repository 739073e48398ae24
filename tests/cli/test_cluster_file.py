"""`mesh/clusters/<cluster>.yaml` as text: valid from the beginning, and a key goes in without touching the rest."""

from __future__ import annotations

import pytest

from syncer.protocol.errors import Rejected
from tests import meshes
from tests.cli.calls import KEY, OTHER_KEY, THIRD_KEY
from workers.cli.cluster_file import text_of, with_key
from workers.documents.kinds import Cluster, GatewaySettings
from workers.documents.reading import read

PATH = "mesh/clusters/west.yaml"
HEAD = "apiVersion: peermesh.io/v1alpha1\nkind: Cluster\nmetadata: {name: west}\n"
REST = "  network: west # net\n  trustDomain: west.example\n"
SHAPES = {
    "no syncer": (
        f"spec:\n  # ours\n{REST}",
        (f'spec:\n  # ours\n  network: west # net\n  trustDomain: west.example\n  syncer: {{publicKeys: ["{KEY}"]}}\n'),
    ),
    "no syncer, and a map comes first": (
        f"spec:\n  gateway:\n    selector:\n      istio: x # pods\n\n{REST}",
        f'spec:\n  gateway:\n    selector:\n      istio: x # pods\n\n{REST}  syncer: {{publicKeys: ["{KEY}"]}}\n',
    ),
    "all on one line": (
        "spec: {network: west, trustDomain: west.example}  # short\n",
        f'spec: {{network: west, trustDomain: west.example, syncer: {{publicKeys: ["{KEY}"]}}}}  # short\n',
    ),
    "an empty syncer": (
        f"spec:\n{REST}  syncer: {{}} # none yet\n",
        f'spec:\n{REST}  syncer: {{publicKeys: ["{KEY}"]}} # none yet\n',
    ),
    "an empty list": (
        f"spec:\n{REST}  syncer:\n    publicKeys: [] # none yet\n",
        f'spec:\n{REST}  syncer:\n    publicKeys: ["{KEY}"] # none yet\n',
    ),
    "one key on its line": (
        f'spec:\n{REST}  syncer: {{publicKeys: ["{OTHER_KEY}"]}}\n',
        f'spec:\n{REST}  syncer: {{publicKeys: ["{OTHER_KEY}", "{KEY}"]}}\n',
    ),
    "one key in a list, without a line feed at the end": (
        f"spec:\n{REST}  syncer:\n    publicKeys:\n      - {OTHER_KEY} # old",
        f'spec:\n{REST}  syncer:\n    publicKeys:\n      - {OTHER_KEY} # old\n      - "{KEY}"',
    ),
    "one key in a list, and more after it": (
        f"spec:\n  syncer:\n    publicKeys:\n    - {OTHER_KEY}\n    # end of keys\n{REST}",
        f'spec:\n  syncer:\n    publicKeys:\n    - {OTHER_KEY}\n    - "{KEY}"\n    # end of keys\n{REST}',
    ),
}


@pytest.mark.parametrize("shape", SHAPES)
def test_a_key_goes_in_and_everything_else_stays(shape):
    before, after = SHAPES[shape]
    text = with_key(HEAD + before, said_by(HEAD + before), KEY)
    assert HEAD + after == text
    assert KEY in said_by(text).spec.syncer.public_keys


def test_a_new_file_says_what_was_asked_for_with_defaults_written_out():
    cluster = meshes.cluster(
        "west",
        locality="eu/eu-1",
        labels={"env": "prod", "on": "yes"},
        gateway=GatewaySettings(namespace="edge", selector={"app": "gw"}, port=30443, addresses=("gw.example:30443",)),
    )
    text = text_of(cluster)
    assert cluster == said_by(text)
    assert "addresses:" in text_of(meshes.cluster("west"))


def test_two_keys_can_be_added_to_a_new_file():
    text = text_of(meshes.cluster("west"))
    for key in (KEY, OTHER_KEY):
        text = with_key(text, said_by(text), key)
    assert (KEY, OTHER_KEY) == said_by(text).spec.syncer.public_keys


def test_a_key_that_is_there_changes_nothing():
    text = text_of(meshes.cluster("west", keys=(KEY,)))
    assert text == with_key(text, said_by(text), KEY)


def test_a_third_key_is_refused_with_what_to_do():
    text = text_of(meshes.cluster("west", keys=(KEY, OTHER_KEY)))
    with pytest.raises(Rejected) as refused:
        with_key(text, said_by(text), THIRD_KEY)
    assert (
        f"mesh/clusters/west.yaml: two keys are trusted already. Take the one out that is no longer used:"
        f" {KEY} or {OTHER_KEY}."
    ) == str(refused.value)


def said_by(text: str) -> Cluster:
    document = read(PATH, text.encode())
    assert isinstance(document, Cluster)
    return document
