"""What Grid.conf and the command line say, checked."""

from __future__ import annotations

import io
import os
import re
from collections.abc import Iterable
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import urlsplit

from gridsync_parts.conf import (
    DEFAULT_CONF,
    GENERAL,
    GENERAL_KEYS,
    MANUALS,
    SITE_KEYS,
    bare,
    is_foreign,
    is_url,
    place_of,
    text_of,
    with_setting,
)
from gridsync_parts.disk import doubt_of, locked, opened, replacing, set_aside, target_of
from gridsync_parts.errors import UsageError, brief
from gridsync_parts.kinds import COMING, ENGINES, SCHEMES, WEB, find_kind
from gridsync_parts.machine import CONNECTIONS
from gridsync_parts.table import Settings, Site
from gridsync_parts.values import Scope
from gridsync_parts.words import grid_path, nearest

if TYPE_CHECKING:
    import configparser

MOST_SETTINGS = 1 << 20  # bytes of Grid.conf
MOST_UNKNOWN = 10  # keys that are named
NUMBER = re.compile("[0-9]{1,6}")  # that a setting may have


class UnknownKey(NamedTuple):
    """What stands in Grid.conf and means nothing to gridsync."""

    sentence: str
    is_slip: bool  # a known key is near, so it hardly is another program's


