"""What tests of Places share."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from functools import cache
from pathlib import Path

import pytest

from tests.contract.deviations import DEVIATIONS, Deviation
from tests.support.ftp import home_with_login
from tests.support.raw import Raw


@pytest.fixture(autouse=True)
def home(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where ssh finds the key of the sftp server, and that of the server, and passwords lie."""
    if re.search("ftps|each_row", request.node.name):
        monkeypatch.setenv("HOME", home_with_login(tmp_path)["HOME"])
    if "ssh sftp" in request.node.name:
        for name, value in request.getfixturevalue("grid").sshd.client.env.items():
            monkeypatch.setenv(name, value)


@pytest.fixture
def raw() -> Iterator[Callable[[Callable[[], Iterable[bytes]]], Raw]]:
    servers: list[Raw] = []

    def serve(answer: Callable[[], Iterable[bytes]]) -> Raw:
        servers.append(Raw(answer))
        return servers[-1]

    yield serve
    for server in servers:
        server.stop()


@cache
def known_at(name: str) -> list[Deviation]:
    """What the Place of a name is known to break."""
    return [deviation for deviation in DEVIATIONS if re.fullmatch(deviation.places, name)]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Expect of a Place that it breaks the promises that it is known to break, and of no other one."""
    for item in items:
        names = {str(value) for value in item.callspec.params.values()} if hasattr(item, "callspec") else set()
        for deviation in {deviation for name in names for deviation in known_at(name)}:
            if re.match(deviation.test, item.name):
                item.add_marker(pytest.mark.xfail(reason=deviation.reason, strict=True))
