"""A new account of oidc-agent, made by logging in with a browser: the device flow."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from typing import IO, Callable

from gridsync_parts.errors import CredentialError
from gridsync_parts.keys import helper_env, output_of
from gridsync_parts.keys.oidc import account_of, agent_error, check_agent
from gridsync_parts.settings import Config
from gridsync_parts.table import Site

MOST_TYPED = 4096  # characters of secrets, which a pipe must hold


def told_in(lines: Iterable[str], tell: Callable[[str], None]) -> str:
    """What oidc-gen writes; where and with which code one logs in is told at once."""
    said, url = [], ""
    for line in lines:
        if "\x1b" not in line or line.startswith("Error"):  # else it is a picture of the URL
            said.append(line)
        if found := re.match(r"(https?://\S+)\s*$", line):
            url = found[1]
        elif url and (found := re.match(r"And enter the code: *(\S+)", line)):
            tell(f"Log in with a browser, on any device, at {url} and enter the code {found[1]}")
    return "".join(line for line in said if line.strip())


def secret_file(text: str) -> int:
    """The descriptor of a pipe with a secret in it, which a helper reads as the file /dev/fd/N."""
    descriptor, other = os.pipe()
    with open(other, "wb") as file:
        file.write(text.encode())
    return descriptor


def account_for(site: Site) -> str:
    """The account that TOKEN names, or may name from now on."""
    kind, _, account = site.token.partition(":")
    return account_of(account) if kind == "oidc" else re.sub(r"[^\w.-]|^\W", "_", site.name.lower(), flags=re.ASCII)


def ask_for(account: str, site: Site, ask: Callable[[str], str]) -> tuple[str, str]:
    """The secret of the client, and a pass phrase for the account, which nobody else sees."""
    secret = ask(f"Secret of the client {site.client_id} (empty if it has none):")
    phrase = ask(f"Pass phrase for the account {account}, which oidc-agent keeps encrypted:")
    if not phrase or ask("The same again:") != phrase:
        raise CredentialError("the pass phrase is empty, or not the same twice; nothing has changed")
    if len(secret + phrase) > MOST_TYPED:
        raise CredentialError("the secret or the pass phrase is much too long; nothing has changed")
    return secret, phrase


def new_account(account: str, site: Site, secret: str, phrase: str, tell: Callable[[str], None]) -> None:
    """Have oidc-agent make and keep an account, for which the user logs in with a browser."""
    import json
    import subprocess

    client = {"client_id": site.client_id, "issuer_url": site.issuer, **({"client_secret": secret} if secret else {})}
    files = [secret_file(json.dumps(client)), secret_file(f"{phrase}\n")]
    command = ["oidc-gen", account, "--manual", f"--iss={site.issuer}", f"--scope={site.scope}"]
    command += ["--flow=device", "--redirect-uri=", "--no-url-call", "--no-scheme", "--confirm-default"]
    command += ["--prompt=none", f"--file=/dev/fd/{files[0]}", f"--pw-file=/dev/fd/{files[1]}"]
    command += [] if secret else ["--client-secret="]  # else it would ask for one
    try:
        with subprocess.Popen(
            command, env=helper_env(), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            pass_fds=files, umask=0o077, encoding="utf-8", errors="replace",
        ) as process:  # fmt: skip
            try:
                output: IO[str] | None = process.stdout
                said = told_in(output or (), tell)
            finally:
                process.terminate()
    finally:
        for descriptor in files:
            os.close(descriptor)
    if "setup correctly" not in said:
        errors = re.findall(r"(?m)^Error: .*|^Required .*", said)
        raise agent_error("\n".join(errors) or said, account, site)


def log_in(site: Site, conf: Config, ask: Callable[[str], str], tell: Callable[[str], None]) -> str:
    """Make an account of oidc-agent for a site, or log in with it anew; its name."""
    account = account_for(site)
    conf.check_login(site, account)
    check_agent("oidc-gen")
    known = output_of(["oidc-add", "--list"]).decode("utf-8", "replace").split()
    if account in known and site.token != f"oidc:{account}":
        raise CredentialError(
            f"oidc-agent has an account {account} already; to use it write TOKEN = oidc:{account} into [{site.name}], "
            "where --new_token then makes it anew"
        )
    new_account(account, site, *ask_for(account, site, ask), tell)
    return account
