"""grid_summary.csv and its lock."""

from __future__ import annotations

import subprocess
import sys

import pytest

from gridsync_parts.catalog import Catalog, Lock
from gridsync_parts.disk import set_aside
from gridsync_parts.errors import DiskError, LockedError
from gridsync_parts.values import Locality, Row

HEADER = "path,size,mtime,checksum,locality,downloaded,verified,request,site,error\n"
LINE = "run/a,10,2015-06-09T08:22:00Z,adler32:00000001,ONLINE,no,,,LYON,\n"
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
    nine = "\ufeff" + HEADER.replace(",error", "") + LINE.replace("LYON,", "LYON")
    assert list(catalog(tmp_path, nine).all()) == [ROW]
    assert list(catalog(tmp_path, HEADER.replace("error", "error,more") + LINE.replace("\n", ",1\n")).all()) == [ROW]


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
        ",".join([*Row._fields, "note"]) + "\na,1,2020-01-01T00:00:00Z,,ONLINE,no,,,LYON,,mine\n"
    )
    catalog = Catalog(str(tmp_path))
    catalog.put([row._replace(downloaded=True) for row in catalog.all()], durable=True)
    (row,) = Catalog(str(tmp_path)).all()  # what a kill would leave
    assert row.downloaded
