"""ON_DONE: which files its command runs for, what it is told, and what comes of one that fails, hangs or is ended."""

from __future__ import annotations

import json
import os
import shlex
import signal
from pathlib import Path

import pytest

from gridsync_parts.conf import with_setting
from gridsync_parts.values import OWED
from tests.support.user import User, find_pinned, wait_for, wait_until

SAYS = '#!/bin/sh\nprintf "%s\\n" "$@" >> {log}\n'


class Doer(User):
    """A user whose files are done something with."""

    def begin(self, folder: str) -> Doer:
        self.log, self.program, self.top = self.folder / "done.log", self.folder / "do it.sh", folder
        self.log.touch()
        self.fill(a=1000, b=300_000)
        self.does(SAYS.format(log=self.log))
        assert self(f"--input_dir {folder} --build_list --quiet").status == 0
        return self

    def fill(self, **sizes: int) -> None:
        for name, size in sizes.items():
            self.grid.tree.add(f"agata/{self.top}/{name}", size)

    def does(self, text: str, more: str = "") -> None:
        """What ON_DONE does."""
        new = self.program.with_name("new.sh")  # the one before may still be running, and can't be written to
        new.write_text(text)
        new.chmod(0o755)
        new.replace(self.program)
        self.on_done(f"{shlex.quote(str(self.program))} {more}")

    def on_done(self, command: str) -> None:
        path = self.folder / "Grid.conf"
        path.write_text(with_setting(path.read_text(), "gridsync", "ON_DONE", command))

    def done(self) -> list[str]:
        """The words that it was given so far."""
        return sorted(self.log.read_text().splitlines())

    def here(self, *names: str) -> list[str]:
        return [str(self.data / self.top / name) for name in names]

    def errors(self) -> dict[str, str]:
        """The column error by name, where there is something in it."""
        return {path.rpartition("/")[2]: row["error"] for path, row in self.catalog().items() if row["error"]}


@pytest.fixture
def doer(grid, tmp_path: Path, folder: str) -> Doer:
    return Doer(grid, tmp_path).begin(folder)


@pytest.mark.parametrize("line", ["--start", "--sync"])
@pytest.mark.parametrize("engine", ["http", "gfal2"])
def test_it_runs_once_for_each_file_that_comes(doer: Doer, folder, line, engine):
    doer.set("ENGINE", engine)
    odd = "c d;$HOME" if engine == "http" else "c"  # gfal2 tells tape services such names wrong
    doer.grid.tree.add(f"agata/{folder}/{odd}", 10)
    doer.grid.tree.add(f"agata/{folder}/empty", 0)
    assert doer("--build_list --quiet").status == 0
    status, out, err = doer(line)
    assert (status, err) == (0, ""), err
    assert doer.done() == doer.here("a", "b", odd, "empty") and "Copied: 4, " in out
    assert doer.errors() == {} and {row["downloaded"] for row in doer.catalog().values()} == {"yes"}
    for again in (line, "--verify", "--check_status", "--repair"):
        assert doer(again).status == 0
    assert len(doer.done()) == 4


def test_the_path_comes_last_and_no_shell_sees_the_words(doer: Doer):
    doer.does(SAYS.format(log=doer.log), "--into '$HOME; touch oops' | x")
    doer.fill(b=300_000)
    assert doer("--start --threads 1").status == 0
    lines = doer.log.read_text().splitlines()
    assert lines[:4] == ["--into", "$HOME; touch oops", "|", "x"] and lines[4] in doer.here("a", "b")
    assert not (doer.folder / "oops").exists()


def test_a_file_from_tape_has_its_row_and_name_by_then_and_gives_its_pin_back(doer: Doer, folder):
    doer.grid.tree.add(f"agata/{folder}/tape", 5000, tape=True)
    catalog = doer.folder / "grid_summary.csv"
    doer.does(f'#!/bin/sh\ngrep -c "$(basename "$1"),.*,yes," {catalog} >> {doer.log}; wc -c < "$1" >> {doer.log}\n')
    assert doer("--sync").status == 0
    assert doer.done() == sorted(["1"] * 3 + ["1000", "300000", "5000"]) and find_pinned(doer, folder) == []


def test_it_runs_for_what_is_adopted_and_overwritten_but_not_for_what_was_there(doer: Doer):
    doer.on_done("")
    assert doer("--start").status == 0
    doer.does(SAYS.format(log=doer.log))
    assert doer("--start").status == 0 and doer.done() == []
    (doer.folder / "grid_summary.csv").unlink()
    assert doer("--build_list --start").status == 0 and doer.done() == doer.here("a", "b")
    assert doer("--start --overwrite").status == 0 and len(doer.done()) == 4


