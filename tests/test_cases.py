"""The transcripts in tests/cases: each line that is typed is run for real, and the screen compared with what it shows.

A transcript is read line by line:

    # words for the reader
    * a direction: what the grid does meanwhile, or which key is pressed; DIRECTIONS lists them
    $ a command line, run by bash on a terminal, in a work folder that lasts until the end of the case
    what then stands on the terminal, exactly
    (status 1)

The last line is there when the status is not 0. A blank line in front of the next step belongs to neither. Some words
in brackets stand for what can't be known; PLACEHOLDERS, ENGINE, BLOCK and AND_SO_ON are all of them.
"""

from __future__ import annotations

import difflib
import itertools
import re
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path
from typing import NamedTuple

import pytest

from gridsync import OPTIONS, with_setting
from tests.conftest import SCRIPT
from tests.grid import Grid
from tests.grid.door import Door
from tests.grid.pki import HOST_DN, PASSPHRASE
from tests.grid.tree import BOTH, TAPE
from tests.terminal import CTRL_C, dialogue, last_states

CASES = Path(__file__).parent / "cases"
README = SCRIPT.with_name("README.md")
HTTP_DCACHE, HTTP_STORM, GFAL2_DCACHE, GFAL2_STORM = itertools.product(("http", "gfal2"), ("dcache", "storm"))
PLAYED = {  # where each case is; by default once with each engine and at each kind of door
    "manual": [HTTP_DCACHE, HTTP_STORM, GFAL2_DCACHE, GFAL2_STORM],
    "force_dcache": [HTTP_DCACHE, GFAL2_DCACHE],
    "force_storm": [HTTP_STORM, GFAL2_STORM],
    "json": [HTTP_DCACHE],  # neither engine nor door has a part in this and those below
    "settings": [HTTP_DCACHE],
    "usage": [HTTP_DCACHE],
}
PLAYS = [
    (case.stem, *where)
    for case in sorted(CASES.glob("*.txt"))
    for where in PLAYED.get(case.stem, [HTTP_DCACHE, GFAL2_STORM])
]
QUICK = ("manual", "list", "start")  # that make test plays with gfal2 too; the others are left to make test-all
LESSON = "agata/lesson"  # where directions put files
UNITS = {"B": 1, "kB": 1 << 10, "MB": 1 << 20}

# == What stands for what varies ========================================================================
# Places of the grid stand under the manual's names: the door, the VOMS server, the file of the proxy (Stage.run).
# A placeholder stands only where a case has it written. All else is compared as it is: sizes, counts, names, sentences.

MANUALS_DOOR = "https://ccdavegee.in2p3.fr:2880"
MANUALS_VOMS = (
    "voms-agata.ijclab.in2p3.fr:443 [/DC=org/DC=terena/DC=tcs/C=FR/L=Paris"
    "/O=Centre national de la recherche scientifique/CN=voms-agata.ijclab.in2p3.fr]"
)
MANUALS_PROXY = "/tmp/x509up_u0"
SIZE = r"\d+\.\d (B|[kMG]B)"
PLACEHOLDERS = {
    "[size]": SIZE,
    "[rate]": SIZE + "/s",
    "[time]": r"(\d+h\d\dm|\d+m\d\ds)",
    "[date]": r"\w{3} \w{3} [ \d]\d \d\d:\d\d:\d\d UTC \d{4}",
    "[^C]": r" *\^C",  # as the terminal shows the key
    "[checksum]": "[0-9a-f]{8}",
    "[number]": r"\d+(\.\d+)*",
    "[the door's words]": r"[^()]+",
}
ENGINE = "[engine]"  # the one that the case is played with
BLOCK = "[configuration]"  # where it is not what the case is about
CONFIGURATION = re.compile(r"\*{32}\n\*\* GridDataSync configuration \*\*\n\*{32}\n\n([\w ]{20}: .*\n)+")
AND_SO_ON = "..."  # the manual's own: what follows is left out


def expression(line: str) -> re.Pattern[str]:
    """What a line with placeholders stands for."""
    text = re.escape(line)
    for name, stands in PLACEHOLDERS.items():
        text = text.replace(re.escape(name), stands)
    return re.compile(text)


