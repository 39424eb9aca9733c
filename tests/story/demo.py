"""The manual's example from the browser's certificate to verified files, on a grid of its own: make demo.

Listings and the list show the exact sizes of the manual; what is copied is a copy of the run at 1/64 of them.
"""

from __future__ import annotations

import shlex
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.grid import Grid, agata
from tests.grid.pki import P12_PASSWORD, PASSPHRASE
from tests.grid.propfind import content
from tests.support import TOP
from tests.support.demo import play
from tests.support.terminal import dialogue, last_states, on_terminal

SMALL = f"e680_1to64/{agata.RUN}"

RESULTS, THERE = "results", "users/alice"  # a folder here, and where it goes
SPECTRUM = bytes(range(256)) * 4096

STORY = (
    ("List what is there.", ("--ls_dir", "--ls_dir e680", "--ls_dir e680/e680")),
    (
        "Choose a run folder, and only the crystals of cluster 03.",
        (f"--input_dir e680/{agata.RUN}", "--exc '.*.adf'", "--inc '.*/03./.*'"),
    ),
    ("List its files. They are all on tape.", ("--build_list",)),
    ("Continue with a copy of this run at 1/64 of the size.", (f"--input_dir {SMALL} --build_list",)),
    ("Bring the files from tape to disk.", ("--bring_online", "--check_status --verbose")),
    ("Copy them. Each file is verified by its checksum, and its pin is released.", ("--start",)),
    ("Nothing is left to do.", ("--start", "--release")),
    ("Send results back. They are verified at the site, too.", (f"--put {RESULTS} --input_dir {THERE}",)),
)


def main() -> int:
    """Tell the story and check its end."""
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="gridsync-demo-") as folder, Grid(drives=3, seconds=0.8) as grid:
        data = Path(folder, "data")
        Path(folder, "Grid.conf").write_text(grid.conf(data))
        print(f"A test grid is up: a dCache with tape at {grid.door.url}, and XRootD at {grid.xrootd.url}")
        home = grid.pki.furnish(Path(folder, "home"))
        env = {**grid.pki.environment("alice", home), "GRIDSYNC_DIR": folder, "X509_USER_PROXY": f"{folder}/proxy"}
        if not sys.stdout.isatty():
            env["NO_COLOR"] = "1"
        grid.voms  # noqa: B018 - the VOMS server is up from here on
        ports = ", ".join(map(str, grid.open_ports))
        print(f"These ports are open to the network while the demo runs: {ports}\n")
        certify(str(grid.pki.p12()), env)
        Path(folder, RESULTS).mkdir()
        Path(folder, RESULTS, "spectrum.root").write_bytes(SPECTRUM)
        for text, lines in STORY:
            print(f"# {text}")
            for line in lines:
                show(line, env)
        wrong = faults(grid, data) + faults_of_what_was_sent(grid)
    for fault in wrong:
        print(f"WRONG: {fault}", file=sys.stderr)
    if wrong:
        return 1
    seconds = time.monotonic() - began
    print(f"9 of 9 files verified and released, 1 sent, in {seconds:.0f} s. The test grid has stopped.")
    print("Next: make grid opens a shell with such a grid; start with gridsync.py --help there.")
    return 0


def certify(p12: str, env: dict[str, str]) -> None:
    """Make the files and the proxy that the Grid asks for; the passwords are typed for whoever looks on."""
    print("# Your browser has exported your certificate. Convert it for the Grid, and make a proxy for three days.")
    once, twice = ("Enter Import Password:", P12_PASSWORD), ("Enter PEM pass phrase:", PASSPHRASE)
    verify = ("Verifying - Enter PEM pass phrase:", PASSPHRASE)
    key = ("Enter GRID pass phrase for this identity:", PASSPHRASE)
    for name, command, answers in (
        (f"./gen_cert.sh {Path(p12).name}", [str(TOP / "gen_cert.sh"), p12], [once, once, twice, verify]),
        ("gridsync.py --new_proxy", [sys.executable, str(TOP / "gridsync.py"), "--new_proxy"], [key]),
        ("gridsync.py --proxy_status", [sys.executable, str(TOP / "gridsync.py"), "--proxy_status"], []),
    ):
        print(f"$ {name}", flush=True)
        status, text = dialogue(command, env, answers)
        print(text, flush=True)
        if status:
            raise SystemExit(f"{name} ended with status {status}")


def show(line: str, env: dict[str, str]) -> None:
    """Run a command line as a user would, on a terminal."""
    print(f"$ gridsync.py {line}", flush=True)
    command = [sys.executable, str(TOP / "gridsync.py"), *shlex.split(line)]
    if sys.stdout.isatty():
        status = subprocess.run(command, env=env, cwd=env["GRIDSYNC_DIR"], check=False).returncode
    else:
        status, text = on_terminal(["env", "-C", env["GRIDSYNC_DIR"], *command], env)
        print(last_states(text).rstrip("\n"))
    print(flush=True)
    if status:
        raise SystemExit(f"gridsync.py {line} ended with status {status}")


def faults(grid: Grid, data: Path) -> list[str]:
    """What is not as it should be after the copy."""
    wanted = {path[len("agata/") :] for path in grid.tree.files(f"agata/{SMALL}") if "/03" in path}
    wanted = {path for path in wanted if not path.endswith(".adf")}
    found = {str(path.relative_to(data)) for path in data.glob("e680*/**/*") if path.is_file()}
    wrong = [f"{path} is not here" for path in wanted - found] + [f"{path} is too much" for path in found - wanted]
    for path in sorted(wanted & found):
        if (data / path).read_bytes() != grid.tree.expected(f"agata/{path}"):
            wrong.append(f"{path} differs")
        if grid.door.staging.pins(f"agata/{path}"):
            wrong.append(f"{path} is still pinned")
    return wrong if len(wanted) == 9 else [*wrong, f"{len(wanted)} files were to be copied, not 9"]


def faults_of_what_was_sent(grid: Grid) -> list[str]:
    """The same of what went the other way."""
    sent = grid.tree.file(f"agata/{THERE}/spectrum.root")
    return [] if b"".join(content(sent, 0, sent.size)) == SPECTRUM else ["what was sent differs"]


if __name__ == "__main__":
    play(main)
