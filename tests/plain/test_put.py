"""One local file, from its first byte until it has its name at a site in memory, verified."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Any, Callable

import pytest

from gridsync_parts.disk import CHUNK, COARSE, MARK
from gridsync_parts.doors import Sent, Stored
from gridsync_parts.errors import (
    Changed,
    CredentialError,
    DoorError,
    Exists,
    FileError,
    Forbidden,
    Full,
    GridError,
    Mismatch,
)
from gridsync_parts.pool import Stop
from gridsync_parts.put import Deliverer, Put
from gridsync_parts.values import Locality, Row
from tests.support.memory import Memory, adler32

DATA, OTHER, LONGER = b"what is sent", b"another file", b"another one, longer"
NAME, TEMP = "in/a", f"in/0a-1{MARK}"
LOST = DoorError("the line broke", passing=True)


class Sender:
    """A local file, and what brings it to a site, an attempt at a time."""

    def __init__(self, folder: Path, renames: bool = True, removes: bool = True):
        self.file = folder / "a"
        self.file.write_bytes(DATA)
        self.site = Memory()
        self.site.make("in")
        self.renames = renames
        self.stop = Stop()
        writer = self.site.place.writer
        assert writer
        self.deliverer = Deliverer(writer, renames, self.stop, removes)
        if not removes:
            self.site.order("remove", NAME, *[FileError("it removes nothing")] * 9)

    @property
    def temp(self) -> str:
        return TEMP if self.renames else NAME

    def there(self) -> dict[str, bytes]:
        """What there is at the site."""
        return {path: file.data for path, file in self.site.files.items()}

    def asked(self) -> str:
        """What the site was asked, a word a call."""
        return " ".join(asked[0] for asked in self.site.asked)

    def send(
        self, is_there: bool = False, overwrite: bool = False, checksum: str = "", sent: str = ""
    ) -> tuple[Row, str]:
        """One attempt."""
        size, mtime = self.file.stat().st_size, int(self.file.stat().st_mtime)
        row = Row(NAME, size, mtime, checksum, Locality.ONLINE, False, "", "", "LYON", "", sent)
        is_open = self.temp in self.deliverer.open
        job = Put(row, str(self.file), self.temp, is_open, is_there, overwrite)
        return self.deliverer.deliver(job, lambda here, came: None)

    def left(self, data: bytes) -> None:
        """An earlier attempt has left something."""
        self.site.put(self.temp, data)
        self.deliverer.open.add(self.temp)


@pytest.fixture
def sender(tmp_path: Path) -> Sender:
    return Sender(tmp_path)


def carried_out(error: BaseException = LOST) -> Callable[[Any], Any]:
    """The site does what it is asked, and its answer is lost."""

    def lose(_answer: Any) -> Any:
        raise error

    return lose


# In one go.


@pytest.mark.parametrize("data", [DATA, b"", bytes(CHUNK + 1)], ids=["short", "empty", "long"])
@pytest.mark.parametrize(
    ("sends", "knows", "kind", "asked"),
    [
        (True, True, "adler32", "write rename"),
        (False, True, "adler32", "write stored rename"),
        (False, False, "size", "write stored rename"),
    ],
)
def test_a_file_is_sent_under_another_name_verified_and_named(sender, data, sends, knows, kind, asked):
    sender.site.sends_checksums, sender.site.knows_checksums = sends, knows
    sender.file.write_bytes(data)
    row, done = sender.send()
    assert (done, row.verified, row.downloaded, row.checksum) == ("sent", kind, True, adler32(data))
    assert sender.there() == {NAME: data} and sender.asked() == asked and not sender.deliverer.open
    assert sender.site.calls("rename") == [(TEMP, NAME, False)]


@pytest.mark.parametrize("overwrite", [False, True])
def test_what_is_there_and_the_same_is_not_sent(sender, overwrite):
    sender.site.put(NAME, DATA)
    row, done = sender.send(is_there=True, overwrite=overwrite)
    assert (done, row.verified, row.downloaded) == ("skipped", "adler32", True)
    assert sender.asked() == "stored"


def test_a_checksum_that_is_known_spares_the_reading(sender):
    sender.site.put(NAME, DATA)
    sender.site.order("stored", NAME, lambda stored: stored._replace(checksum="md5:0"))
    assert sender.send(is_there=True, checksum="md5:0")[1] == "skipped"


def test_another_file_there_is_left_alone_or_replaced_in_one_step(sender):
    sender.site.put(NAME, OTHER)
    with pytest.raises(FileError, match="in/a: another file has this name at the site; --overwrite replaces it"):
        sender.send(is_there=True)
    assert sender.asked() == "stored" and sender.there() == {NAME: OTHER}
    assert sender.send(is_there=True, overwrite=True)[1] == "sent"
    assert sender.there() == {NAME: DATA} and sender.site.calls("rename") == [(TEMP, NAME, True)]


def test_what_is_to_be_replaced_is_not_taken_for_the_same_by_its_size(sender):
    sender.site.knows_checksums = sender.site.sends_checksums = False
    sender.site.put(NAME, OTHER)
    sender.site.tells_times = False
    assert sender.send(is_there=True)[1] == "skipped"  # as far as anybody can tell
    assert sender.send(is_there=True, overwrite=True)[1] == "sent" and sender.there() == {NAME: DATA}


@pytest.mark.parametrize(
    ("data", "later", "told", "done"),
    [
        (OTHER, 0, True, "skipped"),
        (OTHER, COARSE, True, "skipped"),  # a disk may be so wrong
        (OTHER, COARSE + 1, True, ""),
        (OTHER, COARSE + 1, False, "skipped"),
        (OTHER, -1000, True, "skipped"),  # it was sent later than it was written
        (b"", COARSE + 1, True, "skipped"),  # of these there are no two
    ],
)
def test_without_a_checksum_an_older_file_of_the_same_size_is_another_one(sender, data, later, told, done):
    sender.site.knows_checksums, sender.site.tells_times = False, told
    sender.file.write_bytes(DATA[: len(data)])
    os.utime(sender.file, (5000 + later + 0.9, 5000 + later + 0.9))
    sender.site.put(NAME, data, mtime=5000)
    if done:
        assert sender.send(is_there=True)[1] == done
    else:
        with pytest.raises(FileError, match="in/a: another file has this name at the site; --overwrite replaces it"):
            sender.send(is_there=True)
    assert sender.there() == {NAME: data}


def test_with_a_checksum_times_do_not_matter(sender):
    sender.site.put(NAME, DATA, mtime=5000)
    assert sender.send(is_there=True, sent=adler32(OTHER))[1] == "skipped"


@pytest.mark.parametrize("later", [-1000, 0, 1000])
@pytest.mark.parametrize(("sent", "is_same"), [(DATA, True), (OTHER, False)])
def test_without_a_checksum_there_that_of_what_was_sent_once_tells(sender, later, sent, is_same):
    sender.site.knows_checksums = False
    os.utime(sender.file, (5000 + later, 5000 + later))
    sender.site.put(NAME, DATA, mtime=5000)
    if is_same:
        row, done = sender.send(is_there=True, sent=adler32(sent))
        assert (done, row.verified, row.checksum) == ("skipped", "size", adler32(DATA))
    else:
        with pytest.raises(FileError, match="in/a: another file has this name at the site; --overwrite replaces it"):
            sender.send(is_there=True, sent=adler32(sent))


def test_what_was_sent_once_tells_nothing_of_what_appears_meanwhile(sender):
    sender.site.knows_checksums = sender.site.sends_checksums = False
    sender.site.order("rename", TEMP, carried_out())
    with pytest.raises(DoorError):
        sender.send(sent=adler32(OTHER))
    os.utime(sender.file, (1000, 1000))
    assert sender.send(sent=adler32(OTHER))[1] == "sent" and len(sender.site.calls("write")) == 1


# What an earlier attempt has left.


@pytest.mark.parametrize("overwrite", [False, True])
@pytest.mark.parametrize(
    ("left", "named", "done", "asked"),
    [
        (DATA, None, "sent", "stored rename"),  # whole, and only to be named
        (DATA[:5], None, "sent", "stored stored remove write rename"),
        (OTHER, None, "sent", "stored stored remove write rename"),
        (None, None, "sent", "stored stored remove write rename"),
        (None, DATA, "sent", "stored stored remove"),  # the answer to the last step was lost
        (DATA[:5], DATA, "sent", "stored stored remove"),  # somebody else has sent it meanwhile
    ],
)
def test_what_is_left_over_is_finished_or_removed(sender, overwrite, left, named, done, asked):
    sender.left(left or b"")
    for path, data in ((TEMP, left), (NAME, named)):
        if data is None:
            sender.site.files.pop(path, None)
        else:
            sender.site.put(path, data)
    row, is_done = sender.send(overwrite=overwrite)
    assert (is_done, row.verified) == (done, "adler32") and sender.asked() == asked
    assert sender.there() == {NAME: DATA} and not sender.deliverer.open


def test_what_is_left_over_goes_when_the_file_turns_out_to_be_there(sender):
    sender.left(DATA[:5])
    sender.site.put(NAME, DATA)
    assert sender.send(is_there=True)[1] == "skipped"
    assert sender.there() == {NAME: DATA} and not sender.deliverer.open


def test_a_size_does_not_make_what_is_left_over_the_file_of_today(sender):
    sender.site.knows_checksums = sender.site.sends_checksums = False
    sender.left(OTHER)
    assert sender.send()[0].verified == "size" and sender.there() == {NAME: DATA}


def test_what_is_to_be_replaced_is_not_taken_for_the_end_of_an_earlier_attempt(sender):
    sender.site.knows_checksums = sender.site.sends_checksums = False
    sender.left(DATA[:5])
    sender.site.put(NAME, OTHER)
    assert sender.send(overwrite=True)[1] == "sent" and sender.there() == {NAME: DATA}


# What fails.


@pytest.mark.parametrize("verb", ["write", "rename"])
@pytest.mark.parametrize("overwrite", [False, True])
def test_after_an_answer_that_was_lost_nothing_is_sent_twice(sender, verb, overwrite):
    if overwrite:
        sender.site.put(NAME, LONGER)
    sender.site.order(verb, TEMP, carried_out())
    with pytest.raises(DoorError, match="the line broke"):
        sender.send(overwrite=overwrite)
    assert sender.deliverer.open == {TEMP}
    assert sender.send(overwrite=overwrite)[1] == "sent"
    assert len(sender.site.calls("write")) == 1 and sender.there() == {NAME: DATA} and not sender.deliverer.open


def test_a_rename_that_was_slower_than_the_next_one_counts(sender):
    def moved_before() -> None:
        sender.site.files[NAME] = sender.site.files.pop(TEMP)

    sender.left(DATA)
    sender.site.order("stored", TEMP, lambda stored: (moved_before(), stored)[1])
    row, done = sender.send()
    assert (done, row.verified) == ("sent", "adler32") and sender.there() == {NAME: DATA}
    assert not sender.deliverer.open


def test_a_name_of_ours_that_is_taken_is_from_an_attempt_whose_answer_was_lost(sender):
    sender.site.put(TEMP, DATA)  # and nobody here knows of it
    with pytest.raises(FileError) as caught:
        sender.send()
    assert caught.value.passing and sender.deliverer.open == {TEMP}
    assert sender.send()[1] == "sent" and sender.there() == {NAME: DATA}


@pytest.mark.parametrize(("there", "done"), [(DATA, "skipped"), (OTHER, ""), (LONGER, "")])
def test_a_file_that_appears_before_the_last_step_is_compared(sender, there, done):
    sender.site.order("rename", TEMP, Exists("in/a: there is something"))
    sender.site.order("write", TEMP, lambda stored: (sender.site.put(NAME, there), stored)[1])
    if done:
        assert sender.send()[1] == done and sender.there() == {NAME: DATA} and not sender.deliverer.open
    else:
        with pytest.raises(FileError, match="another file has this name at the site"):
            sender.send()
        assert sender.there() == {NAME: there, TEMP: DATA} and sender.deliverer.open == {TEMP}


@pytest.mark.parametrize(
    "error",
    [Full("no room"), Forbidden("denied"), CredentialError("over", passing=True), LOST, FileError("too large")],
)
@pytest.mark.parametrize("verb", ["write", "rename"])
def test_what_the_door_says_comes_out_and_what_may_be_there_is_known(sender, verb, error):
    sender.site.order(verb, TEMP, error)
    with pytest.raises(GridError) as caught:
        sender.send()
    assert caught.value is error and sender.deliverer.open == {TEMP}
    assert sender.deliverer.clear(TEMP, error) == "" and sender.there() == {}
    has_broken = verb == "write" and error.passing  # the door may still read what was sent, and have it later
    assert sender.deliverer.open == ({TEMP} if has_broken else set())
    assert sender.send()[1] == "sent"


@pytest.mark.parametrize("told", [Stored(-1, adler32(OTHER)), Stored(len(DATA) - 1, ""), Stored(5, adler32(DATA[:5]))])
def test_what_is_not_what_was_sent_gets_no_name(sender, told):
    sender.site.order("write", TEMP, lambda _stored: told)
    sender.site.order("stored", TEMP, lambda _stored: told)
    with pytest.raises(Mismatch) as caught:
        sender.send()
    assert caught.value.passing and NAME not in sender.there() and sender.deliverer.open == {TEMP}


def test_a_door_that_tells_nothing_verifies_nothing(sender):
    sender.site.sends_checksums = False
    sender.site.order("stored", TEMP, lambda _stored: Stored(-1, ""))
    with pytest.raises(FileError, match="in/a: the door tells neither size nor checksum"):
        sender.send()
    assert NAME not in sender.there()


def test_what_cannot_be_removed_is_named(sender):
    sender.left(DATA[:5])
    sender.site.order("remove", TEMP, Forbidden("denied"))
    assert sender.deliverer.clear(TEMP, LOST) == f"; some of it may be left at the site as {TEMP}"
    assert sender.deliverer.open == {TEMP}
    assert sender.deliverer.clear("in/b", LOST) == ""  # nothing of it is there


# The local file.


def at_first_read(monkeypatch: pytest.MonkeyPatch, happens: Callable[[], object]) -> None:
    """Something happens once a piece has been read."""

    def preadv(fd: int, buffers: list[Any], at: int, real: Any = os.preadv) -> int:
        count: int = real(fd, buffers, at)
        monkeypatch.setattr(os, "preadv", real)
        happens()
        return count

    monkeypatch.setattr(os, "preadv", preadv)


@pytest.mark.parametrize("size", [10, 2 * CHUNK])
@pytest.mark.parametrize("change", [b"more", b""])
def test_a_file_that_changes_while_it_is_sent_gets_no_name(sender, monkeypatch, size, change):
    sender.file.write_bytes(bytes(size))

    def happens() -> None:
        with sender.file.open("ab") as file:
            file.write(change) if change else file.truncate(size // 2)

    at_first_read(monkeypatch, happens)
    with pytest.raises(Changed) as caught:
        sender.send()
    assert caught.value.passing and NAME not in sender.there() and sender.deliverer.open == {TEMP}
    assert sender.site.files.get(TEMP) is None or len(sender.site.files[TEMP].data) < size
    row, done = sender.send()
    assert done == "sent" and sender.there() == {NAME: sender.file.read_bytes()}
    assert row.size == sender.file.stat().st_size


def test_a_file_that_was_unlinked_while_it_is_sent_is_sent_all_the_same(sender, monkeypatch):
    at_first_read(monkeypatch, sender.file.unlink)
    assert sender.send()[1] == "sent" and sender.there() == {NAME: DATA}


def test_a_disk_that_fails_concerns_this_file(sender, monkeypatch):
    def preadv(*_: object) -> int:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(os, "preadv", preadv)
    with pytest.raises(FileError, match=f"{sender.file}: cannot be read: Input/output error"):
        sender.send()
    assert NAME not in sender.there()


@pytest.mark.parametrize(
    ("become", "says"),
    [
        (lambda file: None, "No such file or directory"),
        (lambda file: file.mkdir(), "is not a regular file|Is a directory"),
        (lambda file: os.mkfifo(file), "is not a regular file"),
        (lambda file: file.symlink_to("b"), "symbolic links"),
    ],
)
def test_what_is_not_there_any_more_or_no_file_is_not_sent(sender, become, says):
    row = Row(NAME, 1, 1, "", Locality.ONLINE, False, "", "", "LYON", "")
    sender.file.unlink()
    become(sender.file)
    with pytest.raises(FileError, match=says):
        sender.deliverer.deliver(Put(row, str(sender.file), TEMP), lambda here, came: None)
    assert not sender.site.asked


@pytest.mark.parametrize("is_left", [False, True])
def test_a_run_that_ends_sends_no_more(sender, is_left):
    if is_left:
        sender.left(OTHER)
    sender.stop.set()
    with pytest.raises(FileError, match="interrupted"):
        sender.send()
    assert NAME not in sender.there() and not sender.site.calls("rename")


# A door that can't rename.


@pytest.fixture
def direct(tmp_path: Path) -> Sender:
    return Sender(tmp_path, renames=False)


def test_without_renames_a_file_is_sent_under_its_name(direct):
    assert direct.send()[1] == "sent" and direct.asked() == "write" and direct.there() == {NAME: DATA}


def test_without_renames_another_one_s_file_is_not_removed(direct):
    direct.site.put(NAME, OTHER)
    with pytest.raises(FileError, match="another file has this name") as caught:
        direct.send()
    assert not caught.value.passing and direct.deliverer.clear(NAME, caught.value) == ""
    assert direct.there() == {NAME: OTHER}


def test_without_renames_what_is_replaced_goes_first(direct):
    direct.site.put(NAME, OTHER)
    assert direct.send(overwrite=True)[1] == "sent" and direct.asked() == "remove write"
    assert direct.there() == {NAME: DATA}


def test_without_renames_what_an_attempt_has_left_is_removed(direct):
    direct.site.order("write", NAME, carried_out())
    with pytest.raises(DoorError):
        direct.send()
    assert direct.send()[1] == "sent" and direct.asked() == "write remove write"
    assert direct.deliverer.clear(NAME, LOST) == "" and direct.there() == {NAME: DATA}


# A door that can't remove either.


@pytest.fixture
def keeping(tmp_path: Path) -> Sender:
    return Sender(tmp_path, renames=False, removes=False)


@pytest.mark.parametrize("is_there", [False, True])
def test_without_removal_another_one_s_file_is_left_alone_or_written_over(keeping, is_there):
    keeping.site.put(NAME, OTHER)
    says = "another file has this name" if is_there else "another file, or some of this one, has its name"
    with pytest.raises(FileError, match=f"{says} at the site; --overwrite replaces it") as caught:
        keeping.send(is_there=is_there)
    assert keeping.deliverer.clear(NAME, caught.value) == "" and keeping.there() == {NAME: OTHER}
    assert keeping.send(overwrite=True)[1] == "sent" and keeping.there() == {NAME: DATA}


@pytest.mark.parametrize("overwrite", [False, True])
@pytest.mark.parametrize("is_there", [False, True])
def test_without_removal_a_file_whose_answer_was_lost_is_found(keeping, overwrite, is_there):
    keeping.site.order("write", NAME, carried_out())
    with pytest.raises(DoorError):
        keeping.send(overwrite=overwrite)
    assert keeping.send(is_there, overwrite)[1] == ("skipped" if is_there else "sent")
    assert keeping.asked() == "write stored" and keeping.there() == {NAME: DATA} and not keeping.deliverer.open


def test_without_removal_a_file_that_the_line_has_sent_twice_is_no_other_one(keeping):
    keeping.site.order("write", NAME, lambda _: keeping.deliverer.writer.taken(NAME, Sent(1, lambda: iter([b"x"]))))
    assert keeping.send()[1] == "sent" and keeping.there() == {NAME: DATA}


def test_without_removal_some_of_a_file_stays_and_is_named_until_it_is_to_be_replaced(keeping):
    keeping.left(DATA[:3])
    with pytest.raises(FileError, match="another file, or some of this one, has its name at the site; --overwrite"):
        keeping.send()
    assert keeping.there() == {NAME: DATA[:3]}
    keeping.deliverer.open.add(NAME)
    assert "some of it may be left at the site as in/a" in keeping.deliverer.clear(NAME, LOST)
    assert keeping.send(overwrite=True)[1] == "sent" and keeping.there() == {NAME: DATA}


def test_without_removal_what_the_door_has_taken_wrong_is_sent_over_it(keeping):
    keeping.site.order("write", NAME, lambda stored: stored._replace(checksum=adler32(OTHER)))
    with pytest.raises(Mismatch) as caught:
        keeping.send()
    keeping.site.put(NAME, OTHER)
    assert caught.value.passing and keeping.send()[1] == "sent" and keeping.there() == {NAME: DATA}
