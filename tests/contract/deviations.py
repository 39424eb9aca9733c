"""Where a Place breaks a promise of the contract, and why that is borne; docs/doors.md is made from this list, too."""

from __future__ import annotations

from typing import NamedTuple


class Deviation(NamedTuple):
    """A test that fails at some Places, as it must."""

    places: str  # a pattern of their names
    test: str
    who: str  # they are, for people
    reason: str


DEVIATIONS = (
    Deviation(
        "(http|gfal2) xrootd", r"test_what_is_not_there_is_not_found\[.*file\]",
        "XRootD over https", "answers 500, as if it had failed, where a path leads through a file",
    ),
    Deviation(
        "(http|gfal2) xrootd", "test_a_name_that_nobody_has_is_a_matter_of_that_file",
        "XRootD over https", "answers 500 as well where a name is longer than 255 bytes",
    ),
    Deviation(
        "gfal2 (dcache|storm).*", "test_it_is_said_where_files_are_and_of_what_is_not_there_nothing",
        "gfal2 where there is tape", "says of a file that is gone that nobody knows where it is",
    ),
    Deviation(
        ".* storm.*", "test_a_pin_that_is_given_back_is_gone",
        "StoRM", "accepts a release and keeps the pin until its time is over",
    ),
    Deviation(
        r"\('http (dcache|storm).*', 'http (xrootd|second)'\)", "test_what_is_not_there_is_not_fetched",
        "XRootD as the source of a copy from door to door", "answers 500 for a file that is gone, as if it had failed",
    ),
)  # fmt: skip
