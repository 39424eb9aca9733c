"""A stats file as numbers, figures and a page; in a browser the page is tried by tests/story/test_report_page.py."""

from __future__ import annotations

import errno
import html
import json
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from gridsync_parts.errors import DiskError, UsageError
from gridsync_parts.report import flows, make_page
from gridsync_parts.report.figures import rates as rate_figure
from gridsync_parts.report.figures import step_of
from gridsync_parts.report.gather import MOST_POINTS, MOST_SITES, Gathered, gather
from gridsync_parts.report.page import cards, plotly_script
from gridsync_parts.report.reasons import MOST, OTHER, Reasons, reason_of
from gridsync_parts.report.said import counted, rate_text, stamp, width_text
from gridsync_parts.report.telling import document, summary
from gridsync_parts.report.times import LADDER, MOST_BINS, TICK, Spans, Timeline, moment_of
from gridsync_parts.stats import Line, lines_of, moment_text, text_of

BEGIN = 1795730400.0  # 26 Nov 2026, 22:00:00 UTC
EVIL = "</script><script>alert(1)</script><img src=x onerror=alert(2)>\u2028\u202e\x1b[31m&lt;"


def line(key: str = "e680/run/a.dat", start: float = 0, seconds: float = 2.0, **more: Any) -> Line:
    """A line about a file of 1,000 bytes that has come."""
    times = {"start": moment_text(BEGIN + start), "end": moment_text(BEGIN + start + seconds), "duration_s": seconds}
    usual = {
        "site": "LYON", "direction": "get", "status": "ok", "bytes": 1000, "size": 1000, "attempts": 1, "error": "",
        "rate_Bps": 1000 / seconds if seconds else 0.0, "checksum": "", "verified": "adler32", "host": "here",
    }  # fmt: skip
    return Line(key=key, **{**usual, **times, **more})


def failed(key: str, error: str, **more: Any) -> Line:
    """A line about an attempt that has failed."""
    return line(key, **{"status": "failed", "error": error, "verified": "", "bytes": 100, **more})


def gathered(*lines: Line) -> Gathered:
    """What lines come to."""
    found = Gathered()
    found.take(lines)
    found.settle()
    return found


@pytest.fixture
def stats(tmp_path: Path) -> Path:
    """A stats file with a little of everything."""
    path = tmp_path / "s.jsonl"
    lines = [failed("b", "b: the door says 503"), line("a"), line("b", 1), line("c", status="skipped", bytes=0)]
    path.write_text(text_of([*lines, failed("d", "d: no such file")], as_csv=False))
    return path


def test_a_file_counts_once_by_all_of_its_lines():
    found = gathered(
        failed("a", "broken"), line("a"), line("b"), failed("b", "broken"), line("c", status="skipped"),
        line("a", site="CNAF"), line("a", direction="put"),
    )  # fmt: skip
    sums = found.all()
    assert (sums.ok, sums.skipped, sums.missing, sums.attempts, sums.by_checksum) == (3, 1, 1, 2, 4)


def test_later_runs_that_find_all_here_change_no_number_but_the_lines():
    first = [failed("c", "broken"), *(line(key) for key in "abc"), line("d", verified="size", status="skipped")]
    ways = {"a": "adler32", "b": "", "c": "size", "d": ""}
    later = [line(key, 60, status="skipped", bytes=0, verified=how) for key, how in ways.items()]
    once, often = gathered(*first), gathered(*first, *later, *later)
    sums = often.all()
    assert (sums.ok, sums.skipped, sums.missing, sums.by_checksum, sums.by_size) == (3, 1, 0, 3, 1)
    assert (sums.bytes, sum(often.sizes.by_size.values())) == (once.all().bytes, 3)
    away = gathered(*first, failed("a", "gone"), *later).all()
    assert (away.ok, away.missing) == (3, 0)
    assert gathered(line("a"), line("a", verified="size")).all().by_checksum == 0  # which came anew


