"""What is wrong with the rules of a forge, and what a repository on this machine shows."""

from __future__ import annotations

import re
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests import meshes
from tests.house.code import ROOT
from workers.cli.doctor.forges import has_trust, look_at_git, owners_in
from workers.doctor import Finding, NotSeen, examine, git_server
from workers.doctor.forge import CHECKS, ForgeSeen, Protection, Robot
from workers.doctor.git_server import GitServerSeen
from workers.doctor.owners import (
    EXPORTS,
    GITEA_PLACES,
    MESH,
    PLACES,
    TRUST,
    Guarded,
    owners_by_expression,
    owners_by_pattern,
    unguarded,
)
from workers.documents.kinds import Approval
from workers.documents.trust import MeshTrust
from workers.tree import FilesInMemory, Tree

TREE = Tree(mesh=meshes.mesh(), clusters={})
API = "https://git.example/api/v1/repos/acme/mesh"
MAIN = Protection(
    rule="main",
    push=False,
    pushers=None,
    mergers=None,
    approvals=1,
    dismisses=True,
    rejects=True,
    current=True,
    checks=("peermesh / check",),
)
OWNERS = "mesh/.* @acme/platform\nfacts/exports/.* @acme/platform\nfacts/exports/shop/.* @acme/shop\npki/.* @acme/ca\n"
SEEN = ForgeSeen(
    api=API,
    approval=Approval(),
    rules=(MAIN,),
    branches=("main",),
    robot=Robot(name="robot", permission="write", admin=False),
    owners=("CODEOWNERS", OWNERS),
    trust=True,
    clock=0.0,
)


def findings(seen: ForgeSeen) -> tuple[Finding, ...]:
    return examine("forge", CHECKS, seen).findings


def trouble(seen: ForgeSeen) -> Finding:
    """The one finding that isn't ok."""
    (found,) = (finding for finding in findings(seen) if finding.status != "ok")
    return found


def main(**rule: Any) -> ForgeSeen:
    return replace(SEEN, rules=(replace(MAIN, **rule),))


def robot(**said: Any) -> ForgeSeen:
    assert SEEN.robot
    return replace(SEEN, robot=replace(SEEN.robot, **said))


def automatic(seen: ForgeSeen = SEEN) -> ForgeSeen:
    return replace(seen, approval=Approval(automatic=("export", "change")))


def test_a_forge_as_it_should_be_has_a_line_for_everything_and_nothing_to_mend():
    assert set(CHECKS) == {finding.subject for finding in findings(SEEN)}
    assert {("ok", "")} == {(finding.status, finding.remedy) for finding in findings(SEEN)}


