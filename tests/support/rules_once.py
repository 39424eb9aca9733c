"""Every rule of what comes of files in a run that waits for less than --sync does: more of the table of rules."""

from __future__ import annotations

from gridsync_parts.words import moment_text
from tests.support.rules import (
    BROKEN,
    DONE,
    HOUR,
    LEFT,
    LOST,
    NEARLINE,
    OFFLINE,
    ONLINE,
    SAME,
    STUCK,
    TAPE,
    TODAY,
    WAITS,
    Case,
    Facts,
    Job,
    Started,
    Watched,
    many,
)

POOL = "{} file(s) will be tried again soon: a: its pool fails"
STARTING = [
    Case("--start compares what is here, then copies", (Job("a"), Job("b", here=SAME)),
         Started({"a": "copied", "b": "skipped"}), {DONE: "ab", "given": "ba"}),
    Case("it fails what fails, and says so", Job(), Started({"a": "passing"}), {LEFT: "a", "given": "a"},
         said="a: fails"),
    Case("it tries a file again after a pause, as it would any call", Job(), Started({"a": "again copied"}),
         {DONE: "a", "given": "aa", "took": 2}),
    Case("it asks where a file is that waited for too long", Job(), Started({"a": "stale copied"}),
         {DONE: "a", "given": "aa", "located": ["a"]}),
    Case("it leaves to tape what is there by then", Job(now=NEARLINE), Started({"a": "stale"}),
         {TAPE: "a", "given": "a"}),
    Case("it fails what is lost by then", Job(now=OFFLINE), Started({"a": "stale"}), {LEFT: "a"}, said=LOST),
    Case("it leaves to tape what leaves the disk", Job(), Started({"a": "evicted"}), {TAPE: "a", "given": "a"}),
    Case("files whose pools fail are tried again together when all others are done", many("abc"),
         Started({"a": "pool copied", "b": "pool copied", "c": "copied"}), {DONE: "abc", "given": "abcab", "took": 8},
         said=POOL.format(2)),
    Case("the next times after twice as long, a minute at the most, as often as RETRIES says; then they have failed",
         Job(), Started({"a": "pool " * 6}), {LEFT: "a", "given": "aaaaaa", "took": 176},
         said=(POOL.format(1),) * 5 + ("a: its pool fails",)),
    Case("or by chance sooner", Job(), Started({"a": "pool copied"}), {DONE: "a", "took": 4}, Facts(is_short=True),
         said=POOL.format(1)),
    Case("with RETRIES 0 they have failed at once", Job(), Started({"a": "pool"}, retries=0),
         {LEFT: "a", "given": "a", "took": 0}, said="a: its pool fails"),
    Case("eight failures of the door in a row end it", many("abcdefghi"), Started(dict.fromkeys("abcdefghi", "door")),
         {}, said=("the door fails",) * 9, raised="DoorError"),
    Case("a file that comes in between begins anew", many("abcdefghi"),
         Started({**dict.fromkeys("abcdfghi", "door"), "e": "copied"}), {LEFT: "abcdfghi", DONE: "e"},
         said=("the door fails",) * 8),
    Case("one that has waited for too long does not", many("abcdefghi"),
         Started({**dict.fromkeys("abcdfghi", "door"), "e": "stale copied"}), {}, said=("the door fails",) * 8,
         raised="DoorError"),
    Case("so does one that fails by itself", many("abcdefghi"),
         Started({**dict.fromkeys("abcdfghi", "door"), "e": "passing"}), {LEFT: "abcdefghi"},
         said=("the door fails",) * 4 + ("a: fails",) + ("the door fails",) * 4),
    Case("of fewer files all have to fail", many("ab"), Started({"a": "door", "b": "door"}), {},
         said=("the door fails",) * 2, raised="DoorError"),
    Case("a door that refuses the first 16 files ends it, and none of them is told", many("abcdefghijklmnop"),
         Started(dict.fromkeys("abcdefghijklmnop", "refused")), {}, Facts(is_given=False), raised="DoorError"),
    Case("fewer files are told as refused", many("ab"), Started({"a": "refused", "b": "refused"}), {LEFT: "ab"},
         Facts(is_given=False), said=("a: is forbidden",) * 2),
]

COMES = WAITS._replace(now=ONLINE)
WATCHING = [
    Case("--bring_online asks as often as --sync does", COMES, Watched({"a": "waiting " * 3 + "brought"}),
         {"pauses": [1.5, 1.5, 1.5], "failed": 0}),
    Case("less and less often", COMES, Watched({"a": "waiting " * 50 + "brought"}), {"longest": 12, "failed": 0}),
    Case("what was brought and is not there is asked for once more", WAITS, Watched({"a": "brought brought"}),
         {"requested": ["a"], "failed": 0}),
    Case("what could not be brought has failed, and is not asked for again", WAITS, Watched({"a": "broken"}),
         {"requested": [], "failed": 1}, said=BROKEN),
    Case("what takes less than half a day is not told", COMES, Watched({"a": "slow brought"}), {"failed": 0}),
    Case("what takes half a day is told at each look, and has not failed", COMES, Watched({"a": "stuck stuck brought"}),
         {"failed": 0}, said=(STUCK.format(moment_text(TODAY - 13 * HOUR)),) * 2),
]

TABLES = {"--start": STARTING, "--bring_online": WATCHING}
