"""A bearer token: where it comes from, and until when it is good."""

from __future__ import annotations

import os
import re
import threading
import time
from typing import NamedTuple

from gridsync_parts.errors import CredentialError, UsageError
from gridsync_parts.keys import open_secret, output_of
from gridsync_parts.keys.oidc import account_of, token_of_account
from gridsync_parts.settings import Config
from gridsync_parts.words import duration_text, left_text, sane_time

KINDS = ("env", "file", "cmd", "oidc")
SOURCES = "env:NAME, file:PATH, cmd:COMMAND or oidc:ACCOUNT"
TOKEN_LIFE = 60  # seconds before its end in which a token is asked for again
TOKEN_PAUSE = 10  # seconds for which a source that fails is left alone


class Claims(NamedTuple):
    """What a token says of itself."""

    issuer: str = ""
    subject: str = ""
    scopes: str = ""
    audience: str = ""
    ends: float = 0.0  # 0 if it does not say


def words_of(claim: object) -> str:
    """A claim that is a text, or some."""
    return " ".join(map(str, claim)) if isinstance(claim, list) else claim if isinstance(claim, str) else ""


def claims_of(token: str) -> Claims:
    """What a JWT says, as far as it is one."""
    import base64
    import json

    try:
        payload = token.split(".")[1]
        claims = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
        issuer, subject, scopes, audience = (words_of(claims.get(name)) for name in ("iss", "sub", "scope", "aud"))
    except (IndexError, ValueError, AttributeError, TypeError, RecursionError):
        return Claims()
    try:
        ends = float(sane_time(float(claims.get("exp", 0))))
    except (ValueError, TypeError, OverflowError):
        ends = 0.0
    return Claims(issuer, subject, scopes, audience, ends)


def token_end(token: str) -> float:
    """When a JWT ends; 0 for one that does not say, and for other tokens."""
    return claims_of(token).ends


def token_left(token: Token, now: float) -> str:
    """How long a token still is valid, as far as it says."""
    return left_text(token.ends, now) if token.ends else "does not say when it ends"


class Token:
    """A bearer token: where it comes from, and its value, asked for anew when it is about to end."""

    def __init__(self, source: str, conf: Config):
        self.source = source
        self.kind, _, self.place = source.partition(":")
        if self.kind not in KINDS or not self.place:
            raise UsageError(f"{conf.path}: TOKEN must name the token's source: {SOURCES}")
        if self.kind == "oidc":
            account_of(self.place)
        conf.file.check_own("TOKEN")
        self.lock = threading.Lock()
        self.text = ""
        self.ends = 0.0  # 0 for a token that does not say
        self.failure: CredentialError | None = None  # of the source, when it was asked last
        self.rest = 0.0  # until when it is left alone

    def is_good(self) -> bool:
        """Whether there is a token that has not ended."""
        return bool(self.text) and not 0 < self.ends <= time.time()

    def ask(self, is_due: bool) -> None:
        """Ask the source; when it fails, or has nothing new though that is due, it is left alone for a while."""
        before = self.text
        try:
            self.text, self.failure = self.fetch(is_refused=not is_due), None
            self.ends = token_end(self.text)
        except CredentialError as error:
            self.failure = error
        if self.failure or (is_due and self.text == before):
            self.rest = time.monotonic() + TOKEN_PAUSE

    def value(self) -> str:
        """The token, which has not ended; as long as there is one, nobody waits for the next."""
        if self.lock.acquire(blocking=not self.is_good()):
            try:
                is_due = not self.text or 0 < self.ends < time.time() + TOKEN_LIFE
                if is_due and time.monotonic() >= self.rest:
                    self.ask(is_due)
            finally:
                self.lock.release()
        if self.is_good():
            return self.text
        sentence = str(self.failure)
        if not self.failure:
            ago = duration_text(time.time() - self.ends)
            sentence = f"the token from {self.source} expired {ago} ago; renew it"
        raise CredentialError(sentence, passing=True, pause=max(0, self.rest - time.monotonic()))

    def renew(self, refused: str) -> str:
        """Another token that the source has by now, for a door that does not take this one; or nothing."""
        with self.lock:
            if refused == self.text and time.monotonic() >= self.rest:  # else another thread has just asked for it
                self.ask(is_due=False)
            return self.text if self.text != refused and self.is_good() else ""

    def answer(self, is_refused: bool) -> str:
        """What the helper says that is the source."""
        import shlex
        import subprocess

        try:
            if self.kind == "oidc":
                return token_of_account(self.place, TOKEN_LIFE, is_refused)
            return output_of(shlex.split(self.place)).decode("ascii")
        except subprocess.TimeoutExpired as error:
            raise TimeoutError from error
        except subprocess.CalledProcessError as error:
            said = (error.stderr or b"").decode("utf-8", "replace").strip().splitlines() or ["nothing"]
            bare = re.sub(r"(?=[^\s\d]*\d)[\w.~+=-]{20,}", "...", said[-1])  # which may be one
            raise CredentialError(f"the command of {self.source} gives no token; it says: {bare}") from None

    def fetch(self, is_refused: bool) -> str:
        """The token from its source, which may know how to get another one than the door has refused."""
        try:
            if self.kind == "env":
                text = os.environ.get(self.place, "")
            elif self.kind == "file":
                with open_secret(os.path.expanduser(self.place), "your token") as file:
                    text = file.read()
            else:
                text = self.answer(is_refused)
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or "there is none, or it takes too long"
            raise CredentialError(f"{self.source} gives no token ({reason}); correct TOKEN in Grid.conf") from None
        if not re.fullmatch(r"[!-~]+", text.strip()):
            is_unset = self.kind == "env" and self.place not in os.environ
            what = f"as {self.place} is not set; set it" if is_unset else "(one word, without Bearer); renew it"
            raise CredentialError(f"{self.source} gives no usable token {what}, or correct TOKEN in Grid.conf")
        return text.strip()
