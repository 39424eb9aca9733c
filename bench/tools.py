"""How each tool is told to fetch a set of files, and what it checks by itself."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from bench.measure import AFTERWARDS, PART, PYTHON, Failed, Side, timed
from bench.site import MB, SETS, TOP, Site, refuse_unless_same

LISTING = 120  # seconds for a list that is made before the clock runs
ATTEMPTS = 3  # at it
XRD_CP = TOP / "build" / "xrdclient" / "bin" / "xrd-cp"  # of the Makefile


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
        return self.site.paths(self.name, self.part)

    def url(self) -> str:
        return f"{self.door}/agata/{self.name}"


Command = Callable[[Job, Path], str]  # a line for sh that fills a folder; the folder is made


def listed(job: Job, folder: Path, line: str) -> str:
    """A file beside the folder with a line for each path."""
    file, source = folder.with_suffix(".list"), job.site.source(job.name)
    lines = (
        line.format(url=f"{job.url()}/{path}", path=path, adler32=job.site.checksums[source / path]) + "\n"
        for path in job.paths()
    )
    file.write_text("".join(lines))
    return str(file)


def shared_out(urls: list[str], count: int, folder: Path, command: str) -> str:
    """A line for sh that starts so many processes at once, each with a FILE that lists its share."""
    lists = [folder.with_suffix(f".share{number}") for number in range(min(count, len(urls)))]
    for number, file in enumerate(lists):
        file.write_text("\n".join([*urls[number::count], ""]))
    return f"printf '%s\\n' {folder}.share* | xargs -P {count} -I FILE {command} >/dev/null"


def conf(job: Job, work: Path, output: Path) -> None:
    """A work folder of gridsync."""
    work.mkdir(exist_ok=True)
    text = f"[gridsync]\nSITE = BENCH\nINPUTDIR = {job.name}\nOUTPUTDIR = {output}\nTHREADS = {job.files}\n"
    text += f"STREAMS = {job.streams}\n\n[BENCH]\nSERVER = {job.door}\nBASE_DIR_ON_GRID = agata/\nTAPE_API = none\n"
    (work / "Grid.conf").write_text(f"{text}ENGINE = {job.engine}\nFIRST_BYTE = 15\n")


def work_of(job: Job, folder: Path) -> Path:
    which = job.site.gridsync.parent.name
    return folder.parent / f"{job.name}-{job.files}x{job.streams}-{job.engine}-{job.part}-{which}.work"


def gridsync(job: Job, folder: Path) -> str:
    return job.site.line(work_of(job, folder), "--start --quiet")


def fresh(job: Job, folder: Path) -> None:
    """Have the catalog of gridsync as it is before a copy; the list is made once, before the clock runs."""
    work = work_of(job, folder)
    conf(job, work, folder)
    catalog, kept = work / "grid_summary.csv", work / "listed.csv"
    for attempt in range(ATTEMPTS):
        if kept.exists():
            break
        with contextlib.suppress(Failed) if attempt < ATTEMPTS - 1 else contextlib.nullcontext():
            timed(job.site.line(work, "--build_list --quiet"), job.site.env, folder.parent, LISTING)
            rows = catalog.read_text().splitlines(keepends=True)
            kept.write_text("".join([rows[0], *rows[1 :: job.part]]))
    shutil.copy(kept, catalog)


def curl(job: Job, folder: Path) -> str:
    config = listed(job, folder, 'url = "{url}"\noutput = "{path}"')
    keys = job.site.shown("--cert", "--key", "--cacert")
    return f"curl -s -Z --parallel-max {job.files} --create-dirs --output-dir {folder} {keys} -K {config} 2>/dev/null"


def aria2c(job: Job, folder: Path) -> str:
    config = listed(job, folder, "{url}\n out={path}")
    keys = job.site.shown("--certificate", "--private-key", "--ca-certificate")
    streams = f"-x {job.streams} -s {job.streams} -k 16M"
    return f"aria2c -q -d {folder} -j {job.files} {streams} --file-allocation=none {keys} -i {config}"


def rclone(job: Job, folder: Path) -> str:
    keys = job.site.shown("--client-cert", "--client-key", "--ca-cert")
    files = listed(job, folder, "{path}")
    streams = f"--multi-thread-streams {job.streams if job.streams > 1 else 0} --multi-thread-cutoff 16M"
    source = f"--files-from {files} --webdav-url {job.door}/agata --webdav-vendor other :webdav:{job.name}"
    return f"rclone copy -q --transfers {job.files} --checkers {job.files} {streams} {keys} {source} {folder}"


def gfal_copy(job: Job, folder: Path) -> str:
    """As many processes as files at once."""
    urls = [f"{job.url()}/{path}" for path in job.paths()]
    return shared_out(urls, job.files, folder, f"gfal-copy -K ADLER32 --from-file FILE file://{folder}")


def davix_get(job: Job, folder: Path) -> str:
    (path,) = job.paths()
    keys = f"--cert {job.site.proxy} --key {job.site.proxy} --capath {job.site.env['X509_CERT_DIR']}"
    return f"davix-get {keys} {job.url()}/{path} {folder}/{Path(path).name} >/dev/null"


def xrdcp(job: Job, folder: Path, options: str = "") -> str:
    """Over root://, in clear but for the login."""
    files = listed(job, folder, f"{job.site.xrootd.root_url}/agata/{job.name}/{{path}}")
    streams = f"-S {job.streams} " if job.streams > 1 else ""
    return f"xrdcp -s {options}{streams}--parallel {min(job.files, 4)} --infiles {files} {folder} >/dev/null"


