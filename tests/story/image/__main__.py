"""Build the image, look into its layers, and live through the manual's example in it with README.md's own lines."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.grid import Grid
from tests.grid.pki import CA_DN, HOST_DN, P12_PASSWORD, PASSPHRASE, VO
from tests.story import demo
from tests.story.image import layers
from tests.story.image.docker import MANUALS_IMAGE
from tests.story.image.engine import TOP, chosen, stand_in
from tests.story.image.shell import Shell
from tests.support.start_up import HEAVY

# In full, as buildah without root asks.
TAGS = ("localhost/gridsync-image-test:plain", "localhost/gridsync-image-test:grid")
LIMIT = 1200  # seconds for everything
USER = 23456  # whom no passwd knows
PROMPT = f"(root|{USER})@:/opt/AgataGrid"
RUN = demo.SMALL
TOTAL = 46.5e6
# What AGATA's manual shows: how the image is run, and what `ls -l` lists there.
MANUALS_RUN = f"docker run -it --rm   -v ${{CERTIF_DIR}}:/root   -v ${{DATA_DIR}}:/data   {MANUALS_IMAGE}"
MANUALS_FILES = """\
-rw-r--r-- Grid.conf
-rwxr-xr-x GridDataSync.py
-rwxr-xr-x do_grid_completion.sh
-rwxrwxrwx gen_cert.sh"""
# One file, and its names in PATH.
PLACES = ["/opt/AgataGrid/GridDataSync.py", "/usr/local/bin/GridDataSync.py", "/usr/local/bin/gridsync.py"]
KEPT = {
    "alice_grid.p12", ".globus", "x509up", ".bash_history", "Grid.conf", "Grid.conf.lock",
    "grid_summary.csv", "grid_summary.csv.lock", "grid_folders.txt", "e680_1to64",
}  # fmt: skip
ASKED = (
    ("Enter Import Password:", P12_PASSWORD),
    ("Enter Import Password:", P12_PASSWORD),
    ("Enter PEM pass phrase:", PASSPHRASE),
    ("Verifying - Enter PEM pass phrase:", PASSPHRASE),
)


def check(so: object, otherwise: str) -> None:
    """Go on only if something is so."""
    if not so:
        raise SystemExit(f"WRONG: {otherwise}")


class Place:
    """Somebody's machine: the two folders, and README.md's lines with them."""

    def __init__(self, grid: Grid, folder: Path, tools: Path, user: int) -> None:
        self.certificates, self.data = folder / "certificates", folder / "data"
        self.user = user
        for path in (folder, self.certificates, self.data):
            path.mkdir()
            path.chmod(0o755)
        shutil.copy(grid.pki.p12(), self.certificates)
        conf = grid.conf("/data/") + f"\n[ROOT]\nSERVER = {grid.xrootd.root_url}/\nBASE_DIR_ON_GRID = agata/\n"
        (self.data / "Grid.conf").write_text(conf)
        for path in (folder, *folder.rglob("*")):
            os.chown(path, user, user)
        # As bare as cron's. What README.md asks of id is asked of somebody who has no name in the image.
        self.env = {
            "PATH": f"{tools}:/usr/bin:/bin", "HOME": str(folder), "CERTIF_DIR": str(self.certificates),
            "DATA_DIR": str(self.data), "TERM": "xterm",
        }  # fmt: skip

    def words(self, line: str) -> list[str]:
        return ["/bin/sh", "-c", f"id() {{ echo {self.user}; }}; {line}"]

    def shell(self, line: str) -> Shell:
        """The shell that a line of README.md opens."""
        return Shell(self.words(line), self.env)

    def call(self, line: str) -> int:
        """Status of a line that nobody looks at."""
        done = subprocess.run(
            self.words(line), env=self.env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, text=True, timeout=300, check=False,
        )  # fmt: skip
        print(f"$ {line}\n{done.stdout}", flush=True)
        return done.returncode

    def empty(self) -> None:
        """Have nothing yet, no certificate and no settings."""
        for path in (self.certificates / "alice_grid.p12", self.data / "Grid.conf"):
            path.unlink()

    def expect_kept(self) -> None:
        """In the mounted folders there is what is to outlive a container, and all of it is the user's."""
        here = {path.name for folder in (self.certificates, self.data) for path in folder.iterdir()}
        check(here == KEPT, f"the mounted folders have {sorted(here)}")
        for folder in (self.certificates, self.data):
            for path in folder.rglob("*"):
                check(path.stat().st_uid == path.stat().st_gid == self.user, f"{path} is not of user {self.user}")


