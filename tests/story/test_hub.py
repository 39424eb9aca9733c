"""A site of ENGINE = hub: what a user types there, sees and finds, and what ctadata gets wrong."""

from __future__ import annotations

import csv
import json
import os
import re
import zlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.grid import Grid
from tests.grid.hub import BASE, PREFIX, Hub
from tests.grid.propfind import content
from tests.support.user import HASTY, Result, User, contents, wait_for, write_secret

HOME = "lst/users/alice"
RUN = "cta/DL1/run"
SIZES = {"small": 1000, "large": 3_000_000, "sub/other": 70_000, "empty": 0}
LAST = r"Copied: {}, skipped: {}, failed: {}, waiting on tape: {};"


class Member(User):
    """Alice, who has a token of a hub."""

    def __init__(self, grid: Grid, home: Path, hub: Hub):
        super().__init__(grid, home)
        self.hub = hub
        self.limit = 200
        self.changed = HASTY
        self.env["JUPYTERHUB_API_TOKEN"] = hub.token
        # Of an answer that breaks off, a hub's proxy says nothing.
        section = f"[HUB]\nSERVER = {hub.server}\nENGINE = hub\nSILENCE = 10\n"
        text = f"[gridsync]\nSITE = HUB\nOUTPUTDIR = {self.data}\nINPUTDIR = {RUN}\nRETRIES = 1\n\n{section}"
        (home / "Grid.conf").write_text(text)
        for name, size in SIZES.items():
            hub.tree.add(f"{BASE}/{RUN}/{name}", size)

    def expected(self) -> dict[str, bytes]:
        """The files of the run."""
        return {f"{RUN}/{name}": self.hub.tree.expected(f"{BASE}/{RUN}/{name}") for name in SIZES}

    def here(self) -> dict[str, bytes]:
        return contents(self.data)

    def put(self, what: Path, more: str = "", folder: str = f"{HOME}/results") -> Result:
        return self(f"--put {what} --input_dir {folder} {more}")

    def there(self, folder: str = f"{HOME}/results") -> dict[str, bytes]:
        """What is in a folder of the hub."""
        top = f"{BASE}/{folder}"
        found = {path: self.hub.tree.file(path) for path in self.hub.tree.files(top)}
        return {path[len(top) + 1 :]: b"".join(content(file, 0, file.size)) for path, file in found.items()}

    def traces(self, result: Result) -> str:
        """All that a run leaves to be read."""
        files = [path for path in self.folder.rglob("*") if path.is_file()]
        return result.out + result.err + "".join(path.read_bytes().decode("latin-1") for path in files)


@pytest.fixture(params=["alone", pytest.param("jupyter", marks=pytest.mark.long)])
def member(request: pytest.FixtureRequest, grid: Grid, tmp_path: Path) -> Iterator[Member]:
    hub = grid.hub if request.param == "alone" else grid.jupyter
    hub.reset()
    yield Member(grid, tmp_path, hub)
    hub.tree.remove(f"{BASE}/cta/DL1")
    hub.dcache.up("pool")
    hub.reset()


def last(copied: int = 0, skipped: int = 0, failed: int = 0, waiting: int = 0) -> str:
    return LAST.format(copied, skipped, failed, waiting)


# Looking and fetching.


def test_a_folder_is_looked_at_and_listed(member):
    done = member(f"--ls_dir {RUN}")
    assert done.status == 0 and f" -- List content of folder: {member.hub.server}{RUN}\n" in done.out
    assert [line.split()[-1] for line in done.out.splitlines()[-4:]] == ["empty", "large", "small", "sub"]
    done = member("--build_list")
    assert (done.status, done.err) == (0, ""), done
    rows = member.catalog()
    assert {path: int(row["size"]) for path, row in rows.items()} == {f"{RUN}/{name}": s for name, s in SIZES.items()}
    assert rows[f"{RUN}/large"]["checksum"] == f"adler32:{zlib.adler32(member.expected()[f'{RUN}/large']):08x}"


