"""How often a repository is asked, by a clock of the tests' own, and how much it is sent at once."""

from __future__ import annotations

import threading
import time

import pytest

from gridsync_parts.doors.budget import FAILING, PRUDENCE, REST, Budget, Load
from gridsync_parts.errors import FileError
from tests.support.user import wait_until


class Timed(Budget):
    """A budget whose waits pass at once."""

    def __init__(self, per_minute: int, per_hour: int):
        self.now, self.waits = 1000.0, 0
        super().__init__(per_minute, per_hour, lambda: self.now)

    def pause(self, since: int, seconds: float | None = None) -> None:
        assert seconds is not None, "it would wait for another thread"
        self.waits += 1
        self.now += seconds

    def times(self, count: int, each: float = 0.0) -> list[float]:
        """When so many requests go, each of which takes so long, and all is well."""
        found = []
        for _ in range(count):
            self.go()
            found.append(self.now)
            self.now += each
            self.note(True)
        return found


def most_within(times: list[float], seconds: float) -> int:
    """The requests of the fullest span."""
    return max(sum(start <= when <= start + seconds for when in times) for start in times)


@pytest.mark.slow
@pytest.mark.parametrize("each", [0.0, 0.01, 0.5, 7.0])
def test_no_minute_and_no_hour_has_more_requests_than_it_may(each):
    times = Timed(50, 300).times(1000, each)
    assert most_within(times, 60) <= 50 and most_within(times, 3600) <= 300


def test_the_limits_are_used_up_to_the_last_request():
    budget = Timed(50, 0)
    times = budget.times(150)
    assert most_within(times, 60) == 50 and times[-1] - times[0] == pytest.approx(2 * (60 + PRUDENCE))
    assert Timed(50, 0).times(50)[-1] == 1000


@pytest.mark.parametrize(("per_minute", "per_hour", "rest"), [(0, 100, 3600), (100, 0, 60)])
def test_0_is_no_limit(per_minute, per_hour, rest):
    assert Timed(0, 0).times(20_000)[-1] == 1000
    assert Timed(per_minute, per_hour).times(101)[-1] == 1000 + rest + PRUDENCE


def test_threads_together_keep_to_it():
    budget, gone, lock = Budget(20, 0), [], threading.Lock()

    def ask() -> None:
        try:
            while True:
                budget.go()
                with lock:
                    gone.append(time.monotonic())
        except FileError:
            pass

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    wait_until(lambda: len(gone) >= 20)
    budget.close()
    for thread in threads:
        thread.join(30)
    assert len(gone) == 20 and not any(thread.is_alive() for thread in threads)


@pytest.mark.parametrize("is_time", [False, True])
def test_what_the_server_says_of_its_budget_is_heeded(is_time):
    budget, reset = Timed(0, 0), str(int(time.time()) + 30 if is_time else 30)
    budget.go()
    budget.heed("2", reset)
    budget.note(True)
    budget.times(2)
    assert budget.now == 1000
    budget.go()
    assert 1000 < budget.now <= 1031 if is_time else budget.now == 1030
    before = budget.now
    budget.times(100)
    assert budget.now == before


def test_those_on_their_way_count_as_well():
    budget = Timed(0, 0)
    for _ in range(3):
        budget.go()
    budget.heed("4", "30")  # two of which may be for the two others
    budget.note(True)
    budget.heed("5", "30")  # an answer that was late
    budget.note(True)
    budget.times(2)
    assert budget.now == 1000
    budget.go()
    assert budget.now == 1030


@pytest.mark.parametrize(("remaining", "reset"), [("", ""), ("0", ""), ("0", "soon"), ("x", "30"), ("0", "-5")])
def test_what_makes_no_sense_is_not_heeded(remaining, reset):
    budget = Timed(0, 0)
    budget.go()
    budget.heed(remaining, reset)
    budget.go()
    assert budget.now == 1000


def test_nobody_waits_longer_than_an_hour_for_what_a_server_says():
    budget = Timed(0, 0)
    budget.go()
    budget.heed("0", "999999")
    budget.go()
    assert budget.now == 1000 + 3600


# One that fails.


def fail(budget: Timed, count: int, each: float = 0.1) -> None:
    for _ in range(count):
        budget.go()
        budget.now += each
        budget.note(False)


def test_one_that_fails_often_is_left_alone_for_a_minute_and_then_one_goes_ahead():
    budget = Timed(0, 0)
    fail(budget, FAILING - 1)
    before = budget.now
    budget.go()
    assert budget.now == before
    budget.note(False)
    budget.go()
    assert budget.now == before + REST
    with pytest.raises(AssertionError, match="another thread"):
        budget.go()
    budget.note(False)
    budget.go()
    assert budget.now == before + 2 * REST
    budget.note(True)
    budget.times(100)
    assert budget.now == before + 2 * REST


@pytest.mark.parametrize(("well", "is_left"), [(FAILING, True), (FAILING + 1, False)])
def test_half_of_all_must_have_failed(well, is_left):
    budget = Timed(0, 0)
    budget.times(well)
    fail(budget, FAILING, 0.0)
    budget.go()
    assert (budget.now > 1000) is is_left


def test_failures_of_another_minute_do_not_count():
    budget = Timed(0, 0)
    fail(budget, 5 * FAILING, 60 / FAILING + 0.3)
    budget.go()
    assert budget.now == pytest.approx(1000 + 5 * FAILING * (60 / FAILING + 0.3)) and not budget.is_resting


# How much at once.


def test_no_more_is_sent_at_once_than_it_may_weigh_and_nobody_is_passed_by():
    load, at_once, most, order, lock = Load(10), [0], [0], [], threading.Lock()

    def send(name: int, weight: int) -> None:
        with load.hold(weight):
            with lock:
                order.append(name)
                at_once[0] += weight
                most[0] = max(most[0], at_once[0])
            time.sleep(0.01)
            with lock:
                at_once[0] -= weight

    threads = []
    with load.hold(10):
        for name in range(30):
            threads.append(threading.Thread(target=send, args=[name, 5 if name % 3 == 0 else 1]))
            threads[-1].start()
            wait_until(lambda: len(load.queue) == len(threads))
    for thread in threads:
        thread.join(30)
    assert most[0] <= 10 and sorted(order) == list(range(30)) and load.left == 10
    assert all(abs(name - at) < 10 for at, name in enumerate(order))


def test_who_waits_for_a_part_of_it_is_woken():
    load, woken = Load(5), []

    def send() -> None:
        with pytest.raises(FileError, match="interrupted"), load.hold(1):
            pass
        woken.append(True)

    with load.hold(5):
        thread = threading.Thread(target=send)
        thread.start()
        wait_until(lambda: load.queue)
        load.close()
        thread.join(30)
    assert woken
    with load.hold(5):  # it may be used again
        pass
