"""What Grid.conf and the command line say, checked."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from typing import Any, NamedTuple

from gridsync_parts.conf import GridConf, place_of, with_section, with_setting
from gridsync_parts.disk import replacing, target_of, wait_for_lock
from gridsync_parts.errors import UsageError, brief
from gridsync_parts.kinds import (
    ENGINES,
    KEEPING,
    OPEN_DATA,
    SCHEMES,
    WEB,
    Credential,
    Kind,
    find_kind,
    is_portal,
    scheme_error,
)
from gridsync_parts.machine import CONNECTIONS
from gridsync_parts.sites import KNOWN
from gridsync_parts.table import COMMAND, GENERAL, GENERAL_KEYS, SITE_KEYS, Key, Settings, Site
from gridsync_parts.values import Scope
from gridsync_parts.words import bare, grid_path, has_scheme, is_url, nearest, scheme_of

MOST_UNKNOWN = 10  # keys that are named


class UnknownKey(NamedTuple):
    """What stands in Grid.conf and means nothing to gridsync."""

    sentence: str
    is_slip: bool  # a known key is near, so it hardly is another program's


class Change(NamedTuple):
    """A setting that was another one before."""

    key: str
    before: str
    now: str

    def __str__(self) -> str:
        before = bare(self.before) if "://" in self.before else self.before
        return f"{self.key} = {self.now or 'none'}" + (f" (was {before})" if before else "")


def fault_of(site: Site, kind: Kind | None) -> str:
    """What of a site's section does not go with its kind, or empty."""
    is_usual = not site.token and site.credential == "auto"
    if kind and kind.credential is Credential.PASSWORD and not is_usual:
        return f"[{site.name}] is shown user name and password alone; remove TOKEN and CREDENTIAL there"
    if site.engine == OPEN_DATA and not is_usual and site.credential != "none":
        return f"[{site.name}] is shown nothing; remove TOKEN and CREDENTIAL there"
    if site.bytes_by == "root" and site.engine != OPEN_DATA:
        return f"BYTES of [{site.name}] is for ENGINE = opendata alone; remove it"
    return ""