@pytest.mark.parametrize(
    ("seen", "status", "subject", "what", "remedy"),
    [
        (replace(SEEN, rules=()), "wrong", "protection", "main isn't protected", f"-X POST {API}/branch_protections"),
        (main(push=True), "wrong", "protection", "robot (the robot) may push to main", '{"enable_push": false}'),
        (main(push=True, pushers=("robot",)), "wrong", "protection", "robot (the robot) may push", "enable_push"),
        (main(push=True, pushers=("ann",)), "warning", "protection", "ann may push to main", "enable_push"),
        (main(checks=None), "wrong", "required check", "no check is required", '"enable_status_check": true'),
        (main(checks=()), "wrong", "required check", "no check is required", '"enable_status_check": true'),
        (main(current=False), "wrong", "up to date", "lacks newer commits", '{"block_on_outdated_branch": true}'),
        (main(approvals=0), "wrong", "approvals", "main wants no approval", '{"required_approvals": 1}'),
        (main(dismisses=False), "wrong", "approvals", "survives a push", '{"dismiss_stale_approvals": true}'),
        (main(rejects=False), "warning", "approvals", "asks for changes", '{"block_on_rejected_reviews": true}'),
        (automatic(), "warning", "automatic", "each waits for a person all the same", '{"required_approvals": 0}'),
        (automatic(main(approvals=0)), "warning", "approvals", "main wants no approval", '{"required_approvals": 1}'),
        (
            automatic(main(mergers=("ann",))),
            "wrong",
            "automatic",
            "lets the robot merge export, change by itself, and the forge lets only ann merge",
            '{"merge_whitelist_usernames": ["ann", "robot"]}',
        ),
        (robot(admin=True), "wrong", "robot", "administrator of the whole forge", "/api/v1/admin/users/robot"),
        (robot(permission="admin"), "wrong", "robot", "it may change its own rules", '{"permission": "write"}'),
        (robot(permission="read"), "wrong", "robot", "robot may read there", f"-X PUT {API}/collaborators/robot"),
        (replace(SEEN, robot=None), "unknown", "robot", "what the robot's account may", "--robot NAME"),
        (
            replace(SEEN, branches=("main", "release-1")),
            "warning",
            "robot's branches",
            "the robot may push to release-1",
            '{"rule_name": "release-1", "enable_push": false}',
        ),
        (
            replace(SEEN, rules=(MAIN, replace(MAIN, rule="**"))),
            "wrong",
            "robot's branches",
            "the rule ** holds for peermesh/*, too",
            f"-X DELETE {API}/branch_protections/%2A%2A",
        ),
        (replace(SEEN, owners=None), "wrong", "code owners", "there is no CODEOWNERS", "peermesh init"),
        (
            replace(SEEN, owners=("CODEOWNERS", OWNERS.replace("acme/platform", "your-organisation/platform"))),
            "wrong",
            "code owners",
            "CODEOWNERS still has @your-organisation/platform",
            "Put your own teams into CODEOWNERS.",
        ),
        (
            replace(SEEN, owners=("CODEOWNERS", OWNERS.replace("mesh/.*", "/mesh/"))),
            "wrong",
            "code owners",
            "CODEOWNERS names nobody for mesh/ (this forge reads regular expressions): what people want",
            "\n  mesh/.* @team",
        ),
        (
            replace(SEEN, owners=("CODEOWNERS", OWNERS.replace("mesh/.*", r"mesh/mesh\.yaml"))),
            "wrong",
            "code owners",
            "CODEOWNERS names nobody for mesh/ ",
            "\n  mesh/.* @team",
        ),
        (
            replace(SEEN, owners=("CODEOWNERS", OWNERS.replace("pki/.*", "pki/roots/.*"))),
            "wrong",
            "code owners",
            "CODEOWNERS names nobody for pki/ (this forge reads regular expressions): a request that is merged",
            f"\n  {TRUST.expression} @team",
        ),
    ],
)
def test_what_is_wrong_is_said_with_what_mends_it_and_nothing_else_is(
    seen: ForgeSeen, status: str, subject: str, what: str, remedy: str
):
    found = trouble(seen)
    assert (status, subject) == (found.status, found.subject)
    assert what in found.what
    assert remedy in found.remedy


def test_who_looks_after_no_certificates_needs_nobody_for_them():
    without = replace(SEEN, owners=("CODEOWNERS", OWNERS.replace("pki/.*", "#")), trust=False)
    assert {"ok"} == {finding.status for finding in findings(without)}


@pytest.mark.parametrize(
    ("readings", "line", "also"),
    [
        pytest.param(owners_by_pattern, "{0.pattern} @a\n{0.free}", "pki/ceremony.yaml", id="as GitHub reads it"),
        pytest.param(owners_by_expression, "{0.expression} @a", "", id="as Gitea reads it"),
    ],
)
@pytest.mark.parametrize("each", [MESH, EXPORTS, TRUST], ids=lambda each: each.what)
def test_the_line_that_mends_it_guards_all_of_it_and_no_certificate(readings, line: str, also: str, each: Guarded):
    text = line.format(each)
    assert each not in unguarded(text, readings, trust=True)
    assert () == readings(text, "pki/intermediates/west.yaml")
    assert () == readings(text, "clusters/west/ca/cacerts.yaml")
    assert also == "" or each is not TRUST or readings(text, also)


