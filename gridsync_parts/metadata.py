"""What a repository is told of a record: a file of JSON, and METADATA_HOOK, which makes of it what is sent.

Whatever is wrong with one record is one sentence about it, and the others go on.
"""

from __future__ import annotations

import copy
import json
import math
import os
import sys
import threading
from collections.abc import Iterable, Mapping
from types import ModuleType
from typing import Any, Callable, NamedTuple, TextIO

from gridsync_parts import delphi
from gridsync_parts.disk import doubt_of, open_regular
from gridsync_parts.errors import FileError, UsageError, brief
from gridsync_parts.log import log
from gridsync_parts.secrets import make_printable
from gridsync_parts.words import nearest, size_text

BUILT_IN = "cern_to_delphi"
LARGEST = 64 << 20  # bytes of a file of metadata
MOST_BITS = 4000  # of a number; Python writes no longer ones
LEVELS = 100  # that objects and lists may be nested
SHOWN = 8  # complaints in a line
CORRECT = "correct the hook"
KEPT = ("access", "custom_fields", "files", "metadata")  # of what a repository says of a record
HOOK = "METADATA_HOOK = {text}: {reason}; give FILE.py:function, or cern_to_delphi"


class BadMetadata(FileError):
    """One record whose metadata can't be sent; the others go on."""

    status = 2


class Filled(NamedTuple):
    """What is sent of a record, and what is to be said about it."""

    body: dict[str, Any]
    missing: list[str] = []  # fields for which the source has nothing
    said: str = ""  # what the hook has printed

    def notes(self, name: str) -> list[str]:
        """What is said of a record."""
        notes = [f"{name}: its source does not say {', '.join(self.missing)}; left out"] if self.missing else []
        return notes + ([f"{name}: METADATA_HOOK says: {self.said}"] if self.said else [])


def summed_text(found: Iterable[Filled]) -> str:
    """What the sources of several records do not say, and in how many of them; or nothing."""
    counts: dict[str, int] = {}
    for filled in found:
        for field in filled.missing:
            counts[field] = counts.get(field, 0) + 1
    fields = ", ".join(f"{field} in {count}" for field, count in sorted(counts.items(), key=lambda pair: -pair[1]))
    return f"What the records' sources do not say is left out: {fields}" if fields else ""


# What is JSON.


def doubt_in(value: Any, level: int = 0) -> str:
    """Why a value can't be sent as JSON, or nothing."""
    if level > LEVELS:
        return f"it is nested more than {LEVELS} levels deep"
    if isinstance(value, dict):
        if odd := [key for key in value if not isinstance(key, str)]:
            return f"the key {brief(ascii(odd[0]))} is no text"
        value = list(value.values())
    if isinstance(value, (list, tuple)):
        return next((doubt for item in value if (doubt := doubt_in(item, level + 1))), "")
    if isinstance(value, float) and not math.isfinite(value):
        return f"{value} is no number of JSON"
    if isinstance(value, int) and value.bit_length() > MOST_BITS:
        return "it has a number of too many digits"
    if value is not None and not isinstance(value, (str, int, float)):
        return f"JSON has nothing like a {type(value).__name__}"
    return ""


