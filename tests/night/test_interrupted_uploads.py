"""Files that are sent by runs that end before their time, beside others, or from a disk that fails."""

from __future__ import annotations

import csv
import os
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from gridsync_parts.disk import MARK
from gridsync_parts.uploads import Uploads
from tests.grid.guests import token
from tests.grid.propfind import content
from tests.support import SCRIPT
from tests.support.disk import MB, Image
from tests.support.terminal import ctrl_c
from tests.support.user import Result, User, contents, wait_for, wait_until, write_secret

INTERRUPTED = "gridsync.py: interrupted; what is done is kept, and the same command goes on from here\n"
DOORS = {"dcache": "LYON", "storm": "CNAF"}


class Sender:
    """A user who sends thirty files, one of them large, into a folder of a site."""

    def __init__(self, user: User, folder: str, door: str):
        self.user, self.folder = user, folder
        self.site, self.door = DOORS[door], {"dcache": user.grid.door, "storm": user.grid.storm}[door]
        self.results = user.folder / "results"
        for number in range(28):
            self.fill(f"small/{number:02}", os.urandom(10_000 + number))
        self.fill("empty", b"")
        self.fill("big/large", os.urandom(9_000_000))
        self.door.log.clear()

    def fill(self, name: str, data: bytes) -> Path:
        path = self.results / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        return path

    def line(self, more: str = "") -> str:
        return f"--put {self.results} --from={self.site} --input_dir {self.folder} --threads 2 {more}"

    def __call__(self, more: str = "") -> Result:
        return self.user(self.line(more))

    def there(self) -> dict[str, bytes]:
        top, tree = f"agata/{self.folder}", self.user.grid.tree
        files = {path[len(top) + 1 :]: tree.file(path) for path in tree.files(top)}
        return {name: b"".join(content(file, 0, file.size)) for name, file in files.items()}

    def here(self) -> dict[str, bytes]:
        return contents(self.results)

    def left(self) -> set[str]:
        """What is there that is not finished."""
        return {name for name in self.there() if name.endswith(MARK)}

    def noted(self) -> set[str]:
        """The same, as grid_uploads.csv has it."""
        rows = Uploads(str(self.user.folder)).by_path(self.site).values()
        return {row.temp[len(self.folder) + 1 :] for row in rows if row.temp}

    def ends_well(self) -> None:
        """What is there is whole; the next run sends the rest, nothing twice, and leaves nothing behind."""
        there, here = self.there(), self.here()
        assert self.left() <= self.noted()
        finished = {name for name in there if not name.endswith(MARK)}
        assert all(there[name] == here[name] for name in finished)
        self.door.log.clear()
        status, out, err = self()
        assert status == 0 and re.search(rf"Sent: {len(here) - len(finished)}, skipped: {len(finished)},", out), err
        assert self.there() == here and not self.noted()
        sent = [record for record in self.door.log.matching(method="PUT") if record.status in (201, 204)]
        assert len(sent) <= len(here) - len(finished)


@pytest.fixture(params=DOORS)
def sender(request: pytest.FixtureRequest, user: User, folder: str) -> Iterator[Sender]:
    sender = Sender(user, folder, request.param)
    yield sender
    sender.door.faults.clear()


@pytest.fixture
def lyon(user: User, folder: str) -> Iterator[Sender]:
    sender = Sender(user, folder, "dcache")
    yield sender
    sender.door.faults.clear()


# == Told to end ========================================================================================

TOLD = {
    "Ctrl-C": (signal.SIGINT,),
    "Ctrl-C twice": (signal.SIGINT, signal.SIGINT),
    "SIGTERM": (signal.SIGTERM,),
    "a terminal that is closed": (signal.SIGHUP, signal.SIGHUP),
}
STALL = {"what": "stall", "seconds": 20}
PHASES = {
    "listing": {**STALL, "path": "*/{}/small", "method": "PROPFIND"},
    "making folders": {**STALL, "path": "*/{}/small", "method": "MKCOL"},
    "sending": {"what": "cut", "path": "*/{}/big/*", "method": "PUT", "seconds": 20},
    "between two attempts": {"what": 503, "path": "*/{}/small/*", "method": "PUT"},
    "naming": {**STALL, "path": "*/{}/small/*", "method": "MOVE"},
}
EACH = [
    pytest.param(phase, how, marks=[pytest.mark.long] * ((phase, how) != ("sending", "Ctrl-C")))
    for phase in PHASES
    for how in TOLD
]


