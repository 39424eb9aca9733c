"""The examples of ctadata's own texts, in ctadata/: each is played as it stands there, and prints what stands below it.

Names of the text stand for those of the grid: the user, the address of the hub, the token. Whether the files came is
looked up in CAME and WENT.
"""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.grid import Grid
from tests.grid.hub import BASE
from tests.support import TOP
from tests.support.ctadata import DATA, FILES, HOME, LOCAL, RUN, Member

PAGES = Path(__file__).with_name("ctadata")
VENV = TOP / "build/webdav4"
# Plays a block of Python as a notebook does a cell, and writes down what its last line gives.
CELL = """
import ast, json, sys
names = {}
exec("import h5py\\nfrom gridsync_parts import ctadata", names)
cell = ast.parse(open(sys.argv[1]).read())
last = cell.body.pop() if isinstance(cell.body[-1], ast.Expr) else None
exec(compile(cell, "cell", "exec"), names)
value = eval(compile(ast.Expression(last.value), "cell", "eval"), names) if last else None
json.dump(value, open(sys.argv[2], "w"), default=str)
"""
SHARED = {f"{HOME}/filelists/latest-file-list": b"shared", f"{HOME}/filelists/new-file-name": b"shared"}
TREE = {path: data for path, data in FILES.items() if path.startswith("lst/")}
DIRECT_TREE = {path[len("lst/") :]: data for path, data in TREE.items()}
ONE = {"some-data-file": FILES["lst/some-data-dir/some-data-file"]}
# By the heading: what is here then, and what is at the hub.
CAME = {
    "A listing, and files of it": {DATA: FILES[f"{RUN}/{DATA}"]}, "A folder": TREE, "A folder, in the shell": TREE,
    "0.2.6 The file that was shared": {"latest-file-list": b"shared"},
    "0.6.0 The file that was shared": {"new-file-name": b"shared"},
    "From outside": {DATA: FILES[f"{RUN}/{DATA}"]}, "Directly: a file, and a folder": {**ONE, **DIRECT_TREE},
    "Directly: the same in the shell": {**ONE, **DIRECT_TREE},
}  # fmt: skip
TEXT, LIST = LOCAL["latest.txt"], LOCAL["latest-file-list"]
WENT = {
    "0.2.6 A file that is sent": {f"{HOME}/filelists/latest-file-list": LOCAL["latest"]},
    "0.6.0 A file that is sent": {f"{HOME}/your-folder/new-file-name.md": TEXT, f"{HOME}/your-folder/latest.txt": TEXT},
    "A file that is sent, in the shell": {f"{HOME}/latest-file-list-bla-bla": LIST},
    "Directly: a file that is sent, in the shell": {"latest-file-list-bla-bla": LIST},
    "Directly: a file that is sent, as it works": {
        "your-folder/new-file-name.md": TEXT, "your-folder/latest.txt": TEXT,
    },
    "The client of WebDAV, as it sends": {f"{HOME}/example.txt": LOCAL["example.txt"]},
}  # fmt: skip
NEEDS_WEBDAV4 = ("The client of WebDAV", "The client of WebDAV, as it sends")


class Example(NamedTuple):
    """A section of a page."""

    page: str
    heading: str
    kind: str  # python, bash
    code: str
    printed: str  # what stands in the block text below it,
    given: str  # and in the block json

    def look_up(self, table: dict[str, dict[str, bytes]]) -> dict[str, bytes]:
        return table.get(f"{self.page} {self.heading}", table.get(self.heading, {}))


def examples() -> Iterator[Example]:
    """All of them."""
    for page in sorted(PAGES.glob("*.md")):
        for section in page.read_text(encoding="utf-8").split("\n## ")[1:]:
            heading, blocks = section.partition("\n")[0], dict(re.findall(r"(?s)```(\w+)\n(.*?)```", section))
            kind = next(kind for kind in ("python", "bash") if kind in blocks)
            yield Example(page.stem, heading, kind, blocks[kind], blocks.get("text", ""), blocks.get("json", ""))


