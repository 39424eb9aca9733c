"""The pages that are made from the option table are those of now."""

from __future__ import annotations

import importlib.util
import re
import subprocess

import gridsync
from tests.conftest import SCRIPT

PAGES = SCRIPT.parent / "tools/pages.py"
spec = importlib.util.spec_from_file_location("pages", PAGES)
pages = importlib.util.module_from_spec(spec)
spec.loader.exec_module(pages)


def test_the_manual_page_is_that_of_the_option_table():
    assert pages.MAN.read_text(encoding="utf-8") == pages.man()


def test_the_readme_has_the_tables_of_now():
    assert pages.README.read_text(encoding="utf-8") == pages.readme()


def test_roff_shows_every_option_and_complains_of_nothing():
    command = ["groff", "-man", "-Tascii", "-P-c", "-ww", str(pages.MAN)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stderr == ""
    shown = re.sub(".\x08", "", done.stdout)  # what is bold is struck twice
    assert [option.name for option in gridsync.OPTIONS if f"--{option.name}" not in shown] == []


def test_the_statuses_are_those_of_the_header():
    header = " ".join((gridsync.__doc__ or "").split())
    assert [text for status, text in pages.STATUSES if f"{status} {text}" not in header] == []
