"""The text of Grid.conf: it is edited line by line, so that comments and unknown keys outlive every change."""

from __future__ import annotations

import io
import re
from urllib.parse import unquote, urlsplit

from gridsync_parts.errors import UsageError

DEFAULT_CONF = """\
# Settings of gridsync. Those given on the command line are remembered here;
# comments and unknown keys are kept.

[gridsync]
# The site to read from: the name of a section below.
SITE = LYON
# The folder to fetch, below the site's BASE_DIR_ON_GRID; / means everything.
INPUTDIR =
# Where the files go.
OUTPUTDIR = {output_dir}
# Python regular expressions separated by ":", tried on each path.
INCLUDE =
EXCLUDE =
# Files copied at once.
THREADS = 4
# Parallel streams for each large file.
STREAMS = 1
# Your virtual organisation, and how many hours a new proxy lasts.
VO = vo.agata.org
PROXY_HOURS = 72
# Days that staged files stay on disk at the site.
PIN_DAYS = 7
# Further attempts after a temporary failure.
RETRIES = 4

[LYON]
SERVER = https://ccdavegee.in2p3.fr:2880/
BASE_DIR_ON_GRID = agata/

[CNAF]
# A guess: AGATA's manual gives no address for Bologna. Ask your experiment.
SERVER = https://xfer-archive.cr.cnaf.infn.it:8443/
BASE_DIR_ON_GRID = agata/

# A site can also have:
#   ENGINE = gfal2         how gridsync talks to it: auto (http for https doors,
#                          gfal2 for root, sftp, ...), http or gfal2. gfal2
#                          follows redirects on its own and shows your proxy to
#                          every host they lead to
#   TOKEN = env:NAME       a bearer token instead of a proxy: env:NAME, file:PATH
#                          or cmd:COMMAND tells where to get it
#   TAPE_API = none        the site has no tape; or the URL of its Tape REST API,
#                          if /.well-known/wlcg-tape-rest-api is wrong
#   TAPE_BASE = /pnfs      prefix of paths at the tape service, if its root is
#                          not that of the door
#   CA_DIR = folder        certificates of the CAs (else X509_CERT_DIR, then
#                          /etc/grid-security/certificates, then the system's)
#   FIRST_BYTE = 300       seconds to wait for the first byte of an answer
#   SILENCE = 120          seconds to wait between bytes
#   MIN_RATE = 100         give up an answer that brings fewer bytes a second,
#                          over a minute or SILENCE; 0: never give up
"""

GENERAL = "gridsync"  # the section that is no site
GENERAL_KEYS: tuple[str, ...] = (
    "SITE", "INPUTDIR", "OUTPUTDIR", "INCLUDE", "EXCLUDE", "THREADS", "STREAMS", "VO", "PROXY_HOURS", "PIN_DAYS",
    "RETRIES",
)  # fmt: skip
SITE_KEYS: tuple[str, ...] = (
    "SERVER", "BASE_DIR_ON_GRID", "ENGINE", "TOKEN", "TAPE_API", "TAPE_BASE", "CA_DIR", "FIRST_BYTE", "SILENCE",
    "MIN_RATE",
)  # fmt: skip
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
    parts = urlsplit(url)
    port = parts.port or (443 if parts.scheme in ("https", "davs") else 80)
    path = unquote(parts.path, errors="surrogateescape")
    return f"{parts.hostname}:{port}", [part for part in path.split("/") if part not in ("", ".")]


def bare(url: str) -> str:
    """A URL without what may be a secret in it."""
    return re.split("[?#]", re.sub("//.*@", "//", url))[0]


def is_url(text: str) -> bool:
    """Whether this is a URL of a host that there may be."""
    try:
        parts = urlsplit(text)
        host = (parts.hostname or "").encode("idna").decode()
        has_host = re.fullmatch(r"[\w.:%-]+", host) or parts.scheme == "file"
        return bool(parts.scheme and has_host and parts.port != 0)
    except ValueError:
        return False
