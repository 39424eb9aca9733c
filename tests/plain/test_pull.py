"""One file from a site in memory to another one, verified: through this machine, and by their doors."""

from __future__ import annotations

import threading
from typing import Any, Callable

import pytest

from gridsync_parts import pull
from gridsync_parts.disk import MARK
from gridsync_parts.doors import Crossing, Stored
from gridsync_parts.errors import (
    BadName,
    Changed,
    DoorError,
    Exists,
    FileError,
    Forbidden,
    Mismatch,
    NoCrossing,
    NotFound,
    OnTape,
    Unfinished,
    UsageError,
)
from gridsync_parts.pool import Stop
from gridsync_parts.pull import Carrier, Crosser, noted_of
from gridsync_parts.put import Put
from gridsync_parts.values import Locality, Row
from tests.support.crossings import MemoryPuller
from tests.support.memory import Memory, adler32, break_off

DATA, OTHER, LONGER = b"what is copied" * 1000, b"another file  " * 1000, b"another one, longer" * 1000
NAME, TEMP = "in/a", f"in/0a1b2c3d-7{MARK}"
LOST = FileError("the line broke", passing=True)
NEVER = NoCrossing("it copies nothing from or to others")
UNFINISHED = Unfinished("nothing moves; it may go on", passing=True)


class Pair:
    """Two sites, and what brings a file from one to the other, an attempt at a time."""

    def __init__(self, via_here: bool, trust: bool = False):
        self.source, self.target = Memory({NAME: DATA}), Memory()
        self.stop = Stop()
        others = {"A": self.source, "B": self.target}
        self.brings, self.fetches = MemoryPuller(self.source, others, "A"), MemoryPuller(self.target, others, "B")
        self.via_here = via_here
        source = self.source.place._replace(puller=self.brings)
        target = self.target.place._replace(puller=self.fetches)
        assert target.writer
        ends = source, target, target.writer, self.stop
        self.carrier = Carrier(*ends) if via_here else Crosser(*ends, trust, 1, ("A", "B"))
        self.seen: list[tuple[int, int]] = []

    def there(self) -> dict[str, bytes]:
        """What there is at the target."""
        return {path: file.data for path, file in self.target.files.items()}

    def asked(self, *verbs: str) -> str:
        """What the target was asked, a word a call."""
        return " ".join(asked[0] for asked in self.target.asked if asked[0] not in verbs)

    def send(self, is_there: bool = False, overwrite: bool = False, checksum: str | None = None) -> tuple[Row, str]:
        """One attempt."""
        row = self.source.row(NAME, checksum)
        job = Put(row, "", TEMP, TEMP in self.carrier.open, is_there, overwrite)
        return self.carrier.deliver(job, lambda here, came: self.seen.append((here, came)))

    def left(self, data: bytes, name: str = TEMP) -> None:
        """An earlier run has left something."""
        self.target.put(name, data)
        self.carrier.open.add(TEMP)


@pytest.fixture(params=[True, False], ids=["via_here", "direct"])
def pair(request: pytest.FixtureRequest) -> Pair:
    return Pair(request.param)


@pytest.fixture
def direct() -> Pair:
    return Pair(via_here=False)


@pytest.fixture
def through() -> Pair:
    return Pair(via_here=True)


@pytest.fixture(autouse=True)
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """No long looks."""
    monkeypatch.setattr(pull, "LOOK", 0.001)
    monkeypatch.setattr(pull, "STILL", 0.05)


# In one go.


def test_a_file_is_copied_under_another_name_verified_and_named(pair):
    row, done = pair.send()
    assert (done, row.verified, row.downloaded, row.checksum) == ("sent", "adler32", True, adler32(DATA))
    assert row[:3] == pair.source.row(NAME)[:3] and not row.computed and not row.error
    assert pair.there() == {NAME: DATA} and not pair.carrier.open
    assert pair.target.calls("rename") == [(TEMP, NAME, False)] and pair.target.calls("mkdir")
    assert pair.seen[-1] == (len(DATA), len(DATA)) and not pair.source.open and not pair.stop.bodies


def test_an_empty_file_is_copied(pair):
    pair.source.put(NAME, b"")
    pair.fetches.left = 0
    assert pair.send()[0].verified == "adler32" and pair.there() == {NAME: b""}


@pytest.mark.parametrize("overwrite", [False, True])
def test_what_is_there_and_the_same_is_skipped(pair, overwrite):
    pair.target.put(NAME, DATA)
    row, done = pair.send(is_there=True, overwrite=overwrite)
    assert (done, row.verified, row.downloaded) == ("skipped", "adler32", True)
    assert pair.asked() == "stored" and not pair.source.asked


