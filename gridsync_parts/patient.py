"""What the doctor looks at: a work folder, and the site that its settings name."""

from __future__ import annotations

import contextlib
import functools
import os
import re
import time
from collections.abc import Iterable, Mapping

from gridsync_parts.catalog import Catalog
from gridsync_parts.doors import MAX_PATHS, Listing, Place
from gridsync_parts.doors.answers import Answer
from gridsync_parts.doors.opening import open_shown
from gridsync_parts.doors.portal import PortalHttp
from gridsync_parts.doors.webdav import WebDavDoor, make_place
from gridsync_parts.doors.wire import Http
from gridsync_parts.errors import CredentialError, FileError, GridError
from gridsync_parts.keys import ca_folder
from gridsync_parts.keys.proxy import user_files, valid_proxy
from gridsync_parts.keys.shown import settled, token_of
from gridsync_parts.keys.token import Token
from gridsync_parts.kinds import is_portal, kind_of, needs_proxy
from gridsync_parts.recids import is_query, words_in
from gridsync_parts.settings import Config, scope_of, settings_of
from gridsync_parts.table import GENERAL_KEYS, Settings
from gridsync_parts.values import Entry, Finding, Locality, Row, Scope

LOOK_LIMIT = 30  # seconds that a server has for its answer
SAMPLE = 64 << 10  # bytes of a file that is read
LISTED = 8  # folders in which a file to read is looked for
PLAIN_NAME = re.compile(r"[\w./-]+", re.ASCII)


class Unseen(Exception):
    """What can't be looked at, which is no failure: why."""


class Patient:
    """What is looked at: a work folder, and the site that its settings name."""

    def __init__(self, folder: str, given: Mapping[str, str]):
        self.folder = folder
        self.name = ""  # of what is looked at just now
        self.greeted = 0.0  # when the door has answered
        self.found: dict[str, Finding] = {}
        self.config: Config | None = None
        self.known: tuple[Settings, Scope] | None = None
        self.fault: GridError | None = None  # of Grid.conf
        usual = dict.fromkeys(set(GENERAL_KEYS) - {"SITE", "OUTPUTDIR", "VO"}, "")
        for changes in (given, {**given, **usual}):  # a wrong number is no reason not to look at the door
            try:
                self.config = Config(folder)
                self.config.change(changes)
                settings = settings_of(self.config)
                settings = settings._replace(site=settled(settings.site, self.config)[0])
                kind_of(settings.site)
                self.known = settings, scope_of(settings)
                break
            except GridError as error:
                self.fault = self.fault or error

    @property
    def settings(self) -> Settings:
        if not self.known:
            raise Unseen("needs Grid.conf")
        site = self.known[0].site
        waits = [min(seconds, LOOK_LIMIT) for seconds in (site.first_byte, site.silence)]
        return self.known[0]._replace(site=site._replace(first_byte=waits[0], silence=waits[1]))

    @property
    def scope(self) -> Scope:
        if not self.known:
            raise Unseen("needs Grid.conf")
        return self.known[1]

    def is_well(self, name: str) -> bool:
        """Whether one of the looks so far has found nothing to do."""
        return name not in self.found or self.found[name].ok is True

    @functools.cached_property
    def token(self) -> Token:
        assert self.config
        token = token_of(self.settings.site, self.config)
        assert token
        return token

    @functools.cached_property
    def proxy(self) -> str:
        """The user's proxy, or nothing if it is none to show."""
        with contextlib.suppress(CredentialError):
            return valid_proxy(self.settings.vo, time.time()).path if needs_proxy(self.settings.site) else ""
        return ""

    def makes_proxies(self) -> bool:
        """Whether they are made here, and not just brought here."""
        return not self.known or not self.proxy or os.path.isfile(user_files()[0])

    @functools.cached_property
    def door(self) -> WebDavDoor:
        """The door as the http engine speaks to it, with whatever can be shown there."""
        site, token = self.settings.site, None
        if site.token:
            with contextlib.suppress(GridError):
                token = self.token if self.token.value() else None
        http = PortalHttp if is_portal(site.engine) else Http
        return WebDavDoor(http(site, self.proxy, token, ca_folder(site)), site)

    @functools.cached_property
    def greeting(self) -> Answer | GridError:
        """What the door answers to a question that needs no leave, or why it does not."""
        try:
            token = self.door.http.token.value() if self.door.http.token else ""
            answer = self.door.http.send_with("OPTIONS", f"{self.door.server}/", {}, b"", token)
            self.greeted = time.time()
            answer.drain()
            return answer
        except GridError as error:
            return error

    @functools.cached_property
    def place(self) -> Place:
        """The site by its kind."""
        site = self.settings.site
        if site.engine == "http":
            return make_place(self.door, kind_of(site).can)
        return open_shown(site, self.proxy, self.token if site.token else None)

    @functools.cached_property
    def top(self) -> str:
        """INPUTDIR, or of a portal the first record that it names."""
        find, words = self.place.find, words_in(self.settings.input_dir)
        if not find:
            return self.scope.folder
        if not words or is_query(words[0]):
            raise Unseen("needs a record as INPUTDIR, such as --input_dir=5500")
        found = find(words[:1])[words[0]]
        if found.error:
            raise found.error
        return next(iter(found.records))

    @functools.cached_property
    def listing(self) -> Listing:
        """What is in INPUTDIR."""
        return self.place.lister.folder(self.top)

    @functools.cached_property
    def catalog(self) -> Catalog:
        return Catalog(self.folder, is_frozen=True)

    def rows(self) -> list[Row]:
        """The files that the settings choose, as far as they are known."""
        with contextlib.suppress(GridError):
            return self.catalog.matching(self.scope)
        return []

    def online(self, files: Iterable[Row | Entry]) -> Row | Entry | None:
        """The smallest of some files that has a copy on disk just now; names at which some doors stumble come last."""
        order = sorted((not PLAIN_NAME.fullmatch(file.path), file.size, file) for file in files if file.size > 0)
        some = [file for *_, file in order[:MAX_PATHS]]
        where = self.place.locate([file.path for file in some]) if some else {}
        return next((file for file in some if where.get(file.path) is Locality.ONLINE), None)

    @functools.cached_property
    def sample(self) -> Row | Entry | None:
        """A file to read: of the catalog, or of the first folders that there are."""
        if file := self.online(row for row in self.rows() if row.locality is Locality.ONLINE):
            return file
        folders, listing = [], self.listing
        for _ in range(LISTED):
            if file := self.online(entry for entry in listing if not entry.is_folder):
                return file
            folders += sorted((entry.path for entry in listing if entry.is_folder), reverse=True)
            if not folders:
                break
            listing = Listing()
            with contextlib.suppress(FileError):
                listing = self.place.lister.folder(folders.pop())
        return None