def test_whatever_the_template_has_is_guarded_once_teams_are_put_in():
    text = (ROOT / "repo-template" / "CODEOWNERS").read_text()
    assert () == unguarded(text, owners_by_pattern, trust=True)
    written = text[text.index("# Gitea and Forgejo") :]
    expressions = "\n".join(f"{one} @a" for one in re.findall("`([^`]+)`", written))
    assert () == unguarded(expressions, owners_by_expression, trust=True)


def test_trust_counts_as_soon_as_it_is_ordered_or_something_of_it_is_there():
    plain, ordered = (Tree(mesh=meshes.mesh(trust=trust), clusters={}) for trust in (None, MeshTrust(root="a")))
    nothing, something = FilesInMemory({"mesh/mesh.yaml": b""}), FilesInMemory({"pki/roots/a.yaml": b""})
    seen = [has_trust(tree, files) for tree in (plain, ordered) for files in (nothing, something)]
    assert [False, True, True, True] == seen


def test_what_the_robots_own_token_may_not_see_is_unknown():
    hidden = NotSeen(why="the token may not do this")
    seen = replace(SEEN, rules=hidden, branches=hidden, robot=Robot(name="robot", permission=hidden, admin=hidden))
    found = {finding.subject: finding.status for finding in findings(seen)}
    assert {"protection": "unknown", "robot": "unknown", "code owners": "ok", "clock": "ok"} == found


@pytest.mark.parametrize(
    ("rule", "branch", "fits"),
    [
        ("main", "main", True),
        ("*", "main", True),
        ("*", "peermesh/render", False),
        ("**", "peermesh/render", True),
        ("peermesh/*", "peermesh/exports/shop", False),
        ("peermesh/**", "peermesh/exports/shop", True),
        ("ma.n", "main", False),
    ],
)
def test_a_rule_fits_branches_as_the_forge_has_it(rule: str, branch: str, fits: bool):
    assert fits == replace(MAIN, rule=rule).fits(branch)


@pytest.mark.parametrize(
    ("text", "path", "owners"),
    [
        ("/mesh/ @a", "mesh/mesh.yaml", ("@a",)),
        ("mesh/ @a", "x/mesh/mesh.yaml", ("@a",)),
        ("/mesh/ @a", "x/mesh/mesh.yaml", ()),
        ("*.yaml @a", "x/y.yaml", ("@a",)),
        ("/facts/**/west/ @a", "facts/exports/shop/west/c.yaml", ("@a",)),
        ("/facts/* @a", "facts/exports/shop", ("@a",)),
        ("* @a\n/clusters/", "clusters/west/x.yaml", ()),
        ("# /mesh/ @a", "mesh/mesh.yaml", ()),
    ],
)
def test_patterns_are_read_as_github_does(text: str, path: str, owners: tuple[str, ...]):
    assert owners == owners_by_pattern(text, path)


@pytest.mark.parametrize(
    ("text", "path", "owners"),
    [
        ("mesh/.* @a", "mesh/mesh.yaml", ("@a",)),
        ("mesh/ @a", "mesh/mesh.yaml", ()),
        ("mesh/.* @a\n.*\\.yaml @b", "mesh/mesh.yaml", ("@a", "@b")),
        ("!clusters/.* @a", "mesh/mesh.yaml", ("@a",)),
        ("!mesh/.* @a", "mesh/mesh.yaml", ()),
        ("[ @a\nmesh/.* @b", "mesh/mesh.yaml", ("@b",)),
    ],
)
def test_expressions_are_read_as_gitea_does(text: str, path: str, owners: tuple[str, ...]):
    assert owners == owners_by_expression(text, path)


# --- forge `git`


def looked(folder: str, owners: str = "/mesh/ @a\n/facts/exports/ @a\n") -> dict[str, Finding]:
    seen = look_at_git(TREE, FilesInMemory({"CODEOWNERS": owners.encode()}), folder)
    return {finding.subject: finding for finding in examine("forge git", git_server.CHECKS, seen).findings}


