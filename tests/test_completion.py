"""do_grid_completion.sh at the TAB key of real shells: what is on the line then, and what it hands over."""

from __future__ import annotations

import os
import pty
import re
import select
import shlex
import shutil
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from gridsync import OPTIONS

SCRIPT = Path(__file__).resolve().parents[1] / "do_grid_completion.sh"
PATIENCE = 30  # seconds until a shell must have answered
SHELLS = {
    "bash": ["/bin/bash", "--noprofile", "--norc", "-i"],
    "zsh": ["/bin/zsh", "-f", "-i"],
}
# Control-T tells what is on the line; a command tells its arguments instead of running.
TELLS = {
    "bash": r"""bind -x '"\C-t": printf "%s\0" "$READLINE_LINE" >"$ANSWER"'""",
    "zsh": r"""tell() { printf "%s\0" "$BUFFER" >$ANSWER }; zle -N tell; bindkey '^T' tell""",
}
ARGUMENTS = r"""gridsync.py() { local IFS='|'; printf '%s\0' "$*" >"$ANSWER"; }"""
FOLDERS = """\
LYON	e680/e680/run_1
LYON	e680/e680/run_2
LYON	e680/e680
LYON	only/one/way
LYON	odd/my folder/x
LYON	odd/it's/x
LYON	odd/say "so"/x
LYON	odd/$HOME/x
LYON	odd/`date`/x
LYON	odd/(1)/x
LYON	odd/star*/x
LYON	odd/back\\slash/x
LYON	odd/colon:ed/x
LYON	odd/wow!x/x
LYON	odd/ümlaut ß/x
LYON	~tilde/x
LYON	=equal/x
LYON	evil\x1b[31m/x
LYON	csi\u009b31m/x
LYON	a	tab
CNAF	bologna/b
"""
ODD = [line.split("/")[1] for line in FOLDERS.splitlines() if "odd/" in line]


class Shell:
    """An interactive shell that has sourced the script; of programs it finds awk alone."""

    def __init__(self, name: str, folder: Path):
        self.name = name
        os.mkfifo(folder / "answer")
        self.answers = os.open(folder / "answer", os.O_RDWR)  # with a writer in any case, so it never ends
        (folder / "bin").mkdir()
        (folder / "bin" / "awk").symlink_to(shutil.which("awk") or "")
        env = {
            "HOME": str(folder), "PATH": str(folder / "bin"), "LC_ALL": "C.UTF-8", "TERM": "xterm",
            "ANSWER": str(folder / "answer"), "GRIDSYNC_DIR": str(folder),
        }  # fmt: skip
        self.ours, theirs = pty.openpty()
        command = ["/usr/bin/setsid", "--ctty", *SHELLS[name]]
        self.process = subprocess.Popen(command, env=env, cwd=folder, stdin=theirs, stdout=theirs, stderr=theirs)
        os.close(theirs)
        threading.Thread(target=self._look_away, daemon=True).start()
        for line in ("set -u", f". '{SCRIPT}'", TELLS[name], ARGUMENTS):
            self._type(line + "\n")

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        os.close(self.ours)
        os.close(self.answers)

    def line(self, typed: str) -> str:
        """What is on the line after these keys."""
        self._type("\x05\x15" + typed + "\x14")
        return self._told()

    def arguments(self, typed: str) -> str:
        """What the command gets once Enter follows these keys, | between the words."""
        self._type("\x05\x15" + typed + "\n")
        return self._told()

    def _type(self, keys: str) -> None:
        os.write(self.ours, keys.encode())

    def _told(self) -> str:
        told = b""
        while not told.endswith(b"\0"):
            assert select.select([self.answers], [], [], PATIENCE)[0], f"{self.name} says nothing"
            told += os.read(self.answers, 65536)
        return told[:-1].decode()

    def _look_away(self) -> None:
        """Read what is shown, or the shell would wait for it."""
        try:
            while os.read(self.ours, 65536):
                pass
        except OSError:  # closed
            pass


@pytest.fixture(scope="module", params=SHELLS)
def shell(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shell]:
    folder = tmp_path_factory.mktemp(request.param)
    (folder / "grid_folders.txt").write_text(FOLDERS, encoding="utf-8")
    (folder / "a file.txt").touch()
    (folder / "local folder").mkdir()
    other = folder / "other work"
    other.mkdir()
    (other / "Grid.conf").write_text("[CNAF]\nSITE = KRAKOW\n[gridsync]\n#SITE = LYON\nSITE = cnaf\n[LYON]\n[KRAKOW]\n")
    (other / "grid_folders.txt").write_text("CNAF\tother/c\nLYON\tother/l\nKRAKOW\tother/k\n")
    shell = Shell(request.param, folder)
    yield shell
    shell.close()