@pytest.mark.slow
def test_an_attempt_that_was_interrupted_is_no_failure(stats: Path):
    lines = [failed("a", "interrupted"), failed("b", "interrupted"), line("b"), failed("run/c", "run/c: broken")]
    found = gathered(*lines)
    sums = found.all()
    assert (sums.ok, sums.missing, sums.attempts, sums.interrupted) == (1, 2, 1, 2)
    assert [(one.text, one.attempts, one.files) for one in found.failures()] == [("broken", 1, 1)]
    assert sum(found.when.timeline.failed.values()) == 1
    page = page_of(stats, *lines)
    assert "1 attempt failed, 2 interrupted" in page and "2 attempts more ended by Ctrl-C" in page
    only = page_of(stats, *lines[:2])
    assert "0 attempts failed, 2 interrupted" in only and "Failures by reason" not in only


def test_each_site_and_direction_has_its_own_sums():
    found = gathered(line("a"), line("a", site="CNAF"), line("b", direction="put", bytes=500), failed("c", "broken"))
    assert {name: (sums.ok, sums.missing, sums.bytes) for name, sums in found.sites.items()} == {
        ("LYON", "get"): (1, 1, 1100), ("CNAF", "get"): (1, 0, 1000), ("LYON", "put"): (1, 0, 500),
    }  # fmt: skip
    many = gathered(*(line(site=f"S{n}") for n in range(100)))
    assert len(many.sites) == MOST_SITES and many.all().ok == 100


def test_the_rate_is_that_of_the_time_in_which_something_moved():
    # Two files side by side for ten seconds, and one an hour later.
    sums = gathered(line("a", 0, 10.0), line("b", 0, 10.0), line("c", 3600, 10.0)).all()
    assert sums.spans.seconds() == pytest.approx(20, abs=0.3) and sums.rate(30.0) == pytest.approx(150, abs=3)


@pytest.mark.parametrize(("count", "every", "takes"), [(1, 1, 0.01), (34, 0.3, 0.0026), (50, 3, 0.05), (9, 0, 2.0)])
def test_the_rate_is_never_above_the_highest_bar(count: int, every: float, takes: float):
    found = gathered(*(line(f"f{n}", 0.03 + n * every, takes) for n in range(count)))
    timeline = found.when.timeline
    speeds = [rate for _, rate, _ in timeline.bins()]
    sums = found.all()
    assert 0 < sums.rate(timeline.width()) <= max(speeds) * 1.000001
    # All of it is one run: its time is from the first start to the last end.
    (span,) = sums.spans.spans
    assert span[1] - span[0] == pytest.approx((count - 1) * every + takes, abs=0.002)
    assert f"at most {rate_text(max(speeds))} over {width_text(timeline.width())}" in {card[2] for card in cards(found)}


def test_a_line_whose_time_makes_no_sense_is_not_in_the_rate():
    found = gathered(line("a", 0, 10.0), line("b", bytes=10**9)._replace(start=""))
    assert found.all().bytes == 10**9 + 1000 and found.all().rate(1.0) == pytest.approx(100)


def test_spans_join_in_any_order_and_stay_few(monkeypatch: pytest.MonkeyPatch):
    spans = Spans()
    spans.gap = 0.0
    for start, end in [(10, 11), (0, 1), (5, 6), (0.5, 5.5), (20, 30), (21, 22), (9, 40)]:
        spans.add(start, end)
    assert spans.spans == [(0, 6), (9, 40)]
    monkeypatch.setattr("gridsync_parts.report.times.MOST_SPANS", 100)
    for start in range(100, 10_000, 2):
        spans.add(start, start + 1)
    assert len(spans.spans) <= 101


@pytest.mark.parametrize(("count", "step"), [(1, 0.0), (50, 0.3), (5000, 7.0), (5000, 3600.0), (500, -86400.0)])
def test_bins_get_longer_and_no_byte_is_lost(count: int, step: float):
    timeline = Timeline()
    for n in range(count):
        timeline.add(BEGIN + n * step, BEGIN + n * step + 40, 1000)
        timeline.fail(BEGIN + n * step)
    bins = timeline.bins()
    assert len(bins) <= MOST_BINS and sum(n for _, _, n in bins) == count
    assert sum(rate * timeline.width() for _, rate, _ in bins) == pytest.approx(1000 * count)


@pytest.mark.parametrize(
    "text", ["", "2026", "yesterday", "1970-01-01T00:00:00.000Z", "2026-11-26T22:00:00.abcZ", "9" * 30]
)
def test_a_time_that_makes_no_sense_is_none(text: str):
    assert moment_of(text) == 0
    found = gathered(line(start=0)._replace(start=text))
    assert found.when.senseless == 1 and found.all().ok == 1 and not found.when.timeline.bytes