class Config:
    """The values in Grid.conf, and those of the command line, which win."""

    def __init__(self, folder: str):
        self.folder = folder
        self.file = GridConf(folder)
        self.path = self.file.path
        self.given: Mapping[str, str] = {}  # by the command line
        self.values = self.file.parsed()
        self.made: dict[str, Mapping[str, str]] = {}  # sites for this run alone, their keys by their names

    def check_output_dir(self, path: str) -> None:
        """Refuse to write where a Grid.conf leads that others may have written, but to its own folder."""
        top = os.path.realpath(self.folder)
        doubt = "" if "OUTPUTDIR" in self.given else self.file.doubt
        if doubt and os.path.commonpath([top, os.path.realpath(path)]) != top:
            way = ", or give it with --output_dir" if self.file.is_own else ""
            raise UsageError(f"OUTPUTDIR {path} is not used because {doubt}{way}")

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
        where = f"{self.path}, line {self.file.line_of(section, key)}"
        return UnknownKey(f"{where}: unknown key {brief(key)} in [{brief(section)}] is ignored{hint}", bool(hint))

    def change(self, given: Mapping[str, str]) -> None:
        """Have other values of the general section; they are to be saved once they are known to make sense."""
        self.given = dict(given)

    def save(self, settings: Mapping[str, str]) -> list[Change]:
        """Change these values in the file as it is by now, as others may be new in it; what has changed."""
        with wait_for_lock(f"{target_of(self.path)}.lock"):  # beside, as the file itself is replaced
            now = Config(self.folder)
            now.file.check_saving()
            if now.file.foreign:
                self.file.set_aside(now.file.foreign)
            changes = [Change(key, now.general(key), value) for key, value in settings.items()]
            now.change(settings)
            now.settings()
            text = now.file.text
            for change in changes:
                text = with_setting(text, GENERAL, change.key, change.now)
            name = now.name_of(settings.get("SITE", ""))
            if name in KNOWN and name not in now.values:
                text = with_section(text, KNOWN[name].lines(name))
                changes.append(Change(f"SERVER of [{name}]", "", KNOWN[name].keys["SERVER"]))
            if text != now.file.saved:
                with replacing(self.path) as file:
                    file.write(text)
        return [change for change in changes if change.now != change.before]

    def check_login(self, site: Site, account: str) -> None:
        """Refuse to make an account for a site that has no use for it, or does not say where."""
        self.file.check_own("ISSUER")
        self.file.check_saving()
        missing = [key for key, value in (("ISSUER", site.issuer), ("CLIENT_ID", site.client_id)) if not value]
        if missing:
            raise UsageError(
                f"{self.path}: [{site.name}] lacks {' and '.join(missing)}; ask the site, or register a client at the "
                "page of the VO's INDIGO IAM"
            )
        self.engine(site._replace(token=f"oidc:{account}"))

    def save_token(self, name: str, source: str) -> str:
        """Have a site without TOKEN use this one; what has changed, or what stays, as a sentence."""
        with wait_for_lock(f"{target_of(self.path)}.lock"):
            now = Config(self.folder)
            change = Change(f"TOKEN of [{name}]", now.section(name).get("TOKEN", ""), source)
            if not change.before:
                with replacing(self.path) as file:
                    file.write(with_setting(now.file.text, name, "TOKEN", source))
        if change.before in ("", source):
            return f"remembered: {change.key} = {source}"
        return f"{change.key} stays {change.before}; to use the account, make it {source}"

    def own_sites(self) -> list[str]:
        """The names of the sites that have a section."""
        return [name for name in self.values.sections() if name != GENERAL]

    def sites(self) -> list[str]:
        """The names of all sites, those that gridsync knows by itself last."""
        own = [*self.made, *self.own_sites()]
        return own + [name for name in KNOWN if name.lower() not in map(str.lower, own)]

    def name_of(self, site: str) -> str:
        """The name of a site as it is written."""
        return next((name for name in self.sites() if name.lower() == site.lower()), site)

    def section(self, name: str) -> Mapping[str, str]:
        """The texts of a section, by their keys."""
        if name in self.made:
            return self.made[name]
        if name in self.values:
            return self.values[name]
        return KNOWN[name].keys if name in KNOWN else {}

    def general(self, key: str, default: str = "") -> str:
        """The text of a key of the general section."""
        if key in self.given:
            return self.given[key] or default
        text = self.section(GENERAL).get(key, "") or default
        is_quoted = len(text) > 1 and text[0] == text[-1] and text[0] in "\"'"
        if is_quoted and GENERAL_KEYS[key].form is not COMMAND:  # whose words may be
            raise UsageError(f"{self.path}, line {self.file.line_of(GENERAL, key)}: {key} is in quotes; remove them")
        return text

    def value(self, section: str, key: Key) -> Any:
        """The value of a key."""
        text = self.general(key.name) if section == GENERAL else self.section(section).get(key.name, "")
        try:
            return key.read(text)
        except ValueError as error:
            where = "in" if isinstance(key.default, int) else "of"
            raise UsageError(f"{self.path}: {key.name} {where} [{section}] {error}") from error

    def site(self, name: str) -> Site:
        """A site by its name."""
        name = self.name_of(name)
        if name not in self.sites():
            raise self.no_site(name)
        site = Site(name, *[self.value(name, key) for key in SITE_KEYS.values()])
        self.check_scheme(name, "SERVER", site.server)
        if site.tape_api not in ("auto", "none"):
            scheme = self.check_scheme(name, "TAPE_API", site.tape_api)
            if scheme not in WEB:
                raise UsageError(f"{self.path}: TAPE_API of [{name}] is {site.tape_api!r}; it must be an https URL")
            if scheme in ("http", "dav") and site.token:
                raise UsageError(
                    f"{self.path}: the TOKEN would go to [{name}] unencrypted; TAPE_API must be an https URL"
                )
        return site._replace(engine=self.engine(site))

    def no_site(self, name: str) -> UsageError:
        """The sentence for a site that has no section, and is not chosen of those that gridsync knows."""
        own = self.own_sites()
        there, others = ", ".join(own) or "none", own if name in KNOWN else self.sites()
        hint = nearest(name, others) or (f"; --from={name} adds it" if name in KNOWN else "")
        known = ", ".join(site for site in self.sites() if site not in own)
        if known and not hint:
            hint = f"; gridsync also knows {known} (--from=list prints all)"
        return UsageError(f"there is no site {bare(name)} in {self.path}; it has {there}{hint}")

    def places(self) -> dict[str, tuple[str, list[str]]]:
        """Host with port, and the folders down to BASE_DIR_ON_GRID, of each site that has a server."""
        sections = {name: self.section(name) for name in self.sites()}
        servers = {name: section.get("SERVER", "") for name, section in sections.items()}
        bases = {name: section.get("BASE_DIR_ON_GRID", "") for name, section in sections.items()}
        return {name: place_of(f"{url}/{bases[name]}") for name, url in servers.items() if is_url(url)}

    def path_of(self, text: str, chosen: str) -> str:
        """The path below BASE_DIR_ON_GRID of the chosen site that a URL means; what is no URL is a path already."""
        if not has_scheme(text):
            return text
        from gridsync_parts.recids import portal_of, word_of

        text = text.strip()
        shown = bare(text)
        if not is_url(text):
            raise UsageError(f"{shown} is neither a URL nor a path below BASE_DIR_ON_GRID")
        (host, folders), places = place_of(text), self.places()
        chosen = self.name_of(chosen)
        if portal := portal_of({name: self.section(name) for name in self.sites()}, text, chosen):
            if portal != chosen:
                raise UsageError(f"{shown} belongs to the site {portal}; use --from {portal}, or choose another folder")
            return word_of(text, self.section(portal).get("ENGINE", ""))
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
        there = ", ".join(f"{name} ({places[name][0]})" for name in self.own_sites() if name in places)
        raise UsageError(f"{shown} belongs to no site in Grid.conf, which has {there or 'none'}")

    def check_scheme(self, name: str, key: str, url: str) -> str:
        """The scheme of a URL, which must be one that there is."""
        scheme = scheme_of(url)
        if scheme not in SCHEMES:
            raise UsageError(f"{self.path}: {key} of [{name}] is {url!r}; {scheme_error(scheme)}")
        return scheme

    def engine(self, site: Site) -> str:
        """The engine of a site: that of its SERVER's kind, unless ENGINE says another."""
        engine, scheme, name = site.engine, scheme_of(site.server), site.name
        if site.token and site.credential in ("proxy", "none"):
            raise UsageError(
                f"{self.path}: [{name}] has two credentials, TOKEN and CREDENTIAL = {site.credential}; remove one"
            )
        if engine not in ("auto", *ENGINES):
            known = ", ".join(("auto", *ENGINES[:-1]))
            raise UsageError(f"{self.path}: ENGINE of [{name}] is {engine!r}; expected {known} or {ENGINES[-1]}")
        kind = find_kind(engine, scheme)
        if not kind and engine != "auto":
            way = "write https:// there" if scheme in ("http", "dav") else "set it to auto"  # it wants TLS
            raise UsageError(f"{self.path}: ENGINE = {engine} cannot speak to {scheme}:// of [{name}]; {way}")
        if fault := fault_of(site, kind):
            raise UsageError(f"{self.path}: {fault}")
        if engine == "auto":
            engine = kind.engine if kind else scheme
        if site.token and scheme in ("http", "dav"):
            raise UsageError(f"{self.path}: the TOKEN would go to [{name}] unencrypted; SERVER must be an https door")
        if (site.token or site.credential == "token") and engine == "gfal2" and scheme not in KEEPING:
            way = "set ENGINE = auto" if scheme in WEB else "remove it"
            raise UsageError(f"{self.path}: gfal2 would show the TOKEN of [{name}] to any host, or not at all; {way}")
        return engine

    def settings(self) -> Settings:
        """All of it, checked."""
        values = {name: self.value(GENERAL, key) for name, key in GENERAL_KEYS.items()}
        threads, streams = values["THREADS"], values["STREAMS"]
        if threads * streams > CONNECTIONS:
            raise UsageError(
                f"{threads} threads with {streams} streams each are too many for one site; "
                f"at most {CONNECTIONS} connections: lower --threads or --streams"
            )
        name = self.name_of(values["SITE"])
        if name not in self.values and "SITE" not in self.given:  # a slip in its section must not lead elsewhere
            raise self.no_site(name)
        site = self.site(name)
        input_dir = self.path_of(values["INPUTDIR"], site.name)
        return Settings(*values.values())._replace(site=site, input_dir=input_dir)