def sourced(name: str, commands: str, **env: str) -> subprocess.CompletedProcess[str]:
    """Commands in a shell without terminal, below the script."""
    return subprocess.run(
        [*SHELLS[name][:-1], "-c", f'. "$0"\n{commands}', str(SCRIPT)],
        env={"PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8", **env}, capture_output=True, text=True, check=False,
    )  # fmt: skip


@pytest.mark.parametrize("name", SHELLS)
def test_the_options_are_those_of_the_tool(name: str, tmp_path: Path):
    known = ["--help", *(f"--{option.name}{'=' * (option.metavar[:1] not in '[')}" for option in OPTIONS)]
    listed = sourced(name, r'printf "%s\n" "${_gridsync_options[@]}"', HOME=str(tmp_path)).stdout.split()
    assert sorted(listed) == sorted(known)


def test_all_options_are_offered_but_those_given():
    offer = 'COMP_POINT=${#COMP_LINE}; _gridsync_bash x "" x; printf "<%s>" "${COMPREPLY[@]}"'
    every = sourced("bash", "COMP_LINE='gridsync.py '; " + offer).stdout
    assert every.count("<") == len(OPTIONS) + 1
    rest = sourced("bash", "COMP_LINE='gridsync.py --dry-run --from=LYON --threads 4 --exc --start '; " + offer).stdout
    gone = ["<--dry_run >", "<--from=>", "<--threads=>", "<--exc=>"]  # --start is what --exc shall leave out
    assert [option for option in every.replace("><", ">\n<").split("\n") if option not in rest] == sorted(
        gone, key=every.index
    )


@pytest.mark.parametrize("command", ["gridsync.py", "./gridsync.py", "gridsync", "GridDataSync.py", "/any/gridsync.py"])
def test_each_name_of_the_command_completes(shell: Shell, command: str):
    assert shell.line(f"{command} --sta\t") == f"{command} --start "


@pytest.mark.parametrize(
    ("typed", "line"),
    [
        ("--str", "--streams="),
        ("--ls", "--ls_dir "),
        ("--ls-", "--ls-dir "),  # the tool takes that, too
        ("--start", "--start "),
        ("--start --sta", "--start --sta"),
        ("--fro", "--from"),
        ("--from", "--from"),
        ("--from C", "--from CNAF "),
        ("--from=L", "--from=LYON "),
        ("--inc n", "--inc none "),
        ("--exc=", "--exc=none "),
        ("word", "word"),
        ("--input_dir on", "--input_dir only/"),
        ("--input_dir=on", "--input_dir=only/"),
        ("--input-dir /on", "--input-dir /only/"),
        ("--input_dir=only/", "--input_dir=only/one/"),
        ("--ls_dir only/one", "--ls_dir only/one/"),
        ("--ls_dir=only/one/", "--ls_dir=only/one/way/"),
        ("--ls_dir only/one/way/", "--ls_dir only/one/way/"),
        ("--ls_dir e6", "--ls_dir e680/"),
        ("--ls_dir e680/e680/", "--ls_dir e680/e680/run_"),
        ("--ls_dir --sta", "--ls_dir --start "),
        ("--ls_dir odd/my\\", "--ls_dir odd/my\\ folder/"),
        ("--ls_dir evil", "--ls_dir evil"),
        ("--ls_dir csi", "--ls_dir csi"),
        ("--ls_dir tab", "--ls_dir tab"),
        ("--ls_dir bol", "--ls_dir bol"),
        ("--from CNAF --ls_dir ", "--from CNAF --ls_dir bologna/"),
        ("--from=cnaf --ls_dir ", "--from=cnaf --ls_dir bologna/"),
        ("--from-CNAF --ls_dir ", "--from-CNAF --ls_dir bologna/"),
        ("--workdir 'other work' --from K", "--workdir 'other work' --from KRAKOW "),
        ("--workdir=other\\ work --ls_dir other/", "--workdir=other\\ work --ls_dir other/c/"),
        ("--workdir ~/other\\ work --ls_dir other/", "--workdir ~/other\\ work --ls_dir other/c/"),
        ("--workdir='other work' --from LYON --ls_dir=o", "--workdir='other work' --from LYON --ls_dir=other/"),
        ("--workdir 'other work' --from_LYON --ls_dir=other/", "--workdir 'other work' --from_LYON --ls_dir=other/l/"),
        ("--workdir nowhere --ls_dir on", "--workdir nowhere --ls_dir on"),
        ("--output_dir loc", "--output_dir local\\ folder/"),
        ("--output_dir=a", "--output_dir=a"),
        ("--workdir=oth", "--workdir=other\\ work/"),
        ("--log_file=a\\ ", "--log_file=a\\ file.txt "),
    ],
)
def test_tab(shell: Shell, typed: str, line: str):
    assert shell.line(f"gridsync.py {typed}\t") == f"gridsync.py {line}"


