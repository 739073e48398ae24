"""`peermesh doctor forge` on a real Gitea: everything wrong with a fresh repository is seen, and the commands that are
printed mend it, as they stand.
"""

from __future__ import annotations

import base64
import json
import os
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from tests import meshes
from tests.cli.calls import call
from tests.e2e.gitea import Gitea, gitea
from workers.documents.kinds import Approval, Forge, Mesh, MeshSpec
from workers.documents.paths import MESH
from workers.documents.writing import write
from workers.folder import write_folder

GOOD = {
    "rule_name": "main",
    "enable_push": False,
    "required_approvals": 1,
    "dismiss_stale_approvals": True,
    "block_on_rejected_reviews": True,
    "block_on_outdated_branch": True,
    "enable_status_check": True,
    "status_check_contexts": ["peermesh / check"],
}
OWNERS = b"mesh/.* @alice\nfacts/exports/.* @alice\n"


@pytest.fixture(scope="module")
def forge(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gitea]:
    with gitea(tmp_path_factory.mktemp("gitea")) as running:
        yield running


class Site:
    """A repository at the forge, and a checkout of its mesh repository."""

    def __init__(self, forge: Gitea, name: str, folder: Path) -> None:
        self.forge = forge
        self.folder = folder
        base = meshes.mesh()
        settings = Forge(type="gitea", url=forge.url, repository=f"acme/{name}")
        mesh = Mesh(metadata=base.metadata, spec=MeshSpec(hosts=base.spec.hosts, approval=Approval(forge=settings)))
        content = {MESH: write(mesh), "CODEOWNERS": OWNERS}
        write_folder(folder / "mesh", content)
        self.repository = forge.repository(name, content)

    def protect(self, **rules: object) -> None:
        self.forge.done("admin", "POST", f"/repos/{self.repository}/branch_protections", {**GOOD, **rules})

    def owners(self, text: str) -> None:
        """CODEOWNERS, on main and in the checkout."""
        (self.folder / "mesh" / "CODEOWNERS").write_text(text)
        self.put({"CODEOWNERS": text}, branch="main")

    def put(self, files: Mapping[str, str], *, branch: str) -> None:
        """One commit, on `main` or on a new branch that begins there."""
        there = self.forge.done("admin", "GET", f"/repos/{self.repository}/contents")
        known = {one["path"]: one["sha"] for one in there}
        changes = [
            {
                "path": path,
                "content": base64.b64encode(text.encode()).decode(),
                **({"operation": "update", "sha": known[path]} if path in known else {"operation": "create"}),
            }
            for path, text in files.items()
        ]
        body = {"branch": "main", "message": "x", "files": changes}
        body |= {} if branch == "main" else {"new_branch": branch}
        self.forge.done("admin", "POST", f"/repos/{self.repository}/contents", body)

    def asked(self, path: str) -> list[str]:
        """Whom the forge asks for a review of a pull request that changes one file."""
        branch = f"peermesh/{path.replace('/', '-')}"
        self.put({path: "x: 1\n"}, branch=branch)
        body = {"head": branch, "base": "main", "title": path}
        opened = self.forge.done("robot", "POST", f"/repos/{self.repository}/pulls", body)
        return sorted(one["login"] for one in opened["requested_reviewers"] or ())

    def findings(self, user: str, robot: str = "robot") -> list[dict[str, str]]:
        token = self.folder / user
        token.write_text(self.forge.tokens[user].reveal())
        said = call(
            *("doctor", "forge", "--repo", self.folder / "mesh", "--token-file", token, "--robot", robot),
            *("--output", "json"),
        )
        assert said.stdout, said
        assert self.forge.tokens[user].reveal() not in said.stdout + said.stderr
        found: list[dict[str, str]] = json.loads(said.stdout)["findings"]
        return found

    def trouble(self, user: str = "admin", robot: str = "robot") -> list[tuple[str, str]]:
        return [(one["status"], one["subject"]) for one in self.findings(user, robot) if one["status"] != "ok"]

    def mend(self) -> None:
        """Run what is printed for what is wrong, as an administrator whose token is in ~/.netrc."""
        home = self.folder / "home"
        home.mkdir(exist_ok=True)
        netrc = home / ".netrc"
        netrc.touch(mode=0o600)
        netrc.write_text(f"machine 127.0.0.1 login admin password {self.forge.tokens['admin'].reveal()}\n")
        for one in self.findings("admin"):
            for command in one.get("remedy", "").replace("\\\n", " ").splitlines() if one["status"] != "ok" else ():
                if command.startswith("$ "):
                    script = command.removeprefix("$ ").replace("curl ", "curl --fail-with-body --silent --show-error ")
                    done = subprocess.run(
                        ["sh", "-c", script],
                        check=False,
                        capture_output=True,
                        text=True,
                        env={**os.environ, "HOME": str(home)},
                    )
                    assert 0 == done.returncode, (script, done.stdout, done.stderr)


