"""What every Place promises, tried at each of them: the half that only looks, without a change at the site.

    make contract SITE=LYON     # tries it at a site of the Grid.conf in GRIDSYNC_DIR, or else of this folder

A test is left out where a Place lacks an ability. Where one breaks a promise, deviations.py says so, and why.
"""

from __future__ import annotations

import functools
import os
import subprocess
import sys
import threading
import time
from typing import NamedTuple

import pytest

from gridsync_parts.checksums import Checksum
from gridsync_parts.doors import At, Place, Tape
from gridsync_parts.errors import BadRequest, Changed, FileError, Forbidden, GridError, NotFound
from gridsync_parts.kinds import STRONG
from gridsync_parts.pacing import Pacing, Timetable, paced
from gridsync_parts.patient import Patient
from gridsync_parts.pool import Stop
from gridsync_parts.values import Entry, Locality
from gridsync_parts.words import seconds_of
from tests.grid import Grid, agata
from tests.grid.records import CREATED
from tests.support import TOP
from tests.support.places import PLACES, PORTALS, memory_of, place_at, received, site_of

SITE = os.environ.get("CONTRACT_SITE", "")
RUN = f"e680_1to64/{agata.RUN}"
NOWHERE = "gridsync-contract-nowhere"
MOST = 256 << 20  # bytes of a file that is read whole


class Subject(NamedTuple):
    """A Place, and a file there that is on disk."""

    place: Place
    file: Entry
    data: bytes

    @property
    def folder(self) -> str:
        return self.file.path.rpartition("/")[0]

    @property
    def at(self) -> At:
        return At(self.file.path, self.file.size)


class Looking:
    """A tape service that is asked where files are, and nothing else."""

    def __init__(self, tape: Tape):
        self.localities = tape.localities


@functools.cache
def user_subject(name: str) -> Subject:
    """A site of the user's, where nothing is asked for that would change it."""
    patient = Patient(os.environ.get("GRIDSYNC_DIR", os.curdir), {"SITE": name})
    if patient.fault:
        raise patient.fault
    place = patient.place

    def find_tape() -> Looking | None:
        tape = place.find_tape()
        return Looking(tape) if tape else None

    sample = patient.sample
    assert sample, f"no file on disk was found in {patient.settings.input_dir or '/'}; choose another --input_dir"
    assert sample.size <= MOST, f"{sample.path} has {sample.size} bytes; choose another --input_dir"
    data = received(place, sample.path, 0, sample.size)
    (file,) = place.lister.folder(sample.path)
    return Subject(place._replace(find_tape=find_tape), file, data)


def grid_subject(grid: Grid, name: str) -> Subject:
    """A site of the grid."""
    path = f"{RUN}/Data/03A/{agata.SMALL}"
    known, data = grid.tree.file(f"agata/{path}"), grid.tree.expected(f"agata/{path}")
    known.locality = "ONLINE"
    place = memory_of(grid, RUN).place if name == "memory" else place_at(grid, site_of(grid, name))
    mtime = seconds_of(f"{CREATED[:19]}Z") if name in PORTALS else int(known.mtime)
    return Subject(place, Entry(path, False, known.size, mtime), data)


@pytest.fixture(params=[SITE] if SITE else [*PLACES, "memory"])
def subject(request: pytest.FixtureRequest) -> Subject:
    if SITE:
        return user_subject(SITE)
    return grid_subject(request.getfixturevalue("grid"), request.param)


# What there is.


@pytest.mark.every(5)
def test_a_folder_is_what_is_in_it(subject):
    entries = {entry.path: entry for entry in subject.place.lister.folder(subject.folder)}
    assert {path.rpartition("/")[0] for path in entries} == {subject.folder}
    found = entries[subject.file.path]
    assert (found.is_folder, found.size, found.mtime) == (False, subject.file.size, subject.file.mtime)
    above = {entry.path: entry for entry in subject.place.lister.folder(subject.folder.rpartition("/")[0])}
    assert above[subject.folder].is_folder


@pytest.mark.every(5)
def test_the_checksum_of_a_listing_is_that_of_the_content(subject):
    (found,) = [entry for entry in subject.place.lister.folder(subject.folder) if entry.path == subject.file.path]
    kind = found.checksum.partition(":")[0]
    assert not kind or (kind in subject.place.can.checksums and found.checksum == checksum_of(kind, subject.data))


def test_a_file_that_is_listed_is_itself(subject):
    (found,) = subject.place.lister.folder(subject.file.path)
    assert found[:4] == subject.file[:4]


@pytest.mark.parametrize("below", ["folder", "file"])
def test_what_is_not_there_is_not_found(subject, below):
    path = f"{subject.folder}/{NOWHERE}" if below == "folder" else f"{subject.file.path}/{NOWHERE}"
    with pytest.raises((NotFound, FileError)) as caught:
        subject.place.lister.folder(path)
    assert below == "file" or isinstance(caught.value, NotFound)


@pytest.mark.parametrize("verb", ["read", "checksum"])
def test_a_file_that_is_not_there_is_not_found(subject, verb):
    at = At(f"{subject.folder}/{NOWHERE}", 1)
    if verb == "checksum" and not subject.place.can.checksums:
        pytest.skip("it knows no checksums")
    with pytest.raises(NotFound):
        if verb == "checksum":
            subject.place.reader.checksum(at)
        else:
            subject.place.reader.read(at, 0, 1)


# Its bytes.


@pytest.mark.every(7)
@pytest.mark.parametrize(("start", "stop"), [(0, 0), (1, 0), (70_000, 0), (-1, 0), (0, 500_000), (7, -1)])
def test_bytes_are_those_of_the_file(subject, start, stop):
    size = len(subject.data)
    start, stop = sorted((start % size, stop % size or size))
    stop = max(stop, start + 1)  # of a short file
    assert received(subject.place, subject.file.path, start, stop, size) == subject.data[start:stop]


