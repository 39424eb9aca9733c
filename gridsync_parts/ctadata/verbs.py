"""What ctadata's names do, at the hub and at the dCache behind it; programs and the shell have the same."""

from __future__ import annotations

import email.utils
import warnings
from typing import Any, Callable

from gridsync_parts.ctadata.moved import Gone, bring_file, bring_tree, send_file, send_tree
from gridsync_parts.ctadata.opened import DCACHE, SAID, SAID_OF_HUB, Given, Speaking, hub_access, path_in
from gridsync_parts.doors import Listing
from gridsync_parts.doors.hubsend import HOMES, UNNAMED, HubWriter
from gridsync_parts.errors import Forbidden, UsageError
from gridsync_parts.face import FilePath, OpenSite, open_site
from gridsync_parts.values import Entry, Row

NOTHING = Given()
Send = Callable[[OpenSite, FilePath, str, bool], Gone]
NOBODY = "the hub does not say who you are, and so not where your files go; use a token with read:users:name!user"


class Listed(str):
    """The path of a file or folder in a listing, which has what else is said of it as items, as a dict does."""

    said: dict[str, str]

    def __new__(cls, path: str, said: dict[str, str] | None = None) -> Listed:
        """A path; nothing else need be known."""
        self = super().__new__(cls, path)
        self.said = dict(said or {})
        return self

    def __getitem__(self, key: Any) -> str:
        return self.said[key] if isinstance(key, str) else super().__getitem__(key)

    def get(self, key: str, default: str | None = None) -> str | None:
        """An item, if there is one."""
        return self.said.get(key, default)

    def keys(self) -> Any:
        """The names of the items."""
        return self.said.keys()

    def items(self) -> Any:
        """The items and their names."""
        return self.said.items()


def as_listed(entry: Entry, path: str, service: str) -> Listed:
    """An entry as the service itself would have it."""
    said = {"href": path}
    if not entry.is_folder:
        said["size"] = str(entry.size)
    if entry.mtime:
        said["mtime"] = email.utils.formatdate(entry.mtime, usegmt=True)
    said["url"] = f"{service}/list/{path}"
    said["type"] = "directory" if entry.is_folder else "file"
    return Listed(path, said)


def shared(gone: Gone) -> list[dict[str, Any]]:
    """What the service would say of files that it has taken."""
    return [{"path": one.target, "status": "uploaded", "total_written": one.size} for one in gone.uploads]


def warn_of(remarks: list[str]) -> None:
    """Tell a program what is left out, and is no error."""
    for remark in remarks:
        warnings.warn(remark, stacklevel=3)


class Verbs:
    """At the dCache itself, where all paths are from its root."""

    words = SAID

    def open(self, given: Given) -> OpenSite:
        """The site."""
        return open_site(DCACHE)

    def cut(self, path: str) -> int:
        """How many of its folders a tree does not have here: those above it."""
        return path.count("/")

    def look(self, path: str, given: Given) -> Listing:
        """What is in a folder; for a file, the file itself."""
        with Speaking(self.words), self.open(given) as site:
            return site.ls(path)

    def shown(self, entry: Entry) -> str:
        """An entry of it, as it is listed: by its name."""
        return entry.path.rpartition("/")[2]

    def find(self, path: str, given: Given) -> list[Row]:
        """All files below a folder."""
        with Speaking(self.words), self.open(given) as site:
            return site.find(path)

    def get(
        self, path: str, recursive: bool, here: FilePath | None = None, given: Given = NOTHING, progress: bool = False
    ) -> list[Row]:
        """Have a file, or all below a folder, in the current folder."""
        with Speaking(self.words), self.open(given) as site:
            if recursive:
                return bring_tree(site, path, self.cut(site.below(path)), progress)
            return [bring_file(site, path, here, progress)]

    def put(
        self, local: FilePath, path: str, recursive: bool, given: Given = NOTHING, progress: bool = False
    ) -> Gone:
        """Send a file, or what is in a folder."""
        with Speaking(self.words), self.open(given) as site:
            return self.send(site, send_tree if recursive else send_file, local, path, progress)

    def send(self, site: OpenSite, send: Send, local: FilePath, path: str, progress: bool) -> Gone:
        """Send it into a folder that is named from the root."""
        return send(site, local, path, progress)


class HubVerbs(Verbs):
    """At the hub, where uploads go below the user's own folder."""

    words = SAID_OF_HUB

    def open(self, given: Given) -> OpenSite:
        """The site."""
        return hub_access(given).open()

    def cut(self, path: str) -> int:
        """None: a tree has its whole path here, too."""
        return 0

    def shown(self, entry: Entry) -> str:
        """An entry, as it is listed: by its whole path, with a slash if it is a folder."""
        return entry.path + "/" * (entry.is_folder and entry.path != "")

    def listed(self, path: str, given: Given) -> list[Listed]:
        """What is in a folder, after the folder itself, as the service has it."""
        with Speaking(self.words):
            access = hub_access(given)
            with access.open() as site:
                found, own, service = site.ls(path), site.below(path), access.service()
        if [entry.path for entry in found if not entry.is_folder] != [own]:
            found.insert(0, Entry(own, True, 0, 0))
        warn_of([f"{error}; it is left out" for error in found.odd.values()])
        return [as_listed(entry, self.shown(entry), service) for entry in found]

    def send(self, site: OpenSite, send: Send, local: FilePath, path: str, progress: bool) -> Gone:
        """Send it into the user's folder, wherever that is."""
        writer = site.use().writer
        assert isinstance(writer, HubWriter)
        user = writer.who()
        if user == UNNAMED:
            raise UsageError(NOBODY)
        first, last = (f"{top}/users/{user}/{path_in(path)}{'/' * path.endswith('/')}" for top in HOMES)
        try:
            return send(site, local, first, progress)
        except Forbidden:  # the user writes below the other one
            return send(site, local, last, progress)
