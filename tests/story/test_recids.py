"""INPUTDIR at a portal: records, old numbers, DOIs and searches, in all commands, and what they ask of it."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest

import gridsync
from tests.grid import Grid
from tests.grid.opensearch import Fields
from tests.grid.portal import Portal
from tests.support import reader as support
from tests.support.user import flip

DOI = "10.7483/OPENDATA.CMS.JKB8.RR42"


class Reader(support.Reader):
    """One whose questions are looked at."""

    def asked(self) -> list[str]:
        """What the portal was asked for since the last time, without bytes."""
        found = [request.path for request in self.portal.requests if request.path.startswith("/api/")]
        self.portal.requests.clear()
        return sorted(path.removeprefix("/api/records").strip("/") for path in found)

    def listed(self) -> list[str]:
        """The files in the catalog, without records themselves."""
        return sorted(path for path in self.catalog() if not path.endswith("/record.json"))


@pytest.fixture
def reader(grid: Grid, portal: Portal, tmp_path: Path) -> Reader:
    """A user of a portal with four records of two experiments, and a page of its documentation."""
    portal.add("cms-5500", {"a.root": b"a" * 1000, "list.txt": b"list"}, aliases=["5500"], doi=DOI, title="Muon pairs")
    portal.add("cms-5501", {"b.root": b"b" * 2000}, aliases=["5501"], title="Electron pairs")
    portal.add("delphi-7", {"d.al": b"d" * 10}, title="Muon events", date_created=["1992"])
    portal.add("cms-6", {"cold.root": b"c"}, on_demand=["cold.root"], title="One muon")
    portal.add_page("cms-guide", title="A muon guide")
    return Reader(grid, tmp_path, portal)


CMS = ["cms-5500/a.root", "cms-5500/list.txt"]
NAMES = {
    "cms-5500": CMS,
    "5500": CMS,
    DOI: CMS,
    f"doi:{DOI}": CMS,
    DOI.lower(): CMS,
    f"5500:cms-5500:doi:{DOI}:{DOI}": CMS,
    "5500:delphi-7": [*CMS, "delphi-7/d.al"],
    "cms-5500/list.txt:5501": ["cms-5500/list.txt", "cms-5501/b.root"],
    "5500/list.txt": ["cms-5500/list.txt"],
    "?experiment:DELPHI": ["delphi-7/d.al"],
    "?q=muon&experiment=CMS": CMS,
    "?q=muon&experiment=CMS&ondemand=true": [*CMS, "cms-6/cold.root"],
    "?q=&f=experiment%3ADELPHI&f=year%3A1992&l=list&order=desc&p=1&s=10&sort=mostrecent": ["delphi-7/d.al"],
    "5501:?experiment:DELPHI": ["cms-5501/b.root", "delphi-7/d.al"],
    "?experiment:DELPHI:?q=electron": ["cms-5501/b.root", "delphi-7/d.al"],
}


@pytest.mark.parametrize("name", NAMES)
def test_the_files_of_what_is_named_are_listed(reader, name):
    status, out, err = reader(f"--input_dir '{name}' --build_list")
    assert (status, reader.listed()) == (0, NAMES[name]), err
    assert f"INPUTDIR            : {name}\n" in out
    assert f"[catalog] Catalog built from {name}\n" in out




def test_a_record_goes_step_by_step_and_is_asked_for_as_seldom_as_can_be(reader):
    status, _, err = reader("--input_dir 5500 --build_list")
    assert (status, reader.asked()) == (0, ["5500"])
    assert "5500 is cms-5500 at the portal, and has that name here, too\n" in err
    status, out, err = reader("--start")
    assert (status, reader.asked()) == (0, ["cms-5500"]) and "Copied: 3, " in out
    assert "at the portal" not in err
    for line, says in (("--check_status", "downloaded: 3, "), ("--verify", "Verified: 3, damaged: 0;")):
        status, out, _ = reader(line)
        assert status == 0 and says in out and reader.asked() == []
    flip(reader.data / "cms-5500/a.root", 7)
    assert "Verified: 2, damaged: 1;" in reader("--verify").out
    assert "Copied: 1, skipped: 0, " in reader("--repair").out
    assert reader.files() == ["cms-5500/a.root", "cms-5500/list.txt", "cms-5500/record.json"]


@pytest.mark.parametrize("name", ["cms-5500", "5500", DOI, "?q=muon&experiment=CMS"])
def test_files_that_are_here_are_verified_without_network(reader, name):
    assert reader(f"--input_dir '{name}' --sync").status == 0
    reader.set("SERVER", "https://localhost:1/", "OPEN")
    status, out, err = reader("--verify --check_status --start")
    assert (status, err) == (0, "") and "Verified: 3, damaged: 0;" in out and "Copied: 0, skipped: 3, " in out


def test_a_search_is_made_again_for_a_new_list_only(reader):
    assert reader("--input_dir ?experiment:DELPHI --build_list").status == 0
    reader.portal.add("delphi-8", {"e.al": b"e"})
    reader.asked()
    assert "rows: 2\n" in reader("--check_status").out and "" not in reader.asked()
    assert reader("--sync").status == 0 and "delphi-8" in reader.asked()
    assert reader.listed() == ["delphi-7/d.al", "delphi-8/e.al"]


def test_what_a_search_no_longer_finds_stays_here_and_leaves_the_list(reader):
    assert reader("--input_dir ?experiment:CMS --build_list").status == 0
    assert reader("--inc list.txt --start").status == 0
    reader.portal.remove("cms-5500")
    status, out, _ = reader("--inc none --build_list")
    assert status == 0 and "rows: 2\n" in out
    assert reader.listed() == ["cms-5500/list.txt", "cms-5501/b.root"]


def test_it_is_told_what_a_search_has_found_and_what_it_has_not(reader):
    _, _, err = reader("--input_dir ?muon --build_list")
    assert "2 record(s) are found by ?muon, and 1 page(s) of documentation, which have no files\n" in err
    assert "1 more are on demand alone, and are found with &ondemand=true behind it\n" in err
    _, _, err = reader("--input_dir '?muon&ondemand=true' --build_list")
    assert "3 record(s) are found by ?muon&ondemand=true, and 1 page(s) of " in err and "more are on demand" not in err


ALONE = {
    "77": (2, "77: the portal has no such record; "),
    "cms-77": (2, "cms-77: the portal has no such record; "),
    "5500,5501": (2, "5500,5501: is no record; several stand with : between them, words to look for behind a ?\n"),
    "muon pairs": (2, "muon pairs: is no record; several stand with : between them, words to look for behind a ?\n"),
    "cms-5500/nothing": (2, "cms-5500/nothing: there is no such file in the record; --ls_dir=cms-5500 shows what "),
    "10.7483/nothing": (2, "10.7483/nothing: the portal has no record with this DOI; see https://doi.org/10.7483/nothi"),
    "?q=nothing": (1, "?q=nothing: the search finds no record; try other words or facets at https://localhost:"),
    "?q=guide": (1, "?q=guide: the search finds pages of documentation alone, which have no files; try other words"),
    "?q=one": (1, "?q=one: the search finds no record; add &ondemand=true for 1 on demand alone, or try other words"),
    "?q=(": (2, "?q=(: the portal cannot make sense of the search; correct its words\n"),
    "?year=soon": (2, "'soon' is no year; write year=2011 or year=2010--2012\n"),
    "?colour=red": (2, "the portal does not filter by 'colour', but by experiment, year, type, "),
    "/": (2, "no record of OPEN is chosen; give one with --input_dir=5500, a DOI, several with : between them, "),
    "../5500": (2, "'../5500' is not a path on the grid; leave out '..'"),
}


@pytest.mark.parametrize("name", ALONE)
@pytest.mark.parametrize("action", ["build_list", "sync", "ls_dir"])
def test_a_name_of_nothing_is_one_sentence_and_not_remembered(reader, name, action):
    before = (reader.folder / "Grid.conf").read_bytes()
    line = f"--ls_dir='{name}'" if action == "ls_dir" else f"--input_dir='{name}' --{action}"
    status, _, err = reader(line)
    assert (status, err.count("\n")) == (ALONE[name][0], 1), err
    assert err.startswith(f"gridsync.py: {ALONE[name][1]}")
    assert (reader.folder / "Grid.conf").read_bytes() == before
    assert not (reader.folder / "grid_records.txt").exists()


def test_no_record_is_chosen_yet(reader):
    status, _, err = reader("--build_list")
    assert status == 2 and err.startswith("gridsync.py: no record of OPEN is chosen; give one with --input_dir=5500")
    assert reader("--check_status").status == 2


def test_one_bad_name_among_others_is_named_and_the_others_come(reader):
    reader.portal.odd("delphi-7", "d.al", "size no number")
    name = "77:5500:10.7483/nothing:cms-78:?q=nothing:?experiment:DELPHI"
    status, out, err = reader(f"--input_dir '{name}' --sync")
    assert status == 1 and "Copied: 4, " in out, err
    told = [line for line in err.splitlines() if line.startswith("gridsync.py:")]
    names = ["10.7483/nothing", "77", "?q=nothing", "cms-78", "delphi-7"]
    assert sorted(line.split()[1].strip(":") for line in told) == names
    assert reader("--start").status == 0


def test_a_record_that_has_gone_between_runs(reader):
    assert reader("--input_dir 5501:delphi-7 --sync").status == 0
    reader.portal.remove("cms-5501")
    status, _, err = reader("--sync")
    assert status == 1 and "gridsync.py: 5501: the portal has no such record; " in err and err.count("\n") == 1
    assert reader("--input_dir cms-5501:delphi-7 --sync").status == 1
    assert reader.files() == ["cms-5501/b.root", "cms-5501/record.json", "delphi-7/d.al", "delphi-7/record.json"]
    assert "Verified: 4, damaged: 0;" in reader("--verify").out


def test_patterns_are_tried_on_the_path_with_the_recid(reader):
    status, out, _ = reader("--input_dir 5500:5501 --inc '^cms-5500/.*root$:^cms-5501/b' --exc record --build_list")
    assert status == 0 and reader.listed() == ["cms-5500/a.root", "cms-5501/b.root"] and "rows: 2\n" in out
    assert reader("--start").status == 0
    assert reader.files() == ["cms-5500/a.root", "cms-5501/b.root"]


def test_a_dry_run_changes_nothing(reader):
    assert reader("--input_dir 5500").status == 0
    before = sorted(path.name for path in reader.folder.iterdir())
    status, out, err = reader("--input_dir '?experiment:DELPHI' --build_list --start --dry_run")
    assert status == 0 and "would list 2 files, " in out and "would copy 2 files, " in out, err
    assert sorted(path.name for path in reader.folder.iterdir()) == before
    assert "INPUTDIR            : 5500\n" in reader("--show_conf").out


@pytest.mark.long
def test_another_run_that_is_at_work_is_not_disturbed(reader):
    assert reader("--input_dir 5500 --build_list").status == 0
    reader.portal.faults.add("/eos/opendata/*", "stall", seconds=30)
    with reader.running("--start") as run:
        while not any(request.path.startswith("/eos/") for request in reader.portal.requests):
            assert run.poll() is None
        status, out, err = reader("--check_status")
    assert status == 0 and "rows: 3\n" in out and "this is the state of its catalog" in err


# Lists.


def test_a_list_names_records_and_files_in_them(reader):
    page = f"{reader.portal.base}/record/5501#files"
    lines = ["# mine", " #77", "5500/list.txt", f"doi:{DOI}/", page, "", "cms-5501"]
    lines += ["?q=muon&f=experiment%3ADELPHI", "cms-6/record.json"]
    (reader.folder / "list").write_text("".join(f"{line}\r\n" for line in lines))
    status, out, err = reader(f"--files_from {reader.folder}/list --build_list --start")
    assert status == 0 and "Copied: 8, " in out, err
    assert reader.listed() == ["cms-5500/a.root", "cms-5500/list.txt", "cms-5501/b.root", "delphi-7/d.al"]


@pytest.mark.long
def test_what_a_list_names_and_is_not_there_is_named_each_time(reader):
    (reader.folder / "list").write_text(f"5500\n77\n{DOI}x\ncms-5501/nothing\n")
    names = ["10.7483/OPENDATA.CMS.JKB8.RR42x", "77", "cms-5501/nothing"]
    for action in ("build_list", "start", "verify", "sync"):
        status, _, err = reader(f"--files_from {reader.folder}/list --{action}")
        told = [line.split()[1].strip(":") for line in err.splitlines() if line.startswith("gridsync.py:")]
        assert (status, sorted(told)) == (1, names), err
    assert reader.listed() == CMS


def test_many_records_of_a_list_are_asked_for_one_by_one(reader):
    names = [f"lhcb-{number}" for number in range(20)]
    for name in names:
        reader.portal.add(name, {"a": b"a"})
    (reader.folder / "list").write_text("".join(f"{name}\n" for name in names))
    status, out, _ = reader(f"--files_from {reader.folder}/list --build_list --start --json")
    assert status == 0 and json.loads(out)["copy"]["copied"] == 40
    assert reader.asked() == sorted(names)


# Pages that people copy.


def pages_of(reader: Reader) -> dict[str, list[str]]:
    base, http = reader.portal.base, reader.portal.base.replace("https:", "http:")
    return {
        f"{base}/record/5500": CMS,
        f"{base}/record/cms-5500?ln=en#files": CMS,
        f"{base}/record/5500/files/list.txt": ["cms-5500/list.txt"],
        f"{base}/search?q=&f=experiment%3ADELPHI&l=list&p=1&s=10": ["delphi-7/d.al"],
        f"https://doi.org/{DOI}": CMS,
        http + "/record/5500": CMS,
    }


@pytest.mark.parametrize("number", range(5))
def test_a_page_of_the_portal_in_place_of_a_name(reader, number):
    url, files = list(pages_of(reader).items())[number]
    status, _out, err = reader(f"--input_dir '{url}' --build_list")
    assert status == 0 and reader.listed() == files, err
    assert "--input_dir is taken as " in err and " of OPEN\n" in err and "BASE_DIR" not in err
    assert reader(f"--ls_dir '{url}'").status == 0
    status, _, err = reader(f"'{url}' {reader.folder}/here")
    here = reader.folder / "here"
    assert status == 0 and {str(path.relative_to(here)) for path in here.rglob("*.*")} >= set(files), err


def test_a_page_at_a_site_that_is_not_chosen(reader):
    text = (reader.folder / "Grid.conf").read_text().replace("SITE = OPEN", "SITE = LYON")
    (reader.folder / "Grid.conf").write_text(text + "[LYON]\nSERVER = https://localhost:1/\n")
    url = f"{reader.portal.base}/record/5500"
    status, _, err = reader(f"--input_dir {url} --build_list")
    assert status == 2 and "belongs to the site OPEN; use --from OPEN, or choose another folder" in err
    assert reader(f"--from OPEN --input_dir {url} --build_list").status == 0
    status, out, err = reader(f"https://doi.org/{DOI} {reader.folder}/here")
    assert status == 0 and "Copied: 3, " in out, err


REFUSED = {
    "{base}/docs/about here": "/docs/about is no page of a record or a search; give one like https://localhost:",
    "{base}/eos/opendata/cms/a.root here": "is no page of a record or a search; give one like https://localhost:",
    "--input_dir {base}/docs --build_list": "/docs is no page of a record or a search; give one like https://localhost:",
    "--ls_dir {base}/": " is no page of a record or a search; give one like https://localhost:",
    "https://u:secret@{host}/record/1 here": "the URL contains a password or an unused user name; remove it",
}


@pytest.mark.every(1)
@pytest.mark.parametrize("line", REFUSED)
def test_a_page_that_shows_no_record_is_refused(reader, line):
    base = reader.portal.base
    status, _, err = reader(line.replace("{base}", base).replace("{host}", base.partition("//")[2]))
    assert status != 0 and err.count("\n") == 1 and REFUSED[line] in err and "secret" not in err


# Looking.


def test_the_records_of_a_search_are_listed_with_their_titles(reader):
    status, out, err = reader("--ls_dir '?q=muon'")
    assert status == 0 and " -- List content of folder: ?q=muon\n" in out, err
    assert out.endswith(
        "Folder     01 Jun 2026 cms-5500  Muon pairs (2 file(s), 1004.0 B)\n"
        "Folder     01 Jun 2026 delphi-7  Muon events (1 file(s), 10.0 B)\n"
    )
    for words in ("5501:delphi-7", "?q=Electron OR events"):
        status, out, err = reader(f"--ls_dir '{words}' --json")
        told = [[entry[key] for key in ("path", "title", "files", "size")] for entry in json.loads(out)["listing"]]
        assert (status, told) == (0, [["cms-5501", "Electron pairs", 1, 2000], ["delphi-7", "Muon events", 1, 10]]), err


def test_what_is_on_demand_is_marked_in_a_listing(reader):
    reader.portal.add("cms-7", {"c.root": b"c", "w.root": b"www"}, on_demand=["c.root"], title="Half a muon")
    both = ["cms-6  One muon (1 file(s), 1.0 B, on demand)", "cms-7  Half a muon (2 file(s), 4.0 B, partly on demand)"]
    for words in ("cms-6:cms-7", "?q=muon&ondemand=true"):
        out = reader(f"--ls_dir '{words}'").out
        assert [line[23:] for line in out.splitlines() if "on demand" in line and line.startswith("Folder")] == both
    out = reader("--ls_dir cms-7").out
    assert re.search(r"(?m)^1\.0 B +\S+ \S+ \S+ c\.root  \(on demand\)$", out) and "w.root\n" in out
    out = reader("--ls_dir cms-5500/list.txt:cms-6/cold.root").out
    assert re.search(r"(?m)^4\.0 B .* list\.txt  Muon pairs$", out), out
    assert re.search(r"(?m)^1\.0 B .* cold\.root  One muon \(on demand\)$", out), out


def test_a_search_that_tells_no_counts_lists_titles(reader):
    reader.portal.add("cms-8", {"z.root": b"z"}, title="Uncounted", distribution={"number_files": None, "size": "much"})
    assert reader("--ls_dir '?q=Uncounted'").out.endswith("cms-8  Uncounted\n")


def test_a_record_is_listed_as_a_folder(reader):
    status, out, err = reader("--ls_dir 5500")
    assert status == 0 and f" -- List content of folder: {reader.portal.base}/record/cms-5500\n" in out
    assert re.findall(r"(?m)^\S+ \S+ +\d\d \S+ \d{4} (\S+)$", out) == ["a.root", "list.txt", "record.json"], err
    assert "5500 is cms-5500 at the portal" in err


def test_some_records_are_listed_although_others_are_not_there(reader):
    status, out, err = reader("--ls_dir 77:5500")
    assert status == 2 and "cms-5500  Muon pairs (2 file(s), 1004.0 B)\n" in out
    assert "77: the portal has no such record" in err


def test_nothing_can_be_sent_to_a_portal(reader):
    status, _, err = reader(f"--input_dir 5500 --put {reader.folder}/Grid.conf")
    assert status == 2 and err.startswith("gridsync.py: gridsync cannot send files to the site OPEN with ENGINE = ")


def test_pins_are_released_without_looking_for_records(reader):
    assert reader("--input_dir '?q=muon'").status == 0
    status, out, err = reader("--release")
    assert (status, err, reader.asked()) == (0, "", []) and "there is nothing to release" in out


@pytest.mark.parametrize("wrong", ["html instead of JSON", "truncated JSON", "cut JSON", "502 once", "429"])
@pytest.mark.parametrize("name", ["?q=muon", DOI])
def test_a_search_that_goes_wrong_is_tried_again_or_one_sentence(reader, name, wrong):
    reader.portal.goes_wrong(wrong)
    status, _, err = reader(f"--input_dir '{name}' --build_list")
    if wrong in ("502 once", "429"):
        assert status == 0 and reader.listed()[: len(CMS)] == CMS, err
    else:
        assert status == 4 and err.count("\n") == 1 and "Traceback" not in err
    assert reader.asked().count("") > 1


def test_an_old_number_is_asked_for_twice_when_the_answer_makes_no_sense(reader):
    reader.portal.goes_wrong("truncated JSON", count=1)
    status, _, err = reader("--input_dir 5500 --build_list")
    assert status == 0 and reader.asked() == ["5500", "5500"], err


# Searches that find more than the portal shows.

FEW = "MOST_SHOWN = 300; PAGE_SIZE = 100"  # as if the portal showed no more


def search(reader: Reader, line: str) -> tuple[int, list[str], str]:
    """Run it with the portal's limit at 300 records: the status, what is listed, errors."""
    reader.portal.switches.max_results = 300
    status, out, err = reader(f"{line} --json", changed=FEW)
    return status, [entry["path"] for entry in json.loads(out).get("listing", [])], err