def test_a_clock_that_was_set_makes_no_negative_time():
    found = gathered(line("a", 100, -50.0)._replace(duration_s=0.0), line("b", 0, 0.0))
    assert found.when.backwards == 1 and found.all().spans.seconds(0.1) == pytest.approx(0.2)
    assert sum(found.when.timeline.bytes.values()) == 2000


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        ("e680/run/a.dat: the door says 503 Service Unavailable", "the door says 503 Service Unavailable"),
        ("e680/run/a.dat: checksum adler32:0a1b2c3d, not adler32:11111111", "checksum adler32:…, not adler32:…"),
        ("waited 30 s for 1,234.5 bytes", "waited N s for N bytes"),
        ("https://door.in2p3.fr:2880/agata/e680 answers nothing", "answers nothing"),
        ("no answer of ccdavegee.in2p3.fr:2880", "no answer of …"),
        ("no answer of [2001:db8::1]:2880, 10.0.0.7", "no answer of …, …"),
        ("/data/e680/a.dat cannot be written: No space left on device", "cannot be written: No space left on device"),
        ("door.fr:2880/agata/e680/run/a.dat: there is no such file", "there is no such file"),
        ("https://door.fr/x y/z: the door answers 400 (HTTP 400 : Bad)", "the door answers 400 (HTTP 400 : Bad)"),
        ("door.fr: no CA; see CA_DIR in Grid.conf", "no CA; see CA_DIR in Grid.conf"),
        ("e680/run/a.dat: 12 of 1000 bytes arrived", "N of N bytes arrived"),
        ("TLSv1.2 and md5 stay", "TLSv1.2 and md5 stay"),
        ("", "no reason given"),
    ],
)  # fmt: skip
def test_a_reason_is_a_sentence_without_names_and_numbers(error: str, reason: str):
    assert reason_of(error, "e680/run/a.dat") == reason


def test_reasons_are_counted_and_stay_few():
    reasons = Reasons()
    for n in range(3):
        reasons.add(f"a{n}/b/c{n}: the door is closed", f"a{n}/b/c{n}")
    for n in range(2 * MOST):
        reasons.add(f"broken{n}in{n}", "f")
    found = reasons.found({0: 2})
    assert found[0].text == OTHER and len(found) == MOST + 1
    assert found[1]._replace(example="") == ("the door is closed", 3, 2, "")


@pytest.mark.slow
@pytest.mark.parametrize(("when", "text"), [(0.0, "00:00.0"), (59.96, "01:00.0"), (0.94, "00:00.9"), (3.26, "00:03.3")])
def test_a_moment_is_rounded_as_a_whole(when: float, text: str):
    assert stamp(BEGIN + when) == f"2026-11-26 22:{text}"


def test_bins_are_told_in_round_numbers():
    texts = "0.1 s, 0.5 s, 1 s, 2 s, 10 s, 30 s, 1 min, 2 min, 10 min, 30 min, 1 h, 2 h, 6 h, 12 h, 1 day, 7 days"
    assert ", ".join(width_text(ticks * TICK) for ticks in LADDER) == f"{texts}, 28 days, 336 days"
    assert not any(after % before for before, after in zip(LADDER, LADDER[1:]))


@pytest.mark.parametrize(
    ("most", "steps", "step"), [(1, 5, 1), (5, 5, 1), (6, 5, 2), (1023, 5, 500), (7, 2, 5), (99_671, 5, 20_000)]
)
def test_axes_have_round_steps(most: float, steps: int, step: int):
    assert step_of(most, steps) == step


def test_the_slowest_come_first():
    found = gathered(*(line(f"f{n}", seconds=float(n % 50)) for n in range(200)))
    assert [file.seconds for file in found.slowest()] == [49.0] * 4 + [48.0] * 4 + [47.0] * 4
    assert found.slowest()[0].key == "f49"


@pytest.mark.slow
def test_a_file_that_was_gone_on_with_is_told_with_what_was_moved(stats: Path):
    page = page_of(stats, line(bytes=512 << 10, size=900 << 10, seconds=2.0, rate_Bps=262144.0))
    row = re.search(r"The longest comes first.*?</tbody>", page.replace(plotly_script(), ""), re.DOTALL)[0]
    assert "512.0 kB" in row and "256.0 kB/s" in row and "the rest of 900.0 kB was here" in row
    assert "512.0 kB   256.0 kB/s  e680" in "\n".join(summary(gather(lines_of(str(stats))), "s.jsonl", "p.html"))


