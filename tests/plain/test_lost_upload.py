"""A worker that nobody hears from may still send a file: another one sends it under a name of its own."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest

from gridsync_parts.disk import MARK
from gridsync_parts.doors import Sent, Writer
from gridsync_parts.errors import FileError, Forbidden, GridError
from gridsync_parts.flow import SEND
from gridsync_parts.outbox import Local
from gridsync_parts.pace import PACE
from gridsync_parts.pool import Stop
from gridsync_parts.put import Deliverer, Put, further_name, noted_of
from gridsync_parts.putter import Putter
from gridsync_parts.sending import Sending
from gridsync_parts.uploads import Uploads
from gridsync_parts.values import Locality, Outcome, Row, Wishes
from tests.support.memory import Memory

DATA, OLD = b"what is sent" * 100, b"as it was before"
NAME, TEMP = "in/a", f"in/0a-1{MARK}"
LONG = 60  # seconds after which what should come never will


class Slow:
    """A writer that stops before one of its calls, until it is to go on."""

    def __init__(self, writer: Writer, stop: int):
        self.writer = writer
        self.left = stop
        self.has_stopped, self.may_go = threading.Event(), threading.Event()

    def step(self) -> None:
        self.left -= 1
        if self.left < 0 and not self.has_stopped.is_set():
            self.has_stopped.set()
            assert self.may_go.wait(LONG)

    def write(self, path: str, sent: Sent) -> Any:
        """It may stop within a file, too."""

        def halves() -> Iterable[bytes]:
            data = b"".join(map(bytes, sent.chunks()))
            yield data[: len(data) // 2]
            self.step()
            yield data[len(data) // 2 :]

        self.step()
        return self.writer.write(path, sent._replace(chunks=halves))

    def __getattr__(self, name: str) -> Callable[..., Any]:
        def call(*arguments: Any) -> Any:
            self.step()
            return getattr(self.writer, name)(*arguments)

        return call


class Senders:
    """A file, a site, and workers that send it."""

    def __init__(self, folder: Path):
        self.file = folder / "a"
        self.file.write_bytes(DATA)
        self.site = Memory()
        self.site.make("in")

    def job(self, **more: object) -> Put:
        size, mtime = len(DATA), int(self.file.stat().st_mtime)
        row = Row(NAME, size, mtime, "", Locality.ONLINE, False, "", "", "LYON", "")
        return Put(row, str(self.file), TEMP)._replace(**more)

    def deliverer(self, writer: Any = None, renames: bool = True) -> Deliverer:
        return Deliverer(writer or self.site.place.writer, renames, Stop())

    def send(self, deliverer: Deliverer, **more: object) -> str:
        row, done = deliverer.deliver(self.job(is_lost=True, is_open=True, **more), lambda here, came: None)
        assert row.downloaded and row.verified
        return done

    def there(self) -> dict[str, bytes]:
        return {path: file.data for path, file in self.site.files.items()}

    def lists(self) -> Any:
        return self.site.place.lister


@pytest.fixture
def senders(tmp_path: Path) -> Senders:
    return Senders(tmp_path)


def test_the_name_of_a_further_attempt_tells_which_one_is_noted():
    assert further_name(TEMP) != further_name(TEMP) != TEMP
    assert noted_of(further_name(TEMP)) == noted_of(TEMP) == TEMP and further_name(TEMP).endswith(MARK)


@pytest.mark.parametrize("left", [DATA, DATA[:100], None])
def test_what_is_left_of_the_lost_attempt_is_not_touched_before_the_file_is_there(senders, left):
    if left:
        senders.site.put(TEMP, left)
    deliverer = senders.deliverer()
    assert senders.send(deliverer) == "sent" and senders.there() == {NAME: DATA}
    ((path, *_),) = senders.site.calls("write")
    assert path != TEMP and noted_of(path) == TEMP
    assert [asked[0] for asked in senders.site.asked][-2:] == ["rename", "remove"]
    assert deliverer.open == {TEMP}  # it may come yet


def test_what_the_lost_worker_has_finished_is_not_sent_again(senders):
    senders.site.put(NAME, DATA)
    assert senders.send(senders.deliverer()) == "sent" and not senders.site.calls("write")


@pytest.mark.parametrize("checksums", [True, False])
def test_another_file_of_the_name_is_still_another_one(senders, checksums):
    senders.site.put(NAME, OLD)
    senders.site.knows_checksums = checksums
    with pytest.raises(FileError, match="another file has this name"):
        senders.send(senders.deliverer())
    assert senders.send(senders.deliverer(), overwrite=True) == "sent" and senders.there() == {NAME: DATA}


class Refusing(Slow):
    """A writer that takes nothing."""

    def write(self, path: str, sent: Sent) -> Any:
        raise Forbidden(f"{path}: the door refuses")


def test_a_failure_speaks_of_the_file_and_its_name_stays_noted(senders):
    writer = senders.site.place.writer
    assert writer
    deliverer = senders.deliverer(Refusing(writer, LONG))
    with pytest.raises(Forbidden) as caught:
        senders.send(deliverer)
    assert str(caught.value) == f"{NAME}: the door refuses" and deliverer.open == {TEMP}


def test_a_door_that_gives_no_names_gets_it_under_its_own(senders):
    deliverer = senders.deliverer(renames=False)
    senders.site.put(NAME, DATA[:100])
    assert senders.send(deliverer, temp=NAME) == "sent" and senders.there() == {NAME: DATA} and not deliverer.open


@pytest.mark.parametrize("overwrite", [False, True])
@pytest.mark.parametrize("checksums", [True, False])
@pytest.mark.parametrize("is_heir", [False, True])
def test_wherever_it_stopped_nothing_but_the_file_stays(tmp_path, overwrite, checksums, is_heir):
    for stop in range(LONG):
        (tmp_path / f"{stop}").mkdir()
        senders = Senders(tmp_path / f"{stop}")
        senders.site.knows_checksums = checksums
        senders.site.put(NAME, OLD) if overwrite else None
        writer = senders.site.place.writer
        assert writer
        slow, fates = Slow(writer, stop), []
        lost = senders.job(overwrite=overwrite, is_lost=is_heir)

        def go(job: Put = lost, slow: Slow = slow, senders: Senders = senders, fates: list[Any] = fates) -> None:
            try:
                fates.append(senders.deliverer(slow).deliver(job, lambda here, came: None))
            except GridError as error:
                fates.append(error)

        thread = threading.Thread(target=go, daemon=True)
        thread.start()
        while thread.is_alive() and not slow.has_stopped.wait(0.001):
            pass
        if not slow.has_stopped.is_set():
            break
        deliverer = senders.deliverer()
        assert senders.send(deliverer, overwrite=overwrite) == "sent" and senders.there()[NAME] == DATA
        slow.may_go.set()
        thread.join(LONG)
        assert fates and senders.there()[NAME] == DATA
        looks = 0
        while TEMP in deliverer.open:
            deliverer.tidy_up(senders.site.place.lister, {TEMP})
            looks += 1
        assert senders.there() == {NAME: DATA} and looks <= 2
    assert 2 < stop < LONG


# The run.


class Desk:
    """A run that sends a file, without a flow around it."""

    def __init__(self, folder: Path, site: Memory):
        place = site.place
        assert place.writer
        self.putter = Putter(place, place.writer, Stop(), False)
        self.uploads = Uploads(str(folder))
        self.sending = Sending(SEND, PACE, Wishes(), self.uploads, "LYON", self.putter)
        (self.row,) = self.sending.join([(Local("a", str(folder / "a"), len(DATA), 1000), NAME)])
        self.temp = self.putter.temps[NAME]
        self.sending.put([self.row])

    def noted(self) -> str:
        return self.uploads.by_path("LYON")[NAME].temp


@pytest.mark.parametrize("is_given_up", [False, True])
def test_what_a_lost_worker_may_leave_stays_noted_until_nothing_is_there(senders, tmp_path, is_given_up):
    desk = Desk(tmp_path, senders.site)
    later = desk.temp.removesuffix(MARK) + f".00af00af{MARK}"
    desk.putter.goes_out(senders.job(temp=desk.temp, is_lost=True))
    if is_given_up:
        outcome = desk.putter.give_up(desk.row, FileError("in/a: odd"))
    else:
        outcome = Outcome(desk.row._replace(downloaded=True, verified="adler32"), "sent")
    senders.site.put(later, DATA[:10])
    desk.sending.put([outcome.row])
    for is_there in (True, False):
        assert desk.noted() == desk.temp
        assert desk.sending.left() == {desk.temp}
        desk.putter.tidy(desk.sending.left())
        assert not senders.there()
        desk.sending.forget_idle()
        assert bool(desk.noted()) is is_there


def test_a_later_run_looks_for_what_was_noted_of_a_file_that_is_there(senders, tmp_path):
    desk = Desk(tmp_path, senders.site)
    desk.putter.goes_out(senders.job(temp=desk.temp, is_lost=True))
    desk.sending.put([desk.row._replace(downloaded=True, verified="adler32")])
    desk.uploads.save()
    senders.site.put(desk.temp, DATA)
    later = Desk(tmp_path, senders.site)
    assert later.temp == desk.temp and later.noted() == desk.temp


def test_what_no_lost_worker_has_had_is_not_looked_for(senders, tmp_path):
    desk = Desk(tmp_path, senders.site)
    desk.putter.goes_out(senders.job(temp=desk.temp))
    desk.putter.came_back(NAME, is_open=False)
    desk.sending.put([desk.row._replace(downloaded=True, verified="adler32")])
    assert not desk.noted() and not desk.sending.left()
