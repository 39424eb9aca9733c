"""How each tool is told to fetch a set of files, and what it checks by itself."""

from __future__ import annotations

import contextlib
import filecmp
import shlex
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from bench.measure import PART, PYTHON, Failed, Refused, Side, timed
from bench.site import MB, SETS, TOP, Site

LISTING = 120  # seconds for a list that is made before the clock runs
ATTEMPTS = 3  # at it


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


def xrdcp(job: Job, folder: Path, options: str = "") -> str:
    """Over root://, in clear but for the login."""
    files = listed(job, folder, f"{job.site.xrootd.root_url}/agata/{job.name}/{{path}}")
    return f"xrdcp -s {options}--parallel {min(job.files, 4)} --infiles {files} {folder}"


def xrdcp_verified(job: Job, folder: Path) -> str:
    return xrdcp(job, folder, "--cksum adler32:source ")


def bare(job: Job, folder: Path) -> str:
    return f"{PYTHON} {TOP}/bench/bare.py {job.files} {folder} {listed(job, folder, '{url} {path}')}"


class Tool(NamedTuple):
    command: Command
    version: str  # a line for sh
    verifies: str


CHECKSUM = "size and adler32"
TOOLS = {
    "gridsync": Tool(gridsync, f"{PYTHON} {TOP}/gridsync.py --version", CHECKSUM),
    "curl": Tool(curl, "curl --version | head -1 | cut -d' ' -f1-2", "nothing"),
    "aria2c": Tool(aria2c, "aria2c --version | head -1", "nothing"),
    "rclone": Tool(rclone, "rclone version | head -1", "size"),
    "gfal-copy": Tool(gfal_copy, "gfal-copy --version | head -1", CHECKSUM),
    "davix-get": Tool(davix_get, "echo davix-get $(davix-get --version | head -1)", "nothing"),
    "xrdcp": Tool(xrdcp, "echo xrdcp $(xrdcp --version 2>&1)", "nothing"),
    "xrdcp --cksum": Tool(xrdcp_verified, "", CHECKSUM),
    "bare Python": Tool(bare, f"{PYTHON} --version", "nothing"),
}


def copying(tool: str, job: Job, name: str = "") -> Side:
    """A tool that copies a set of files; with many of them also on a part of them."""

    def command(folder: Path) -> str:
        return TOOLS[tool].command(job, folder)

    def before(folder: Path) -> None:
        if tool == "gridsync":
            fresh(job, folder)

    def check(folder: Path) -> None:
        refuse_unless_same(job, folder, name or tool)
        if writes:  # small files stay to the end: bench/README.md says why
            shutil.rmtree(folder)

    writes = sum(SETS[job.name]) if sum(SETS[job.name]) > 500 * MB else 0
    part = None
    if tool != "gridsync" and job.part == 1 and len(job.paths()) >= PART * 5:
        part = copying(tool, job._replace(part=PART), name)
    return Side(
        name or tool, command, job.site.env, before, check, TOOLS[tool].verifies, part,
        writes=writes, server=job.site.cpu,
    )  # fmt: skip


def refuse_unless_same(job: Job, folder: Path, tool: str) -> None:
    """A tool whose files are not those of the source has no time."""
    source = job.site.source(job.name)
    found = {path.name: path for path in folder.rglob("*.cdat")}
    wanted = {Path(path).name: source / path for path in job.paths()}
    wrong = sorted(
        name for name in wanted.keys() | found.keys()
        if name not in found or name not in wanted or not filecmp.cmp(found[name], wanted[name], shallow=False)
    )  # fmt: skip
    if wrong:
        raise Refused(f"{tool}: {len(wrong)} of {len(wanted)} files are not those of the source, as {wrong[0]}")
