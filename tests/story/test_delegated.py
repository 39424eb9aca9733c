"""--to, where the source gives out no keys and copies nothing: the target's door acts with a proxy made for it."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

import pytest

from tests.grid import Grid
from tests.grid.propfind import content
from tests.support.ships import Simulated, last_line
from tests.support.user import Result, User

FILE = "e680_1to64/ReadATCA/ReadATCA.tar"
MIRROR = "agata/delegated"


@pytest.fixture
def copy(grid: Grid, user: User) -> Iterator[Callable[[str], Result]]:
    """A real XRootD and a simulated dCache, and a user who has listed a folder of the first for the second."""
    held = grid.door.copies.delegations.held
    held.clear()
    grid.tree.folder(MIRROR)
    user.set("BASE_DIR_ON_GRID", MIRROR, "LYON")

    def call(action: str) -> Result:
        return user(f"{action} --from=XROOTD --to=LYON")

    assert call(f"--input_dir={FILE.rpartition('/')[0]} --build_list").status == 0
    yield call
    grid.tree.remove(MIRROR)
    grid.door.switches.delegation = "2"
    held.clear()


def there(grid: Grid) -> bytes:
    """The file that was copied."""
    file = grid.tree.file(f"{MIRROR}/{FILE}")
    return b"".join(map(bytes, content(file, 0, file.size)))


def test_a_proxy_is_given_to_no_site_that_is_not_trusted(copy, grid):
    done = copy("--start")
    assert done.status == 2, done
    assert "everything that you may do at every site, as long as your proxy lasts, and LYON would get it" in done.err
    assert "--trust_target" in done.err
    assert "--via_here" in done.err
    assert not grid.door.copies.delegations.held
    assert grid.tree.find(f"{MIRROR}/{FILE}") is None


def test_a_site_that_is_trusted_acts_with_a_proxy(copy, grid):
    done = copy("--start --trust_target")
    assert (done.status, done.err.count("\n")) == (0, done.err.count("Copied files:")), done
    assert re.search(last_line(copied=1), done.out), done
    assert there(grid) == grid.tree.expected(f"agata/{FILE}")
    assert len(grid.door.copies.delegations.held) == 1
    assert re.search(last_line(skipped=1), copy("--start --trust_target").out)


@pytest.mark.long
def test_a_site_that_takes_no_proxy_is_one_sentence(copy, grid):
    grid.door.switches.delegation = "2 refused"
    done = copy("--start --trust_target")
    assert done.status == 3, done
    assert "the door takes no proxy to act with (Proxy is not acceptable); --via_here copies" in done.err
    assert "Traceback" not in done.err
    assert grid.tree.find(f"{MIRROR}/{FILE}") is None
    assert copy("--start --via_here").status == 0
    assert there(grid) == grid.tree.expected(f"agata/{FILE}")


SECRET = r"MDA\w{20}|eyJ\w{20}|BEGIN [A-Z ]*(?:KEY|CERTIFICATE)"


def seen_by(done: Result, user: User) -> str:
    """All that a run says and writes."""
    files = [path for path in user.folder.rglob("*") if path.is_file()]
    return done.out + done.err + "".join(path.read_text("utf-8", "replace") for path in files)


@pytest.mark.parametrize("source", ["LYON", "CNAF"])
def test_nobody_sees_a_key_that_is_handed_on(grid, tmp_path, folder, busy_marks, source):
    user = Simulated(grid, tmp_path, folder, source)
    done = user.list_and_start("--trust_target --debug")
    assert done.status == 0 and re.search(r"POST \S+ -> 200", done.err) and re.search(r"COPY \S+ -> 20", done.err), done
    assert not (found := re.search(SECRET, seen_by(done, user))), found


def test_nobody_sees_a_proxy_that_is_handed_on(copy, user):
    done = copy("--start --trust_target --debug")
    assert done.status == 0 and re.search(r"POST \S+delegation/gridsite -> 200", done.err), done
    assert not (found := re.search(SECRET, seen_by(done, user))), found
