"""The tutorial comes true: every scenario's proposals and trees are what its folder says."""

from __future__ import annotations

import dataclasses
import functools
import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from tests.scenarios.pipeline import Pipeline
from tests.scenarios.scenario import ROOT, Scenario, Step, files_in, scenarios
from tests.scenarios.story import story
from tests.scenarios.world import World, beginning, following, looked, merged, planned, settled
from workers.check import check
from workers.documents import paths
from workers.tree import BlobChange

ALL = scenarios()


@dataclass(frozen=True, kw_only=True)
class Played:
    """A step with the world before anybody looked, when the proposals are open, and when all but the held is merged."""

    step: Step
    before: World
    proposed: World
    settled: World


@functools.cache
def played(scenario: str) -> tuple[Played, ...]:
    found: list[Played] = []
    for step in next(each for each in ALL if each.folder.name == scenario).steps:
        before = following(found[-1].proposed, found[-1].settled, step) if found else beginning(step)
        proposed = looked(before)
        found.append(Played(step=step, before=before, proposed=proposed, settled=settled(proposed)))
    return tuple(found)


def names(scenario: Scenario) -> Iterator[tuple[str, int]]:
    return ((scenario.folder.name, number) for number in range(len(scenario.steps)))


STEPS = [name for scenario in ALL for name in names(scenario)]
every_step = pytest.mark.parametrize(
    ("scenario", "number"), STEPS, ids=[str(each) for scenario in ALL for each in scenario.steps]
)


every_scenario = pytest.mark.parametrize("scenario", ALL, ids=[each.folder.name for each in ALL])


def robots_files(world: World) -> dict[str, bytes]:
    return {path: data for path, data in world.main.content.items() if paths.is_owned(path)}


@every_step
@pytest.mark.golden
def test_people_read_these_proposals(scenario, number, golden):
    play = played(scenario)[number]
    told = story(play.before)
    page = play.step.folder / "proposal.md"
    if golden:
        page.write_text(told, encoding="utf-8")
    assert page.read_text(encoding="utf-8") == told


@every_step
@pytest.mark.golden
def test_main_is_as_expected_when_all_but_what_is_held_is_merged(scenario, number, golden):
    play = played(scenario)[number]
    files = robots_files(play.settled)
    folder = play.step.folder / "expected"
    if golden:
        shutil.rmtree(folder, ignore_errors=True)
        for path, data in files.items():
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_bytes(data)
    assert files_in(folder) == files


@every_step
def test_nothing_that_would_break_callers_is_proposed(scenario, number):
    play = played(scenario)[number]
    assert planned(play.before).problems == {}
    assert planned(play.before, everything=True).problems == {}


@every_step
def test_main_passes_the_check_then(scenario, number):
    play = played(scenario)[number]
    assert check(play.settled.main, play.before.main) == ()


@every_step
def test_looking_again_proposes_nothing_new(scenario, number):
    play = played(scenario)[number]
    again = looked(play.proposed)
    assert (again.open, again.main.content) == (play.proposed.open, play.proposed.main.content)
    assert {"held"} >= {name for proposal in planned(play.settled).proposals for name in proposal.classes}


@every_step
def test_one_plan_that_merges_everything_gives_the_same_tree(scenario, number):
    play = played(scenario)[number]
    at_once = looked(play.before, everything=True)
    assert at_once.main.content == play.settled.main.content


@every_step
def test_every_order_of_merging_gives_the_same_tree(scenario, number):
    play = played(scenario)[number]
    assert all(end == play.settled.main.content for end in ends(play.proposed))


@every_scenario
def test_the_real_pipeline_comes_to_the_same(scenario):
    plays = played(scenario.folder.name)
    pipeline = Pipeline(plays[0].before.main.content)
    for play in plays:
        pipeline.play(dataclasses.replace(play.step, committed={}, meanwhile=()) if play is plays[0] else play.step)
        remote = pipeline.fetched()
        assert opened(play.proposed) == {name: branch.change for name, branch in remote.branches.items()}
        assert play.proposed.main.content == {path: remote.files.read(path) for path, _ in remote.files.under("")}
        assert play.proposed.rejected == remote.rejected
    pipeline.settle()
    assert dict(plays[-1].settled.main.under("")) == dict(pipeline.fetched().files.under(""))


def opened(world: World) -> dict[str, BlobChange]:
    return {branch: proposal.change for branch, proposal in world.open.items()}


def ends(world: World) -> Iterator[dict[str, bytes]]:
    """Main after merging, with a look between two merges, in every possible order."""
    if not world.mergeable:
        yield world.main.content
    for branch in world.mergeable:
        yield from ends(merged(world, branch))


def test_the_index_names_every_scenario():
    index = (ROOT / "README.md").read_text(encoding="utf-8")
    assert re.findall(r"^\| \[\d\d\]\(([^)]+)/README\.md\)", index, re.MULTILINE) == [each.folder.name for each in ALL]


@every_scenario
def test_every_scenario_says_in_a_few_lines_what_happens(scenario):
    text = (scenario.folder / "README.md").read_text(encoding="utf-8")
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    assert 3 <= len(lines) <= 8, lines
