"""What a dry run would do, and which files it would skip, and why, in the same words for all that can be dry."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Callable, Protocol

from gridsync_parts.errors import FileError
from gridsync_parts.plans import copy_action
from gridsync_parts.values import Action, Row
from gridsync_parts.words import size_text

# Why files would be skipped, by the names that JSON has.
REASONS = {
    "skip": "there already",
    "adopt": "to be compared",
    "keep": "another file has the name",
    "wait": "on tape, not staged",
    "no_tape": "on tape, and no tape service",
    "unsure": "perhaps on tape",
    "lost": "out of reach",
    "online": "on disk at the site",
    "empty": "empty",
    "asked": "asked for before",
    "excluded": "excluded by --inc and --exc",
    "refused": "refused names",
    "unlisted": "could not be listed",
    "unread": "cannot be sent",
    "links": "links",
    "own": "gridsync's own files",
}


class Sized(Protocol):
    """A file, here or there."""

    @property
    def size(self) -> int: ...


class Forecast:
    """What would be done with files, in a verb, and which of them would be skipped."""

    def __init__(self, verb: str, files: Iterable[Sized], **more: int):
        sizes = [file.size for file in files]
        self.verb = verb
        self.files, self.bytes = len(sizes), sum(sizes)
        self.more = more  # folders, requests, free: what else is to be known
        self.skipped: dict[str, tuple[int, int]] = {}  # files and bytes, by their reasons

    def skip(self, reason: str, files: Iterable[Sized]) -> None:
        """Files that would be skipped."""
        sizes = [file.size for file in files]
        self.skip_some(reason, len(sizes), sum(sizes))

    def skip_some(self, reason: str, count: int, size: int = 0) -> None:
        """So many of them."""
        before = self.skipped.get(reason, (0, 0))
        self.skipped[reason] = before[0] + count, before[1] + size

    def skip_plan(self, plan: dict[Action, list[Row]]) -> None:
        """What a plan leaves where it is."""
        for action, rows in plan.items():
            if action is not Action.COPY:
                self.skip(action.name.lower(), rows)

    def lines(self) -> list[str]:
        """The last lines of a dry run; of what nothing can be skipped there is one."""
        text = f"would {self.verb} {self.files} files, {size_text(self.bytes)}"
        for name, words in (("folders", ", and make {} folder(s)"), ("requests", ", in {} request(s)")):
            text += words.format(self.more[name]) if name in self.more else ""
        text += f"; free disk: {size_text(self.more['free'])}" if "free" in self.more else ""
        lines = [f"(DRY RUN) {text}"]
        if self.skipped:
            count, size = (sum(numbers) for numbers in zip(*self.skipped.values()))
            why = "; ".join(f"{words}: {self.skipped[name][0]}" for name, words in REASONS.items() if self.has(name))
            lines.append(f"(DRY RUN) would skip {count} files, {size_text(size)}" + (f" ({why})" if why else ""))
        return lines

    def has(self, reason: str) -> bool:
        """Whether files would be skipped for a reason."""
        return self.skipped.get(reason, (0, 0))[0] > 0

    def document(self) -> dict[str, Any]:
        """The same for JSON: of what moves files the counts stand alone, of what asks for them below its verb."""
        counts = {name: self.skipped[name][0] for name in REASONS if name in self.skipped}
        if self.verb in ("copy", "send"):
            actions = dict.fromkeys((action.name.lower() for action in Action), 0)
            return {**actions, "copy": self.files, **counts, "bytes": self.bytes, **self.more}
        return {self.verb.split()[0]: {"files": self.files, "bytes": self.bytes, **self.more, **counts}}


def new_folders(rows: Iterable[Row], is_there: Callable[[str], bool]) -> int:
    """How many folders would be made for files."""
    missing: set[str] = set()
    known: set[str] = set()
    for row in rows:
        folder = row.path.rpartition("/")[0]
        while folder and folder not in known:
            known.add(folder)
            missing.update([] if is_there(folder) else [folder])
            folder = folder.rpartition("/")[0]
    return len(missing)


def refuse_names(plan: dict[Action, list[Row]], check: Callable[[str], object]) -> tuple[list[Row], list[FileError]]:
    """Take the files out of a plan that could not come or go because of their names, and say why."""
    refused: list[Row] = []
    errors: list[FileError] = []
    for row in plan[Action.COPY]:
        try:
            check(row.path)
        except (FileError, ValueError) as error:  # ValueError: the locale can't write it
            refused.append(row)
            errors.append(error if isinstance(error, FileError) else FileError(f"{row.path}: {error}"))
    names = {row.path for row in refused}
    plan[Action.COPY] = [row for row in plan[Action.COPY] if row.path not in names]
    return refused, errors


def skip_unasked(forecast: Forecast, rows: Iterable[Row], asked: Iterable[Row], find: Callable[[Row], Any]) -> None:
    """Skip the files that are not asked for, of some."""
    wanted = {row.path for row in asked}
    for row in rows:
        if row.path in wanted:
            continue
        here = find(row)
        if row.downloaded or here:
            reason = "skip" if row.downloaded else copy_action(row, here, overwrite=False, force=False).name.lower()
        else:
            reason = "online" if row.size else "empty"
        forecast.skip(reason, [row])
