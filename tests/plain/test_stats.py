"""The file of --stats: what its lines look like, what is taken back from them, and what is done to whose file."""

from __future__ import annotations

import csv
import json
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gridsync_parts.errors import DiskError, UsageError
from gridsync_parts.stats import FIELDS, HEADER, Line, Stats, lines_of, meanings, moment_text
from tests.support.properties import OFTEN

LINE = Line(
    "e680/run/a.cdat", "LYON", "get", "ok", 1000, 1000, "2026-11-27T22:18:03.123Z", "2026-11-27T22:18:03.623Z",
    0.5, 2000.0, 1, "", "adler32:0a1b2c3d", "adler32", "ui.example.org",
)  # fmt: skip
FAILED = LINE._replace(status="failed", bytes=0, rate_Bps=0.0, error="e680/run/a.cdat: the door says 500", verified="")
OF_A_RECORD = LINE._replace(key="5500", direction="put", file_count=25, zip_used=True)
KINDS = pytest.mark.parametrize("ending", ["jsonl", "csv"])


@pytest.fixture
def path(tmp_path: Path, ending: str) -> str:
    return str(tmp_path / f"stats.{ending}")


def lines_in(path: str) -> list[Line]:
    return list(lines_of(path))


@KINDS
def test_lines_are_read_as_they_were_written(path: str):
    lines = [LINE, FAILED, OF_A_RECORD, OF_A_RECORD._replace(zip_used=False)]
    Stats(path).write(lines[:1])
    Stats(path).write(lines[1:])
    assert lines_in(path) == lines


def test_json_has_a_key_for_each_field_in_their_order(tmp_path: Path):
    Stats(str(tmp_path / "s.jsonl")).write([LINE])
    values = json.loads((tmp_path / "s.jsonl").read_text())
    assert tuple(values) == FIELDS
    assert values["bytes"] == 1000 and values["rate_Bps"] == 2000.0 and values["file_count"] is None


def test_csv_has_its_header_once(tmp_path: Path):
    path = tmp_path / "s.csv"
    for _ in range(3):
        Stats(str(path)).write([LINE])
    rows = list(csv.reader(path.open()))
    assert [row[0] for row in rows] == ["key"] + [LINE.key] * 3
    assert tuple(rows[0]) == FIELDS and rows[1][-2:] == ["", ""]


def test_each_field_is_explained():
    assert tuple(meanings()) == FIELDS and all(meanings().values())


@pytest.mark.parametrize(
    ("key", "cell"),
    [
        ("=1+1", "'=1+1"), ("+1", "'+1"), ("-1", "'-1"), ("@SUM(A1)", "'@SUM(A1)"), ("\tx", "'\tx"), ("'=1", "''=1"),
        ("'quoted'", "'quoted'"), ('a,"b"', 'a,"b"'), ("a=1", "a=1"),
    ],
)  # fmt: skip
def test_no_cell_begins_as_a_formula_and_the_reader_takes_that_back(tmp_path: Path, key: str, cell: str):
    path = tmp_path / "s.csv"
    Stats(str(path)).write([LINE._replace(key=key, error=key)])
    row = list(csv.reader(path.open()))[1]
    assert (row[0], row[FIELDS.index("error")]) == (cell, cell)
    (line,) = lines_of(str(path))
    assert (line.key, line.error) == (key, key)


@KINDS
def test_whatever_a_name_has_in_it_a_line_stays_one_line_of_utf_8(path: str):
    names = ["a\nb", "a\rb", "\r=1", "a\u2028b", "\udcff", "名", "a\x1bb", '"', "</script>"]
    Stats(path).write([LINE._replace(key=name) for name in names])
    text = Path(path).read_bytes().decode("utf-8")
    assert text.count("\n") == len(names) + path.endswith(".csv") and "\r" not in text
    read = [line.key for line in lines_of(path)]
    assert len(read) == len(names) and read[5:] == names[5:]