def test_another_file_there_is_left_alone_or_replaced_in_one_step(pair):
    pair.target.put(NAME, OTHER)
    with pytest.raises(FileError, match="in/a: another file has this name at the site; --overwrite replaces it"):
        pair.send(is_there=True)
    assert pair.there() == {NAME: OTHER} and not pair.carrier.open
    assert pair.send(is_there=True, overwrite=True)[1] == "sent"
    assert pair.there() == {NAME: DATA}


def test_a_file_that_appears_before_the_last_step_is_compared(pair):
    pair.target.order("rename", TEMP, Exists("in/a: there is something"))
    pair.target.order("stored", TEMP, lambda stored: (pair.target.put(NAME, DATA), stored)[1])
    pair.target.sends_checksums = False  # so that it is asked
    assert pair.send()[1] == "skipped" and pair.there() == {NAME: DATA}


# Checksums.


def test_a_checksum_that_the_listing_lacks_is_asked_for(pair):
    pair.source.sends_checksums = False
    row, _ = pair.send(checksum="")
    assert (row.checksum, row.computed, row.verified) == (adler32(DATA), "", "adler32")
    assert pair.source.calls("checksum") == [(NAME,)]


def test_a_checksum_that_comes_along_is_taken(through):
    assert through.send(checksum="")[0].checksum == adler32(DATA) and not through.source.calls("checksum")


def test_what_is_made_on_the_way_is_noted_where_the_source_names_none(through):
    through.source.knows_checksums = False
    row, _ = through.send(checksum="")
    assert (row.checksum, row.computed, row.verified) == ("", adler32(DATA), "adler32")


def test_what_was_copied_before_is_not_read_again_where_no_site_names_a_checksum(through):
    through.source.knows_checksums = through.target.knows_checksums = through.target.sends_checksums = False
    row, _ = through.send(checksum="")
    assert (row.verified, row.computed) == ("size", adler32(DATA))
    through.source.asked.clear()
    job = Put(row, "", TEMP, is_there=True)
    new, done = through.carrier.deliver(job, lambda here, came: None)
    assert done == "skipped" and new == row and not through.source.calls("read")


def test_without_one_that_both_name_the_size_counts(direct):
    direct.source.knows_checksums = False
    row, _ = direct.send(checksum="")
    assert (row.checksum, row.computed, row.verified) == ("", "", "size")
    direct.target.files.clear()
    assert direct.send(checksum="md5:00")[0].verified == "size"


def test_a_kind_that_the_target_alone_names_is_made_on_the_way(through):
    import hashlib

    md5 = f"md5:{hashlib.md5(DATA).hexdigest()}"
    for _ in range(2):
        through.target.files.clear()
        through.target.sends_checksums = False
        through.target.order("stored", TEMP, lambda stored: stored._replace(checksum=md5))
        row, _ = through.send()
        assert (row.checksum, row.verified) == (adler32(DATA), "md5")
    assert len(through.source.calls("read")) == 3  # the second time it is known beforehand


@pytest.mark.parametrize("told", [Stored(-1, adler32(OTHER)), Stored(len(DATA) - 1), Stored(5, adler32(DATA[:5]))])
def test_what_is_not_what_the_source_has_gets_no_name(pair, told):
    pair.target.sends_checksums = False
    pair.target.order("stored", TEMP, lambda _stored: told)
    with pytest.raises(Mismatch) as caught:
        pair.send()
    assert caught.value.passing and NAME not in pair.there() and TEMP in pair.carrier.open
    assert pair.carrier.clear(TEMP, caught.value) == "" and pair.there() == {}
    assert not pair.carrier.open - ({TEMP} if pair.via_here else set())


def test_a_source_that_has_changed_is_named(pair):
    row = pair.source.row(NAME)
    for data, said in ((OTHER, "in the catalog; run --build_list again"), (LONGER, "bytes now, but 14000 in")):
        pair.source.put(NAME, data, mtime=row.mtime)
        with pytest.raises(FileError, match=said) as caught:
            pair.carrier.deliver(Put(row, "", TEMP, TEMP in pair.carrier.open), lambda here, came: None)
        assert NAME not in pair.there()
        assert not caught.value.passing
        pair.carrier.clear(TEMP, caught.value)


# Folders.