@pytest.mark.parametrize("way", ["pool302", "proxy"])
def test_a_folder_comes_whole_and_verified_and_a_further_run_has_nothing_to_do(member, way):
    member.hub.dcache.switches.redirect = way
    done = member("--sync")
    assert done.status == 0 and re.search(last(copied=4), done.out), done
    assert member.here() == member.expected()
    assert {path for path, row in member.catalog().items() if row["verified"] != "adler32"} == {f"{RUN}/empty"}
    assert (member.hub.dcache.log.count(role="pool") > 0) is (way == "pool302")
    member.hub.log.clear()
    again = member("--sync")
    assert again.status == 0 and re.search(last(skipped=4), again.out) and not member.hub.log.count(method="GET")


def test_large_files_come_in_pieces_that_the_service_can_hold(member):
    member.hub.dcache.switches.redirect = "proxy"
    member.hub.tree.add(f"{BASE}/{RUN}/huge", 150 << 20)
    done = member("--sync --inc huge")
    assert done.status == 0 and re.search(last(copied=1), done.out), done
    assert member.hub.largest == 64 << 20 and member.hub.log.count(method="GET") == 3
    assert member.catalog()[f"{RUN}/huge"]["verified"] == "adler32"


@pytest.mark.long
def test_a_file_that_is_cut_off_between_its_pieces_goes_on_there(member):
    member.hub.dcache.switches.redirect = "proxy"
    member.hub.tree.add(f"{BASE}/{RUN}/huge", 150 << 20)
    member.hub.faults.add("*/huge", "truncate", method="GET", count=1, at=40 << 20)
    done = member("--build_list --start --inc huge")
    assert done.status == 0 and re.search(last(copied=1), done.out), done
    ranges = [record.range for record in member.hub.log.matching(method="GET")]
    begins = [int(span[6:].partition("-")[0]) for span in ranges]
    assert ranges[0] == "bytes=0-67108863" and 39 << 20 < begins[1] <= 40 << 20
    assert begins == sorted(begins) and ranges[-1].endswith(f"-{(150 << 20) - 1}")


@pytest.mark.parametrize("pools", ["dead", "silent", "plain"])
def test_where_no_pool_is_reached_the_service_fetches_the_files(member, pools):
    if pools == "plain":  # not encrypted
        member.hub.dcache.switches.redirect = "pool302-http"
    else:
        member.hub.switches.pools = pools
    with member.running("--sync --threads 1", "CONNECT = 1") as run:
        done = wait_for(run)
    assert done.status == 0 and re.search(last(copied=4), done.out), done
    assert member.here() == member.expected()
    ways = [record.path.split("/")[3] for record in member.hub.log.matching(method="GET")]
    assert ways.count("fetch") == 3 and ways.count("webdav") == 1  # one pool was tried, and then none
    assert {path for path, row in member.catalog().items() if row["verified"] != "adler32"} == {f"{RUN}/empty"}


def test_a_file_that_the_service_fetches_begins_anew_and_comes_whole(member):
    member.hub.switches.pools = "dead"
    member.hub.faults.add("*/fetch/*/large", "reset_in_body", count=1, at=2_000_000)
    member.set("RETRIES", "4", "gridsync")
    done = member("--build_list --start --streams 4")
    assert done.status == 0 and member.here() == member.expected(), done


def test_what_the_service_takes_for_a_listing_in_a_file_is_fetched_as_it_is(member):
    """It replaces bytes in files too, and says nothing of it."""
    member.hub.dcache.switches.redirect = "proxy"
    marks = {"longer": f"x:href>/{BASE}/y", "same": f"x:href>{PREFIX}/webdav/y"}
    for name, mark in marks.items():
        member.hub.dcache.uploads.put(f"{BASE}/{RUN}/{name}", b"a" * 70_000 + mark.encode() + b"b" * 70_000)
    done = member("--build_list --start --inc longer:same")
    assert done.status == 0 and re.search(last(copied=2), done.out), done
    for name, mark in marks.items():
        assert mark.encode() in (member.data / RUN / name).read_bytes()