@pytest.mark.every(3)
def test_who_has_enough_closes_and_others_read_on(subject):
    body = subject.place.reader.read(subject.at, 0, subject.file.size)
    next(body.chunks)
    body.close()
    assert received(subject.place, subject.file.path, 0, min(10, subject.file.size), subject.file.size)


@pytest.mark.every(5)
def test_bytes_come_no_faster_than_they_may(subject):
    size = len(subject.data)
    place = paced(subject.place, Pacing(Timetable(((0, max(size, 1024)),))), Stop())  # in a second
    began = time.monotonic()
    assert received(place, subject.file.path, 0, size) == subject.data
    assert time.monotonic() - began > 0.9 * min(1, size / 1024)


@pytest.mark.every(3)
def test_several_threads_read_at_once(subject):
    found: list[bytes] = []
    size = subject.file.size

    def read() -> None:
        found.append(received(subject.place, subject.file.path, size // 2, size, size))

    threads = [threading.Thread(target=read) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [subject.data[size // 2 :]] * 4


def test_a_file_of_another_size_is_refused_before_its_bytes(subject):
    other = subject.file.size + 17
    says = f"has {subject.file.size} bytes now, but {other} in the catalog"
    with pytest.raises(FileError, match=says):
        subject.place.reader.read(At(subject.file.path, other), 0, other)


def test_a_version_is_read_by_its_tag_and_no_other_one(subject):
    body = subject.place.reader.read(subject.at, 0, subject.file.size)
    body.close()
    if not body.tag:
        pytest.skip("it does not tell versions apart")
    again = subject.place.reader.read(subject.at._replace(tag=body.tag), 0, subject.file.size)
    again.close()
    assert again.tag == body.tag
    other = '"another"' if body.tag[0] == '"' else "Tue, 09 Jun 1998 12:00:00 GMT"
    with pytest.raises(Changed):
        subject.place.reader.read(subject.at._replace(tag=other), 0, subject.file.size)


# Checksums.


def checksum_of(kind: str, data: bytes) -> str:
    whole = Checksum(kind)
    whole.update(data)
    return whole.text()


def test_a_checksum_is_that_of_the_content(subject):
    if not subject.place.can.checksums:
        assert subject.place.reader.checksum(subject.at) == ""
        pytest.skip("it knows no checksums")
    found = subject.place.reader.checksum(subject.at)
    kind = found.partition(":")[0]
    assert kind in subject.place.can.checksums and found == checksum_of(kind, subject.data)


def test_a_checksum_that_comes_along_is_that_of_the_content(subject):
    body = subject.place.reader.read(subject.at, 0, subject.file.size)
    body.close()
    assert body.checksum in ("", *(checksum_of(kind, subject.data) for kind in subject.place.can.checksums))


# Where files are.


def test_it_is_said_where_files_are_and_of_what_is_not_there_nothing(subject):
    path, gone = subject.file.path, f"{subject.folder}/{NOWHERE}"
    found = subject.place.locate([path, gone])
    assert found == {path: Locality.ONLINE}


def test_a_tape_service_is_there_only_where_there_may_be_one_and_is_found_once(subject):
    tape = subject.place.find_tape()
    if tape is None:
        pytest.skip("it has no tape")
    assert subject.place.can.tape and subject.place.find_tape() is not None
    assert tape.localities([subject.file.path]) == {subject.file.path: Locality.ONLINE}


# In the end.


def test_what_it_can_is_of_the_kinds_that_there_are(subject):
    assert set(subject.place.can.checksums) <= set(STRONG)


def test_a_place_that_was_closed_opens_its_connections_anew(subject):
    subject.place.close()
    assert subject.place.lister.folder(subject.file.path)
    assert subject.place.expires() >= 0


@pytest.mark.every(5)
def test_a_name_that_nobody_has_is_a_matter_of_that_file(subject):
    for path in (f"{subject.folder}/\x01", f"{subject.folder}/{'x' * 300}", f"{subject.folder}/%zz"):
        for verb in (
            lambda path=path: subject.place.lister.folder(path),
            lambda path=path: b"".join(map(bytes, subject.place.reader.read(At(path, 1), 0, 1).chunks)),
        ):
            with pytest.raises(GridError) as caught:
                verb()
            assert isinstance(caught.value, (NotFound, BadRequest, Forbidden, FileError)), repr(caught.value)


@pytest.mark.skipif(bool(SITE), reason="it is one")
def test_a_site_of_the_users_is_only_looked_at(user, folder):
    line = [sys.executable, "-m", "pytest", "-p", "no:xdist", "tests/contract/test_contract.py"]
    for number in range(3):
        user.grid.tree.add(f"agata/{folder}/run/{number}", 1000 + number, tape=number == 1)
    user.set("INPUTDIR", folder, "gridsync")
    user.grid.door.log.clear()
    env = {**user.env, "CONTRACT_SITE": "LYON", "GRIDSYNC_DIR": str(user.folder)}
    done = subprocess.run(line, cwd=TOP, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-3000:]
    asked = {(record.role, record.method) for record in user.grid.door.log}
    assert {("door", "PROPFIND"), ("pool", "GET"), ("tape", "POST")} <= asked
    assert {method for _, method in asked} <= {"OPTIONS", "PROPFIND", "GET", "HEAD", "POST"}
    assert {record.path.rpartition("/")[2] for record in user.grid.door.log.matching(method="POST")} == {"archiveinfo"}
