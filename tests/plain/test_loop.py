"""Where a run waits: what it hears of its calls, and when these are made again."""

from __future__ import annotations

import random
import signal
import threading
from collections.abc import Iterable, Iterator
from typing import Any

import pytest

from gridsync_parts.doors import LISTINGS
from gridsync_parts.errors import CredentialError, DoorError, FileError, GridError, OutOfTime, TooFast
from gridsync_parts.loop import NEWS, WIDTHS, WONDER, Answer, Came, Event, Loop, Said, Slow, make
from gridsync_parts.pace import PACE
from gridsync_parts.pool import Pool
from tests.support.clock import Clock, Hands

SOON = 5  # seconds after which what should happen at once never will


@pytest.fixture(autouse=True)
def longest(monkeypatch: pytest.MonkeyPatch) -> None:
    """All pauses are as long as they may be."""
    monkeypatch.setattr(random, "uniform", max)


class Waiting:
    """A loop that waits by a clock of the test's own, and what it has said so far."""

    def __init__(self, retries: int = 4):
        self.clock = Clock()
        self.hands = Hands(self.clock)
        self.loop = Loop(retries, PACE, self.hands, self.clock)
        self.began = self.clock()
        self.said: list[tuple[float, Event]] = []  # when, and what

    def ask(self, verb: Any, *arguments: Any, about: Any = None, lane: str = "site") -> None:
        self.loop.ask(lane, about, verb, *arguments)

    def go(self, seconds: float = 10_000) -> list[Answer]:
        """Wait for all answers, or so long; the answers."""
        ends = self.clock() + seconds
        while any(map(self.loop.pending, WIDTHS)) and self.clock() < ends:
            self.said += [(self.clock() - self.began, event) for event in self.loop.round()]
        return [event for _, event in self.said if isinstance(event, Answer)]

    def told(self, kind: type) -> list[tuple[float, Any]]:
        """What it has said of one kind, and after how many seconds."""
        return [(round(when, 1), event) for when, event in self.said if isinstance(event, kind)]


@pytest.fixture
def waiting() -> Waiting:
    return Waiting()


class Verb:
    """A call that fails with some errors, one after the other, then succeeds; and when it was made."""

    def __init__(self, clock: Clock, errors: Iterable[BaseException]):
        self.clock = clock
        self.errors = iter(errors)
        self.began = clock()
        self.times: list[float] = []

    def __call__(self, *arguments: Any) -> tuple[Any, ...]:
        self.times.append(round(self.clock() - self.began, 1))
        for error in self.errors:
            raise error
        return arguments


def passing(kind: type[GridError] = FileError, pause: float = 0, text: str = "a: busy") -> GridError:
    """An error that may pass."""
    return kind(text, passing=True, pause=pause)


# Answers.


def test_an_answer_is_an_event_that_says_what_it_is_about(waiting):
    waiting.ask(lambda *arguments: arguments, "a", 1, about="this")
    assert waiting.loop.pending("site") == 1
    assert waiting.go() == [Answer("this", ("a", 1))]
    assert waiting.loop.pending("site") == 0


def test_so_is_an_error_of_ours(waiting):
    error = DoorError("shut")
    waiting.ask(Verb(waiting.clock, [error]), about="this")
    assert waiting.go() == [Answer("this", None, error)]


@pytest.mark.parametrize("failure", [ValueError("ours"), KeyboardInterrupt(), MemoryError()])
def test_what_is_no_error_of_ours_is_raised(failure):
    loop = Loop(4, PACE, Pool())
    loop.ask("site", None, Verb(Clock(), [failure]))
    with pytest.raises(type(failure)):
        while True:
            loop.round()
    loop.pool.close()


def test_what_others_have_opened_comes_as_it_is(waiting):
    waiting.hands.open("files", str, 2)
    waiting.hands.add("files", 1)
    assert waiting.loop.round() == [Came("files", ["1"])]


def test_a_site_gets_one_call_at_a_time_but_for_its_folders(waiting):
    for lane in ("site", "folders"):
        waiting.ask(str, lane=lane)
    assert waiting.hands.widths == {"site": 1, "folders": LISTINGS}


@pytest.fixture
def loop() -> Iterator[Loop]:
    """One with threads."""
    loop = Loop(4, PACE, Pool())
    yield loop
    loop.pool.close()


def test_folders_are_listed_at_once(loop):
    together = threading.Barrier(3, timeout=SOON)
    for name in "abc":
        loop.ask("folders", name, together.wait)
    answers: list[Event] = []
    while len(answers) < 3:
        answers += loop.round(SOON)
    assert sorted(answer.value for answer in answers) == [0, 1, 2]


