"""Grid.conf as a text: it is edited line by line, so that comments and unknown keys outlive every change."""

from __future__ import annotations

import io
import os
import re
from collections.abc import Iterable
from typing import TYPE_CHECKING

from gridsync_parts.disk import doubt_of, open_regular, set_aside, target_of
from gridsync_parts.errors import UsageError
from gridsync_parts.sites import KNOWN, SHOWN
from gridsync_parts.table import GENERAL, GENERAL_KEYS, SITE_KEYS

if TYPE_CHECKING:
    import configparser

MOST_SETTINGS = 1 << 20  # bytes of Grid.conf
ABOVE = """\
# Settings of gridsync. Those given on the command line are remembered here;
# comments and unknown keys are kept.
"""
WIDTH = 79  # of a comment,
BESIDE = 27  # and where it begins that stands beside a key


def default_conf(output_dir: str, sites: Iterable[str] = SHOWN) -> str:
    """A new Grid.conf: every general key, the sections of some sites, and what else a site can have."""
    import textwrap

    lines = [*ABOVE.splitlines(), "", f"[{GENERAL}]"]
    for key in GENERAL_KEYS.values():
        value = output_dir if key.name == "OUTPUTDIR" else key.default
        lines += [f"# {key.help}", f"{key.name} = {value}".rstrip()]
    for name in sites:
        lines += ["", *KNOWN[name].lines(name)]
    lines += ["", "# --from=list prints the sites that gridsync knows. A site can also have:"]
    for key in SITE_KEYS.values():
        if key.example:
            row = f"#   {key.name} = {key.example} ".ljust(BESIDE) + key.help
            lines += textwrap.wrap(row, WIDTH, subsequent_indent="#".ljust(BESIDE))
    return "\n".join([*lines, ""])


# What GridDataSync has in its Grid.conf is not known for certain: its manual shows these four, and there may be more.
MANUALS = ("SERVER", "BASE_DIR_ON_GRID", "INPUTDIR", "OUTPUTDIR")
# The keys that no other program has.
OURS = {*GENERAL_KEYS, *SITE_KEYS} - {*MANUALS, "INCLUDE", "EXCLUDE", "THREADS", "STREAMS"}


def with_setting(text: str, section: str, key: str, value: str) -> str:
    """The text of an INI file with one value changed and every other line as it was."""
    end = "\r\n" if "\r\n" in text else "\n"
    here, option, depth, margin = "", "", 0, ""  # as configparser goes through the lines
    kept: list[str] = []
    after, is_there = 0, False
    for line in io.StringIO(text):
        bare, indent = line.strip(), len(line) - len(line.lstrip())
        if bare and bare[0] != "#" and not (option and indent > depth):  # else it is a further line of a value
            header, depth = re.match(r"\[(.+)\]", bare), indent
            margin = line[:indent] if here == section and not (header and option) else margin
            here, option = (header[1], "") if header else (here, bare.partition("=")[0].strip().upper())
            if (here, option) == (section, key):
                line, is_there = line[:indent] + f"{key} = {value}".rstrip() + end, True
        elif bare and bare[0] != "#" and (here, option) == (section, key):
            continue  # of the old value
        kept.append(line)
        after = len(kept) if here == section and bare else after
    if is_there:
        return "".join(kept)
    setting = f"{margin}{key} = {value}".rstrip() + end
    if not after:
        return f"{text.rstrip()}{end}{end}[{section}]{end}{setting}"
    if not kept[after - 1].endswith("\n"):
        kept[after - 1] += end
    return "".join([*kept[:after], setting, *kept[after:]])


def with_section(text: str, lines: Iterable[str]) -> str:
    """The text of an INI file with one more section."""
    end = "\r\n" if "\r\n" in text else "\n"
    return end.join([text.rstrip(), "", *lines, ""])


def text_of(path: str, data: bytes) -> str:
    """The text of a Grid.conf, which must be UTF-8; the mark that Windows' editors put before it is no part of it."""
    try:
        text, at = data.decode(), data.find(0)
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise UsageError(f"{path}, line {line}: not UTF-8; save the file as UTF-8") from error
    if at >= 0:
        line = data.count(b"\n", 0, at) + 1
        raise UsageError(f"{path}, line {line}: a NUL character; save the file as plain text in UTF-8")
    return text[text.startswith("\ufeff") :]


def is_foreign(text: str) -> bool:
    """Whether another program has made a Grid.conf: all of it is set aside, while a slip of the user's is told.

    So in doubt it is ours. A section [gridsync] makes it so, misspelt or not, a key that only gridsync has, or a site:
    a section with SERVER, perhaps misspelt, in a file without INPUTDIR and OUTPUTDIR, which no site has.
    """
    lines = [line.strip() for line in text.split("\n")]
    lines = [line for line in lines if line and line[0] not in "#;"]
    sections = [match[1].strip().lower() for line in lines if (match := re.match(r"\[([^]]*)", line))]
    keys = {match[1].upper() for line in lines if (match := re.match(r"[\W_]*(\w+)", line)) and line[0] != "["}
    if not lines or keys & OURS or GENERAL in sections:
        return False
    import difflib

    if difflib.get_close_matches(GENERAL, sections, cutoff=0.85):
        return False
    has_server = difflib.get_close_matches("SERVER", keys, cutoff=0.8)
    return not (has_server and any(name != "default" for name in sections) and not keys & {"INPUTDIR", "OUTPUTDIR"})


