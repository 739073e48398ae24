"""A rotation through real Git: what is read, pushed, merged, reverted and remembered there."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.core.trusting import PERSON, ROBOT, TrustSite, request
from tests.servers.git_http import bare_repository
from workers.check import check
from workers.documents.trust import MeshTrust
from workers.git import GitRepository
from workers.outside import Repository

REQUEST, CERTIFICATE = "peermesh/trust/request-west", "peermesh/trust/certificate-west"
SIGNED, CA = "pki/intermediates/west.yaml", "clusters/west/ca/cacerts.yaml"


class GitSite(TrustSite):
    """The same on a bare repository; each worker begins with an empty copy."""

    def begin(self, content: Mapping[str, bytes]) -> Repository:
        self.copies = itertools.count()
        self.url = str(bare_repository(self.folder / "mesh.git", content))
        return self._client(PERSON)

    def robot(self) -> Repository:
        return self._client(ROBOT)

    def _client(self, author: tuple[str, str]) -> Repository:
        copy = self.folder / f"copy{next(self.copies)}"
        return GitRepository(self.url, copy=copy, author=author, people=author != ROBOT)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Tests don't depend on who runs them."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", "/dev/null")
    monkeypatch.setenv("GIT_CONFIG_SYSTEM", "/dev/null")
    return tmp_path


def test_a_rotation_is_requested_approved_signed_and_committed(folder):
    site = GitSite(folder)
    site.asks(request())
    assert site.flushes().pushed == (REQUEST,)
    site.approves(REQUEST)
    assert site.signs() == ("west",)
    assert site.flushes().pushed == (CERTIFICATE,)
    site.inbox.wipe()
    assert site.flushes().closed == ()
    site.approves(CERTIFICATE)
    assert site.main.facts.pki.intermediates["west"].spec.rotation == 2
    assert check(site.fetched().files) == ()
    assert (site.flushes().pushed, site.open()) == ((), [])


def test_a_certificate_that_people_revert_is_remembered_as_refused(folder):
    site = GitSite(folder, trust=MeshTrust(root="a", renewal_requests="approved"), automatic=("renewal",))
    before = {path: site.fetched().files.read(path) for path in (SIGNED, CA)}
    site.asks(request())
    site.flushes()
    site.signs()
    assert site.flushes().merged == (CERTIFICATE,)
    site.commits(before, message="Revert\n")
    for _ in range(2):
        assert site.flushes().merged == ()
    assert [SIGNED] == [path for path, _ in site.fetched().rejected]
    assert site.main.facts.pki.intermediates["west"].spec.rotation == 1