@pytest.fixture
def bare(tmp_path: Path) -> Path:
    subprocess.run(["git", "init", "--quiet", "--bare", tmp_path / "mesh.git"], check=True)
    return tmp_path / "mesh.git"


def git(folder: Path, *arguments: str) -> None:
    subprocess.run(["git", "-C", folder, *arguments], check=True)


def test_of_a_repository_on_this_machine_its_configuration_is_read_and_the_commands_mend_it(bare: Path):
    git(bare, "config", "receive.denyDeletes", "true")
    found = looked(str(bare))
    assert ("warning", "warning", "wrong", "ok") == tuple(
        found[name].status for name in ("protection", "single files", "robot's branches", "code owners")
    )
    for subject in ("single files", "robot's branches"):
        for line in found[subject].remedy.splitlines():
            if line.startswith("$ "):
                subprocess.run(line.removeprefix("$ ").split(), check=True)
    assert ("ok", "ok") == tuple(looked(str(bare))[name].status for name in ("single files", "robot's branches"))


def test_a_hook_decides_on_what_it_does_not_say(bare: Path):
    hook = bare / "hooks" / "pre-receive"
    hook.write_text("#!/bin/sh\n")
    hook.chmod(0o755)
    assert "unknown" == looked(str(bare))["protection"].status


def test_of_a_server_elsewhere_little_is_known_and_it_is_not_tried():
    seen = GitServerSeen(
        repo="ssh://git@git.example/mesh.git", config=None, hooks=frozenset(), owners=None, trust=True, clock=None
    )
    (found,) = examine("forge git", git_server.CHECKS, seen).findings
    assert ("unknown", "protection") == (found.status, found.subject)
    assert "trying would change something" in found.what


def test_a_password_in_the_address_is_not_shown():
    seen = look_at_git(TREE, FilesInMemory({}), "http://ann:hunter2@127.0.0.1:9/mesh.git")
    assert "http://127.0.0.1:9/mesh.git" == seen.repo
    assert isinstance(seen.clock, NotSeen)


def test_code_owners_of_a_plain_server_are_whom_to_ask():
    assert (
        "warning" == looked("ssh://git.example/mesh.git", "/mesh/ @your-organisation/platform\n")["code owners"].status
    )
    assert "warning" == looked("ssh://git.example/mesh.git", "/mesh/ @a\n")["code owners"].status


def test_who_looks_after_certificates_is_asked_for_their_owners_on_a_plain_server_too():
    text = "/mesh/ @a\n/facts/exports/ @a\n/pki/roots/ @a\n"
    files = FilesInMemory({".github/CODEOWNERS": text.encode(), "pki/roots/a.yaml": b""})
    seen = look_at_git(TREE, files, "ssh://git.example/mesh.git")
    found = {one.subject: one for one in examine("forge git", git_server.CHECKS, seen).findings}["code owners"]
    assert "warning" == found.status
    assert found.what.startswith(".github/CODEOWNERS names nobody for pki/: a request that is merged there is signed")
    lines = [line.removeprefix("  ") for line in found.remedy.splitlines()[1:]]
    assert () == unguarded("\n".join([text, *lines]), owners_by_pattern, trust=True)


def test_the_file_counts_that_the_forge_reads():
    """Gitea has another order than GitHub and doesn't know its folder."""
    both = {".github/CODEOWNERS": b"* @hub\n", ".gitea/CODEOWNERS": b".* @tea\n", "docs/CODEOWNERS": b".* @docs\n"}
    assert ("docs/CODEOWNERS", ".* @docs\n") == owners_in(FilesInMemory(both), GITEA_PLACES)
    assert (".github/CODEOWNERS", "* @hub\n") == owners_in(FilesInMemory(both), PLACES)
    assert None is owners_in(FilesInMemory({".github/CODEOWNERS": b"* @hub\n"}), GITEA_PLACES)