@pytest.mark.parametrize(("phase", "told"), EACH)
def test_wherever_a_run_is_told_to_end_it_does_and_leaves_nothing_unnoted(sender, folder, phase, told):
    sender.user.set("RETRIES", "9", "gridsync")
    options = PHASES[phase]
    fault = sender.door.faults.add(**{**options, "path": options["path"].format(folder)})
    is_held_up = phase in ("listing", "making folders")
    with sender.user.running(sender.line()) as run:
        wait_until(lambda: fault.hits and (not is_held_up or "big/large" in sender.there()))
        time.sleep(0.3)
        began = time.monotonic()
        for number in TOLD[told]:
            run.send_signal(number)
            time.sleep(0.1)
        _, err = run.communicate(timeout=30)
    assert run.returncode == 130 and time.monotonic() - began < 6 and err.endswith(INTERRUPTED), err
    assert "Traceback" not in err
    sender.door.faults.clear()
    if is_held_up or phase == "between two attempts":
        assert not sender.left()
    assert len(sender.noted()) < 20  # of what was not begun nothing can be left
    sender.ends_well()


def test_ctrl_c_at_a_terminal_ends_it_with_a_sentence(lyon, folder):
    fault = lyon.door.faults.add(f"*/{folder}/big/*", "cut", method="PUT", seconds=20)
    command = lyon.user.command(lyon.line())
    assert str(SCRIPT) in command
    status, screen = ctrl_c(command, lyon.user.env, lambda: fault.hits)
    assert status == 130 and screen.endswith(INTERRUPTED) and "Traceback" not in screen, screen
    lyon.door.faults.clear()
    lyon.ends_well()


# == Beside others ======================================================================================


@pytest.mark.long
def test_two_runs_from_two_folders_send_the_same_files_side_by_side(sender, tmp_path):
    """Each names what it finds first, and finds the rest."""
    other = tmp_path / "other"
    other.mkdir()
    shutil.copy(sender.user.folder / "Grid.conf", other)
    with sender.user.running(sender.line()) as one, sender.user.running(sender.line(), GRIDSYNC_DIR=str(other)) as two:
        done = [wait_for(run) for run in (one, two)]
    assert [result.status for result in done] == [0, 0], done
    assert sender.there() == sender.here()
    counts = [list(map(int, re.findall(r"(?:Sent|skipped): (\d+)", result.out))) for result in done]
    assert [sum(count) for count in counts] == [30, 30]


@pytest.mark.long
def test_two_that_send_other_files_of_the_same_names_leave_whole_ones(sender, tmp_path):
    other = tmp_path / "other"
    shutil.copytree(sender.results, other / "results")
    shutil.copy(sender.user.folder / "Grid.conf", other)
    for path in (other / "results/small").iterdir():
        path.write_bytes(os.urandom(path.stat().st_size))
    theirs = sender.line().replace(str(sender.results), str(other / "results"))
    with sender.user.running(sender.line()) as one, sender.user.running(theirs, GRIDSYNC_DIR=str(other)) as two:
        done = [wait_for(run) for run in (one, two)]
    assert {result.status for result in done} <= {0, 1}
    assert sum(result.err.count("another file has this name at the site") for result in done) == 28
    for name, data in sender.there().items():
        assert data in (sender.here()[name], (other / "results" / name).read_bytes())


def test_a_second_run_from_the_same_folder_does_not_begin(lyon, folder):
    fault = lyon.door.faults.add(f"*/{folder}/big/*", "stall", method="PUT", seconds=20)
    with lyon.user.running(lyon.line()) as run:
        wait_until(lambda: fault.hits)
        status, _, err = lyon()
        assert status == 6 and f"(process {run.pid}, since " in err
        run.kill()
    lyon.door.faults.clear()
    lyon.ends_well()