def lines() -> tuple[str, str, str, str]:
    """README.md's lines and its page's: to build, to run as root, to run as oneself, and for cron."""
    pages = [page for page in (TOP / "README.md", TOP / "docs" / "container.md") if page.exists()]
    text = "".join(page.read_text(encoding="utf-8") for page in pages)
    found = [re.split("  +#", line)[0] for line in re.findall(r"^    (.*docker (?:build|run) .*)$", text, re.M)]
    check(len(found) == 4, f"README.md has {len(found)} lines with docker, not those four that are played here")
    build, as_root, as_user, cron = found
    check(["--user" in line for line in found] == [False, False, True, True], "README.md's lines have another order")
    return build, as_root, as_user, re.sub(r"^(\S+ ){5} *", "", cron)


def say(shell: Shell, line: str, answers: tuple[tuple[str, str], ...] = (), status: int = 0) -> str:
    """Type a command into a shell in the container; what it shows."""
    shell.type(f"{line}\n")
    text = ""
    for prompt, answer in answers:
        text += shell.until(prompt)
        time.sleep(0.5)  # until the echo is off
        shell.type(f"{answer}\n")
    text += until_prompt(shell)
    print(f"$ {text}", flush=True)
    shell.type("echo $?\n")
    found = until_prompt(shell).split()[-1]
    check(found == str(status), f"{line} ended with status {found}")
    return text


def until_prompt(shell: Shell) -> str:
    """Wait for the prompt; what was shown before."""
    shell.wait(lambda: re.search(rf"(^|\n){PROMPT}[$] ?$", shell.seen))
    return shell.seen.rpartition("\n")[0]


def by_tab(shell: Shell, typed: str, whole: str) -> None:
    """Type the beginning of a command, and let TAB write the rest."""
    shell.type(f"{typed}\t")
    shell.until(whole)
    print(f"{typed}[TAB] -> {whole}", flush=True)


def greeting(shell: Shell) -> str:
    """The line at login."""
    text = until_prompt(shell)
    print(text)
    return text


def certify(shell: Shell) -> None:
    """Make certificate and proxy as the manual says."""
    text = greeting(shell)
    check("Next: ./gen_cert.sh /root/alice_grid.p12" in text, "the line at login does not lead to gen_cert.sh")
    text = say(shell, "./gen_cert.sh /root/alice_grid.p12", ASKED)
    check(text.endswith("have been created and moved to /root/.globus"), "no certificate")
    text = say(shell, "GridDataSync.py --new_proxy", (("Enter GRID pass phrase for this identity:", PASSPHRASE),))
    check("Created proxy in /root/x509up." in text and '"vo.agata.org"...' in text, "no proxy")


