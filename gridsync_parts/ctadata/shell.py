"""ctadata's lines of the shell, with exit statuses that tell."""

from __future__ import annotations

import argparse
import importlib.util
import os
import sys
from collections.abc import Sequence
from typing import Any, Callable, NamedTuple

from gridsync_parts.ctadata.verbs import NOTHING, Verbs
from gridsync_parts.errors import GridError, UsageError
from gridsync_parts.machine import unforeseen_error
from gridsync_parts.screen import Output

INTERRUPTED = "interrupted; what is done is kept, and the same line goes on from here"


IN_SHELL = {"list_dir() shows": "list shows", "recursive=True": "--recursive", "upload_dir()": "put --recursive",
            "upload_file()": "put"}  # fmt: skip


def in_shell(sentence: str) -> str:
    """A sentence in the words of the shell."""
    for name, word in IN_SHELL.items():
        sentence = sentence.replace(name, word)
    return sentence


class More(NamedTuple):
    """A verb that ctadata has for its hub alone."""

    name: str
    help: str
    arguments: tuple[str, ...]
    do: Callable[..., Any]


class Parser(argparse.ArgumentParser):
    """argparse, with errors as sentences."""

    def error(self, message: str) -> Any:
        """A wrong line."""
        raise UsageError(f"{message}; --help shows what there is")


def parser_of(program: str, more: Sequence[More]) -> Parser:
    """What may be typed."""
    parser = Parser(prog=program, allow_abbrev=False, description="Look, fetch and send as ctadata does, verified.")
    verbs = parser.add_subparsers(dest="verb", metavar="VERB", required=True)
    one = verbs.add_parser("list", help="show what is in a folder", allow_abbrev=False)
    one.add_argument("path")
    one = verbs.add_parser("get", help="have a file here, or all below a folder", allow_abbrev=False)
    one.add_argument("path")
    one.add_argument("-r", "--recursive", action="store_true", help="all below a folder")
    one = verbs.add_parser("put", help="send a file, or what is in a folder", allow_abbrev=False)
    one.add_argument("local_path")
    one.add_argument("path")
    one.add_argument("-r", "--recursive", action="store_true", help="what is in a folder")
    for verb in more:
        one = verbs.add_parser(verb.name, help=verb.help, allow_abbrev=False)
        for name in verb.arguments:
            one.add_argument(*([name[1:3], name] if name.startswith("--") else [name]))
        one.set_defaults(more=verb)
    return parser


def is_watched() -> bool:
    """Whether somebody wants to see how far it is, and can be shown it."""
    return sys.stderr.isatty() and importlib.util.find_spec("tqdm") is not None


def do_list(verbs: Verbs, line: argparse.Namespace, output: Output) -> int:
    """Show what is in a folder."""
    found = verbs.look(line.path, NOTHING)
    for entry in found:
        output.data(verbs.shown(entry))
    for error in found.odd.values():
        output.error(in_shell(str(error)))
    return 1 if found.odd else 0


def do_get(verbs: Verbs, line: argparse.Namespace, output: Output) -> int:
    """Have files here; their names are shown."""
    for row in verbs.get(line.path, line.recursive, progress=is_watched()):
        output.data(row.path)
    return 0


def do_put(verbs: Verbs, line: argparse.Namespace, output: Output) -> int:
    """Send files; the paths to share are shown, and who can read them."""
    gone = verbs.put(line.local_path, line.path, line.recursive, progress=is_watched())
    for upload in gone.uploads:
        output.data(upload.target)
    for remark in gone.left_out:
        output.note(remark)
    if gone.readers and gone.uploads:
        output.note(f"What was sent can be read by {gone.readers}.")
    return 0


DO = {"list": do_list, "get": do_get, "put": do_put}


def run(verbs: Verbs, words: list[str], program: str, more: Sequence[More] = ()) -> int:
    """Do what a line says; its exit status."""
    output = Output()
    try:
        line = parser_of(program, more).parse_args(words)
        if line.verb in DO:
            status = DO[line.verb](verbs, line, output)
        else:
            said = line.more.do(*[getattr(line, name.lstrip('-')) for name in line.more.arguments])
            output.data(f"{line.verb}: kept until {said['validity']}")
            status = 0
    except GridError as error:
        output.error(in_shell(str(error)))
        status = error.status
    except KeyboardInterrupt:
        output.error(INTERRUPTED)
        status = 130
    except Exception as error:
        sentence, status = unforeseen_error(error)
        output.error(sentence)
    output.finish(status)
    return status


def script(verbs: Verbs, module: str, more: Sequence[More] = ()) -> None:
    """The program of a module."""
    words = [os.fsencode(word).decode("utf-8", "surrogateescape") for word in sys.argv[1:]]
    sys.argv[0] = module.partition(".")[2]  # for its sentences; Python calls it __main__.py
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    sys.exit(run(verbs, words, f"python3 -m {module}", more))