def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object, each of whose keys is there once."""
    found = dict(pairs)
    if len(found) < len(pairs):
        seen: set[str] = set()
        twice = next(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]
        raise ValueError(f"it has {brief(ascii(twice))} twice")
    return found


def refuse(word: str) -> None:
    """NaN and the like, which Python would take."""
    raise ValueError(f"{word} is no number of JSON")


def parsed(data: bytes) -> dict[str, Any]:
    """The object that some bytes are; ValueError if they are none."""
    try:
        found = json.loads(data.decode("utf-8-sig"), object_pairs_hook=once, parse_constant=refuse)
    except UnicodeDecodeError as error:
        raise ValueError(f"it is not UTF-8 (line {data.count(10, 0, error.start) + 1})") from error
    except json.JSONDecodeError as error:
        raise ValueError(f"it is no JSON (line {error.lineno}: {error.msg})") from error
    except RecursionError as error:
        raise ValueError(f"it is nested more than {LEVELS} levels deep") from error
    if not isinstance(found, dict):
        raise ValueError("it is no JSON object; it must begin with { and end with }")
    if doubt := doubt_in(found):
        raise ValueError(doubt)
    return found


def read_source(path: str) -> dict[str, Any]:
    """What a file says of a record."""
    try:
        with open(open_regular(path), "rb") as file:
            data = file.read(LARGEST + 1)
        if len(data) > LARGEST:
            raise ValueError(f"it has more than {size_text(LARGEST)}")
        return parsed(data)
    except OSError as error:
        raise BadMetadata(f"{path}: its metadata cannot be read: {error.strerror}; correct the file") from error
    except ValueError as error:
        reason = "it is not a regular file" if "not a regular file" in str(error) else make_printable(str(error))
        raise BadMetadata(f"{path}: its metadata cannot be used: {reason}; correct the file") from error


# What is sent.


def body_of(found: Mapping[str, Any]) -> dict[str, Any]:
    """What is sent of metadata, bare or in an answer of a repository, of which only what a request may have is kept."""
    if not isinstance(found.get("metadata"), dict):
        return {"metadata": {key: value for key, value in found.items() if key != "$schema"}}
    if found.keys().isdisjoint(("id", "links", "revision_id")):
        return dict(found)
    body = {key: found[key] for key in KEPT if key in found}
    for key, parts in (("access", ("record", "files", "embargo")), ("files", ("enabled",))):
        if isinstance(whole := body.get(key), dict):
            body[key] = {name: whole[name] for name in parts if name in whole}
    if delphi.part(body, "access", "embargo") and not delphi.part(body, "access", "embargo", "active"):
        del body["access"]["embargo"]  # it is over, or never was
    return body


def is_portals(source: Mapping[str, Any]) -> bool:
    """Whether this is a record of the CERN Open Data portal as it is there."""
    metadata = delphi.metadata_of(source)
    if "opendata" in str(metadata.get("$schema", "")):
        return True
    return "recid" in metadata and any(key in metadata for key in ("distribution", "_files", "_file_indices"))


def as_it_is(source: Mapping[str, Any], name: str, path: str) -> Filled:
    """What is sent where there is no hook."""
    if is_portals(source):
        raise BadMetadata(
            f"{name}: {path or 'what describes it'} is a record of the CERN Open Data portal, which no repository "
            f"takes as it is; set METADATA_HOOK = {BUILT_IN} in the section of the site"
        )
    return Filled(body_of(source))


class Aside:
    """Stands for stdout while a hook runs: what its thread prints is kept, what others print goes on."""

    def __init__(self, screen: TextIO):
        self.screen = screen
        self.thread = threading.get_ident()
        self.said: list[str] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self.screen, name)

    def write(self, text: str) -> int:
        """Keep a text, or pass it on."""
        if threading.get_ident() != self.thread:
            return self.screen.write(text)
        self.said.append(text)
        return len(text)

    def close(self) -> None:
        """Nothing: the screen is needed by others."""

    def text(self) -> str:
        """What is said of it: the beginning, in one line."""
        return brief(make_printable("; ".join("".join(self.said).split("\n")[:20]).strip("; ")))


def line_of(error: BaseException, path: str) -> int:
    """The line of a hook in which something happened; 0 if it was in none."""
    if isinstance(error, SyntaxError) and error.filename == path:
        return error.lineno or 0
    line, step = 0, error.__traceback__
    while step:
        line = step.tb_lineno if step.tb_frame.f_code.co_filename == path else line
        step = step.tb_next
    return line


def reason_of(error: BaseException, path: str) -> str:
    """What has gone wrong in a hook, and in which line of it."""
    try:
        said = "it calls sys.exit" if isinstance(error, SystemExit) else f"{type(error).__name__}: {error}"
    except Exception:  # its text fails, too
        said = type(error).__name__
    line = line_of(error, path)
    said = brief(make_printable(said.rstrip(" :")))
    return f"{said} (line {line} of {path})" if line else said


def takes_files(function: Callable[..., Any]) -> bool:
    """Whether a function has a third parameter, for the names of the files."""
    import inspect

    try:
        return len(inspect.signature(function).parameters) > 2
    except (TypeError, ValueError):
        return False


def load(path: str) -> ModuleType:
    """The module that a file of the user's is; nobody else may have written it."""
    try:
        with open(open_regular(path), "rb") as file:
            doubt, text = doubt_of(path, os.fstat(file.fileno())), file.read(LARGEST)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not a regular file"
        sentence = f"METADATA_HOOK: {path} cannot be read: {reason}; correct METADATA_HOOK in Grid.conf"
        raise UsageError(sentence) from error
    if doubt:
        raise UsageError(f"METADATA_HOOK is not used because {doubt}")
    module = ModuleType(f"gridsync_hook_{os.path.basename(path)[:-3]}")
    module.__file__ = path
    sys.modules[module.__name__] = module  # dataclasses look there
    screen, aside = sys.stdout, Aside(sys.stdout)
    sys.stdout = aside
    try:
        exec(compile(text, path, "exec"), module.__dict__)
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        del sys.modules[module.__name__]
        log.debug("METADATA_HOOK %s", path, exc_info=True)
        raise UsageError(f"METADATA_HOOK: {path} cannot be imported: {reason_of(error, path)}; {CORRECT}") from error
    finally:
        sys.stdout = screen
    return module


