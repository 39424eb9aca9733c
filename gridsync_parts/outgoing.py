"""A run that sends: what it is made of."""

from __future__ import annotations

import os
from typing import Protocol

from gridsync_parts.dry import tell
from gridsync_parts.errors import BadName, GridError, UsageError
from gridsync_parts.flow import SEND, Flow
from gridsync_parts.forecast import Forecast, refuse_names
from gridsync_parts.ground import Ground, prepare
from gridsync_parts.kinds import is_portal
from gridsync_parts.log import log
from gridsync_parts.outbox import Outbox
from gridsync_parts.pacing import Pacing, paced
from gridsync_parts.pool import Stop
from gridsync_parts.putter import Putter, writer_of
from gridsync_parts.runs import Runs
from gridsync_parts.sending import Sending
from gridsync_parts.uploads import Uploads
from gridsync_parts.values import Action, Row
from gridsync_parts.walk import DOORS_SHUT
from gridsync_parts.words import names_text


class Sender(Runs, Protocol):
    """A run that can send."""

    @property
    def pacing(self) -> Pacing | None: ...

    def uploads(self) -> Uploads: ...


def pack(run: Sender) -> Outbox:
    """The local files to send; what can't be, or is not meant to, is named."""
    if not run.settings.input_dir:
        raise UsageError("no folder of the site is chosen; give one with --input_dir=path")
    if is_portal(run.settings.site.engine):
        writer_of(run.settings.site, run.place())  # which says that it takes no files
    growing = run.stats.stats.found() if run.stats else None
    outbox = Outbox(os.path.expanduser(run.wishes.put), run.scope._replace(folder="", names=None), growing)
    outbox.collect()
    for remark in outbox.remarks():
        run.report.note(remark)
    for fault in outbox.faults:
        run.report.error(fault)
    return outbox


def sending_of(run: Sender) -> Sending:
    """What is to be known of the files that are sent."""
    stop = Stop()
    place = paced(run.place(), run.pacing, stop)
    putter = Putter(place, writer_of(run.settings.site, place), stop, run.wishes.overwrite)
    aim = SEND._replace(retries=run.settings.retries)
    return Sending(aim, run.loop.pace, run.wishes, run.uploads(), run.scope.site, putter)


def begin_sending(run: Sender, outbox: Outbox) -> tuple[Flow, Sending]:
    """The flow that sends what is in an outbox, and what it knows of its files."""
    sending = sending_of(run)
    sending.putter.deliverer.top = outbox.top
    flow = Flow(run, SEND, fetch=sending)
    flow.book = lambda: sending
    flow.survey = ground = Ground(run, flow.service, sending, outbox)
    bringing = flow.bring(sending.putter, verb="Sent")
    bringing.door.takes, bringing.door.enough = True, min(DOORS_SHUT, max(1, outbox.files()))
    targets = [target for folder in outbox.folders for _, target in ground.files(folder)]
    if left := sending.strangers(targets):
        run.report.note(f"an earlier run may have left unfinished at the site: {names_text(left)}")
    return flow, sending


def end_sending(run: Sender, sending: Sending) -> None:
    """Note what is left of no file any more; what lost workers may have left is looked for once more."""
    left = sending.left()
    if left and not sending.putter.stop.is_set():
        try:
            run.call(sending.putter.tidy, left)
        except GridError as error:
            log.debug("%s", error)  # it stays noted, for another run
    sending.forget_idle()


def plan_sending(run: Sender, outbox: Outbox) -> tuple[dict[Action, list[Row]], int]:
    """What would be done with each file, and how many folders would be made; nothing is changed."""
    sending = sending_of(run)
    ground = Ground(run, Flow(run, SEND, fetch=sending).service, sending, outbox)
    plan: dict[Action, list[Row]] = {action: [] for action in Action}
    new: set[str] = set()
    for folder in outbox.folders:
        is_new = bool(folder) and folder.rpartition("/")[0] in new
        prepared = run.call(prepare, run.place().lister, None, ground.target(folder), is_new)
        if prepared.is_new:
            new.add(folder)
        for action, rows in sending.sort(sending.join(ground.files(folder)), prepared.listing).items():
            plan[action] += rows
    return plan, len(new)


def tell_sending(run: Sender, outbox: Outbox) -> int:
    """Say what a dry run would send; the status."""
    plan, folders = plan_sending(run, outbox)
    refused, errors = refuse_names(plan, run.place().check_name)
    forecast = Forecast("send", plan[Action.COPY], folders=folders)
    forecast.skip_plan(plan)
    forecast.skip("refused", refused)
    for fault in outbox.faults:
        forecast.skip_some("refused" if isinstance(fault, BadName) else "unread", 1)
    forecast.skip_some("links", len(outbox.links))
    forecast.skip_some("own", len(outbox.own))
    forecast.skip_some("excluded", outbox.left_out, outbox.left_size)
    return tell(run, forecast, errors) or (1 if outbox.faults else 0)
