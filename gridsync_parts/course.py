"""How a deposit becomes a record, from its first step to its last; each step is a call that a thread makes.

What is noted in grid_uploads.csv comes first each time: the intent before a draft is asked for, its id before its
first byte. So a further run knows where the last one was, wherever that has ended.
"""

from __future__ import annotations

import json
import os
import zlib
from typing import Any, Callable, NamedTuple

from gridsync_parts.bundle import Room, bundle, clear, path_of
from gridsync_parts.case import (
    CALLS,
    DISK,
    Ask,
    Asking,
    Case,
    Meant,
    base_of,
    check_draft,
    differences,
    listing_of,
)
from gridsync_parts.deposits import RECORD, Deposit, fill_one
from gridsync_parts.doors import Deposited, Draft, Listing, Repository, Writer
from gridsync_parts.errors import FileError, GridError, NotFound
from gridsync_parts.intents import DRAFT, PUBLISHED, Creation, Intents
from gridsync_parts.metadata import Hook, complaints_text
from gridsync_parts.outbox import BUNDLE, Local
from gridsync_parts.pool import Stop
from gridsync_parts.table import Site
from gridsync_parts.uploads import Upload
from gridsync_parts.values import Wishes, error_text
from gridsync_parts.words import moment_text, names_text, size_text


class Terms(NamedTuple):
    """What a command line says of all deposits."""

    site: Site
    wishes: Wishes
    hook: Hook | None
    base: str = ""  # the record of which a new version is made, if the user names it


