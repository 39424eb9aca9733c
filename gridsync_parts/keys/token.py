"""A bearer token: where it comes from, and until when it is good."""

from __future__ import annotations

import os
import re
import threading
import time

from gridsync_parts.errors import CredentialError, UsageError
from gridsync_parts.keys import CLIENT_LIMIT, helper_env, open_secret
from gridsync_parts.settings import Config
from gridsync_parts.words import duration_text, left_text, sane_time

MOST_OUTPUT = 1 << 20  # bytes of what a token's command writes
TOKEN_LIFE = 60  # seconds before its end in which a token is asked for again
TOKEN_PAUSE = 10  # seconds for which a source that fails is left alone


def token_end(token: str) -> float:
    """When a JWT ends; 0 for one that does not say, and for other tokens."""
    import base64
    import json

    try:
        payload = token.split(".")[1]
        claims = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
        return float(sane_time(float(claims.get("exp", 0))))
    except (IndexError, ValueError, AttributeError, TypeError, OverflowError, RecursionError):
        return 0.0


def output_of(command: list[str]) -> bytes:
    """What a command has written when it ends; what its children still have open is not waited for."""
    import subprocess

    ends, pipe = time.monotonic() + CLIENT_LIMIT, subprocess.PIPE
    with subprocess.Popen(command, env=helper_env(), stdout=pipe, stderr=pipe) as process:
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


def token_left(token: Token, now: float) -> str:
    """How long a token still is valid, as far as it says."""
    return left_text(token.ends, now) if token.ends else "does not say when it ends"


class Token:
    """A bearer token: where it comes from, and its value, asked for anew when it is about to end."""

    def __init__(self, source: str, conf: Config):
        self.source = source
        self.kind, _, self.place = source.partition(":")
        if self.kind not in ("env", "file", "cmd") or not self.place:
            raise UsageError(f"{conf.path}: TOKEN must name the token's source: env:NAME, file:PATH or cmd:COMMAND")
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
            self.text, self.failure = self.fetch(), None
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

    def fetch(self) -> str:
        """The token from its source."""
        import shlex
        import subprocess

        try:
            if self.kind == "env":
                text = os.environ.get(self.place, "")
            elif self.kind == "file":
                with open_secret(os.path.expanduser(self.place), "your token") as file:
                    text = file.read()
            else:
                text = output_of(shlex.split(self.place)).decode("ascii")
        except subprocess.CalledProcessError as error:
            said = (error.stderr or b"").decode("utf-8", "replace").strip().splitlines() or ["nothing"]
            bare = re.sub(r"(?=[^\s\d]*\d)[\w.~+=-]{20,}", "...", said[-1])  # which may be one
            raise CredentialError(f"the command of {self.source} gives no token; it says: {bare}") from None
        except (OSError, ValueError, subprocess.TimeoutExpired) as error:
            reason = getattr(error, "strerror", None) or "there is none, or it takes too long"
            raise CredentialError(f"{self.source} gives no token ({reason}); correct TOKEN in Grid.conf") from None
        if not re.fullmatch(r"[!-~]+", text.strip()):
            raise CredentialError(f"{self.source} gives no usable token; renew it, or correct TOKEN in Grid.conf")
        return text.strip()