def test_the_screen_lives_on_while_a_call_lasts(loop):
    go = threading.Event()
    loop.ask("site", "this", lambda: go.wait(SOON) and threading.current_thread())
    assert loop.round(0.001) == loop.round(0.001) == []
    go.set()
    (answer,) = loop.round(SOON)
    assert answer.value is not threading.current_thread()


@pytest.mark.parametrize("errors", [[], [FileError("never")], [passing(pause=60)]])
@pytest.mark.parametrize("lane", ["site", "folders"])
def test_an_interrupted_call_leaves_its_answer_to_nobody(waiting, errors, lane):
    waiting.ask(Verb(waiting.clock, errors), about="interrupted", lane=lane)
    waiting.loop.forget()
    waiting.ask(str, 1, about="mine")
    assert waiting.go() == [Answer("mine", "1")] and not waiting.told(Said)


def test_nor_is_one_that_rests_made_again(waiting):
    verb = Verb(waiting.clock, [passing(pause=60)])
    waiting.ask(verb)
    waiting.loop.round()
    waiting.loop.forget()
    assert waiting.loop.pending("site") == 0 and waiting.go(100) == [] and len(verb.times) == 1


def result(loop: Loop, verb: Any, *arguments: Any) -> tuple[Any, list[str]]:
    """What a call gives, and what is told meanwhile."""
    told: list[str] = []
    return loop.result(verb, *arguments, note=told.append, note_slow=lambda: told.append("slow")), told


def test_one_who_has_nothing_else_to_do_gets_what_a_call_gives(waiting):
    assert result(waiting.loop, Verb(waiting.clock, [passing(pause=7)]), "a") == (
        ("a",), ["Waiting 0m07s before the next attempt: a: busy"],
    )  # fmt: skip
    waiting.loop.pace = PACE._replace(slow=3)
    assert result(waiting.loop, Verb(waiting.clock, [passing(pause=4)]), 1) == ((1,), ["slow"])
    with pytest.raises(FileError, match="never"):
        result(waiting.loop, Verb(waiting.clock, [FileError("never")]))


def test_and_not_what_another_one_gives(waiting):
    for lane in ("site", "folders"):
        waiting.ask(str, 2, about="before", lane=lane)
    assert result(waiting.loop, str, 1) == ("1", [])


def test_when_it_is_interrupted_the_next_one_gets_its_own(loop):
    go, answers = threading.Event(), iter(["late", "mine"])

    def verb() -> str:
        go.wait(SOON)
        return next(answers)

    before = signal.signal(signal.SIGALRM, signal.default_int_handler)
    signal.setitimer(signal.ITIMER_REAL, 0.02)
    try:
        with pytest.raises(KeyboardInterrupt):
            result(loop, verb)
    finally:
        signal.signal(signal.SIGALRM, before)
        go.set()
    assert result(loop, verb) == ("mine", [])


# Calls that are made again.


@pytest.mark.parametrize(
    ("errors", "retries", "times"),
    [
        ([], 4, [0]),
        ([passing()], 4, [0, 0]),
        ([passing()] * 9, 9, [0, 0, 2, 6, 14, 30, 62, 122, 182, 242]),
        ([passing(pause=7)] * 3, 4, [0, 7, 14, 21]),
        ([passing(TooFast)] * 3, 0, [0, 0, 0, 0]),
    ],
)
@pytest.mark.parametrize("lane", ["site", "folders"])
def test_a_call_is_made_again_after_the_right_pauses(errors, retries, times, lane):
    waiting = Waiting(retries)
    verb = Verb(waiting.clock, errors)
    waiting.ask(verb, "a", about="this", lane=lane)
    assert waiting.go() == [Answer("this", ("a",))]
    assert verb.times == times


@pytest.mark.parametrize(
    ("errors", "retries", "calls"),
    [
        ([FileError("never")], 4, 1),
        ([passing(), FileError("never")], 4, 2),
        ([passing()] * 5, 4, 5),
        ([passing()], 0, 1),
        ([passing(CredentialError)] * 2, 4, 2),
    ],
)
def test_the_last_error_is_the_answer(errors, retries, calls):
    waiting = Waiting(retries)
    verb = Verb(waiting.clock, errors)
    waiting.ask(verb)
    assert waiting.go() == [Answer(None, None, errors[-1])]
    assert len(verb.times) == calls


def test_what_rests_is_still_to_be_answered_and_blocks_no_other(waiting):
    waiting.ask(Verb(waiting.clock, [passing(pause=60)]), about="first")
    waiting.ask(str, 1, about="second")
    assert waiting.loop.round() == [Said("Waiting 1m00s before the next attempt: a: busy"), Answer("second", "1")]
    assert waiting.loop.pending("site") == 1 and waiting.loop.pending("folders") == 0
    waiting.ask(str, 2, about="third")
    assert waiting.loop.pending("site") == 2
    assert waiting.loop.round() == [Answer("third", "2")]
    assert waiting.go() == [Answer("first", ())] and waiting.clock() - waiting.began == pytest.approx(60)


