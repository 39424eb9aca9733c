"""A door that answers 401, of which dCache 11.2 stands three in 20 seconds, and a source that gives no token."""

from __future__ import annotations

import os
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from gridsync_parts.doors import At, Place
from gridsync_parts.errors import CredentialError
from gridsync_parts.keys.token import TOKEN_PAUSE, Token
from gridsync_parts.settings import Config
from tests.grid import Grid
from tests.grid.faults import Fault
from tests.support.calls import call
from tests.support.constants import replace
from tests.support.places import opened, place_at, site_of
from tests.support.threads import THREADS, ask_at_once
from tests.support.user import User, wait_until, write_secret


@pytest.fixture
def shut(grid: Grid) -> Iterator[Callable[..., Fault]]:
    """Make the door answer 401, to all or to so many."""
    yield lambda count=None, path="/agata/*": grid.door.faults.add(path, 401, role="door", count=count)
    grid.door.faults.clear()


def list_at_once(place: Place, folder: str) -> list[str]:
    """What so many threads are told that list a folder at the same time, as a run calls."""
    return ask_at_once(lambda: call(place.lister.folder, folder))


def place_with(grid: Grid, token: Token) -> Place:
    site = site_of(grid, "http dcache")
    return opened(site, token=token, ca=grid.env["X509_CERT_DIR"])


# == The door's 401 =====================================================================================


@pytest.mark.parametrize("engine", ["http", "gfal2"])
def test_a_door_that_takes_no_proxy_is_asked_twice_however_many_threads_there_are(grid: Grid, shut, folder, engine):
    place = place_at(grid, site_of(grid, f"{engine} dcache"))
    fault = shut()
    told = list_at_once(place, folder)
    assert all("accept" in text and "proxy" in text for text in told), told
    assert fault.hits <= 2


def test_with_gfal2_a_file_is_not_taken_for_one_without_checksum(grid: Grid, shut, folder):
    grid.tree.add(f"agata/{folder}/a", 10)
    place = place_at(grid, site_of(grid, "gfal2 dcache"))
    place.lister.folder(folder)
    fault = shut()
    with pytest.raises(CredentialError, match="does not accept your proxy"):
        place.reader.checksum(At(f"{folder}/a", 0))
    assert fault.hits == 1


def test_with_gfal2_the_tape_service_is_not_asked_of_file_after_file(grid: Grid, folder):
    paths = [f"{folder}/{number}" for number in range(20)]
    for path in paths:
        grid.tree.add(f"agata/{path}", 10)
    place = place_at(grid, site_of(grid, "gfal2 dcache"))
    place.lister.folder(folder)
    fault = grid.door.faults.add("*", 401, role="tape", method="POST")
    try:
        with pytest.raises(CredentialError, match="does not accept your proxy"):
            place.locate(paths)
    finally:
        grid.door.faults.clear()
    assert fault.hits == 1


def test_a_door_that_takes_no_token_is_asked_once_if_there_is_no_other(grid: Grid, shut, folder, tmp_path):
    write_secret(tmp_path / "token", grid.door.token(600))
    place = place_with(grid, Token(f"file:{tmp_path / 'token'}", Config(str(tmp_path))))
    fault = shut()
    assert all("does not accept your proxy or token" in text for text in list_at_once(place, folder))
    assert fault.hits == 1


def giving(folder: Path, tokens: list[str], seconds: float = 0) -> str:
    """A command that gives one token after the other, then the last one again; it counts how often it is run."""
    for number, token in enumerate(tokens, 1):
        (folder / f"{number}").write_text(token)
    program = folder / "give"
    program.write_text(
        f"#!/bin/sh\necho >>{folder}/runs\nsleep {seconds}\nn=$(wc -l <{folder}/runs)\n"
        f"while [ ! -e {folder}/$n ] && [ $n -gt 0 ]; do n=$((n - 1)); done\ncat {folder}/$n\n"
    )
    program.chmod(0o755)
    return f"cmd:{program}"


def runs(folder: Path) -> int:
    return len((folder / "runs").read_text().splitlines())


def test_one_other_token_is_tried_and_no_third(grid: Grid, shut, folder, tmp_path):
    source = giving(tmp_path, [grid.door.token(600 + number) for number in range(9)])
    place = place_with(grid, Token(source, Config(str(tmp_path))))
    fault = shut()
    assert all("does not accept your proxy or token" in text for text in list_at_once(place, folder))
    assert (fault.hits, runs(tmp_path)) == (2, 2)


def test_with_another_token_that_is_good_all_go_on(grid: Grid, folder, tmp_path):
    bad = grid.door.token(600, iss="https://nobody.example")
    source = giving(tmp_path, [bad, grid.door.token(600)], seconds=0.5)
    place = place_with(grid, Token(source, Config(str(tmp_path))))
    grid.door.log.clear()
    assert list_at_once(place, folder) == [""] * THREADS
    assert sum(record.status == 401 for record in grid.door.log) == 1
    assert runs(tmp_path) == 2


@pytest.mark.first
@pytest.mark.parametrize("engine", ["http", "gfal2"])
def test_after_a_moment_of_weakness_all_go_on(grid: Grid, shut, folder, engine):
    place = place_at(grid, site_of(grid, f"{engine} dcache"))
    fault = shut(count=1)
    assert list_at_once(place, folder) == [""] * THREADS
    assert fault.hits == 1


