"""What a repository of Invenio's kind has: records, their drafts and files, with the meaning that
invenio-records-resources 11.1.2 and invenio-drafts-resources 11.0.4 give them. Names and sentences are theirs.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import threading
import time
import uuid
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from typing import Any

Fields = dict[str, Any]
KEYS = {"key", "storage_class", "checksum", "size", "transfer", "metadata", "access"}  # that an init may have
TYPES = {"L", "M", "F", "R"}
ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"
DAYS = 14  # that a part's link is good for
LOCKED = "Bucket is locked for modifications."
INVALID = "A validation error occurred."


class Refused(Exception):
    """What the repository says instead of doing it."""

    def __init__(self, status: int, message: str, errors: list[Fields] | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.document: Fields = {"status": status, "message": message}
        if errors is not None:
            self.document["errors"] = errors


def complaint(name: str, *said: str) -> Fields:
    return {"field": name, "messages": list(said)}


@dataclass
class Held:
    """A file of a draft or record."""

    key: str
    kind: str = "L"
    size_said: int | None = None
    checksum_said: str | None = None
    parts: int = 0
    part_size: int = 0
    metadata: Fields | None = None
    data: bytes | None = None  # what has come; of a file in parts, zeros where nothing came
    came: set[int] = field(default_factory=set)  # parts
    is_whole: bool = False  # committed
    shown: str | None = "md5"  # how its checksum is told: "md5", "multipart", or None
    polls: float = 0  # how often it will still be `pending` after its commit
    id: str = field(default_factory=lambda: str(uuid.uuid4()))
    created: float = field(default_factory=time.time)
    updated: float = field(default_factory=time.time)

    @property
    def size(self) -> int | None:
        return len(self.data) if self.data is not None and self.is_whole else self.size_said

    @property
    def md5(self) -> str:
        return hashlib.md5(self.data or b"").hexdigest()

    @property
    def status(self) -> str:
        return "completed" if self.is_whole and self.polls <= 0 else "pending"

    @property
    def checksum(self) -> str | None:
        """As it is told."""
        if self.data is None or not self.is_whole:
            return self.checksum_said
        if self.shown == "multipart":
            return f"multipart:{self.md5}-{self.part_size or len(self.data)}"
        return f"md5:{self.md5}" if self.shown else None


@dataclass
class Record:
    """A draft, a published record, or both: a published one whose metadata are being edited."""

    id: str
    parent: str
    owner: str
    model: str
    body: Fields
    index: int = 1  # of its version
    published: Fields | None = None  # the body that all can see
    is_draft: bool = True
    files: dict[str, Held] = field(default_factory=dict)
    revision: int = 1
    created: float = field(default_factory=time.time)
    updated: float = field(default_factory=time.time)
    has_next: bool = False  # a newer version is published
    due: float = 0  # when searches find it; monotonic
    doi: str = ""
    is_gone: bool = False  # what was published has been taken back

    @property
    def is_published(self) -> bool:
        return self.published is not None

    @property
    def metadata(self) -> Fields:
        return dict((self.body if self.is_draft else self.published or {}).get("metadata") or {})

    @property
    def title(self) -> str:
        return str(self.metadata.get("title") or "")

    @property
    def is_restricted(self) -> bool:
        access = (self.published or self.body).get("access") or {}
        return "restricted" in (access.get("record"), access.get("files"))

    @property
    def is_open_to_all(self) -> bool:
        """Do those see the record who may not see its files?"""
        return ((self.published or self.body).get("access") or {}).get("record") != "restricted"

    @property
    def has_files(self) -> bool:
        return bool((self.body.get("files") or {}).get("enabled", True))


def iso(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, timezone.utc).isoformat()


class Shelf:
    """All records of a repository, and what may be done with them."""

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.records: dict[str, Record] = {}
        self._numbers = itertools.count(1)

    def clear(self) -> None:
        with self.lock:
            self.records.clear()

    def new_id(self) -> str:
        """As those of NRP and RDM look; never one twice."""
        number = next(self._numbers) * 1_048_573 + 33_554_432
        digits = []
        for _ in range(10):
            number, digit = divmod(number, 32)
            digits.append(ALPHABET[digit])
        word = "".join(reversed(digits))
        return f"{word[:5]}-{word[5:]}"

    def create(self, owner: str, model: str, body: Fields, parent: Record | None = None) -> Record:
        with self.lock:
            record = Record(self.new_id(), parent.parent if parent else self.new_id(), owner, model, body)
            if parent:
                record.index = parent.index + 1
            self.records[record.id] = record
            return record

    def find(self, id: str) -> Record:
        with self.lock:
            if id not in self.records:
                raise Refused(404, "The persistent identifier does not exist.")
            if self.records[id].is_gone:
                raise Refused(410, "The record has been deleted.")
            return self.records[id]

    def draft(self, id: str) -> Record:
        record = self.find(id)
        if not record.is_draft:
            raise Refused(404, "The persistent identifier does not exist.")
        return record

    # Files of a draft.

    def file(self, record: Record, key: str) -> Held:
        if key not in record.files:
            raise Refused(404, f"Record '{record.id}' has no file '{key}'.")
        return record.files[key]

    def init(self, record: Record, asked: object, most: int) -> None:
        """Take a list of files that will come, all or none."""
        if record.is_published:
            raise Refused(403, LOCKED)
        if asked == []:
            raise Refused(400, INVALID, [complaint("_schema", "Invalid input type.")])
        if not record.has_files:
            raise Refused(400, INVALID, [complaint("files.enabled", "Files support is disabled.")])
        rows = asked if isinstance(asked, list) else [asked]
        errors: list[Fields] = []
        made = [held for number, row in enumerate(rows) if (held := _held(row, number, errors))]
        if errors:
            raise Refused(400, INVALID, errors)
        if len(record.files) + len(made) > most:
            said = "Uploading selected files will result in exceeding the max amount per record."
            raise Refused(400, said)
        keys = [held.key for held in made]
        for key in keys:
            if key in record.files or keys.count(key) > 1:
                raise Refused(400, f"File with key {key} already exists.")
        for held in made:
            if held.kind == "M" and not held.size_said:
                raise Refused(400, "Multipart file transfer requires file size.")
            if held.kind == "M" and not held.part_size:
                raise Refused(400, "Multipart file transfer to local storage requires part_size.")
            if held.kind == "M":
                held.data = bytes(held.size_said or 0)
            record.files[held.key] = held

    def take(self, record: Record, held: Held, data: bytes) -> bool:
        """The content of a file that comes in one piece; nothing of what was declared is compared. One that is whole
        already, or comes in parts, is not taken, and the draft has it no more."""
        if held.kind != "L" or held.is_whole:
            del record.files[held.key]
            return False
        held.data, held.updated = data, time.time()
        return True

    def take_part(self, held: Held, number: int, data: bytes) -> bool:
        """A part of a file; one that does not fit is not taken, and the file is as it was."""
        fits = held.kind == "M" and 1 <= number <= held.parts and not held.is_whole
        if not fits or (number < held.parts and len(data) != held.part_size):
            return False
        start = (number - 1) * held.part_size
        before = held.data or b""
        held.data = before[:start] + data + before[start + len(data) :]
        held.came.add(number)
        return True

    def commit(self, held: Held) -> None:
        if held.data is None:
            raise Refused(500, BROKEN)
        held.is_whole, held.updated = True, time.time()

    # Records.

    def publish(self, record: Record) -> None:
        record.published, record.is_draft = json.loads(json.dumps(record.body)), False
        record.revision, record.updated = record.revision + 1, time.time()
        for other in self.records.values():
            if other.parent == record.parent and other.index < record.index:
                other.has_next = True

    def edit(self, record: Record) -> None:
        if not record.is_draft:
            record.body, record.is_draft = json.loads(json.dumps(record.published)), True

    def newest(self, parent: str) -> Record:
        """The newest version that is published."""
        found = [one for one in self.records.values() if one.parent == parent and one.is_published]
        if not found:
            raise Refused(404, "The persistent identifier does not exist.")
        return max(found, key=lambda one: one.index)

    def renew(self, record: Record) -> Record:
        """The draft of a new version: the one that there is already, or another, without files."""
        for other in self.records.values():
            if other.parent == record.parent and not other.is_published:
                return other
        newest = self.newest(record.parent)
        body = json.loads(json.dumps(newest.published))
        for name in ("publication_date", "version"):
            (body.get("metadata") or {}).pop(name, None)
        return self.create(record.owner, record.model, body, newest)

    def import_files(self, record: Record) -> None:
        """Take the files of the version before."""
        if record.files:
            said = "Please remove all files before importing."
            raise Refused(400, INVALID, [complaint("files.enabled", said)])
        before = [one for one in self.records.values() if one.parent == record.parent and one.index == record.index - 1]
        for one in before:
            for key, held in one.files.items():
                record.files[key] = Held(key, metadata=held.metadata, data=held.data, is_whole=True, shown=held.shown)

    def discard(self, record: Record) -> None:
        """Remove a draft; of a published record only what was edited."""
        record.is_draft = False
        if not record.is_published:
            del self.records[record.id]


BROKEN = (
    "The server encountered an internal error and was unable to complete your request. Either the server is overloaded "
    "or there is an error in the application."
)


def _held(row: object, number: int, errors: list[Fields]) -> Held | None:
    """One file of an init, or what is wrong with it."""
    if not isinstance(row, dict):
        errors.append(complaint(f"{number}._schema", "Invalid input type."))
        return None
    wrong = [complaint(f"{number}.{name}", "Unknown field.") for name in sorted(row.keys() - KEYS)]
    transfer = row.get("transfer") or {}
    kind = transfer.get("type", "L")
    known = {"type", "parts", "part_size"} if kind == "M" else {"type", "url"} if kind in "FR" else {"type"}
    wrong += [complaint(f"{number}.transfer.{name}", "Unknown field.") for name in sorted(transfer.keys() - known)]
    if kind not in TYPES:
        wrong.append(complaint(f"{number}.transfer.type", f"Unsupported value: {kind}"))
    if not isinstance(row.get("key"), str):
        wrong.append(complaint(f"{number}.key", "Missing data for required field."))
    for name in ("size", "parts", "part_size"):
        value = (row if name == "size" else transfer).get(name)
        if value is not None and (not isinstance(value, int) or isinstance(value, bool)):
            where = name if name == "size" else f"transfer.{name}"
            wrong.append(complaint(f"{number}.{where}", "Not a valid integer."))
    if kind == "M" and "parts" not in transfer:
        wrong.append(complaint(f"{number}.transfer.parts", "Missing data for required field."))
    errors += wrong
    if wrong:
        return None
    parts, part_size = transfer.get("parts") or 0, transfer.get("part_size") or 0
    return Held(row["key"], kind, row.get("size"), row.get("checksum"), parts, part_size, row.get("metadata"))


def expiration() -> str:
    return (datetime.now(timezone.utc) + timedelta(days=DAYS)).isoformat()