def manual(shell: Shell, grid: Grid) -> None:
    """The manual's example from its first command on, up to a copy that Ctrl-C ends in its midst."""
    certify(shell)
    say(shell, "GridDataSync.py --proxy_status")
    for folder in ("", " e680", " e680/e680", " e680_1to64", " e680_1to64/e680"):
        say(shell, f"GridDataSync.py --ls_dir{folder}")
    by_tab(shell, "GridDataSync.py --inp", "GridDataSync.py --input_dir=")
    shell.type("\x15")
    by_tab(shell, "GridDataSync.py --input_dir e680_1to64/e680/run_0003", f"GridDataSync.py --input_dir {RUN}/")
    say(shell, "")
    for line in (
        "--output_dir /data/", "--exc .*.adf", "--inc .*/03./.*", "--build_list", "--bring_online",
        "--check_status --verbose",
    ):  # fmt: skip
        text = say(shell, f"GridDataSync.py {line}")
    check("remaining status: ONLINE=9" in text, "not all files are on disk at the site")
    say(shell, f"gridsync.py --from=ROOT --ls_dir {RUN}/Conf/03A")  # gfal2, XRootD's plugin and the proxy
    say(shell, "gridsync.py --from=LYON")
    grid.door.switches.bandwidth = 1e6
    grid.door.log.clear()
    shell.type("GridDataSync.py --start\n")
    shell.wait(lambda: sent(grid) > TOTAL / 3)
    print(f"$ {shell.seen} ^C")
    shell.type("\x03")
    text = until_prompt(shell)
    print(text)
    check("interrupted" in text, "Ctrl-C does not end a copy")
    grid.door.switches.bandwidth = 0
    shell.type("exit\n")
    shell.status()


def sent(grid: Grid) -> int:
    """Bytes of files that have left the door."""
    return sum(record.sent for record in grid.door.log.matching(method="GET"))


def version() -> str:
    """What the one file says that these sources make."""
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "gridsync.py")
        for command in ([TOP / "tools" / "one_file.py", path], [path, "--version"]):
            done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    return done.stdout.strip()


def begin(place: Place, line: str) -> None:
    """The first container of all: its folder has what the manual shows."""
    place.empty()
    shell = place.shell(line)
    check("Next: ./gen_cert.sh /root/FILE.p12" in greeting(shell), "the line at login does not lead to gen_cert.sh")
    listed = [row.split() for row in say(shell, "ls -lL").splitlines()[2:]]
    shown = "\n".join(f"{row[0]} {row[-1]}" for row in listed)
    check(shown == MANUALS_FILES, f"ls -l shows\n{shown}")
    check(say(shell, "GridDataSync.py --version").endswith(f"\n{version()}"), "the image has another build")
    listed = say(shell, "find /opt /usr/local -iname 'grid[ds]*' ! -type d | sort").split()
    check(listed[-len(PLACES) :] == PLACES and "gridsync_parts" not in str(listed), f"the program is in {listed}")
    heavy = "|".join(HEAVY)
    say(shell, f"python3 -X importtime GridDataSync.py --help 2>&1 | grep -E '[|] +({heavy})$'", status=1)
    conf = say(shell, "cat Grid.conf").replace("\r", "")
    check("OUTPUTDIR = /data/\n" in conf and any(place.data.glob("Grid.conf")), "Grid.conf is not that of /data")
    text = say(shell, "GridDataSync.py --new_proxy", status=3).replace("\n", "")
    check("GridDataSync.py: there is no /root/.globus/usercert.pem" in text, "an error has another name in front")
    remedy = text.rpartition(": ")[2].strip()
    check("FILE.p12 is not a readable file" in say(shell, f"(cd / && {remedy})", status=2), "the remedy can't be typed")
    shell.type("exit\n")
    shell.status()


def begin_shut(place: Place, line: str) -> None:
    """The same where nothing can be written into /data: the shell is there all the same."""
    place.empty()
    os.chown(place.data, 0, 0)
    shell = place.shell(line)
    text = greeting(shell)
    check("Next: ./gen_cert.sh /root/FILE.p12" in text and "Traceback" not in text, "the login minds")
    shell.type("exit\n")
    shell.status()


def resume(place: Place, grid: Grid, line: str) -> None:
    """In a container of its own: the login line knows how things stand, and --start goes on."""
    shell = place.shell(line)
    text = greeting(shell)
    check(f"left. Folder: {RUN}. Next: GridDataSync.py --sync" in text, "the login line has forgotten something")
    before = sent(grid)
    text = say(shell, "GridDataSync.py --start")
    again = sent(grid) - before
    check("failed: 0, waiting on tape: 0" in text and "by size only: 0" in text, "not all is verified")
    check(again < TOTAL * 0.9, f"{again / 1e6:.1f} MB were sent again")
    print(f"(The first container fetched {before / 1e6:.1f} MB, the second one {again / 1e6:.1f} MB.)")
    shell.type("exit\n")
    check(shell.status() == 0, "the shell ended badly")
    for fault in demo.faults(grid, place.data):
        check(not fault, fault)
    place.expect_kept()


