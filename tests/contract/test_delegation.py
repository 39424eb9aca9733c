"""A door that acts with a proxy made for it: the simulated dCache, towards a real XRootD that takes proxies."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Callable
from typing import Any

import pytest

from gridsync_parts.doors import At, Far, Key, Place, Puller
from gridsync_parts.errors import CredentialError, DoorError, GridError, Unfinished
from gridsync_parts.table import Site
from tests.grid import Grid, agata
from tests.support.client import SIZE, Client
from tests.support.places import place_at

PROXY = Key(is_proxy=True, wider="everything")
FILE = f"agata/e680_1to64/{agata.RUN}/Data/03A/{agata.SMALL}"
GFAL2 = """
import gfal2, sys
context = gfal2.creat_context()
context.set_opt_string("HTTP PLUGIN", "DEFAULT_COPY_MODE", "3rd pull")
context.set_opt_boolean("HTTP PLUGIN", "ENABLE_FALLBACK_TPC_COPY", False)
context.filecopy(context.transfer_parameters(), *sys.argv[1:])
"""


def puller_of(place: Place) -> Puller:
    assert place.puller
    return place.puller


@pytest.fixture
def door(grid: Grid, at: Callable[..., Client]) -> tuple[Client, Puller]:
    """A dCache, and what has it copy."""
    client = at()
    site = Site("LYON", client.door.url, "agata", "http", first_byte=30, silence=10)
    return client, puller_of(place_at(grid, site))


def told(call: Callable[[], Any]) -> GridError | None:
    """What is said of a copy in the end."""
    try:
        for _ in call().marks:
            pass
    except GridError as error:
        return error
    return None


@pytest.mark.every(3)
@pytest.mark.parametrize("version", ["2", "2 named", "1"])
def test_a_door_fetches_and_brings_as_the_user_with_one_proxy_for_all_files(door, grid, version):
    client, puller = door
    client.door.switches.delegation = version
    size = len(grid.tree.expected(FILE))
    far = Far(f"{grid.xrootd.url}/{FILE}", PROXY)
    assert told(lambda: puller.pull("fetched", far, At("x", size))) is None
    assert client.get("fetched").body == grid.tree.expected(FILE)
    goal = f"{grid.copier.scratch}/delegated-{version.replace(' ', '-')}"
    assert told(lambda: puller.push(At("disk", SIZE), Far(goal, PROXY))) is None
    assert client.ask("GET", goal).body == client.tree.expected("agata/disk")
    assert client.door.copies.delegations.made == 1


@pytest.mark.long
def test_threads_that_are_all_asked_for_a_proxy_give_one(door, grid):
    client, puller = door
    far, size = Far(f"{grid.xrootd.url}/{FILE}", PROXY), len(grid.tree.expected(FILE))
    errors: list[GridError | None] = []

    def copy(number: int) -> None:
        errors.append(told(lambda: puller.pull(f"new{number}", far, At("x", size))))

    threads = [threading.Thread(target=copy, args=[number]) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert (errors, client.door.copies.delegations.made) == ([None] * 8, 1)


@pytest.mark.first
@pytest.mark.parametrize("switch", ["2 refused", "1 refused", "none", "9"])
def test_a_door_that_takes_no_proxy_after_all_says_so(door, grid, switch):
    client, puller = door
    client.door.switches.delegation = switch
    error = told(lambda: puller.pull("new", Far(f"{grid.xrootd.url}/{FILE}", PROXY), At("x", 5)))
    assert (type(error), "takes no proxy to act with" in str(error)) == (CredentialError, True), error
    assert "--via_here" in str(error)
    assert client.tree.find("agata/new") is None


def test_an_answer_that_is_lost_leaves_it_open_whether_the_copy_goes_on(door, grid):
    client, puller = door
    far, size = Far(f"{grid.xrootd.url}/{FILE}", PROXY), len(grid.tree.expected(FILE))
    # The first answer asks for a proxy, and the second one is lost.
    asked = client.door.copies.delegations.answer

    def answer(request: Any, guest: Any) -> Any:
        client.door.faults.add("*/new", "lost", method="COPY")
        return asked(request, guest)

    client.door.copies.delegations.answer = answer
    assert type(told(lambda: puller.pull("new", far, At("x", size)))) is Unfinished


@pytest.mark.parametrize("where", ["https://elsewhere.example/delegation", "http://localhost:1/delegation", "junk"])
def test_a_proxy_goes_to_no_other_machine(door, grid, where):
    client, puller = door
    client.door.switches.delegate_to = where
    error = told(lambda: puller.pull("new", Far(f"{grid.xrootd.url}/{FILE}", PROXY), At("x", 5)))
    assert (type(error), "another machine, or not encrypted" in str(error)) == (DoorError, True), error


def test_of_several_addresses_that_of_its_own_machine_is_taken(door, grid):
    client, puller = door
    own = f"{client.door.url}/delegation/gridsite"
    client.door.switches.delegate_to = f"https://elsewhere.example/delegation {own}"
    size = len(grid.tree.expected(FILE))
    assert told(lambda: puller.pull("new", Far(f"{grid.xrootd.url}/{FILE}", PROXY), At("x", size))) is None


def test_a_door_that_is_shown_a_token_gets_no_proxy(grid, at):
    client = at()
    site = Site("LYON", client.door.url, "agata", "http", first_byte=30, silence=10)
    place = place_at(grid, site)
    puller = puller_of(place)
    puller.http.proxy = ""  # type: ignore[attr-defined]
    error = told(lambda: puller.pull("new", Far(f"{grid.xrootd.url}/{FILE}", PROXY), At("x", 5)))
    assert "would need a proxy to act with" in str(error)


@pytest.mark.long
@pytest.mark.parametrize("version", ["2", "1"])
def test_gfal2_is_satisfied_with_the_simulated_service(door, grid, version):
    client, _ = door
    client.door.switches.delegation = version
    command = [sys.executable, "-c", GFAL2, f"{grid.xrootd.url}/{FILE}", f"{client.door.url}/agata/by-gfal2"]
    subprocess.run(command, env={**os.environ, **grid.env}, check=True, timeout=60)
    assert client.get("by-gfal2").body == grid.tree.expected(FILE)
    assert client.door.copies.delegations.made == 1
