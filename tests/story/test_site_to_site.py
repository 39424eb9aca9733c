"""--to: files from site to site, door to door or through this machine; nothing of them is kept here."""

from __future__ import annotations

import json
import re

import pytest

from tests.support.ships import SIZES, Real, last_line

LONG = [pytest.param(pair, marks=pytest.mark.long) for pair in ("through here", "xrootd")]
PAIRS = pytest.mark.parametrize("ship", ["doors", *LONG], indirect=True)


def test_a_folder_is_there_verified_and_a_further_run_copies_nothing(ship):
    conf = (ship.folder / "Grid.conf").read_text()
    listed = ship.ship("--build_list")
    assert (listed.status, listed.err) == (0, ""), listed
    done = ship.ship("--start")
    assert (done.status, done.err) == (0, ""), done
    assert re.search(last_line(copied=len(SIZES)), done.out), done
    assert f"to copy the {len(SIZES)} requested files from {ship.source} to {ship.target}" in done.out
    assert ship.there() == ship.sent() and len(ship.there()) == len(SIZES)
    assert (ship.folder / "Grid.conf").read_text() == conf
    assert not ship.data.exists()
    for name, row in ship.rows().items():
        assert (row["downloaded"], row["error"]) == ("yes", ""), (name, row)
        assert row["verified"] == "adler32"
    for name, row in ship.noted().items():
        assert (row["site"], row["target"]) == (ship.target, f"{ship.top}/{name}")
        assert row["path"].startswith("https://") and row["path"].endswith(f"/{ship.top}/{name}")
        assert (row["verified"], row["temp"], row["error"], row["job"]) == ("adler32", "", "", "")
    again = ship.ship("--start")
    assert again.status == 0 and re.search(last_line(skipped=len(SIZES)), again.out), again
    assert ship.there() == ship.sent()


def test_sync_lists_and_copies_what_is_new(ship):
    done = ship.ship("--sync")
    assert (done.status, done.err) == (0, ""), done
    assert ship.there() == ship.sent()
    ship.add("sub/new", b"new" if isinstance(ship, Real) else 3)
    again = ship.ship("--sync")
    assert again.status == 0 and re.search(last_line(copied=1, skipped=len(SIZES)), again.out), again
    assert ship.there() == ship.sent()


def test_what_is_there_is_compared_and_not_copied_again(ship):
    for name, data in ship.sent().items():
        ship.put_there(name, data)
    done = ship.list_and_start()
    assert done.status == 0 and re.search(last_line(skipped=len(SIZES)), done.out), done
    assert ship.there() == ship.sent()
    assert {row["downloaded"] for row in ship.rows().values()} == {"yes"}


@PAIRS
def test_another_file_there_is_left_alone_unless_it_is_to_be_replaced(ship):
    other = {"small": b"another one", "sub/mid": bytes(SIZES["sub/mid"])}
    for name, data in other.items():
        ship.put_there(name, data)
    done = ship.list_and_start()
    assert done.status == 1 and re.search(last_line(copied=2, failed=2), done.out), done
    for name in other:
        says = f"{ship.top}/{name}: another file has this name at the site; --overwrite replaces it\n"
        assert says in done.err, done
        assert ship.there()[name] == other[name] and ship.rows()[name]["downloaded"] == "no"
    done = ship.ship("--start", "--overwrite")
    assert done.status == 0, done
    assert ship.there() == ship.sent()


@PAIRS
def test_a_file_that_is_gone_there_is_copied_again(ship):
    assert ship.list_and_start().status == 0
    before = ship.there()
    if isinstance(ship, Real):
        (ship.place(ship.pair[1]) / "small").unlink()
    else:
        ship.grid.tree.remove(f"{ship.mirror}/{ship.top}/small")
    again = ship.ship("--start")
    assert again.status == 0 and re.search(last_line(copied=1, skipped=len(SIZES) - 1), again.out), again
    assert ship.there() == before


def test_rows_for_this_machine_are_apart(simulated):
    assert simulated.list_and_start().status == 0
    assert simulated("--build_list --start").status == 0
    assert len(simulated.files()) == len(SIZES)
    assert simulated.ship("--start").status == 0


@PAIRS
def test_a_dry_run_says_what_would_be_copied_and_changes_nothing(ship):
    ship.put_there("small", b"another one")
    assert ship.ship("--build_list").status == 0
    before, there = (ship.folder / "grid_summary.csv").read_bytes(), ship.there()
    for action in ("--start", "--sync"):
        done = ship.ship(action, "--dry_run")
        assert done.status == 0, done
        assert re.search(r"\(DRY RUN\) would copy 3 files, .*, and make \d folder\(s\)\n", done.out), done
        assert "another file has the name: 1" in done.out
        assert ship.there() == there and not (ship.folder / "grid_uploads.csv").exists()
        assert (ship.folder / "grid_summary.csv").read_bytes() == before


@PAIRS
def test_json_says_the_same(ship):
    done = ship.ship("--sync", "--json")
    said = json.loads(done.out)
    assert done.status == 0 and said["copy"]["copied"] == len(SIZES), done
