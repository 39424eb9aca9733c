"""Listings of FTP servers: lines of MLSD and of ls, and what is none of either."""

from __future__ import annotations

import pytest

from gridsync_parts.doors.ftplist import Named, Unknown, What, by_columns, by_facts, moment_of, read_listing

LS = [
    ("-rw-r--r--    1 26666      6666              457 Mar 16 13:58 README.txt", Named("README.txt", What.FILE, 457)),
    ("-r--------    1 26666      6666             1581 Dec  6  2025 a -> b", Named("a -> b", What.FILE, 1581)),
    ("drwxr-xr-x   3 beamuser group        4096 Nov 27 18:57 two  words", Named("two  words", What.FOLDER)),
    ("dr-xr-x---    6 domain users of 6666    4096 Feb  6 09:51 .", Named(".", What.SELF)),
    ("drwxrwsr-t+  12 0 0   4096 Feb  6 09:51 ..", Named("..", What.SELF)),
    ("lrwxrwxrwx   1 a b 5 Nov 27 18:57 link -> hello", Named("link", What.LINK)),
    ("prw-r--r--   1 a b 0 Nov 27 18:57 fifo", Named("fifo", What.OTHER)),
    ("crw-rw-rw-   1 root root 1,   3 Nov 27 18:57 null", Named("null", What.OTHER)),
    ("-rw-r--r--. 1 a b 12345678901234 2026-03-16 13:58 big", Named("big", What.FILE, 12345678901234)),
    ("-rw-r--r-- 1 a b 5 M\u00e4r 16 13:58  leading", Named(" leading", What.FILE, 5)),
    ("01-18-26  03:25PM       <DIR>          pub", None),
    ("01-18-26  03:25PM                 1234 a.dat", None),
    ("+i8388621.48594,m825718503,r,s280,\tdjb.html", None),
    ("README.txt", None),
    ("lines of a name", None),
]
MLSD = [
    ("type=file;size=457;modify=20260316135800;UNIX.mode=0644; a b", Named("a b", What.FILE, 457, 1773669480)),
    ("Type=file;Size=0;Modify=20260316135800.123; a;b=c", Named("a;b=c", What.FILE, 0, 1773669480)),
    ("type=dir;sizd=4096;modify=20260316135800; sub", Named("sub", What.FOLDER, 0, 1773669480)),
    ("type=cdir;modify=20260316135800; .", Named(".", What.SELF, 0, 1773669480)),
    ("modify=20260316135800;type=pdir; /raw", Named("/raw", What.SELF, 0, 1773669480)),
    ("type=OS.unix=slink:;size=5; link", Named("link", What.LINK)),
    ("type=OS.unix=slink:/target;size=5; link", Named("link", What.LINK)),
    ("type=OS.unix=symlink;size=5; link", Named("link", What.LINK)),
    ("type=unknown;size=0; fifo", Named("fifo", What.OTHER)),
    ("type=OS.unix=chr-1/3; null", Named("null", What.OTHER)),
    ("type=file;modify=20269916135800; odd", Named("odd", What.LINK)),  # whose size is asked for
    ("size=3;modify=20260316135800; untold", None),
    ("-rw-r--r-- 1 a b 5 Mar 16 13:58 a", None),
    ("lines", None),
]


@pytest.mark.parametrize(("line", "said"), LS)
def test_a_line_of_ls(line, said):
    assert by_columns(line) == said


@pytest.mark.parametrize(("line", "said"), MLSD)
def test_a_line_of_facts(line, said):
    assert by_facts(line) == said


@pytest.mark.parametrize(("text", "seconds"), [
    ("19700101000001", 1), ("20260316135800", 1773669480), ("20260316135800.5", 1773669480), ("", 0), ("2026", 0),
    ("20261316135800", 0), ("File not found", 0), ("00000101000000", 0),
])
def test_a_moment(text, seconds):
    assert moment_of(text) == seconds


def listed(by_mlsd: bool, *lines: str) -> list[object]:
    return [item if isinstance(item, str) else item.name for item in read_listing(lines, by_mlsd)]


def test_a_name_with_line_ends_is_told_from_others_and_its_beginning_is_no_file():
    line, facts = "-rw-r--r-- 1 a b 5 Mar 16 13:58 {}", "type=file;size=1; {}"
    for by_mlsd, form in ((False, line), (True, facts)):
        lines = [form.format("before"), form.format("two"), "three", "", "four", form.format("after")]
        assert listed(by_mlsd, *lines) == ["before", "two\nthree\nfour", "after"]
        assert listed(by_mlsd, form.format("last"), "end") == ["last\nend"]


def test_the_head_of_ls_is_no_name():
    assert listed(False, "total 12", "-rw-r--r-- 1 a b 5 Mar 16 13:58 a") == ["a"]
    assert listed(False, "total 0") == listed(False) == listed(True) == []


def test_a_listing_that_is_none_is_told_with_its_line():
    for by_mlsd, line in ((False, "01-18-26  03:25PM       <DIR>          pub"), (True, "total 12")):
        with pytest.raises(Unknown) as caught:
            listed(by_mlsd, line)
        assert str(caught.value) == line