def keyed(value: Any) -> tuple[Any, ...]:
    """A key to sort by, which can be compared with every other; TypeError for what none can be made of."""
    if isinstance(value, (int, float)) and math.isfinite(value):
        return (0, value)
    if isinstance(value, str):
        return (1, value)
    if isinstance(value, (list, tuple)):
        return (2, tuple(map(keyed, value)))
    raise TypeError(f"order returns {brief(ascii(value))}, and not a number, a text or several of them")


class Hook:
    """A function of the user's, or the built-in one: loaded when it is first needed, and called by one at a time."""

    def __init__(self, path: str = "", function: str = BUILT_IN):
        self.path = path  # empty for the built-in one
        self.function = function
        self.module: ModuleType | None = None if path else delphi
        self.lock = threading.RLock()

    def body(self, source: Mapping[str, Any], name: str, files: Iterable[str] = ()) -> Filled:
        """What is sent of a record, of which these files go, too."""
        fill = self.named(self.function)
        inputs = [name, list(files)][: 2 if takes_files(fill) else 1]
        found, said = self.call(fill, source, name, inputs)
        if not isinstance(found, dict):
            raise self.bad(name, f"{self.function} returns no dict but {brief(ascii(type(found).__name__))}")
        if doubt := doubt_in(found):
            raise self.bad(name, f"what {self.function} returns cannot be sent: {doubt}")
        body = json.loads(json.dumps(body_of(found)))  # the hook may keep its own, and change it
        return Filled(body, [] if self.path else delphi.missing_in(body), said)

    def order(self, source: Mapping[str, Any], name: str) -> Any:
        """What records are sorted by; the same for all where the hook has no order."""
        if not hasattr(self.loaded(), "order"):
            return ()
        try:
            return keyed(self.call(self.named("order"), source, name, [name])[0])
        except (TypeError, RecursionError) as error:
            raise self.bad(name, str(error)) from error

    def bad(self, name: str, reason: str) -> BadMetadata:
        """The sentence for a record with which the hook fails."""
        return BadMetadata(f"{name}: METADATA_HOOK fails: {reason}; {CORRECT}")

    def call(self, function: Callable[..., Any], source: Mapping[str, Any], name: str, others: list[Any]) -> Any:
        """What a function returns, and prints; it gets a copy of the source, so that it may change it."""
        with self.lock:
            screen, aside = sys.stdout, Aside(sys.stdout)
            sys.stdout = aside
            try:
                return function(copy.deepcopy(dict(source)), *others), aside.text()
            except KeyboardInterrupt:
                raise
            except BaseException as error:
                log.debug("METADATA_HOOK for %s", name, exc_info=True)
                raise self.bad(name, reason_of(error, self.path)) from error
            finally:
                sys.stdout = screen

    def named(self, function: str) -> Callable[..., Any]:
        """A function of the hook's file."""
        module = self.loaded()
        found = getattr(module, function, None)
        if callable(found):
            return found  # type: ignore[no-any-return]
        names = [name for name, value in vars(module).items() if callable(value) and not name.startswith("_")]
        remedy = nearest(function, names) or "; correct METADATA_HOOK in Grid.conf"
        raise UsageError(f"METADATA_HOOK: {self.path or BUILT_IN} has no function {function}{remedy}")

    def loaded(self) -> ModuleType:
        """The hook's file as a module; it is read once, and nothing is written beside it."""
        with self.lock:
            self.module = self.module or load(self.path)
            return self.module


