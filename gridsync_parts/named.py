"""Files that a list names: read from it, and looked for at the site."""

from __future__ import annotations

import codecs
import re
import sys
from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import BinaryIO, Callable

from gridsync_parts.doors import Listing
from gridsync_parts.errors import GridError, NotFound, UsageError, brief, drop_frames
from gridsync_parts.recids import is_query
from gridsync_parts.runs import Runs
from gridsync_parts.values import Scope, is_below
from gridsync_parts.walk import Walk
from gridsync_parts.words import CONTROL, grid_path, has_scheme

LONGEST_PATH = 1 << 16  # bytes of a line
ALONE = 4  # files of one folder that are asked for one by one; for more of them it is listed


def path_in(line: bytes, top: str, path_of: Callable[[str], str]) -> str:
    """The path that a line names; UsageError with what is wrong, if it names none."""
    if len(line) > LONGEST_PATH:
        raise UsageError("the line is too long to be a path")
    try:
        text = line.decode()
    except UnicodeDecodeError as error:
        raise UsageError("not UTF-8; save the file as UTF-8") from error
    shown = brief(repr(text))
    if re.search(CONTROL, text):
        raise UsageError(f"{shown} has a control character; a path stands alone in its line")
    if has_scheme(text) or is_query(text):  # which has slashes of its own
        path = path_of(text)
        path = path if is_query(path) else grid_path(path)
    elif text.startswith("/"):
        where = "of the URL" if top else "BASE_DIR_ON_GRID"
        raise UsageError(f"{shown} is an absolute path; paths begin in the folder {where}, without a slash")
    else:
        path = f"{top}/{grid_path(text)}".strip("/")
    if path == top:
        raise UsageError(f"{shown} means the whole folder; leave it out, as a list says what of it is wanted")
    if top and not is_below(path, {top}):
        raise UsageError(f"{shown} is not in the folder of the URL")
    return path


def paths_in(
    file: BinaryIO, name: str, top: str, path_of: Callable[[str], str], comments: bool = False
) -> Iterator[str]:
    """The paths in a file, a line each; blank lines are none, nor are comments, where no name begins with #."""
    lines = iter(lambda: file.readline(LONGEST_PATH + 1), b"")
    for number, line in enumerate(lines, 1):
        line = line.removeprefix(codecs.BOM_UTF8) if number == 1 else line  # Windows' editors put it there
        if line.strip() and not (comments and line.lstrip().startswith(b"#")):
            try:
                yield path_in(line.rstrip(b"\r\n"), top, path_of)
            except UsageError as error:
                raise UsageError(f"{name}, line {number}: {error}") from error


def read_names(name: str, top: str, path_of: Callable[[str], str], comments: bool) -> frozenset[str]:
    """The paths that a file names, or the standard input: they begin below a folder, or are URLs of the site."""
    try:
        with open(sys.stdin.fileno() if name == "-" else name, "rb", closefd=name != "-") as file:
            shown = "standard input" if name == "-" else name
            names = frozenset(paths_in(file, shown, top, path_of, comments))
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise UsageError(f"--files_from={name} cannot be read: {reason}; give a file with one path a line") from error
    if not names:
        raise UsageError(f"--files_from={name} names no file; give a file with one path a line")
    return names


def above(path: str) -> str:
    """The folder that something is in."""
    return path.rpartition("/")[0]


def lacking(names: Iterable[str], paths: Iterable[str]) -> list[str]:
    """Those of the names that are none of these paths, nor above one of them."""
    known: set[str] = set()
    for path in paths:
        while path not in known:
            known.add(path)
            path = above(path)
    return sorted(set(names) - known)


class NamedWalk(Walk):
    """The files that a list names, and all that is below the folders in it; the site is asked for little else."""

    def __init__(self, names: Collection[str], missing: Mapping[str, GridError] | None = None):
        super().__init__("")
        self.names = names
        self.missing = missing  # words for which there is no name, at a portal: it has no folder above all records
        self.absent: dict[str, GridError] = {}  # names of nothing, as the site says it
        self.shared: set[str] = set()  # folders of which only names are wanted
        self.todo.clear()
        together: dict[str, list[str]] = {}
        for name in names:
            together.setdefault(above(name), []).append(name)
        for folder in sorted(together):
            has_zips = missing is not None and any(name.endswith(".zip") for name in together[folder])
            can_list = (bool(folder) or missing is None) and not has_zips  # a zip that is named is a folder
            if len(together[folder]) > ALONE and can_list and not is_below(folder, names):
                self.shared.add(folder)
                self.todo.append(folder)
            elif not is_below(folder, names):  # else it comes with that folder
                self.todo += sorted(together[folder])
        self.asked = len(self.todo)

    def is_vital(self, _folder: str) -> bool:
        """Whether the door has failed for all of them."""
        return not self.folders and self.doors_shut >= self.asked

    def chosen(self, folder: str, found: Listing) -> Listing:
        """What of a folder is named."""
        if folder not in self.shared:
            return found
        wanted = Listing()
        wanted.extend(entry for entry in found if entry.path in self.names)
        wanted.odd = {path: error for path, error in found.odd.items() if path in self.names}
        return wanted

    def fail(self, folder: str, error: GridError) -> None:
        """Something can't be listed, which is noted; what is not there is found missing in the end."""
        if isinstance(error, NotFound):
            self.doors_shut = 0
            self.absent[folder] = drop_frames(error)
            if self.missing == {} and self.asked == 1:
                raise error
        else:
            super().fail(folder, error)

    def faults(self) -> dict[str, GridError]:
        """What the user is told of: names of nothing, too."""
        found = [*self.folders, *(entry.path for entry in self.entries)]
        missing = [name for name in lacking(self.names, found) if not is_below(name, self.failures)]
        told: dict[str, GridError] = dict(self.missing or {})
        for name in missing:
            absent = None if self.missing is None else self.absent.get(name)
            told[name] = absent or NotFound(f"{name}: is not at the site; --ls_dir shows what there is")
        return {**self.failures, **told}


def tell_unlisted(run: Runs) -> int:
    """Say what a list names and the catalog does not have, unless the site was asked for it; 1 if there is any."""
    if run.wishes.build_list or run.wishes.sync:
        return 0
    names = lacking(run.scope.names or (), run.catalog().by_path(run.scope.site))
    for name in names:
        run.report.error(f"{name}: is not in the catalog; --build_list with the same list looks for it at the site")
    return 1 if names else 0


def walk_of(scope: Scope) -> Walk:
    """What lists the files of a scope."""
    return Walk(scope.folder) if scope.names is None else NamedWalk(scope.names, scope.missing)