@pytest.mark.slow
def test_a_moment_is_in_one_piece_and_units_are_said(stats: Path):
    page = page_of(stats, line())
    assert '<span class="moment">2026-11-26 22:00:00</span> to <span class="moment">2026-11-26 22:00:02</span>' in page
    assert "1 kB is 1024 bytes" in page


def test_one_bar_is_no_block():
    found = gathered(line(start=0.02, seconds=0.05)).when.timeline
    figure = rate_figure(found)
    low, high = (moment_of(end.replace(" ", "T") + "Z") for end in figure["layout"]["xaxis"]["range"])
    assert len(found.bins()) == 1 and high - low == pytest.approx(24 * found.width())


@pytest.mark.slow
def test_many_files_are_shown_as_squares_and_a_few_as_points():
    few, many = (gathered(*(line(f"f{n}") for n in range(count))).sizes for count in (MOST_POINTS, MOST_POINTS + 1))
    assert few.has_points() and not many.has_points() and sum(many.cells.values()) == many.timed


@pytest.mark.long
@pytest.mark.slow
def test_the_memory_of_many_lines_is_small():
    import tracemalloc

    tracemalloc.start()
    try:
        found = Gathered()
        found.take(failed(f"run/{n:09}/" + "x" * 200, f"run/{n:09}: broken {n}", start=n) for n in range(20_000))
        assert tracemalloc.get_traced_memory()[0] / 20_000 < 250  # bytes a file, whose name has 213
    finally:
        tracemalloc.stop()


def record(folder: Path, recid: str, **metadata: Any) -> None:
    """A record as --start leaves it."""
    (folder / recid).mkdir()
    (folder / recid / "record.json").write_text(json.dumps({"id": recid, "metadata": {"recid": recid, **metadata}}))


def test_the_flow_of_records_says_what_they_are(tmp_path: Path):
    spread = {"formats": ["aod"], "number_events": 500, "number_files": 3, "size": 5 << 30}
    kind = {"type": {"primary": "Dataset", "secondary": ["Collision"]}, "categories": {"primary": "Higgs Physics"}}
    more = {"collision_information": {"energy": "7TeV"}, "distribution": spread}
    record(tmp_path, "cms-1", date_created=["2011"], **kind, **more)
    record(tmp_path, "cms-2")
    odd = {"formats": [[]], "number_events": "many", "size": -1, "number_files": True}
    record(tmp_path, "cms-3", date_created=7, type=[], categories="x", collision_information=None, distribution=odd)
    (tmp_path / "4").mkdir()
    (tmp_path / "4/record.json").write_text("{" * 100_000)
    found = flows.flow_of(str(tmp_path), ["cms-1", "cms-2", "cms-3", "4", "5", "..", ""])
    assert found.records == 3
    words = ["2011", "Higgs Physics", "Collision", "7TeV", "aod", "below 1,000", "2 to 10", "1 to 10 GB"]
    assert found.tiers == [[(word, 1), ("not said", 2)] for word in words]
    assert found.links[:2] == [(0, 0, 0, 1), (0, 1, 1, 2)]


def test_nodes_stand_in_the_order_of_what_they_mean(tmp_path: Path):
    energies = ["13TeV", "7TeV", "91GeV", "0.9TeV"]
    for n, (energy, events) in enumerate(zip(energies, (5e8, 10, 5e6, 2e4))):
        more = {"collision_information": {"energy": energy}, "distribution": {"number_events": int(events)}}
        record(tmp_path, str(n), **more)
    tiers = flows.flow_of(str(tmp_path), map(str, range(4))).tiers
    assert [word for word, _ in tiers[3]] == ["91GeV", "0.9TeV", "7TeV", "13TeV"]
    assert [word for word, _ in tiers[5]] == ["below 1,000", "up to 100,000", "up to 10M", "above 100M"]


