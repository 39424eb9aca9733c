"""Why attempts have failed: the sentences of errors without what sets one apart from another."""

from __future__ import annotations

import re
from typing import NamedTuple

LONGEST = 300  # characters of a sentence that count
MOST = 500  # reasons that are told apart
OTHER = "other reasons"
NO_REASON = "no reason given"
URL = re.compile(r"\w+://[^\s,;'\")]+")
PATH = re.compile(r"~?/?(?:[^\s/:;,'\"()]+/)+[^\s/:;,'\"()]*|(?<!\S)/[^\s:;,'\"()]+")
NAMED = r"(?<![\w.-])(?!Grid\.conf)(?:(?:[\w-]+\.)+[a-zA-Z][\w-]*|(?:\d+\.){3}\d+)"
HOST = re.compile(rf"(?:\[[0-9a-fA-F]*:[0-9a-fA-F:.]+\]|{NAMED}|\blocalhost)(?::\d+)?")
DIGEST = re.compile(r"(?<=:)[0-9a-fA-F]{8,}(?!\w)|(?<!\w)(?=\w*\d)[0-9a-fA-F]{8,}(?!\w)")
# A number by itself, but for what HTTP says: 503 is not 404.
NUMBER = re.compile(r"(?<![\w.,:])(?![45]\d\d(?![\w.,:]*\d))\d[\d,.:]*(?:(?<=\d)|(?<=\d[.,:]))(?!\w)")
FILE, MORE = "…", re.compile(r"…(?:[\s:]*…)+")


def reason_of(error: str, key: str) -> str:
    """A sentence in which paths, hosts and numbers no longer say which file it is about."""
    text = error[: len(key) + LONGEST]
    for name in (key, key.rpartition("/")[2]):
        if len(name) > 3:
            text = text.replace(name, FILE)
    text = HOST.sub(FILE, PATH.sub(FILE, URL.sub(FILE, text[: 2 * LONGEST])))
    text = MORE.sub(FILE, NUMBER.sub("N", DIGEST.sub(FILE, text))).strip()
    return text.removeprefix(FILE).lstrip(" :")[:LONGEST] or NO_REASON


class Reason(NamedTuple):
    """Why attempts have failed."""

    text: str
    attempts: int  # that have failed so
    files: int  # that are not here because of it
    example: str  # one of the sentences, as it is


class Reasons:
    """All reasons, by the number that files remember."""

    def __init__(self) -> None:
        self.numbers: dict[str, int] = {}
        self.attempts: list[int] = []
        self.examples: list[str] = []

    def add(self, error: str, key: str) -> int:
        """Count an attempt that has failed; the number of its reason."""
        text = reason_of(error, key)
        if text not in self.numbers and len(self.numbers) >= MOST:
            text = OTHER
        number = self.numbers.setdefault(text, len(self.numbers))
        if number == len(self.attempts):
            self.attempts.append(0)
            self.examples.append(error[:LONGEST])
        self.attempts[number] += 1
        return number

    def found(self, files: dict[int, int]) -> list[Reason]:
        """Those that there were, the most frequent first; of how many files each is the last word."""
        texts = list(self.numbers)
        all_of = [
            Reason(text, self.attempts[number], files.get(number, 0), self.examples[number])
            for number, text in enumerate(texts)
        ]
        return sorted(all_of, key=lambda reason: (-reason.attempts, reason.text))
