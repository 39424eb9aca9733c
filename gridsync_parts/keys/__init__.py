"""What is shown at a door: files with secrets in them, the environment of helpers, the certificates of the CAs."""

from __future__ import annotations

import errno
import functools
import os
import re
import time
from typing import TYPE_CHECKING, TextIO

from gridsync_parts.disk import open_regular
from gridsync_parts.errors import CredentialError, UsageError
from gridsync_parts.table import Site

if TYPE_CHECKING:
    import ssl

CLIENT_LIMIT = 120  # seconds for a helper program
MOST_OUTPUT = 1 << 20  # bytes of what one writes, and of a file with a key or token
HELPER_ENV = "PATH|HOME|USER|LOGNAME|LANG|TZ|TMP|TMPDIR|OIDC_SOCK|OIDC_CONFIG_DIR|(?:LC|X509|VOMS|JAVA|XDG)_.*"
GRID_CAS = "/etc/grid-security/certificates"
CA_REMEDY = (
    "on Debian: apt install igtf-policy-classic igtf-policy-mics; "
    "elsewhere see https://dl.igtf.net/distribution/current/"
)


def open_secret(path: str, what: str, flags: int = 0) -> TextIO:
    """A file with a key or token in it, to be read; only one that nobody else can read."""
    import shlex

    try:
        file = open(open_regular(path, flags), encoding="utf-8-sig", errors="replace")  # noqa: SIM115 - whoever gets it closes it
        found = os.fstat(file.fileno())
        if found.st_uid != os.getuid():
            fault = f"{what} {path} belongs to another user; use one of your own"
        elif found.st_mode & 0o077:
            fault = f"others can read {what} {path}; chmod 600 {shlex.quote(path)}"
        elif found.st_size > MOST_OUTPUT:
            fault = f"{what} {path} is too large to be one; put the right file there"
        else:
            return file
        file.close()
    except ValueError:
        fault = f"{what} {path} is not a regular file; put one there"
    except OSError as error:
        if error.errno != errno.ELOOP:
            raise
        fault = f"{what} {path} is a link and could lead to another user's file; put the file itself there"
    raise CredentialError(fault, passing=True, pause=1)  # perhaps a new one is just being put there


def stamp_of(path: str) -> tuple[int, int]:
    """What changes when a file is put in the place of another, or others are let in; it is to be judged again then."""
    try:
        found = os.lstat(path)
    except OSError:
        return 0, 0
    return found.st_ctime_ns, found.st_ino


@functools.lru_cache(maxsize=8)
def stamp_in(path: str, _moment: int) -> tuple[int, int]:
    """The same, looked at once in a moment."""
    return stamp_of(path)


def helper_env(**more: str) -> dict[str, str]:
    """The environment for other programs: what they need, and no secret of ours."""
    return {**{name: value for name, value in os.environ.items() if re.fullmatch(HELPER_ENV, name)}, **more}


def output_of(command: list[str]) -> bytes:
    """What a command has written when it ends; what its children still have open is not waited for."""
    import subprocess

    ends, pipe = time.monotonic() + CLIENT_LIMIT, subprocess.PIPE
    # What is typed into gridsync is for gridsync alone: a list of files, a pass phrase. ssh would swallow it.
    with subprocess.Popen(command, env=helper_env(), stdin=subprocess.DEVNULL, stdout=pipe, stderr=pipe) as process:
        try:
            while True:
                has_ended = process.poll() is not None
                try:
                    out, said = process.communicate(timeout=0.1)
                    break
                except subprocess.TimeoutExpired as error:
                    out, said = error.output or b"", error.stderr or b""
                    if has_ended:
                        break
                    if time.monotonic() > ends or len(out) + len(said) > MOST_OUTPUT:
                        raise
        finally:
            process.kill()
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, command[0], out, said)
    return out


def ca_folder(site: Site) -> str | None:
    """The folder of CA certificates, or one PEM file of them; None for those of the system."""
    chosen = site.ca_dir or os.environ.get("X509_CERT_DIR", "")
    if chosen:
        if not os.path.exists(chosen):
            raise UsageError(f"the folder of CA certificates {chosen} does not exist; correct CA_DIR or X509_CERT_DIR")
        return chosen
    return GRID_CAS if os.path.isdir(GRID_CAS) else None


def folder_for_proxies(site: Site) -> str | None:
    """The same for VOMS clients, which read a folder alone: where CA_DIR is a file, what holds without it."""
    chosen = ca_folder(site)
    return chosen if not chosen or os.path.isdir(chosen) else ca_folder(site._replace(ca_dir=""))


def trust(context: ssl.SSLContext, ca: str | None, with_system: bool = False) -> ssl.SSLContext:
    """Have TLS trust the CAs of a folder or a PEM file, or those of the system."""
    try:
        if ca and os.path.isdir(ca):
            context.load_verify_locations(capath=ca)
        elif ca:
            context.load_verify_locations(cafile=ca)
    except (OSError, ValueError) as error:
        raise UsageError(f"{ca} has no certificates of CAs in PEM that can be read; correct CA_DIR") from error
    if with_system or not ca:
        context.load_default_certs()
    return context
