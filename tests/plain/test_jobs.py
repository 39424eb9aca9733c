"""The files still to come: each in one place, with all that is counted of them."""

from __future__ import annotations

import random

import pytest

from gridsync_parts.jobs import Job, Jobs, Where
from gridsync_parts.values import Locality, Row

ROW = Row("", 10, 1000, "", Locality.NEARLINE, False, "", "", "LYON", "")
PLACES = [*Where, None]


def row_of(path: str, size: int = 10, request: str = "") -> Row:
    return ROW._replace(path=path, size=size, request=request)


def check(jobs: Jobs) -> None:
    """All that is counted is what there is."""
    there = {where: list(jobs.at(where)) for where in Where}
    placed = [job for some in there.values() for job in some]
    assert len(placed) == len({job.row.path for job in placed})
    for where, some in there.items():
        assert all(job.where is where and jobs.by_path[job.row.path] is job for job in some)
        assert list(jobs.places[where]) == [job.row.path for job in some]
        assert (jobs.count(where), jobs.size(where)) == (len(some), sum(job.row.size for job in some))
    for path, job in jobs.by_path.items():
        assert job.row.path == path and (job.where is None or job in there[job.where])
    staging: dict[str, dict[str, Job]] = {}
    for job in there[Where.STAGING]:
        staging.setdefault(job.row.request, {})[job.row.path] = job
    assert jobs.staging == staging


def test_a_file_that_is_new_has_no_place_yet():
    jobs = Jobs()
    job = jobs.add(row_of("a"))
    assert job.where is None and jobs.by_path == {"a": job} and jobs.count(*Where) == jobs.size(*Where) == 0
    check(jobs)


def test_a_file_has_one_job():
    jobs = Jobs()
    job = jobs.add(row_of("a"))
    jobs.move(job, Where.READY)
    assert jobs.add(row_of("a", 20)) is job and job.row.size == 20 and jobs.size(Where.READY) == 20
    check(jobs)


@pytest.mark.parametrize("before", PLACES)
@pytest.mark.parametrize("after", PLACES)
def test_a_file_is_in_one_place(before, after):
    jobs = Jobs()
    job, other = jobs.add(row_of("a", 3, "r1")), jobs.add(row_of("b", 4, "r1"))
    for where in Where:
        jobs.move(other, where)
        jobs.move(job, before)
        check(jobs)
        job = jobs.add(job.row)  # a new one, if it was nowhere
        jobs.move(job, after)
        check(jobs)
        assert job.where is after and ("a" in jobs.by_path) is (after is not None)
        job = jobs.add(job.row)


@pytest.mark.parametrize("where", PLACES)
@pytest.mark.parametrize(
    "new",
    [row_of("a", 5, "r1"), row_of("a", 3, "r2"), row_of("a", 3), row_of("a", 0, "r2"), row_of("a", 3, "r1")],
)
def test_a_row_may_change_in_each_place(where, new):
    jobs = Jobs()
    job, other = jobs.add(row_of("a", 3, "r1")), jobs.add(row_of("b", 4, "r1"))
    if where:
        for one in (job, other):
            jobs.move(one, where)
    jobs.change(job, new)
    assert job.row == new and job.where is where and jobs.by_path["a"] is job
    check(jobs)


def test_those_asked_for_are_found_by_their_request():
    jobs = Jobs()
    for path, request in (("a", "r1"), ("b", "r2"), ("c", "r1")):
        jobs.move(jobs.add(row_of(path, request=request)), Where.STAGING)
    jobs.move(jobs.add(row_of("d", request="r1")), Where.READY)
    assert {request: "".join(held) for request, held in jobs.staging.items()} == {"r1": "ac", "r2": "b"}
    jobs.move(jobs.by_path["b"], Where.READY)
    jobs.change(jobs.by_path["c"], row_of("c", request="r3"))
    assert {request: "".join(held) for request, held in jobs.staging.items()} == {"r1": "a", "r3": "c"}
    check(jobs)


def test_a_file_that_comes_goes_behind_the_others_or_before_them():
    jobs = Jobs()
    for path in "abc":
        jobs.move(jobs.add(row_of(path)), Where.READY)
    jobs.move(jobs.add(row_of("d")), Where.READY, is_first=True)
    jobs.move(jobs.by_path["a"], Where.READY)
    assert "".join(jobs.places[Where.READY]) == "dbca"
    jobs.change(jobs.by_path["b"], row_of("b", 99))
    assert "".join(jobs.places[Where.READY]) == "dbca"
    check(jobs)


def test_several_places_are_counted_together():
    jobs = Jobs()
    for number, where in enumerate(Where):
        jobs.move(jobs.add(row_of(str(number), 10**number)), where)
    assert [job.row.path for job in jobs.at(Where.TAPE, Where.READY)] == ["3", "0"]
    assert jobs.count(Where.TAPE, Where.READY) == 2 and jobs.size(Where.TAPE, Where.READY) == 1001
    assert jobs.count(*Where) == len(Where) and jobs.size(*Where) == int("1" * len(Where))


@pytest.mark.parametrize("seed", range(5))
def test_whatever_happens_all_that_is_counted_is_what_there_is(seed):
    dice, jobs = random.Random(seed), Jobs()
    for _ in range(300):
        job = jobs.add(row_of(dice.choice("abcdefgh"), dice.randrange(5), dice.choice(["", "r1", "r2"])))
        if dice.random() < 0.7:
            jobs.move(job, dice.choice(PLACES), is_first=dice.random() < 0.3)
        check(jobs)
    for job in list(jobs.by_path.values()):
        jobs.move(job, None)
    assert not jobs.by_path and not jobs.staging and jobs.count(*Where) == jobs.size(*Where) == 0