def test_a_folder_is_made_once_whoever_comes_first(pair):
    threads = [threading.Thread(target=pair.carrier.have_folder, args=["x/y"]) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert "x/y" in pair.target.folders and len(pair.target.calls("mkdir")) == 3
    pair.carrier.have_folder("x/y")
    assert len(pair.target.calls("mkdir")) == 3


def test_a_folder_that_is_known_is_not_made(pair):
    pair.target.make("in")
    pair.carrier.folders.add("in")
    pair.send()
    assert not pair.target.calls("mkdir")


def test_a_folder_that_may_not_be_made_may_be_there(pair):
    pair.target.make("in")
    pair.target.order("mkdir", "in", Forbidden("denied"))
    assert pair.send()[1] == "sent"
    pair.target.order("mkdir", "other", Forbidden("denied"))
    with pytest.raises(Forbidden, match="denied"):  # not that there is none
        pair.carrier.have_folder("other")


# Through this machine.


@pytest.mark.slow
@pytest.mark.parametrize("error", [OnTape("on tape"), NotFound("gone"), Forbidden("denied")])
def test_nothing_is_begun_of_what_cannot_be_read(through, error):
    through.source.order("read", NAME, error, error)
    with pytest.raises(type(error)):
        through.send()
    assert not through.carrier.open and not through.target.asked


def test_a_cut_at_the_source_is_not_noticed_at_the_target(through, monkeypatch):
    monkeypatch.setattr("gridsync_parts.through.PAUSES", (0.0,) * 5)
    through.source.order("read", NAME, break_off(3000, LOST))
    assert through.send()[1] == "sent" and through.there() == {NAME: DATA}
    assert len(through.target.calls("write")) == 1
    assert [call[1:] for call in through.source.calls("read")] == [(0, len(DATA)), (3000, len(DATA))]


def test_after_a_cut_at_the_target_all_goes_again(through):
    def cut(_stored: Any) -> Any:
        through.target.put(TEMP, DATA[:500])
        raise DoorError("the line broke", passing=True)

    through.target.order("write", TEMP, cut)
    with pytest.raises(DoorError):
        through.send()
    assert through.carrier.open == {TEMP}
    assert through.send()[1] == "sent" and through.there() == {NAME: DATA} and not through.carrier.open


def test_a_source_that_changes_on_the_way_ends_the_attempt(through):
    through.source.order("read", NAME, break_off(3000, Changed("changed", passing=True)))
    with pytest.raises(Changed):
        through.send()
    assert NAME not in through.there() and through.carrier.open == {TEMP} and not through.source.open


# By the doors.


def test_a_door_that_never_fetches_has_it_brought(direct):
    direct.target.order("pull", TEMP, NEVER)
    assert direct.send()[1] == "sent" and direct.there() == {NAME: DATA}
    assert direct.source.calls("push") and direct.target.calls("far") == [(TEMP, True)]
    direct.target.files.clear()
    assert direct.send()[1] == "sent" and len(direct.target.calls("pull")) == 1  # it is not asked twice


@pytest.mark.parametrize("has_begun", [False, True])
def test_where_neither_door_copies_the_run_ends(direct, has_begun):
    if has_begun:
        direct.send()
        direct.carrier.tried.clear()
        direct.target.files.clear()
    direct.target.order("pull", TEMP, NEVER)
    direct.source.order("push", NAME, NEVER)
    with pytest.raises((NoCrossing, UsageError), match=r"neither A nor B copies files.*--via_here") as caught:
        direct.send()
    assert caught.value.status == (4 if has_begun else 2)


@pytest.mark.parametrize(("pushes", "gives", "gets"), [(False, "A", "B"), (True, "B", "A")])
def test_a_wide_key_is_handed_on_only_to_whom_is_trusted(direct, pushes, gives, gets):
    direct.fetches.wider = "all that you may do there"
    if pushes:
        direct.target.order("pull", TEMP, NEVER)
    else:
        direct.brings.wider = direct.fetches.wider
    with pytest.raises(UsageError) as caught:
        direct.send()
    said, opens = str(caught.value), "opens all that you may do there"
    assert said.startswith(f"in/a: the key to it that {gives} gives out {opens}, and {gets} would get it")
    assert "--trust_target" in said and "--via_here" in said
    assert not direct.source.calls("push") and not direct.there()
    direct.carrier.trust = True
    assert direct.send()[1] == "sent"


def test_where_the_source_gives_a_wide_key_and_the_target_none_the_source_brings(direct):
    direct.brings.wider = "all"
    assert direct.send()[1] == "sent" and direct.there() == {NAME: DATA}
    assert direct.source.calls("push") and not direct.target.calls("pull")
    direct.target.files.clear()
    assert direct.send()[1] == "sent"
    assert direct.source.calls("far") == [(NAME, False)]  # no second key that opens all was asked for
    direct.carrier.pushes = False
    direct.target.files.clear()
    direct.source.order("push", NAME, NEVER)
    with pytest.raises(UsageError, match="the key to it that A gives out opens all"):
        direct.send()


def test_a_wide_key_is_refused_before_there_is_anything_to_do(direct):
    direct.brings.wider = direct.fetches.wider = "all"
    with pytest.raises(UsageError, match="the key to it that A gives out"):
        direct.carrier.check(direct.source.row(NAME))
    direct.fetches.wider = ""
    direct.carrier.check(direct.source.row(NAME))
    assert direct.carrier.pushes and not direct.target.calls("pull")
    direct.carrier.trust, direct.carrier.pushes = True, False
    direct.carrier.check(direct.source.row(NAME))
    assert not direct.carrier.pushes


def test_what_comes_by_several_streams_is_whole_when_its_checksum_is_right(direct):
    direct.left(bytes(len(DATA)))
    for here in range(0, len(DATA), 1000):
        state = Stored(len(DATA), adler32(bytes(len(DATA) - here) + DATA[:here]))
        direct.target.order("stored", TEMP, lambda _stored, state=state: state)
    whole = Stored(len(DATA), adler32(DATA))
    direct.target.order("stored", TEMP, lambda _stored: (direct.target.put(TEMP, DATA), whole)[1])
    assert direct.send()[1] == "sent" and direct.there() == {NAME: DATA} and not direct.target.calls("pull")


def test_marks_are_told_and_the_end_where_there_was_none(direct):
    direct.send()
    marks = [min(here, len(DATA)) for here in range(1000, len(DATA) + 1000, 1000)]
    assert direct.seen == [(here, here) for here in [*marks, len(DATA)]]


def test_a_name_that_the_target_takes_no_file_of_is_refused_before_anything_goes(pair):
    def refuse(_path: str) -> None:
        raise BadName("no")

    pair.carrier.target = pair.carrier.target._replace(check_name=refuse)
    with pytest.raises(BadName):
        pair.send()
    assert not pair.target.asked and not pair.carrier.open and not pair.source.open


def test_nothing_is_remembered_of_what_is_done(direct):
    direct.send()
    assert not direct.carrier.tried and not direct.carrier.ended and not direct.carrier.open


def test_a_run_that_ends_hangs_up(direct):
    direct.brings.hung_up.clear()
    crossing = Crossing(iter(lambda: direct.stop.set() or 5, None), direct.fetches.hung_up.set)  # type: ignore[func-returns-value]
    direct.target.order("pull", TEMP, lambda _begun: crossing)
    with pytest.raises(FileError, match="interrupted") as caught:
        direct.send()
    assert direct.fetches.hung_up.is_set() and not direct.stop.bodies
    assert direct.carrier.clear(TEMP, caught.value) == "" and direct.carrier.open == {TEMP}  # it may come yet


def test_a_failure_is_final_and_its_rest_goes(direct):
    direct.fetches.left, direct.fetches.error = 3000, LOST
    with pytest.raises(FileError):
        direct.send()
    assert len(direct.there()[TEMP]) == 3000
    direct.fetches.error = None
    assert direct.send()[1] == "sent" and direct.there() == {NAME: DATA} and not direct.carrier.open
    first, second = (call[0] for call in direct.target.calls("pull"))
    assert first == TEMP and second != TEMP and noted_of(second) == TEMP  # the door may be at work on the first


def test_what_a_door_has_finished_by_itself_is_taken(direct):
    direct.fetches.left, direct.fetches.error = 10**9, UNFINISHED
    with pytest.raises(Unfinished):
        direct.send()
    assert direct.send()[1] == "sent" and direct.there() == {NAME: DATA}
    assert len(direct.target.calls("pull")) == 1 and not direct.carrier.open


def grow(pair: Pair, name: str, steps: list[bytes]) -> Callable[[Any], Any]:
    """At each look there is more."""

    def look(_stored: Any) -> Any:
        data = steps.pop(0)
        pair.target.put(name, data)
        return Stored(len(data), adler32(data) if len(data) == len(DATA) else "")

    return look


@pytest.mark.parametrize("name", [TEMP, f"in/0a1b2c3d-7.0f0f0f0f{MARK}"])
def test_what_grows_is_waited_for(direct, name):
    steps = [DATA[:here] for here in range(1000, len(DATA), 1000)] + [DATA] * 3
    direct.left(DATA[:10], name)
    looks = len(steps) - 2
    direct.target.order("stored", name, *[grow(direct, name, steps)] * looks)
    assert direct.send()[1] == "sent" and direct.there() == {NAME: DATA} and not direct.carrier.open
    assert not direct.target.calls("pull") and (5000, 0) in direct.seen


def test_what_grows_no_more_is_copied_anew(direct):
    direct.left(DATA[:5000])
    direct.left(DATA[:3000], f"in/0a1b2c3d-7.0f0f0f0f{MARK}")
    direct.target.put(f"in/0a1b2c3d-70{MARK}", b"that of another file")
    assert direct.send()[1] == "sent"
    assert direct.there() == {NAME: DATA, f"in/0a1b2c3d-70{MARK}": b"that of another file"}
    assert direct.target.calls("pull")[0][0] != TEMP
    direct.carrier.tidy([])
    assert not direct.carrier.open


def test_what_comes_back_goes_in_the_end(direct):
    direct.left(DATA[:5000])
    direct.target.order("remove", TEMP, lambda was_there: (direct.target.put(TEMP, DATA[:6000]), was_there)[1])
    direct.send()
    assert direct.carrier.open == {TEMP}
    direct.carrier.tidy([])  # it was not there at a look
    assert direct.there() == {NAME: DATA} and not direct.carrier.open


@pytest.mark.parametrize("comes", [True, False])
def test_what_may_come_yet_is_looked_for_in_the_end(direct, monkeypatch, comes):
    direct.target.order("pull", TEMP, DoorError("the line broke", passing=True))
    with pytest.raises(DoorError):
        direct.send()
    assert direct.send()[1] == "sent" and direct.carrier.open == {TEMP}
    if comes:
        direct.target.put(TEMP, DATA[:500])
    direct.carrier.tidy([])
    assert direct.there() == {NAME: DATA} and direct.carrier.open == {TEMP}
    monkeypatch.setattr(pull, "SETTLED", 0.0)
    direct.carrier.tidy([])
    assert not direct.carrier.open


def test_what_an_earlier_run_has_noted_of_files_that_are_done_is_tidied_up(pair):
    other, noted = f"in/0a1b2c3d-8.00ff00ff{MARK}", [TEMP, f"in/0a1b2c3d-8{MARK}"]
    pair.target.put(other, DATA[:500])
    pair.target.put(f"in/0a1b2c3d-9{MARK}", b"that of another file")
    pair.carrier.open.update(noted)
    pair.carrier.tidy(noted)
    assert set(pair.there()) == {f"in/0a1b2c3d-9{MARK}"} and pair.carrier.open == {noted[1]}
    pair.carrier.tidy(noted)
    assert not pair.carrier.open


def test_a_folder_is_listed_once_for_what_earlier_runs_have_left(direct):
    for number in range(8, 12):
        direct.carrier.listed(f"in/0a1b2c3d-{number}{MARK}")
    assert len(direct.target.calls("folder")) == 1


def test_after_an_answer_that_was_lost_nothing_is_copied_twice(direct):
    def lose(_answer: Any) -> Any:
        raise DoorError("the line broke", passing=True)

    direct.target.order("rename", TEMP, lose)
    with pytest.raises(DoorError):
        direct.send()
    assert direct.there() == {NAME: DATA}
    assert direct.send()[1] == "sent" and len(direct.target.calls("pull")) == 1 and not direct.carrier.open


def test_what_cannot_be_removed_is_named(direct):
    direct.fetches.left, direct.fetches.error = 3000, LOST
    with pytest.raises(FileError) as caught:
        direct.send()
    direct.target.order("remove", TEMP, Forbidden("denied"))
    assert direct.carrier.clear(TEMP, caught.value) == f"; some of it may be left at the site as {TEMP}"
    assert direct.carrier.open == {TEMP}


def test_a_name_that_is_taken_is_tried_again_under_another_one(direct):
    direct.target.order("pull", TEMP, Exists("taken"))
    with pytest.raises(FileError) as caught:
        direct.send()
    assert caught.value.passing
    assert direct.send()[1] == "sent" and not direct.carrier.open


def test_sentences_name_the_file_and_not_what_it_is_called_meanwhile(pair):
    job = Put(pair.source.row(NAME), "", TEMP)
    said = pair.carrier.by_name(f"https://b/{TEMP} and https://b/in/0a1b2c3d-7.00ff00ff{MARK}: no", job)
    assert said == "https://b/in/a and https://b/in/a: no"


def test_where_files_are_copied_that_were_on_tape_the_row_stays(pair):
    pair.source.files[NAME].locality = Locality.ONLINE
    assert pair.send()[0].locality is Locality.ONLINE
