"""The command of ON_DONE alone: what it is told and not told, and what is owed."""

from __future__ import annotations

import sys
import threading
from pathlib import Path

import pytest

from gridsync_parts.disk import Target
from gridsync_parts.errors import UsageError
from gridsync_parts.fetching import Fetch
from gridsync_parts.hooks import Command, Ran, environment, names_in, words_of
from gridsync_parts.jobs import Aim
from gridsync_parts.pace import PACE
from gridsync_parts.secrets import secrets
from gridsync_parts.values import OWED, Locality, Outcome, Row, Wishes, is_owed

ROW = Row("run/a", 10, 1000, "", Locality.ONLINE, True, "adler32", "", "LYON", OWED)


@pytest.mark.parametrize(
    ("changes", "is_so"),
    [({}, True), ({"error": "ON_DONE failed with status 3; it says: no"}, True), ({"error": ""}, False),
     ({"downloaded": False}, False), ({"error": "run/a: ON_DONE"}, False)],
)  # fmt: skip
def test_what_is_owed_stands_in_the_row(changes, is_so):
    assert is_owed(ROW._replace(**changes)) is is_so


@pytest.mark.parametrize(("done", "error"), [("copied", OWED), ("skipped", OWED), ("failed", "run/a: no")])
def test_it_is_owed_for_what_comes_from_the_first_note_on(tmp_path: Path, done, error):
    fetch, row = Fetch(Aim(copies=True, owes=True), PACE, Target(str(tmp_path)), Wishes()), ROW._replace(error="")
    row = row._replace(downloaded=False, error=error) if done == "failed" else row
    fetch.land(Outcome(row, done), 0)
    assert [outcome.row.error for outcome in fetch.ledger.outcomes] == [error]
    assert all(row.error == error for row in fetch.ledger.rows)


def test_secrets_stay_here(monkeypatch):
    secrets.note("sesame-open-0123456789")
    hidden = {"MINE": "a", "my_Token": "b", "X_SECRET": "c", "PGPASSWORD": "d", "OTHER": "x sesame-open-0123456789"}
    hidden |= {"GPG_PASSPHRASE": "e", "MYSQL_PWD": "f"}
    for name, value in {**hidden, "SSH_AUTH_SOCK": "/s", "X509_USER_PROXY": "/p", "OLDPWD": "/"}.items():
        monkeypatch.setenv(name, value)
    found = environment(names_in(["env:MINE", "file:SSH_AUTH_SOCK", ""]))
    assert not hidden.keys() & found.keys() and {"SSH_AUTH_SOCK", "X509_USER_PROXY", "OLDPWD", "PATH"} <= found.keys()


def test_a_program_is_found_in_path_or_from_the_work_folder(tmp_path: Path):
    assert words_of("ls -l 'a b'", str(tmp_path)) == ["ls", "-l", "a b"]
    (tmp_path / "do").write_text("#!/bin/sh\n")
    with pytest.raises(UsageError, match=r"the program \./do is not there or cannot be run"):
        words_of("./do", str(tmp_path))
    (tmp_path / "do").chmod(0o755)
    assert words_of("./do x", str(tmp_path)) == [str(tmp_path / "do"), "x"]
    assert words_of(f"{tmp_path}/do", "/nowhere") == [str(tmp_path / "do")]


def command(code: str, limit: float = 60) -> Command:
    """Some Python as the command."""
    return Command([sys.executable, "-c", f"import sys; {code}"], "/data", {}, 1, limit)


@pytest.mark.parametrize(
    ("code", "error"),
    [
        ("sys.exit(sys.argv[1:] != ['/data/run/a'])", ""),
        ("print('one\\ntwo\\n'); sys.exit(7)", "ON_DONE failed with status 7; it says: two"),
        ("print('x' * 999999); sys.exit(1)", f"ON_DONE failed with status 1; it says: {'x' * 200}..."),
        ("sys.exit(len(sys.stdin.read()))", ""),
    ],
)
def test_what_became_of_it(code, error):
    assert command(code).run(ROW) == Ran("run/a", error)


@pytest.mark.slow
def test_one_that_hangs_is_the_last(monkeypatch):
    hanging = command("import time; time.sleep(300)", 0.3)
    assert hanging.run(ROW).error == "ON_DONE had not ended after 0m00s and was ended"
    assert hanging.run(ROW) == Ran("run/a", OWED)


@pytest.mark.slow
def test_one_that_obeys_when_it_is_ended_has_not_succeeded():
    obeys = "import signal, time; signal.signal(15, lambda *_: sys.exit(0)); time.sleep(300)"
    assert command(obeys, 1).run(ROW).error.endswith("and was ended")


@pytest.mark.slow
def test_the_end_of_the_run_is_its_end():
    hanging = command("import time; time.sleep(300)")
    threading.Timer(0.3, hanging.stop.set).start()
    assert hanging.run(ROW) == Ran("run/a", OWED) and hanging.run(ROW) == Ran("run/a", OWED)


def test_a_program_that_is_gone_by_then_is_a_failure_of_each_file():
    gone = Command(["/nowhere/do"], "/data", {}, 1, 1)
    assert gone.run(ROW).error == "ON_DONE cannot be run: No such file or directory"
