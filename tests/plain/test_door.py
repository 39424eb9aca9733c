"""When a door gives nothing at all, which ends a run that copies."""

from __future__ import annotations

import pytest

from gridsync_parts.endings import REFUSED, Door
from gridsync_parts.errors import DoorError, FileError, Forbidden, GridError, Unreached
from gridsync_parts.values import Locality, Outcome, Row


def row_of(name: object) -> Row:
    return Row(f"run/{name}", 10, 0, "", Locality.ONLINE, False, "", "", "LYON", "")


def failed(name: object, fault: GridError) -> Outcome:
    """A file that did not come."""
    return Outcome(row_of(name), "failed", fault=fault)


def copied(name: object, received: int = 10) -> Outcome:
    """A file that did."""
    return Outcome(row_of(name), "copied", received)


def is_shut(door: Door) -> bool:
    """Whether it ends the run."""
    try:
        door.check()
    except DoorError:
        return True
    return False


# It refuses file after file.


@pytest.mark.parametrize(
    ("errors", "given", "ends"),
    [
        ([Forbidden("no")] * REFUSED, False, True),
        ([Forbidden("no")] * (REFUSED - 1), False, False),
        ([Forbidden("no")] * REFUSED, True, False),  # it has given something before
        ([FileError("odd")] * REFUSED, False, False),
    ],
)
def test_a_door_that_refuses_file_after_file_is_shut(errors, given, ends):
    door = Door()
    assert not given or door.judge(copied("a")) == [copied("a")]
    for number, error in enumerate(errors):
        assert not is_shut(door)
        door.judge(failed(number, error))
    if ends:
        with pytest.raises(DoorError, match=f"^the door refused the first {REFUSED} files and delivered none: no$"):
            door.check()
    assert is_shut(door) is ends


def test_nothing_is_told_of_those_that_it_refuses_while_it_may_be_so_with_all():
    door = Door()
    refused = [failed(number, Forbidden("no")) for number in range(3)]
    assert [door.judge(outcome) for outcome in refused] == [[], [], []] and door.tell(is_last=False) == []
    assert door.judge(failed("odd", FileError("odd")))  # this is no refusal
    assert door.tell(is_last=True) == refused and door.tell(is_last=True) == []


@pytest.mark.parametrize("by", ["a file that is here", "a file on its way"])
def test_it_is_told_as_soon_as_the_door_has_given_something(by):
    door = Door()
    refused = failed("a", Forbidden("no"))
    door.judge(refused)
    door.see({"run/b": 0})
    assert door.tell(is_last=False) == []
    if by == "a file on its way":
        door.see({"run/b": 0, "run/c": 1})
    else:
        door.judge(copied("c"))
    assert door.tell(is_last=False) == [refused]
    assert door.judge(refused) == [refused]  # and from then on at once


def test_a_file_that_came_without_bytes_says_nothing_of_the_door():
    door = Door()
    door.judge(copied("empty", received=0))
    door.judge(failed("a", Forbidden("no")))
    assert door.tell(is_last=False) == []


def test_those_of_a_door_that_is_shut_are_not_told():
    door = Door()
    for number in range(REFUSED):
        door.judge(failed(number, Forbidden("no")))
    assert door.tell(is_last=True) == [] and is_shut(door)


def test_a_door_that_gives_something_meanwhile_is_open():
    door = Door()
    for number in range(REFUSED - 1):
        door.judge(failed(number, Forbidden("no")))
    door.see({"run/a": 1})
    door.judge(failed("last", Forbidden("no")))
    assert not is_shut(door) and len(door.tell(is_last=False)) == REFUSED - 1


def test_one_file_that_is_refused_again_and_again_is_no_shut_door():
    """It is tried again only when it was told of."""
    door = Door()
    for _ in range(2 * REFUSED):
        assert door.judge(failed("a", Forbidden("no"))) == [] and not is_shut(door)
        assert len(door.tell(is_last=True)) == 1


# It fails with file after file.


@pytest.mark.parametrize(
    ("kinds", "ends"),
    [
        ("dd", False),
        ("ddd", True),
        ("uuu", True),
        ("ddcd", False),  # a file that came in between
        ("ddfd", False),  # or failed for a reason of its own
        ("ddsd", True),  # one that was not begun says nothing
        ("ddhd", True),
        ("fff", False),
        ("cddd", True),
        ("dddc", False),  # it gives something after all
    ],
)
def test_a_door_that_fails_again_and_again_ends_a_run(kinds, ends):
    door = Door()
    door.enough = 3
    faults = {"d": DoorError("down"), "u": Unreached("away"), "f": FileError("odd")}
    others = {"c": copied("c"), "s": Outcome(row_of("s"), "stale"), "h": Outcome(row_of("h"), "held")}
    for kind in kinds:
        door.judge(others[kind] if kind in others else failed(kind, faults[kind]))
    assert is_shut(door) is ends
    if ends:
        with pytest.raises(DoorError, match=r"^(down|away)$"):
            door.check()


def test_a_run_that_goes_on_waits_for_the_door():
    door = Door()
    for number in range(1000):
        door.judge(failed(number, DoorError("down")))
    assert not is_shut(door)
