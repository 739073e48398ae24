"""What git says -> what it means, row by row; the texts are those of git 2.39 and of servers that were run."""

from __future__ import annotations

import pytest

from workers.git.outcomes import Report, classify

REF = "refs/heads/peermesh/exports/shop"


def line(flag: str, summary: str, ref: str = REF) -> str:
    return f"{flag}\t0123abc:{ref}\t{summary}"


def said(*lines: str) -> str:
    return "\n".join(("To https://git.example/mesh.git", *lines, "Done", ""))


@pytest.mark.parametrize(
    "text",
    [
        line(" ", "0123abc..89abcde"),
        line("+", "0123abc...89abcde (forced update)"),
        line("*", "[new branch]"),
        line("*", "[new reference]"),
        line("=", "[up to date]"),
        f"-\t:{REF}\t[deleted]",
    ],
)
def test_flags_of_success_are_done(text):
    report = classify(0, said(text), "")
    assert ("done", None) == (report.lines[REF].verdict, report.failure)


LOCK = f"remote: error: cannot lock ref '{REF}': "

REFUSALS = [
    ("[rejected] (stale info)", "", "stale", "stale info"),
    ("[rejected] (fetch first)", "", "stale", "fetch first"),
    ("[rejected] (non-fast-forward)", "", "stale", "non-fast-forward"),
    (
        "[remote rejected] (failed to update ref)",
        f"{LOCK}is at 11 but expected 22",
        "stale",
        "is at 11 but expected 22",
    ),
    ("[remote rejected] (failed to update ref)", f"{LOCK}reference already exists", "stale", "already exists"),
    ("[remote rejected] (failed to update ref)", "", "stale", "failed to update ref"),
    (
        "[remote rejected] (failed to update ref)",
        f"{LOCK}'refs/heads/peermesh/exports' exists; cannot create '{REF}'",
        "refused",
        "a branch can't have the name of a folder of branches",
    ),
    (
        "[remote rejected] (failed to update ref)",
        f"{LOCK}Unable to create '/srv/mesh.git/./{REF}.lock': File exists.",
        "busy",
        "a writer that died left its lock file on the server",
    ),
    ("[rejected] (atomic push failed)", "", "together", "atomic push failed"),
    ("[remote rejected] (atomic push failure)", "", "together", "atomic push failure"),
    ("[remote rejected] (atomic transaction failed)", "", "stale", "atomic transaction failed"),
    ("[remote rejected] (hook declined)", "remote: no robots here", "refused", "no robots here"),
    (
        "[remote rejected] (pre-receive hook declined)",
        "remote: Gitea: Not allowed to push to protected branch main",
        "together",
        "protected branch main",
    ),
    (
        "[remote rejected] (protected branch hook declined)",
        "remote: error: GH006: Protected branch update failed",
        "together",
        "GH006",
    ),
    ("[remote rejected] (non-fast-forward)", "", "refused", "non-fast-forward"),
    ("[remote rejected] (deletion prohibited)", "", "refused", "deletion prohibited"),
    ("[remote rejected] (branch is currently checked out)", "", "refused", "give it a bare one as remote"),
    ("[remote rejected] (something that a forge invents)", "", "refused", "something that a forge invents"),
]


@pytest.mark.parametrize(("summary", "stderr", "verdict", "part"), REFUSALS)
def test_a_refused_ref_says_what_happens_next(summary, stderr, verdict, part):
    report = classify(1, said(line("!", summary)), f"{stderr}\nerror: failed to push some refs\n")
    assert (verdict, None) == (report.lines[REF].verdict, report.failure)
    assert part in report.lines[REF].message


def test_every_ref_is_judged_by_what_was_said_of_it():
    other = "refs/heads/peermesh/exports/books"
    failed = "[remote rejected] (failed to update ref)"
    stderr = (
        f"{LOCK}reference already exists\nremote: error: cannot lock ref '{other}': 'x' exists; cannot create 'y'\n"
    )
    report = classify(1, said(line("!", failed), line("!", failed, other), line("*", "[new branch]", "refs/x")), stderr)
    assert {REF: "stale", other: "refused", "refs/x": "done"} == {
        ref: line.verdict for ref, line in report.lines.items()
    }