def test_after_a_moment_of_weakness_in_mid_run_gfal2_goes_on_too(grid: Grid, shut, folder, monkeypatch):
    replace(monkeypatch, "WINDOW", 1)
    place = place_at(grid, site_of(grid, "gfal2 dcache"))
    place.lister.folder(folder)
    fault = shut(count=2)  # davix itself asks twice
    assert call(place.lister.folder, folder) == []
    assert fault.hits == 2


@pytest.mark.every(3)
@pytest.mark.parametrize("kind", ["proxy", "token", "gfal2"])
def test_a_program_that_is_still_there_later_is_let_in_again(grid: Grid, shut, folder, tmp_path, monkeypatch, kind):
    """With what was refused before: the door may have been in trouble all night."""
    for name, value in (("WINDOW", 0.1), ("WEAKNESS", 0.1), ("TURN", 0.1), ("TOKEN_PAUSE", 0), ("FORGOTTEN", 2)):
        replace(monkeypatch, name, value)
    write_secret(tmp_path / "token", grid.door.token(600))
    if kind == "token":
        place = place_with(grid, Token(f"file:{tmp_path}/token", Config(str(tmp_path))))
    else:
        place = place_at(grid, site_of(grid, "gfal2 dcache" if kind == "gfal2" else "http dcache"))
    fault = shut()
    for _ in range(2):
        before = fault.hits
        with pytest.raises(CredentialError, match="does not accept"):
            call(place.lister.folder, folder)
    assert fault.hits == before > 0
    time.sleep(2.1)
    grid.door.faults.clear()
    assert call(place.lister.folder, folder) == []


def test_a_new_proxy_is_shown_without_a_pause(grid: Grid, shut, folder, tmp_path, monkeypatch):
    replace(monkeypatch, "WEAKNESS", 60)
    proxy = tmp_path / "proxy"
    shutil.copy(grid.pki.proxy("good"), proxy)
    place = place_at(grid, site_of(grid, "http dcache"), path=str(proxy))
    fault = shut(count=1)
    thread = threading.Thread(target=list_at_once, args=(place, folder))
    thread.start()
    wait_until(lambda: fault.hits)
    os.replace(shutil.copy(grid.pki.proxy("good"), tmp_path / "new"), proxy)
    thread.join(20)
    assert not thread.is_alive()


@pytest.mark.long
def test_refusals_in_mid_run_stop_those_that_are_still_to_be_sent(grid: Grid, shut, folder):
    """Those under way can't be called back; of all others none is sent before the door is good again."""
    place = place_at(grid, site_of(grid, "http dcache"))
    place.lister.folder(folder)
    fault = shut()
    assert all("does not accept your proxy" in text for text in list_at_once(place, folder))
    before = fault.hits
    assert before <= THREADS + 1
    assert all("does not accept your proxy" in text for text in list_at_once(place, folder))
    assert fault.hits == before


@pytest.mark.every(3)
@pytest.mark.parametrize("line", ["--ls_dir", "--input_dir {} --build_list", "--start", "--sync", "--bring_online"])
def test_no_command_is_refused_often_enough_to_be_locked_out(mixed: User, folder, shut, line):
    assert mixed("--build_list").status == 0
    fault = shut(path="*")
    tape = mixed.grid.door.faults.add("*", 401, role="tape")
    status, _, err = mixed(f"{line.format(folder)} --threads 16")
    assert status == 3 and "the door does not accept your proxy or token" in err
    assert fault.hits + tape.hits == 2


# == A source that fails ================================================================================


@pytest.fixture
def failing(tmp_path: Path) -> Token:
    program = tmp_path / "give"
    program.write_text(f"#!/bin/sh\necho >>{tmp_path}/runs\nsleep 0.3\necho no such account >&2\nexit 1\n")
    program.chmod(0o755)
    return Token(f"cmd:{program}", Config(str(tmp_path)))


def test_a_source_that_fails_is_asked_once_for_all_who_wait(failing: Token, tmp_path):
    began = time.monotonic()
    told = ask_at_once(failing.value, 100)
    assert len(told) == 100 and all("no such account" in text for text in told)
    assert runs(tmp_path) == 1 and time.monotonic() - began < 5
    with pytest.raises(CredentialError) as caught:
        failing.value()
    assert caught.value.passing and 0 < caught.value.pause <= TOKEN_PAUSE
    assert runs(tmp_path) == 1


def test_it_is_asked_again_after_a_pause(failing: Token, tmp_path, monkeypatch):
    replace(monkeypatch, "TOKEN_PAUSE", 0.5)
    assert "no such account" in ask_at_once(failing.value, 1)[0]
    (tmp_path / "give").write_text(f"#!/bin/sh\necho >>{tmp_path}/runs\necho token\n")
    assert call(failing.value) == "token"
    assert runs(tmp_path) == 2


def test_while_a_token_is_good_nobody_waits_for_the_next(tmp_path, grid: Grid):
    source = giving(tmp_path, [grid.door.token(30), grid.door.token(600)], seconds=1)
    token = Token(source, Config(str(tmp_path)))
    first = token.value()
    began = time.monotonic()
    told = ask_at_once(token.value, 20)
    assert told.count(first) >= 19 and time.monotonic() - began < 3
    assert token.value() != first and runs(tmp_path) == 2


def test_a_source_that_has_nothing_new_is_left_alone_for_a_while(tmp_path, grid: Grid):
    token = Token(giving(tmp_path, [grid.door.token(30)]), Config(str(tmp_path)))
    for _ in range(20):
        token.value()
    assert runs(tmp_path) == 2
