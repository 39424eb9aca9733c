"""Errors as Python programs get them: in their words, and without what nobody may see."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from gridsync_parts.errors import GridError
from gridsync_parts.secrets import make_printable

IN_PYTHON = {  # remedies of the command line that are others in a program
    "--ls_dir shows what there is": "ls() shows what there is",
    "--bring_online brings it to disk": "stage() asks for it",
    "in the catalog; run --build_list again": "when it was listed; list it again",
    "with --nochecksum": "with checksum=False",
    "choose another --output_dir": "choose another folder",
    "--overwrite replaces": "overwrite=True replaces",
    "fetch less with --inc": "fetch less with include",
    "--put ": "",
}


def in_python(sentence: str) -> str:
    """A sentence in the words of programs."""
    for option, call in IN_PYTHON.items():
        sentence = sentence.replace(option, call)
    return sentence


@contextlib.contextmanager
def speaking_plainly() -> Iterator[None]:
    """Have errors in the words of programs, and let none show what nobody may see; those that it was made of could."""
    try:
        yield
    except GridError as error:
        error.args = (in_python(make_printable(str(error))),)
        error.__cause__ = error.__context__ = None
        raise