def killed(sender: Sender, path: str = "*/big/*") -> None:
    """A run that is killed when the large file is on its way."""
    fault = sender.door.faults.add(path, "cut", method="PUT", seconds=1)
    with sender.user.running(sender.line()) as run:
        wait_until(lambda: fault.hits)
        run.kill()
        run.wait(10)
    sender.door.faults.clear()
    time.sleep(1.2)


def test_what_is_left_of_a_file_that_is_gone_here_is_named(sender):
    killed(sender)
    (sender.results / "big/large").unlink()
    (left,) = [temp for temp in sender.noted() if temp.startswith("big/")]
    status, _, err = sender()
    assert status == 0 and f"an earlier run may have left unfinished at the site: {sender.folder}/{left}\n" in err
    sender.fill("big/large", b"another one")
    assert sender().status == 0 and sender.there() == sender.here() and not sender.noted()


@pytest.mark.long
def test_what_was_left_at_one_site_is_none_of_another_s(user, folder):
    first, second = (Sender(user, f"{folder}/{door}", door) for door in DOORS)
    killed(first)
    left = first.left()
    second.fill("big/large", first.here()["big/large"])
    assert second().status == 0 and second.there() == second.here()
    assert first.left() == left <= first.noted()
    assert first("--overwrite").status == 0 and first.there() == first.here()


def test_a_line_that_was_damaged_is_named_and_nothing_is_sent(lyon):
    killed(lyon)
    path = lyon.user.folder / "grid_uploads.csv"
    lines = path.read_text().splitlines()
    at = next(number for number, line in enumerate(lines) if MARK in line)
    lines[at] = lines[at].replace(MARK, "")
    path.write_text("\n".join([*lines, lines[0]]) + "\n")
    status, _, err = lyon()
    assert status == 5 and f"{path}, line {at + 1}: column 9 (temp) is " in err and "move the file away" in err
    path.unlink()
    assert lyon().status == 0 and lyon.here().items() <= lyon.there().items()


# == What changes in mid-run ============================================================================


def at_a_put(sender: Sender, happens: Callable[[], object]) -> None:
    """Something happens when the first file is on its way."""
    sender.door.faults.add("*", "meanwhile", method="PUT", count=1, happens=happens)


def test_a_file_that_is_unlinked_or_becomes_a_folder_in_mid_run_is_named(lyon):
    """One thread is busy with the large file, the other one waits for this."""

    def change() -> None:
        for name in ("98", "99"):
            (lyon.results / "small" / name).unlink()
        (lyon.results / "small/99").mkdir()

    for name in ("98", "99"):
        lyon.fill(f"small/{name}", b"1")
    at_a_put(lyon, change)
    status, out, err = lyon("--threads 1")
    assert status == 1 and "Sent: 30, skipped: 0, failed: 2" in out
    assert f"{lyon.results}/small/98: cannot be read: No such file or directory\n" in err
    assert f"{lyon.results}/small/99: cannot be read: " in err and not lyon.left() and not lyon.noted()
    lyon.ends_well()


def test_a_token_that_is_refused_in_mid_run_is_read_again(lyon):
    write_secret(lyon.user.folder / "token", token(600))
    lyon.user.set("TOKEN", f"file:{lyon.user.folder}/token")
    lyon.user.env.pop("X509_USER_PROXY")

    def renew() -> None:
        write_secret(lyon.user.folder / "token", token(700))
        lyon.door.faults.add("*", 401, method="PUT", count=1)

    at_a_put(lyon, renew)
    status, _, err = lyon()
    assert status == 0 and err.count("\n") == 1 and lyon.there() == lyon.here(), err
    assert lyon.door.log.count(status=401) == 1


