"""People pause, refuse and meddle: the robot holds still, remembers, and keeps its hands off."""

from __future__ import annotations

from tests.pipeline.directory import directory
from tests.pipeline.harness import pipeline

SHOP, BANK = "peermesh/exports/shop", "peermesh/exports/bank"


def test_nothing_is_written_while_paused_and_all_of_it_afterwards(tmp_path):
    west = directory(tmp_path / "west", "203.0.113.10")
    west.put("shop/cart")
    with pipeline(tmp_path, {"west": west}, automatic=("export", "change")) as line:
        line.everything_approved()

        line.done("pause", "the gateway is being replaced", "--repo", str(line.checkout))
        before = line.refs()
        west.put("shop/cart", port=9090)
        west.gateway("203.0.113.99")
        west.put("shop/till")
        line.wait_for(lambda: len(line.heard("west").offers) == 2, "the border to keep the news")
        line.wait_until_looked_at()
        assert before == line.refs()
        assert "nothing flushed: paused: the gateway is being replaced" in line.processes.log("worker")
        assert "the gateway is being replaced" in line.status()

        line.done("resume", "--repo", str(line.checkout))
        line.ring()
        line.wait_until_settled()
        assert {"shop/cart", "shop/till"} == set(map(str, line.tree().facts.exports))
        assert ["peermesh/clusters/west"] == list(line.branches())


def test_what_people_refuse_comes_back_when_it_differs_or_they_reopen_it(tmp_path):
    west = directory(tmp_path / "west", "203.0.113.10")
    with pipeline(tmp_path, {"west": west}) as line:
        line.everything_approved()
        west.put("shop/cart")
        west.put("bank/ledger")
        line.done("reject", line.opened(SHOP), "--repo", str(line.checkout))
        line.done("reject", line.opened(BANK), "--repo", str(line.checkout))
        line.wait_until_looked_at()
        assert {} == line.branches()
        assert "facts/exports/shop/west/cart.yaml" in line.status()

        west.put("shop/cart", account="cart-v2")
        line.opened(SHOP)
        line.done("proposals", "reopen", BANK, "--repo", str(line.checkout))
        line.ring()
        line.opened(BANK)
        line.wait_until_settled()


def test_a_branch_that_somebody_else_changed_is_left_alone_and_told(tmp_path):
    west = directory(tmp_path / "west", "203.0.113.10")
    with pipeline(tmp_path, {"west": west}) as line:
        line.everything_approved()
        west.put("shop/cart")
        line.git("fetch", "--quiet", "origin", line.opened(SHOP))
        line.git("checkout", "--quiet", "FETCH_HEAD")
        (line.checkout / "facts/exports/shop/west/cart.yaml").unlink()
        line.git("commit", "--quiet", "--all", "--message", "Not so fast")
        line.git("push", "--quiet", "origin", f"HEAD:{SHOP}")
        theirs = line.git("rev-parse", "HEAD").strip()

        west.put("shop/cart", account="cart-v2")
        west.put("bank/ledger")
        line.opened(BANK)
        line.wait_until_looked_at()
        assert theirs == line.refs()[f"refs/heads/{SHOP}"]
        assert "somebody else changed this branch" in line.status()

        line.git("push", "--quiet", "origin", "--delete", SHOP)
        line.ring()
        line.opened(SHOP)
        line.wait_until_settled()
