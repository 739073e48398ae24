"""What holds for every plan, over random meshes and random news."""

from __future__ import annotations

from itertools import combinations
from random import Random

from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from syncer.protocol.observation import Observation, ObservedGateway
from syncer.protocol.offer import Offer
from tests.core.observations import says
from tests.core.worlds import files_of, nothing_merges, planned
from tests.random_meshes import changed, trees
from workers.check import check
from workers.difference import difference
from workers.documents import paths
from workers.ground import Known
from workers.guard import losses, too_many
from workers.learn import Memory
from workers.reach import reach
from workers.series import all_but_held
from workers.tree import FactChanges, FilesInMemory, Tree, apply, read_tree


def observed(tree: Tree) -> tuple[Observation, ...]:
    """What the clusters of a tree would say."""
    return tuple(_observed(tree, name) for name in tree.clusters)


def _observed(tree: Tree, name: str) -> Observation:
    facts = tree.facts.clusters[name].spec
    gateway = ObservedGateway(
        addresses=facts.gateway.addresses,
        cluster_ip=facts.gateway.cluster_ip,
        cluster_port=facts.gateway.cluster_port,
        wildcard=facts.gateway.wildcard,
    )
    offers = [
        Offer(
            namespace=key.namespace,
            service=key.service,
            source=export.spec.source,
            since=export.spec.since,
            headless=export.spec.headless,
            ports=export.spec.ports,
            service_accounts=export.spec.service_accounts,
            selector=export.spec.selector,
            consumers=export.spec.consumers,
            hosts=export.spec.hosts,
        )
        for key, exports in tree.facts.exports.items()
        for cluster, export in exports.items()
        if cluster == name
    ]
    said = says(name, *offers, sources=facts.sources, foreign=facts.foreign)
    return replace(said, gateway=gateway)


@st.composite
def news(draw: st.DrawFn) -> tuple[Tree, tuple[Observation, ...]]:
    """Main, and observations of what became of it."""
    tree = draw(trees())
    after, _, _ = draw(changed(tree))
    return tree, observed(after)


@given(news())
def test_no_proposal_breaks_callers_and_what_is_merged_passes_the_check(given_news):
    tree, observations = given_news
    files = files_of(tree)
    plan = planned(tree, *observations, files=files, merges=all_but_held)
    assert plan.problems == {}
    assert check(FilesInMemory(apply(files.content, plan.changes)), files) == ()


@given(news())
def test_planning_on_the_result_comes_to_rest_with_nothing_but_what_is_held(given_news):
    """What is held may be no loss any more once the rest is merged; then it goes on, and that is the end of it."""
    tree, observations = given_news
    files = files_of(tree)
    held: dict[str, FactChanges] = {}
    for _ in range(4):
        plan = planned(tree, *observations, files=files, memory=Memory(branches=held), merges=all_but_held)
        files = FilesInMemory(apply(files.content, plan.changes))
        read, problems = read_tree(files)
        assert read is not None
        assert problems == ()
        tree = read
        held = {proposal.branch: proposal.facts for proposal in plan.proposals if "held" in proposal.classes}
        if not plan.merged:
            break
    assert plan.merged == ()
    assert {proposal.classes for proposal in plan.proposals} <= {("held",)}


@given(news(), st.randoms(use_true_random=False))
def test_export_proposals_touch_different_files_and_merge_in_any_order(given_news, random: Random):
    tree, observations = given_news
    files = files_of(tree)
    plan = planned(tree, *observations, files=files, merges=nothing_merges)
    exports = [proposal for proposal in plan.proposals if proposal.branch.startswith(paths.exports_branch(""))]
    for one, other in combinations(exports, 2):
        assert not one.changes.keys() & other.changes.keys()
    random.shuffle(exports)
    content = dict(files.content)
    for proposal in exports:
        content = apply(content, proposal.changes)
        assert check(FilesInMemory(content), files) == ()


@given(news())
def test_all_proposals_together_are_the_whole_plan(given_news):
    """Where nothing waits for another proposal, what each proposes alone adds up to what is planned as a whole."""
    tree, observations = given_news
    apart = planned(tree, *observations, merges=nothing_merges)
    whole = planned(tree, *observations, merges=all_but_held)
    if apart.waiting:
        return
    facts = tree.facts
    for proposal in apart.proposals:
        if "held" not in proposal.classes:
            facts = facts.with_changes(proposal.facts)
    assert facts == whole.tree.facts


@given(trees(), st.data())
def test_a_warm_worker_plans_what_a_cold_one_plans(tree: Tree, data: st.DataObject):
    known, files = Known(), files_of(tree)
    for _ in range(3):
        after, _, _ = data.draw(changed(tree))
        observations = observed(after)
        warm = planned(tree, *observations, files=files, known=known, merges=all_but_held)
        assert warm == planned(tree, *observations, files=files, merges=all_but_held)
        files = FilesInMemory(apply(files.content, warm.changes))
        read, _ = read_tree(files)
        assert read is not None
        tree = read


@given(news(), st.randoms(use_true_random=False))
def test_the_order_in_which_things_are_said_changes_nothing(given_news, random: Random):
    tree, observations = given_news
    plan = planned(tree, *observations, merges=all_but_held)
    shuffled = [replace(said, offers=tuple(random.sample(said.offers, len(said.offers)))) for said in observations]
    random.shuffle(shuffled)
    other = planned(tree, *shuffled, merges=all_but_held)
    assert [proposal.digest for proposal in plan.proposals] == [proposal.digest for proposal in other.proposals]
    assert [proposal.body for proposal in plan.proposals] == [proposal.body for proposal in other.proposals]


@given(news())
def test_what_is_not_held_takes_no_more_away_at_once_than_the_guard_allows(given_news):
    tree, observations = given_news
    facts = tree.facts
    for proposal in planned(tree, *observations, merges=nothing_merges).proposals:
        if "held" not in proposal.classes:
            facts = facts.with_changes(proposal.facts)
    before, after = reach(tree), reach(tree.with_facts(facts))
    assert too_many(losses(difference(before, after)), before, tree.mesh.spec.guard) == set()
