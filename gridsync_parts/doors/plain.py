"""What doors have in common that know neither tape nor checksums: what is there is on disk."""

from __future__ import annotations

from collections.abc import Collection

from gridsync_parts.doors import LISTINGS, At, Listing, Tape
from gridsync_parts.errors import DoorError, Forbidden, NotFound
from gridsync_parts.values import Locality

# What is said of a place, whichever door has it.
NOT_THERE = "{place}: there is no such file or folder; --ls_dir shows what there is"
REFUSED = "{place}: the door refuses ({said}); have you the right to it there?"
TAKEN = "{place}: there is something of this name already"
NO_ROOM = "{place}: the door has no room for it, or your quota is used up ({said}); ask the site"
NO_NAME = "{place}: the door takes no file of this name ({said}); rename it"
NO_FOLDER = "{place}: the folder for it is not there"


class PlainDoor:
    """Such a door; of the verbs only those that need nothing but its listings."""

    def folder(self, path: str) -> Listing:
        """What is in a folder; for a file, the file itself."""
        raise NotImplementedError

    def checksum(self, at: At) -> str:
        """It knows none."""
        return ""

    def find_tape(self) -> Tape | None:
        """It has none, or hides it."""
        return None

    def localities(self, paths: list[str], on_tape: Collection[str] = ()) -> dict[str, Locality]:
        """Where files are: each that its folder lists is on disk; of a folder that can't be listed nothing is said."""
        from concurrent import futures

        there: set[str] = set()
        failure: DoorError | None = None
        folders = sorted({path.rpartition("/")[0] for path in paths})
        with futures.ThreadPoolExecutor(LISTINGS) as threads:
            for listing in [threads.submit(self.folder, folder) for folder in folders]:
                try:
                    there.update(entry.path for entry in listing.result() if not entry.is_folder)
                except (NotFound, Forbidden):
                    continue
                except DoorError as error:
                    failure = failure or error  # what others tell is good all the same
        if failure and not there:
            raise failure
        return {path: Locality.ONLINE for path in paths if path in there}