class Course:
    """What deposits have in common on their way."""

    def __init__(self, repository: Repository, writer: Writer, intents: Intents, terms: Terms, stop: Stop):
        self.repository = repository
        self.writer = writer
        self.intents = intents
        self.terms = terms
        self.stop = stop
        self.room = Room()
        self.growing: dict[str, int] = {}  # bytes so far of the zips that are built
        self.plan: Callable[[Case, Listing], None]  # has files sent
        self.note: Callable[[str], None]

    # The whole of it.

    def go(self, case: Case) -> Asking:
        """All steps of a deposit."""
        deposit = case.deposit
        self.fill(case)
        if self.terms.base:
            yield from self.adopt(deposit, self.terms.base)
        known = self.intents.latest(deposit.folder)
        if known and known.verified != PUBLISHED:
            case.row = known
            yield from self.take_up(case, known)
            if case.draft.is_published:  # the answer to that was lost
                known = case.row = self.intents.put(case.row._replace(verified=PUBLISHED, error=""))
        if known and known.verified == PUBLISHED:
            yield from self.compare(case, known)
            if case.state:
                return
        elif not known and self.terms.wishes.new_version:
            raise FileError(
                f"{deposit.name}: grid_uploads.csv has no published record of it that could get a new version; name it "
                "with --input_dir=ID, or leave --new_version out"
            )
        elif not known:
            yield from self.begin(case)
        yield from self.fill_draft(case)

    def fill_draft(self, case: Case) -> Asking:
        """Have a draft that is there hold what it is to, and publish it."""
        yield from self.choose_files(case)
        yield from self.describe(case)
        yield from self.clear_draft(case)
        missing = {name: local.size for name, local in case.files.items() if name not in case.draft.files}
        if missing:
            yield Ask(CALLS, self.repository.announce, (case.draft.id, missing))
        self.plan(case, listing_of(case))
        yield None
        if case.load.lost:
            raise FileError(
                f"{case.deposit.name}: {len(case.load.lost)} of {len(case.files)} files could not be sent; the draft "
                f"{case.draft.id} is kept, and the next run goes on with it"
            )
        case.draft = yield Ask(CALLS, self.finish, (case,))
        case.state = PUBLISHED if case.draft.is_published else DRAFT
        self.put(case, verified=case.state, error="", size=case.size())
        self.clear_zip(case)

    def finish(self, case: Case) -> Draft:
        """Look once more at a draft, and publish it if that is wanted, unless it was, and nobody has heard so."""
        draft = self.repository.look(case.draft.id)
        check_draft(case, draft)
        if self.terms.wishes.publish and not draft.is_published:
            draft = self.repository.publish(draft.id)
        return draft

    # What it is made of.

    def fill(self, case: Case) -> None:
        """Have its metadata."""
        deposit, filled = case.deposit, fill_one(case.deposit, self.terms.hook, self.terms.site)
        parts: list[Any] = [filled.body]
        path = path_of(deposit.name, deposit.folder) if deposit.is_zipped(self.terms.site) else ""
        parts += [list(local[:4]) for local in deposit.files if path]
        text = json.dumps(parts, sort_keys=True).encode("utf-8", "backslashreplace")
        case.meant = Meant(filled.body, f"adler32:{zlib.adler32(text):08x}", path)

    def choose_files(self, case: Case) -> Asking:
        """The files that the record is to have: all of them, or a zip of them."""
        deposit, files = case.deposit, case.deposit.files
        if case.files:
            return
        if case.meant.zip:
            name = os.path.basename(case.meant.zip)
            whole = self.sent_zip(case, name)
            if whole is None:
                whole = yield Ask(DISK, self.build, (deposit,))
            files = [local for local in files if local.path == RECORD] + [whole]
        case.files = {local.path: local for local in files}

    def build(self, deposit: Deposit) -> Local:
        """The zip of a deposit, built in a thread."""

        def seen(here: int, came: int) -> None:
            self.growing[deposit.name] = here

        try:
            return bundle(deposit.name, deposit.folder, deposit.files, self.room, self.stop, seen)
        finally:
            self.growing.pop(deposit.name, None)

    def zips_text(self) -> str:
        """Which zips are being built, and how far each is."""
        growing = list(self.growing.items())
        return "".join(f", {name}{BUNDLE}: {size_text(size)}" for name, size in growing)

    def sent_zip(self, case: Case, name: str) -> Local | None:
        """The zip as an earlier run has sent it, if it would be the same again."""
        known = self.intents.uploads.by_path(self.terms.site.name).get(case.target(name))
        there = case.draft.files.get(name)
        if not (case.row and case.row.checksum == case.meant.sign and known and known.verified and there):
            return None
        if there.checksum != known.checksum or known.mtime >= self.intents.uploads.noted:
            return None
        return Local(name, case.meant.zip, known.size, known.mtime, known.checksum)

    def clear_zip(self, case: Case) -> None:
        """Remove the zip, which the record has now."""
        if case.meant.zip and (fault := clear(case.meant.zip, self.room)):
            self.note(fault)

    # The draft.

    def put(self, case: Case, **changes: Any) -> None:
        """Note something of a deposit."""
        assert case.row
        case.row = self.intents.put(case.row._replace(**changes))

    def begin(self, case: Case) -> Asking:
        """Have a new draft made."""
        yield from self.choose_files(case)
        case.row = self.intents.begin(case.deposit.folder, case.deposit.size())
        yield from self.create(case, Creation(self.repository, case.row.target, self.stop))

    def create(self, case: Case, creation: Creation) -> Asking:
        """Have a draft made, or found; its id is noted at once."""
        draft = yield Ask(CALLS, creation)
        self.put(case, record=draft.id, checksum="", verified="", error="")
        case.draft = draft
        key, row = creation.key, case.row
        if creation.doubt and row:
            self.note(
                f"{case.deposit.name}: {creation.doubt}: one with the title {key} may be left there, asked for at "
                f"{moment_text(row.mtime)}; if there is one besides {draft.id}, delete it"
            )
        if creation.others:
            others = ", ".join(other.id for other in creation.others)
            self.note(f"{case.deposit.name}: the site has further drafts with the title {key}: {others}; delete them")

    def take_up(self, case: Case, known: Upload) -> Asking:
        """Go on where an earlier run has ended."""
        if known.record:
            try:
                case.draft = yield Ask(CALLS, self.repository.look, (known.record,))
            except NotFound:
                self.put(case, record="", checksum="", verified="", mtime=0)  # there is none to look for
                raise FileError(
                    f"{case.deposit.name}: its draft {known.record} is gone: somebody else has deleted it, and nothing "
                    "was published; the next run makes a new one"
                ) from None
        elif base := self.intents.published(case.deposit.folder):
            yield from self.renew(case, base.record)
        else:
            yield from self.create(case, Creation(self.repository, known.target, self.stop, known.mtime or None))

    def renew(self, case: Case, record: str) -> Asking:
        """Have the draft of a new version; asked again, the site gives the same."""
        case.draft = yield Ask(CALLS, self.repository.renew, (record,))
        self.put(case, record=case.draft.id, checksum="", verified="", error="")

    def describe(self, case: Case) -> Asking:
        """Give a draft its metadata, unless it has them."""
        if case.row and case.row.checksum == case.meant.sign:
            return
        complaints = yield Ask(CALLS, self.repository.describe, (case.draft.id, case.meant.body))
        if complaints:
            raise FileError(
                f"{case.deposit.name}: the repository refuses its metadata: {complaints_text(complaints)}; correct "
                f"{case.deposit.source}, or METADATA_HOOK, and run again"
            )
        self.put(case, checksum=case.meant.sign, verified="")

    # Versions.

    def adopt(self, deposit: Deposit, base: str) -> Asking:
        """Note the record that the user names, once it is seen to be one."""
        if not self.intents.has(deposit.folder, base):
            found = yield Ask(CALLS, base_of, (self.repository, deposit, self.intents.latest(deposit.folder), base))
            self.intents.adopt(deposit.folder, found.id)

    def compare(self, case: Case, known: Upload) -> Asking:
        """A published record stays as it is; what differs from it goes into a new version, if that is wanted."""
        deposit, case.row = case.deposit, known
        try:
            case.draft = yield Ask(CALLS, self.repository.look, (known.record,))
        except NotFound:
            raise FileError(
                f"{deposit.name}: its record {known.record} is not at the site any more; to deposit it anew, remove "
                "its row from grid_uploads.csv"
            ) from None
        yield from self.choose_files(case)
        rows = self.intents.uploads.by_path(self.terms.site.name)
        sent = {name: (local, rows.get(case.target(name))) for name, local in case.files.items()}
        noted = self.intents.uploads.noted
        sums = {
            name: row.checksum
            for name, (local, row) in sent.items()
            if row and row.is_of(os.path.abspath(local.file), local.size, local.mtime) and local.mtime < noted
        }
        changed = yield Ask(DISK, differences, (case, case.draft.files, sums, self.stop))
        is_same = not changed and (not self.terms.wishes.new_version or known.checksum == case.meant.sign)
        if is_same:
            case.state = "skipped"
            self.clear_zip(case)
            if known.checksum not in ("", case.meant.sign):
                self.note(
                    f"{deposit.name}: its metadata are others than those published as {known.record}; --new_version "
                    "makes a new version with them"
                )
        elif not self.terms.wishes.new_version:
            raise FileError(
                f"{deposit.name}: is published as {known.record}, and has changed since: {names_text(sorted(changed))}"
                "; --new_version makes a new version of it"
            )
        else:
            case.load.sums = {}
            case.row = self.intents.begin(deposit.folder, deposit.size())
            yield from self.renew(case, known.record)

    def clear_draft(self, case: Case) -> Asking:
        """Take away what a draft is not to have any more: of the version before, or of what was sent to it."""
        base = self.intents.published(case.deposit.folder)
        others = [name for name in case.draft.files if name not in case.files]
        known = {name: self.sent_sum(case, name) for name in others}
        if base and not all(known.values()):
            before: Draft = yield Ask(CALLS, self.repository.look, (base.record,))
            known = {name: known[name] or before.files.get(name, Deposited(0)).checksum for name in others}
        for name in others:
            if known[name] and known[name] == case.draft.files[name].checksum:
                yield Ask(CALLS, self.writer.remove, (case.target(name),))

    def sent_sum(self, case: Case, name: str) -> str:
        """The checksum of a file that an earlier run has sent to a draft; empty if none has."""
        row = self.intents.uploads.by_path(self.terms.site.name).get(case.target(name))
        return row.checksum if row and row.verified else ""


def sentence_of(case: Case, error: GridError) -> str:
    """The sentence of an error, with the deposit that it is about."""
    deposit, text = case.deposit, str(error)
    is_named = text.startswith(f"{deposit.name}:") or deposit.folder in text or deposit.source in text
    return text if is_named else f"{deposit.name}: {text}"


def fail(case: Case, course: Course, error: GridError) -> str:
    """Note why a deposit has failed; the sentence."""
    case.state, case.error = "failed", sentence_of(case, error)
    if case.row and case.row.verified != PUBLISHED:
        course.put(case, error=error_text(case.error))
    return case.error
