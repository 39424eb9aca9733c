"""An SFTP server that lies or is odd: a sentence, and an end to it, whatever it does."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from gridsync_parts.doors import Place, Sent
from gridsync_parts.errors import DoorError, FileError
from gridsync_parts.table import Site
from tests.grid.sshd import children_of
from tests.support.constants import replace
from tests.support.oddsftp import BYTES, lay_ssh
from tests.support.places import opened, received
from tests.support.user import wait_until


@pytest.fixture
def odd(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], Place]]:
    places: list[Place] = []
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))

    def serve(what: str) -> Place:
        lay_ssh(tmp_path, what)
        places.append(opened(Site("BEAM", "sftp://me@localhost/", "", "ssh", "auto", "", "", "", 10, 10, 0)))
        return places[-1]

    yield serve
    for place in places:
        place.close()


def test_one_that_is_well_lists_and_gives_its_file(odd):
    place = odd("well")
    assert [entry.path for entry in place.lister.folder("raw")] == ["raw/a"]
    assert received(place, "raw/a", 0, len(BYTES)) == BYTES


@pytest.mark.first
@pytest.mark.parametrize("what", ["endless", "same", "nothing"])
def test_a_listing_without_end_has_one(odd, monkeypatch, what):
    replace(monkeypatch, "MAX_ENTRIES", 10_000)
    with pytest.raises(DoorError, match="makes no sense"):
        odd(what).lister.folder("raw")


def test_more_bytes_than_were_asked_for_are_no_file(odd):
    with pytest.raises((DoorError, FileError), match="makes no sense"):
        received(odd("more"), "raw/a", 0, len(BYTES))


@pytest.mark.parametrize("mtime", [-1, 1 << 32])
def test_a_file_of_a_time_that_sftp_cannot_name_is_sent_without_it(odd, mtime):
    assert odd("well").writer.write("raw/b", Sent(3, lambda: iter([b"abc"]), mtime)).size == 3


def test_a_run_that_ends_does_not_leave_an_ssh_that_has_not_come_in_yet(odd):
    place, before = odd("hang"), children_of(os.getpid())
    said: list[BaseException] = []

    def look() -> None:
        try:
            place.lister.folder("raw")
        except DoorError as error:
            said.append(error)

    thread = threading.Thread(target=look)
    thread.start()
    wait_until(lambda: place.lister.remote.channels.greeting)
    place.close()
    thread.join(60)
    assert said and children_of(os.getpid()) == before


def test_a_server_with_many_words_is_quoted_in_a_sentence(odd):
    with pytest.raises(FileError, match="the server fails") as caught:
        odd("words").writer.remove("raw/b")
    assert len(str(caught.value)) < 1000 and "\n" not in str(caught.value)
