"""Users who copy a folder from one site to another one: between simulated doors, between real ones, through here."""

from __future__ import annotations

import csv
import os
from pathlib import Path

from gridsync_parts.uploads import Uploads
from tests.grid import Grid
from tests.grid.propfind import content
from tests.grid.xrootd import SCRATCH, XRootD
from tests.support.user import Result, User

SIZES = {"empty": 0, "small": 20_000, "sub/mid": 300_000, "sub/deep/big": 3 * (1 << 20) + 17}
LAST = r"Copied: {copied}, skipped: {skipped}, failed: {failed}, waiting on tape: {waiting}; .*"


def last_line(copied: int = 0, skipped: int = 0, failed: int = 0, waiting: int = 0) -> str:
    """A pattern of the last line of such a run."""
    return LAST.format(copied=copied, skipped=skipped, failed=failed, waiting=waiting)


class Shipper(User):
    """A user who copies a folder from one site to another one."""

    source, target, more = "LYON", "CNAF", ""

    def __init__(self, grid: Grid, home: Path, folder: str):
        super().__init__(grid, home)
        self.top = folder
        self.set("INPUTDIR", folder, "gridsync")
        self.set("SITE", self.source, "gridsync")

    def ship(self, action: str, more: str = "") -> Result:
        """Do something with the files on their way to the target."""
        return self(f"{action} --to={self.target} {self.more} {more}")

    def list_and_start(self, more: str = "") -> Result:
        listed = self.ship("--build_list")
        assert listed.status == 0, listed
        return self.ship("--start", more)

    def sent(self) -> dict[str, bytes]:
        """The files of the folder at the source."""
        raise NotImplementedError

    def there(self) -> dict[str, bytes]:
        """What is in the folder at the target."""
        raise NotImplementedError

    def put_there(self, name: str, data: bytes) -> None:
        """Have something at the target that came another way."""
        raise NotImplementedError

    def rows(self) -> dict[str, dict[str, str]]:
        """The rows of the catalog of this pair, by the names of files."""
        with open(self.folder / "grid_summary.csv", newline="", encoding="utf-8") as file:
            rows = [row for row in csv.DictReader(file) if row["site"] == f"{self.source}>{self.target}"]
        return {row["path"][len(self.top) + 1 :]: row for row in rows}

    def noted(self) -> dict[str, dict[str, str]]:
        """grid_uploads.csv, by the names of files."""
        with (self.folder / "grid_uploads.csv").open(newline="") as file:
            return {row["target"][len(self.top) + 1 :]: row for row in csv.DictReader(file)}

    def open(self) -> list[str]:
        """The names under which some of a file may be at the target, as is noted."""
        return [upload.temp for upload in Uploads(str(self.folder)).of(self.target) if upload.temp]


class Simulated(Shipper):
    """Between simulated dCache and StoRM, which have one tree: what is copied is in another folder of it."""

    def __init__(self, grid: Grid, home: Path, folder: str, source: str = "LYON"):
        self.source, self.target = (source, "CNAF") if source == "LYON" else (source, "LYON")
        super().__init__(grid, home, folder)
        self.doors = {"LYON": grid.door, "CNAF": grid.storm}
        self.mirror = f"agata/{folder}/mirror"
        grid.tree.folder(self.mirror)
        self.set("INPUTDIR", f"{folder}/run", "gridsync")
        self.top = f"{folder}/run"
        self.set("BASE_DIR_ON_GRID", self.mirror, self.target)
        for name, size in SIZES.items():
            self.add(name, size)
        grid.door.log.clear()
        grid.storm.log.clear()

    def add(self, name: str, size: int, tape: bool = False) -> None:
        self.grid.tree.add(f"agata/{self.top}/{name}", size, tape=tape)

    def pinned(self) -> list[str]:
        """The files that are pinned at the source; StoRM takes a release and does nothing."""
        staging = self.doors[self.source].staging
        return [path for path in self.grid.tree.files(f"agata/{self.top}") if staging.pins(path)]

    def below(self, top: str) -> dict[str, bytes]:
        found = {path: self.grid.tree.file(path) for path in self.grid.tree.files(top)}
        return {path[len(top) + 1 :]: b"".join(content(file, 0, file.size)) for path, file in found.items()}

    def sent(self) -> dict[str, bytes]:
        return self.below(f"agata/{self.top}")

    def there(self) -> dict[str, bytes]:
        return self.below(f"{self.mirror}/{self.top}")

    def put_there(self, name: str, data: bytes) -> None:
        self.doors[self.target].uploads.put(f"{self.mirror}/{self.top}/{name}", data)


class ThroughHere(Simulated):
    """The same through this machine."""

    more = "--via_here"


class Handing(Simulated):
    """A user who has an FTS3 server copy."""

    @property
    def more(self) -> str:  # type: ignore[override]
        return f"--fts={self.grid.fts.url}"


class Real(Shipper):
    """From one real XRootD to another one."""

    source, target = "ONE", "TWO"
    pair: tuple[XRootD, XRootD]

    def __init__(self, grid: Grid, home: Path, folder: str, pair: tuple[XRootD, XRootD]):
        super().__init__(grid, home, home.name)
        self.limit = 150  # XRootD that makes checksums forgets an answer now and then, which is waited for
        self.pair = pair
        for name, server in zip((self.source, self.target), pair):
            self.set("SERVER", f"{server.url}/", name)
            self.set("BASE_DIR_ON_GRID", SCRATCH, name)
            self.set("FIRST_BYTE", "30", name)
        for name, size in SIZES.items():
            self.add(name, size)

    def place(self, server: XRootD) -> Path:
        return server.folder / "data" / SCRATCH / self.top

    def add(self, name: str, data: bytes | int, at: int = 0) -> None:
        server, data = self.pair[at], os.urandom(data) if isinstance(data, int) else data
        top = server.folder / "data" / SCRATCH
        folder = (self.place(server) / name).parent
        for path in [*reversed(folder.relative_to(top).parents), folder.relative_to(top)]:
            if not (top / path).exists():
                (top / path).mkdir()
                owner = top.stat()
                os.chown(top / path, owner.st_uid, owner.st_gid)
        server.add(str((self.place(server) / name).relative_to(server.folder / "data")), data)

    def below(self, server: XRootD) -> dict[str, bytes]:
        top = self.place(server)
        return {str(path.relative_to(top)): path.read_bytes() for path in top.rglob("*") if path.is_file()}

    def sent(self) -> dict[str, bytes]:
        return self.below(self.pair[0])

    def there(self) -> dict[str, bytes]:
        return self.below(self.pair[1])

    def put_there(self, name: str, data: bytes) -> None:
        self.add(name, data, at=1)
