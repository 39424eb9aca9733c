"""--help: AGATA's manual's own, and after it what gridsync has beyond."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import gridsync
from tests.support import SCRIPT

MANUAL = """\
Usage: GridDataSync.py [options]

Browse and download AGATA data from the Grid, data of other sites, and open data

Options:
  -h, --help         show this help message and exit
  --new_proxy        create a new proxy
  --proxy_status     print the proxy status
  --from_LYON        download data from CC Lyon (default)
  --from_CNAF        download data from Bologna
  --show_conf        show the current configuration (paths, patterns)
  --ls_dir           list the content of the given folder
  --input_dir=path   copy grid data from distant path
  --output_dir=path  copy grid data into local path
  --exc=patt         exclude patterns separated by ":"; skip files containing these patterns (use none to reset)
  --inc=patt         include patterns separated by ":"; only include files matching these patterns (use none to reset)
                     (check https://regexone.com/references/python for Python regex format)
  --build_list       build the list of files to be downloaded (mandatory before start)
  --bring_online     move files from tape to disks (make the copy of files faster)
  --check_status     check the status of the files to be downloaded (locality, downloaded...)
  --verbose          increase verbosity
  --start            launch the download of the files from the Grid
  --force            force the download of offline files (much slower)
  --nochecksum       remove the checksum on each downloaded file
  --overwrite        overwrite already downloaded files
  --release          release all files from disk
  --threads=N        number of threads to use for parallel downloads (default: 4)
  --streams=N        number of simultaneous streams per file (default: 1)
"""


def help_at(columns: int, folder: Path) -> str:
    """The help on a terminal of this width, under the manual's name."""
    program = folder / "GridDataSync.py"
    program.symlink_to(SCRIPT)
    env = {"COLUMNS": str(columns)}
    return subprocess.run([program, "--help"], env=env, capture_output=True, text=True, check=True).stdout


def test_the_help_begins_with_the_manuals_word_for_word(tmp_path: Path):
    shown = help_at(200, tmp_path)
    assert shown.startswith(MANUAL.replace("--ls_dir         ", "--ls_dir [folder]"))  # the manual's text says it may
    options, _, url = shown[len(MANUAL) :].partition("\n\n")
    beyond = [line.split()[0].partition("=")[0] for line in options.splitlines()]
    assert url.startswith("GridDataSync.py URL DIR [options] does what --sync does ")
    assert " '?words' of a search." in " ".join(url.split())
    known = re.findall(r"--(\w+)", MANUAL)
    assert beyond == [f"--{option.name}" for option in gridsync.OPTIONS if option.name not in known]


def test_the_break_in_the_help_stays_where_lines_are_short(tmp_path: Path):
    lines = help_at(60, tmp_path).splitlines()
    assert f"{'':21}(check" in [line.partition(" https")[0] for line in lines]
    assert max(map(len, lines)) < 74  # an address has no blank to break at
