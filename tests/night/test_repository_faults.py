"""What becomes of two records that are made when a repository fails.

Each fault of FAULTS happens once to a `--put --publish` of two folders, and for ever to another. Afterwards whatever
is published is whole, no folder has a second draft, what is not published is named with its reason, the status is that
of the table, and a run without the fault publishes both. docs/reliability.md has the same table.
"""

from __future__ import annotations

import json
import math
import os
import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple, Optional

import pytest

from tests.grid import Grid
from tests.grid.faults import Fault
from tests.grid.repository import PAGE, WRONG, Record, Repository
from tests.support import TOP
from tests.support.user import Result, User

SIZES = {"empty": 0, "small": 20_000, "sub/medium": 60_000, "large": 350_000}  # the last one is sent in four parts
METADATA = {
    "creators": [{"person_or_org": {"type": "organizational", "name": "DELPHI"}}],
    "publication_date": "2026",
    "resource_type": {"id": "dataset"},
}
NAMES = ("one", "two")
NONE = "1 or 4 one two"
LIMIT = 150  # seconds of a command line; none takes nearly as long, unless it hangs
PATIENT = 3  # seconds that the user's Grid.conf lets the repository be silent;
LATE = 8  # so long is it
# What fails is tried again soon, files are sent in parts earlier, and what is stuck is given up earlier.
CHANGED = (
    "CONNECT = 1; PAUSE = 1; WHOLE = PART = 100_000; MEBIBYTE = 1; STUCK = 4; UNSUMMED = 2; REST = 1; "
    "pool = Backoff(1, 60); call = Backoff(0.2, 1)"
)
RELIABILITY = TOP / "docs" / "reliability.md"
HEAD = "| fault at a repository | once / for ever |"
HTML = PAGE.format(head="", title="Maintenance", text="Soon")


class Campaign:
    """Two folders that are to become records of a repository of their own."""

    def __init__(self, grid: Grid, folder: Path) -> None:
        self.repository = Repository(grid.pki)
        self.repository.faults.places.update(elsewhere=self.repository.storage)
        (folder / "home").mkdir(parents=True)
        self.user = User(grid, folder / "home")
        self.user.limit = LIMIT
        self.user.env["NRP_TOKEN"] = self.repository.token
        keys = {
            "SERVER": self.repository.server, "ENGINE": "invenio", "TOKEN": "env:NRP_TOKEN",
            "CA_DIR": grid.env["X509_CERT_DIR"], "FIRST_BYTE": str(PATIENT), "SILENCE": str(PATIENT),
        }  # fmt: skip
        for key, value in keys.items():
            self.user.set(key, value, "NRP")
        self.folder = folder / "deposits"
        self.told = ""  # by all runs
        for name in NAMES:
            for path, size in SIZES.items() if name == "one" else [("well", 1000)]:
                file = self.folder / name / path
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_bytes(os.urandom(size))
            body = json.dumps({"metadata": {**METADATA, "title": f"Record {name}"}})
            (self.folder / name / "record.json").write_text(body)

    def run(self) -> Result:
        result = self.user(f"--put={self.folder} --from=NRP --publish", changed=CHANGED)
        self.told += result.out + result.err
        return result

    def local(self, name: str) -> dict[str, bytes]:
        top = self.folder / name
        return {str(path.relative_to(top)): path.read_bytes() for path in top.rglob("*") if path.is_file()}

    def is_right(self, record: Record) -> bool:
        """Is a record what one of the folders is?"""
        name = record.title.rpartition(" ")[2]
        files = {key: held.data for key, held in record.files.items()}
        return files == self.local(name) and all(held.status == "completed" for held in record.files.values())

    def mend(self) -> None:
        """Let nothing go wrong any more."""
        repository = self.repository
        for name, value in vars(type(repository.switches)()).items():
            setattr(repository.switches, name, value)
        repository.faults.clear()
        repository.down()
        repository.up()
        for record in repository.records.values():
            for held in record.files.values():
                held.polls = 0

    def __enter__(self) -> Campaign:
        self.repository.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.repository.stop()


def ending(campaign: Campaign, result: Result) -> str:
    """How a run has ended, as in the table: the status and, after 1, the folders that are no published record."""
    status, out, err = result
    assert "Traceback" not in err and "a fault of gridsync" not in err, err
    assert status in (0, 1, 3, 4), out + err
    published = campaign.repository.published
    assert all(campaign.is_right(record) for record in published), "something is published that is not whole"
    assert len({record.title for record in published}) == len(published), "something is published twice"
    drafts = campaign.repository.drafts
    named = [draft for draft in drafts if {draft.id, draft.title} & set(re.findall(r"[\w-]+", campaign.told))]
    assert len(campaign.repository.records) <= len(NAMES) or named == drafts, campaign.told
    absent = [name for name in NAMES if f"Record {name}" not in [record.title for record in published]]
    assert all(name in err for name in absent if status == 1), (absent, err)
    assert "gridsync.py: " in err if status > 1 else bool(status) == bool(absent), (absent, out, err)
    assert campaign.repository.secrets_elsewhere() == []
    if status in (1, 4) and len(absent) == len(NAMES):
        return NONE  # 4 if both fail one after the other, and nothing goes well in between
    return " ".join([str(status), *absent]) if status == 1 else str(status)


