"""User name and password for a site that wants them: of ~/.netrc, of the keyring, or typed."""

from __future__ import annotations

import os
import sys
import threading
from typing import NamedTuple
from urllib.parse import unquote, urlsplit

from gridsync_parts.errors import CredentialError
from gridsync_parts.keys import open_secret
from gridsync_parts.log import log
from gridsync_parts.table import Site

NETRC = "~/.netrc"


class Login(NamedTuple):
    """What a site is shown."""

    user: str
    password: str
    source: str  # where the password comes from


typed: dict[tuple[str, str], Login] = {}  # by host and user: asked for once in a run
asking = threading.Lock()


def host_and_user(site: Site) -> tuple[str, str]:
    """Host and user of SERVER; the user may be left out there."""
    parts = urlsplit(site.server)
    return parts.hostname or "", unquote(parts.username or "")


def login_in_netrc(host: str, user: str) -> Login | None:
    """The login that ~/.netrc has for a host, if that is of this user; the entry `default` is for no host at all."""
    import netrc

    path = os.path.expanduser(NETRC)
    if not os.path.exists(path):
        return None
    with open_secret(path, "the file of passwords") as file:
        try:
            found = netrc.netrc(f"/dev/fd/{file.fileno()}").hosts.get(host)
        except netrc.NetrcParseError as error:  # its message may have a password in it
            raise CredentialError(f"{path}: line {error.lineno} cannot be understood; correct it") from None
        except UnicodeDecodeError:
            raise CredentialError(f"{path} is not in UTF-8; correct it") from None
        except ValueError:  # of Python 3.9, for a quote without an end
            raise CredentialError(f"{path} cannot be understood; correct it") from None
    if not found or not found[0] or not found[2] or (user and found[0] != user):
        return None
    return Login(found[0], found[2], NETRC)


def login_in_keyring(host: str, user: str) -> Login | None:
    """The login that the keyring has for a host; nothing where there is none, or it stays locked."""
    try:
        import keyring

        found = keyring.get_credential(host, user or None)
    except Exception as error:  # it is not installed; or of each backend its own
        log.debug("the keyring gives nothing: %s", error)
        return None
    return Login(found.username or user, found.password, "the keyring") if found and (found.username or user) else None


def password_typed(prompt: str) -> str:
    """What is typed without echo."""
    import getpass

    try:
        return getpass.getpass(prompt)
    except EOFError as error:
        raise CredentialError("no password was typed; nothing has changed") from error


def login_typed(host: str, user: str) -> Login | None:
    """The login that the user types; nothing without a terminal."""
    if not sys.stdin.isatty() or not (user or sys.stdout.isatty()):
        return None
    with asking:
        if (host, user) not in typed:
            try:
                name = user or input(f"User name at {host}: ").strip()
            except EOFError:
                name = ""
            if not name:
                raise CredentialError("no user name was typed; nothing has changed")
            typed[host, user] = Login(name, password_typed(f"Password of {name} at {host}: "), "the prompt")
        return typed[host, user]


def forget_typed(site: Site) -> None:
    """Ask again the next time, as what was typed is wrong."""
    typed.pop(host_and_user(site), None)


def find_login(site: Site) -> Login:
    """What a site is shown."""
    host, user = host_and_user(site)
    found = login_in_netrc(host, user) or login_in_keyring(host, user) or login_typed(host, user)
    if not found:
        name = user or "NAME"
        raise CredentialError(
            f"no password is known for {host}; write `machine {host} login {name} password PASSWORD` into {NETRC} "
            f"(chmod 600 {NETRC}), or type `keyring set {host} {name}`"
            f"{'' if user else ' and write NAME@ before the host in SERVER'}, or call gridsync from a terminal"
        )
    return found
