"""What is written about this version, and in CONTRIBUTING.md for whoever changes it, is so."""

from __future__ import annotations

import re

from gridsync_parts import __version__
from tests.support import SCRIPT

TOP = SCRIPT.parent
CHANGELOG = TOP.joinpath("CHANGELOG.md").read_text(encoding="utf-8")
CONTRIBUTING = TOP.joinpath("CONTRIBUTING.md").read_text(encoding="utf-8")
QUOTED = re.findall(r"`([^`\n]+)`|^ {4}(\S.*?)(?: # .*)?$", CONTRIBUTING, re.MULTILINE)
WORDS = {word.strip(",") for texts in QUOTED for text in texts for word in text.split()}
PROJECT = TOP.joinpath("pyproject.toml").read_text(encoding="utf-8")


def test_the_changelog_begins_with_this_version():
    versions = re.findall(r"(?m)^## \[(?!Unreleased)(.*)\] - \d{4}-\d\d-\d\d$", CHANGELOG)
    assert versions[0] == __version__


def test_it_is_said_how_far_it_is():
    classifiers = re.findall(r'(?m)^    "([^"]+ :: [^"]+)"', PROJECT)
    assert "Development Status :: 5 - Production/Stable" in classifiers
    oldest = re.findall('requires-python = ">=(.*)"', PROJECT)[0]
    told = [name for name in classifiers if "Python :: 3." in name]
    assert told[0] == f"Programming Language :: Python :: {oldest}"


def test_contributing_names_no_target_of_make_that_is_not_there():
    named = set(re.findall(r"\bmake ([a-z-]+)", "\n".join(text for texts in QUOTED for text in texts)))
    targets = re.findall(r"(?m)^([a-z-]+):", TOP.joinpath("Makefile").read_text(encoding="utf-8"))
    assert len(named) > 15 and named - {*targets} == set()


def is_here(path: str) -> bool:
    """Whether it is a path of this folder, or one that a folder named beside it has."""
    folders = ("", "gridsync_parts", "tools", "tests/story", "tests/contract", "tests/grid", "tests/support")
    return any([*(TOP / folder).glob(path)] for folder in folders)


def test_contributing_names_no_path_that_is_not_there():
    made = {"tests/story/cases/NAME.txt", "/usr/bin/python3"}
    ends = r"/|/\w+$|[.](py|md|txt|svg|png|example|1)$"
    paths = {word for word in WORDS - made if re.search(ends, word) and re.fullmatch(r"[\w*./-]+", word)}
    assert len(paths) > 40 and {path for path in paths if not is_here(path.rstrip("/"))} == set()