FAILURES = [
    (
        "fatal: unable to access 'https://git.example/mesh.git/': The requested URL returned error: 403",
        "human",
        "Forbidden",
    ),
    ("error: RPC failed; HTTP 403 curl 22 The requested URL returned error: 403", "human", "Forbidden"),
    ("fatal: Authentication failed for 'https://git.example/mesh.git/'", "human", "BadCredentials"),
    (
        "fatal: could not read Username for 'https://git.example': terminal prompts disabled",
        "human",
        "BadCredentials",
    ),
    (
        "git@git.example: Permission denied (publickey).\nfatal: Could not read from remote repository.",
        "human",
        "KeyRefused",
    ),
    (
        "Host key verification failed.\nfatal: Could not read from remote repository.",
        "human",
        "HostKeyUnknown",
    ),
    (
        "@    WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED!     @\nHost key verification failed.",
        "human",
        "HostKeyChanged",
    ),
    (
        "fatal: unable to access 'https://git.example/': SSL certificate problem: self-signed certificate",
        "human",
        "BadCertificate",
    ),
    ("fatal: unable to access 'x': The requested URL returned error: 429", "transient", "RateLimited"),
    ("fatal: unable to access 'x': The requested URL returned error: 500", "transient", "ServerError"),
    ("fatal: unable to access 'x': The requested URL returned error: 502", "transient", "ServerError"),
    (
        (
            "error: RPC failed; HTTP 503 curl 22 The requested URL returned error: 503\n"
            "send-pack: unexpected disconnect while reading sideband packet\nfatal: the remote end hung up unexpectedly"
        ),
        "transient",
        "ServerError",
    ),
    ("error: RPC failed; HTTP 413 curl 22 The requested URL returned error: 413", "human", "TooLarge"),
    ("remote: fatal: pack exceeds maximum allowed size (10.00 KiB)", "human", "TooLarge"),
    ("fatal: repository 'https://git.example/mesh.git/' not found", "human", "NoRepository"),
    ("fatal: '/srv/mesh.git' does not appear to be a git repository", "human", "NoRepository"),
    ("fatal: remote error: no such repository: /mesh.git", "human", "NoRepository"),
    ("remote: Repository not found.\nfatal: repository 'https://git.example/' not found", "human", "NoRepository"),
    ("fatal: couldn't find remote ref refs/heads/main", "human", "NoMain"),
    ("fatal: detected dubious ownership in repository at '/srv/mesh.git'", "human", "DubiousOwnership"),
    ("fatal: remote error: upload-pack: not our ref 34c813dc", "human", "NoPartialClone"),
    ("fatal: the receiving end does not support --atomic push", "human", "NoAtomicPush"),
    ("fatal: unable to access 'x': Could not resolve host: git.example", "transient", "RemoteAway"),
    ("ssh: Could not resolve hostname git.example: Name or service not known", "transient", "RemoteAway"),
    ("fatal: unable to look up git.example (port 9418) (Name or service not known)", "transient", "RemoteAway"),
    (
        "fatal: unable to access 'x': Failed to connect to git.example port 443: Connection refused",
        "transient",
        "RemoteAway",
    ),
    ("fatal: unable to access 'x': Couldn't connect to server", "transient", "RemoteAway"),
    ("ssh: connect to host git.example port 22: Connection refused", "transient", "RemoteAway"),
    ("ssh: connect to host git.example port 22: No route to host", "transient", "RemoteAway"),
    ("fatal: the remote end hung up unexpectedly", "unknown", "AnswerLost"),
    (
        (
            "error: RPC failed; curl 52 Empty reply from server\nfatal: the remote end hung up unexpectedly\n"
            "Everything up-to-date"
        ),
        "unknown",
        "AnswerLost",
    ),
    (
        "error: RPC failed; curl 28 Operation too slow. Less than 1 bytes/sec transferred the last 20 seconds",
        "unknown",
        "AnswerLost",
    ),
    ("fatal: read error: Connection reset by peer", "unknown", "AnswerLost"),
    ("fatal: fetch-pack: invalid index-pack output\nfatal: early EOF", "unknown", "AnswerLost"),
    ("fatal: bad object refs/heads/main", "copy", "CopyDamaged"),
    ("error: object file objects/12/34 is empty", "copy", "CopyDamaged"),
    ("fatal: loose object 1234 (stored in objects/12/34) is corrupt", "copy", "CopyDamaged"),
    ("fatal: not a git repository: '/var/copy'", "copy", "CopyDamaged"),
    ("fatal: Unable to create '/var/copy/shallow.lock': File exists.", "copy", "CopyDamaged"),
    ("fatal: 'origin' does not appear to be a git repository", "copy", "CopyDamaged"),
    ("error: some local refs could not be updated; try running", "copy", "CopyDamaged"),
    ("error: https://git.example/mesh.git did not send all necessary objects", "copy", "CopyDamaged"),
    ("fatal: something that nobody has seen yet", "unknown", "GitFailed"),
]


