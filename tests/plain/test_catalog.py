"""grid_summary.csv and its lock."""

from __future__ import annotations

import fcntl
import os
import re
import subprocess
import sys

import pytest

from gridsync_parts.catalog import Catalog, Folders, Lock
from gridsync_parts.disk import MARK, set_aside
from gridsync_parts.errors import DiskError, LockedError
from gridsync_parts.values import Locality, Row, Scope
from tests.support.parts import open_files

HEADER = "path,size,mtime,checksum,locality,downloaded,verified,request,site,error,computed\n"
LINE = "run/a,10,2015-06-09T08:22:00Z,adler32:00000001,ONLINE,no,,,LYON,,\n"
ROW = Row("run/a", 10, 1433838120, "adler32:00000001", Locality.ONLINE, False, "", "", "LYON", "")


def catalog(folder, text: str) -> Catalog:
    (folder / "grid_summary.csv").write_text(text, newline="")
    return Catalog(str(folder))


def text(folder) -> str:
    return (folder / "grid_summary.csv").read_bytes().decode()


def test_a_row_is_the_same_after_writing_and_reading(tmp_path):
    odd = ['a "b", c', "line\nbreak", "return\rhere", "blank ", "é ü", "\udcff", "'", "#"]
    rows = [ROW._replace(path=f"run/{name}", error="no, really") for name in odd]
    Catalog(str(tmp_path)).replace(rows)
    assert sorted(Catalog(str(tmp_path)).all()) == sorted(rows)


def test_the_file_reads_as_the_contract_says(tmp_path):
    Catalog(str(tmp_path)).replace([ROW])
    assert text(tmp_path) == HEADER + LINE


def test_changed_rows_are_in_the_file_at_once_and_once_after_saving(tmp_path):
    kept = catalog(tmp_path, HEADER + LINE)
    kept.put([ROW._replace(downloaded=True)])
    assert text(tmp_path) == HEADER + LINE + LINE.replace(",no,", ",yes,")
    assert [row.downloaded for row in Catalog(str(tmp_path)).all()] == [True]
    kept.save()
    assert text(tmp_path) == HEADER + LINE.replace(",no,", ",yes,")


class Interrupted(Row):
    @property
    def site(self) -> str:
        raise KeyboardInterrupt


def test_a_new_list_that_is_interrupted_leaves_the_old_one(tmp_path):
    kept = catalog(tmp_path, HEADER + LINE)
    kept.put([ROW._replace(downloaded=True)])
    with pytest.raises(KeyboardInterrupt):
        kept.replace([ROW._replace(path="run/b"), Interrupted(*ROW)])
    kept.save()
    assert text(tmp_path) == HEADER + LINE.replace(",no,", ",yes,")


@pytest.mark.parametrize("cut", range(1, len(LINE)))
def test_a_last_line_cut_by_a_crash_costs_no_other(tmp_path, cut):
    crashed = catalog(tmp_path, HEADER + LINE + LINE.replace("run/a", "run/b")[:-cut])
    assert ROW in crashed.all() and set(crashed.rows) == {"LYON"}
    crashed.put([ROW._replace(path="run/c")])
    assert text(tmp_path).endswith(LINE.replace("run/a", "run/c"))
    assert ROW in Catalog(str(tmp_path)).all()


@pytest.mark.parametrize(
    ("line", "says"),
    [
        (LINE.replace("10", "ten"), r"line 3: column 2 \(size\) is 'ten'"),
        (LINE.replace("T08", " 08"), r"line 3: column 3 \(mtime\) is '2015-06-09 08:22:00Z'"),
        (LINE.replace("ONLINE", "DISK"), r"line 3: column 5 \(locality\) is 'DISK'"),
        (LINE.replace(",no,", ",maybe,"), r"line 3: column 6 \(downloaded\) is 'maybe'"),
        (LINE.replace("10", "-5"), r"line 3: column 2 \(size\) is '-5'"),
        (LINE.replace("run/a", "/etc/passwd"), r"line 3: column 1 \(path\) is '/etc/passwd'"),
        (LINE.replace("run/a", "a/../../b"), r"line 3: column 1 \(path\)"),
        (LINE.replace("adler32:", "foo:"), r"line 3: column 4 \(checksum\)"),
        (LINE.replace(",\n", ",foo\n"), r"line 3: column 11 \(computed\) is 'foo'"),
        (LINE.replace("-09T", "-99T"), r"line 3: column 3 \(mtime\)"),
        ("run/b,10\n", r"line 3: column 3 \(mtime\) is missing"),
        ('"run/b,10\n', r"line \d+: unexpected end of data"),
    ],
)
def test_a_catalog_damaged_by_hand_is_refused_with_the_place(tmp_path, line, says):
    damaged = HEADER + LINE + line + LINE * 5
    with pytest.raises(DiskError, match=says):
        catalog(tmp_path, damaged)
    assert text(tmp_path) == damaged


