"""What a run needs, one by one. A look gives its good word, or raises the error that a run would meet."""

from __future__ import annotations

import contextlib
import errno
import math
import os
import re
import time
import zlib
from urllib.parse import urlsplit

from gridsync_parts import __version__
from gridsync_parts.catalog import Lock
from gridsync_parts.checksums import adler_maker
from gridsync_parts.disk import check_copies, check_free, check_writable, disk_error, free_space, missing_of
from gridsync_parts.doors import At
from gridsync_parts.doors.answers import connection_error
from gridsync_parts.doors.contexts import load_gfal2
from gridsync_parts.doors.listing import time_of
from gridsync_parts.doors.opening import check_packages
from gridsync_parts.doors.relay import CONNECT, relay_named
from gridsync_parts.doors.rest import load_requests
from gridsync_parts.doors.tape import TapeRest
from gridsync_parts.doors.urls import netloc_of
from gridsync_parts.errors import (
    CredentialError,
    DiskError,
    DoorError,
    Forbidden,
    GridError,
    NotFound,
    PoolError,
    UsageError,
    brief,
)
from gridsync_parts.keys import CA_REMEDY, GRID_CAS, ca_folder, folder_for_proxies, trust
from gridsync_parts.keys.client import client_error, no_cas, voms_client
from gridsync_parts.keys.proxy import der, end_of_certificate, has_phrase, inner, time_in, user_files, valid_proxy
from gridsync_parts.keys.shown import usable
from gridsync_parts.keys.token import token_left
from gridsync_parts.kinds import WEB, needs_proxy, needs_token
from gridsync_parts.log import has_bars
from gridsync_parts.machine import files_to_spare
from gridsync_parts.patient import SAMPLE, Patient, Unseen
from gridsync_parts.plans import is_across
from gridsync_parts.values import Locality
from gridsync_parts.vomses import servers_of
from gridsync_parts.walk import misspelt_error
from gridsync_parts.words import day_text, duration_text, left_text, size_text

CLOCK_OFF = 300  # seconds that a clock may be off; VOMS servers stand no more
SOON_OVER = 30 * 86400  # seconds before its end in which a certificate is to be renewed
OLD = 400 * 86400  # seconds after which CAs are likely to have changed
NOT_NOW = (9, 10)  # OpenSSL's of a certificate that is not valid yet, or no more
LITTLE = 1 << 20  # bytes: a disk with less is full
OS_RELEASE = "/etc/os-release"


def look_at_program(patient: Patient) -> str:
    import platform
    import ssl

    system = platform.platform()
    with contextlib.suppress(OSError), open(OS_RELEASE, encoding="utf-8", errors="replace") as file:
        if name := re.search('PRETTY_NAME="?([^"\n]+)', file.read()):
            system = f"{name[1]}, {platform.machine()}"
    return f"{__version__}, Python {platform.python_version()} with {ssl.OPENSSL_VERSION}, {system}"


def look_at_requests(patient: Patient) -> str:
    try:
        return str(load_requests(patient.settings.site).__version__)
    except UsageError as error:
        return f"not needed unless there is a tape service ({error})"  # which its own look finds out


def look_at_tqdm(patient: Patient) -> str:
    if not has_bars():
        raise UsageError("tqdm is not installed, which draws progress; on Debian: apt install python3-tqdm")
    import tqdm

    return str(tqdm.__version__)


def look_at_libdeflate(patient: Patient) -> str:
    is_there = adler_maker() is not zlib.adler32
    return "installed" if is_there else "not installed; checksums take longer; on Debian: apt install libdeflate0"


def look_at_gfal2(patient: Patient) -> str:
    check_packages(patient.settings.site)
    return str(load_gfal2().get_version())


def end_of_list(path: str) -> float:
    """Until when a CA's revocation list is good; 0 if it does not say."""
    import ssl

    with contextlib.suppress(OSError, ValueError, IndexError), open(path, "rb") as file:
        text = file.read()
        if b"-----BEGIN" in text:
            text = ssl.PEM_cert_to_DER_cert(text.decode("ascii").strip().replace("X509 CRL", "CERTIFICATE"))
        times = [(tag, content) for tag, content in der(inner(text, 2)) if tag in (0x17, 0x18)]
        return time_in(*times[1])
    return 0.0


def count_cas(path: str) -> str:
    """How many CAs there are in a PEM file."""
    import ssl

    return f"{len(trust(ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT), path).get_ca_certs())} CA(s) in the file {path}"


