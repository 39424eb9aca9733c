"""A file at a site that is read as if it were here, from a site in memory."""

from __future__ import annotations

import io
import random

import pytest

from gridsync_parts.errors import Changed, CredentialError, DoorError, FileError, Mismatch, NoRanges, NotFound
from gridsync_parts.reading import RemoteFile, Source
from gridsync_parts.values import Entry
from tests.support.memory import Memory, adler32, break_off
from tests.support.user import wait_until

DATA = bytes(random.Random(1).randbytes(10_000))
BLOCK = 1000


def opened(site: Memory, checksum: str = "", retries: int = 1, block: int = BLOCK) -> RemoteFile:
    """The file of a site."""
    entry = Entry("a/file", False, len(site.files["a/file"].data), 1000, checksum)
    return RemoteFile(Source(lambda: site.place, entry, retries), block)


@pytest.fixture
def site() -> Memory:
    return Memory({"a/file": DATA})


def ranges(site: Memory) -> list[tuple[int, int]]:
    return [asked[1:] for asked in site.calls("read")]


def test_it_reads_like_a_local_file(site):
    file, local, dice = opened(site), io.BytesIO(DATA), random.Random(2)
    for _ in range(500):
        verb = dice.choice(["read", "seek", "readline", "tell", "read1", "peek"])
        if verb == "seek":
            whence = dice.choice([0, 1, 2])
            offset = dice.randrange(-200, 12_000) if whence == 0 else dice.randrange(-3000, 3000)
            if (whence == 0 and offset < 0) or (whence == 1 and local.tell() + offset < 0):
                continue
            assert file.seek(offset, whence) == local.seek(offset, whence)
        elif verb == "tell":
            assert file.tell() == local.tell()
        elif verb == "read1":
            data = file.read1(300)
            assert data == local.read(len(data))
        elif verb == "peek":
            assert not file.peek(1) or file.peek(1)[:1] == DATA[local.tell() :][:1]
        else:
            count = dice.randrange(0, 4000)
            assert getattr(file, verb)(count) == getattr(local, verb)(count)
    assert site.open == 0


def test_a_block_is_asked_for_once_and_several_at_most_are_kept(site):
    file = opened(site, block=100)
    for at in (5_000, 5_050, 5_010):
        file.seek(at)
        assert file.read(10) == DATA[at : at + 10]
    assert ranges(site) == [(5_000, 5_100)]
    for at in range(0, 2_000, 200):
        file.seek(at)
        file.read(10)
    assert len(file.file.blocks.blocks) <= 8


def test_who_reads_one_block_after_the_other_has_the_next_one_ahead(site):
    file = opened(site)
    file.read(BLOCK + 1)  # the second, and so the third is on its way
    wait_until(lambda: len(ranges(site)) > 2)
    assert ranges(site) == [(0, BLOCK), (BLOCK, 2 * BLOCK), (2 * BLOCK, 3 * BLOCK)]


@pytest.mark.parametrize("known", ["listed", "sent", "asked"])
def test_the_checksum_is_compared_once_all_was_read_in_order(site, known):
    site.sends_checksums = known == "sent"
    file = opened(site, adler32(DATA) if known == "listed" else "")
    assert file.read(7_000) == DATA[:7_000] and file.verified == ""
    file.seek(100)  # what was read already does not count twice, nor is anything lost
    assert file.read() == DATA[100:] and file.verified == "adler32"
    assert len(site.calls("checksum")) == (known == "asked")


def test_what_was_read_here_and_there_is_not_called_verified(site):
    file = opened(site)
    file.seek(5_000)
    file.read()
    file.seek(0)
    file.read(5_000 - BLOCK)
    assert file.verified == ""


def test_other_bytes_than_the_doors_are_told_at_the_end(site):
    file = opened(site, adler32(b"other"))
    assert file.read(9_000) == DATA[:9_000]
    with pytest.raises(Mismatch, match=r"a/file: the door says adler32:.* read it again, and ask the site"):
        file.read()
    assert file.verified == ""


@pytest.mark.parametrize("kind", ["", "md5:0123"])
def test_without_a_checksum_of_a_known_kind_it_is_verified_by_size(site, kind):
    site.knows_checksums = False
    site.order("checksum", "a/file", lambda found: kind)
    file = opened(site)
    assert file.read() == DATA and file.verified == "size"


def test_another_kind_that_is_known_beforehand_is_compared(site):
    import hashlib

    file = opened(site, f"md5:{hashlib.md5(DATA).hexdigest()}")
    assert file.read() == DATA and file.verified == "md5"


@pytest.mark.slow
def test_what_is_not_there_for_a_moment_is_asked_for_once_more(site):
    site.order("read", "a/file", NotFound("not just now"))
    assert opened(site, retries=0).read(10) == DATA[:10]
    site.order("read", "a/file", NotFound("gone"), NotFound("gone"))
    with pytest.raises(NotFound, match="gone"):
        opened(site, retries=3).read(10)


@pytest.mark.slow
def test_what_fails_for_a_moment_is_tried_again(site):
    site.order("read", "a/file", break_off(300), DoorError("a moment", passing=True))
    assert opened(site, retries=3).read(BLOCK) == DATA[:BLOCK]
    assert site.open == 0


@pytest.mark.parametrize("error", [CredentialError("no"), FileError("bad"), DoorError("down")])
def test_what_fails_is_raised_and_the_next_reading_tries_again(site, error):
    site.order("read", "a/file", error)
    file = opened(site, retries=0)
    with pytest.raises(type(error)):
        file.read(10)
    assert file.read(10) == DATA[:10]


def test_what_fails_ahead_is_raised_when_it_is_read(site):
    file = opened(site, retries=0)
    file.read(BLOCK)
    site.order("read", "a/file", lambda body: body, FileError("bad"))
    assert file.read(BLOCK) == DATA[BLOCK : 2 * BLOCK]
    with pytest.raises(FileError, match="bad"):
        file.read(2 * BLOCK)


def test_two_versions_are_never_mixed(site):
    file = opened(site)
    file.read(10)
    site.put("a/file", DATA[::-1])
    file.seek(5_000)
    with pytest.raises(Changed):
        file.read(10)


def test_a_door_without_ranges_is_said_to_be_one(site):
    site.has_ranges = False
    file = opened(site)
    assert file.read(BLOCK) == DATA[:BLOCK]
    file.seek(5_000)
    with pytest.raises(NoRanges, match=r"get\(\) brings it here"):
        file.read(10)


def test_an_empty_file_is_never_asked_for(site):
    site.put("a/file", b"")
    assert opened(site).read() == b"" and not site.calls("read")


def test_a_closed_file_is_not_read(site):
    file = opened(site)
    file.close()
    with pytest.raises(ValueError, match="closed"):
        file.read()
