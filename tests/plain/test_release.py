"""What is written about this version is so."""

from __future__ import annotations

import re

from gridsync_parts import __version__
from tests.support import SCRIPT

TOP = SCRIPT.parent
CHANGELOG = TOP.joinpath("CHANGELOG.md").read_text(encoding="utf-8")
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
