"""What a dry run would do with files, and which it would skip, and why."""

from __future__ import annotations

import pytest

from gridsync_parts.disk import MARK, LocalFile
from gridsync_parts.errors import BadName
from gridsync_parts.forecast import REASONS, Forecast, new_folders, refuse_names, skip_unasked
from gridsync_parts.home import place_of
from gridsync_parts.values import Action, Locality, Row

ROW = Row("run/a", 1000, 1000, "", Locality.ONLINE, False, "", "", "LYON", "")


def rows(*paths: str, **more: object) -> list[Row]:
    return [ROW._replace(path=path, **more) for path in paths]


def plan_of(**plan: list[Row]) -> dict[Action, list[Row]]:
    return {action: plan.get(action.name.lower(), []) for action in Action}


def test_it_says_how_much_and_why_not_more():
    forecast = Forecast("copy", rows("run/a", "run/b"), folders=1, free=5 << 30)
    forecast.skip_plan(plan_of(copy=rows("run/a", "run/b"), skip=rows("x", "y"), wait=rows("z")))
    forecast.skip("excluded", rows("u", size=24))
    assert forecast.lines() == [
        "(DRY RUN) would copy 2 files, 2.0 kB, and make 1 folder(s); free disk: 5.0 GB",
        "(DRY RUN) would skip 4 files, 3.0 kB "
        "(there already: 2; on tape, not staged: 1; excluded by --inc and --exc: 1)",
    ]
    counts = {"copy": 2, "skip": 2, "adopt": 0, "keep": 0, "wait": 1, "unsure": 0, "lost": 0, "excluded": 1}
    assert forecast.document() == {**counts, "bytes": 2000, "folders": 1, "free": 5 << 30}


def test_where_nothing_can_be_skipped_nothing_is_said_of_it():
    forecast = Forecast("release", rows("a"), requests=1)
    assert forecast.lines() == ["(DRY RUN) would release 1 files, 1000.0 B, in 1 request(s)"]
    assert forecast.document() == {"release": {"files": 1, "bytes": 1000, "requests": 1}}


def test_where_nothing_is_skipped_that_is_said():
    forecast = Forecast("ask for", (), requests=0)
    forecast.skip("excluded", ())
    assert forecast.lines()[1:] == ["(DRY RUN) would skip 0 files, 0.0 B"]
    assert forecast.document() == {"ask": {"files": 0, "bytes": 0, "requests": 0, "excluded": 0}}


def test_every_action_but_a_copy_has_its_reason():
    assert {action.name.lower() for action in Action} - {"copy"} <= REASONS.keys()


@pytest.mark.parametrize(
    ("paths", "there", "count"),
    [
        ([], [], 0),
        (["a"], [], 0),
        (["x/a", "x/b"], [], 1),
        (["x/y/z/a", "x/y/b"], [], 3),
        (["x/y/z/a", "x/y/b"], ["x", "x/y"], 1),
        (["x/a", "y/a", "x/z/a"], ["y"], 2),
    ],
)
def test_how_many_folders_would_be_made(paths, there, count):
    assert new_folders(rows(*paths), there.__contains__) == count


def test_names_that_would_be_refused_are_not_among_what_would_come():
    wrong = [f"run/a{MARK}", "x/Grid.conf", "n" * 256, "../a"]
    plan = plan_of(copy=rows("run/a", *wrong, "run/b"), skip=rows("../c"))
    refused, errors = refuse_names(plan, place_of)
    assert [row.path for row in refused] == wrong and len(errors) == 4 and "is refused" in str(errors[0])
    assert [row.path for row in plan[Action.COPY]] == ["run/a", "run/b"] and len(plan[Action.SKIP]) == 1


def test_a_name_that_cannot_be_written_is_one_of_them():
    def check(path: str) -> None:
        path.encode("ascii")

    (row,), (error,) = refuse_names(plan_of(copy=rows("é")), check)
    assert row.path == "é" and str(error).startswith("é: ")


def test_what_is_not_asked_for_has_its_reason():
    here = {"here": LocalFile(1000, 0, True), "other": LocalFile(9, 0, True)}
    found = [*rows("online", "here", "other", "wanted"), *rows("empty", size=0), *rows("copied", downloaded=True)]
    forecast = Forecast("ask for", ())
    skip_unasked(forecast, found, rows("wanted"), lambda row: here.get(row.path))
    counts = {"online": 1, "adopt": 1, "keep": 1, "empty": 1, "skip": 1}
    assert {reason: count for reason, (count, _) in forecast.skipped.items()} == counts


def test_a_door_may_refuse_names_too():
    def check(path: str) -> None:
        if "?" in path:
            raise BadName(f"{path}: no")

    plan = plan_of(copy=rows("a?", "b"))
    assert [row.path for row in refuse_names(plan, check)[0]] == ["a?"] and plan[Action.COPY] == rows("b")