def look_at_cas(patient: Patient) -> str:
    folder = ca_folder(patient.settings.site)
    if not folder and needs_proxy(patient.settings.site) and patient.makes_proxies():
        raise no_cas()
    if not folder:
        return f"that of the system, as there is no {GRID_CAS}"
    if os.path.isfile(folder):
        return count_cas(folder)
    names = [path for path in (os.path.join(folder, name) for name in os.listdir(folder)) if os.path.isfile(path)]
    files = {os.path.realpath(name) for name in names if re.search(r"/[0-9a-f]{8}\.\d+$", name)}
    lists = {os.path.realpath(name) for name in names if re.search(r"/[0-9a-f]{8}\.r\d+$", name)}
    if not files:
        raise UsageError(
            f"{folder} has no certificate under a name that OpenSSL looks for, such as 0a1b2c3d.0; {CA_REMEDY}; "
            "or set CA_DIR"
        )
    now = time.time()
    over = sum(0 < end_of_list(path) < now for path in lists)
    if over > len(lists) / 2:
        raise client_error("outdated crl", "", folder)
    newest = max(os.stat(path).st_mtime for path in files)
    text = f"{len(files)} CA(s) in {folder}, the newest of {day_text(int(newest))}"
    if now - newest > OLD:
        text += "; there may be newer ones"
    return text + (f"; {len(lists)} revocation list(s), {over} of them too old" if lists else "")


def look_at_relay(patient: Patient) -> str:
    relay = relay_named()
    if relay is None:
        return "HTTPS_PROXY is empty, so none is used"
    server, way = patient.settings.site.server, f"{relay.host}:{relay.port} of HTTPS_PROXY"
    return f"{way} leads to the door" if relay.is_for(*netloc_of(server)) else f"{way} is not for the door (NO_PROXY)"


def look_at_clock(patient: Patient) -> str:
    if urlsplit(patient.settings.site.server).scheme not in WEB:
        raise Unseen("only an https door tells the time")
    greeting = patient.greeting
    if isinstance(greeting, GridError):
        if getattr(greeting.__cause__, "verify_code", 0) in NOT_NOW:
            raise greeting
        raise Unseen("needs an answer of the door")
    then = time_of(greeting.header("Date"))
    off = patient.greeted - then
    if not then:
        raise Unseen("the door does not tell the time")
    if abs(off) > CLOCK_OFF:
        way = "fast" if off > 0 else "slow"
        raise UsageError(
            f"this machine's clock is {duration_text(abs(off))} {way}, so certificates and proxies are judged wrongly; "
            "set it, on most systems: timedatectl set-ntp true"
        )
    return f"within {max(1, math.ceil(abs(off)))} s of the door's"


def check_renewal(patient: Patient) -> None:
    """What makes proxies is not looked at where a good one was brought from elsewhere."""
    if not patient.makes_proxies():
        raise Unseen("there is no certificate here, but a good proxy")


def look_at_client(patient: Patient) -> str:
    check_renewal(patient)
    return voms_client()


def meet_voms(host: str, port: int, ca: str | None) -> None:
    """Connect to a VOMS server, and see whether its certificate is one that is trusted here."""
    import socket
    import ssl

    with socket.create_connection((host, port), CONNECT) as line:
        if not ca:
            return
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False  # as the VOMS clients do
        trust(context, ca)
        try:
            context.wrap_socket(line).close()
        except ssl.SSLCertVerificationError:
            raise
        except ssl.SSLError:  # it wants a certificate, which needs the pass phrase
            pass


def look_at_voms(patient: Patient) -> str:
    import socket
    import ssl

    check_renewal(patient)
    vo, client = patient.settings.vo, ""
    with contextlib.suppress(CredentialError):
        client = voms_client()
    ca = folder_for_proxies(patient.settings.site) if patient.is_well("CA folder") else None
    failure = client_error("no VOMS server", vo, "")
    for host, port, *_ in servers_of(vo, client):  # one that answers is enough
        try:
            meet_voms(host, port, ca)
            return f"{host}:{port} takes connections, for {vo}"
        except ssl.SSLCertVerificationError as error:
            failure = connection_error(error, f"https://{host}:{port}", ca)
        except (OSError, ValueError, OverflowError) as error:
            why = "unknown host" if isinstance(error, socket.gaierror) else "unreachable"
            failure = client_error(f"Contacting {host}:{port}\n{why}", vo, "")
    raise failure


def look_at_certificate(patient: Patient) -> str:
    check_renewal(patient)
    path, now = user_files()[0], time.time()
    ends = end_of_certificate(path, now)
    days = f"{int((ends - now) / 86400)} days left, until {day_text(int(ends))}"
    return f"{path}, {days}" + ("; ask your CA for a new one in time" if ends - now < SOON_OVER else "")


def look_at_key(patient: Patient) -> str:
    check_renewal(patient)
    path = user_files()[1]
    if not os.path.isfile(path) and not patient.is_well("certificate"):
        raise Unseen("needs the certificate")
    return f"{path}, " + ("with a pass phrase" if has_phrase(path) else "without a pass phrase")


def look_at_proxy(patient: Patient) -> str:
    now = time.time()
    proxy = valid_proxy(patient.settings.vo, now)
    return f"{proxy.path}, of {proxy.vo}, {left_text(min(proxy.ends, proxy.attribute_ends), now)}"


def look_at_token(patient: Patient) -> str:
    if not needs_token(patient.settings.site) and (lack := usable(patient.token)[1]):
        return f"none, which is enough for public records: {lack}"
    patient.token.value()
    return f"from {patient.token.source}, {token_left(patient.token, time.time())}"


