"""What a door was shown and nobody else may see, and text that may be shown."""

from __future__ import annotations

import contextlib
import itertools
import re
import threading
from collections import deque

# What looks like a secret whoever has made it: a token of either kind, or what stands where secrets do. These patterns
# are compiled when a text needs them: at each start they would take a millisecond.
TELLING = (
    r"eyJ[\w-]{8,}(?:\.[\w-]*)+|(?:eyJ|MDA[0-9a-zA-Z]|AgE)[\w-]{40,}=*"
    r"|(://[^\s?\"'<>]{0,2000}\?)[\w.%-]+=[^\s\"'<>)]+"
    r"|((?:[Bb]earer|BEARER)(?:\s|%20|\+)+|(?:authz|access_token|id_token|refresh_token)[\"'\\\s]*(?:[=:]|%3D)[\"'\\\s]*)"
    r"[^\s\"'\\&,;<>()]{12,}"
)
# A letter or digit, perhaps escaped, once or more, for a URL or for JSON; and escapes that stand for neither.
LETTER = r"(?:%(?:25){0,8}|\\{1,16}(?:u00|x))([0-9a-fA-F]{2})|\\{1,16}[nrt]|&(?:amp|quot|lt|gt|#\w+);|([0-9A-Za-z])"
NO_LETTERS = "[^0-9A-Za-z]+"
TOLD_BY = ("eyJ", "MDA", "AgE", "://", "earer", "EARER", "authz", "_token")  # to see at once that there is nothing
ROW = 12  # letters and digits that a text shares with a secret, and with nothing by chance
MANY_ROWS = 20_000  # of some hundred secrets


def letters(text: str) -> tuple[str, list[tuple[int, int]]]:
    """The letters and digits of a text, whatever they are escaped, quoted or broken with, and where each stands."""
    found, spans = [], []
    for match in re.finditer(LETTER, text):
        letter = match[2] or (chr(int(match[1], 16)) if match[1] else "")
        if letter.isascii() and letter.isalnum():
            found.append(letter)
            spans.append(match.span())
    return "".join(found), spans


def rows_of(text: str) -> set[str]:
    """All rows of letters and digits in a text."""
    is_escaped = "%" in text or "\\" in text or "&" in text
    plain = letters(text)[0] if is_escaped else re.sub(NO_LETTERS, "", text)
    return {plain[at : at + ROW] for at in range(len(plain) - ROW + 1)}


class Secrets:
    """What a door was shown, or has named, and nobody else may see, whoever repeats it."""

    def __init__(self) -> None:
        self.noted: deque[str] = deque(maxlen=512)  # looked at when there is a text to keep them out of
        self.tokens: set[str] = set()  # those whose rows are known
        self.rows: set[str] = set()
        self.older: set[str] = set()  # of still older ones nobody speaks any more
        self.lock = threading.Lock()

    def note(self, text: str) -> None:
        """A token, or a URL whose query is as good as one; at each request, so that it is known while it is used."""
        if text not in self.tokens:
            self.noted.append(text)

    def learn(self) -> None:
        """Take apart what was noted."""
        with self.lock:
            for text in list(self.noted):
                if text not in self.tokens:
                    self.learn_one(text)
                with contextlib.suppress(ValueError):  # newer ones have pushed it out
                    self.noted.remove(text)  # only now, so that whoever comes meanwhile waits

    def learn_one(self, text: str) -> None:
        """Take apart a token, which may come back in base64, or a URL, whose place is no secret."""
        import base64
        from urllib.parse import unquote

        if len(self.rows) > MANY_ROWS:
            self.older, self.rows, self.tokens = self.rows, set(), set()
        place, _, query = text.partition("?") if "://" in text else ("", "", "")
        values = [part.partition("=")[2] or part for part in query.split("&") if "://" not in unquote(part)]
        if not place:
            self.tokens.add(text)
            values = [text, *(base64.b64encode(bytes(at) + text.encode()).decode() for at in range(3))]
        place = re.sub(NO_LETTERS, "", place)
        self.rows.update(row for value in values for row in rows_of(value) if row not in place)

    def are_in(self, text: str) -> bool:
        """Whether a text repeats one of them, or a part of it."""
        if self.noted:
            self.learn()
        if not self.rows:
            return False
        rows = rows_of(text)
        return not (self.rows.isdisjoint(rows) and self.older.isdisjoint(rows))

    def masked(self, text: str) -> str:
        """A text without them and their like."""
        if any(word in text for word in TOLD_BY):
            text = re.sub(TELLING, lambda match: "".join(filter(None, match.groups())) + "...", text)
        if not self.are_in(text):
            return text
        plain, spans = letters(text)
        kept = bytearray(b"\1" * len(text))
        for at in range(len(plain) - ROW + 1):
            if (row := plain[at : at + ROW]) in self.rows or row in self.older:
                begin, end = spans[at][0], spans[at + ROW - 1][1]
                kept[begin:end] = bytes(end - begin)
        parts = itertools.groupby(zip(text, kept), lambda pair: pair[1])
        return "".join("".join(letter for letter, _ in part) if is_kept else "..." for is_kept, part in parts)


secrets = Secrets()


def make_printable(text: str) -> str:
    """Text with nothing in it that a terminal would obey or that nobody may see."""
    text = secrets.masked(text)
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)
