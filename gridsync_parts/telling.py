"""Errors as Python programs get them: in their words, and without what nobody may see."""

from __future__ import annotations

from gridsync_parts.errors import GridError, drop_frames
from gridsync_parts.secrets import make_printable

IN_PYTHON = {  # remedies of the command line that are others in a program
    "--ls_dir shows what there is": "ls() shows what there is",
    "--bring_online brings it to disk": "stage() asks for it",
    "in the catalog; run --build_list again": "when it was listed; list it again",
    "with --nochecksum": "with checksum=False",
    "choose another --output_dir": "choose another folder",
    "--overwrite replaces": "overwrite=True replaces",
    "fetch less with --inc": "fetch less with include",
    "--inc and --exc": "include and exclude",
    "--put ": "",
}


def in_python(sentence: str) -> str:
    """A sentence in the words of programs."""
    for option, call in IN_PYTHON.items():
        sentence = sentence.replace(option, call)
    return sentence


class Plain:
    """Has errors in the words of programs; none shows what nobody may see.

    Those that it was made of could, and so could the frames that it came through: many tools show what is in them.
    """

    def __enter__(self) -> None:
        pass

    def __exit__(self, _kind: object, error: BaseException | None, _frames: object) -> None:
        if isinstance(error, GridError):
            error.args = (in_python(make_printable(str(error))),)
            raise drop_frames(error)


def speaking_plainly() -> Plain:
    """Have errors as programs get them."""
    return Plain()