def completes(campaign: Campaign) -> None:
    """A run without the fault publishes what is missing, and makes nothing twice."""
    campaign.mend()
    before = {record.id for record in campaign.repository.published}
    result = campaign.run()
    if "is gone: somebody else has deleted it" in result.err:  # said once, and the next run makes another one
        result = campaign.run()
    assert result.status == 0, result.out + result.err
    assert ending(campaign, result) == "0"
    assert before <= {record.id for record in campaign.repository.published}


# == The faults =========================================================================================

CREATE, DRAFT, INIT = "/api/particles", "*/draft", "*/draft/files"
SMALL, PART, COMMIT = "*/files/small/content", "*/files/large/content/2", "*/files/*/commit"
PUBLISH, SEARCH, INFO = "*/actions/publish", "/api/user/*", "/.well-known/*"
Plant = Callable[[Campaign, Optional[int]], Optional[Fault]]


class At(NamedTuple):
    """A fault of some requests."""

    method: str
    path: str
    what: str | int
    options: dict[str, Any] = {}

    def __call__(self, campaign: Campaign, count: int | None) -> Fault:
        faults = campaign.repository.faults
        return faults.add(self.path, self.what, method=self.method, count=count, **self.options)


class Turned(NamedTuple):
    """A switch of the repository that stands otherwise."""

    switch: str
    value: object
    once: object = None  # for a fault that happens once

    def __call__(self, campaign: Campaign, count: int | None) -> None:
        setattr(campaign.repository.switches, self.switch, self.once if count and self.once is not None else self.value)


def down(campaign: Campaign, count: int | None) -> None:
    """Nobody can reach the repository."""
    campaign.repository.down()


def tokenless(campaign: Campaign, count: int | None) -> None:
    """The token may read, and not write."""
    campaign.repository.tokens[campaign.repository.token] = campaign.repository.tokens[campaign.repository.reader]


def deleted_last(campaign: Campaign, count: int | None) -> None:
    """Somebody deletes the draft that is to be published first."""
    campaign.repository.faults.add("*/files/large/content/1", "stall", seconds=1, count=1)
    campaign.repository.switches.deletes_at = "publish"


def both_lost(campaign: Campaign, count: int | None) -> Fault:
    """The draft is there, but nobody can tell."""
    At("GET", SEARCH, 500)(campaign, count)
    return At("POST", CREATE, "lost")(campaign, count)


class Row(NamedTuple):
    """A fault as a reader says it, how it is planted, and how runs end: with it once, and for ever; "" is not tried."""

    fault: str
    plant: Plant
    once: str
    ever: str
    is_quick: bool = False


