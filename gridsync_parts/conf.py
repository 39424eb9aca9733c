"""The text of Grid.conf: it is edited line by line, so that comments and unknown keys outlive every change."""

from __future__ import annotations

import io
import re
from collections.abc import Iterable

from gridsync_parts.errors import UsageError
from gridsync_parts.sites import KNOWN, SHOWN
from gridsync_parts.table import GENERAL, GENERAL_KEYS, SITE_KEYS

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
            row = f"#   {key.name} = {key.example}".ljust(BESIDE) + key.help
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


def place_of(url: str) -> tuple[str, list[str]]:
    """Host with port, and the folders, of a URL; ValueError for what is none."""
    from urllib.parse import unquote, urlsplit

    parts = urlsplit(url)
    port = parts.port or (443 if parts.scheme in ("https", "davs") else 80)
    path = unquote(parts.path, errors="surrogateescape")
    return f"{parts.hostname}:{port}", [part for part in path.split("/") if part not in ("", ".")]