@dataclass
class Stage:
    """Where a case is played."""

    grid: Grid
    door: Door
    folder: Path
    answers: list[tuple[str, str]] = field(default_factory=list)

    def __post_init__(self) -> None:
        work, programs = self.folder / "work", self.folder / "bin"
        for made in (work, programs):
            made.mkdir()
        command = programs / "gridsync.py"
        command.write_text(f'#!/bin/sh\nexec /usr/bin/python3 {SCRIPT} "$@"\n')
        command.chmod(0o755)
        self.proxy = self.folder / "proxy"
        shutil.copy(self.grid.pki.proxy("good"), self.proxy)
        path = f"{programs}:{self.grid.env['PATH']}"
        self.env = {**self.grid.env, "PATH": path, "X509_USER_PROXY": str(self.proxy), "LC_ALL": "C"}

    def configure(self, engine: str) -> None:
        """A Grid.conf of which LYON is the door of the play."""
        conf = self.grid.conf("./data/").replace("[gridsync]\n", "[gridsync]\nRETRIES = 1\n")
        for key, value in (("SERVER", f"{self.door.url}/"), ("ENGINE", engine)):
            conf = with_setting(conf, "LYON", key, value)
        (self.folder / "work/Grid.conf").write_text(conf)

    def run(self, line: str) -> str:
        """What a command line leaves on the screen, and its status if it is not 0."""
        places = {self.door.url: MANUALS_DOOR, str(self.proxy): MANUALS_PROXY}
        if "--new_proxy" in line:
            places[f"localhost:{self.grid.voms.port} [{HOST_DN}]"] = MANUALS_VOMS
            self.answers.append(("Enter GRID pass phrase for this identity:", PASSPHRASE))
        command = ["env", "-C", str(self.folder / "work"), "bash", "-c", line]
        status, text = dialogue(command, self.env, self.answers)
        self.answers.clear()
        for here, there in places.items():
            text = text.replace(here, there)
        return last_states(text) + (f"(status {status})\n" if status else "")

    def files(self, pattern: str) -> list[str]:
        found = [path for path in self.grid.tree.files("agata") if fnmatchcase(path, f"agata/{pattern}")]
        assert found, f"no file of the grid is {pattern}"
        return found


# == Directions =========================================================================================


def put(stage: Stage, place: str, path: str, number: str, unit: str) -> None:
    stage.grid.tree.add(f"{LESSON}/{path}", int(float(number) * UNITS[unit]), tape=place == "tape")


def move(stage: Stage, place: str, pattern: str) -> None:
    for path in stage.files(pattern):
        stage.grid.tree.file(path).locality = TAPE if place == "tape" else BOTH


DIRECTIONS: dict[str, Callable[..., object]] = {
    r"on (disk|tape): lesson/(\S+), (\S+) (\S+)": put,
    r"now on (disk|tape): (\S+)": move,
    r"gone: (\S+)": lambda stage, path: stage.grid.tree.remove(f"agata/{path}"),
    r"the tape robot stops": lambda stage: stage.grid.robot.hold(),
    r"the tape robot brings (\d+) files": lambda stage, count: stage.grid.robot.go(int(count)),
    r"the tape robot works again": lambda stage: stage.grid.robot.go(),
    r"all is quiet at the tape": lambda stage: quiet(stage),
    r"the door refuses: (\S+)": lambda stage, path: setattr(stage.door.switches, "unreadable", {f"agata/{path}"}),
    r"the line is slow for: (\S+)": lambda stage, path: stage.door.faults.add(f"/agata/{path}", "drip", speed=15e6),
    r"the line spoils: (\S+)": lambda stage, path: stage.door.faults.add(f"/agata/{path}", "wrong_bytes"),
    r"the line is good again": lambda stage: stage.door.faults.clear(),
    r"Ctrl-C is pressed at: (.*)": lambda stage, text: stage.answers.append((text, CTRL_C)),
}


def direct(stage: Stage, words: str) -> None:
    for pattern, action in DIRECTIONS.items():
        if found := re.fullmatch(pattern, words):
            action(stage, *found.groups())
            return
    raise AssertionError(f"no direction is called {words!r}; DIRECTIONS has them all")


