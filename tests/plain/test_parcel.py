"""What Python programs send, to a site in memory."""

from __future__ import annotations

from pathlib import Path

import pytest

from gridsync_parts.errors import CredentialError, DoorError, FileError, Forbidden, GridError, Incomplete, UsageError
from gridsync_parts.face import OpenSite
from gridsync_parts.table import Settings, Site
from tests.support.memory import Memory

SITE = Site("LYON", "memory:", "", "http", "auto", "", "", "", 30, 10)
FILES = {"1": b"one" * 1000, "b/2": b"two" * 1000, "b/c/3": b"", "d/4": b"four"}


@pytest.fixture
def memory() -> Memory:
    return Memory()


@pytest.fixture
def site(memory: Memory) -> OpenSite:
    return OpenSite(Settings(SITE, threads=2, retries=0), memory.place)


@pytest.fixture
def local(tmp_path: Path) -> Path:
    for name, data in FILES.items():
        (tmp_path / "out" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "out" / name).write_bytes(data)
    return tmp_path / "out"


def there(memory: Memory) -> dict[str, bytes]:
    return {path: file.data for path, file in memory.files.items()}


def test_a_folder_is_sent_with_all_below_it(memory, site, local):
    sent = site.put(local, "me/results")
    assert there(memory) == {f"me/results/{name}": data for name, data in FILES.items()}
    assert [upload.target for upload in sent] == sorted(there(memory)) and not sent.unfinished
    assert {(upload.verified, upload.error, upload.temp) for upload in sent} == {("adler32", "", "")}


def test_each_folder_is_listed_or_made_once(memory, site, local):
    site.put(local, "me")
    made = memory.calls("mkdir")
    assert len(made) == len({*made}) and {("me/b",), ("me/b/c",), ("me/d",)} <= {*made}
    assert ("me/b",) not in memory.calls("folder")  # as me was not there
    memory.asked.clear()
    site.put(local, "me")
    assert not memory.calls("mkdir") and not memory.calls("write")


def test_a_folder_that_is_refused_concerns_its_files_alone(memory, site, local):
    memory.order("mkdir", "me/b", *[Forbidden("me/b: you may not")] * 3)
    with pytest.raises(Incomplete, match=r"^2 of 4 files failed: ") as caught:
        site.put(local, "me")
    assert [upload.target for upload in caught.value.rows if upload.error] == ["me/b/2", "me/b/c/3"]
    assert {*there(memory)} == {"me/1", "me/d/4"}


@pytest.mark.parametrize("error", [CredentialError("your proxy ended"), GridError("a fault")])
def test_what_concerns_all_is_raised_itself(memory, site, local, error):
    memory.order("mkdir", "me/b", error)
    with pytest.raises(type(error), match=str(error)):
        site.put(local, "me")


@pytest.mark.parametrize("error", [DoorError("down"), FileError("me: no")])
def test_without_the_top_folder_nothing_is_sent(memory, site, local, error):
    memory.order("folder", "me", error)
    with pytest.raises(type(error), match=str(error)):
        site.put(local, "me")
    assert not there(memory)


def test_a_file_that_fails_leaves_nothing_and_the_others_go(memory, site, local, monkeypatch):
    monkeypatch.setattr("gridsync_parts.parcel.secrets.token_hex", lambda size: "t")
    for number in range(len(FILES)):
        name = f"me/d/t-{number}.gridsync-part"
        memory.order("write", name, FileError(f"{name}: refused"))
    with pytest.raises(Incomplete, match=r"^1 of 4 files failed: me/d/4: refused$") as caught:
        site.put(local, "me")
    (failed,) = [upload for upload in caught.value.rows if upload.error]
    assert (failed.target, failed.verified, failed.temp) == ("me/d/4", "", "")
    assert {*there(memory)} == {"me/1", "me/b/2", "me/b/c/3"}


def test_what_others_have_left_there_is_named_and_left_alone(memory, site, local):
    memory.put("me/abc-0.gridsync-part", b"half")
    assert site.put(local, "me").unfinished == ["me/abc-0.gridsync-part"]
    assert memory.files["me/abc-0.gridsync-part"].data == b"half"


def test_a_site_without_a_writer_takes_nothing(memory, local):
    site = OpenSite(Settings(SITE), memory.place._replace(writer=None))
    with pytest.raises(UsageError, match="gridsync cannot send files to the site LYON"):
        site.put(local)