@pytest.fixture
def site(forge: Gitea, tmp_path: Path) -> Site:
    return Site(forge, f"mesh-{tmp_path.name}".replace("_", "-")[:60], tmp_path)


def test_a_fresh_repository_is_mended_by_the_commands_that_are_printed(site: Site):
    assert ("wrong", "protection") in site.trouble()
    site.mend()  # now there is a rule, of which more can be seen
    assert [("wrong", "required check"), ("wrong", "up to date")] == site.trouble()
    site.mend()
    assert [] == site.trouble()


def test_rules_that_let_the_robot_through_are_seen_and_mended(site: Site):
    pushers = {"enable_push": True, "enable_push_whitelist": True, "push_whitelist_usernames": ["robot"]}
    site.protect(**pushers, dismiss_stale_approvals=False, block_on_outdated_branch=False, enable_status_check=False)
    site.forge.done("admin", "PUT", f"/repos/{site.repository}/collaborators/robot", {"permission": "admin"})
    site.forge.done("admin", "POST", f"/repos/{site.repository}/branches", {"new_branch_name": "release-1"})
    assert {
        ("wrong", "protection"),
        ("wrong", "required check"),
        ("wrong", "up to date"),
        ("wrong", "approvals"),
        ("wrong", "robot"),
        ("warning", "robot's branches"),
    } == set(site.trouble())
    site.mend()
    assert [] == site.trouble()


def test_a_rule_for_all_branches_stops_the_robot_and_is_seen(site: Site):
    site.protect()
    site.protect(rule_name="**")
    assert [("wrong", "robot's branches")] == site.trouble()
    site.mend()
    assert [] == site.trouble()


def test_the_robots_own_token_sees_no_rules_and_nothing_is_called_wrong_for_it(site: Site):
    site.protect()
    assert {"unknown"} == {status for status, _ in site.trouble("robot")}


def test_code_owners_of_what_is_signed_are_missed_and_asked_once_the_printed_line_is_there(site: Site):
    (site.folder / "mesh" / "pki" / "roots").mkdir(parents=True)
    (site.folder / "mesh" / "pki" / "roots" / "a.yaml").write_text("")
    assert [] == site.asked("pki/requests/east.yaml")
    (missing,) = (one for one in site.findings("admin") if one["subject"] == "code owners")
    assert ("wrong", "CODEOWNERS names nobody for pki/ ") == (missing["status"], missing["what"][:33])
    site.owners(OWNERS.decode() + missing["remedy"].splitlines()[-1].strip().replace("@team", "@bob") + "\n")
    site.protect()
    assert [] == site.trouble()
    guarded = ("pki/requests/west.yaml", "pki/roots/b.yaml", "pki/trust.yaml", "pki/sealing/west.yaml")
    assert {path: ["bob"] for path in guarded} == {path: site.asked(path) for path in guarded}
    assert [] == site.asked("pki/intermediates/west.yaml")
    assert ["alice"] == site.asked("mesh/clusters/west.yaml")


def test_who_administers_the_forge_is_no_robot(site: Site):
    site.protect()
    assert ("wrong", "robot") in site.trouble("admin", robot="admin")
