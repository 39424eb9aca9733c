"""A local file that is to be sent, as it is read: what its disk says of it, and which file it is."""

from __future__ import annotations

import pytest

from gridsync_parts.errors import FileError
from gridsync_parts.pool import Stop
from gridsync_parts.put import Deliverer, Put
from gridsync_parts.source import Source
from gridsync_parts.values import Locality, Row
from tests.support.memory import Memory


def put(path: object, top: object = "") -> tuple[Memory, Row, str]:
    """Send a file to a site in memory; the site, the file's row, and what was done."""
    memory = Memory()
    memory.make("mine")
    assert memory.place.writer
    deliverer = Deliverer(memory.place.writer, True, Stop())
    deliverer.top = str(top)
    row = Row("mine/a", 0, 0, "", Locality.ONLINE, False, "", "", "LYON", "")
    return memory, *deliverer.deliver(Put(row, str(path), "mine/1.gridsync-part"), lambda *_: None)


@pytest.mark.parametrize("path", ["/proc/cpuinfo", "/proc/self/status", "/sys/kernel/fscaps"])
def test_a_file_of_which_the_disk_does_not_tell_the_size_is_not_sent(path):
    with pytest.raises(FileError, match="has another size than its disk says; send a copy") as caught:
        put(path)
    assert not caught.value.passing


def test_a_folder_that_has_become_a_link_is_not_followed(tmp_path):
    for name in ("top/sub/deep/a", "elsewhere/deep/a"):
        (tmp_path / name).parent.mkdir(parents=True)
        (tmp_path / name).write_bytes(name.encode())
    top, file = tmp_path / "top", tmp_path / "top/sub/deep/a"
    memory, row, done = put(file, top)
    assert (done, row.size, memory.files["mine/a"].data) == ("sent", 14, b"top/sub/deep/a")
    for where in ("sub", "sub/deep"):
        (top / where).rename(tmp_path / "kept")
        (top / where).symlink_to(tmp_path / "elsewhere" / where[4:])
        with pytest.raises(FileError, match="a: cannot be read: Not a directory"):
            put(file, top)
        (top / where).unlink()
        (tmp_path / "kept").rename(top / where)
    file.unlink()
    file.symlink_to(tmp_path / "elsewhere/deep/a")
    with pytest.raises(FileError, match="a: cannot be read: Too many levels of symbolic links"):
        put(file, top)


def test_what_was_named_may_be_a_link(tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "real/a").write_bytes(b"1")
    (tmp_path / "named").symlink_to("real")
    (tmp_path / "run").symlink_to("run_3.tar")
    (tmp_path / "run_3.tar").write_bytes(b"12")
    with Source(str(tmp_path / "run_3.tar"), str(tmp_path / "run")) as source:  # what a link leads to that was named
        assert source.size == 2
    for top in (tmp_path / "named", f"{tmp_path}/named/", tmp_path / "real/a"):
        with Source(str(tmp_path / "named/a"), str(top)) as source:
            assert source.size == 1
