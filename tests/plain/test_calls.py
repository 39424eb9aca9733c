"""What is taken of what workers send: nothing that is of another kind than what they were asked for."""

from __future__ import annotations

import pickle
from typing import Any

import pytest

from gridsync_parts.farm.calls import NOBODY, Worker, back_in, beat_in, greeted
from gridsync_parts.farm.loads import Beat, Greeting, Returned

WORKER, GREETING = Worker("machine", 7, "1"), Greeting("host", "machine", 7)


def test_what_workers_say_is_taken_as_it_is():
    assert greeted(pickle.dumps((WORKER, GREETING))) == (WORKER, GREETING)
    assert back_in(pickle.dumps(Returned(3, ()))) == Returned(3, ()) and back_in(NOBODY) is None
    beat = Beat({"run/a": (1, 2)})
    assert beat_in(pickle.dumps(("tls://one:1", beat))) == ("tls://one:1", beat)


@pytest.mark.parametrize(
    ("read", "said"),
    [
        (greeted, None),
        (greeted, (WORKER, None)),
        (greeted, (WORKER, GREETING, 1)),
        (back_in, "nothing"),
        (back_in, (3, ())),
        (beat_in, Beat({})),
        (beat_in, ("tls://one:1", Beat({"run/a": "12"}))),  # type: ignore[dict-item]
        (beat_in, ("tls://one:1", Beat({"run/a": (1.5, 2)}))),  # type: ignore[dict-item]
    ],
)
def test_what_is_of_another_kind_is_refused(read: Any, said: object):
    with pytest.raises(TypeError):
        read(pickle.dumps(said))
