"""The sites that can be chosen, and whether what they want to be shown is at hand."""

from __future__ import annotations

import glob
import os
from collections.abc import Iterator

from gridsync_parts.errors import CredentialError, GridError, UsageError
from gridsync_parts.keys.oidc import check_agent
from gridsync_parts.keys.password import host_and_user, login_in_netrc
from gridsync_parts.keys.proxy import valid_proxy
from gridsync_parts.keys.shown import settled, token_of
from gridsync_parts.keys.token import Token, token_left
from gridsync_parts.kinds import Credential, find_kind
from gridsync_parts.settings import Config
from gridsync_parts.sites import blank_of
from gridsync_parts.table import GENERAL, GENERAL_KEYS, Site
from gridsync_parts.values import Choice
from gridsync_parts.words import bare, left_text, scheme_of


def look_for_token(source: str, config: Config, now: float) -> str:
    """What is known of a token without running a command; CredentialError or UsageError if it is not there."""
    import shlex
    import shutil

    token = Token(source, config)
    if token.kind == "oidc":
        check_agent("oidc-token")
        return f"token, oidc-agent is asked for one of {token.place}"
    if token.kind != "cmd":
        token.value()
        return f"token from {source}, {token_left(token, now)}"
    try:
        program = [*shlex.split(token.place), ""][0]
    except ValueError as error:
        raise CredentialError(f"{source} is no command ({error}); correct TOKEN in Grid.conf") from error
    if not shutil.which(program):
        raise CredentialError(f"the program {program} of TOKEN is not installed")
    return f"token, {program} is asked for it"


def look_for_login(site: Site) -> tuple[bool | None, str]:
    """The same of user name and password; the keyring is not asked, which might want to be unlocked."""
    try:
        found = login_in_netrc(*host_and_user(site))
    except GridError as error:
        return False, str(error)
    text = Credential.PASSWORD.value
    return (True, f"{text}, from {found.source}") if found else (None, f"{text}, asked for then")


def look_for(site: Site, credential: Credential, config: Config, now: float) -> tuple[bool | None, str]:
    """Whether what a site wants to be shown is at hand, and which that is or why not."""
    try:
        if token := token_of(site, config):
            return True, look_for_token(token.source, config, now)
        if site.credential == "none":
            return True, Credential.NONE.value
        if credential in (Credential.ANY, Credential.PROXY):
            proxy = valid_proxy(config.value(GENERAL, GENERAL_KEYS["VO"]), now)
            return True, f"proxy, {left_text(min(proxy.ends, proxy.attribute_ends), now)}"
    except GridError as error:
        if credential is Credential.MAYBE_TOKEN:
            return True, f"{Credential.NONE.value}, for public records: {error}"
        return False, str(error)
    if credential is Credential.MAYBE_TOKEN:
        return True, f"{Credential.NONE.value}, for public records"
    if credential is Credential.PASSWORD:
        return look_for_login(site)
    if credential is Credential.KEYS:
        keys = [path for path in glob.glob(os.path.expanduser("~/.ssh/id_*")) if not path.endswith(".pub")]
        has_key = keys or os.path.exists(os.environ.get("SSH_AUTH_SOCK", ""))
        return (True, credential.value) if has_key else (None, f"{credential.value}; none was found here")
    return (True, credential.value) if credential is Credential.NONE else (None, f"{credential.value}, asked for then")


def choices_of(config: Config, now: float) -> Iterator[Choice]:
    """Each site of Grid.conf, then those that gridsync knows."""
    for name in config.sites():
        try:
            site, _ = settled(config.site(name), config)
        except UsageError as error:
            yield Choice(name, "?", bare(config.section(name).get("SERVER", "")), False, str(error))
            continue
        scheme = scheme_of(site.server)
        kind = find_kind(site.engine, scheme)
        assert kind  # as of every site that Config.site has
        at_hand, text = look_for(site, kind.credential, config, now)
        if blank := blank_of(site):
            at_hand, text = False, f"write {blank} in SERVER"
        is_usual = site.engine == "gfal2" or find_kind("auto", scheme) is kind  # of this scheme
        yield Choice(name, scheme if is_usual else site.engine, f"{bare(site.server)}/", at_hand, text)
