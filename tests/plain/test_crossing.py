"""What doors say of a copy to or from another door: marks, and the verdict in the last line."""

from __future__ import annotations

import random

import pytest

from gridsync_parts.doors.marks import MAX_STRIPES, Ends, Pace, Told
from gridsync_parts.errors import (
    DoorError,
    Exists,
    FileError,
    Forbidden,
    Full,
    Mismatch,
    NotFound,
    OnTape,
)
from gridsync_parts.secrets import secrets
from gridsync_parts.table import Site

# As dCache, StoRM and XRootD write them.
DCACHE = """Perf Marker
    Timestamp: 1795845982
    State: Mover running
    Stripe Index: 0
    Stripe Bytes Transferred: {}
    Total Stripe Count: 1
    RemoteConnections: tcp:127.0.0.1:44927
End
"""
STORM = "Perf Marker\n  Timestamp: 1\n  Stripe Index: 0\n  Stripe Bytes Transferred: {}\n  Total Stripe Count: 1\nEnd\n"
XROOTD = "Perf Marker\nTimestamp: 1\nStripe Index: 0\nStripe Bytes Transferred: {}\nTotal Stripe Count: 1\nEnd\n"
TWO = (
    "Perf Marker\nStripe Index: 0\nStripe Bytes Transferred: {}\nTotal Stripe Count: 2\nEnd\n"
    "Perf Marker\nStripe Index: 1\nStripe Bytes Transferred: {}\nTotal Stripe Count: 2\nEnd\n"
)


def told(text: str, cuts: tuple[int, ...] = ()) -> tuple[list[int], str]:
    """The bytes that are there, as often as that is new, and the verdict of a stream that comes in pieces."""
    story, seen, data = Told(), [0], text.encode()
    for start, stop in zip((0, *cuts), (*cuts, len(data))):
        if story.take(data[start:stop]) and story.moved() != seen[-1]:
            seen.append(story.moved())
    story.end()
    return seen[1:], "success" if story.is_success and not story.failure else story.failure


STREAMS = [
    (XROOTD.format(0) + "success: Created", [], "success"),
    (STORM.format(5) + "success: Created\n", [5], "success"),
    (DCACHE.format(5) + DCACHE.format(9) + "success: Created\n", [5, 9], "success"),
    (DCACHE.format(5).replace("\n", "\r\n") + "SUCCESS: Created\r\n", [5], "success"),
    ("Success\n", [], "success"),
    ("success\n\n", [], "success"),
    (TWO.format(5, 7) + TWO.format(6, 9) + "success: Created", [5, 12, 13, 15], "success"),
    ("failure: rejected GET: 401 login failed\n", [], "rejected GET: 401 login failed"),
    ("Failure: a\nb\n  c\n", [], "a b c"),
    ("FAILED: no\n", [], "no"),
    ("aborted\n", [], "aborted"),
    ("failure:\n", [], "failure:"),
    ("success: Created\nfailure: no room\n", [], "no room"),
    ("failure: no room\nsuccess: Created\n", [], "no room success: Created"),
    (XROOTD.format(5), [5], ""),
    (XROOTD.format(5) + "suc", [5], ""),
    (XROOTD.format(5) + "successor: Created\n", [5], ""),
    (XROOTD.format(5) + "It was no success: sorry\n", [5], ""),
    ("", [], ""),
    ("".join(f"Stripe Bytes Transferred: {no}\n" for no in ("-1", "1e9", "\u0665", "")) + "success", [], "success"),
    ("Stripe Bytes Transferred: 9" + "9" * 30 + "\nsuccess", [], "success"),
    ("Stripe Index: x\nStripe Bytes Transferred:8\nWhatever: Stripe Bytes Transferred: 9\nsuccess", [8], "success"),
    ("stripe index: 3\nSTRIPE BYTES TRANSFERRED: 8\nsuccess", [8], "success"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "marks", "verdict"), STREAMS)