def compile_patterns(text: str, option: str) -> tuple[re.Pattern[str], ...]:
    """The regular expressions in a text."""
    patterns = []
    for pattern in filter(None, text.split(":")):
        try:
            patterns.append(re.compile(pattern))
        except (re.error, OverflowError, RecursionError) as error:
            position = getattr(error, "pos", None)
            place = "" if position is None else f" at character {position + 1}"
            raise UsageError(
                f"{option}: {pattern!r} is not a regular expression: {getattr(error, 'msg', 'too large')}{place} "
                "(patterns are separated by ':')"
            ) from error
    return tuple(patterns)


def patterns_of(text: str, option: str) -> tuple[re.Pattern[str], ...]:
    """The regular expressions of INCLUDE or EXCLUDE."""
    import warnings

    with warnings.catch_warnings():  # of the whole process, so programs that use gridsync go without
        warnings.simplefilter("ignore")  # of what later versions of Python may make of it
        return compile_patterns(text, option)


def settings_of(config: Config) -> Settings:
    """All of its settings, OUTPUTDIR as it is called from here."""
    settings, folder = config.settings(), config.folder
    output_dir = os.path.join("" if folder == "." else folder, os.path.expanduser(settings.output_dir))
    return settings._replace(output_dir=output_dir)


def name_of_rows(config: Config, settings: Settings) -> str:
    """The site of the rows for URL DIR: what came to a folder other than OUTPUTDIR is not known to be there."""
    site, folder = settings.site, settings.output_dir
    own = os.path.expanduser(config.section(GENERAL).get("OUTPUTDIR", "") or Settings._field_defaults["output_dir"])
    if site.name in config.made or os.path.realpath(os.path.join(config.folder, own)) == os.path.realpath(folder):
        return site.name
    return f"{site.server}/{site.base}"


def name_across(source: str, target: str) -> str:
    """The site of the rows of files that are copied from site to site."""
    return f"{source}>{target}"


def scope_of(settings: Settings, names: frozenset[str] | None = None) -> Scope:
    """The files that the settings select, or of their site those that a list names."""
    return Scope(
        settings.site.name,
        "" if is_portal(settings.site.engine) else grid_path(settings.input_dir),
        patterns_of(settings.include, "--inc"),
        patterns_of(settings.exclude, "--exc"),
        names,
    )