def look_at_conf(patient: Patient) -> str:
    if patient.fault:
        raise patient.fault
    config, settings = patient.config, patient.settings
    assert config
    if config.file.doubt:
        raise UsageError(config.file.doubt)
    unknown = config.unknown()
    slips = [key.sentence for key in unknown if key.is_slip]
    if slips:
        raise UsageError(slips[0] + (f" (and {len(slips) - 1} more)" if slips[1:] else ""))
    files_to_spare(settings)
    why = config.file.foreign_text() if config.file.foreign else f"there is no {config.path}"
    place = config.path if config.file.saved else f"{why}, so the defaults"
    chosen = settings.input_dir or "not chosen yet (--input_dir)"
    text = f"{place}: site {settings.site.name}, VO {settings.vo}, INPUTDIR {chosen}"
    return text + (f"; {len(unknown)} key(s) are unknown to gridsync" if unknown else "")


def look_at_folder(patient: Patient) -> str:
    folder = os.path.abspath(patient.folder)
    if not os.access(folder, os.W_OK | os.X_OK):
        raise DiskError(f"the work folder {folder} cannot be written to; choose another with --workdir")
    if patient.catalog.doubt:
        raise DiskError(patient.catalog.doubt)
    lock = Lock(folder)
    with contextlib.suppress(FileNotFoundError):
        lock.check(os.lstat(lock.path))
    if patient.catalog.is_foreign:
        return f"{folder}, with another program's {os.path.basename(patient.catalog.path)}, which is set aside"
    rows = list(patient.catalog.all())
    if not rows:
        return f"{folder}, with no list of files yet"
    own = [row for row in rows if not is_across(row.site)]
    text = f"{folder}, {len(own)} files in the list, {sum(row.downloaded for row in own)} of them here"
    return text + (f", and {others} for copies from site to site" if (others := len(rows) - len(own)) else "")


def look_at_output(patient: Patient) -> str:
    folder, below, rows = patient.settings.output_dir, patient.scope.folder, patient.rows()
    assert patient.config
    patient.config.check_output_dir(folder)
    check_writable(folder)
    if any(row.path != below for row in rows):  # else INPUTDIR may be a file
        check_writable(os.path.join(folder, below))
    check_copies(folder, rows)
    wanted = [row for row in rows if row.locality is Locality.ONLINE and not row.downloaded]
    check_free(folder, sum(missing_of(folder, row) for row in wanted))
    free = free_space(folder)
    if free < LITTLE:
        raise disk_error(os.path.join(folder, ""), OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)))
    return f"{folder}, {size_text(free)} free" + ("" if os.path.isdir(folder) else "; a run makes it")


def look_at_door(patient: Patient) -> str:
    site, scope, words = patient.settings.site, patient.scope, ""
    lacking = next((name for name in ("gfal2", "proxy", "token") if not patient.is_well(name)), "")
    if lacking and urlsplit(site.server).scheme not in WEB:  # it answers nobody without
        raise Unseen(f"needs the {lacking}")
    if urlsplit(site.server).scheme in WEB:
        if isinstance(patient.greeting, CredentialError) and lacking:
            raise Unseen(f"needs the {lacking}")
        if isinstance(patient.greeting, UsageError) and not patient.is_well("CA folder"):
            raise Unseen("needs the CA folder")
        if isinstance(patient.greeting, GridError):
            raise patient.greeting
        words = brief(patient.greeting.header("Server").replace("/", " ", 1))
    answers = f"{site.server}/ answers" + (f" as {words}" if words else "")
    if lacking:
        return f"{answers}; its listing was not looked at: needs the {lacking}"
    try:
        return f"{answers}, {len(patient.listing)} entries in {patient.top or site.base or '/'}"
    except Unseen as reason:
        return f"{answers}; its listing was not looked at: {reason}"
    except (NotFound, Forbidden) as error:
        if patient.place.find:
            raise
        raise misspelt_error(patient.place.lister.folder, site.base, "--input_dir", scope.folder, error) from error


def look_at_tape(patient: Patient) -> str:
    tape = patient.place.find_tape()
    if not tape:
        return "the site names none, so all files count as on disk"
    known = [row.path for row in patient.rows()[:1]] or [entry.path for entry in patient.listing[:1]]
    tape.localities(known or [""])
    found = "that of the portal" if patient.place.find else "gfal2 finds one, which"
    return f"{tape.url() if isinstance(tape, TapeRest) else found} answers"


def look_at_pools(patient: Patient) -> str:
    file, reader = patient.sample, patient.place.reader
    if not file:
        raise Unseen(f"no file on disk was found in {patient.settings.input_dir or '/'}; choose another --input_dir")
    try:
        body = reader.read(At(file.path, file.size), 0, min(file.size, SAMPLE))
        with contextlib.closing(body):
            count = sum(len(chunk) for chunk in body.chunks)
    except PoolError as error:
        if not (error.passing and isinstance(error.__cause__, DoorError)):  # else nothing of the pool answers
            raise
        raise PoolError(f"{file.path}: {error}; ask whoever runs your network to open it") from error
    text = f"{size_text(count)} of {file.path} came"
    http = patient.door.http
    pools = ["{}:{}".format(*place) for place in http.throttles if place not in http.trusted]
    return f"{text} from {', '.join(pools)}" if pools else text
