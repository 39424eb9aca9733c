"""The pages that are made from the option table are those of now."""

from __future__ import annotations

import importlib.util
import re
import shutil
import subprocess

import pytest

import gridsync
from tests.support import SCRIPT

PAGES = SCRIPT.parent / "tools/pages.py"
README = SCRIPT.with_name("README.md")
spec = importlib.util.spec_from_file_location("pages", PAGES)
pages = importlib.util.module_from_spec(spec)
spec.loader.exec_module(pages)


def test_each_page_is_that_of_now():
    made = pages.pages()
    assert {path: path.read_text(encoding="utf-8") for path in made} == made


def test_the_pages_of_docs_have_what_is_made_for_them():
    made = pages.pages()
    assert "| `--sync` |" in made[pages.DOCS / "options.md"]
    assert "`--build_list`, `--bring_online`" in made[pages.DOCS / "options.md"]
    assert "| 130 | interrupted |" in made[pages.DOCS / "exit-status.md"]
    assert "| `file_count` |" in made[pages.DOCS / "stats.md"]
    assert "| `sftp://` | `ssh` |" in made[pages.DOCS / "doors.md"]
    assert "| WebDAV: dCache, StoRM, XRootD | proxy, or TOKEN | checksum | yes |" in made[README]
    assert "not tested" not in made[README].partition("<!-- doors -->")[2].partition("<!-- end of doors -->")[0]
    assert "\n- StoRM accepts a release and keeps the pin" in made[pages.DOCS / "doors.md"]


@pytest.mark.skipif(not shutil.which("groff"), reason="without groff-base, which make test installs")
def test_roff_shows_every_option_and_complains_of_nothing():
    command = ["groff", "-man", "-Tascii", "-P-c", "-ww", str(pages.MAN)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stderr == ""
    shown = re.sub(".\x08", "", done.stdout)  # what is bold is struck twice
    assert [option.name for option in gridsync.OPTIONS if f"--{option.name}" not in shown] == []


def test_the_statuses_are_those_of_the_header():
    header = " ".join((gridsync.__doc__ or "").split())
    assert [text for status, text, _ in pages.STATUSES if f"{status} {text}" not in header] == []
