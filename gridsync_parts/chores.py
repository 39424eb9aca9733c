"""What is done with a site again and again: when it is due, and what is told when it fails."""

from __future__ import annotations

from typing import NamedTuple

from gridsync_parts.errors import DoorError, GridError
from gridsync_parts.fetching import Fetch
from gridsync_parts.pace import Trouble
from gridsync_parts.plans import subject_of
from gridsync_parts.values import Row
from gridsync_parts.words import duration_text, moment_text, size_text


def stuck_text(rows: list[Row], since: float, by_record: bool = False) -> str:
    """The sentence for files that are on their way from tape for much too long."""
    if by_record:
        records = sorted({subject_of(row, by_record) for row in rows})
        others = f" and {len(records) - 1} more" if len(records) > 1 else ""
        return (
            f"{records[0]}{others}: stuck on the way from tape since {moment_text(since)}; look what the site says of "
            "it on its page, or ask the site"
        )
    others = f" and {len(rows) - 1} more" if len(rows) > 1 else ""
    return (
        f"{rows[0].path}{others}: stuck on the way from tape since {moment_text(since)}; the site's "
        "pools may be full: free files you do not need with --release, or ask the site"
    )


class Coming(NamedTuple):
    """Files of a record that are on their way from tape."""

    record: str
    files: int
    size: int
    since: float  # when that has begun, as the site says; 0 if it does not

    def text(self, now: float) -> str:
        """The sentence for them."""
        files = f"{self.files} file(s), {size_text(self.size)},"
        if not self.since:
            return f"{self.record}: asked for; {files} have not come from tape yet"
        ago = f"{moment_text(self.since)}, {duration_text(max(0, now - self.since))} ago"
        return f"{self.record}: asked for at {ago}; {files} are on their way from tape"


class Chore:
    """What is to be done with the site again and again; when it fails it is left alone for a while."""

    def __init__(self, pause: float):
        self.pause = pause  # seconds until it is due again
        self.due = 0.0
        self.trouble = Trouble()


class Told:
    """What went wrong at the site, as far as the user is told of it."""

    def __init__(self, fetch: Fetch) -> None:
        self.fetch = fetch
        self.noted: set[str] = set()  # the failures that the user knows
        self.failures: list[GridError] = []  # pins that could not be given back
        self.stuck: list[tuple[Row, float]] = []  # files on their way from tape for too long, and since when
        self.coming: dict[str, Coming] = {}  # by record; only for who looks on

    def note_coming(self, row: Row, since: float) -> None:
        """A file of a record is on its way from tape."""
        record = subject_of(row, by_record=True)
        one = self.coming.get(record, Coming(record, 0, 0, since))
        since = min(filter(None, (one.since, since)), default=0.0)
        self.coming[record] = Coming(record, one.files + 1, one.size + row.size, since)

    def stuck_text(self) -> str:
        """The sentence for those, once."""
        stuck, self.stuck = self.stuck, []
        rows = [row for row, _ in stuck]
        return stuck_text(rows, stuck[0][1], self.fetch.aim.by_record) if stuck else ""

    def rest(self, trouble: Trouble, error: GridError, now: float) -> Trouble:
        """Leave alone what has failed; for a day that is only noted."""
        pace = self.fetch.pace
        trouble = trouble.after(pace.chore, now, pace.well)
        is_over = trouble.is_over(pace.chore, now) or (isinstance(error, DoorError) and not error.passing)
        if is_over or not self.fetch.aim.is_patient:
            raise error
        if str(error) not in self.noted:
            self.noted.add(str(error))
            pause = duration_text(trouble.until - now)
            self.fetch.ledger.notes.append(f"{error}; next try in {pause}, then less often")
        return trouble