# Of URLs that name none.
PORTS = {"https": 443, "davs": 443, "sftp": 22, "ftps": 21, **dict.fromkeys(("root", "roots", "xroot", "xroots"), 1094)}


def place_of(url: str) -> tuple[str, list[str]]:
    """Host with port, and the folders, of a URL; ValueError for what is none."""
    from urllib.parse import unquote, urlsplit

    parts = urlsplit(url)
    port = parts.port or PORTS.get(parts.scheme, 80)
    path = unquote(parts.path, errors="surrogateescape")
    return f"{parts.hostname}:{port}", [part for part in path.split("/") if part not in ("", ".")]


class GridConf:
    """Grid.conf as a file: its text, and whose it is."""

    def __init__(self, folder: str):
        self.path = os.path.join(folder, "Grid.conf")
        self.text = ""
        self.saved = ""  # the text as the file has it
        self.is_own = True  # else it may be a stranger's,
        self.doubt = ""  # or a stranger may have written it: why, and what to do
        self.foreign = ""  # the text of another program's file
        self.kept = ""  # where that was set aside
        try:
            with open(open_regular(self.path), "rb") as file:
                found = os.fstat(file.fileno())
                self.is_own, self.doubt = found.st_uid == os.getuid(), doubt_of(self.path, found)
                if found.st_size > MOST_SETTINGS:
                    raise ValueError("it is too large")
                self.text = self.saved = text_of(self.path, file.read())
        except FileNotFoundError:
            self.begin()
        except (OSError, ValueError) as error:
            reason = error.strerror if isinstance(error, OSError) else error
            raise UsageError(f"{self.path} cannot be read: {reason}") from error
        if is_foreign(self.text):
            self.foreign = self.text
            self.begin()

    def begin(self) -> None:
        """Have the defaults, of which nothing is saved yet."""
        output_dir = "/data/" if os.access("/data", os.W_OK) else "./data/"
        self.text, self.saved = default_conf(output_dir), ""

    def foreign_text(self) -> str:
        """What has become of another program's file."""
        if not self.kept:
            return f"{self.path} was made by another program and is not used"
        values = [name for name in MANUALS if re.search(rf"(?i)\b{name}\b", self.foreign)]
        left = f", and its values were not taken over: {', '.join(values)}" if values else ""
        return f"{self.path} was made by another program; it is now {self.kept}{left}"

    def check_own(self, what: str) -> None:
        """Refuse what only a Grid.conf may ask for that nobody but the user has written."""
        if self.doubt:
            raise UsageError(f"{what} is not used because {self.doubt}")

    def check_saving(self) -> None:
        """Refuse to make a stranger's file the user's by the way."""
        if not self.is_own:
            raise UsageError(f"settings are not remembered because {self.doubt}")
        target_of(self.path)

    def set_aside(self, text: str) -> None:
        """Put away another program's file of this text; what comes in its place is the user's."""
        self.foreign, self.kept, self.doubt = text, set_aside(self.path), ""

    def parsed(self) -> configparser.ConfigParser:
        """The values of the text."""
        import configparser

        parser = configparser.ConfigParser(interpolation=None, delimiters="=", comment_prefixes="#")
        parser.optionxform = str.upper  # type: ignore[assignment,method-assign]
        try:
            parser.read_string(self.text, self.path)
        except configparser.MissingSectionHeaderError as error:
            raise UsageError(f"{self.path}, line {error.lineno}: expected a [section] before any setting") from error
        except configparser.ParsingError as error:
            raise UsageError(f"{self.path}, line {error.errors[0][0]}: expected KEY = value") from error
        except (configparser.DuplicateOptionError, configparser.DuplicateSectionError) as error:
            twice = getattr(error, "option", None) or f"[{error.section}]"
            raise UsageError(f"{self.path}, line {error.lineno}: {twice} is given twice; remove one") from error
        if not parser.has_section(GENERAL):
            import difflib

            names = {name.lower(): name for name in parser.sections()}
            if near := difflib.get_close_matches(GENERAL, names, n=1, cutoff=0.85):
                section = f"[{names[near[0]]}]"
                line = self.text[: self.text.index(section)].count("\n") + 1
                raise UsageError(f"{self.path}, line {line}: {section} must be [{GENERAL}]")
        return parser

    def line_of(self, section: str, key: str) -> int:
        """The line in which a key is set."""
        here = ""
        for number, line in enumerate(io.StringIO(self.text), 1):
            header = re.match(r"\s*\[(.+)\]", line)
            here = header[1] if header else here
            if here == section and line.partition("=")[0].strip().upper() == key:
                return number
        return 0
