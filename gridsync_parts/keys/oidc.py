"""oidc-agent: the tokens of its accounts.

Its programs are asked, not its socket: what goes through that is encrypted in a way which changes with its versions.
"""

from __future__ import annotations

import os
import re

from gridsync_parts.errors import CredentialError, Saying, UsageError, brief, error_for
from gridsync_parts.keys import output_of
from gridsync_parts.table import Site

PACKAGE = "on Debian: apt install oidc-agent-cli"
START = "start it, and set its variables: eval $(oidc-agent-service use)"
# What its programs write when there is no token.
AGENT_ERRORS = tuple(
    Saying(pattern, CredentialError, sentence)
    for pattern, sentence in (
        (r"did not receive any response|OIDC_SOCK|\bconnect", f"oidc-agent does not run here; {START}"),
        (r"no account", "oidc-agent has no account {account}; --new_token makes one, or correct TOKEN in Grid.conf"),
        (r"not loaded", "oidc-agent has not loaded the account {account}; load it: oidc-add {account}"),
        (r"invalid_grant|refresh token", "the login of the account {account} is over; renew it with --new_token"),
        (r"invalid_client|client_secret", "{issuer} does not take the client {client} with this secret ({said}); "
         "correct CLIENT_ID, or ask who has registered it"),
        (r"invalid_scope", "{issuer} does not give the client {client} what SCOPE asks for ({said}); correct SCOPE"),
        (r"unauthorized_client|unsupported_grant|not supported by", "{issuer} has no login by a code for the client "
         "{client} ({said}); ask who has registered it"),
        (r"access_denied|expired_token|not valid any ?more", "nobody has agreed in the browser ({said}); try again"),
        (r"wrong password|decrypt|maximum number of tries", "the pass phrase of {account} is wrong; try again"),
        (r"disconnected|token endpoint|resolve|network|parse json|http status", "{issuer} cannot be reached, or is "
         "none that logs in users; check ISSUER and your network, or try again later"),
        (r"", "oidc-agent gives no token for the account {account}; it says: {said}"),
    )
)  # fmt: skip


def agent_error(said: str, account: str, site: Site | None = None) -> Exception:
    """The sentence for what one of its programs writes."""
    from gridsync_parts.secrets import make_printable

    lines = [re.sub("^Error: ", "", line) for line in said.strip().splitlines()] or ["nothing"]
    issuer, client = (site.issuer, site.client_id) if site else (f"the provider of the account {account}", "")
    return error_for(
        AGENT_ERRORS, said, account=account, said=brief(make_printable(lines[0])), issuer=issuer, client=client
    )


def account_of(text: str) -> str:
    """The name of an account, which is no option of its programs."""
    if not re.fullmatch(r"\w[\w.@+-]*", text, re.ASCII):
        raise UsageError(f"TOKEN = oidc:{brief(text)} names no account; give the name that oidc-add --list shows")
    return text


def check_agent(program: str) -> None:
    """Refuse to ask an agent that is not there."""
    import shutil

    if not shutil.which(program):
        raise CredentialError(f"{program} is not installed, which asks oidc-agent for tokens; {PACKAGE}")
    if not os.environ.get("OIDC_SOCK"):
        raise CredentialError(f"oidc-agent does not run here; {START}")


def token_of_account(account: str, seconds: int, is_refused: bool) -> str:
    """A token of an account that is good for so many seconds; another one than before if that was refused."""
    import subprocess

    check_agent("oidc-token")
    more = ["--force-new"] if is_refused else []
    try:
        return output_of(["oidc-token", f"--time={seconds}", *more, account]).decode("ascii")
    except subprocess.CalledProcessError as error:
        raise agent_error((error.stderr or b"").decode("utf-8", "replace"), account) from None