def test_marks_are_told_and_the_last_line_is_the_verdict(text, marks, verdict):
    lines = tuple(at + 1 for at, letter in enumerate(text.encode()) if letter in b"\n")
    assert told(text, lines) == (marks, verdict)


@pytest.mark.parametrize(("text", "marks", "verdict"), STREAMS)
def test_however_a_stream_is_cut_it_says_the_same(text, marks, verdict):
    size, dice = len(text.encode()), random.Random(text)
    each = tuple(range(1, size))
    assert told(text, each) == (marks, verdict)
    for _ in range(20):
        found, said = told(text, tuple(sorted(dice.sample(each, dice.randint(0, len(each))))))
        assert (said, found[-1:], set(found) <= set(marks)) == (verdict, marks[-1:], True)


@pytest.mark.parametrize(("text", "marks", "verdict"), [stream for stream in STREAMS if stream[2] == "success"])
def test_a_stream_that_ends_too_early_is_never_a_success(text, marks, verdict):
    begins = text.lower().rindex("success")
    assert {told(text[:end])[1] for end in range(begins + len("success"))} == {""}


def test_a_failure_or_stripes_without_end_take_no_room():
    story = Told()
    for index in range(2 * MAX_STRIPES):
        story.take(b"Stripe Index: %d\nStripe Bytes Transferred: 1\n" % index)
    assert len(story.stripes) == MAX_STRIPES
    for _ in range(1000):
        story.take(b"failure: " + b"x" * 1000 + b"\n")
    assert len(story.failure) < 1000


# == What the verdict means =============================================================================

PULL = Ends("https://b:1/x/a%20b", "https://a:2/y/a%20b", is_pull=True)
PUSH = Ends("https://a:2/y/a%20b", "https://b:1/x/a%20b", is_pull=False)
SAID = 'Remote side failed with status code {}; error message: "Unable to open /scratch/f; permission denied "'
FAILURES = [
    (PULL, "rejected GET: 401 login failed", FileError, True, "x/a b: a:2 does not accept the key that b:1"),
    (PULL, SAID.format(403), Forbidden, False, "a:2 refuses what b:1 asks for"),
    (PUSH, "rejected PUT: 403 Permission denied", Forbidden, False, "b:1 refuses what a:2 asks for"),
    (PULL, "rejected GET: 404 Not Found", NotFound, False, "a:2 does not find the file"),
    (PUSH, "status code: 409, reason phrase: Conflict", NotFound, False, "https://b:1/x/a b: the folder for it"),
    (PUSH, "rejected PUT: 412 Precondition Failed", Exists, False, "https://b:1/x/a b: there is something"),
    (PULL, "status code: 415, reason phrase: x", OnTape, False, "https://a:2/y/a b: is on tape only"),
    (PUSH, "rejected PUT: 413", FileError, False, "takes no file of this size"),
    (PUSH, "rejected PUT: 507 Insufficient Storage", Full, False, "https://b:1/x/a b: the door has no room"),
    (PULL, "rejected GET: 500 Internal problem", DoorError, True, "a:2 fails, or does not know the key"),
    (PULL, "Remote side failed with status code 503", DoorError, True, "a:2 fails, says b:1"),
    (PULL, "Couldn't connect to server", DoorError, True, "b:1 cannot reach a:2"),
    (PULL, "Connect to a:2 [a/127.0.0.1] failed: Connection refused", DoorError, True, "b:1 cannot reach a:2"),
    (PULL, "ConnectionRefusedError: [Errno 111] Connection refused", DoorError, True, "b:1 cannot reach a:2"),
    (PULL, "java.net.UnknownHostException: a: Name or service not known", DoorError, True, "b:1 cannot reach a:2"),
    (PULL, "SSL peer certificate or SSH remote key was not OK", DoorError, False, "not accept the certificate of a:2"),
    (PULL, "PKIX path building failed", DoorError, False, "b:1 does not accept the certificate of a:2"),
    (PULL, "checksum verification failed: 1 != 2", Mismatch, True, "what has come is not what a:2 has"),
    (PULL, "No space left on device", Full, False, "https://b:1/x/a b: the door has no room"),
    (PUSH, "No space left on device", Full, False, "https://b:1/x/a b: the door has no room"),
    (PULL, "client went away", FileError, True, "b:1 has not copied it from door to door (client went away)"),
    (PULL, "the other end has sent 404 bytes of 500", FileError, True, "the line between b:1 and a:2 broke off"),
    (PULL, "Transferred a partial file", FileError, True, "the line between b:1 and a:2 broke off"),
    (PULL, "Operation timed out after 60000 milliseconds with 5 out of 9 bytes", FileError, True, "or stands still"),
    (PULL, "Connection timed out after 60000 milliseconds", DoorError, True, "b:1 cannot reach a:2"),
    (PULL, "ConnectionResetError: [Errno 104] Connection reset by peer", FileError, True, "between b:1 and a:2"),
]  # fmt: skip


