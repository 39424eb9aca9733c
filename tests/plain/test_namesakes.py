"""Files whose names are one and the same on the disk that they come to; NTFS, told to ignore case, is such a disk."""

from __future__ import annotations

import os
import subprocess
import threading
import time
from pathlib import Path

import pytest

from gridsync_parts import namesakes
from gridsync_parts.catalog import Catalog
from gridsync_parts.copier import Copier
from gridsync_parts.copy import Arrived
from gridsync_parts.fetching import Work
from gridsync_parts.namesakes import NFC, NFD, Namesakes, ignored_by
from gridsync_parts.pace import PACE, Tries
from gridsync_parts.pool import Stop
from gridsync_parts.table import Settings, Site
from gridsync_parts.values import SAME_NAME, Action, Outcome, Row, Wishes, why_left
from tests.support.memory import Memory

SITE = Site("LYON", "memory:", "")
FILES = {"run/a": b"first", "run/A": b"second!", "Run/a": b"the third", "Run/b": b"alone"}


class Copies:
    """Copies into a folder, an attempt each."""

    def __init__(self, folder: Path, work: Path, site: Memory, **wishes: bool):
        settings = Settings(SITE, output_dir=str(folder), threads=1, streams=1, vo="", retries=0)
        self.catalog, self.site = Catalog(str(work)), site
        self.copier = Copier(site.place, settings, Wishes(**wishes), self.catalog, Stop())

    def __call__(self, path: str) -> Outcome:
        work = Work(self.site.row(path), False, time.monotonic() + 60, Tries(time.monotonic()), 0, PACE)
        item = self.copier.bring(work)
        (outcome,) = self.copier.settle([item]) if isinstance(item, Arrived) else [item]
        assert isinstance(outcome, Outcome)
        self.catalog.put([outcome.row])
        return outcome


def read_all(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def check_refused(outcome: Outcome, owner: str) -> None:
    assert outcome.done == "failed" and f"{SAME_NAME} {owner}; leave one of them out (--exc)" in outcome.row.error
    assert why_left(outcome.row, Action.KEEP, overwrite=False) == outcome.row.error  # not: --overwrite replaces it


def test_this_disk_tells_all_names_apart_and_is_left_as_it_was(tmp_path: Path):
    assert ignored_by(str(tmp_path)) == (False, False)
    assert ignored_by(str(tmp_path / "gone")) == (False, False)
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize(
    ("ignored", "owner", "others"),
    [
        ((False, False), "run/a", []),
        ((True, False), "run/a", ["run/A", "Run/a"]),
        ((False, True), f"run/{NFC}", [f"run/{NFD}"]),
        ((True, True), f"run/{NFC}", [f"RUN/{NFD}", f"run/{NFC.lower()}"]),
    ],
)
def test_the_first_one_has_the_name(monkeypatch: pytest.MonkeyPatch, ignored, owner, others):
    monkeypatch.setattr(namesakes, "ignored_by", lambda _: ignored)
    names = Namesakes("", [])
    assert names.fault(owner) == names.fault("run/b") == names.fault(owner) == ""
    for other in others:
        assert names.fault(other).startswith(f"{other}: {SAME_NAME} {owner};")


def test_what_was_copied_before_has_the_name(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(namesakes, "ignored_by", lambda _: (True, False))
    old = Memory(FILES).row("run/A")
    kept: list[tuple[Row, str]] = [
        (old._replace(downloaded=True, verified="adler32"), "run/A"),
        (old._replace(verified="adler32"), "run/A"),  # it is damaged, and --repair is to replace it
        (old, ""),
    ]
    for row, owner in kept:
        assert bool(Namesakes("", [row]).fault("run/a")) == bool(owner)


def test_of_many_threads_one_gets_the_name(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(namesakes, "ignored_by", lambda _: (True, False))
    names, wrong = Namesakes("", []), []
    paths = [format(number, "b").zfill(8).replace("0", "a").replace("1", "A") for number in range(256)]
    threads = [threading.Thread(target=lambda path=path: wrong.append(names.fault(path))) for path in paths]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong.count("") == 1


def test_no_file_of_a_site_replaces_another_one(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setattr(namesakes, "ignored_by", lambda _: (True, False))
    (tmp_path / "data").mkdir()
    for wishes in ({}, {"overwrite": True}):
        copies = Copies(tmp_path / "data", tmp_path, Memory(FILES), **wishes)
        assert copies("run/a").is_here() and copies("Run/b").is_here()
        check_refused(copies("run/A"), "run/a")
        check_refused(copies("Run/a"), "run/a")
        assert read_all(tmp_path / "data") == {"run/a": b"first", "Run/b": b"alone"}


@pytest.mark.long
def test_a_real_disk_that_ignores_case(tmp_path: Path):
    if os.getuid() or not os.path.exists("/dev/fuse"):
        pytest.skip("only root can mount a filesystem that is in a file")
    image, folder = tmp_path / "image", tmp_path / "mounted"
    image.touch()
    os.truncate(image, 32 << 20)
    folder.mkdir()
    subprocess.run(["mkntfs", "--quick", "--force", image], check=True, capture_output=True)
    subprocess.run(["lowntfs-3g", "-o", "ignore_case", image, folder], check=True)
    try:
        assert ignored_by(str(folder)) == (True, False)
        for wishes in ({}, {"overwrite": True}):
            copies = Copies(folder, tmp_path, Memory(FILES), **wishes)
            assert copies("run/a").is_here() and copies("Run/b").is_here()
            check_refused(copies("run/A"), "run/a")
            check_refused(copies("Run/a"), "run/a")
            assert sorted(read_all(folder).values()) == [b"alone", b"first"]
            copies.copier.home.held.clear()
    finally:
        del copies
        subprocess.run(["umount", "--lazy", str(folder)], check=True)