def test_rare_nodes_are_one(tmp_path: Path):
    for n in range(30):
        record(tmp_path, str(n), date_created=[str(1990 + n)])
    tier = flows.flow_of(str(tmp_path), map(str, range(30))).tiers[0]
    assert tier[-1] == ("others", 30 - flows.MOST_NODES) and len(tier) == flows.MOST_NODES + 1


def plotted(value: Any) -> Iterator[Any]:
    """Every value in what plotly is given."""
    children = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    yield value
    for child in children:
        yield from plotted(child)


def page_of(stats: Path, *lines: Line, half: str = "") -> str:
    """The page of some lines."""
    stats.write_text(text_of(lines, as_csv=False) + half)
    make_page(str(stats), str(stats.parent / "p.html"), str(stats.parent))
    return (stats.parent / "p.html").read_text(encoding="utf-8")


@pytest.mark.slow
def test_a_page_has_all_in_it_and_asks_for_nothing(stats: Path):
    make_page(str(stats), str(stats.with_name("p.html")), str(stats.parent))
    page = stats.with_name("p.html").read_text(encoding="utf-8")
    assert re.findall(r"<h([1-6])", page.replace(plotly_script(), "")) == ["1", *"222222"]
    assert plotly_script() in page and page.count("<script") == page.count("</script>") == 3
    rest = page.replace(plotly_script(), "")
    assert not re.findall(r"""(?:src|href)=(?!"#)|url\(|@import|https?:""", rest)
    assert "default-src 'none'" in rest and "503" in rest and "no such file" in rest


@pytest.mark.slow
def test_names_and_errors_are_text_and_no_more(stats: Path):
    evil = [failed(EVIL, EVIL, site=EVIL), line(EVIL, site=EVIL, direction=EVIL), line("x\udc80\ud800", seconds=9.0)]
    (stats.parent / "x").mkdir()
    record(stats.parent, "5500", date_created=["2011"], type={"primary": EVIL}, categories={"primary": EVIL})
    page = page_of(stats, *evil, line("5500/a.root"))
    rest = page.replace(plotly_script(), "")
    assert rest.count("<script") == 3 and "<img" not in rest and "onerror=alert" in html.unescape(rest)
    assert not any(letter in rest for letter in "\u2028\u202e\x1b\udc80")
    assert "&lt;/script&gt;" in rest and "&amp;lt;" in rest and "\\u202e" in rest


@pytest.mark.slow
def test_plotly_takes_each_figure(stats: Path):
    graph_objects = pytest.importorskip("plotly.graph_objects")
    record(stats.parent, "5500", date_created=["2011"])
    record(stats.parent, "5501", date_created=["2012"])
    many = [line(f"5501/{n}", n, 0.1 + n / 100, size=10 * n) for n in range(MOST_POINTS + 10)]
    for lines in ([line("5500/a"), line("5501/b", size=0), failed("c", "broken")], [line("5500/a"), *many]):
        page = page_of(stats, *lines)
        found = json.loads(re.search(r'id="figures">(.*?)</script>', page)[1])
        assert len(found) == 8
        for figure in found:
            colours = {value for value in plotted(figure) if isinstance(value, str) and value.startswith("var(")}
            assert all(re.fullmatch(r"var\(--\w+\)", colour) and f"{colour[4:-1]}:" in page for colour in colours)
            graph_objects.Figure(json.loads(re.sub(r"var\(--\w+\)", "#123456", json.dumps(figure))))  # else ValueError


@pytest.mark.first
@pytest.mark.slow
@pytest.mark.parametrize(
    "lines",
    [
        [], [line()], [failed("a", "broken")], [line(seconds=0.0)], [line(size=0, bytes=0)],
        [line("a", 0, 2.0), line("b", 0, 2.0)], [line(bytes=10**17, size=10**17, seconds=1e-9, rate_Bps=1e17)],
        [line("a", 0, -5.0)._replace(duration_s=0.0, rate_Bps=0.0)], [line(status="skipped", bytes=0)],
        [line("a", -86400 * 365 * 30), line("b")], [line("")], [line(duration_s=1e17)],
        [line(status="odd")],
    ],
)  # fmt: skip
def test_any_lines_make_a_page_and_a_summary(stats: Path, lines: list[Line]):
    page = page_of(stats, *lines)
    assert f"{counted(len(lines), 'line')} of s.jsonl" in page
    found = gather(lines_of(str(stats)))
    text = list(summary(found, "s.jsonl", "p.html"))
    assert len(text) <= 24 and all(len(one) <= 80 and one.isprintable() for one in text)
    json.dumps(document(found, "p.html"), allow_nan=False)


