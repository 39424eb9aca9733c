"""grid_uploads.csv."""

from __future__ import annotations

import os

import pytest

from gridsync_parts.disk import COARSE
from gridsync_parts.errors import DiskError
from gridsync_parts.uploads import Upload, Uploads

HEADER = "path,size,mtime,checksum,verified,site,target,error,temp,record,job\n"
UPLOAD = Upload("out/a", 10, 1433838120, "adler32:00000001", "adler32", "LYON", "users/me/a", "", "")
LINE = "out/a,10,2015-06-09T08:22:00Z,adler32:00000001,adler32,LYON,users/me/a,,,,\n"


def uploads(folder, text: str) -> Uploads:
    (folder / "grid_uploads.csv").write_text(text, newline="")
    return Uploads(str(folder))


def test_the_file_reads_as_the_contract_says_and_is_kept_by_site_and_target(tmp_path):
    first = Uploads(str(tmp_path))
    assert first.is_new and first.noted == 0
    first.put([UPLOAD], durable=True)
    first.put([UPLOAD._replace(site="CNAF"), UPLOAD._replace(size=11)])
    first.save()
    text = HEADER + LINE.replace("LYON", "CNAF") + LINE.replace(",10,", ",11,")
    assert (tmp_path / "grid_uploads.csv").read_text() == text
    assert Uploads(str(tmp_path)).by_path("LYON") == {"users/me/a": UPLOAD._replace(size=11)}


def test_odd_names_come_back_as_they_are(tmp_path):
    names = ('a "b", c', "x\ny", "x\ry", "\udcff")
    odd = [UPLOAD._replace(path=f"out/{name}", target=f"users/{name}") for name in names]
    Uploads(str(tmp_path)).put(odd)
    assert sorted(Uploads(str(tmp_path)).all()) == sorted(odd)


def test_a_last_line_cut_by_a_crash_costs_no_other(tmp_path):
    for cut in range(1, len(LINE)):
        kept = uploads(tmp_path, HEADER + LINE + LINE.replace("/a", "/b")[:-cut])
        assert UPLOAD in kept.all()
        kept.put([UPLOAD._replace(target="users/me/c")])
        assert {upload.target for upload in Uploads(str(tmp_path)).all()} >= {"users/me/a", "users/me/c"}


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        (",10,", ",x,", "size"),
        ("2015", "then", "mtime"),
        ("users/me/a", "/abs", "target"),
        (",,,\n", ",users/me/b,,\n", "temp"),
        (",,,\n", ",users/other/0a-1.gridsync-part,,\n", "temp"),
        (",,,\n", ",0a-1.gridsync-part,,\n", "temp"),
        (",,,\n", ",,..,\n", "record"),
        (",,,\n", ",,a/../b,\n", "record"),
    ],
)
def test_a_line_that_cannot_be_right_is_named(tmp_path, old, new, says):
    with pytest.raises(DiskError, match=rf"line 2: column \d+ \({says}\)"):
        uploads(tmp_path, HEADER + LINE.replace(old, new) + LINE)


def test_what_is_to_be_removed_has_our_mark(tmp_path):
    left = UPLOAD._replace(verified="", temp="users/me/0a-1.gridsync-part")
    Uploads(str(tmp_path)).put([left])
    assert list(Uploads(str(tmp_path)).all()) == [left]


def test_another_program_s_file_is_not_taken_for_ours(tmp_path):
    assert uploads(tmp_path, "when,what\n1,2\n").is_foreign


def test_a_file_is_the_one_that_was_sent_as_long_as_it_looks_like_it(tmp_path):
    assert UPLOAD.is_of("out/a", 10, 1433838120)
    assert not UPLOAD._replace(verified="").is_of("out/a", 10, 1433838120)
    others = (("out/b", 10, 1433838120), ("out/a", 9, 1433838120), ("out/a", 10, 1))
    assert not any(UPLOAD.is_of(*other) for other in others)
    kept = uploads(tmp_path, HEADER + LINE)
    assert kept.noted == os.stat(tmp_path / "grid_uploads.csv").st_mtime - COARSE


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
def test_what_others_say_of_the_users_uploads_counts_little(tmp_path):
    Uploads(str(tmp_path)).put([UPLOAD, UPLOAD._replace(target="b", verified="", temp="b.gridsync-part")])
    os.chown(tmp_path / "grid_uploads.csv", 1234, 1234)
    assert {(upload.verified, upload.temp) for upload in Uploads(str(tmp_path)).all()} == {("", "")}