@KINDS
@pytest.mark.parametrize("left", [1, 2, 40, 100])
def test_half_a_line_at_the_end_costs_no_other_line(path: str, left: int):
    stats = Stats(path)
    stats.write([LINE, LINE._replace(key='a "quoted", name')])
    whole = Path(path).read_bytes()
    Path(path).write_bytes(whole[: len(whole) - left])
    before = lines_of(path)
    kept = len(list(before))
    assert kept + before.left_out == 2 and kept == 1 + (left == 1)
    stats.write([FAILED])
    after = lines_of(path)
    assert list(after)[kept:] == [FAILED] and after.left_out == before.left_out
    if path.endswith(".csv"):  # other readers find the lines that follow, too
        assert list(csv.reader(Path(path).read_text().splitlines()))[-1][0] == FAILED.key


def test_a_header_of_which_a_killed_run_has_written_half_is_completed(tmp_path: Path):
    path = tmp_path / "s.csv"
    path.write_text(HEADER[:20])
    assert lines_in(str(path)) == []
    Stats(str(path)).write([LINE])
    assert path.read_text().startswith(HEADER) and lines_in(str(path)) == [LINE]


@pytest.mark.parametrize("begun", ['{"k', '{"key": "e680/ru', ""])
def test_a_first_line_that_was_cut_is_no_other_programs(tmp_path: Path, begun: str):
    path = tmp_path / "s.jsonl"
    path.write_text(begun)
    Stats(str(path)).write([LINE])
    lines = lines_of(str(path))
    assert list(lines) == [LINE] and lines.left_out == bool(begun)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("s.jsonl", '{"key": "1", "value": 2}\n'), ("s.jsonl", "hello\n"), ("s.jsonl", "[1, 2]\n"), ("s.jsonl", HEADER),
        ("s.jsonl", "[" * 100_000), ("s.csv", "path,size,mtime\n"), ("s.csv", '{"key": "1"}\n'), ("s.csv", "\n"),
        ("s.csv", "\x00" * 100), ("s.jsonl", "\x00" * 100), ("s.csv", HEADER[:-1] + ",more\n"),
    ],
)  # fmt: skip
def test_a_file_of_another_program_is_left_as_it_is(tmp_path: Path, name: str, text: str):
    path = tmp_path / name
    path.write_text(text)
    for verb in (Stats(str(path)).check, Stats(str(path)).look, lambda: Stats(str(path)).write([LINE])):
        with pytest.raises(UsageError, match="is a file of another program"):
            verb()
    assert path.read_text() == text


def test_columns_that_others_have_added_are_read_over(tmp_path: Path):
    path = tmp_path / "s.csv"
    Stats(str(path)).write([LINE])
    header, row = path.read_text().splitlines()
    path.write_text(f"\ufeffmine,{header}\r\nx,{row}\r\n")  # as a spreadsheet writes it
    assert lines_in(str(path)) == [LINE]


def test_a_spreadsheet_may_have_saved_it_in_its_way(tmp_path: Path):
    path = tmp_path / "s.csv"
    Stats(str(path)).write([LINE])
    path.write_text("\ufeff" + path.read_text().replace("\n", "\r\n"), newline="")
    Stats(str(path)).write([FAILED])
    assert lines_in(str(path)) == [LINE, FAILED]


@pytest.mark.parametrize(
    "text",
    ["{", "[]", '{"key": 1}', '"x"', '{"key":"a","site":"b","direction":"get","status":"ok","size":"many"}',
     '{"key":"a","site":"b","direction":"get","status":"ok","rate_Bps":NaN}',
     '{"key":"a","site":"b","direction":"get","status":"ok","size":-1}',
     '{"key":["a"],"site":"b","direction":"get","status":"ok"}',
     '{"key":"a","site":"b","direction":"get","status":"ok","zip_used":"perhaps"}', "[" * 100_000, "9" * 5000],
)  # fmt: skip
def test_what_is_no_line_is_left_out_and_counted(tmp_path: Path, text: str):
    path = tmp_path / "s.jsonl"
    Stats(str(path)).write([LINE])
    with path.open("a") as file:
        file.write(f"{text}\n\n")
    Stats(str(path)).write([FAILED])
    lines = lines_of(str(path))
    assert list(lines) == [LINE, FAILED] and lines.left_out == 1


