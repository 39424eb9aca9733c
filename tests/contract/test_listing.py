"""What --ls_dir shows of folders that the manual does not show: cases/manual.txt has those that it does."""

from __future__ import annotations

import pytest

from gridsync_parts.secrets import make_printable
from tests.grid.agata import seconds
from tests.grid.corner import MANY, plant_many
from tests.support.user import User


def rows_of(user: User, folder: str, note: str = "") -> list[str]:
    """The rows of a listing that goes well."""
    status, out, err = user(f"--ls_dir {folder}")
    _, told, rows = out.partition(f" -- List content of folder: {user.grid.door.url}/agata/{folder}\n")
    assert (status, err) == (0, note) and told
    return rows.split("\n")[:-1]


def test_ls_dir_of_a_file_is_its_row(user):
    assert rows_of(user, "host_adler32") == ["158.0 B    15 Oct 2013 host_adler32"]


def test_ls_dir_of_an_empty_folder_has_no_row(user, folder):
    assert rows_of(user, folder, f"The door shows nothing in {folder}\n") == []


@pytest.mark.parametrize("engine", ["http", "gfal2"])
def test_ls_dir_shows_files_before_folders_and_of_one_day_the_oldest_first_whatever_order_the_door_has(
    user, folder, engine
):
    noon = seconds("2015-06-09 12:00:00")
    for name, later in (("e", 0), ("a", 3600), ("d", -1), ("b", -43200), ("c", 0), ("f", -43201)):
        user.grid.tree.add(f"agata/{folder}/{name}", 10, mtime=noon + later)
        user.grid.tree.folder(f"agata/{folder}/{name.upper()}", mtime=noon - later)
    user.set("ENGINE", engine)
    for _ in range(3):  # dCache's order is another one each time
        assert "".join(row[-1] for row in rows_of(user, folder)) == "fbdcea" + "ACEDBF"


@pytest.mark.parametrize("corner", ["awkward", "unprintable"])
def test_ls_dir_of_awkward_names_has_a_row_for_each_and_nothing_that_a_terminal_obeys(user, corner):
    files = sorted(path.rpartition("/")[2] for path in user.grid.tree.files(f"agata/{corner}") if path.count("/") == 2)
    rows = rows_of(user, corner)
    assert sorted(row[23:] for row in rows if not row.startswith("Folder")) == sorted(map(make_printable, files))
    assert all(map(str.isprintable, rows))


@pytest.mark.long
def test_ls_dir_of_20000_files_has_20000_rows(user):
    plant_many(user.grid.tree)
    rows = rows_of(user, MANY[len("agata/") :])
    user.grid.tree.remove(MANY)
    assert len(rows) == 20_000
