"""What a power failure leaves: an ext4 filesystem in a file, copied while it is mounted, without what memory holds."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from gridsync_parts.catalog import Catalog
from gridsync_parts.disk import MARK, disk_usage
from gridsync_parts.home import Home
from gridsync_parts.partfile import PartFile
from gridsync_parts.segments import SHORTEST
from tests.support.disk import MB, Image
from tests.support.user import User, wait_until

LARGE = 2 * SHORTEST + 7
SIZES = {"empty": 0, "small": 10, "sub/middle": 300_000, "sub/deep/large": LARGE}


@pytest.fixture
def image(tmp_path: Path, user: User, folder: str) -> Iterator[Image]:
    """Work folder and OUTPUTDIR of the user are on it."""
    if os.geteuid():
        pytest.skip("only root can mount a filesystem that is in a file")
    image = Image(tmp_path / "mounted", tmp_path / "image", 160 * MB)
    try:
        conf = (user.folder / "Grid.conf").read_text().replace(str(user.data), str(image.folder / "data"))
        (image.folder / "Grid.conf").write_text(conf)
        user.folder, user.data = image.folder, image.folder / "data"
        user.env["GRIDSYNC_DIR"] = str(image.folder)
        yield image
    finally:
        image.close()


def planted(user: User, folder: str, sizes: dict[str, int], **options: object) -> None:
    for name, size in sizes.items():
        user.grid.tree.add(f"agata/{folder}/{name}", size, **options)
    assert user(f"--input_dir {folder} --build_list").status == 0


def look(user: User, folder: str, work: Path, data: Path, sizes: dict[str, int]) -> set[str]:
    """The files that are there by their names, which are right; those that the catalog calls downloaded are there."""
    rows = Catalog(str(work)).by_path("LYON")
    there = {name for name in sizes if (data / folder / name).exists()}
    for name in there:
        content = (data / folder / name).read_bytes()
        assert content == user.grid.tree.expected(f"agata/{folder}/{name}"), f"{name} is wrong"
    assert there >= {name for name in sizes if rows[f"{folder}/{name}"].downloaded}
    return there


def resumable(user: User, folder: str, found: Path) -> int:
    """Bytes of the large file that a run after the power failure need not fetch; they are right."""
    row = Catalog(str(found)).by_path("LYON")[f"{folder}/large"]
    if not (found / f"data/{folder}/large{MARK}").exists():
        return 0
    content = user.grid.tree.expected(f"agata/{folder}/large")
    with PartFile(Home(str(found / "data")), row, "size") as part:
        part.resume(2)
        for segment in part.segments:
            here = os.pread(part.file.fd, segment.done, segment.start)
            assert here == content[segment.start : segment.at()], "the table has promised too much"
        return part.received()


@pytest.mark.parametrize("options", ["", "--streams 2", "--streams 2 --nochecksum"])
def test_what_a_run_calls_copied_outlives_a_power_failure(user, folder, image, options):
    planted(user, folder, SIZES)
    assert user(f"--start {options}").status == 0
    wait_until(lambda: image.snapshot(image.file.with_suffix(".copy")))
    with image.found(image.file.with_suffix(".copy")) as found:
        assert look(user, folder, found, found / "data", SIZES) == set(SIZES)
        assert all(row.downloaded for row in Catalog(str(found)).of("LYON"))


@pytest.mark.long
def test_so_do_its_names_when_the_catalog_is_on_another_disk(user, folder, image, tmp_path):
    """Else the catalog's own synchronisation would take them along."""
    user.folder = tmp_path / "work"
    user.folder.mkdir()
    (user.folder / "Grid.conf").write_text((image.folder / "Grid.conf").read_text())
    user.env["GRIDSYNC_DIR"] = str(user.folder)
    planted(user, folder, SIZES)
    user.data.mkdir()
    subprocess.run(["sync", "--file-system", str(user.data)], check=True)
    assert user("--start").status == 0
    wait_until(lambda: image.snapshot(image.file.with_suffix(".copy")))
    with image.found(image.file.with_suffix(".copy")) as found:
        assert look(user, folder, user.folder, found / "data", SIZES) == set(SIZES)


@pytest.mark.long
@pytest.mark.parametrize("checksums", [("adler32",), ()], ids=["checksums", "none"])
def test_a_power_failure_in_mid_run_leaves_nothing_wrong_and_the_next_run_goes_on(user, folder, image, checksums):
    sizes = {**{f"{number // 9}/{number}": 20_000 + number for number in range(90)}, "large": LARGE}
    planted(user, folder, sizes, checksums=checksums)
    user.grid.door.switches.bandwidth = 12 * MB
    snapshots: list[Path] = []
    try:
        with user.running("--start --streams 2 --threads 3", "NOTE = 1 << 20") as run:
            part = user.data / folder / f"large{MARK}"
            for share in range(1, 6):
                wait_until(lambda share=share: disk_usage(str(part)) > share * LARGE // 6, 60)
                run.send_signal(signal.SIGSTOP)
                snapshots.append(image.file.with_suffix(f".copy{share}"))
                wait_until(lambda: image.snapshot(snapshots[-1]))
                run.send_signal(signal.SIGCONT)
            run.kill()
    finally:
        user.grid.door.switches.bandwidth = 0
    counts, resumed = [], 0
    for snapshot in snapshots:
        with image.found(snapshot) as found:
            counts.append(len(look(user, folder, found, found / "data", sizes)))
            resumed = max(resumed, resumable(user, folder, found))
    assert max(counts) > 5 and resumed > 1 << 20, f"the snapshots show too little: {counts}, {resumed}"


@pytest.mark.usefixtures("disk_that_lies")
def test_a_disk_that_takes_bytes_and_then_loses_them_is_found_out(user, folder):
    """The filesystem believes that there is room; what is below it has none left when the bytes are to be kept."""
    sizes = {f"{number}": 3 * MB for number in range(20)}
    planted(user, folder, sizes)
    status, _, err = user("--start")
    assert status == 5 and err.count("gridsync.py: ") == 1, err
    assert "check the disk" in err or "is full" in err, err  # kernels differ in what they call bytes lost below them
    assert len(look(user, folder, user.folder, user.data, sizes)) < 20


@pytest.fixture
def disk_that_lies(tmp_path: Path, user: User, folder: str) -> Iterator[Image]:
    if os.geteuid():
        pytest.skip("only root can mount a filesystem that is in a file")
    below = tmp_path / "below"
    below.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=24m", "tmpfs", str(below)], check=True)
    try:
        image = Image(tmp_path / "mounted", below / "image", 160 * MB)
        try:
            user.set("OUTPUTDIR", str(image.folder / "data"), "gridsync")
            user.data = image.folder / "data"
            yield image
        finally:
            image.close()
    finally:
        # Other tests' namespaces may have a copy of the mount above, which holds the image open as long as they live.
        subprocess.run(["umount", "--lazy", str(below)], check=True)
