"""How each tool is told to fetch a set of files, and what it checks by itself."""

from __future__ import annotations

import shlex
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from bench.site import Site
from tests.conftest import SCRIPT

PYTHON = "/usr/bin/python3"


class Job(NamedTuple):
    """What is fetched: a set of files of a site, from a door that may be a relay, with so many connections."""

    site: Site
    name: str
    door: str  # https://localhost:PORT
    files: int  # at once
    streams: int = 1  # of each
    part: int = 1  # only so many of all
    engine: str = "http"

    def paths(self) -> list[str]:
        """The files that are to come, below the folder of the set."""
        paths = self.site.paths(self.name)
        return paths[:: self.part]

    def url(self) -> str:
        return f"{self.door}/agata/{self.name}"


Command = Callable[[Job, Path], str]  # a line for sh that fills a folder; the folder is made


def listed(job: Job, folder: Path, line: str) -> str:
    """A file beside the folder with a line for each path."""
    file = folder.with_suffix(".list")
    file.write_text("".join(line.format(url=f"{job.url()}/{path}", path=path) + "\n" for path in job.paths()))
    return str(file)


def gridsync(job: Job, folder: Path) -> str:
    """With a catalog of its own, made before the clock runs; each run begins with a copy of it."""
    work = folder.with_suffix(".work")
    if not work.exists():
        work.mkdir()
        conf = f"[gridsync]\nSITE = BENCH\nINPUTDIR = {job.name}\nOUTPUTDIR = {work}/data\nTHREADS = {job.files}\n"
        conf += f"STREAMS = {job.streams}\n\n"
        conf += f"[BENCH]\nSERVER = {job.door}\nBASE_DIR_ON_GRID = agata/\nENGINE = {job.engine}\n"
        (work / "Grid.conf").write_text(conf)
    return f"{PYTHON} {SCRIPT} --workdir {work} --start --quiet"


def fresh(job: Job, folder: Path) -> None:
    """Have the catalog of gridsync as it is before a copy, and nothing of it here."""
    work = folder.with_suffix(".work")
    gridsync(job, folder)
    catalog, kept = work / "grid_summary.csv", work / "listed.csv"
    if not kept.exists():
        line = [PYTHON, str(SCRIPT), "--workdir", str(work), "--build_list", "--quiet"]
        subprocess.run(line, env=job.site.env, check=True)
        rows = catalog.read_text().splitlines(keepends=True)
        kept.write_text("".join([rows[0], *rows[1 :: job.part]]))
    shutil.copy(kept, catalog)
    shutil.rmtree(work / "data", ignore_errors=True)
    (work / "data").mkdir()


def curl(job: Job, folder: Path) -> str:
    config = listed(job, folder, 'url = "{url}"\noutput = "{path}"')
    keys = f"--cert {job.site.proxy} --key {job.site.proxy} --cacert {job.site.ca}"
    return f"curl -s -Z --parallel-max {job.files} --create-dirs --output-dir {folder} {keys} -K {config} 2>/dev/null"


def aria2c(job: Job, folder: Path) -> str:
    config = listed(job, folder, "{url}\n out={path}")
    keys = f"--certificate={job.site.proxy} --private-key={job.site.proxy} --ca-certificate={job.site.ca}"
    streams = f"-x {job.streams} -s {job.streams} -k 16M"
    return f"aria2c -q -d {folder} -j {job.files} {streams} --file-allocation=none {keys} -i {config}"


def rclone(job: Job, folder: Path) -> str:
    keys = f"--client-cert {job.site.proxy} --client-key {job.site.proxy} --ca-cert {job.site.ca}"
    files = listed(job, folder, "{path}")
    streams = f"--multi-thread-streams {job.streams if job.streams > 1 else 0} --multi-thread-cutoff 16M"
    source = f"--files-from {files} --webdav-url {job.door}/agata --webdav-vendor other :webdav:{job.name}"
    return f"rclone copy -q --transfers {job.files} --checkers {job.files} {streams} {keys} {source} {folder}"


def gfal_copy(job: Job, folder: Path) -> str:
    """As many processes as files at once, each with its share of the list."""
    lists = []
    paths = job.paths()
    for number in range(min(job.files, len(paths))):
        share = folder.with_suffix(f".gfal{number}")
        share.write_text("".join(f"{job.url()}/{path}\n" for path in paths[number :: job.files]))
        lists.append(str(share))
    copy = f"gfal-copy -K ADLER32 --from-file FILE file://{folder} >/dev/null"
    return f"printf '%s\\n' {shlex.join(lists)} | xargs -P {job.files} -I FILE {copy}"


def davix_get(job: Job, folder: Path) -> str:
    (path,) = job.paths()
    keys = f"--cert {job.site.proxy} --key {job.site.proxy} --capath {job.site.env['X509_CERT_DIR']}"
    return f"davix-get {keys} {job.url()}/{path} {folder}/{Path(path).name} >/dev/null"


def xrdcp(job: Job, folder: Path) -> str:
    """Over root://, which has streams of its own in one login."""
    files = listed(job, folder, f"{job.site.xrootd.root_url}/agata/{job.name}/{{path}}")
    return f"xrdcp -s --parallel {min(job.files, 4)} --infiles {files} {folder}"


class Tool(NamedTuple):
    command: Command
    version: str  # a line for sh
    verifies: str


TOOLS = {
    "gridsync": Tool(gridsync, f"{PYTHON} {SCRIPT} --version", "size and adler32"),
    "curl": Tool(curl, "curl --version | head -1 | cut -d' ' -f1-2", "nothing"),
    "aria2c": Tool(aria2c, "aria2c --version | head -1", "nothing"),
    "rclone": Tool(rclone, "rclone version | head -1", "size"),
    "gfal-copy": Tool(gfal_copy, "gfal-copy --version | head -1", "size and adler32"),
    "davix-get": Tool(davix_get, "davix-get --version | head -1", "nothing"),
    "xrdcp": Tool(xrdcp, "echo xrdcp $(xrdcp --version 2>&1)", "nothing"),
}