def xrdcp_verified(job: Job, folder: Path) -> str:
    return xrdcp(job, folder, "--cksum adler32:source ")


def xrdclient(job: Job, folder: Path) -> str:
    """Over root://: over https small files take ten times as long, and several connections bring a part of a file."""
    options = f"-q --no-prompt --verify -a adler32 --parallel {job.files} --stripes {job.streams} --streams 0"
    return f"{XRD_CP} {options} -r {job.site.xrootd.root_url}/agata/{job.name}/ {folder}"


def bare(job: Job, folder: Path) -> str:
    return f"{PYTHON} {TOP}/bench/bare.py {job.files} {folder} {listed(job, folder, '{url} {path} {adler32}')}"


class Tool(NamedTuple):
    command: Command
    version: str  # a line for sh
    verifies: str
    durable: str = AFTERWARDS
    takes_minutes: bool = False  # for many small files


CHECKSUM = "size and adler32"
EACH_FILE = "each file"  # strace shows fsync, fdatasync or syncfs
TOOLS = {
    "gridsync": Tool(gridsync, f"{PYTHON} {TOP}/gridsync.py --version", CHECKSUM, f"{EACH_FILE}, folders"),
    "curl": Tool(curl, "curl --version | head -1 | cut -d' ' -f1-2", "nothing"),
    "aria2c": Tool(aria2c, "aria2c --version | head -1", "nothing", EACH_FILE),
    "rclone": Tool(rclone, "rclone version | head -1", "size", takes_minutes=True),
    "gfal-copy": Tool(gfal_copy, "gfal-copy --version | head -1", CHECKSUM, takes_minutes=True),
    "davix-get": Tool(davix_get, "echo davix-get $(davix-get --version | head -1)", "nothing"),
    "xrdcp": Tool(xrdcp, "echo xrdcp $(xrdcp --version 2>&1)", "nothing"),
    "xrdcp --cksum": Tool(xrdcp_verified, "", CHECKSUM),
    "xrdclient": Tool(xrdclient, f"echo xrdclient, $({XRD_CP} --version)", CHECKSUM, EACH_FILE),
    "bare Python": Tool(bare, f"{PYTHON} --version", "adler32"),
}


def copying(tool: str, job: Job, name: str = "") -> Side:
    """A tool that copies a set of files; one that takes minutes for many of them copies a part."""

    def before(folder: Path) -> None:
        if tool == "gridsync":
            fresh(job, folder)

    def check(folder: Path) -> None:
        source = job.site.source(job.name)
        refuse_unless_same(name or tool, (source / path for path in job.paths()), folder)
        if writes:  # small files stay to the end: bench/README.md says why
            shutil.rmtree(folder)

    what = TOOLS[tool]
    writes = sum(SETS[job.name]) if sum(SETS[job.name]) > 500 * MB else 0
    is_cut = what.takes_minutes and job.part == 1 and not writes and len(job.paths()) > PART
    return Side(
        name or tool, lambda folder: what.command(job, folder), job.site.env, before, check, what.verifies,
        what.durable, tool != "bare Python", copying(tool, job._replace(part=PART), name) if is_cut else None,
        writes=writes, server=job.site.cpu,
    )  # fmt: skip