@pytest.mark.parametrize(
    ("end", "is_cut"),
    [
        ("run/b,10", True),
        ("run/b,10\n", False),  # it was written like that
        ("run/b,10\n" + LINE[:-1], False),  # it is not the last one
        ('"run\nb', True),
        ('"run\nb\nc', False),  # no line of ours is that long
    ],
)
def test_only_a_last_line_can_have_been_cut(tmp_path, end, is_cut):
    if is_cut:
        assert list(catalog(tmp_path, HEADER + LINE + end).all()) == [ROW]
    else:
        with pytest.raises(DiskError, match="correct the line or move the file away"):
            catalog(tmp_path, HEADER + LINE + end)


def test_what_another_run_appends_meanwhile_is_left_for_the_next_time(tmp_path, monkeypatch):
    catalog(tmp_path, HEADER + LINE)

    def pread(fd: int, count: int, at: int, real=os.pread) -> bytes:
        with open(tmp_path / "grid_summary.csv", "a") as file:
            file.write("run/b,1")
        return real(fd, count, at)

    monkeypatch.setattr(os, "pread", pread)
    assert list(Catalog(str(tmp_path), is_frozen=True).all()) == [ROW]


def test_a_cell_may_be_long(tmp_path):
    long = ROW._replace(request="r" * 200_000)
    Catalog(str(tmp_path)).replace([long])
    assert list(Catalog(str(tmp_path)).all()) == [long]


def test_another_programs_catalog_is_set_aside(tmp_path):
    foreign = catalog(tmp_path, "filename;size\nx;1\n")
    assert list(foreign.all()) == [] and foreign.is_foreign
    (tmp_path / "grid_summary.csv.old").write_text("older")
    assert set_aside(foreign.path) == str(tmp_path / "grid_summary.csv.old2")
    foreign.replace([ROW])
    assert (tmp_path / "grid_summary.csv.old").read_text() == "older"
    assert (tmp_path / "grid_summary.csv.old2").read_text() == "filename;size\nx;1\n"
    assert text(tmp_path) == HEADER + LINE


def test_a_catalog_of_the_nine_promised_columns_or_with_more_is_read(tmp_path):
    nine = "\ufeff" + HEADER.replace(",error,computed", "") + LINE.replace("LYON,,", "LYON")
    assert list(catalog(tmp_path, nine).all()) == [ROW]
    more = HEADER.replace("computed", "computed,more") + LINE.replace("\n", ",1\n")
    assert list(catalog(tmp_path, more).all()) == [ROW]


@pytest.mark.parametrize(("name", "found"), [("computed", "adler32:00000002"), ("note", ""), ("Computed", "")])
def test_a_column_beyond_the_promised_ones_counts_by_its_name(tmp_path, name, found):
    last = HEADER.replace("computed", name) + LINE.replace(",\n", ",adler32:00000002\n")
    assert [row.computed for row in catalog(tmp_path, last).all()] == [found]
    before = HEADER.replace("error,computed", f"{name},error") + LINE.replace(",,\n", ",a reason,no\n")
    assert list(catalog(tmp_path, before).all()) == [ROW]


def test_a_catalog_from_before_the_column_is_saved_with_it(tmp_path):
    before = HEADER.replace(",computed", "") + LINE.replace(",,\n", ",a reason\n")
    kept = catalog(tmp_path, before)
    assert list(kept.all()) == [ROW._replace(error="a reason")]
    came = ROW._replace(checksum="", downloaded=True, verified="size", computed="adler32:00000002")
    kept.put([came])
    assert list(Catalog(str(tmp_path)).all()) == [came]
    kept.save()
    last = "run/a,10,2015-06-09T08:22:00Z,,ONLINE,yes,size,,LYON,,adler32:00000002\n"
    assert text(tmp_path) == HEADER + last