@pytest.mark.parametrize(("ends", "said", "kind", "passing", "words"), FAILURES)
def test_a_failure_says_which_door_said_no_and_what_to_do(ends, said, kind, passing, words):
    error = ends.failure(said)
    assert (type(error), error.passing) == (kind, passing)
    assert words in str(error)
    assert str(error).count("\n") == 0


def test_no_sentence_repeats_a_key_or_a_page():
    key = "MDAxOGxvY2F0aW9uIHNlY3JldCBvZiBhbGwgc2VjcmV0cw"
    secrets.note(key)
    assert "c2VjcmV0" not in str(PULL.failure(f"rejected GET: 401 {key} is no good"))
    assert "<" not in str(PULL.failure("<html><body>Gateway\n\n<b>fails</b></body></html>"))
    assert len(str(PULL.failure("x" * 100_000))) < 1000
    assert "no reason" in str(PULL.failure(""))


# == Marks that say the same for ever ===================================================================


def paced(said: list[str], min_rate: int = 100) -> str:
    """What ends a copy that says this, a mark every ten seconds."""
    pace, story = Pace(Site("B", "https://b", min_rate=min_rate), 1_000_000, 0.0), Told()
    for count, text in enumerate(said):
        story.take(text.encode())
        try:
            pace.check(story, 10.0 * count)
        except TimeoutError as error:
            return str(error)
    return ""


def test_a_copy_of_which_nothing_moves_has_an_end():
    same = [XROOTD.format(5)] * 50
    assert (paced(same), paced(same, min_rate=0), paced(same[:10])) == ("too slow", "", "")
    assert paced([XROOTD.format(at) for at in range(1, 50)]) == "too slow"
    assert paced([XROOTD.format(at * 1000) for at in range(1, 50)]) == ""
    assert (paced([XROOTD.format(0)] * 50), paced([XROOTD.format(0)] * 30)) == ("timed out", "")
    assert paced([DCACHE.format(0).replace("Mover running", "Requesting mover")] * 100) == ""
    assert paced([DCACHE.format(0).replace("Mover running", "Requesting mover")] * 800) == "timed out"
    for said in ("Perf Marker\n    Timestamp: 1\nEnd\n", "success: Created\n", "failure: no\n", "\n"):
        assert (paced([said] * 50), paced([said] * 30)) == ("timed out", ""), said
    whole = [XROOTD.format(1_000_000)]  # it is all there, and looked at
    assert [paced(whole * count, rate) for count in (300, 500) for rate in (0, 100)] == ["", "", *["timed out"] * 2]


@pytest.mark.parametrize("said", [b"Perf Marker\nTimestamp: 1\nEnd\n", b"success: Created\n", b"failure: no\n"])
def test_a_door_that_goes_on_without_a_word_of_bytes_is_given_up(said):
    site = Site("B", "https://b")
    pace, told = Pace(site, 1_000_000, 0.0), Told()
    told.take(said)
    pace.check(told, 1.0)
    told.take(b"\n")
    with pytest.raises(TimeoutError):
        pace.check(told, site.first_byte + 2.0)