ONE = "1 one"
FAULTS = [
    # The repository as a whole.
    Row("connections are refused", down, "", NONE),
    Row("500 when it is asked what it is", At("GET", INFO, 500), "0", NONE),
    Row("a page when it is asked what it is", At("GET", INFO, 200, {"text": HTML}), NONE, NONE),
    Row("it is slow", Turned("latency", 0.2), "", "0"),
    Row("60 requests in 3 seconds, no more", lambda campaign, count: slow(campaign), "", "0"),
    # A draft is asked for.
    Row("500 for a draft", At("POST", CREATE, 500), "0", NONE),
    Row("429 for a draft", At("POST", CREATE, 429, {"retry_after": 1}), "0", ""),
    Row("429 for a draft, not until when", At("POST", CREATE, 429), "0", ""),
    Row("a page instead of a draft", At("POST", CREATE, 200, {"text": HTML}), "0", NONE, True),
    Row("the answer is lost: a draft", At("POST", CREATE, "lost"), "0", "0"),
    Row("the line breaks at a draft", At("POST", CREATE, "reset"), "0", NONE),
    Row("nothing comes at a draft", At("POST", CREATE, "stall", {"seconds": LATE}), "0", NONE),
    Row("the answer is lost: a draft, and searches fail", both_lost, "0", NONE),
    Row("drafts can't be searched", Turned("search", "missing"), "", "0"),
    # Its metadata.
    Row("500 for metadata", At("PUT", DRAFT, 500), "0", NONE),
    Row("the answer is lost: metadata", At("PUT", DRAFT, "lost"), "0", NONE),
    Row("metadata are refused", Turned("refuses", {"metadata.title": "Too plain."}), "", NONE, True),
    # Files are announced.
    Row("500 for an init", At("POST", INIT, 500), "0", NONE),
    Row("the answer is lost: an init", At("POST", INIT, "lost"), "0", "0"),
    Row("a page instead of an init", At("POST", INIT, 200, {"text": HTML}), "0", NONE),
    Row("parts are refused at the init", Turned("parts", "refused at init"), "", "0"),
    Row("parts are unknown", Turned("parts", "unknown"), "", "0"),
    Row("no room, told at the init", lambda campaign, count: full(campaign, "init"), "", ONE),
    # Bytes.
    *[Row(f"{code} for a file", At("PUT", SMALL, code), ONE, ONE) for code in (403, 404)],
    *[Row(f"{code} for a file", At("PUT", SMALL, code), "0", ONE) for code in (500, 503)],
    Row("a file leads to another host", At("PUT", SMALL, "moved", {"to": "elsewhere"}), ONE, ONE),
    Row("429 for a file", At("PUT", SMALL, 429, {"retry_after": 1}), "0", ""),
    Row("the line breaks in a file", At("PUT", SMALL, "cut"), "0", ONE),
    Row("the answer is lost: a file", At("PUT", SMALL, "lost"), "0", ONE),
    Row("wrong bytes arrive", At("PUT", SMALL, "other_bytes"), "0", ONE, True),
    Row("a page after a file", At("PUT", SMALL, 200, {"text": HTML}), "0", ONE),
    Row("parts are refused", Turned("parts", "refused"), "", "0"),
    Row("500 for a part", At("PUT", PART, 500), "0", ONE),
    Row("the line breaks in a part", At("PUT", PART, "cut"), "0", ONE),
    Row("the answer is lost: a part", At("PUT", PART, "lost"), "0", ONE),
    Row("wrong bytes arrive in a part", At("PUT", PART, "other_bytes"), "0", ONE),
    Row("no room, told when bytes come", lambda campaign, count: full(campaign, "content"), "", ONE),
    Row("a file is too large for it", Turned("max_size", 30_000), "", ONE),
    # Files are ended.
    Row("404 for a commit", At("POST", COMMIT, 404), "0", NONE),
    Row("500 for a commit", At("POST", COMMIT, 500), "0", NONE),
    Row("the answer is lost: a commit", At("POST", COMMIT, "lost"), "0", "0"),
    Row("a file is stuck", Turned("commit_polls", math.inf, 2), "0", NONE),
    Row("no checksum is told", Turned("checksum", None), "", "0"),
    Row("a checksum of parts is told", Turned("checksum", "multipart"), "", "0"),
    Row("somebody deletes the draft before bytes", Turned("deletes_at", "part"), ONE, ""),
    Row("somebody deletes the draft before it is published", deleted_last, "1 two", ""),
    # It is published.
    Row("500 when it is published", At("POST", PUBLISH, 500), "0", NONE),
    Row("the answer is lost: it is published", At("POST", PUBLISH, "lost"), "0", "0"),
    Row("a page when it is published", At("POST", PUBLISH, 200, {"text": HTML}), "0", NONE),
    # Who asks.
    Row("a token that may not write", tokenless, "", NONE, True),
]


def slow(campaign: Campaign) -> None:
    campaign.repository.switches.rate, campaign.repository.switches.window = 60, 3.0


def full(campaign: Campaign, when: str) -> None:
    """There is room for the second record alone."""
    campaign.repository.switches.quota, campaign.repository.switches.quota_at = 50_000, when


def how_it_ends(grid: Grid, folder: Path, is_once: bool, row: Row) -> str:
    """One campaign with a fault, and the run that completes it."""
    with Campaign(grid, folder) as campaign:
        token = campaign.repository.tokens.copy()
        fault = row.plant(campaign, 1 if is_once else None)
        found = ending(campaign, campaign.run())
        campaign.repository.tokens = token
        if found != "0":
            completes(campaign)
        return found if fault is None or fault.hits else "-"


@pytest.mark.parametrize(
    "row", [pytest.param(row, marks=[] if row.is_quick else pytest.mark.long, id=row.fault) for row in FAULTS]
)
def test_what_becomes_of_two_deposits(grid, tmp_path, row):
    expected = {how: end for how, end in (("once", row.once), ("ever", row.ever)) if end}
    with ThreadPoolExecutor(2) as side_by_side:
        runs = {how: side_by_side.submit(how_it_ends, grid, tmp_path / how, how == "once", row) for how in expected}
    assert {how: run.result() for how, run in runs.items()} == expected


# == The page ===========================================================================================


def shown(end: str) -> str:
    """How a run ends, in a cell of the table."""
    status, _, absent = end.partition(" one")
    return status + (f" (one{absent.replace(' ', ', ')})" if " one" in end else "")


def table() -> str:
    """FAULTS as a table: once, for ever."""
    lines = [HEAD, "|---|---|"]
    lines += [f"| {row.fault} | {f'{shown(row.once)} / {shown(row.ever)}'.strip()} |" for row in FAULTS]
    return "\n".join(lines)


def page() -> str:
    """docs/reliability.md with the table as it should be."""
    before, _, rest = RELIABILITY.read_text(encoding="utf-8").partition(HEAD)
    return before + table() + rest.partition("\n\n")[1] + rest.partition("\n\n")[2]


def test_the_page_has_the_table_that_is_tested():
    assert RELIABILITY.read_text(encoding="utf-8") == page()


def test_all_that_went_wrong_in_production_is_tried():
    kinds = {row.plant.what for row in FAULTS if isinstance(row.plant, At)} | {"status", "wrong_bytes"}
    assert {"status" if isinstance(wrong["what"], int) else wrong["what"] for wrong in WRONG.values()} <= kinds


if __name__ == "__main__":
    RELIABILITY.write_text(page(), encoding="utf-8")