def quiet(stage: Stage) -> None:
    """Wait until the robot has brought all that was asked for."""
    ends = time.monotonic() + 10
    while any(request.completed is None for request in stage.door.staging.requests.values()):
        assert time.monotonic() < ends, "the tape robot never ends"
        time.sleep(0.01)


# == The play ===========================================================================================


class Step(NamedTuple):
    kind: str
    words: str
    shows: str
    at: int  # the line of the file


def steps(text: str) -> Iterator[Step]:
    marks = [*re.finditer(r"^([#*$]) (.*)\n", text, re.MULTILINE)]
    for mark, after in zip(marks, [*(mark.start() for mark in marks[1:]), len(text)]):
        shows = text[mark.end() : after]
        shows = shows[:-1] if after < len(text) and (shows == "\n" or shows.endswith("\n\n")) else shows
        yield Step(mark[1], mark[2], shows, text.count("\n", 0, mark.start()) + 1)


@pytest.fixture
def stage(grid: Grid, tmp_path: Path, door: str) -> Iterator[Stage]:
    """A stage on one kind of door; afterwards the grid is as it was."""
    stage = Stage(grid, grid.storm if door == "storm" else grid.door, tmp_path)
    stage.door.staging.requests.clear()  # what other tests have left is nobody's any more
    try:
        yield stage
    finally:
        grid.robot.go()
        quiet(stage)
        stage.door.faults.clear()
        stage.door.switches.unreadable = ()
        grid.tree.folder(LESSON)
        grid.tree.remove(LESSON)
        move(stage, "tape", "e680*")


@pytest.mark.parametrize(
    ("case", "engine", "door"),
    [
        pytest.param(*play, marks=pytest.mark.long if play[1] == "gfal2" and play[0] not in QUICK else [])
        for play in PLAYS
    ],
)
def test_the_screen_shows_what_the_case_says(stage: Stage, case: str, engine: str, door: str) -> None:
    path = CASES / f"{case}.txt"
    stage.configure(engine)
    for step in steps(path.read_text(encoding="utf-8")):
        if step.kind == "$":
            expect(stage, step, f"tests/cases/{path.name}", engine, door)
            continue
        assert not step.shows.strip(), f"{path.name}, line {step.at}: only a command can show something"
        if step.kind == "*":
            direct(stage, step.words)


def expect(stage: Stage, step: Step, case: str, engine: str, door: str) -> None:
    """Run a command line and fail with the difference, if there is one."""
    told = step.shows.replace(ENGINE, engine).splitlines()
    text = stage.run(step.words)
    if told[:1] == [BLOCK]:
        text = CONFIGURATION.sub(f"{BLOCK}\n", text, count=1)
    expressions = [(line, expression(line)) for line in told if any(name in line for name in PLACEHOLDERS)]
    shown = [next((line for line, fits in expressions if fits.fullmatch(found)), found) for found in text.splitlines()]
    if told[-1:] == [AND_SO_ON]:
        shown[len(told) - 1 :] = [AND_SO_ON]
    if shown != told:
        lines = difflib.unified_diff(told, shown, f"{case}, line {step.at}", f"{engine} at {door}", n=99, lineterm="")
        pytest.fail("\n".join([f"$ {step.words}", *lines]), pytrace=False)


def test_every_option_is_shown_by_a_case():
    lines = re.findall(r"^\$ gridsync.py (.*)$", "\n".join(path.read_text() for path in CASES.glob("*.txt")), re.M)
    shown = set(re.findall(r"--(\w+)", " ".join(lines)))
    assert sorted(option.name for option in OPTIONS if option.name not in shown) == []


def test_the_readme_shows_what_a_case_does():
    told = (CASES / "manual.txt").read_text(encoding="utf-8").splitlines()
    shown = re.findall(r"^    (\.\.\.starting .*|Copied.*)$", README.read_text(encoding="utf-8"), re.MULTILINE)
    at = told.index(shown[0])
    assert len(shown) == 3
    assert all(expression(line).fullmatch(text) for line, text in zip(told[at : at + 3], shown))