def test_names_of_which_the_service_makes_others_are_named_and_nothing_else_is_promised(member):
    for name in ("a#b", "a?b", "100%", "odd%20folder/x"):
        member.hub.tree.add(f"{BASE}/{RUN}/{name}", 10)
    done = member("--sync --dry_run")
    assert done.status == 1 and "would copy 4 files" in done.out and "could not be listed: 4" in done.out
    for name in ("a#b", "a?b", "100%", "odd%20folder"):
        assert f"gridsync.py: {RUN}/{name}: the hub makes another name of it, as of all with #, ? or %;" in done.err
    assert done.err.count("\n") == 4
    done = member("--build_list --start")
    assert done.status == 1 and re.search(last(copied=4), done.out) and member.here() == member.expected()
    done = member(f"--ls_dir '{RUN}/odd%20folder'")
    assert done.status == 1 and "the hub makes another name of it" in done.err


def test_files_on_tape_are_said_to_be_there_and_not_promised(member):
    member.hub.tree.add(f"{BASE}/{RUN}/taped", 10, tape=True)
    done = member("--sync --dry_run")
    assert done.status == 0 and "would copy 4 files" in done.out and "would ask for" not in done.out
    assert "(on tape, and no tape service: 1)" in done.out
    assert member("--build_list").status == 0
    done = member("--bring_online")
    assert done.status == 1 and "on tape, but the site names no tape service" in done.err
    done = member("--start")
    assert done.status == 1 and re.search(last(copied=4, waiting=1), done.out), done


# Tokens.


def test_a_token_is_shown_in_headers_to_the_hub_alone(member):
    done = member("--sync --debug")
    assert done.status == 0 and member.hub.dcache.log.count(role="pool")
    assert not member.hub.in_queries
    assert all(record.token for record in member.hub.log)
    assert not [record for record in member.hub.dcache.log if record.token]
    assert member.hub.token not in member.traces(done)


def test_token_names_another_source_and_without_any_the_sentence_says_which(member):
    write_secret(member.folder / "token", member.hub.token)
    member.set("TOKEN", f"file:{member.folder}/token", "HUB")
    assert member(f"--ls_dir {RUN}", JUPYTERHUB_API_TOKEN="").status == 0
    member.set("TOKEN", "", "HUB")
    done = member(f"--ls_dir {RUN}", JUPYTERHUB_API_TOKEN="")
    assert done.status == 3 and "env:JUPYTERHUB_API_TOKEN gives no usable token" in done.err
    assert done.err.count("\n") == 1


@pytest.mark.parametrize("login", ["right", "way", "page"])
@pytest.mark.parametrize("action", ["--ls_dir cta", "--build_list", "--start", "--put"])
def test_a_bad_token_is_one_sentence_and_no_page_is_taken_for_data(member, login, action):
    assert member("--build_list").status == 0
    member.hub.switches.login = login
    action = f"--put {member.folder}/grid_folders.txt.old --input_dir {HOME}" if action == "--put" else action
    (member.folder / "grid_folders.txt.old").touch()
    done = member(action, JUPYTERHUB_API_TOKEN="somebody-elses-0123456789")
    assert done.status == 3 and done.err.count("\n") == 1, done
    assert "does not accept your proxy or token (" in done.err and "see --proxy_status" in done.err
    assert "somebody-elses" not in member.traces(done) and not member.files()


def test_a_token_for_something_else_is_told_so(member):
    other = "guests-token-0123456789abcdef" if member.hub is member.grid.hub else member.hub.guests_token
    done = member(f"--ls_dir {RUN}", JUPYTERHUB_API_TOKEN=other)
    assert done.status == 4 and "token scopes are insufficient" in done.err and done.err.count("\n") == 1


def test_proxy_status_says_which_token_is_shown_and_never_the_token(member):
    done = member("--proxy_status")
    assert "JUPYTERHUB_API_TOKEN" in done.out and member.hub.token not in done.out + done.err


# A SERVER that is wrong.


@pytest.mark.parametrize(
    ("server", "engine", "status", "says"),
    [
        ("{root}/services/nothing/webdav/", "hub", 4, "the hub has no such service; correct SERVER in Grid.conf"),
        ("{root}/services/downloadservice/", "hub", 2, "is not the WebDAV of a hub's service; correct it in Grid.conf"),
        ("{root}/services/downloadservice/webdav/", "auto", 2, "is a service of a hub; set ENGINE = hub"),
    ],
)
def test_a_server_that_is_none_is_told(member, server, engine, status, says):
    member.set("SERVER", server.format(root=member.hub.root), "HUB")
    member.set("ENGINE", engine, "HUB")
    done = member(f"--ls_dir {RUN}")
    assert done.status == status and says in done.err and done.err.count("\n") == 1, done


