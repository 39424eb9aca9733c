"""What a run tells workers of itself, and the mark in its folder by which they know it; no secret is in either."""

from __future__ import annotations

import contextlib
import functools
import os
import re
import socket
import time
from collections.abc import Iterator

import gridsync_parts
from gridsync_parts.disk import MARK, create_anew, disk_error, open_regular
from gridsync_parts.errors import DiskError, GridError, UsageError
from gridsync_parts.farm.loads import Setting
from gridsync_parts.keys.password import NETRC, host_and_user, login_in_netrc
from gridsync_parts.keys.proxy import valid_proxy
from gridsync_parts.kinds import Credential, kind_of, needs_proxy
from gridsync_parts.settings import Config
from gridsync_parts.table import Site

STEM = "workers-"  # begins the name of a mark
DAY = 86400.0  # seconds for which workers of a run that was killed may go on with what they are at,
MONTH = 30 * DAY  # and after which a mark of another machine's run is no use any more
OVER = b"over............"  # where the id of a run stood, which is as long
PARTS = "gridsync_parts"


def host() -> str:
    """This machine, as others call it."""
    return socket.gethostname()


@functools.cache
def machine() -> str:
    """What all processes have in common that see each other's numbers, and no others."""
    try:
        with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as file:
            return f"{file.read().strip()} {os.readlink('/proc/self/ns/pid')}"
    except OSError:
        return host()


def is_running(pid: int) -> bool:
    """Whether there is a process of this number here."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True


def began_of(pid: int) -> str:
    """When a process of this machine began; empty if it has ended."""
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as file:
            state, *fields = file.read().rpartition(")")[2].split()
    except OSError:
        return ""
    return "" if state in ("Z", "X") else fields[18]


# The version.


def sources(folder: str = "") -> Iterator[tuple[str, bytes]]:
    """All parts and what they consist of, wherever they come from: a folder, or the one file."""
    import pkgutil

    places = [os.path.join(place, folder) if folder else place for place in gridsync_parts.__path__]
    for found in sorted(pkgutil.iter_modules(places), key=lambda found: found.name):
        path = f"{folder}/{found.name}".strip("/")
        if found.ispkg:
            yield from sources(path)
        name = f"{path}/__init__.py" if found.ispkg else f"{path}.py"
        with contextlib.suppress(OSError):  # what was installed without its source
            yield name, pkgutil.get_data(PARTS, name) or b""


@functools.cache
def version_of_code() -> str:
    """The version of gridsync with a digest of its parts: the same for a folder and a one file made of it."""
    import hashlib

    digest = hashlib.sha256()
    for name, source in sources():
        digest.update(f"{name}\0{len(source)}\0".encode() + source)
    return f"{gridsync_parts.__version__.partition('+')[0]} ({digest.hexdigest()[:12]})"


# The setting.


def check_paths(site: Site) -> None:
    """Refuse a site that is shown what no worker can find by a path."""
    source, _, _ = site.token.partition(":")
    if source not in ("", "file"):
        raise UsageError(
            f"workers find a token by its path alone, and not by TOKEN = {site.token}; have it written into a file on "
            f"a disk that they share, and name that as TOKEN = file:PATH in [{site.name}]"
        )
    if kind_of(site).credential is Credential.PASSWORD:
        name, user = host_and_user(site)
        if not login_in_netrc(name, user):
            raise UsageError(
                f"workers find a password in {NETRC} alone; write `machine {name} login {user or 'NAME'} password "
                f"PASSWORD` into it (chmod 600 {NETRC})"
            )


def setting_for(site: Site, vo: str, conf: Config, folder: str, writes: bool) -> Setting:
    """What workers have to know of a run at a site, which is settled; UsageError if they could not be shown there."""
    import secrets

    check_paths(site)
    if site.token:
        conf.file.check_own("TOKEN")
        site = site._replace(token=f"file:{os.path.abspath(os.path.expanduser(site.token.partition(':')[2]))}")
    proxy = ""
    if needs_proxy(site):
        proxy = os.path.abspath(valid_proxy(vo, time.time()).path)
        site = site._replace(credential="proxy")  # whatever token lies at a worker
    site = site._replace(ca_dir=site.ca_dir or os.environ.get("X509_CERT_DIR", ""))
    run, folder = secrets.token_hex(8), os.path.abspath(folder)
    mark = "" if writes else os.path.join(folder, f"{STEM}{run}{MARK}")
    return Setting(run, version_of_code(), site, proxy, folder, mark, writes, vo)


# The mark.


def killed(path: str) -> bool | None:
    """Whether the run of the user's that has laid a mark is not there any more; None if only its machine knows."""
    try:
        with open(open_regular(path, os.O_NOFOLLOW), encoding="ascii", errors="replace") as file:
            if os.fstat(file.fileno()).st_uid != os.geteuid():
                return False
            said = file.read(1000).partition("\n")[2].strip()
    except (OSError, ValueError):  # it is gone, or others' and perhaps no file at all
        return False
    if not (found := re.fullmatch("(.+) ([0-9]{1,9}) ([0-9]*)", said)) or found[1] != machine():
        return None
    return not is_running(int(found[2])) or began_of(int(found[2])) != found[3]  # another one may have its number