def test_it_runs_for_url_dir_and_not_for_put_verify_or_a_dry_run(doer: Doer, folder):
    for line in ("--start --dry_run", f"--put {doer.folder}/Grid.conf", "--verify"):
        doer(line)
    assert doer.done() == []
    there = doer.folder / "there"
    assert doer(f"{doer.grid.door.url}/agata/{folder} {there}").status == 0
    assert doer.done() == [str(there / folder / name) for name in ("a", "b")]


def test_one_that_fails_is_said_loses_no_file_and_is_tried_again(doer: Doer):
    doer.does('#!/bin/sh\necho "begins with $1"\ncase "$1" in */b) echo "no room for it" >&2; exit 3;; esac\n')
    status, out, err = doer("--start")
    says = "ON_DONE failed with status 3; it says: no room for it"
    path = f"{doer.top}/b"
    assert (status, err) == (1, f"gridsync.py: {path}: {says}; the file is here, and the next run tries again\n")
    assert "Copied: 2, skipped: 0, failed: 0, " in out and "begins with" not in out
    assert doer.errors() == {"b": says} and doer.catalog()[path]["downloaded"] == "yes"
    doer.does(SAYS.format(log=doer.log))
    assert doer("--sync").status == 0 and doer.done() == doer.here("b") and doer.errors() == {}


@pytest.mark.parametrize("line", ["--verify", "--build_list", "--check_status", "--bring_online", "--release"])
def test_nothing_else_settles_what_is_owed(doer: Doer, line):
    doer.does("#!/bin/sh\nexit 3\n")
    assert doer("--start").status == 1 and doer.errors().keys() == {"a", "b"}
    assert doer(line).status == 0
    doer.does(SAYS.format(log=doer.log))
    assert doer("--start").status == 0 and doer.done() == doer.here("a", "b")


@pytest.mark.parametrize(
    ("does", "says"),
    [("exit 1", "status 1; it says: nothing"), ("kill -9 $$", "signal 9; it says: nothing"),
     ("printf '\\033[31mred\\377'; exit 2", "status 2; it says: \\x1b[31mred\ufffd"),
     ("yes | head -c 3000000; echo end; exit 2", "status 2; it says: end"),
     ("echo bearer eyJhbGciOiJub25lIn0.eyJzdWIiOiJhIn0.abc >&2; exit 2", "status 2; it says: bearer ..."),
     ("exec >&- 2>&-; sleep 0.3; exit 4", "status 4; it says: nothing")],
    ids=["nothing", "killed", "colours", "much", "a token", "closed"],
)  # fmt: skip
def test_what_it_says_is_bounded_and_harmless(doer: Doer, does, says):
    doer.does(f"#!/bin/sh\n{does}\n")
    status, _, err = doer("--start --inc /a$")
    assert status == 1 and f"gridsync.py: {doer.top}/a: ON_DONE failed with {says}; the file is here" in err


def test_a_child_that_stays_does_not_hold_it_up(doer: Doer):
    doer.does(f"#!/bin/sh\nsleep 300 &\necho $! > {doer.folder}/child\necho done\n")
    try:
        assert doer("--start --inc /a$").status == 0 and doer.errors() == {}
    finally:
        os.kill(int((doer.folder / "child").read_text()), signal.SIGKILL)


def test_a_hanging_one_is_ended_after_its_time_and_no_other_begins(doer: Doer):
    doer.fill(c=10, d=10, e=10)
    assert doer("--build_list --quiet").status == 0
    doer.does(f"#!/bin/sh\ntrap '' TERM\necho $$ >> {doer.log}\nsleep 300\n")
    with doer.running("--start --threads 1", "command = 1.5") as run:
        status, out, err = wait_for(run)
    assert status == 1 and "Copied: 5, " in out
    assert err.count("ON_DONE had not ended after 0m01s and was ended; the file is here") == 1
    assert err.endswith("ON_DONE has still to run for 4 file(s); the next run does that\n")
    assert len(doer.done()) == 1 and not Path(f"/proc/{doer.done()[0]}").exists()
    assert sorted(doer.errors().values()) == ["ON_DONE had not ended after 0m01s and was ended"] + [OWED] * 4
    doer.log.write_text("")
    doer.does(SAYS.format(log=doer.log))
    assert doer("--start").status == 0 and doer.done() == doer.here("a", "b", "c", "d", "e")


ENDS = {
    "Ctrl-C": ("", lambda run: run.send_signal(signal.SIGINT), 130),
    "SIGTERM": ("", lambda run: run.send_signal(signal.SIGTERM), 130),
    "--max_duration": ("--max_duration 2s", lambda run: None, 1),
    "kill -9": ("", lambda run: run.kill(), -9),
}