@pytest.mark.long
def test_a_proxy_that_ends_in_mid_run_ends_it_and_what_may_be_left_is_noted(lyon):
    proxy = lyon.user.folder / "proxy"
    shutil.copy(lyon.user.grid.pki.proxy("good"), proxy)
    lyon.user.env["X509_USER_PROXY"] = str(proxy)
    at_a_put(lyon, lambda: shutil.copy(lyon.user.grid.pki.proxy("expired"), proxy))
    lyon.door.faults.add("*/big/*", "stall", method="PUT", seconds=4, role="pool")
    with lyon.user.running(lyon.line(), "check = 0.2") as run:
        done = wait_for(run)
    assert done.status == 3 and "expired" in done.err and done.err.count("gridsync.py: ") == 1, done
    lyon.door.faults.clear()
    shutil.copy(lyon.user.grid.pki.proxy("good"), proxy)
    lyon.ends_well()


# == Disks ==============================================================================================


@pytest.mark.long
@pytest.mark.parametrize("is_late", [False, True])
def test_a_work_folder_without_room_ends_the_run_and_nothing_is_there_that_is_not_noted(lyon, disk, is_late):
    shutil.copy(lyon.user.folder / "Grid.conf", disk.inside)
    lyon.user.folder, lyon.user.before = disk.inside, disk.before
    lyon.user.env["GRIDSYNC_DIR"] = str(disk.folder)
    for number in range(400):  # their rows take more than the rest of a block
        lyon.fill(f"many/{number}", b"1")
    if is_late:
        at_a_put(lyon, disk.fill)
    else:
        disk.fill()
    status, _, err = lyon()
    said = [line for line in err.splitlines() if line.startswith("gridsync.py: ")]
    assert status == 5 and len(said) == 1 and "No space left" in said[0] and "Traceback" not in err, err
    assert is_late or not lyon.there()
    disk.make_room()
    lyon.ends_well()


@pytest.mark.long
def test_a_disk_that_fails_while_a_file_is_read_costs_this_file_alone(lyon, tmp_path):
    if os.geteuid():
        pytest.skip("only root can mount a filesystem that is in a file")
    image = Image(tmp_path / "mounted", tmp_path / "image", 160 * MB)
    try:
        bad = image.folder / "bad"
        bad.write_bytes(os.urandom(40 * MB))
        good = lyon.fill("zz", os.urandom(5000))
        shutil.copy(good, image.folder / "good")
        subprocess.run(["sync", "--file-system", str(image.folder)], check=True)
        descriptor = os.open(bad, os.O_RDONLY)
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
        os.close(descriptor)
        os.truncate(image.file, 16 * MB)  # wherever its blocks are, most of them are gone
        status, _, err = lyon.user(lyon.line().replace(str(lyon.results), str(image.folder)))
        assert status == 1 and f"{bad}: cannot be read: Input/output error" in err, err
        assert lyon.there().keys() == {"good"} and not lyon.noted()
    finally:
        os.truncate(image.file, 160 * MB)
        image.close()


# == Names ==============================================================================================

CONTROLLED = {"a\nline", "a\ttab"}
NAMES = [
    "with blanks  in it", "#1?", "100%", "%41", 'a "quoted" one', *CONTROLLED, "back\\slash", "se;mi&colon",
    "-dash", "e\u0301 decomposed", "é composed", "\u202eturned", "\udcff not UTF-8", "n" * 255, "é" * 127, "[x]<y>|z",
]  # fmt: skip


def test_odd_names_arrive_as_they_are_or_are_named(sender, folder):
    shutil.rmtree(sender.results)
    for name in NAMES:
        sender.fill(name, name.encode("utf-8", "surrogateescape") * 3)
    status, _, err = sender()
    there, here = sender.there(), sender.here()
    assert not sender.left() and there.items() <= here.items()
    with (sender.user.folder / "grid_uploads.csv").open(newline="", errors="surrogateescape") as file:
        noted = {row["target"].rpartition("/")[2]: row for row in csv.DictReader(file)}
    assert err.count("has a control character in its name") == len(CONTROLLED)
    assert all(noted[name]["error"] for name in here.keys() - there.keys() - CONTROLLED)
    sender.door.log.clear()
    assert status == (1 if here.keys() - there.keys() else 0) and "Traceback" not in err
    assert sender().status == status
    assert sender.door.log.count(method="PUT", status=201) <= len(here) - len(there)