def test_it_waits_no_longer_than_until_a_call_is_due(waiting):
    waiting.ask(Verb(waiting.clock, [passing(pause=7)]))
    waiting.loop.round()
    assert waiting.loop.round(1000) == [] and waiting.clock() == waiting.began + 7
    assert waiting.loop.round(1000) == [Answer(None, ())]


def test_those_that_are_due_together_come_in_their_order(waiting):
    for number in range(5):
        waiting.ask(Verb(waiting.clock, [passing(pause=7)]), about=number)
    assert [answer.about for answer in waiting.go()] == [0, 1, 2, 3, 4]


def test_what_is_kept_of_a_failure_keeps_nothing_that_was_read(waiting):
    error = passing()
    waiting.ask(Verb(waiting.clock, [error]))
    waiting.loop.round()
    assert error.__traceback__ is None


def test_an_error_of_the_machine_is_not_made_an_answer(waiting):
    waiting.ask(Verb(waiting.clock, [OSError()]))
    with pytest.raises(OSError):
        make(waiting.hands.todo[0][1])


# What is told meanwhile.


@pytest.mark.parametrize(
    ("pause", "said"),
    [
        (0, []),
        (WONDER - 0.1, []),
        (WONDER, ["Waiting 0m05s before the next attempt: a: busy"]),
        (61.5, ["Waiting 1m02s before the next attempt: a: busy"]),  # no less than it takes
    ],
)
def test_a_long_pause_is_told_as_it_begins(waiting, pause, said):
    waiting.ask(Verb(waiting.clock, [passing(pause=pause)]))
    waiting.go()
    assert waiting.told(Said) == [(0, Said(sentence)) for sentence in said]


def test_what_a_pause_is_for_is_told_once_and_another_one_after_a_while(waiting):
    said = []
    for moment, count in {0: 1, 1: 0, NEWS - 1: 0, NEWS: 1, NEWS + 1: 0}.items():
        waiting.clock.now = waiting.began + moment
        waiting.ask(Verb(waiting.clock, [passing(pause=100, text=f"{moment}: busy")]))
        said += [event for event in waiting.loop.round() if isinstance(event, Said)]
        assert len(said) == count, moment
        said.clear()


def test_a_site_that_does_not_answer_is_slow_once(waiting):
    waiting.hands.held.add("site")
    waiting.ask(str)
    waiting.go(100)
    assert waiting.told(Slow) == [(pytest.approx(PACE.slow, abs=0.2), Slow())]
    waiting.hands.held.clear()
    waiting.go()
    waiting.said.clear()
    waiting.hands.held.add("site")
    waiting.ask(str)  # and the next one
    waiting.go(100)
    assert len(waiting.told(Slow)) == 1


def test_what_else_it_is_asked_meanwhile_makes_it_no_faster(waiting):
    waiting.hands.held.add("folders")
    waiting.ask(str, lane="folders")
    waiting.go(15)
    waiting.ask(str, lane="folders")
    waiting.go(100)
    assert waiting.told(Slow) == [(pytest.approx(PACE.slow, abs=0.2), Slow())]


def test_one_that_answers_in_time_is_not(waiting):
    waiting.ask(str)
    waiting.go()
    for _ in range(1000):
        waiting.said += [(0, event) for event in waiting.loop.round()]
    assert not waiting.told(Slow)


def test_nor_is_one_for_which_a_pause_was_told(waiting):
    waiting.ask(Verb(waiting.clock, [passing(pause=60)]))
    waiting.go()
    assert waiting.told(Said) and not waiting.told(Slow)


def test_many_answers_one_after_the_other_are_not_slow(waiting):
    for _ in range(10):
        waiting.ask(waiting.clock.wait, 15)
        waiting.go()
    assert not waiting.told(Slow)


def test_a_run_waits_no_longer_than_it_may(waiting):
    waiting.hands.held.add("site")  # whose call hangs
    waiting.loop.ends = waiting.began + 60
    waiting.ask(Verb(waiting.clock, []))
    with pytest.raises(OutOfTime, match="the time that --max_duration gives is over"):
        waiting.go()
    assert waiting.clock() - waiting.began == pytest.approx(60, abs=1)
    with pytest.raises(OutOfTime):
        waiting.loop.result(Verb(waiting.clock, []), note=pytest.fail, note_slow=pytest.fail)