def test_a_service_that_is_down_is_tried_again(member):
    member.hub.down()
    done = member("--build_list")
    assert done.status == 4 and done.err.count("\n") == 1, done
    member.hub.up()
    assert member("--build_list").status == 0


MAINTENANCE = "<html><head><title>We are back soon</title></head></html>"
LISTS, READS, FETCHES, POOLS = "PROPFIND", "GET", "fetch", "pool"
FAULTS = {
    "the hub's proxy fails at a listing": (LISTS, {"what": 502}),
    "a listing is cut off": (LISTS, {"what": "truncate"}),
    "a listing makes no sense": (LISTS, {"what": "garbage"}),
    "a page stands in place of a listing": (LISTS, {"what": 200, "text": MAINTENANCE}),
    "the hub's proxy fails at a file": (READS, {"what": 503}),
    "a file is cut off": (READS, {"what": "truncate", "at": 300}),
    "other bytes come": (READS, {"what": "wrong_bytes"}),
    "another range comes": (READS, {"what": "other_range"}),
    "nothing comes": (READS, {"what": "stall_in_body", "at": 500}),
    "the service breaks off in a file that it fetches": (FETCHES, {"what": "reset_in_body", "at": 500}),
    "it ends a file too early": (FETCHES, {"what": 200, "text": "x" * 999}),
    "it makes a file of an error": (FETCHES, {"what": 200, "text": MAINTENANCE}),
    "it makes a file of an error that is longer": (FETCHES, {"what": 200, "text": MAINTENANCE * 50}),
    "it fails at a file": (FETCHES, {"what": 500}),
    "a pool fails": (POOLS, {"what": 500}),
    "a pool cuts off a file": (POOLS, {"what": "reset_in_body", "at": 300}),
}


@pytest.mark.parametrize("stays", [False, True], ids=["once", "always"])
@pytest.mark.parametrize("name", FAULTS)
def test_what_goes_wrong_passes_or_is_named_and_nothing_wrong_is_kept(member, name, stays):
    where, fault = FAULTS[name]
    fault = {**fault, "at": 0} if stays and "at" in fault else fault  # else a little more comes each time
    member.set("SILENCE", "3", "HUB")
    member.set("FIRST_BYTE", "10", "HUB")
    member.hub.switches.pools = "dead" if where == FETCHES else "right"
    member.hub.dcache.switches.redirect = "pool302" if where in (FETCHES, POOLS) else "proxy"
    method, pattern = (LISTS, f"*/{RUN}") if where == LISTS else ("GET", f"*{where * (where == FETCHES)}*/small")
    faults = member.hub.dcache.faults if where == POOLS or fault["what"] == "wrong_bytes" else member.hub.faults
    role = {"role": POOLS} if where == POOLS else {}
    planted = faults.add(pattern, method=method, count=None if stays else 1, **role, **fault)
    done = member("--build_list --start")
    assert planted.hits >= 1
    if not stays:
        assert done.status == 0 and member.here() == member.expected(), done
        return
    assert done.status == (4 if where == LISTS else 1) and done.err.count("gridsync.py: ") == 1, done
    assert f"{RUN}/small" not in member.files() and "Traceback" not in done.err
    assert where == LISTS or {**member.here()} == {k: v for k, v in member.expected().items() if "small" not in k}


# What ctadata gets wrong.


def test_a_page_that_comes_in_place_of_a_file_is_not_saved(member):
    """ctadata saves whatever /fetch sends: errors come as pages under 200."""
    member.hub.switches.pools = "dead"
    page = "<html><head><title>502 Bad Gateway</title></head><body>no</body></html>"
    member.hub.dcache.faults.add("*/small", 502, text=page, method="GET", role="pool")
    done = member("--build_list --start")
    assert done.status == 1 and re.search(last(copied=3, failed=1), done.out), done
    assert "the hub sends 71 bytes in place of 1000, and calls that a success: 502 Bad Gateway; try again" in done.err
    assert f"{RUN}/small" not in member.files() and len(member.files()) == 3
    member.hub.dcache.faults.clear()
    assert member("--start").status == 0 and member.here() == member.expected()