def test_a_site_behind_the_cursor_counts(shell: Shell):
    assert shell.line("gridsync.py --ls_dir  --from CNAF" + "\x02" * 12 + "\t") == (
        "gridsync.py --ls_dir bologna/ --from CNAF"
    )


def is_closed(line: str) -> bool:
    """Whether all quotes of a line are closed."""
    try:
        return bool(shlex.split(line))
    except ValueError:
        return False


@pytest.mark.parametrize("name", [*ODD, "~tilde", "=equal"])
@pytest.mark.parametrize("spelling", ["--input_dir ", "--input_dir=", "--ls_dir ", "--ls_dir="])
@pytest.mark.parametrize("quote", ["", "'", '"'])
def test_an_odd_name_reaches_the_tool_as_it_is(shell: Shell, name: str, spelling: str, quote: str):
    path = "odd/" * (name in ODD) + name
    needs_escape = {"": r"[^\w/]", "'": "'", '"': r'["$`\\]'}[quote]
    begun = re.sub(needs_escape, r"\\\g<0>", path[: len(path) - len(name) + 2])
    line = shell.line(f"gridsync.py {spelling}{quote}{begun}\t\t")
    if not is_closed(line):  # zsh leaves that to who types
        line += quote
    got = shell.arguments(line)
    assert got == f"{spelling.replace(' ', '|')}{path}/x/"


def test_of_very_many_folders_only_what_they_share_is_completed(shell: Shell, tmp_path: Path):
    many = "".join(f"LYON\tflat/dir_{number:06}/x\n" for number in range(1001, 2500))
    (tmp_path / "grid_folders.txt").write_text(many)
    start = f"gridsync.py --workdir {tmp_path} --ls_dir flat/"
    assert shell.line(start + "\t") == start + "dir_00"
    assert shell.line(start + "dir_001001\t") == start + "dir_001001/"
    offer = "option=--ls_dir site=LYON value=flat/ folder=$PWD; _gridsync_offers flat/ ''"
    offered = sourced("bash", f"cd '{tmp_path}'; {offer}").stdout
    assert offered.splitlines() == ["flat/dir_001001/", "flat/dir_002499/"]


@pytest.mark.parametrize("name", SHELLS)
def test_sourcing_is_silent_and_leaves_only_names_of_its_own(name: str, tmp_path: Path):
    first, names = {
        "bash": ("set -u", "compgen -A variable; compgen -A function"),
        "zsh": ("set -u; autoload -Uz compinit && compinit -i", "typeset +m '*'; print -rl -- ${(k)functions}"),
    }[name]
    script = f'{first}\n{names}\necho ----\n. "$0" || exit\necho ----\n{names}'
    done = subprocess.run(
        [*SHELLS[name][:-1], "-c", script, str(SCRIPT)],
        env={"PATH": os.environ["PATH"], "HOME": str(tmp_path)}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    before, said, after = done.stdout.split("----\n")
    new = {line.split()[-1] for line in after.splitlines()} - {line.split()[-1] for line in before.splitlines()}
    assert (said, done.stderr) == ("", "")
    assert "_gridsync_options" in new
    assert [name for name in new if not name.startswith("_gridsync")] == []


def test_zsh_gets_its_completion_system_quietly(tmp_path: Path):
    done = sourced("zsh", "print -r -- $_comps[gridsync.py]", HOME=str(tmp_path))
    assert (done.stdout, done.stderr) == ("_gridsync_zsh\n", "")


def test_another_shell_hears_a_sentence():
    done = subprocess.run(["sh", "-c", f'. "{SCRIPT}"; echo $?'], capture_output=True, text=True, check=False)
    assert done.stdout == "2\n"
    assert done.stderr.count("\n") == 1 and "bash" in done.stderr