@pytest.mark.parametrize("way", ENDS)
def test_whatever_ends_the_run_the_next_one_does_what_is_left(doer: Doer, way):
    more, end, expected = ENDS[way]
    doer.fill(c=10)
    assert doer("--build_list --quiet").status == 0
    hangs = f"echo $$ >> {doer.folder}/pids; exec sleep 300"
    doer.does(f'#!/bin/sh\ncase "$1" in */b) {hangs};; esac\necho "$1" >> {doer.log}\n')
    with doer.running(f"--start --threads 3 {more}") as run:
        wait_until(lambda: (doer.folder / "pids").exists() and (doer.folder / "pids").read_text())
        end(run)
        status, _, err = wait_for(run)
    assert status == expected
    pids = [int(pid) for pid in (doer.folder / "pids").read_text().split()]
    if way == "kill -9":
        for pid in pids:
            os.kill(pid, signal.SIGKILL)
    else:
        assert f"ON_DONE has still to run for {len(doer.errors())} file(s); the next run does that\n" in err
        assert not any(Path(f"/proc/{pid}").exists() for pid in pids)
    assert set(doer.errors().values()) == {OWED} and "b" in doer.errors()
    doer.does(SAYS.format(log=doer.log))
    assert doer("--sync").status == 0 and doer.errors() == {}
    assert set(doer.done()) == set(doer.here("a", "b", "c")), "one may have run twice, but none not at all"


def test_it_is_waited_for_and_that_is_said(doer: Doer):
    doer.does("#!/bin/sh\nsleep 2\n")
    with doer.running("--start", "PATIENCE = 0.5") as run:
        status, _, err = wait_for(run)
    assert status == 0 and err.count("Waiting for ON_DONE, for 2 file(s)\n") == 1


def test_its_environment_has_no_secrets(doer: Doer):
    doer.set("TOKEN", "env:MINE", site="CNAF")
    doer.does(f"#!/bin/sh\nenv > {doer.log}\n")
    names = ("MINE", "BEARER_TOKEN", "JUPYTERHUB_API_TOKEN", "MY_PASSWORD", "API_KEY")
    secrets = dict.fromkeys(names, "sesame-open-1234")
    assert doer("--start --inc /a$", **secrets, OTHER="kept").status == 0
    said = doer.log.read_text()
    assert "sesame" not in said and "OTHER=kept\n" in said and "PATH=" in said


@pytest.mark.long
def test_no_more_run_at_once_than_there_are_threads_or_processors(doer: Doer):
    doer.fill(**{f"f{number}": 10 for number in range(8)})
    assert doer("--build_list --quiet").status == 0
    now = doer.folder / "now"
    now.mkdir()
    doer.does(f"#!/bin/sh\ncd {now}; touch $$; ls | wc -l >> {doer.log}; sleep 0.1; rm $$\n")
    assert doer("--start --threads 8").status == 0
    assert 1 <= max(map(int, doer.done())) <= len(os.sched_getaffinity(0))
    doer.log.write_text("")
    assert doer("--start --threads 1 --overwrite").status == 0 and set(doer.done()) == {"1"}


@pytest.mark.parametrize("line", ["--start", "--sync", "{url} {folder}/there"])
def test_a_grid_conf_that_others_can_write_runs_nothing(doer: Doer, folder, line):
    (doer.folder / "Grid.conf").chmod(0o666)
    status, _, err = doer(line.format(url=f"{doer.grid.door.url}/agata/{folder}", folder=doer.folder))
    assert (status, err.count("\n")) == (2, 1) and "ON_DONE is not used because others can write" in err
    assert doer.done() == [] == doer.files()
    assert doer("--verify --quiet").status == 0, "which has no use for it"


@pytest.mark.parametrize(
    ("command", "says"),
    [("no-such-program -v", "gridsync.py: ON_DONE: the program no-such-program is not there or cannot be run; give a "
      "program of this machine with its full path, or empty ON_DONE\n"),
     ("./Grid.conf", "gridsync.py: ON_DONE: the program ./Grid.conf is not there or cannot be run; give a "
      "program of this machine with its full path, or empty ON_DONE\n"),
     ('unpack "it', "ON_DONE of [gridsync] is no command (No closing quotation); correct its quotes\n")],
)  # fmt: skip
def test_what_is_no_command_is_one_sentence(doer: Doer, command, says):
    doer.on_done(command)
    status, _, err = doer("--start")
    assert status == 2 and err.endswith(says) and err.count("\n") == 1 and doer.files() == []


def test_a_program_with_a_slash_is_found_from_the_work_folder(doer: Doer):
    doer.on_done("'./do it.sh'")
    assert doer("--start").status == 0 and doer.done() == doer.here("a", "b")


def test_json_stays_a_document_and_quiet_stays_quiet(doer: Doer):
    doer.does("#!/bin/sh\necho said\n")
    status, out, err = doer("--start --json")
    assert (status, err, json.loads(out)["copy"]["copied"]) == (0, "", 2)
    assert doer("--start --overwrite --quiet") == (0, "", "")