@pytest.mark.long
def test_a_search_is_split_until_the_portal_shows_all_of_it(reader):
    many = reader.portal.many(1_500)
    status, found, err = search(reader, "--ls_dir '?q=&ondemand=true'")
    assert (status, sorted(found)) == (0, sorted([*reader.portal.records, *many])), err
    assert max(int(request.query["page"]) * int(request.query["size"]) for request in reader.portal.requests) <= 300
    assert 2 <= max(request.in_flight for request in reader.portal.requests) <= 4  # as pages and parts come together


SPLIT: dict[str, Callable[[Fields], bool]] = {
    "?experiment=CMS&experiment=ATLAS": lambda fields: bool({"CMS", "ATLAS"} & {*fields["experiment"]}),
    "?q=muon OR CMS&experiment:CMS": lambda fields: "CMS" in fields["experiment"],
    "?type:Dataset": lambda fields: fields["type"]["primary"] == "Dataset",
    "?year:2011--2014": lambda fields: any("2011" <= date <= "2014" for date in fields.get("date_created", [])),
}


@pytest.mark.long
@pytest.mark.parametrize("query", SPLIT)
def test_a_search_with_facets_is_split_by_others(reader, query):
    many = reader.portal.many(1_500)
    status, found, err = search(reader, f"--ls_dir '{query}&ondemand=true'")
    fields = {name: many.fields(name) for name in many}
    fields.update((name, record.fields()) for name, record in reader.portal.records.items())
    assert status == 0 and sorted(found) == sorted(name for name in fields if SPLIT[query](fields[name])), err
    assert len(found) > 600


