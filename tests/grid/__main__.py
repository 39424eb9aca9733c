"""The test grid to try things by hand: `python3 -m tests.grid` holds it up, with `--shell` a shell lives in it."""

from __future__ import annotations

import os
import shlex
import shutil
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

from tests.grid import Grid
from tests.grid.pki import P12_PASSWORD, PASSPHRASE, PROXIES
from tests.grid.shelf import plant
from tests.grid.xrootd import NotUp

REPOSITORY = Path(__file__).resolve().parents[2]
PYTHON = "/usr/bin/python3"  # the one that has gfal2
MOVER_TIMEOUT = 180.0  # as at a real dCache
STAGE_SECONDS = 20.0  # until the portal has brought a record from tape; at the real one, hours


def main(arguments: list[str]) -> int:
    if arguments not in ([], ["--shell"]):
        print("usage: python3 -m tests.grid [--shell]", file=sys.stderr)
        return 2
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: sys.exit(0))
    with Grid(drives=3, seconds=1.5) as grid:
        grid.voms  # noqa: B018 - it is up from here on, for --new_proxy
        grid.door.switches.mover_timeout = MOVER_TIMEOUT
        environment = equip(grid)
        print(summary(grid), flush=True)
        return shell(environment) if arguments else hold(environment)


def equip(grid: Grid) -> dict[str, str]:
    """Make all proxies, a work folder with Grid.conf and a gridsync.py on the PATH; the environment to work in."""
    for kind in PROXIES:
        grid.pki.proxy(kind)
    work, tools = grid.folder / "work", grid.folder / "bin"
    for folder in (work, tools):
        folder.mkdir()
    plant(grid.portal)
    grid.portal.eos = grid.portal.xrootd.root_url  # for BYTES = root
    grid.portal.switches.stage_seconds = STAGE_SECONDS
    site = f"\n[CERN_OPENDATA]\nSERVER = {grid.portal.server}\nENGINE = opendata\n"
    (work / "Grid.conf").write_text(grid.conf(work / "data") + site)
    command = tools / "gridsync.py"
    command.write_text(f'#!/bin/sh\nexec {PYTHON} {shlex.quote(str(REPOSITORY / "gridsync.py"))} "$@"\n')
    command.chmod(0o755)
    shutil.copy(REPOSITORY / "gen_cert.sh", tools)
    shutil.copy(grid.pki.p12(), work)
    (grid.pki.home / ".bashrc").write_text("PS1='grid \\w$ '\n")
    return {**grid.env, "GRIDSYNC_DIR": str(work), "PATH": f"{tools}:{grid.env['PATH']}"}


def summary(grid: Grid) -> str:
    """What runs where, as comments of a shell."""
    lines = [
        f"# LYON    {grid.door.url}/agata/  simulated dCache",
        f"#         its pool {grid.door.pool_url}",
        f"#         its tape {grid.door.tape_url}",
        f"# CNAF    {grid.storm.url}/agata/  simulated StoRM, the same files",
        f"# XROOTD  {grid.xrootd.url}/agata/  a real XRootD,",
        f"#         and {grid.xrootd.root_url}",
        f"# CERN_OPENDATA {grid.portal.server}  a portal with twelve records,",
        f"#         and {grid.portal.xrootd.root_url}",
        *textwrap.wrap(
            f"# open to the network: ports {', '.join(map(str, grid.open_ports))} of XRootD and VOMS",
            80, subsequent_indent="#         ",
        ),
        f'# You are Alice, and the pass phrase of your key is "{PASSPHRASE}".',
        f"# Other proxies are in {grid.pki.folder}/proxies:",
        f"#   {' '.join(PROXIES)}",
        "# To begin with nothing but alice_grid.p12, as a browser exports it",
        f'# (its password is "{P12_PASSWORD}"), make room for the new files:',
        "#   mv ~/.globus ~/.globus.old; export X509_USER_PROXY=~/proxy",
        "#   gen_cert.sh alice_grid.p12",
        "# e680 has the sizes of the manual, e680_1to64 has 1/64 of them, for copying.",
        "# Begin with",
        "#   gridsync.py --ls_dir e680_1to64",
        f"#   gridsync.py {grid.door.url}/agata/e680_1to64/ReadATCA data",
        "#   gridsync.py --from=CERN_OPENDATA --ls_dir 5500",
        "# Ctrl-D ends the shell and the grid.",
    ]
    return "\n".join(lines)


def shell(environment: dict[str, str]) -> int:
    """A shell in the work folder; its end is the grid's end."""
    signal.signal(signal.SIGINT, lambda *_: None)  # Ctrl-C is meant for what runs in the shell
    command = os.environ.get("SHELL") or "bash"
    subprocess.call([command], cwd=environment["GRIDSYNC_DIR"], env=environment)
    return 0  # how its last command ended is no matter of the grid


def hold(environment: dict[str, str]) -> int:
    """Say how another shell gets here, then wait for a signal."""
    lines = [f"unset {name}" for name in sorted(os.environ.keys() - environment.keys())]
    changed = sorted(environment.items() - os.environ.items())
    lines += [f"export {name}={shlex.quote(value)}" for name, value in changed]
    try:
        print("\n".join([*lines, f"cd {environment['GRIDSYNC_DIR']}", "# Ctrl-C ends the grid"]), flush=True)
        signal.pause()
    except KeyboardInterrupt:
        print()
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except NotUp as error:
        sys.exit(f"The grid's {error}")
    except KeyboardInterrupt:  # while it starts
        sys.exit(130)