def test_an_empty_file_is_a_new_catalog(tmp_path):
    assert not catalog(tmp_path, "").is_foreign


def test_one_writer_at_a_time_and_the_lock_ends_with_its_process(tmp_path):
    take = "import sys\nfrom gridsync_parts.catalog import Lock\n"
    hold = "with Lock(sys.argv[1]):\n print('held', flush=True)\n input()"
    command = [sys.executable, "-c", take + hold, str(tmp_path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout and other.stdout.readline() == "held\n"
        with pytest.raises(LockedError, match=f"process {other.pid}, "), Lock(str(tmp_path)):
            pass
        other.kill()
    with Lock(str(tmp_path)):
        pass


def test_a_catalog_with_a_column_more_outlives_a_kill(tmp_path):
    (tmp_path / "grid_summary.csv").write_text(
        ",".join([*Row._fields, "note"]) + "\na,1,2020-01-01T00:00:00Z,,ONLINE,no,,,LYON,,,mine\n"
    )
    catalog = Catalog(str(tmp_path))
    catalog.put([row._replace(downloaded=True) for row in catalog.all()], durable=True)
    (row,) = Catalog(str(tmp_path)).all()  # what a kill would leave
    assert row.downloaded


# Rows by site, folder and pattern.

OTHERS = [ROW._replace(path=path, site=site) for path, site in
          (("run/b", "LYON"), ("run2/a", "LYON"), ("run/sub/a", "LYON"), ("run/a", "CNAF"))]  # fmt: skip


def test_rows_are_kept_by_site_and_come_in_the_order_of_their_paths(tmp_path):
    kept = catalog(tmp_path, HEADER)
    kept.replace([*OTHERS, ROW])
    assert [row.path for row in kept.of("LYON")] == ["run/a", "run/b", "run/sub/a", "run2/a"]
    assert kept.of("CNAF") == [OTHERS[3]] and kept.of("KRAKOW") == []
    assert sorted(kept.by_path("LYON")) == ["run/a", "run/b", "run/sub/a", "run2/a"]
    assert kept.by_path("KRAKOW") == {}
    assert sorted(kept.all()) == sorted([ROW, *OTHERS])
    assert kept.row(ROW._replace(downloaded=True)) == ROW
    scope = Scope("LYON", "run", (re.compile("/a"),), (re.compile("sub"),))
    assert kept.matching(scope) == [ROW]


def test_sites_are_saved_one_after_the_other(tmp_path):
    Catalog(str(tmp_path)).replace([ROW, *OTHERS])
    lines = text(tmp_path).splitlines()[1:]
    assert [line.split(",")[0] + line.split(",")[8] for line in lines] == [
        "run/aCNAF", "run/aLYON", "run/bLYON", "run/sub/aLYON", "run2/aLYON"
    ]  # fmt: skip


def test_another_list_takes_the_place_of_the_old_one(tmp_path):
    kept = catalog(tmp_path, HEADER + LINE)
    kept.replace([OTHERS[0]])
    assert list(kept.all()) == list(Catalog(str(tmp_path)).all()) == [OTHERS[0]]


# What is written, and when.


def test_what_has_not_changed_is_not_written(tmp_path):
    kept = catalog(tmp_path, HEADER + LINE)
    assert not kept.is_foreign
    for _ in range(2):
        with open(tmp_path / "grid_summary.csv") as before:
            kept.put([])
            kept.save()
            assert os.path.samestat((tmp_path / "grid_summary.csv").stat(), os.fstat(before.fileno()))
        kept.put([ROW._replace(downloaded=True)])
        kept.save()


@pytest.mark.parametrize("wrong", [HEADER.replace(",error,computed", ""), HEADER.replace("error,", "error,more,")])
def test_a_catalog_of_other_columns_is_saved_with_ours(tmp_path, wrong):
    kept = catalog(tmp_path, wrong + LINE.replace("LYON,,", "LYON" + "," * (wrong.count(",") - 8)))
    kept.save()
    assert text(tmp_path) == HEADER + LINE


def test_a_catalog_that_says_a_row_twice_is_made_whole(tmp_path):
    kept = catalog(tmp_path, HEADER + LINE + LINE.replace(",no,", ",yes,"))
    kept.save()
    assert text(tmp_path) == HEADER + LINE.replace(",no,", ",yes,")


def test_a_new_catalog_is_no_file_until_there_is_a_list(tmp_path):
    new = Catalog(str(tmp_path))
    assert (new.is_new, new.is_foreign, new.doubt) == (True, False, "")
    new.save()
    assert os.listdir(tmp_path) == []
    new.put([ROW])
    assert not new.is_new and text(tmp_path) == HEADER + LINE


def test_a_frozen_catalog_changes_in_memory_alone(tmp_path):
    catalog(tmp_path, HEADER + LINE)
    frozen = Catalog(str(tmp_path), is_frozen=True)
    frozen.put([ROW._replace(downloaded=True)])
    frozen.save()
    assert [row.downloaded for row in frozen.all()] == [True]
    assert text(tmp_path) == HEADER + LINE


@pytest.mark.parametrize("durable", [True, False])
def test_rows_outlive_a_power_failure_when_it_matters(tmp_path, monkeypatch, durable):
    kept, synced = catalog(tmp_path, HEADER + LINE), []
    kept.put([ROW])
    monkeypatch.setattr(os, "fsync", synced.append)
    kept.put([ROW._replace(downloaded=True)], *[True] * durable)
    assert len(synced) == durable
    assert text(tmp_path).count("\n") == 4  # it is in the file, either way


def test_a_disk_that_takes_no_row_ends_the_run_and_the_file_is_made_whole_later(tmp_path):
    kept = catalog(tmp_path, HEADER + LINE)
    kept.put([ROW._replace(path="run/b")])
    file = kept.tail
    assert file
    kept.tail = open("/dev/full", "w")  # noqa: SIM115 - the catalog closes it
    with pytest.raises(DiskError, match=r"grid_summary\.csv cannot be written: No space left"):
        kept.put([ROW._replace(path="run/c")])
    file.close()
    kept.save()
    assert [row.path for row in Catalog(str(tmp_path)).all()] == ["run/a", "run/b", "run/c"]


def test_a_catalog_that_can_not_be_read_is_named(tmp_path):
    (tmp_path / "grid_summary.csv").mkdir()
    with pytest.raises(DiskError, match="is not a regular file; move it away"):
        Catalog(str(tmp_path))
    with pytest.raises(DiskError, match=r"grid_summary\.csv cannot be read: File name too long"):
        Catalog(str(tmp_path / ("x" * 256)))


@pytest.mark.parametrize(("number", "verified"), [(0, "adler32"), (1, "")])
def test_what_others_say_of_the_users_files_takes_none_of_them_away(tmp_path, monkeypatch, number, verified):
    user = os.getuid() + number
    monkeypatch.setattr(os, "getuid", lambda: user)
    damaged, here = LINE.replace(",no,,", ",no,adler32,"), LINE.replace("run/a", "run/b").replace(",no,,", ",yes,md5,")
    rows = {row.path: row for row in catalog(tmp_path, HEADER + damaged + here).all()}
    assert (rows["run/a"].verified, rows["run/b"].verified) == (verified, "md5")


@pytest.mark.parametrize(("mode", "says"), [(0o644, ""), (0o666, "others can write")])
def test_who_else_may_have_written_it_is_told(tmp_path, mode, says):
    catalog(tmp_path, HEADER)
    (tmp_path / "grid_summary.csv").chmod(mode)
    assert Catalog(str(tmp_path)).doubt.startswith(says) and bool(says) is bool(Catalog(str(tmp_path)).doubt)


# Folders for the TAB key.


def folders(folder) -> list[str]:
    """The lines of the file."""
    return (folder / "grid_folders.txt").read_text().splitlines()


def test_folders_that_a_listing_has_found_are_remembered(tmp_path):
    Folders(str(tmp_path), "LYON").remember(["run"], ["run", "run/b", "run/a", "", "odd\x1b"])
    assert folders(tmp_path) == ["LYON\trun", "LYON\trun/a", "LYON\trun/b"]
    Folders(str(tmp_path), "CNAF").remember([""], ["other"])
    assert folders(tmp_path) == ["CNAF\tother", "LYON\trun", "LYON\trun/a", "LYON\trun/b"]


@pytest.mark.parametrize(
    ("listed", "found", "left"),
    [
        (["run"], [], ["run", "run/a/x", "run2/a"]),  # of what is in it nothing was found
        (["run"], ["run/b"], ["run", "run/a/x", "run/b", "run2/a"]),
        (["run/a"], [], ["run", "run/a", "run2/a"]),
        ([""], [], ["run/a", "run/a/x", "run2/a"]),  # the topmost ones are in no other
        ([], [], ["run", "run/a", "run/a/x", "run2/a"]),
    ],
)
def test_those_that_it_does_not_find_any_more_go(tmp_path, listed, found, left):
    known = ["CNAF\trun/a", *(f"LYON\t{path}" for path in ("run", "run/a", "run/a/x", "run2/a"))]
    (tmp_path / "grid_folders.txt").write_text("".join(f"{line}\n" for line in known))
    Folders(str(tmp_path), "LYON").remember(listed, found)
    assert folders(tmp_path) == ["CNAF\trun/a", *(f"LYON\t{path}" for path in left)]


def test_lines_that_make_no_sense_are_forgotten_with_the_next_change(tmp_path):
    (tmp_path / "grid_folders.txt").write_text("LYON\trun\nnothing\n\trun\nLYON\t\nLYON\tru")
    kept = Folders(str(tmp_path), "LYON")
    assert kept.lines == {"LYON\trun"}
    kept.remember(["x"], ["run"])
    assert len(folders(tmp_path)) == 5  # nothing has changed
    kept.remember([], ["x"])
    assert folders(tmp_path) == ["LYON\trun", "LYON\tx"]


def test_a_file_of_folders_that_can_not_be_used_costs_nothing(tmp_path):
    (tmp_path / "grid_folders.txt").mkdir()
    Folders(str(tmp_path), "LYON").remember(["run"], ["run"])


# The lock.


def test_who_is_at_work_is_in_the_lock(tmp_path):
    with Lock(str(tmp_path)):
        assert (tmp_path / "grid_summary.csv.lock").read_text().startswith(f"process {os.getpid()}, since ")
        with pytest.raises(LockedError, match=f"another gridsync .process {os.getpid()}, since .* is at work in /"):
            Lock(str(tmp_path)).__enter__()
    with Lock(str(tmp_path)):
        pass


def test_who_holds_the_lock_removes_what_killed_runs_have_left_of_catalogs(tmp_path):
    litter, others = ["grid_summary.csv.12" + MARK], ["a" + MARK, "grid_summary.csv.x" + MARK, "grid_summary.csv.12"]
    for name in litter + others:
        (tmp_path / name).touch()
    with Lock(str(tmp_path)):
        assert sorted(os.listdir(tmp_path)) == sorted([*others, "grid_summary.csv.lock"])


@pytest.mark.parametrize("make", [
    lambda path: path.symlink_to("target"), lambda path: path.mkdir(), os.mkfifo,
    lambda path: (path.touch(), os.link(path, path.with_name("other"))),
])  # fmt: skip
def test_a_lock_that_is_no_file_of_its_own_is_refused(tmp_path, make):
    (tmp_path / "target").write_text("precious")
    make(tmp_path / "grid_summary.csv.lock")
    reason = "(it is a link or not a regular file|Too many levels of symbolic links|Is a directory)"
    with pytest.raises(DiskError, match=rf"lock cannot be locked: {reason}; choose another --workdir"):
        Lock(str(tmp_path)).__enter__()
    assert (tmp_path / "target").read_text() == "precious" and open_files(tmp_path) == []


def test_a_lock_that_says_nothing_holds_all_the_same(tmp_path):
    with open(tmp_path / "grid_summary.csv.lock", "w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        with pytest.raises(LockedError, match=r"another gridsync \(unknown\) is at work in"):
            Lock(str(tmp_path)).__enter__()
