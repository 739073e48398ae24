"""Edits of people's YAML: what was meant is in it, and every other line is as it was."""

from __future__ import annotations

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from workers.cli.edit import with_item, with_value, without, without_item

HEAD = "# The mesh.\nspec:\n  rendering: 1 # for now\n"
TAIL = "\n# end\n"
VALUES = {
    "a map is made, with those on the way": (
        f"{HEAD}{TAIL}",
        ("trust", "rotate", "west"),
        {"rotation": 2},
        f"{HEAD}  trust: {{rotate: {{west: {{rotation: 2}}}}}}\n{TAIL}",
    ),
    "an entry joins a block": (
        f"{HEAD}  trust: # who\n    root: a # old\n{TAIL}",
        ("trust", "paused"),
        True,
        f"{HEAD}  trust: # who\n    root: a # old\n    paused: true\n{TAIL}",
    ),
    "an entry joins a block that isn't the last": (
        f"{HEAD}  trust:\n    root: a # old\n  # guard it\n  guard: {{}}\n",
        ("trust", "paused"),
        True,
        f"{HEAD}  trust:\n    root: a # old\n    paused: true\n  # guard it\n  guard: {{}}\n",
    ),
    "an entry joins a line": (
        f"{HEAD}  trust: {{root: a}} # short\n{TAIL}",
        ("trust", "soak"),
        "0m",
        f'{HEAD}  trust: {{root: a, soak: "0m"}} # short\n{TAIL}',
    ),
    "an entry joins an empty map": (
        f"{HEAD}  trust:\n    root: a\n    rotate: {{}} # none\n{TAIL}",
        ("trust", "rotate", "west"),
        {"rotation": 2, "reason": "compromised"},
        f"{HEAD}  trust:\n    root: a\n    rotate: {{west: {{rotation: 2, reason: compromised}}}} # none\n{TAIL}",
    ),
    "an entry joins what is commented out": (
        f"{HEAD}  trust:\n    # root: a\n  guard: {{}}\n",
        ("trust", "root"),
        "b",
        f"{HEAD}  trust: {{root: b}}\n    # root: a\n  guard: {{}}\n",
    ),
    "a value is exchanged": (
        f"{HEAD}  trust:\n    root: a # old\n    soak: 2m\n{TAIL}",
        ("trust", "root"),
        "b",
        f"{HEAD}  trust:\n    root: b # old\n    soak: 2m\n{TAIL}",
    ),
    "a list in lines is exchanged": (
        f"{HEAD}  trust:\n    canary:\n    - west\n    - east # too\n    soak: 2m\n",
        ("trust", "canary"),
        ["north"],
        f"{HEAD}  trust:\n    canary: [north] # too\n    soak: 2m\n",
    ),
}
ITEMS = {
    "a list is made": (f"{HEAD}  trust: {{root: a}}\n", f"{HEAD}  trust: {{root: a, exclude: [x]}}\n"),
    "an empty list": (f"{HEAD}  trust: {{exclude: []}}\n", f"{HEAD}  trust: {{exclude: [x]}}\n"),
    "on a line": (f"{HEAD}  trust: {{exclude: [a, b]}}\n", f"{HEAD}  trust: {{exclude: [a, b, x]}}\n"),
    "in lines": (
        f"{HEAD}  trust:\n    exclude:\n    - a # dead\n    soak: 2m\n",
        f"{HEAD}  trust:\n    exclude:\n    - a # dead\n    - x\n    soak: 2m\n",
    ),
}
TAKEN = {
    "the first on a line": ("{exclude: [a, b, c]}", 0, "{exclude: [b, c]}"),
    "one in the middle": ("{exclude: [a, b, c]}", 1, "{exclude: [a, c]}"),
    "the last on a line": ("{exclude: [a, b, c]}", 2, "{exclude: [a, b]}"),
    "the only one": ("{root: a, exclude: [a]}", 0, "{root: a}"),
    "the only one of the only entry": ("{exclude: [a]}", 0, "{}"),
    "in lines": (
        "\n    exclude:\n    - a # dead\n    - b # too\n    soak: 2m",
        0,
        "\n    exclude:\n    - b # too\n    soak: 2m",
    ),
    "the only one in lines": ("\n    exclude:\n    - a # dead\n    soak: 2m", 0, "\n    soak: 2m"),
}


@pytest.mark.parametrize("case", VALUES)
def test_a_value_goes_in_and_everything_else_stays(case):
    before, path, value, after = VALUES[case]
    assert after == with_value(before, ("spec", *path), value)


@pytest.mark.parametrize("case", ITEMS)
def test_an_item_goes_in_at_the_end(case):
    before, after = ITEMS[case]
    assert after == with_item(before, ("spec", "trust", "exclude"), "x")


@pytest.mark.parametrize("case", TAKEN)
def test_an_item_goes_with_what_is_only_there_for_it(case):
    before, position, after = TAKEN[case]
    text = without_item(f"{HEAD}  trust: {before}\n{TAIL}", ("spec", "trust", "exclude"), position)
    assert f"{HEAD}  trust: {after}\n{TAIL}" == text


def test_a_value_that_is_no_map_is_not_led_through():
    with pytest.raises(TypeError):
        with_value("spec: {trust: no}\n", ("spec", "trust", "root"), "a")


WORDS = st.sampled_from(["a", "b", "c", "d"])
TREES = st.recursive(st.integers(0, 9) | WORDS, lambda inner: st.dictionaries(WORDS, inner, max_size=3), max_leaves=8)


@given(tree=st.dictionaries(WORDS, TREES, min_size=1), path=st.lists(WORDS, min_size=1, max_size=3), data=st.data())
def test_whatever_the_style_the_result_says_what_was_meant(tree, path, data):
    text = yaml.safe_dump(tree, default_flow_style=data.draw(st.sampled_from([True, False, None])), sort_keys=False)
    inner = expected = yaml.safe_load(text)
    for key in path[:-1]:
        inner = inner.setdefault(key, {})
        if not isinstance(inner, dict):
            return
    inner[path[-1]] = "new"
    changed = with_value(text, path, "new")
    assert expected == yaml.safe_load(changed)
    del inner[path[-1]]
    assert expected == yaml.safe_load(without(changed, path))
