"""What a run needs, looked at: nothing is changed, here or there, and no lock is taken."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from typing import Callable, NamedTuple
from urllib.parse import urlsplit

from gridsync_parts.doors.relay import RELAYED
from gridsync_parts.errors import DoorError, GridError, brief
from gridsync_parts.kinds import is_portal, needs_gfal2, needs_proxy
from gridsync_parts.log import log
from gridsync_parts.looks import (
    look_at_cas,
    look_at_certificate,
    look_at_client,
    look_at_clock,
    look_at_conf,
    look_at_door,
    look_at_folder,
    look_at_gfal2,
    look_at_key,
    look_at_libdeflate,
    look_at_output,
    look_at_pools,
    look_at_program,
    look_at_proxy,
    look_at_relay,
    look_at_requests,
    look_at_tape,
    look_at_token,
    look_at_tqdm,
    look_at_voms,
)
from gridsync_parts.machine import fault_text
from gridsync_parts.patient import LOOK_LIMIT, Patient, Unseen
from gridsync_parts.table import Site
from gridsync_parts.values import Finding


class Look(NamedTuple):
    """A row of the doctor's."""

    name: str
    take: Callable[[Patient], str]
    needs: tuple[str, ...] = ()  # others, without which there is nothing to look at
    of: Callable[[Site | None], object] = lambda site: True  # sites which it concerns; none if Grid.conf names none


def has_proxy(site: Site | None) -> bool:
    """Whether a proxy is needed, as far as that is known."""
    return not site or needs_proxy(site)


def shows_token(site: Site | None) -> bool:
    """Whether a token is shown, or should be."""
    return bool(site and (site.token or site.credential == "token"))


def asks_services(site: Site | None) -> bool:
    """Whether there may be a service that is not gfal2's to ask: for tape, or a portal."""
    return not site or (site.engine == "http" and site.tape_api != "none") or is_portal(site.engine)


ASKED = ("gfal2", "proxy", "token", "door")
EXAMINATION = (
    Look("gridsync", look_at_program),
    Look("requests", look_at_requests, of=asks_services),
    Look("tqdm", look_at_tqdm),
    Look("libdeflate", look_at_libdeflate),
    Look("gfal2", look_at_gfal2, of=lambda site: site and needs_gfal2(site)),
    Look("VOMS client", look_at_client, of=has_proxy),
    Look("CA folder", look_at_cas),
    Look("web proxy", look_at_relay, of=lambda site: RELAYED & os.environ.keys()),
    Look("token", look_at_token, of=shows_token),  # before those that would wait for it
    Look("clock", look_at_clock, ("web proxy",)),
    Look("VOMS server", look_at_voms, of=has_proxy),
    Look("certificate", look_at_certificate, of=has_proxy),
    Look("key", look_at_key, of=has_proxy),
    Look("proxy", look_at_proxy, of=has_proxy),
    Look("Grid.conf", look_at_conf),
    Look("work folder", look_at_folder),
    Look("OUTPUTDIR", look_at_output),
    Look("door", look_at_door, ("web proxy",)),
    Look("tape service", look_at_tape, ASKED),
    Look("pools", look_at_pools, (*ASKED, "tape service")),
)


def take(look: Look, patient: Patient) -> str:
    """What a look gives; one through gfal2, which knows no limit but for the web, is left behind in the end."""
    site, limit = patient.known and patient.known[0].site, 2 * LOOK_LIMIT
    if not site or not needs_gfal2(site):
        return look.take(patient)
    from concurrent import futures

    answer: futures.Future[str] = futures.Future()

    def ask() -> None:
        try:
            answer.set_result(look.take(patient))
        except Exception as error:
            answer.set_exception(error)

    threading.Thread(target=ask, daemon=True).start()
    if not futures.wait([answer], limit).done:
        place = urlsplit(site.server).netloc
        raise DoorError(f"{place} does not answer within {limit} s: overloaded, or blocked by a firewall")
    return answer.result()


def fault_sentence(error: Exception) -> str:
    """The sentence for what no look has foreseen."""
    if isinstance(error, OSError) and error.filename:
        return f"{error.filename} cannot be used: {error.strerror}; check it"
    return brief(fault_text(error))


def found_by(look: Look, patient: Patient) -> Finding:
    """What one look finds."""
    try:
        if look.needs and not patient.known:
            raise Unseen("needs Grid.conf")
        for name in look.needs:
            if not patient.is_well(name):
                raise Unseen(f"needs the {name}")
        return Finding(look.name, True, take(look, patient))
    except Unseen as reason:
        return Finding(look.name, None, f"not looked at: {reason}")
    except GridError as error:
        return Finding(look.name, False, str(error))
    except Exception as error:  # the other looks go on
        log.debug("", exc_info=True)
        return Finding(look.name, False, fault_sentence(error))


def findings(patient: Patient) -> Iterator[Finding]:
    """What the doctor finds, look by look."""
    site = patient.known[0].site if patient.known else None
    for look in EXAMINATION:
        if look.of(site):
            patient.name = look.name
            finding = patient.found[look.name] = found_by(look, patient)
            yield finding