def test_a_search_that_can_not_be_split_any_further_is_one_sentence(reader):
    reader.portal.many(301, experiment=["JADE"], date_created=["1985"], type={"primary": "Dataset", "secondary": []})
    status, found, err = search(reader, "--ls_dir '?experiment:JADE&year:1985'")
    assert (status, found, err.count("\n")) == (2, [], 1)
    assert "the search finds 301 records that no facet tells apart, and the portal shows 300 of them; add words" in err


@pytest.mark.long
def test_a_search_for_more_than_the_10000_that_the_portal_shows(reader):
    many, reader.limit = reader.portal.many(25_000), 300
    status, out, err = reader("--ls_dir '?q=' --json")
    found = {entry["path"] for entry in json.loads(out)["listing"]}
    assert status == 0 and found == {*many, *reader.portal.records} - {"cms-6"}, err


@pytest.mark.long
def test_10000_files_in_300_records_cost_a_request_a_record_and_four_at_a_time(reader):
    names, reader.limit = [f"lhcb-{number}" for number in range(300)], 300
    for name in names:
        files = {f"{name}_{number}.root": b"%d" % number for number in range(34)}
        reader.portal.add(name, files, index=[f"{name}_1.root"])
    status, out, err = reader("--input_dir '?experiment:LHCB' --build_list --start --threads 8")
    assert status == 0 and "rows: 10500\n" in out and "Copied: 10500, " in out, err
    asked = [request for request in reader.portal.requests if not request.path.startswith("/eos/")]
    searches = [request for request in asked if request.path.strip("/") == "api/records"]
    assert len(searches) == 3  # two pages, and how many more there are on demand
    assert sorted(request.path for request in asked if request not in searches) == sorted(
        f"/api/records/{name}" for name in names
    )
    assert max(request.in_flight for request in asked) <= 4
    reader.portal.requests.clear()
    assert "Verified: 10500, damaged: 0;" in reader("--verify --check_status").out
    assert not reader.portal.requests
    status, out, _ = reader("--sync")
    assert status == 0 and "Copied: 0, skipped: 10500, " in out
    assert len(reader.portal.requests) == 303  # and none for a file