def nightly(place: Place, grid: Grid, as_user: str, cron: str) -> None:
    """As a user without a name: the other client makes the proxy, too, and then cron's line fetches the files."""
    shell = place.shell(as_user)
    certify(shell)
    check(f"uid={USER} gid={USER} groups" in say(shell, "rm ~/x509up; id"), "the user has a name")
    say(shell, f"voms-proxy-init2 --quiet --voms {VO} --valid 72:00", (("Enter GRID pass phrase:", PASSPHRASE),))
    check(f"/{VO}/Role=NULL" in say(shell, "voms-proxy-info2 --all"), "no attribute by the C++ client")
    say(shell, f"gridsync.py --input_dir {RUN} --exc '.*.adf' --inc '.*/03./.*'")
    shell.type("exit\n")
    check(shell.status() == 0, "the shell ended badly")
    grid.robot.hold()
    check(place.call(cron) == 1, "in the first night all files are on tape")
    grid.robot.go()
    time.sleep(5)
    check(place.call(cron) == 0, "in the second night they were to come")
    for fault in demo.faults(grid, place.data):
        check(not fault, fault)
    place.expect_kept()


def main(arguments: list[str]) -> int:
    signal.signal(signal.SIGALRM, lambda *_: sys.exit(f"not done after {LIMIT} seconds"))
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    signal.alarm(LIMIT)
    began = time.monotonic()
    build, as_root, as_user, cron = lines()
    check(build == f"docker build -t {MANUALS_IMAGE} .", "README.md does not build an image of the manual's name")
    engine = chosen("apart" in arguments)
    try:
        with tempfile.TemporaryDirectory(prefix="gridsync-image-") as name:
            folder = Path(name)
            folder.chmod(0o755)
            print(f"# Building with {engine.words[0]}", flush=True)
            engine.build(TAGS[0])
            print(f"Built after {time.monotonic() - began:.0f} s")
            engine.save(TAGS[0], folder / "image.tar")
            image = layers.layers(folder / "image.tar")
            (folder / "image.tar").unlink()
            for layer in image:
                print(f"{layer.size / layers.MB:6.1f} MB  {layer.made_by[:100]}")
            for fault in layers.wrong(image):
                check(not fault, fault)
            print(f"{sum(layer.size for layer in image) / layers.MB:6.1f} MB  in all, and no secret in any layer")
            with Grid(drives=3, seconds=0.2) as grid:
                grid.robot.evict = True  # so that there is tape again for the second user
                port = str(grid.voms.port)
                engine.build(TAGS[1], VO=VO, VOMS_HOST="localhost", VOMS_PORT=port, VOMS_DN=HOST_DN, VOMS_CA_DN=CA_DN)
                ours = f"{grid.pki.certificates}:/etc/grid-security/certificates:ro"
                stand_in(engine, folder / "bin", TAGS[1], "-v", ours)
                print(f"\n# {as_root}")
                place = Place(grid, folder / "root", folder / "bin", 0)
                manual(place.shell(as_root), grid)
                print("\n# Another container: the first is gone, what it did is not")
                resume(place, grid, MANUALS_RUN)
                print(f"\n# {MANUALS_RUN}")
                begin(Place(grid, folder / "new", folder / "bin", 0), MANUALS_RUN)
                begin_shut(Place(grid, folder / "shut", folder / "bin", USER), as_user)
                print(f"\n# {as_user}")
                nightly(Place(grid, folder / "user", folder / "bin", USER), grid, as_user, cron)
    finally:
        engine.close(*TAGS)
    print(f"All is as README.md says, after {time.monotonic() - began:.0f} s.{engine.not_shown}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
