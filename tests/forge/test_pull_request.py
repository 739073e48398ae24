"""What follows from a pull request as a forge describes it."""

from __future__ import annotations

from typing import Any

import pytest

from syncer.protocol.errors import HumanNeeded
from workers.forge.pull_request import (
    Event,
    Label,
    Protection,
    PullRequest,
    Repo,
    Review,
    Side,
    Status,
    User,
    branch_shown,
    closed_by_people,
    edits,
    fingerprint,
    label_edits,
    lacks,
    merging,
    newest_of,
    parsed,
    style_of,
    text_of,
)
from workers.outside import CommitId, Shown

HEAD, OTHER = "a" * 40, "b" * 40
SHOWN = Shown(branch="peermesh/exports/shop", head=CommitId(HEAD), digest="d" * 40, title="t", body="b\n", classes=())


def pull(number: int = 1, branch: str = SHOWN.branch, **given: Any) -> PullRequest:
    repository = Repo(full_name=given.pop("repository", "acme/mesh"))
    return PullRequest(
        number=number,
        head=Side(ref=branch, label=branch, sha=HEAD, repo=given.pop("head_repo", repository)),
        base=Side(ref=given.pop("base", "main")),
        **given,
    )


# --- which one shows what


@pytest.mark.parametrize(
    ("one", "branch"),
    [
        (pull(), SHOWN.branch),
        (pull(repository="Acme/Mesh"), SHOWN.branch),
        (pull(repository="mallory/mesh"), ""),
        (pull(head_repo=None), ""),
        (pull(base="develop"), ""),
    ],
    ids=["ours", "another case", "a fork", "a fork that is gone", "another base"],
)
def test_a_pull_request_shows_a_branch_of_this_repository_that_goes_to_main(one, branch):
    assert branch == branch_shown(one, "acme/mesh")


def test_the_newest_of_a_branch_counts_and_other_branches_do_not():
    found = newest_of([pull(7), pull(3), pull(9, branch="feature")], "acme/mesh", "peermesh/")
    assert {SHOWN.branch: 7} == {branch: one.number for branch, one in found.items()}


def test_the_fingerprint_changes_with_whatever_people_do_and_not_with_the_order():
    one, two = pull(1, updated_at="1"), pull(2, updated_at="1")
    assert fingerprint([one, two]) == fingerprint([two, one])
    others = [pull(2, updated_at="2"), pull(2, updated_at="1", draft=True), pull(3, updated_at="1")]
    assert not [other for other in others if fingerprint([one, other]) == fingerprint([one, two])]


# --- what must be written


def test_text_is_written_for_a_change_and_then_left_to_people():
    assert {"title": "t", "body": f"b\n\nPeermesh-Change: {'d' * 40}\n"} == edits(pull(body=None), SHOWN)
    assert {} == edits(pull(title="Theirs", body=f"Look here first!\r\n{text_of(SHOWN)}"), SHOWN)


def test_a_draft_keeps_its_title():
    assert {"body"} == edits(pull(title="WIP: t", draft=True), SHOWN).keys()


def test_labels_of_people_are_never_touched():
    labels = (Label(id=1, name="bug"), Label(id=2, name="peermesh/held"), Label(id=3, name="peermesh/change"))
    added, stray = label_edits(pull(labels=labels), ["peermesh/change", "peermesh/export"])
    assert (frozenset({"peermesh/export"}), [2]) == (added, [label.id for label in stray])


# --- closed


@pytest.mark.parametrize(
    ("events", "refused"),
    [
        ([("close", "alice")], True),
        ([("close", "Robot")], False),
        ([("close", "alice"), ("delete_branch", "alice")], False),
        ([("close", "alice"), ("reopen", "alice"), ("close", "robot")], False),
        ([("delete_branch", "robot"), ("close", "alice"), ("comment", "robot")], True),
        ([], False),
    ],
)
def test_only_what_people_closed_is_refused(events, refused):
    assert refused == closed_by_people([Event(type=kind, user=User(login=who)) for kind, who in events], "robot")


# --- merging


def review(state: str = "APPROVED", user: str = "alice", commit: str = HEAD, **given: Any) -> Review:
    return Review(state=state, user=User(login=user), commit_id=commit, **{"official": True, **given})


@pytest.mark.parametrize(
    ("reviews", "fine"),
    [
        ([review()], True),
        ([review(commit=OTHER)], False),
        ([review(stale=True)], False),
        ([review(dismissed=True)], False),
        ([review(official=False)], False),
        ([review("COMMENT")], False),
        ([review(), review("REQUEST_CHANGES")], False),
        ([review("REQUEST_CHANGES"), review()], True),
        ([review(), review("COMMENT")], True),
        ([review("REQUEST_CHANGES", user="bob"), review()], True),
        ([], False),
    ],
)
def test_an_approval_is_of_exactly_this_head_and_the_last_word_of_who_gave_it(reviews, fine):
    assert fine == (not lacks(Protection(required_approvals=1), reviews, (), HEAD))


def test_two_approvals_are_of_two_people():
    two = Protection(required_approvals=2)
    assert "1 of 2" in lacks(two, [review(), review()], (), HEAD)
    assert "" == lacks(two, [review(), review(user="bob")], (), HEAD)


@pytest.mark.parametrize(
    ("said", "part"),
    [
        ({"ci/peermesh": "success", "ci/other": "success", "docs": "failure"}, ""),
        ({"ci/peermesh": "success", "ci/other": "pending"}, "pending"),
        ({"ci/peermesh": "failure"}, "failure"),
        ({"docs": "success"}, "not reported yet"),
    ],
)
def test_required_checks_are_green_on_this_head(said, part):
    rules = Protection(enable_status_check=True, status_check_contexts=("ci/*",))
    told = lacks(rules, (), [Status(context=context, status=state) for context, state in said.items()], HEAD)
    assert (bool(part), True) == (bool(told), part in told)


def test_nothing_is_lacking_where_nothing_is_asked_for():
    assert "" == lacks(Protection(), (), (), HEAD)
    assert "" == lacks(Protection(status_check_contexts=("ci",)), (), (), HEAD)


@pytest.mark.parametrize(
    ("status", "message", "meaning"),
    [
        (200, "", "merged"),
        (405, "The PR is already merged", "merged"),
        (405, "Please try again later", "soon"),
        (404, "not found", "soon"),
        (409, "head out of date", "soon"),
        (409, "PushRejected with remote message: hook", "waits"),
        (405, "Does not have enough approvals", "waits"),
        (405, "Not all required status checks successful", "waits"),
        (405, "There are requested changes", "waits"),
        (405, "Changed protected files", "waits"),
        (405, "User not allowed to merge PR", "waits"),
        (423, "", "waits"),
        (405, "The head branch is behind the base branch", "behind"),
        (500, "", "behind"),
    ],
)
def test_every_answer_to_a_merge_means_one_thing(status, message, meaning):
    found = merging(status, message)
    assert meaning == found.status
    assert meaning == "merged" or message in found.message


def test_a_repository_merges_as_it_says():
    answers: list[dict[str, Any]] = [{"default_merge_style": "squash"}, {"default_merge_style": "octopus"}, {}]
    assert ["squash", "merge", "merge"] == [style_of(answer) for answer in answers]


def test_what_no_gitea_answers_is_told_with_its_place():
    with pytest.raises(HumanNeeded, match=r"acme/mesh.*Expected `int`"):
        parsed({"number": "one", "head": {}, "base": {}}, PullRequest, "http://forge/acme/mesh")
