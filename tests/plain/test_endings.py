"""How signals end a run: not in the middle of what is being noted, and not while its end is noted."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator

import pytest

import gridsync
from gridsync_parts.endings import Heed
from gridsync_parts.pool import ENDS
from tests.support.clock import Clock


@pytest.fixture(autouse=True)
def heard() -> Iterator[None]:
    """All signals that end a run do so, as the program has it."""
    before = [(number, signal.signal(number, signal.default_int_handler)) for number in ENDS]
    yield
    for number, handler in before:
        signal.signal(number, handler)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr("time.monotonic", clock)
    return clock


def call(number: int) -> None:
    """Have a signal come, now."""
    os.kill(os.getpid(), number)


@pytest.mark.parametrize("number", ENDS)
def test_what_is_being_noted_is_not_cut_by_a_signal(number):
    woken: list[bool] = []
    noted = []
    with pytest.raises(KeyboardInterrupt), Heed(lambda: woken.append(True)) as heed:
        heed.check()
        call(number)
        noted.append("what came")
        heed.check()
        noted.append("more")
    assert (noted, woken) == (["what came"], [True])
    assert signal.getsignal(number) is signal.default_int_handler


def test_two_signals_at_once_are_one(clock):
    """A terminal that is closed sends two, and so do programs that run others."""
    noted = []
    with pytest.raises(KeyboardInterrupt), Heed(list) as heed:
        call(signal.SIGINT)
        call(signal.SIGHUP)
        noted.append("what came")
        heed.check()
    assert noted == ["what came"]


def test_who_says_it_again_later_is_heard_at_once(clock):
    with Heed(list) as heed:
        call(signal.SIGINT)
        clock.now += 1.1
        with pytest.raises(KeyboardInterrupt):
            call(signal.SIGINT)
        heed.until = float("inf")


def test_what_comes_of_the_end_is_noted_however_often_somebody_calls(clock):
    with pytest.raises(ValueError, match="ends"), Heed(list) as heed:
        heed.close()
        for _ in range(3):
            clock.now += 9
            call(signal.SIGTERM)
        raise ValueError("it ends so")


def test_a_signal_in_the_last_moment_ends_what_would_come_next():
    with pytest.raises(KeyboardInterrupt), Heed(list):
        call(signal.SIGINT)


def test_what_somebody_wants_to_be_ignored_is(heard):
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    with Heed(list):
        call(signal.SIGHUP)
    assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN


def test_who_says_it_again_before_the_first_word_hears_that_word_all_the_same(monkeypatch, capsys):
    signals = iter([signal.SIGINT])  # comes while they are still heard

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("gridsync.run_commands", interrupt)
    monkeypatch.setattr("gridsync.hear_no_more", lambda: [interrupt() for _ in signals])
    assert gridsync.main(["--show_conf"]) == 130
    _, _, said = capsys.readouterr().err.partition(": ")
    assert said == "interrupted; what is done is kept, and the same command goes on from here\n"
