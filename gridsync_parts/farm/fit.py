"""Whether a process is fit to work for a run: gridsync, the folder, and what is shown at the door."""

from __future__ import annotations

import errno
import os
import time
from typing import Callable

from gridsync_parts.doors.apart import plain_error
from gridsync_parts.doors.opening import check_packages
from gridsync_parts.errors import CredentialError, CrewError, DiskError, DoorError, GridError
from gridsync_parts.farm.loads import Setting
from gridsync_parts.farm.marking import host, is_seen, unseen_error, version_of_code
from gridsync_parts.keys.password import NETRC, host_and_user, login_in_netrc
from gridsync_parts.keys.proxy import proxy_error, read_proxy, valid_proxy
from gridsync_parts.keys.token import Token
from gridsync_parts.kinds import Credential, kind_of, needs_token
from gridsync_parts.machine import scarcity
from gridsync_parts.settings import Config

PATIENCE = 3  # looks, a second apart, until what is not here counts as missing
NO_FOLDER = "/nonexistent"  # a worker has no Grid.conf


def said_by_worker(error: Exception) -> GridError:
    """An error as the run tells it: with the machine where it is so."""
    plain = plain_error(error)
    if f"worker {host()}" not in str(plain):
        plain.args = (f"worker {host()}: {plain}",)
    return plain


def token_of(setting: Setting) -> Token | None:
    """The token that the site is shown, if any, which can be read here."""
    token = Token(setting.site.token, Config(NO_FOLDER)) if setting.site.token else None
    if token and needs_token(setting.site):
        token.value()
    return token


def check_credential(setting: Setting) -> None:
    """Refuse to work without what the site is to be shown."""
    site = setting.site
    if setting.proxy:
        if not os.access(setting.proxy, os.R_OK):
            raise CredentialError(
                f"worker {host()} can't read your proxy {setting.proxy}; have X509_USER_PROXY name a file on a disk "
                "that all workers see, and make a proxy with --new_proxy"
            )
        try:
            vo = setting.vo or read_proxy(setting.proxy).vo
        except (OSError, ValueError) as error:
            raise proxy_error(setting.proxy, error) from error
        valid_proxy(vo, time.time(), setting.proxy)
    if site.token and needs_token(site):
        token_of(setting)
    if kind_of(site).credential is Credential.PASSWORD:
        name, user = host_and_user(site)
        if not login_in_netrc(name, user):
            raise CredentialError(f"there is no password for {name} in {NETRC}; write it there, or share the home")


def check_version(setting: Setting) -> None:
    """Refuse to work for another gridsync."""
    if setting.version != (own := version_of_code()):
        raise CrewError(f"worker {host()} has gridsync {own}, but this run {setting.version}; install the same there")


def check_folder(setting: Setting) -> None:
    """Refuse to work on another folder than the run's."""
    if not is_seen(setting):
        raise unseen_error(setting)


def fault_of(check: Callable[[Setting], object], setting: Setting, wait: Callable[[float], object]) -> GridError | None:
    """What speaks against working, if that is so for some seconds: a file may just be replaced, a disk be slow."""
    for left in reversed(range(PATIENCE)):
        try:
            check(setting)
            return None
        except GridError as error:
            if not left:
                return said_by_worker(error)
        wait(1)
    return None


def why_unfit(setting: Setting) -> GridError | None:
    """What keeps this process from the work: another gridsync, another folder, no proxy or token."""
    try:
        check_version(setting)
        check_packages(setting.site)
        return fault_of(check_folder, setting, time.sleep) or fault_of(check_credential, setting, time.sleep)
    except Exception as error:
        return said_by_worker(error)


def is_full(error: DiskError) -> bool:
    """Whether a disk has no more room, which is so for all that write to it."""
    cause = error.__cause__
    return isinstance(cause, OSError) and cause.errno in (errno.ENOSPC, errno.EDQUOT)


def own_fault(setting: Setting, error: Exception, wait: Callable[[float], object]) -> GridError | None:
    """What is wrong with this process alone, if anything has failed for that: others can perhaps do what it can't."""
    if not isinstance(error, DoorError) and (unseen := fault_of(check_folder, setting, wait)):
        return unseen
    if scarce := scarcity(error):
        return said_by_worker(scarce)
    if isinstance(error, DiskError) and not is_full(error):
        return said_by_worker(error)
    if isinstance(error, CredentialError):
        return fault_of(check_credential, setting, wait)
    return None
