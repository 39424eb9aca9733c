"""Files that are sent to a hub's service: into the user's own folder alone, and never away from there again."""

from __future__ import annotations

import re
from typing import Callable
from urllib.parse import urlsplit

from gridsync_parts.doors import Listing, Sent, Stored
from gridsync_parts.doors.plain import NO_NAME, TAKEN
from gridsync_parts.doors.wire import Http
from gridsync_parts.doors.writing import WebDavWriter, check_name, place_of, write_refusal
from gridsync_parts.errors import BadName, Exists, FileError, Forbidden, GridError, NotFound
from gridsync_parts.words import LONGEST

HOMES = ("lst", "cta")  # above the folders of users
UNNAMED = "YOUR_NAME"  # for one of whom the hub does not tell it
ODD = "{}: the hub makes another name of it, as of all with #, ? or %; ask the site to rename it"
NO_REMOVAL = "{}: the hub removes nothing and renames nothing; ask the site"


def is_odd(path: str) -> bool:
    """Whether the service makes another path of it, as it takes it for a URL."""
    return bool(re.search("[#?%]", path))


def check_hub_name(path: str, place: str) -> None:
    """Refuse a name that the service can't give."""
    if is_odd(path):
        raise BadName(ODD.format(place[:LONGEST]))


def fragment_of(user: str) -> str:
    """What the service calls the folder of a user; of digits it knows two."""
    return re.sub("[^0-1a-z]", "_", user.lower())


class HubWriter(WebDavWriter):
    """A hub that takes files."""

    def __init__(self, http: Http, url_of: Callable[[str], str], listed: Callable[[str], Listing], service: str):
        super().__init__(http, url_of, listed)
        self.service = service

    def is_taken(self, path: str) -> bool:
        """Whether something has a name: what is behind the service may not heed If-None-Match."""
        return self.names.has(path)

    def check_name(self, path: str) -> None:
        """Raise BadName for a name that would become another one."""
        if is_odd(path):
            reason = "the hub makes another one of #, ? and %"
            raise BadName(NO_NAME.format(place=place_of(self.url_of(path)), said=reason))
        check_name(self.url_of(path))

    def folder(self, path: str) -> bool:
        """Make a folder in one that is there; whether it was not there yet."""
        self.check_name(path)
        if path and self.is_taken(path):  # else BASE_DIR_ON_GRID is missing, or the caller would not ask
            if self.is_folder(path):
                return False
            raise Exists(TAKEN.format(place=place_of(self.url_of(path))))
        url = self.url_of(path).rstrip("/") + "/"  # without the slash a user may not make the folder of all others
        answer = self.http.ask("MKCOL", url)
        if answer.status != 201:
            error = write_refusal(answer, url)
            if isinstance(error, Exists) and self.is_folder(path):
                return False
            raise self.own_error(path, error)
        answer.drain()
        self.names.note(path, True)
        return True

    def write(self, path: str, sent: Sent) -> Stored:
        """Send a new file; Exists if something has its name. When it fails, some of it may be there."""
        self.check_name(path)
        try:
            return super().write(path, sent)
        except GridError as error:
            raise self.own_error(path, error) from error.__cause__

    def own_error(self, path: str, error: GridError) -> GridError:
        """The error for what was not taken, which says where the user may write."""
        if not isinstance(error, Forbidden):
            return error
        homes = " or ".join(f"{top}/users/{self.who()}/" for top in HOMES)
        reason = f"the hub takes your files below {homes} alone; name a folder there with --input_dir"
        return Forbidden(f"{place_of(self.url_of(path))}: {reason}")

    def who(self) -> str:
        """What the folder of the user is called, as far as the hub tells who that is."""
        hub = urlsplit(self.service)
        url = hub._replace(path=f"{hub.path.partition('/services/')[0]}/hub/api/user").geturl()
        try:
            return fragment_of(str(self.http.ask("GET", url).json()["name"]))
        except (GridError, ValueError, KeyError, TypeError):
            return UNNAMED

    def stored(self, path: str) -> Stored:
        """What is there under a name; NotFound if nothing. HEAD tells no length here."""
        try:
            found = [entry for entry in self.names.listed(path) if entry.path == path and not entry.is_folder]
        except NotFound:
            self.names.note(path, False)
            raise
        if not found:
            raise FileError(f"{place_of(self.url_of(path))}: what has this name is a folder")
        return Stored(found[0].size, found[0].checksum, found[0].mtime)

    def rename(self, path: str, target: str, replace: bool) -> None:
        """Refuse it."""
        raise FileError(NO_REMOVAL.format(place_of(self.url_of(path))))

    def remove(self, path: str) -> bool:
        """Refuse to remove a file that is there."""
        try:
            self.stored(path)
        except NotFound:
            return False
        raise FileError(NO_REMOVAL.format(place_of(self.url_of(path))))