class Config:
    """Grid.conf: its text, and the values in it."""

    def __init__(self, folder: str):
        self.folder = folder
        self.path = os.path.join(folder, "Grid.conf")
        self.saved = ""  # the text as the file has it
        self.is_own = True  # else it may be a stranger's,
        self.doubt = ""  # or a stranger may have written it: why, and what to do
        self.foreign = ""  # the text of another program's file
        self.kept = ""  # where that was set aside
        try:
            with open(opened(self.path), "rb") as file:
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
        self.given: Iterable[str] = ()  # what the command line itself says
        self.values = self.parsed()

    def begin(self) -> None:
        """Have the defaults, of which nothing is saved yet."""
        output_dir = "/data/" if os.access("/data", os.W_OK) else "./data/"
        self.text, self.saved = DEFAULT_CONF.format(output_dir=output_dir), ""

    def told_foreign(self) -> str:
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

    def check_output_dir(self, path: str) -> None:
        """Refuse to write where a Grid.conf leads that others may have written, but to its own folder."""
        top = os.path.realpath(self.folder)
        if self.doubt and "OUTPUTDIR" not in self.given and os.path.commonpath([top, os.path.realpath(path)]) != top:
            way = ", or give it with --output_dir" if self.is_own else ""
            raise UsageError(f"OUTPUTDIR {path} is not used because {self.doubt}{way}")

    def check_saving(self) -> None:
        """Refuse to make a stranger's file the user's by the way."""
        if not self.is_own:
            raise UsageError(f"settings are not remembered because {self.doubt}")
        target_of(self.path)

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

    def unknown(self) -> list[UnknownKey]:
        """The keys that gridsync does not know; a section without any that it knows is another program's."""
        of_all = self.values.default_section
        found: list[tuple[str, str]] = []
        for name in (*self.values.sections(), of_all):
            keys = self.values[name].keys() - (set() if name == of_all else self.values.defaults())
            known = {GENERAL: {*GENERAL_KEYS}, of_all: {*GENERAL_KEYS, *SITE_KEYS}}.get(name, {*SITE_KEYS})
            if name == GENERAL or keys & {*GENERAL_KEYS, *SITE_KEYS}:
                found += [(name, key) for key in self.values[name] if key in keys - known and key[0] != ";"]
        return [self.unknown_key(*place) for place in found]

    def unknown_key(self, section: str, key: str) -> UnknownKey:
        """One of them."""
        if key in GENERAL_KEYS:
            hint = f"; it belongs in [{GENERAL}]"
        elif key in SITE_KEYS:
            hint = "; it belongs in the section of a site"
        else:
            hint = nearest(brief(key), GENERAL_KEYS if section == GENERAL else SITE_KEYS)
        where = f"{self.path}, line {self.line_of(section, key)}"
        return UnknownKey(f"{where}: unknown key {brief(key)} in [{brief(section)}] is ignored{hint}", bool(hint))

    def change(self, settings: dict[str, str]) -> None:
        """Change values of the general section; they are to be saved once they are known to make sense."""
        self.given = settings.keys()
        for key, value in settings.items():
            self.text = with_setting(self.text, GENERAL, key, value)
        self.values = self.parsed()

    def save(self, settings: dict[str, str]) -> list[str]:
        """Change these values in the file as it is by now, as others may be new in it; a line for each change."""
        with locked(f"{target_of(self.path)}.lock"):  # beside, as the file itself is replaced
            now = Config(self.folder)
            now.check_saving()
            if now.foreign:
                self.foreign, self.kept, self.doubt = now.foreign, set_aside(self.path), ""
            before = {key: now.general(key, "") for key in settings}
            now.change(settings)
            now.settings()
            if now.text != now.saved:
                with replacing(self.path) as file:
                    file.write(now.text)
        shown = {key: bare(value) if "://" in value else value for key, value in before.items()}
        was = {key: f" (was {value})" if value else "" for key, value in shown.items()}
        return [f"{key} = {value or 'none'}{was[key]}" for key, value in settings.items() if value != before[key]]

    def sites(self) -> list[str]:
        """The names of all sites."""
        return [name for name in self.values.sections() if name != GENERAL]

    def general(self, key: str, default: str) -> str:
        """A value of the general section."""
        value = self.values.get(GENERAL, key, fallback="") or default
        if len(value) > 1 and value[0] == value[-1] and value[0] in "\"'" and key not in self.given:
            raise UsageError(f"{self.path}, line {self.line_of(GENERAL, key)}: {key} is in quotes; remove them")
        return value

    def number(self, section: str, key: str, default: int, least: int = 1) -> int:
        """A whole number, of at most six digits."""
        text = self.values.get(section, key, fallback="") or str(default)
        if not NUMBER.fullmatch(text) or int(text) < least:
            raise UsageError(f"{self.path}: {key} in [{section}] is {text!r}; expected a whole number, {least} or more")
        return int(text)

    def site(self, name: str) -> Site:
        """A site by its name."""
        name = next((site for site in self.sites() if site.lower() == name.lower()), name)
        if name not in self.sites():
            there = ", ".join(self.sites()) or "none"
            raise UsageError(f"there is no site {name} in {self.path}; it has {there}{nearest(name, self.sites())}")
        keys = self.values[name]
        server, tape_api = keys.get("SERVER", "").rstrip("/"), keys.get("TAPE_API", "auto") or "auto"
        self.check_url(name, "SERVER", server)
        if tape_api not in ("auto", "none"):
            self.check_url(name, "TAPE_API", tape_api)
            scheme = urlsplit(tape_api).scheme
            if scheme not in WEB:
                raise UsageError(f"{self.path}: TAPE_API of [{name}] is {tape_api!r}; it must be an https URL")
            if scheme in ("http", "dav") and keys.get("TOKEN"):
                raise UsageError(
                    f"{self.path}: the TOKEN would go to [{name}] unencrypted; TAPE_API must be an https URL"
                )
        parts = urlsplit(server)
        return Site(
            name=name,
            server=server,
            base=grid_path(keys.get("BASE_DIR_ON_GRID", "")),
            engine=self.engine(name, parts.scheme),
            tape_api=tape_api,
            tape_base=keys.get("TAPE_BASE", "").rstrip("/"),
            ca_dir=os.path.expanduser(keys.get("CA_DIR", "")),
            token=keys.get("TOKEN", ""),
            first_byte=self.number(name, "FIRST_BYTE", 300),
            silence=self.number(name, "SILENCE", 120),
            min_rate=self.number(name, "MIN_RATE", 100, least=0),
        )

    def places(self) -> dict[str, tuple[str, list[str]]]:
        """Host with port, and the folders down to BASE_DIR_ON_GRID, of each site that has a server."""
        servers = {name: self.values.get(name, "SERVER", fallback="") for name in self.sites()}
        bases = {name: self.values.get(name, "BASE_DIR_ON_GRID", fallback="") for name in servers}
        return {name: place_of(f"{url}/{bases[name]}") for name, url in servers.items() if is_url(url)}

    def path_of(self, text: str, chosen: str) -> str:
        """The path below BASE_DIR_ON_GRID of the chosen site that a URL means; what is no URL is a path already."""
        if not re.match(r"[A-Za-z][\w+.-]*://", text):
            return text
        shown = bare(text)
        if not is_url(text):
            raise UsageError(f"{shown} is neither a URL nor a path below BASE_DIR_ON_GRID")
        (host, folders), places = place_of(text), self.places()
        chosen = next((name for name in places if name.lower() == chosen.lower()), chosen)
        if chosen not in places:
            self.site(chosen)  # which says what is wrong with it
        for name in sorted(places, key=lambda name: name != chosen):
            at, top = places[name]
            if (at, top) == (host, folders[: len(top)]):
                if name != chosen:
                    raise UsageError(f"{shown} belongs to the site {name}; use --from {name}, or choose another folder")
                return "/".join(folders[len(top) :]) or "/"
        if chosen in places and places[chosen][0] == host:
            raise UsageError(f"{shown} is not below BASE_DIR_ON_GRID of {chosen}; give a path below it")
        there = ", ".join(f"{name} ({at})" for name, (at, _) in places.items())
        raise UsageError(f"{shown} belongs to no site in Grid.conf, which has {there or 'none'}")

    def check_url(self, name: str, key: str, url: str) -> None:
        """Refuse what is no URL, and one that holds a password, or another name than the credential's."""
        if re.search(r"//[^/]*:[^/]*@|^(https?|davs?)://[^/]*@", url, re.IGNORECASE):
            raise UsageError(f"{self.path}: {key} of [{name}] contains a user name or password; remove it")
        if not is_url(url):
            raise UsageError(
                f"{self.path}: {key} of [{name}] is {url!r}; expected a URL like https://door.example.org:2880/"
            )
        scheme = urlsplit(url).scheme
        if scheme not in (*SCHEMES, *COMING):
            hint = nearest(scheme, SCHEMES)
            raise UsageError(f"{self.path}: {key} of [{name}] is {url!r}; {scheme}:// is not known{hint}")

    def engine(self, name: str, scheme: str) -> str:
        """The engine of a site: that of its SERVER's kind, unless ENGINE says another."""
        engine = self.values.get(name, "ENGINE", fallback="") or "auto"
        if engine not in ("auto", *ENGINES, *COMING):
            known = ", ".join(("auto", *ENGINES[:-1]))
            raise UsageError(f"{self.path}: ENGINE of [{name}] is {engine!r}; expected {known} or {ENGINES[-1]}")
        kind = find_kind(engine, scheme)
        if not kind and engine in ENGINES:
            raise UsageError(f"{self.path}: ENGINE = {engine} cannot speak to {scheme}:// of [{name}]; set it to auto")
        if engine == "auto":
            engine = kind.engine if kind else scheme
        if self.values[name].get("TOKEN") and scheme in ("http", "dav"):
            raise UsageError(f"{self.path}: the TOKEN would go to [{name}] unencrypted; SERVER must be an https door")
        if engine == "gfal2" and self.values[name].get("TOKEN"):
            raise UsageError(f"{self.path}: gfal2 would show the TOKEN of [{name}] to any host; set ENGINE = auto")
        return engine

    def settings(self) -> Settings:
        """All of it, checked."""
        threads, streams = self.number(GENERAL, "THREADS", 4), self.number(GENERAL, "STREAMS", 1)
        if threads * streams > CONNECTIONS:
            raise UsageError(
                f"{threads} threads with {streams} streams each are too many for one site; "
                f"at most {CONNECTIONS} connections: lower --threads or --streams"
            )
        site = self.site(self.general("SITE", "LYON"))
        return Settings(
            site=site,
            input_dir=self.path_of(self.general("INPUTDIR", ""), site.name),
            output_dir=self.general("OUTPUTDIR", "./data/"),
            include=self.general("INCLUDE", ""),
            exclude=self.general("EXCLUDE", ""),
            threads=threads,
            streams=streams,
            vo=self.general("VO", "vo.agata.org"),
            proxy_hours=self.number(GENERAL, "PROXY_HOURS", 72),
            pin_days=self.number(GENERAL, "PIN_DAYS", 7),
            retries=self.number(GENERAL, "RETRIES", 4, least=0),
        )


def patterns_of(text: str, option: str) -> tuple[re.Pattern[str], ...]:
    """The regular expressions of INCLUDE or EXCLUDE."""
    import warnings

    patterns = []
    for pattern in filter(None, text.split(":")):
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of what later versions of Python may make of it
                patterns.append(re.compile(pattern))
        except (re.error, OverflowError, RecursionError) as error:
            position = getattr(error, "pos", None)
            place = "" if position is None else f" at character {position + 1}"
            raise UsageError(
                f"{option}: {pattern!r} is not a regular expression: {getattr(error, 'msg', 'too large')}{place} "
                "(patterns are separated by ':')"
            ) from error
    return tuple(patterns)


def settings_of(config: Config) -> Settings:
    """All of its settings, OUTPUTDIR as it is called from here."""
    settings, folder = config.settings(), config.folder
    output_dir = os.path.join("" if folder == "." else folder, os.path.expanduser(settings.output_dir))
    return settings._replace(output_dir=output_dir)


def scope_of(settings: Settings) -> Scope:
    """The files that the settings select."""
    return Scope(
        settings.site.name,
        grid_path(settings.input_dir),
        patterns_of(settings.include, "--inc"),
        patterns_of(settings.exclude, "--exc"),
    )
