"""The guard: what counts as a loss, and when losses are too many."""

from __future__ import annotations

import pytest

from syncer.protocol.names import HostName
from syncer.protocol.observation import Foreign
from tests.meshes import NEWER, OLD, cluster, export, facts, key, port, tree_of, with_exports, without_exports
from workers.difference import difference
from workers.documents.kinds import Guard
from workers.guard import causes, losses, too_many
from workers.reach import reach

CLUSTERS = (cluster("east"), cluster("west"))


def lost(before, after):
    found = losses(difference(reach(before), reach(after)))
    return [(loss.provider, str(loss.key), loss.consumers) for loss in found]


def test_a_withdrawn_host_is_lost_for_all_its_consumers():
    tree = tree_of(*CLUSTERS, export("s/x", "west"))
    assert lost(tree, without_exports(tree, ("s/x", "west"))) == [("west", "s/x", ("east", "west"))]


def test_a_host_that_keeps_a_provider_for_each_consumer_is_not_lost():
    tree = tree_of(*CLUSTERS, export("s/x", "west"), export("s/x", "east"))
    assert lost(tree, without_exports(tree, ("s/x", "west"))) == []


def test_a_consumer_that_is_left_out_is_a_loss():
    tree = tree_of(*CLUSTERS, export("s/x", "west"))
    assert lost(tree, with_exports(tree, export("s/x", "west", consumers=()))) == [("west", "s/x", ("east",))]


def test_identities_that_are_all_exchanged_are_a_loss_and_one_that_stays_is_none():
    tree = tree_of(*CLUSTERS, export("s/x", "west", accounts=("a", "b")))
    assert lost(tree, with_exports(tree, export("s/x", "west", accounts=("b", "c")))) == []
    assert lost(tree, with_exports(tree, export("s/x", "west", accounts=("c",)))) == [("west", "s/x", ("east", "west"))]


def test_a_host_whose_ports_are_all_others_is_lost():
    tree = tree_of(*CLUSTERS, export("s/x", "west", ports=[port(80)]))
    assert lost(tree, with_exports(tree, export("s/x", "west", ports=[port(81)]))) == [
        ("west", "s/x", ("east", "west"))
    ]


def test_a_gain_is_no_loss():
    tree = tree_of(*CLUSTERS)
    assert lost(tree, with_exports(tree, export("s/x", "west"))) == []


@pytest.mark.parametrize(
    ("provided", "withdrawn", "guard", "held"),
    [
        (1, 1, Guard(), False),  # one service that goes is no flood: `from` is 2
        (2, 1, Guard(), False),  # half isn't more than half
        (2, 2, Guard(), True),
        (3, 2, Guard(), True),
        (20, 5, Guard(), False),
        (20, 6, Guard(), True),  # more than atMost
        (20, 6, Guard(at_most=10), False),
        (20, 11, Guard(at_most=100), True),  # more than share
        (20, 11, Guard(at_most=100, share=1.0), False),
        (1, 1, Guard(from_=1), True),
        (1, 1, Guard(at_most=0), True),
    ],
)
def test_too_many_losses_of_one_cluster_are_held(provided, withdrawn, guard, held):
    exports = [export(f"s/x{number}", "west") for number in range(provided)]
    tree = tree_of(*CLUSTERS, *exports, export("s/other", "east"))
    after = without_exports(tree, *((f"s/x{number}", "west") for number in range(withdrawn)))
    found = losses(difference(reach(tree), reach(after)))
    assert too_many(found, reach(tree), guard) == ({"west"} if held else set())


def test_the_cause_of_a_loss_is_the_providers_own_export():
    tree = tree_of(*CLUSTERS, export("s/x", "west"), export("s/y", "east"))
    after = without_exports(tree, ("s/x", "west"))
    found = losses(difference(reach(tree), reach(after)))
    changes = {
        "facts/exports/s/west/x.yaml": None,
        "facts/exports/s/east/y.yaml": export("s/y", "east", accounts=("z",)),
    }
    assert causes(found, changes) == {"facts/exports/s/west/x.yaml"}


def test_the_cause_of_a_loss_may_be_an_older_export_of_another_cluster():
    west = export("s/x", "west", ports=[port(80, "http", "HTTP")], since=NEWER, consumers=("east",))
    tree = tree_of(*CLUSTERS, cluster("north"), west)
    east = export("s/x", "east", ports=[port(81, "http", "GRPC")], since=OLD)
    after = with_exports(tree, east)
    found = losses(difference(reach(tree), reach(after)))
    assert {loss.provider for loss in found} == {"west"}
    assert causes(found, {"facts/exports/s/east/x.yaml": east}) == {"facts/exports/s/east/x.yaml"}


def test_the_cause_of_a_loss_may_be_peoples_own_object_in_a_consumer():
    tree = tree_of(*CLUSTERS, facts("east", "192.0.2.1"), export("s/x", "west"))
    clash = Foreign(kind="ServiceEntry", namespace="team", name="mine", host="x.s.mesh.internal")
    changed = facts("east", "192.0.2.1", foreign=[clash])
    path = "facts/clusters/east.yaml"
    after = tree.with_facts(tree.facts.with_changes({path: changed}))
    found = losses(difference(reach(tree), reach(after)))
    assert [(loss.provider, loss.key, loss.consumers) for loss in found] == [("west", key("s/x"), ("east",))]
    assert causes(found, {path: changed}) == {path}


@pytest.mark.parametrize(
    ("provided", "withdrawn", "gone", "held"),
    [
        (10, 2, 3, False),
        (10, 2, 4, True),  # six in an hour are more than five
        (2, 1, 1, True),  # two of the three that it had
        (3, 1, 1, False),
        (1, 1, 1, True),  # what went before counts among what it provides, too
    ],
)
def test_what_went_without_a_person_counts_with_what_goes_now(provided, withdrawn, gone, held):
    names = [f"s/x{number}" for number in range(provided)]
    before = tree_of(*CLUSTERS, *(export(name, "west") for name in names))
    after = without_exports(before, *((name, "west") for name in names[:withdrawn]))
    found = losses(difference(reach(before), reach(after)))
    hosts = frozenset(HostName(f"gone{number}.s.mesh.internal") for number in range(gone))
    assert held == ("west" in too_many(found, reach(before), Guard(), {"west": hosts}))


def test_a_host_that_came_back_and_goes_again_counts_once():
    before = tree_of(*CLUSTERS, export("s/x", "west"))
    found = losses(difference(reach(before), reach(without_exports(before, ("s/x", "west")))))
    assert too_many(found, reach(before), Guard(), {"west": frozenset(loss.host for loss in found)}) == set()
