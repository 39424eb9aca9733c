"""docs/ctadata.md: each line of it is played, one after the other, and shows what stands below it."""

from __future__ import annotations

import doctest
import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import gridsync_parts.ctadata
from gridsync_parts.ctadata.__main__ import MORE
from gridsync_parts.ctadata.shell import DO
from tests.grid import Grid
from tests.support import TOP
from tests.support.ctadata import LOCAL, Member, set_environment

PAGE = (TOP / "docs/ctadata.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"(?s)```(python|console)\n(.*?)```", PAGE)
HUB = "https://platform.cta.cscs.ch"


@pytest.fixture
def member(grid: Grid, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Member]:
    grid.hub.reset()
    member = Member(grid, grid.hub, tmp_path)
    set_environment(member, monkeypatch)
    for name in ("CTADS_URL", "CTACS_URL", "JUPYTERHUB_API_TOKEN"):
        monkeypatch.setenv(name, "")  # the page says where they come from
    yield member
    member.leave()


def real(member: Member, text: str) -> str:
    """A text with the address and the token of the grid."""
    return text.replace(HUB, member.hub.root).replace("INSERT-YOUR-TOKEN-HERE", member.hub.token)


def type_in(member: Member, block: str) -> str:
    """What a block shows whose lines are typed."""
    shown = ""
    told = {name: os.environ[name] for name in ("CTADS_URL", "JUPYTERHUB_API_TOKEN")}
    for line in re.findall(r"(?m)^\$ (.*)", block):
        assert line.startswith("python3 -m ")
        done = member.run(*line.split()[1:], **told)
        shown += f"$ {line}\n{done.out}{done.err}" + f"(status {done.status})\n" * bool(done.status)
    return shown.replace(member.hub.root, HUB)


@pytest.mark.long
def test_the_page_is_played(member):
    parser, names, count = doctest.DocTestParser(), {}, 0
    for number, (kind, block) in enumerate(BLOCKS):
        if kind == "console":
            assert type_in(member, block) == block
            continue
        test = parser.get_doctest(real(member, block), names, f"block {number}", None, 0)
        said: list[str] = []
        doctest.DocTestRunner(optionflags=doctest.ELLIPSIS).run(test, out=said.append, clear_globs=False)
        names = test.globs
        assert not said, "".join(said)
        count += len(test.examples)
    assert count > 12 and {kind for kind, _ in BLOCKS} == {"python", "console"}
    assert member.there()["filelists/latest.txt"] == LOCAL["latest.txt"]


def test_the_page_has_all_names_and_verbs():
    verbs = [*DO, *(verb.name.replace("-", "_") for verb in MORE)]
    for name in (*gridsync_parts.ctadata.__all__, *verbs):
        assert re.search(rf"\b{name}\b", PAGE), name