# Python programs.


@pytest.mark.parametrize("bytes_by", ["https", "root"])
def test_words_mean_the_same_to_python(reader, monkeypatch, bytes_by):
    for name, value in reader.env.items():
        monkeypatch.setenv(name, value)
    reader.portal.eos = reader.portal.xrootd.root_url
    conf = reader.folder / "Grid.conf"
    conf.write_text(conf.read_text() + f"BYTES = {bytes_by}\n")
    with gridsync.open_site("OPEN", conf) as site:
        assert [row.path for row in site.find("5500", exclude="record.json")] == CMS
        assert [entry.path for entry in site.ls(DOI)] == [*CMS, "cms-5500/record.json"]
        assert [entry.path for entry in site.ls("?q=muon")] == ["cms-5500", "delphi-7"]
        rows = site.get([f"doi:{DOI}", f"{reader.portal.server}record/5501"], reader.data, exclude="record.json")
        assert {row.path: row.verified for row in rows} == dict.fromkeys([*CMS, "cms-5501/b.root"], "adler32")
        with site.open("5501/b.root") as file:
            assert file.read() == b"b" * 2000
        with pytest.raises(gridsync.NotFound, match="cms-9: the portal has no such record"):
            site.find("cms-9")
        with pytest.raises(gridsync.Incomplete, match="cms-9: the portal has no such record"):
            site.find("cms-9:5500")
        with pytest.raises(gridsync.UsageError, match="no record of OPEN is chosen"):
            site.ls()
