"""How `peermesh` ends: the codes that scripts rely on, errors as lines, and nothing that only a developer can read."""

from __future__ import annotations

import re
import subprocess
import sys

import click
import pytest

from syncer.protocol.errors import HumanNeeded, PeermeshError, Rejected, Superseded, Transient
from tests.cli.calls import call, process
from workers.cli.exits import OF_ERRORS, Commands, Exit, exit_of


@pytest.mark.parametrize(("kind", "code"), [(Rejected, 1), (Transient, 1), (Superseded, 1), (HumanNeeded, 3)], ids=str)
def test_each_class_of_errors_has_its_code(kind, code):
    narrower = type("Narrower", (kind,), {})
    assert (code, code) == (exit_of(kind("Reason", "what")), exit_of(narrower("Reason", "what")))


def test_no_class_of_errors_is_left_out():
    """Of the project: tests have errors of their own, so that nothing else catches them."""
    ours = {kind for kind in PeermeshError.__subclasses__() if not kind.__module__.startswith("tests.")}
    assert ours == OF_ERRORS.keys()


def ending(error: BaseException | int | None) -> Commands:
    """A `peermesh` whose only command ends like this."""
    group = Commands("peermesh")

    @group.command()
    def end() -> object:
        if isinstance(error, BaseException):
            raise error
        return error

    return group


@pytest.mark.parametrize(
    ("error", "code", "told"),
    [
        (None, 0, ""),
        (Exit.TO_DO, 2, ""),
        (Rejected("Reason", "this is wrong", subject="x", remedy="Mend it."), 1, "error: x: this is wrong. Mend it.\n"),
        (Rejected("Reason", "one\ntwo"), 1, "error: one\nerror: two\n"),
        (HumanNeeded("Reason", "a person is needed"), 3, "error: a person is needed\n"),
        (PermissionError(13, "Permission denied", "/x"), 1, "error: /x: Permission denied\n"),
        (KeyboardInterrupt(), 130, "\n"),
    ],
    ids=repr,
)
def test_a_command_ends_with_the_code_and_says_why(error, code, told, capsys):
    with pytest.raises(SystemExit) as ended:
        ending(error).main(["end"])
    assert (code, told) == (ended.value.code, capsys.readouterr().err)


def test_a_fault_of_ours_is_not_hidden():
    with pytest.raises(ZeroDivisionError):
        ending(ZeroDivisionError()).main(["end"])


@pytest.mark.parametrize(
    "arguments", [["nonsense"], ["plan", "--nonsense"], ["init"], ["cluster", "add", "west"], ["check", "--repo", "/x"]]
)
def test_a_wrong_call_ends_with_1_for_2_is_a_promise(arguments):
    said = call(*arguments)
    assert (1, "", 1) == (said.code, said.stdout, said.stderr.count("\n"))
    assert re.fullmatch(r"error: .*\. See peermesh.* --help\.\n", said.stderr)


def test_peermesh_alone_shows_its_help():
    said = call()
    assert (1, "") == (said.code, said.stdout)
    assert said.stderr.startswith("Usage: peermesh ")


def test_a_process_ends_with_the_same_codes_and_no_traceback(tmp_path, after):
    assert 0 == process("check", "--repo", after).code
    (after / "clusters/east/imports/shop/cart.yaml").unlink()
    assert 1 == process("check", "--repo", after).code
    assert 2 == process("diff", "--exit-code", "--repo", after).code
    said = process("show", "peermesh/exports/shop", "--repo", tmp_path)
    assert said.code in {1, 3}
    assert said.stderr.startswith("error: ")
    assert "Traceback" not in said.stderr


def test_a_reader_that_has_seen_enough_is_no_trouble(after):
    path = after / "mesh/clusters/west.yaml"
    path.write_text(path.read_text().replace("addresses: []", 'addresses: ["198.51.100.7:30443"]'))
    command = [sys.executable, "-m", "workers.cli", "diff", "--repo", str(after)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as running:
        assert running.stdout is not None
        assert running.stderr is not None
        running.stdout.readline()
        running.stdout.close()
        assert b"" == running.stderr.read()


def test_processes_say_what_they_lack():
    said = process("syncer", PEERMESH_MESH="shop")
    assert 3 == said.code
    assert "error: PEERMESH_CLUSTER: it isn't set" in said.stderr
    said = process("worker", PEERMESH_BROKER_URL="http://nonsense")
    assert 3 == said.code
    assert "error: PEERMESH_BROKER_URL: it doesn't start with redis://" in said.stderr
    said = process("worker", PEERMESH_REPO="")
    assert 3 == said.code
    assert "error: PEERMESH_REPO: it isn't set" in said.stderr


def test_the_group_is_what_others_import():
    assert isinstance(__import__("workers.cli", fromlist=["main"]).main, click.Group)
