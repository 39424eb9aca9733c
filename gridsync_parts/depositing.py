"""A run that deposits: what it is made of."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, Any

from gridsync_parts.attempts import Recorded
from gridsync_parts.bundle import path_of, sweep
from gridsync_parts.course import Course, Terms
from gridsync_parts.deposits import Deposit, Deposits, collect, fill_one, put_in_order
from gridsync_parts.doors import Place, Repository
from gridsync_parts.drafting import Depositing, Drafting
from gridsync_parts.errors import UsageError
from gridsync_parts.flow import SEND, Flow
from gridsync_parts.intents import Intents
from gridsync_parts.metadata import Hook, dry_text, hook_of, summed_text
from gridsync_parts.outgoing import Sender
from gridsync_parts.pacing import paced
from gridsync_parts.pool import Stop
from gridsync_parts.putter import Putter, writer_of
from gridsync_parts.settings import scope_of
from gridsync_parts.values import Tally
from gridsync_parts.walk import DOORS_SHUT
from gridsync_parts.words import size_text

if TYPE_CHECKING:
    from gridsync_parts.bringing import Bringing


def hook_for(run: Sender) -> Hook | None:
    """What makes the metadata of records."""
    return hook_of(run.settings.site.metadata_hook, run.config.folder, run.config.file.check_own)


def notes_of(deposits: Deposits) -> list[str]:
    """What the sources do not say: of one in full, of many by their number."""
    if len(deposits.filled) == 1 == len(deposits.found):
        return deposits.filled[0].notes(deposits.found[0].name)
    said = [note for filled in deposits.filled if filled.said for note in filled._replace(missing=[]).notes("")]
    return list(filter(None, [summed_text(deposits.filled), *said[:1]]))


def pack_deposits(run: Sender) -> Deposits:
    """What there is to deposit, in its order; what can't be is named, before anything is asked of the site."""
    wishes, base = run.wishes, run.config.given.get("INPUTDIR", "")
    scope = scope_of(run.settings._replace(input_dir=""))
    growing = run.stats.stats.found() if run.stats else None
    hook = hook_for(run)
    deposits = collect(os.path.expanduser(wishes.put), os.path.expanduser(wishes.metadata), scope, growing)
    deposits.hook = hook
    put_in_order(deposits, run.settings.site)
    if base and not wishes.new_version:
        raise UsageError("--input_dir means nothing for --put to a repository but with --new_version; leave it out")
    if base and len(deposits.found) + len(deposits.faults) > 1:
        raise UsageError("--input_dir names one record, but --put several deposits; run it once for each")
    for remark in [*deposits.remarks, *notes_of(deposits)]:
        run.report.note(remark)
    if scope.include or scope.exclude:
        run.report.note(f"--inc and --exc leave out {deposits.left_out} file(s)")
    for fault in deposits.faults.values():
        run.report.error(fault)
    if not deposits.found:
        raise UsageError(f"nothing of {wishes.put} can be deposited: see above")
    return deposits


def repository_of(run: Sender, place: Place) -> Repository:
    """What makes records at the site."""
    if place.repository is None:
        raise UsageError(f"the site {run.settings.site.name} makes no records")
    return place.repository


def begin_depositing(run: Sender, deposits: Deposits) -> tuple[Flow, Drafting]:
    """The flow that makes records of deposits, and what it knows of them."""
    stop, site, threads = Stop(), run.settings.site, run.settings.threads
    place = paced(run.place(), run.pacing, stop)
    putter = Putter(place, writer_of(site, place), stop, overwrite=True)  # what a draft has is this run's to replace
    wishes, uploads = run.wishes._replace(overwrite=True), run.uploads()
    if uploads.doubt and any(upload.record for upload in uploads.of(site.name)):
        raise UsageError(f"no record is gone on with, as {uploads.doubt}")
    aim = SEND._replace(retries=run.settings.retries)
    sending = Depositing(aim, run.loop.pace, wishes, uploads, site.name, putter)
    putter.deliverer.top, putter.deliverer.kind = deposits.top, "md5"
    terms = Terms(site, wishes, deposits.hook, run.config.given.get("INPUTDIR", ""))
    course = Course(repository_of(run, place), writer_of(site, place), Intents(uploads, site.name), terms, stop)
    run.loop.open("zips", site.zip_workers)
    flow = Flow(run, SEND, fetch=sending)
    flow.book = lambda: sending
    flow.survey = drafting = Drafting(run, flow.service, sending, deposits, course)
    bringing: Bringing = flow.bring(putter, verb="Sent")
    # Where drafts can be made, a file that is refused is not so because all are.
    bringing.door.takes = bringing.door.is_given = True
    bringing.door.enough = min(DOORS_SHUT, max(1, deposits.files()))
    for folder in {os.path.dirname(path_of(deposit.name, deposit.folder)) for deposit in deposits.found}:
        sweep(folder)
    run.report.line(
        f"...starting to send {len(deposits.found)} record(s), {deposits.files()} files, {size_text(deposits.size())}, "
        f"to {site.server} using {threads} threads..."
    )
    return flow, drafting


def tell_end(run: Sender, deposits: Deposits, drafting: Drafting, tally: Tally) -> int:
    """Say what has come of deposits; the status."""
    said = [(case.deposit.name, case.draft.id, case.draft.page, case.state, case.error) for case in drafting.cases()]
    said += [(name, "", "", "failed", str(fault)) for name, fault in deposits.faults.items()]
    records = [dict(zip(("name", "id", "page", "state", "error"), one)) for one in said]
    run.report.put(records=records)
    for name, fault in deposits.faults.items():
        if run.stats:
            run.stats.add_record(Recorded(name, "failed", str(fault), time.time(), 0, 0, 0, False))
    states = ("published", "draft", "skipped", "failed")
    count = {state: sum(one["state"] == state for one in records) for state in states}
    left = len(records) - sum(count.values()) + len(drafting.todo)
    more = f", not finished: {left}" if left else ""
    run.report.line("Records: " + ", ".join(f"{state}: {number}" for state, number in count.items()) + more)
    return 1 if count["failed"] or tally.failed else 0


def tell_deposit(run: Sender, deposit: Deposit, body: dict[str, Any]) -> None:
    """Say of one deposit what would be sent."""
    files, site = [f"{local.path} ({size_text(local.size)})" for local in deposit.files], run.settings.site
    if deposit.is_zipped(site):
        *own, zipped = deposit.names(site)
        files = [*own, f"{zipped}, a zip of {len(files) - len(own)} files"]
    run.report.line(f"{deposit.name}: {size_text(deposit.size())} in {', '.join(files)}")
    for line in dry_text(body).split("\n"):
        run.report.line(line)


def tell_depositing(run: Sender, deposits: Deposits) -> int:
    """Say what a dry run would deposit; the status. Nothing is asked of the site."""
    from gridsync_parts.forecast import Forecast

    site = run.settings.site
    records: list[dict[str, Any]] = []
    for deposit in deposits.found:
        body = fill_one(deposit, deposits.hook, site).body
        tell_deposit(run, deposit, body)
        facts = {"files": len(deposit.files), "bytes": deposit.size(), "zip": deposit.is_zipped(site)}
        records.append({"name": deposit.name, **facts, "body": body})
    forecast = Forecast("send", [local for deposit in deposits.found for local in deposit.files])
    run.report.put_dry(**forecast.document(), records=records)
    run.report.line(
        f"(DRY RUN) would make {len(records)} record(s) of {forecast.files} files, {size_text(forecast.bytes)}"
        + (", and publish them" if run.wishes.publish else "")
    )
    return 1 if deposits.faults else 0
