"""A page of docs/ that is played section by section, each in an empty work folder.

A section is played if it has lines to type. What is in a block `ini` is written into Grid.conf; a block `console` is a
transcript, see stage.py. The page has the names of real sites; a set-up says which server of the grid stands for each,
so nothing of it talks to a real one.
"""

from __future__ import annotations

import configparser
import re
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from gridsync_parts.conf import with_setting
from gridsync_parts.sites import KNOWN
from tests.grid import Grid
from tests.support.stage import Stage, on_stage, played

INI = re.compile(r"(?s)(```ini\n.*?```\n)")
SetUp = Callable[[Stage], "dict[str, str]"]  # what it gives: by an address of the page, the one of the grid


def sections(page: Path) -> list[str]:
    """The page, cut at its headings."""
    return re.split(r"(?m)^(?=## )", page.read_text(encoding="utf-8"))


def played_sections(page: Path) -> dict[str, str]:
    """Those of its sections that are played, by their titles."""
    return {title(section): section for section in sections(page) if is_played(section)}


def title(section: str) -> str:
    return section.partition("\n")[0].strip("# ")


def is_played(section: str) -> bool:
    return "```console" in section


def translated(text: str, addresses: dict[str, str]) -> str:
    for there in sorted(addresses, key=len, reverse=True):
        text = text.replace(there, addresses[there])
    return text


def take_over(stage: Stage, addresses: dict[str, str]) -> None:
    """Have the grid's servers stand for those of the page, and for those that gridsync knows by itself."""
    stage.typed.update(addresses)
    stage.places.update({here: there for there, here in addresses.items()})
    servers = {name: translated(known.keys["SERVER"], addresses) for name, known in KNOWN.items()}
    away = {name: url for name, url in servers.items() if url != KNOWN[name].keys["SERVER"]}
    stage.install(
        'KNOWN = {name: known._replace(keys={**known.keys, "SERVER": '
        f'{away!r}.get(name, known.keys["SERVER"])}}) for name, known in KNOWN.items()}}'
    )


def write_down(stage: Stage, block: str, addresses: dict[str, str]) -> None:
    """Have in Grid.conf what a block of the page says."""
    conf = stage.work / "Grid.conf"
    text = conf.read_text() if conf.exists() else ""
    lines = configparser.ConfigParser(interpolation=None, delimiters="=")
    lines.optionxform = str  # type: ignore[assignment,method-assign]  # as the documentation has it
    lines.read_string(translated(block.replace("```ini", "").replace("```", ""), addresses))
    for section in lines.sections():
        for key, value in lines.items(section):
            text = with_setting(text, section, key, value)
    conf.write_text(text)


def played_anew(grid: Grid, folder: Path, section: str, set_up: SetUp) -> str:
    """A section as it really goes."""
    with on_stage(grid, folder) as stage:
        addresses = set_up(stage)
        take_over(stage, addresses)
        parts = []
        for part in INI.split(section):
            if part.startswith("```ini"):
                write_down(stage, part, addresses)
            parts.append(part if part.startswith("```ini") else played(stage, part, "http"))
        return "".join(parts)


def write_anew(page: Path, grid: Grid, set_ups: dict[str, SetUp]) -> None:
    """Write what the screen shows now into a page, to be compared."""
    parts = []
    for section in sections(page):
        with tempfile.TemporaryDirectory() as folder:
            is_one = is_played(section)
            parts.append(played_anew(grid, Path(folder), section, set_ups[title(section)]) if is_one else section)
            print(title(section), file=sys.stderr)
    page.write_text("".join(parts), encoding="utf-8")
