"""What newcomers bring along: pasted URLs, empty folders, an old Python, a Grid.conf of another program or encoding."""

from __future__ import annotations

import ast
import shutil
import subprocess

import pytest

from tests.conftest import SCRIPT

# == An old Python ======================================================================================

FIRST = "# gridsync needs Python 3.9 or later"


def test_nothing_before_the_line_that_names_the_version_is_too_new_for_an_older_python():
    """3.8 runs that line; what is older shows it as the place of a SyntaxError."""
    lines = SCRIPT.read_text(encoding="utf-8").splitlines(keepends=True)
    (at,) = (number for number, line in enumerate(lines) if FIRST in line)
    ast.parse("".join(lines), feature_version=(3, 8))
    ast.parse("".join(lines[:at]), feature_version=(3, 5))
    with pytest.raises(SyntaxError):
        ast.parse("".join([*lines[: at + 1], "    pass\n"]), feature_version=(3, 7))


def test_python_3_8_gets_a_sentence():
    """By a Python that says it is one, up to where 3.8 itself would fail."""
    code = (
        "import runpy, sys; sys.version_info = (3, 8, 10, 'final', 0); sys.version = '3.8.10 (default)'; "
        "sys.executable = '/opt/python3.8'; runpy.run_path(sys.argv[1], run_name='__main__')"
    )
    command = ["/usr/bin/python3", "-c", code, str(SCRIPT)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "gridsync needs Python 3.9 or later; this is 3.8.10 (/opt/python3.8)\n"


OLDER = [found for name in ("3.8", "3.7", "3.6", "2.7") if (found := shutil.which(f"python{name}"))]


@pytest.mark.parametrize("python", OLDER)
def test_a_really_older_python_says_which_is_needed(python: str):
    version = [python, "-c", "import sys; sys.stdout.write('%d.%d' % sys.version_info[:2])"]
    found = subprocess.run(version, capture_output=True, text=True, check=False)
    if found.returncode:
        pytest.skip("it is only the name of one")
    done = subprocess.run([python, str(SCRIPT), "--version"], capture_output=True, text=True, check=False)
    assert "gridsync needs Python 3.9 or later" in done.stderr
    if found.stdout == "3.8":
        assert done.returncode == 2 and done.stderr.count("\n") == 1