EXAMPLES = list(examples())


@pytest.fixture
def member(grid: Grid, tmp_path: Path) -> Iterator[Member]:
    grid.hub.reset()
    member = Member(grid, grid.hub, tmp_path)
    for path, data in SHARED.items():
        member.hub.dcache.uploads.put(f"{BASE}/{path}", data)
    yield member
    member.leave()


def real(member: Member, text: str) -> str:
    """A text with the names of the grid."""
    for name, stands in (
        ("first_last_institute", "alice"), ("60098730", str(len(TEXT))), ("INSERT-YOUR-TOKEN-HERE", member.hub.token),
        ("DATA-DISTRIBUTING-JUPYTERHUB", member.hub.root),
    ):  # fmt: skip
        text = text.replace(name, stands)
    return text


def play(member: Member, example: Example) -> None:
    """Play one, and compare."""
    code = real(member, example.code)
    env = {"CTADS_URL": "", "JUPYTERHUB_API_TOKEN": ""} if "os.environ" in code else {}
    if example.kind == "bash":
        done = [member.run(*line.split()[1:]) for line in code.splitlines()]
    else:
        (member.folder / "cell").write_text(code)
        done = [member.run("-c", CELL, "cell", "value.json", **env)]
    assert not any(result.status for result in done), done
    shown = "".join(result.out + result.err for result in done)
    pattern = re.escape(real(member, example.printed)).replace(r"\[number\]", r"\d+\.\d+")
    assert re.fullmatch(pattern, shown), shown
    if example.given:
        assert json.loads((member.folder / "value.json").read_text()) == json.loads(real(member, example.given))
    here = {name: data for name, data in member.here().items() if name not in ("cell", "value.json")}
    assert here == example.look_up(CAME)
    for path, data in example.look_up(WENT).items():
        folder, _, name = path.rpartition("/")
        assert member.there(folder)[name] == data
    assert not member.hub.in_queries


@pytest.mark.parametrize("example", [one for one in EXAMPLES if one.heading not in NEEDS_WEBDAV4],
                         ids=lambda example: f"{example.page}: {example.heading}")  # fmt: skip
def test_an_example_gives_what_its_text_says(member, example):
    member.env["PYTHONPATH"] += f":{PAGES / 'modules'}"
    play(member, example)
    if "handed over" in example.heading:
        proxy = (member.folder / "yourcertificate.crt").read_text()
        assert member.hub.certificates == {f"alice__{key}.crt": proxy for key in ("cta", "lst", "arc")}


@pytest.mark.long
@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: f"{example.page}: {example.heading}")
def test_an_example_works_with_the_libraries_that_it_names(member, example, monkeypatch):
    subprocess.run(["make", "-s", "build/webdav4/done"], cwd=TOP, check=True)
    member.python = [str(VENV / "bin/python")]
    make = "import h5py, sys; h5py.File(sys.argv[1], 'w').create_dataset('dl1', data=list(range(100_000)))"
    whole = member.folder / "Grid.conf.h5"
    assert member.run("-c", make, str(whole)).status == 0
    monkeypatch.setitem(FILES, f"{RUN}/{DATA}", whole.read_bytes())
    for table in ("A listing, and files of it", "From outside"):
        monkeypatch.setitem(CAME, table, {DATA: whole.read_bytes()})
    whole.unlink()
    member.hub.dcache.uploads.put(f"{BASE}/{RUN}/{DATA}", FILES[f"{RUN}/{DATA}"])
    member.hub.dcache.switches.redirect = "proxy"
    play(member, example)


def test_all_that_is_looked_up_is_played():
    headings = {example.heading for example in EXAMPLES} | {f"{one.page} {one.heading}" for one in EXAMPLES}
    assert {*CAME, *WENT, *NEEDS_WEBDAV4} <= headings
    assert {example.page for example in EXAMPLES} == {"0.2.6", "0.6.0", "left-out"}
