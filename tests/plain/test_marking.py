"""What a run tells its workers of itself: nothing secret; and the mark by which they know its folder."""

from __future__ import annotations

import os
import pickle
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from gridsync_parts.copy import Copy
from gridsync_parts.disk import MARK
from gridsync_parts.errors import CrewError, DiskError, DoorError, FileError, UsageError
from gridsync_parts.farm import loads, marking
from gridsync_parts.farm.loads import Back, Beat, Done, Greeting, Heard, Joined, Left, Load, Lost, Returned, Setting
from gridsync_parts.farm.marking import is_seen, lay_mark, lift_mark, machine, setting_for, version_of_code
from gridsync_parts.keys.shown import settled
from gridsync_parts.pacing import Timetable
from gridsync_parts.put import Put
from gridsync_parts.settings import Config
from gridsync_parts.table import Site
from gridsync_parts.values import Locality, Outcome, Row
from tests.support import TOP

TOKEN = "eyJhbGciOiJub25lIn0.eyJzdWIiOiJhbGljZSJ9.c2VjcmV0c2VjcmV0"
SITE = Site("LYON", "https://door.example:2880", "agata", credential="none")
ROW = Row("run/a", 10, 1000, "adler32:00000001", Locality.ONLINE, True, "adler32", "", "LYON", "")


def setting_of(site: Site, folder: Path, writes: bool = False) -> Setting:
    return setting_for(site, "vo.agata.org", Config(str(folder)), str(folder), writes)


def test_each_run_has_an_id_and_a_mark_of_its_own(tmp_path):
    one, other = setting_of(SITE, tmp_path), setting_of(SITE, tmp_path)
    assert re.fullmatch("[0-9a-f]{16}", one.run) and one.run != other.run and one.mark != other.mark
    assert os.path.dirname(one.mark) == one.folder == str(tmp_path) and one.mark.endswith(MARK)
    assert one.version == version_of_code() and one.proxy == "" and not one.writes
    assert setting_of(SITE, tmp_path, writes=True)[-3:] == ("", True, "vo.agata.org")