def call_off(path: str) -> None:
    """Have a mark say that its run is over: no worker gives a file its name any more. It is as old as before."""
    with contextlib.suppress(OSError):
        fd = os.open(path, os.O_WRONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            when = os.fstat(fd).st_mtime_ns
            os.pwrite(fd, OVER, 0)
            os.utime(fd, ns=(when, when))
        finally:
            os.close(fd)


def sweep(folder: str) -> bool:
    """Remove marks that are no use any more; whether workers of a run that was killed may still be at it here."""
    may_be = False
    with os.scandir(folder) as entries:
        marks = [entry.path for entry in entries if re.fullmatch(f"{STEM}[0-9a-f]{{16}}{re.escape(MARK)}", entry.name)]
    for path in marks:
        with contextlib.suppress(OSError):
            age, is_dead = time.time() - os.lstat(path).st_mtime, killed(path)
            if age > MONTH or (is_dead and age > DAY):
                os.unlink(path)
            else:
                may_be = may_be or is_dead is not False
                if is_dead:
                    call_off(path)
    return may_be


def lay_mark(setting: Setting) -> bool:
    """Lay the mark of a run; whether workers of an earlier one, which was killed, may still write into the folder."""
    if not setting.mark:
        return False
    try:
        may_be = sweep(setting.folder)
        with open(create_anew(setting.mark), "w", encoding="ascii") as file:
            file.write(f"{setting.run}\n{machine()} {os.getpid()} {began_of(os.getpid())}\n")
    except OSError as error:
        raise disk_error(setting.mark, error) from error
    return may_be


def lift_mark(setting: Setting, may_be: bool = False) -> None:
    """Take it away again; where workers may still be at it, it stays and says that the run is over."""
    if setting.mark and may_be:
        call_off(setting.mark)
    elif setting.mark:
        with contextlib.suppress(OSError):
            os.unlink(setting.mark)


def is_seen(setting: Setting) -> bool:
    """Whether the folder of a run is here, with its mark; files that are sent are compared one by one."""
    if not setting.mark:
        return os.path.lexists(setting.folder)
    try:
        fd = os.open(setting.mark, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        return os.read(fd, 1000).decode("ascii", "replace").partition("\n")[0] == setting.run
    except OSError:
        return False
    finally:
        os.close(fd)


def unseen_error(setting: Setting) -> GridError:
    """The sentence for a worker that does not see the folder."""
    if setting.writes:
        return DiskError(f"worker {host()} does not see {setting.folder}; mount it there under the same name")
    return DiskError(
        f"worker {host()} does not see {setting.folder} as this run does; mount it there under the same name, or "
        "choose a folder on a disk that all share with --output_dir"
    )
