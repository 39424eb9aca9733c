"""What doors hand over: listings, names of requests, sentences."""

from __future__ import annotations

import pytest

from gridsync_parts.doors import ODDITIES, Listing, is_request, resized_error
from gridsync_parts.errors import DoorError, FileError


def test_what_can_not_be_right_is_apart_from_what_is_there():
    found = Listing()
    found.leave_out("run/a", "https://door/run", "no")
    assert found == [] and str(found.odd["run/a"]) == "https://door/run: no; it is left out, ask the site"
    assert type(found.odd["run/a"]) is FileError


def test_with_very_much_of_it_all_of_a_listing_makes_no_sense():
    found = Listing()
    for number in range(ODDITIES):
        found.leave_out(str(number), "run", "no")
    with pytest.raises(DoorError, match="run: the door's listing makes no sense: no, and so on") as caught:
        found.leave_out("more", "run", "no")
    assert caught.value.passing


@pytest.mark.parametrize(
    ("name", "is_one"),
    [("r1", True), ("0b1c-4f", True), ("a" * 200, True), ("a" * 201, False), ("", False), ("-r", False), ("a b", False),
     ("a\nb", False), ("ä1", True), ("aä", False), ("eyJhbGciOiJSUzI1NiJ9.eyJz", False)],
)  # fmt: skip
def test_what_may_be_the_name_of_a_request(name, is_one):
    assert is_request(name) is is_one


def test_another_size_is_a_matter_of_the_list():
    error = resized_error("run/a", "more", 3)
    assert str(error) == "run/a: has more bytes now, but 3 in the catalog; run --build_list again"
    assert not resized_error("run/a", 4, 3).passing