def test_what_is_shown_is_named_from_the_root_on(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", "/home/alice")
    for token, path in (("file:token", tmp_path / "token"), ("file:~/token", "/home/alice/token"), ("file:/t", "/t")):
        assert setting_of(SITE._replace(token=token), tmp_path).site.token == f"file:{path}"


def test_the_cas_are_those_that_this_run_goes_by(tmp_path, monkeypatch):
    monkeypatch.setenv("X509_CERT_DIR", "/cvmfs/cas")
    assert setting_of(SITE, tmp_path).site.ca_dir == "/cvmfs/cas"
    assert setting_of(SITE._replace(ca_dir="/own"), tmp_path).site.ca_dir == "/own"


@pytest.mark.parametrize("token", ["env:TOKEN", "cmd:oidc-token lyon", "oidc:lyon"])
def test_a_token_that_no_worker_can_find_is_refused(tmp_path, token):
    with pytest.raises(UsageError, match=r"not by TOKEN = .*; have it written into a file .* TOKEN = file:PATH in \[L"):
        setting_of(SITE._replace(token=token), tmp_path)


def test_a_password_that_no_worker_can_find_is_refused(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    site = SITE._replace(server="ftps://alice@door.example", engine="ftps")
    with pytest.raises(UsageError, match=r"in ~/\.netrc alone; write `machine door"):
        setting_of(site, tmp_path)
    netrc = tmp_path / ".netrc"
    netrc.touch(mode=0o600)
    netrc.write_text("machine door.example login alice password verysecret\n")
    assert b"verysecret" not in pickle.dumps(setting_of(site, tmp_path))


@pytest.mark.parametrize("where", ["BEARER_TOKEN", "BEARER_TOKEN_FILE"])
def test_a_token_in_the_environment_is_never_in_what_workers_are_told(tmp_path, monkeypatch, where):
    """Neither as it is nor by what is made of it."""
    path = tmp_path / "token"
    path.touch(mode=0o600)
    path.write_text(TOKEN)
    (tmp_path / "Grid.conf").write_text(f"[gridsync]\nSITE = LYON\n[LYON]\nSERVER = {SITE.server}\n")
    monkeypatch.setenv(where, str(path) if where.endswith("FILE") else TOKEN)
    site, _ = settled(SITE._replace(credential="token"), Config(str(tmp_path)))
    if where == "BEARER_TOKEN":
        with pytest.raises(UsageError) as caught:
            setting_of(site, tmp_path)
        assert TOKEN not in str(caught.value)
        return
    setting = setting_of(site, tmp_path)
    load = Load(1, setting, (Copy(ROW, "/d"), Put(ROW, "/d/a", "in/t")), 4)
    for value in (setting, load):
        data = pickle.dumps(value)
        assert str(path).encode() in data
        assert not [part for part in TOKEN.split(".") if part.encode() in data]


# Plain values.


VALUES = [
    Setting("a", "1", SITE, "/p", "/d", "/d/m", False, "vo"),
    Load(1, Setting("a", "1", SITE, "", "/d", "", True), (Copy(ROW, "/d", is_lost=True), Put(ROW, "/d/a", "t")), 4,
         Timetable(((0, 1e6), (480, float("inf"))))),
    Done("run/a", Outcome(ROW, "copied", 10), None, 10, 10, 1e9, 0.5, True),
    Done("run/a", None, FileError("run/a: no", passing=True, pause=3)),
    Returned(1, (Done("run/a", Outcome(ROW, "failed", fault=FileError("no"))),), DiskError("no"), ("/d/x",)),
    Beat({"run/a": (1, 1)}), Greeting("h", "m", 1, CrewError("no")),
    Joined("w", 2, Greeting("h", "m", 1)), Left("w", True), Back("w", Returned(1, ())), Heard("w", Beat({})),
    Lost(DoorError("gone")),
]  # fmt: skip


def shown(value: Any) -> Any:
    """A value with its errors as one sees them."""
    if isinstance(value, Exception):
        return type(value), value.args, value.__dict__
    if isinstance(value, tuple):
        return type(value), [shown(part) for part in value]
    return value


@pytest.mark.parametrize("value", VALUES, ids=lambda value: type(value).__name__)
@pytest.mark.parametrize("protocol", [2, pickle.HIGHEST_PROTOCOL])
def test_each_value_crosses_as_it_is(value, protocol):
    assert shown(pickle.loads(pickle.dumps(value, protocol))) == shown(value)


def test_no_kind_of_value_is_left_out():
    kinds = {kind for kind in vars(loads).values() if isinstance(kind, type) and kind.__module__ == loads.__name__}
    assert kinds == {type(value) for value in VALUES}


# The version.


def version_said_by(*path: str) -> str:
    says = "from gridsync_parts.farm.marking import version_of_code; print(version_of_code())"
    code = f"import sys; sys.path[:0] = {path!r}; {says}"
    done = subprocess.run([sys.executable, "-c", code], cwd="/", capture_output=True, text=True, check=True)
    return done.stdout.strip()


@pytest.mark.slow
def test_the_same_code_has_the_same_version_as_one_file(tmp_path):
    one = tmp_path / "one"
    subprocess.run([sys.executable, TOP / "tools/one_file.py", one], check=True, capture_output=True)
    assert version_said_by(str(one)) == version_said_by(str(TOP)) == version_of_code()


@pytest.mark.slow
def test_another_line_in_any_part_is_another_version(tmp_path):
    shutil.copytree(TOP / "gridsync_parts", tmp_path / "gridsync_parts")
    assert version_said_by(str(tmp_path)) == version_of_code()
    for part in ("put.py", "doors/wire.py", "farm/__init__.py"):
        with open(tmp_path / "gridsync_parts" / part, "a") as file:
            file.write("# more\n")
        before, now = version_of_code(), version_said_by(str(tmp_path))
        assert now != before and now.split()[0] == before.split()[0]


# The mark.


class Laid(NamedTuple):
    """A mark that another run has laid."""

    path: Path

    def age(self, days: float) -> None:
        when = time.time() - days * 86400
        os.utime(self.path, (when, when))


def laid(folder: Path, pid: int, where: str = "") -> Laid:
    path = folder / f"workers-{pid:016x}{MARK}"
    path.write_text(f"{pid:016x}\n{where or machine()} {pid} {marking.began_of(pid) or 0}\n")
    return Laid(path)


def dead_pid() -> int:
    """The number of a process that has ended."""
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        pass
    return process.pid


def test_a_mark_is_seen_until_it_is_lifted(tmp_path):
    setting = setting_of(SITE, tmp_path)
    assert not is_seen(setting) and lay_mark(setting) is False and is_seen(setting)
    assert not is_seen(setting._replace(run="another"))
    lift_mark(setting)
    assert not is_seen(setting) and os.listdir(tmp_path) == []
    lift_mark(setting)


def test_a_mark_that_stays_says_that_the_run_is_over(tmp_path):
    setting = setting_of(SITE, tmp_path)
    lay_mark(setting)
    os.utime(setting.mark, (1e9, 1e9))
    text = Path(setting.mark).read_text()
    lift_mark(setting, may_be=True)
    assert not is_seen(setting) and Path(setting.mark).read_text()[16:] == text[16:]
    assert os.stat(setting.mark).st_mtime == 1e9


def test_a_run_that_was_killed_is_over_for_its_workers_too(tmp_path):
    other = laid(tmp_path, dead_pid())
    killed = setting_of(SITE, tmp_path)._replace(mark=str(other.path), run=other.path.read_text()[:16])
    assert is_seen(killed)
    for _ in range(2):  # the next run, and the one after it
        assert lay_mark(setting_of(SITE, tmp_path)) is True
    assert not is_seen(killed)


def test_no_mark_is_laid_where_files_are_sent(tmp_path):
    setting = setting_of(SITE, tmp_path, writes=True)
    assert lay_mark(setting) is False and os.listdir(tmp_path) == [] and is_seen(setting)
    lift_mark(setting)


def test_a_link_is_no_mark(tmp_path):
    setting = setting_of(SITE, tmp_path)
    (tmp_path / "other").write_text(f"{setting.run}\n")
    os.symlink("other", setting.mark)
    assert not is_seen(setting)


def test_a_folder_that_takes_no_mark_is_a_sentence(tmp_path):
    setting = setting_of(SITE, tmp_path / "none")
    with pytest.raises((DiskError, FileError), match="cannot be used: No such file or directory"):
        lay_mark(setting)


@pytest.mark.parametrize(
    ("is_here", "is_alive", "days", "may_be", "stays"),
    [
        (True, True, 0, False, True),
        (True, True, 20, False, True),  # it waits for tape
        (True, False, 0.5, True, True),
        (True, False, 2, False, False),
        (False, False, 2, True, True),  # who knows
        (False, False, 40, False, False),
    ],
)
def test_what_a_mark_of_another_run_means(tmp_path, is_here, is_alive, days, may_be, stays):
    other = laid(tmp_path, os.getpid() if is_alive else dead_pid(), "" if is_here else "another machine")
    other.age(days)
    assert lay_mark(setting_of(SITE, tmp_path)) is may_be
    assert other.path.exists() is stays


def test_a_number_that_another_process_has_now_is_no_running_run(tmp_path):
    other = laid(tmp_path, os.getpid())
    other.path.write_text(f"{other.path.read_text()[:-2]}\n")
    assert lay_mark(setting_of(SITE, tmp_path)) is True


@pytest.mark.parametrize("put", [os.mkfifo, os.mkdir, lambda path: os.symlink("/dev/zero", path)])
def test_what_others_put_in_place_of_a_mark_holds_nothing_up(tmp_path, put):
    put(tmp_path / f"workers-{'0' * 16}{MARK}")
    assert lay_mark(setting_of(SITE, tmp_path)) is False


def test_other_files_are_no_marks(tmp_path):
    names = [f"workers-a{MARK}", "workers-0000000000000001", f"workers-{'0' * 16}.txt{MARK}", f"run{MARK}"]
    for name in names:
        (tmp_path / name).write_text("mine")
        Laid(tmp_path / name).age(100)
    assert lay_mark(setting_of(SITE, tmp_path)) is False
    assert {*names} < {*os.listdir(tmp_path)}


def test_this_process_runs_here():
    assert marking.is_running(os.getpid()) and not marking.is_running(dead_pid()) and machine() == machine() != ""