@pytest.mark.parametrize(("stderr", "kind", "reason"), FAILURES)
def test_a_command_that_failed_says_what_happens_next(stderr, kind, reason):
    report = classify(128, "", f"{stderr}\n")
    assert report.failure is not None
    assert (kind, reason, {}) == (report.failure.kind, report.failure.reason, report.lines)
    assert report.failure.remedy or kind != "human" or reason == "NoAtomicPush"


def test_done_without_a_line_proves_nothing():
    report = classify(1, said(), "error: RPC failed; curl 52 Empty reply from server\n")
    assert report.failure is not None
    assert ("unknown", {}) == (report.failure.kind, report.lines)
    assert Report(lines={}, failure=None) == classify(0, said(), "")


def test_a_ref_that_the_server_did_not_report_has_no_line():
    text = line("!", "[remote failure] (remote failed to report status)")
    report = classify(1, said(text), "fatal: the remote end hung up unexpectedly\n")
    assert report.failure is not None
    assert ("unknown", {}) == (report.failure.kind, report.lines)


@pytest.mark.parametrize(
    ("stderr", "kind", "reason"),
    [
        ("error: remote unpack failed: unpack-objects abnormal exit\n", "human", "NotStored"),
        (
            "fatal: unable to read 4cf4fab9\nerror: remote unpack failed: eof before pack header\n",
            "copy",
            "CopyDamaged",
        ),
    ],
)
def test_a_push_that_could_not_be_unpacked_failed_as_a_whole(stderr, kind, reason):
    stale = line("!", "[rejected] (stale info)", "refs/x")
    report = classify(1, said(line("!", "[remote rejected] (unpacker error)"), stale), stderr)
    assert report.failure is not None
    assert (kind, reason, {"refs/x"}) == (report.failure.kind, report.failure.reason, set(report.lines))


def test_what_took_too_long_is_unknown():
    report = classify(None, "", "")
    assert report.failure is not None
    assert ("unknown", "TimeUp") == (report.failure.kind, report.failure.reason)


def test_what_a_server_says_of_itself_is_not_our_copy():
    report = classify(128, "", "remote: fatal: bad object HEAD\nfatal: the remote end hung up unexpectedly\n")
    assert report.failure is not None
    assert ("unknown", "AnswerLost") == (report.failure.kind, report.failure.reason)


def test_what_a_server_says_is_one_line_of_bounded_length():
    report = classify(1, said(line("!", "[remote rejected] (hook declined)")), f"remote: \x1b[31mno\x07 {'x' * 5000}\n")
    message = report.lines[REF].message
    assert message.startswith("hook declined ([31mno xxx")
    assert len(message) < 500


def test_a_git_that_was_killed_is_told_by_its_signal():
    failure = classify(-9, "", "").failure
    assert failure is not None
    assert ("unknown", "git was ended by signal 9") == (failure.kind, failure.what)