@pytest.mark.parametrize("size", [999, 1001])
def test_a_file_of_another_size_is_not_taken(member, size):
    """ctadata compares no sizes."""
    assert member("--build_list").status == 0
    member.hub.tree.add(f"{BASE}/{RUN}/small", size)
    for pools in ("right", "dead"):
        member.hub.switches.pools = pools
        done = member("--start")
        assert done.status == 1 and f"{RUN}/small" in done.err and f"{RUN}/small" not in member.files(), done


def test_a_file_whose_bytes_are_others_is_not_taken(member):
    """ctadata compares no checksums."""
    member.hub.switches.pools = "dead"
    assert member("--build_list").status == 0
    path = f"{BASE}/{RUN}/small"
    other = bytes(member.hub.tree.file(path).size)
    member.hub.dcache.uploads.put(path, other, mtime=member.hub.tree.file(path).mtime)
    done = member("--start")
    assert done.status == 1 and "but what arrived has" in done.err and f"{RUN}/small" not in member.files(), done


def test_what_is_not_there_is_a_failure_of_the_run(member):
    """ctadata's status is 0, whatever has failed."""
    done = member("--sync --input_dir cta/nothing")
    assert done.status == 2 and "there is no such file or folder" in done.err and not member.files()


def test_a_hub_that_nobody_vouches_for_is_refused(member):
    """ctadata's direct mode asks for no certificate (-k)."""
    (member.folder / "nobody").mkdir()
    member.set("CA_DIR", f"{member.folder}/nobody", "HUB")
    member.hub.log.clear()
    done = member(f"--ls_dir {RUN}")
    assert done.status == 4 and "is not signed by any CA in" in done.err and not [*member.hub.log]


def test_a_folder_is_never_saved_as_its_page(member):
    """ctadata's recursive get saves the index page of the folder for each file."""
    done = member("--sync")
    assert done.status == 0 and member.here() == member.expected()
    assert not [path for path, data in member.here().items() if b"<html" in data.lower()]
    assert not [record for record in member.hub.log.matching(method="GET") if record.path.endswith((RUN, "/sub", "/"))]


# Sending.


@pytest.fixture
def results(member: Member) -> Path:
    """A local folder with results."""
    folder = member.folder / "results"
    for name, size in (("a", 10), ("sub/b", 200_000), ("sub/deep/c", 3_000_000), ("empty", 0)):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(os.urandom(size))
    return folder


def noted(member: Member) -> dict[str, dict[str, str]]:
    with (member.folder / "grid_uploads.csv").open(newline="") as file:
        return {row["target"]: row for row in csv.DictReader(file)}


SHARED = "To share it, name {}; it can be read by all CTAO members and all users of the hub\n"


@pytest.mark.parametrize("makes_folders", [True, False])
def test_a_folder_goes_into_the_users_own_with_all_below_it_and_who_can_read_it_is_said(member, results, makes_folders):
    member.hub.switches.makes_folders = makes_folders
    done = member.put(results)
    assert done.status == 0 and "gridsync.py:" not in done.err, done  # a slow machine shows how far it is
    assert done.out.count(SHARED.format(f"{HOME}/results")) == 1 and "Sent: 4, skipped: 0, failed: 0;" in done.out
    assert member.there() == contents(results)
    assert {row["verified"] for row in noted(member).values()} == {"adler32"}
    assert not member.hub.in_queries
    again = member.put(results)
    assert again.status == 0 and "Sent: 0, skipped: 4, failed: 0;" in again.out and "To share" not in again.out


def test_a_file_alone_is_named_with_its_folder(member, results):
    done = member.put(results / "a", "--json")
    document = json.loads(done.out)
    assert done.status == 0 and document["shared"] == f"{HOME}/results/a" and document["put"]["sent"] == 1


@pytest.mark.long
def test_another_file_is_left_alone_unless_it_is_to_be_replaced(member, results):
    assert member.put(results).status == 0
    kept = member.there()
    (results / "a").write_bytes(b"other")
    done = member.put(results)
    assert done.status == 1 and f"{HOME}/results/a: another file has this name at the site; --overwrite" in done.err
    assert member.there() == kept
    done = member.put(results, "--overwrite")
    assert done.status == 0 and member.there() == contents(results) and "Sent: 1, skipped: 3" in done.out


