"""What becomes of two records when the Open Data portal fails, or says of them what can't be right.

Each fault happens once to an unattended run, and for ever to one that is made step by step. Afterwards every file is
right under its name or absent with its reason, errors are sentences, the status is that of the table, and a run without
the fault completes.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from gridsync_parts.disk import MARK
from tests.grid import Grid
from tests.grid.faults import Fault
from tests.grid.portal import ODD, PAGE, WRONG, Portal
from tests.support import TOP
from tests.support.reader import Reader
from tests.support.user import Result

FILES = {
    "empty": b"", "small": b"small\n" * 999, "large": bytes(range(251)) * 20_000, "tape1": b"1" * 9999, "tape2": b"2",
}  # fmt: skip
COLD = ("tape1", "tape2")
INDEX = "CMS-1_file_index.json"
LIMIT = 120  # seconds of a command line; none takes nearly as long, unless it hangs
PATIENT = 3  # seconds that the user's Grid.conf lets the portal be silent;
LATE = 8  # so long is it
# What fails is tried again soon, a dead address is given up soon, and tape is waited for less patiently.
CHANGED = (
    "SHORTEST = 1 << 20; RATED = 1; CONNECT = 1; pool = Backoff(1, 60); call = Backoff(0.2, 1); "
    "LEAST = 0.2; AGAIN = 1; MOST = 2"
)
DAY = "file = Backoff(1, 2, 8); chore = Backoff(1, 2, 8); idle = 8; poll_most = 0.5"  # of eight seconds
RELIABILITY = TOP / "docs" / "reliability.md"
HTML = PAGE.format(title="CERN Open Data", text="Soon")


class Campaign:
    """A record of five files, two of them on demand, and another one that is well; somebody wants both."""

    def __init__(self, grid: Grid, folder: Path) -> None:
        (folder / "portal").mkdir(parents=True)
        self.portal = Portal(folder / "portal", grid.pki)
        self.portal.faults.places.update(elsewhere=self.portal.elsewhere, http=self.portal.plain)
        self.portal.switches.stage_seconds = 0.3
        self.portal.add("cms-1", FILES, on_demand=COLD, index={INDEX: ["large", "tape1"]}, aliases=["1"])
        self.portal.add("cms-2", {"well": b"well"})
        (folder / "home").mkdir()
        self.user = Reader(grid, folder / "home", self.portal)
        self.user.limit = LIMIT
        self.user.set("STREAMS", "3", "gridsync")
        for key in ("FIRST_BYTE", "SILENCE"):
            self.user.set(key, str(PATIENT), "OPEN")
        self.right = {f"cms-1/{name}": data for name, data in FILES.items()} | {"cms-2/well": b"well"}
        (self.user.folder / "wanted").write_text("cms-1\ncms-2\n")

    def run(self, line: str, changed: str = CHANGED) -> Result:
        return self.user(f"--files_from={self.user.folder}/wanted {line}", changed=changed)

    def step_by_step(self) -> Result:
        """The commands of the manual one after the other, the last one when no tape is turning any more."""
        first = self.run("--build_list --bring_online")
        ends = time.monotonic() + 2
        while time.monotonic() < ends and any(not one.completed for one in self.portal.transfers):
            self.portal._tick()
            time.sleep(0.02)
        last = self.run("--check_status --start")
        return Result(max(first.status, last.status), first.out + last.out, first.err + last.err)

    def mend(self) -> None:
        """Let nothing go wrong any more."""
        portal = self.portal
        portal.faults.clear()
        portal._server.start()
        portal.switches.completes, portal.switches.may_stage, portal.switches.bytes_at = "right", True, "here"
        portal.switches.stage_seconds = 0.3
        for record in portal.records.values():
            for held in record.held.values():
                held.odd.clear()
        portal.transfers.clear()

    def __enter__(self) -> Campaign:
        self.portal.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.portal.stop()


def ending(campaign: Campaign, result: Result) -> str:
    """How a run has ended: the status and, after 1, what is absent."""
    status, _, err = result
    user = campaign.user
    assert "Traceback" not in err and "a fault of gridsync" not in err, err
    assert status in (0, 1, 4), err
    catalog = user.catalog() if (user.folder / "grid_summary.csv").exists() else {}
    names = {*campaign.right, "cms-1/record.json", "cms-2/record.json"}
    assert {path.removesuffix(MARK) for path in user.files()} <= names, user.files()
    absent = []
    for path in sorted(names):
        row = catalog.get(path, {"size": "", "downloaded": "no", "verified": "", "error": "", "locality": "unknown"})
        if (user.data / path).exists():
            data = (user.data / path).read_bytes()
            assert data == campaign.right.get(path, data), path
            assert row["downloaded"] == "yes" and row["verified"] in ("adler32", "size") and not row["error"], row
            if path.endswith("record.json"):
                assert json.loads(data)["metadata"]["recid"] == path.split("/")[0]
        else:
            absent.append(path.split("/", 1)[1] if path.startswith("cms-1/") else path)
            assert (row["downloaded"], row["verified"]) == ("no", ""), row
            if status == 1:
                is_told = path in err or "cms-1: " in err or "/cms-1" in err
                assert row["locality"] == "NEARLINE" or is_told, (row, err)
    assert "gridsync.py: " in err if status > 1 else status or not absent, err
    assert campaign.portal.secrets_elsewhere() == []
    return " ".join([str(status), *absent]) if status == 1 else str(status)


def completes(campaign: Campaign) -> None:
    """A run without the fault brings what is missing, and leaves nothing behind."""
    is_other = any(held.odd for record in campaign.portal.records.values() for held in record.held.values())
    campaign.mend()
    result = campaign.run("--sync --overwrite" if is_other else "--sync")  # for its record.json is another one then
    assert result.status == 0, result.err
    assert ending(campaign, result) == "0"
    assert campaign.user.files() == sorted(campaign.user.catalog()), "part files, or rows of what is no file"
    assert not any(row["request"] for row in campaign.user.catalog().values())


# == The faults =========================================================================================

RECORD, EOS, LARGE = "/api/records/cms-1", "/eos/opendata/*", "/eos/opendata/*/large"
REQUESTS, STAGE = "/transfer_requests_content", "/record/cms-1/stage"
Plant = Callable[[Campaign, "int | None"], "Fault | None"]


class At(NamedTuple):
    """A fault of some requests."""

    path: str
    what: str | int
    options: dict[str, Any] = {}

    def __call__(self, campaign: Campaign, count: int | None) -> Fault:
        return campaign.portal.faults.add(self.path, self.what, count=count, **self.options)


def when(path: str, happens: Callable[[Portal], object]) -> Plant:
    """Something happens to the portal just before such a request is answered, once or each time."""
    return lambda campaign, count: At(path, "meanwhile", {"happens": lambda: happens(campaign.portal)})(campaign, count)


def so(happens: Callable[[Portal], object]) -> Plant:
    """The portal is so from the beginning."""

    def plant(campaign: Campaign, count: int | None) -> None:
        happens(campaign.portal)

    return plant


def turned(**switches: object) -> Plant:
    """Switches of the portal stand otherwise."""
    return so(lambda portal: [setattr(portal.switches, *switch) for switch in switches.items()])


def odd(name: str, what: str) -> Plant:
    """What the portal says of a file is odd."""
    return so(lambda portal: portal.odd("cms-1", name, what))


def said(document: Any) -> dict[str, Any]:
    return {"document": document}


def grow(portal: Portal) -> None:
    portal.alter("cms-1", "large", size=len(FILES["large"]) + 1000)


def misplace(portal: Portal, where: str) -> None:
    """The smallest file but one is said to be elsewhere in the folder of the record."""
    portal.alter("cms-1", "small", uri=f"root://eospublic.cern.ch//eos/opendata/cms/cms-1/{where}")


def remove(portal: Portal) -> None:
    portal.records.pop("cms-1", None)


def evict(portal: Portal) -> None:
    portal.evict("cms-1", ["tape1"])


class Row(NamedTuple):
    """A fault as a reader says it, how it is planted, and how runs end: with it once, and for ever; "" is not tried."""

    fault: str
    plant: Plant
    once: str
    ever: str
    is_quick: bool = False


ALL = "1 empty large record.json small tape1 tape2"
ON_TAPE = "1 tape1 tape2"
SMALL, BIG = "1 small", "1 large"
OTHER_RECORD = {"id": "cms-7", "created": "2026-06-01T10:00:00", "metadata": {"recid": "cms-7", "files": []}}
NO_RECORDS: list[Any] = [None, [], {}, {"metadata": None}, {"metadata": {"recid": ["cms-1"]}}]
NUMBER = {"metadata": {"recid": "cms-1", "_files": 7}}
ODD_REQUESTS = [{"status": 7}, None, "started"]
ODD_TIMES = {"created_at": 5, "completed_at": "soon", "file": ["a"], "num_failed_transfers": "many"}
# What can be read all the same: of a file without checksum the size is compared, and names are those of uris.
READABLE = ("no checksum", "md5", "name with dots", "name with a slash")
FAULTS = [
    # A record is asked for.
    Row("404 for a record", At(RECORD, 404), ALL, ALL),
    Row("403 for a record", At(RECORD, 403), ALL, ALL),
    Row("500 for a record", At(RECORD, 500), "0", ALL),
    Row("502 with a page", At(RECORD, 502, {"text": HTML}), "0", ALL),
    Row("429 with a pause", At(RECORD, 429, {"retry_after": 1}), "0", ""),
    Row("a page instead of a record", At(RECORD, 200, {"text": HTML}), "0", ALL, True),
    Row("JSON that is cut", At(RECORD, "truncate"), "0", ALL),
    Row("JSON without its end", At(RECORD, "garbage", {"text": '{"id": "cms-1", "metadata": {"files": [{'}), "0", ALL),
    Row("bytes that are no text", At(RECORD, "garbage", {"text": "\udcff\udcfe\x00"}), "0", ALL),
    Row("JSON that nests without end", At(RECORD, "garbage", {"text": "[" * 200_000}), "0", ALL),
    *[Row(f"`{json.dumps(it)}` as a record", At(RECORD, "other_json", said(it)), "0", ALL) for it in NO_RECORDS],
    Row("a record whose files are a number", At(RECORD, "other_json", said(NUMBER)), "0", ALL),
    Row("another record", At(RECORD, "other_json", said(OTHER_RECORD)), "0", ALL),
    Row("a record whose recid leads out", At(RECORD, "other_json", said({"metadata": {"recid": "../../x"}})), "0", ALL),
    Row("the line breaks", At(RECORD, "reset"), "0", ALL),
    Row("nothing comes", At(RECORD, "stall", {"seconds": LATE}), "0", ALL),
    Row("a record leads to itself", At(RECORD, "moved"), "0", ALL),
    Row("a record leads to another host", At(RECORD, "moved", {"to": "elsewhere"}), ALL, ALL),
    Row("a record leads to plain http", At(RECORD, "moved", {"to": "http"}), ALL, ALL),
    Row("connections are refused", so(lambda portal: portal._server.down()), "", "4"),
    Row("the portal is slow", turned(latency=0.3), "0", "0"),
    # What it says of a file.
    *[
        Row(f"{what}, of a file", odd("small", what), *["0" if what in READABLE else SMALL] * 2, what == "no uri")
        for what in ODD
    ],
    *[Row(f"{what}, of a file in an index", odd("large", what), BIG, "") for what in ("uri outside", "no size")],
    Row("two files at one place", so(lambda portal: misplace(portal, "large")), "1 large small", "1 large small"),
    Row("a file that is called record.json", so(lambda portal: misplace(portal, "record.json")), SMALL, SMALL),
    Row("a file whose name is a folder of another", so(lambda portal: misplace(portal, "large/small")), SMALL, SMALL),
    # Tape.
    Row("a portal that stages for nobody", turned(may_stage=False), ON_TAPE, ON_TAPE, True),
    Row("`completed`, and still on tape", turned(completes="cold"), ON_TAPE, ON_TAPE),
    Row("a stage that never ends", turned(stage_seconds=math.inf), ON_TAPE, ON_TAPE),
    *[Row(f"{code} when a record is to be staged", At(STAGE, code), ON_TAPE, ON_TAPE) for code in (400, 403, 404)],
    *[Row(f"{code} when a record is to be staged", At(STAGE, code), "0", ON_TAPE) for code in (500, 503)],
    Row("429 when a record is to be staged", At(STAGE, 429, {"retry_after": 1}), "0", ""),
    Row("a page when a record is to be staged", At(STAGE, 200, {"text": HTML}), "0", ON_TAPE),
    Row("the answer to a stage is lost", At(STAGE, "lost"), "0", "0"),
    Row("the line breaks at a stage", At(STAGE, "reset"), "0", ON_TAPE),
    Row("nothing comes at a stage", At(STAGE, "stall", {"seconds": LATE}), "0", ON_TAPE),
    *[Row(f"{code} for requests", At(REQUESTS, code), ON_TAPE, ON_TAPE) for code in (403, 404, 422)],
    Row("500 for requests", At(REQUESTS, 500), "0", ON_TAPE),
    Row("a page instead of requests", At(REQUESTS, 200, {"text": HTML}), "0", ON_TAPE),
    Row("null instead of requests", At(REQUESTS, "other_json"), "0", ON_TAPE),
    Row("requests are garbage", At(REQUESTS, "garbage"), "0", ON_TAPE),
    Row("odd requests", At(REQUESTS, "other_json", said({"details": ODD_REQUESTS})), "0", ON_TAPE),
    Row("odd times of requests", At(REQUESTS, "other_json", said({"details": [{"status": "completed", **ODD_TIMES}]})),
        "0", "0"),
    Row("a file goes back to tape before it is copied", when("/eos/opendata/*/tape1", evict), "0", "1 tape1"),
    Row("a record is removed when it is to be staged", when(STAGE, remove), ON_TAPE, ""),
    # Bytes.
    *[Row(f"{code} for a file", At(LARGE, code), "0", BIG) for code in (403, 404, 410, 416, 500, 503)],
    Row("404 with a page", At(LARGE, 404, {"text": HTML}), "0", BIG),
    Row("a page under 200", At(LARGE, 200, {"text": HTML}), "0", BIG, True),
    Row("ranges are refused", At(EOS, "refuse_range"), "0", "0"),
    Row("ranges are ignored", At(EOS, "ignore_range"), "0", "0"),
    Row("another range", At(LARGE, "other_range"), "0", BIG),
    Row("a file is cut", At(LARGE, "truncate"), "0", BIG),
    Row("the line breaks in a file", At(LARGE, "reset_in_body"), "0", BIG),
    Row("a file stops", At(LARGE, "stall_in_body", {"seconds": LATE}), "0", BIG),
    Row("wrong bytes", At(LARGE, "wrong_bytes"), "0", BIG),
    Row("bytes from another host", turned(bytes_at="elsewhere"), "0", "0"),
    Row("bytes from plain http", At(LARGE, "moved", {"to": "http", "code": 302}), "0", BIG),
    Row("bytes from nowhere", At(LARGE, "moved", {"to": "https://no.invalid", "code": 302}), "0", BIG),
    Row("bytes lead to themselves", At(LARGE, "moved", {"code": 302}), "0", BIG),
    Row("a file grows while it is copied", when(LARGE, grow), "0", "0"),
]


def how_it_ends(grid: Grid, folder: Path, is_once: bool, row: Row) -> str:
    """One campaign with a fault, from the list to the run that completes it."""
    with Campaign(grid, folder) as campaign:
        records = dict(campaign.portal.records)
        fault = row.plant(campaign, 1 if is_once else None)
        result = campaign.run("--sync", f"{CHANGED}; {DAY}") if is_once else campaign.step_by_step()
        found = ending(campaign, result)
        if found != "0" or not is_once:
            campaign.portal.records.update(records)
            completes(campaign)
        return found if fault is None or fault.hits else "-"


@pytest.mark.long
@pytest.mark.parametrize(
    "row", [pytest.param(row, marks=[] if row.is_quick else pytest.mark.long, id=row.fault) for row in FAULTS]
)
def test_what_becomes_of_two_records(grid, tmp_path, row):
    expected = {how: end for how, end in (("once", row.once), ("ever", row.ever)) if end}
    with ThreadPoolExecutor(2) as side_by_side:
        runs = {how: side_by_side.submit(how_it_ends, grid, tmp_path / how, how == "once", row) for how in expected}
    assert {how: run.result() for how, run in runs.items()} == expected


# == The page ===========================================================================================


def shown(end: str) -> str:
    """How a run ends, in a cell of the table."""
    status, _, absent = end.partition(" ")
    absent = {ALL[2:]: "the record", ON_TAPE[2:]: "all on tape"}.get(absent, absent.replace(" ", ", "))
    return status + (f" ({absent})" if absent else "")


def table() -> str:
    """FAULTS as a table: once, for ever."""
    lines = ["| fault at the portal | once / for ever |", "|---|---|"]
    lines += [f"| {row.fault} | {f'{shown(row.once)} / {shown(row.ever)}'.strip()} |" for row in FAULTS]
    return "\n".join(lines)


def page() -> str:
    """docs/reliability.md with the table as it should be."""
    before, _, rest = RELIABILITY.read_text(encoding="utf-8").partition("| fault at the portal |")
    return before + table() + rest.partition("\n\n")[1] + rest.partition("\n\n")[2]


def test_the_page_has_the_table_that_is_tested():
    assert RELIABILITY.read_text(encoding="utf-8") == page()


def test_all_that_went_wrong_in_production_is_tried():
    kinds = {row.plant.what for row in FAULTS if isinstance(row.plant, At)} | {"status"}
    assert {"status" if isinstance(wrong["what"], int) else wrong["what"] for wrong in WRONG.values()} <= kinds


if __name__ == "__main__":
    RELIABILITY.write_text(page(), encoding="utf-8")