@pytest.mark.slow
def test_the_summary_fits_a_screen(stats: Path):
    lines = [failed(f"f{n}" + "é" * 300, "broken\n" + "x" * n, start=n) for n in range(99)]
    slow = [line("long/" * 50 + str(n), seconds=1e6) for n in range(30)]
    page = page_of(stats, *lines, *slow, half='{"key": "a", "si')
    found = gather(lines_of(str(stats)))
    text = list(summary(found, "s" * 200, "p.html"))
    assert len(text) <= 24 and all(len(one) <= 80 for one in text)
    assert "1 line(s) left out" in page and any("1 line(s) left out" in one for one in text)


@pytest.mark.slow
def test_an_earlier_page_is_replaced_and_nothing_else(stats: Path):
    page = stats.with_name("p.html")
    make_page(str(stats), str(page), "")
    first = page.read_bytes()
    make_page(str(stats), str(page), "")
    assert len(page.read_bytes()) == len(first)
    page.write_text("<html>my own</html>")
    with pytest.raises(UsageError, match="is no page of --report; name another file"):
        make_page(str(stats), str(page), "")
    assert page.read_text() == "<html>my own</html>"


def test_a_pipe_in_place_of_the_page_holds_nothing_up(stats: Path):
    os.mkfifo(stats.with_name("p.html"))
    with pytest.raises(UsageError, match="is no page of --report"):
        make_page(str(stats), str(stats.with_name("p.html")), "")


def test_a_page_that_can_not_be_made_is_refused(stats: Path):
    folder = stats.parent
    for page, sentence in [
        (folder, "is a folder; name a file in it"), (f"{folder}/", "is a folder"), (stats, "the stats file itself"),
        (folder / "none/p.html", "there is no folder .*none; make it"), ("", "is a folder"),
        (folder / "p.pdf", "ends neither in .html nor in .htm"), (folder / "p", "name it PAGE.html"),
    ]:  # fmt: skip
        with pytest.raises(UsageError, match=sentence):
            make_page(str(stats), str(page), "")
    with pytest.raises(UsageError, match="name it with --stats=FILE"):
        make_page("", str(folder / "p.html"), "")
    os.symlink(stats, folder / "link.html")
    with pytest.raises(UsageError, match="is the stats file itself"):
        make_page(str(stats), str(folder / "link.html"), "")
    with pytest.raises(DiskError):
        make_page(str(folder / "none.jsonl"), str(folder / "p.html"), "")
    assert sorted(os.listdir(folder)) == ["link.html", "s.jsonl"]


@pytest.mark.slow
def test_a_disk_that_is_full_leaves_the_earlier_page(stats: Path, monkeypatch: pytest.MonkeyPatch):
    make_page(str(stats), str(stats.with_name("p.html")), "")
    before = stats.with_name("p.html").read_bytes()

    def fail(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(DiskError, match="cannot be written: No space left on device"):
        make_page(str(stats), str(stats.with_name("p.html")), "")
    assert stats.with_name("p.html").read_bytes() == before and len(os.listdir(stats.parent)) == 2


def test_plotly_without_its_script_is_named(stats: Path, monkeypatch: pytest.MonkeyPatch):
    offline = pytest.importorskip("plotly.offline")

    def fail() -> str:
        raise FileNotFoundError("/usr/share/python3-plotly/plotly.js")

    monkeypatch.setattr(offline, "get_plotlyjs", fail)
    with pytest.raises(UsageError, match="plotly lacks its script; install it anew"):
        make_page(str(stats), str(stats.with_name("p.html")), "")
    monkeypatch.setattr(offline, "get_plotlyjs", lambda: "a = '</script>';\r\nb = '<!--'")
    assert plotly_script() == "a = '<\\/script>';\nb = '<\\!--'"


@pytest.mark.long
def test_plotly_that_is_missing_is_named(stats: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(__import__("sys").modules, "plotly.offline", None)
    with pytest.raises(UsageError, match="apt install python3-plotly"):
        make_page(str(stats), str(stats.with_name("p.html")), "")
    assert os.listdir(stats.parent) == ["s.jsonl"]