def hook_of(text: str, folder: str, check_own: Callable[[str], None]) -> Hook | None:
    """The hook that a site has, if any; only a Grid.conf that nobody else can write may name one of the user's."""
    if not text:
        return None
    if text == BUILT_IN:
        return Hook()
    file, colon, function = text.rpartition(":")
    if not colon:
        reason = f"no hook of this name comes with gridsync{nearest(text, [BUILT_IN])}"
        raise UsageError(HOOK.format(text=brief(text), reason=reason))
    if not (file.endswith(".py") and function.isidentifier()):
        raise UsageError(HOOK.format(text=brief(text), reason="not a file of Python and a function in it"))
    check_own("METADATA_HOOK")
    hook = Hook(os.path.abspath(os.path.join(folder, os.path.expanduser(file))), function)
    hook.named(function)  # what is wrong with the file is said once, and not of each record
    return hook


def fill(
    hook: Hook | None, source: Mapping[str, Any], name: str, path: str = "", files: Iterable[str] = ()
) -> Filled:
    """What is sent of a record that a file describes, with a hook or without."""
    return hook.body(source, name, files) if hook else as_it_is(source, name, path)


def order_of(hook: Hook | None, source: Mapping[str, Any], name: str) -> tuple[Any, ...]:
    """What records are sorted by; their names where no hook says more."""
    return (hook.order(source, name) if hook else (), name)


# What is shown.


def words_in(value: Any) -> list[str]:
    """The texts of a complaint, whatever they are nested in."""
    if isinstance(value, dict):
        return [f"{key}: {text}" for key, item in value.items() for text in words_in(item)]
    if isinstance(value, (list, tuple)):
        return [text for item in value for text in words_in(item)]
    return [str(value).strip()]


def complaints_text(complaints: Any) -> str:
    """What a server complains about, by field, in one line."""
    found: list[tuple[Any, Any]] = []
    if isinstance(complaints, dict):
        found = list(complaints.items())
    elif isinstance(complaints, list):
        for item in complaints:
            is_said = isinstance(item, dict)
            field, messages = (item.get("field"), item.get("messages", item.get("message"))) if is_said else ("", item)
            found.append((field, messages))
    texts = [f"{field or 'the record'}: {' '.join(words_in(said))}" for field, said in found]
    shown = "; ".join(brief(make_printable(" ".join(text.split()))) for text in texts[:SHOWN])
    return f"{shown}; and {len(texts) - SHOWN} more" if len(texts) > SHOWN else shown


def dry_text(body: Mapping[str, Any]) -> str:
    """What would be sent of a record, as text in lines."""
    lines = json.dumps(body, indent=2, ensure_ascii=False).split("\n")
    return "\n".join(map(make_printable, lines))