def test_a_file_that_comes_between_two_attempts_is_not_written_over(member, results):
    theirs = f"{BASE}/{HOME}/results/a"

    def happens() -> None:
        member.hub.dcache.uploads.put(theirs, b"theirs, which is longer")

    member.hub.faults.add("*/results/a", "meanwhile", method="PUT", count=1, happens=happens)
    done = member.put(results / "a")
    assert done.status == 1 and f"{HOME}/results/a: another file, or some of this one, has its name" in done.err, done
    assert member.there() == {"a": b"theirs, which is longer"}
    member.hub.tree.remove(theirs)
    member.hub.faults.add("*/results/a", 502, method="PUT", count=1)
    member.hub.faults.add("*/results/a", "meanwhile", method="PUT", count=1, happens=happens)
    done = member.put(results / "a")
    assert done.status == 1 and member.there() == {"a": b"theirs, which is longer"}, done


@pytest.mark.parametrize("fault", ["lost", 502, "reset"])
def test_what_fails_once_is_sent_again_and_not_taken_for_anothers(member, results, fault):
    member.hub.faults.add("*/results/sub/b", fault, method="PUT", count=1)
    done = member.put(results)
    assert done.status == 0 and member.there() == contents(results), done
    assert "Sent: 4, skipped: 0, failed: 0;" in done.out


def test_what_arrives_as_something_else_is_sent_again_over_it(member, results):
    member.hub.faults.add("*/results/sub/b", "other_bytes", method="PUT", count=1)
    done = member.put(results)
    assert done.status == 0 and member.there() == contents(results), done


def test_some_of_a_file_that_stays_there_is_named(member, results):
    def half() -> None:
        """What some doors keep of an upload that was cut off."""
        member.hub.dcache.uploads.put(f"{BASE}/{HOME}/results/a", b"half")
        raise ConnectionAbortedError("cut off")

    member.hub.faults.add("*/results/a", "meanwhile", method="PUT", count=1, happens=half)
    done = member.put(results / "a")
    assert done.status == 1 and f"{HOME}/results/a: another file, or some of this one, has its name" in done.err, done
    assert member.there() == {"a": b"half"}
    done = member.put(results / "a", "--overwrite")
    assert done.status == 0 and member.there() == {"a": (results / "a").read_bytes()}


@pytest.mark.parametrize("folder", ["cta/DL1/mine", "lst/users/bob", HOME[:-1]])
def test_another_folder_than_ones_own_is_refused_with_its_name(member, results, folder):
    done = member.put(results, folder=folder)
    assert done.status == 4 and done.err.count("\n") == 1, done
    says = f"the hub takes your files below {HOME}/ or cta/users/alice/ alone; name a folder there with --input_dir\n"
    assert says in done.err
    assert not list(member.hub.tree.files(f"{BASE}/lst"))


def test_a_dry_run_says_what_would_go_and_sends_nothing(member, results):
    done = member.put(results, "--dry_run")
    assert done.status == 0 and "would send 4 files" in done.out and "To share" not in done.out
    assert member.there() == {} and not member.hub.log.count(method="PUT") and not member.hub.log.count(method="MKCOL")


def test_names_that_would_become_others_are_not_sent(member, results):
    for name in ("a#b", "a?b", "100%", "sub%20/x"):
        (results / name).parent.mkdir(exist_ok=True)
        (results / name).write_bytes(b"x")
    done = member.put(results, "--dry_run")
    assert done.status == 1 and "would send 4 files" in done.out and "refused names: 4" in done.out
    done = member.put(results)
    assert done.status == 1 and "Sent: 4, skipped: 0, failed: 4;" in done.out, done
    assert done.err.count("the hub makes another one of #, ? and %") == 4
    assert set(member.there()) == {"a", "sub/b", "sub/deep/c", "empty"}


def test_files_are_read_back_as_they_were_sent(member, results):
    assert member.put(results).status == 0
    done = member(f"--input_dir {HOME}/results --sync")
    assert done.status == 0 and member.here() == {
        f"{HOME}/results/{name}": data for name, data in contents(results).items()
    }