@pytest.mark.parametrize("name", ["stats.txt", "stats", "jsonl", "stats.json", ""])
def test_another_ending_is_refused(tmp_path: Path, name: str):
    with pytest.raises(UsageError, match=r"ends neither in \.jsonl nor in \.csv"):
        Stats(str(tmp_path / name))
    with pytest.raises(UsageError, match=r"ends neither in \.jsonl nor in \.csv"):
        lines_of(str(tmp_path / name))


@KINDS
def test_what_can_not_be_a_stats_file_is_named(tmp_path: Path, path: str, ending: str):
    os.mkdir(path)
    os.mkfifo(tmp_path / f"fifo.{ending}")
    for wrong, reason in (
        (path, "Is a directory"), (str(tmp_path / f"fifo.{ending}"), "not a regular file"),
        (str(tmp_path / "none" / f"s.{ending}"), "there is no folder"),
    ):  # fmt: skip
        with pytest.raises(DiskError, match=reason):
            Stats(wrong).check()
        with pytest.raises(DiskError, match="cannot be read"):
            lines_in(wrong)


@KINDS
def test_looking_makes_no_file(path: str):
    Stats(path).look()
    assert not os.path.exists(path)
    Stats(path).check()
    assert lines_in(path) == []


@KINDS
def test_a_file_that_was_moved_away_is_begun_anew(path: str):
    stats = Stats(path)
    stats.write([LINE])
    os.rename(path, path + ".1")
    stats.write([FAILED])
    assert lines_in(path) == [FAILED]


def test_moments_have_milliseconds_and_are_of_utc():
    assert moment_text(1795817883.1239) == "2026-11-27T22:18:03.123Z"


@KINDS
def test_a_link_of_the_users_is_followed_and_one_that_others_may_have_made_is_not(tmp_path: Path, path: str):
    (tmp_path / "other").mkdir()
    target = tmp_path / "other" / "real"
    os.symlink(target, path)
    Stats(path).write([LINE])
    assert target.exists() and os.path.islink(path) and lines_in(path) == [LINE]
    tmp_path.chmod(0o777)
    with pytest.raises(DiskError, match="that others may have made; remove it"):
        Stats(path).write([LINE])
    assert lines_in(path) == [LINE]


TEXTS = st.text(st.characters(), max_size=30) | st.sampled_from(["=1", "'=", "''+", '"', ",", "\t", "'"])


@pytest.mark.slow
@KINDS
@given(key=TEXTS, error=TEXTS, size=st.integers(0, 10**18 - 1))
@OFTEN
def test_whatever_is_written_is_one_line_that_is_read(tmp_path: Path, ending: str, key: str, error: str, size: int):
    path = tmp_path / f"s.{ending}"
    path.unlink(missing_ok=True)
    line = LINE._replace(key=key, error=error, size=size)
    Stats(str(path)).write([line])
    assert path.read_bytes().count(b"\n") == 1 + (ending == "csv")
    (read,) = lines_of(str(path))
    assert read.size == size
    plain = key.encode("utf-8", "backslashreplace").decode()
    assert read.key == (plain if ending == "jsonl" or not {*plain} & {*"\r\n\0"} else read.key)


@pytest.mark.slow
@KINDS
@given(junk=st.binary(max_size=200), cut=st.integers(0, 300))
@OFTEN
def test_whatever_stands_in_a_file_it_is_lines_and_what_is_none_or_an_error(tmp_path: Path, ending: str, junk, cut):
    path = tmp_path / f"s.{ending}"
    path.unlink(missing_ok=True)
    Stats(str(path)).write([LINE, LINE])
    path.write_bytes(path.read_bytes()[:cut] + junk)
    try:
        before = len(lines_in(str(path)))
        Stats(str(path)).write([FAILED])
    except UsageError:
        return
    assert len(lines_in(str(path))) in (before, before + 1) and lines_in(str(path))[-1] == FAILED
