"""What a machine has too little of, and what is said of it."""

from __future__ import annotations

import errno
import resource
import ssl

import pytest

from gridsync_parts.errors import DiskError, FileError
from gridsync_parts.machine import (
    CONNECTIONS,
    FOLDERS_HELD,
    UNSETTLED,
    fault_text,
    files_to_spare,
    has_memory,
    scarcity,
    unforeseen_error,
)
from gridsync_parts.table import Settings, Site
from tests.support.constants import replace

FILES = "too many files are open; lower --threads, or raise the limit (ulimit -n)"
MEMORY = "this machine has no memory or threads left; lower --threads, or see ulimit -a"
REFUSED = ssl.SSLError(1, "CERTIFICATE_VERIFY_FAILED")


def after(error: Exception, cause: Exception | None = None, context: Exception | None = None) -> Exception:
    """An error with what was behind it."""
    error.__cause__, error.__context__ = cause, context
    return error


@pytest.mark.parametrize(
    ("error", "says"),
    [
        (None, ""),
        (ValueError("x"), ""),
        (OSError(errno.ENOSPC, "x"), ""),
        (OSError(errno.EMFILE, "x"), FILES),
        (OSError(errno.ENFILE, "x"), FILES),
        (RuntimeError("[Errno 24] Too many open files"), FILES),  # gfal2 has only words
        (OSError(errno.ENOMEM, "x"), MEMORY),
        (MemoryError(), MEMORY),
        (RuntimeError("can't start new thread"), MEMORY),
        (RuntimeError("can't allocate lock"), MEMORY),
        (after(FileError("x"), cause=MemoryError()), MEMORY),
        (after(FileError("x"), context=OSError(errno.EMFILE, "x")), FILES),
        (after(FileError("x"), cause=after(ValueError("y"), cause=MemoryError())), MEMORY),
        (after(FileError("x"), cause=ValueError("y"), context=MemoryError()), ""),  # the cause is what counts
    ],
)
def test_what_there_is_too_little_of(error, says):
    found = scarcity(error)
    assert (str(found) if found else "") == says


def test_an_error_that_led_to_itself_is_looked_at_once():
    wrapped, error = FileError("wrapped"), OSError(errno.EIO, "x")
    after(wrapped, cause=error)
    assert scarcity(after(error, context=wrapped)) is None  # as where `raise error.__cause__ from None` was said


def test_whether_there_is_memory_is_seen_by_taking_some(monkeypatch):
    def none(size: int) -> bytes:
        raise MemoryError

    assert has_memory()
    monkeypatch.setattr("builtins.bytearray", none)
    assert not has_memory()


@pytest.mark.parametrize("is_left", [True, False])
def test_a_certificate_is_not_refused_for_want_of_memory(monkeypatch, is_left):
    replace(monkeypatch, "has_memory", lambda: is_left)
    found = scarcity(REFUSED)
    assert (found is None) is is_left and scarcity(ValueError("other")) is None


@pytest.mark.parametrize(
    ("error", "says", "status"),
    [
        (MemoryError(), MEMORY, 5),
        (OSError(errno.EMFILE, "x"), FILES, 5),
        (OSError(errno.EIO, "Input/output error", "/d/a"), "/d/a cannot be used: Input/output error; check it, or", 5),
        (OSError(errno.EIO, "Input/output error"), "the current folder, or its disk, cannot be used: ", 5),
        (KeyError("x"), "a fault of gridsync, please report it with what --debug shows: KeyError: 'x'", 70),
    ],
)
def test_what_no_part_has_foreseen_has_a_sentence(error, says, status):
    sentence, found = unforeseen_error(error)
    assert sentence.startswith(says) and found == status
    assert fault_text(KeyError("x")) == unforeseen_error(KeyError("x"))[0]


def settings_of(threads: int, streams: int) -> Settings:
    """Settings with so many threads."""
    site = Site("LYON", "https://a", "", "http", "auto", "", "", "", 30, 10)
    return Settings(site, output_dir="", threads=threads, streams=streams, vo="")


NEEDED = 4 * (2 + 4) + 16
WANTED = NEEDED + CONNECTIONS + FOLDERS_HELD + UNSETTLED


@pytest.mark.parametrize(
    ("limit", "most", "spare", "raised"),
    [
        (WANTED, 4096, UNSETTLED, WANTED),  # it is enough
        (64, 4096, UNSETTLED, WANTED),
        (64, -1, UNSETTLED, WANTED),
        (64, WANTED - 50, UNSETTLED - 50, WANTED - 50),
        (64, NEEDED, 0, NEEDED),
        (-1, -1, UNSETTLED, -1),
        (4096, 4096, UNSETTLED, 4096),
    ],
)
def test_how_many_files_may_wait_is_what_the_limit_on_open_ones_leaves(monkeypatch, limit, most, spare, raised):
    now = [(limit, most)]
    monkeypatch.setattr(resource, "getrlimit", lambda what: now[-1])
    monkeypatch.setattr(resource, "setrlimit", lambda what, limits: now.append(limits))
    assert files_to_spare(settings_of(4, 2)) == spare
    assert now[-1][0] == raised


@pytest.mark.parametrize("error", [OSError("no"), ValueError("no")])
def test_a_limit_that_is_too_low_and_can_not_be_raised_is_named(monkeypatch, error):
    def fail(*_: object) -> None:
        raise error

    monkeypatch.setattr(resource, "getrlimit", lambda what: (NEEDED - 1, NEEDED - 1))
    monkeypatch.setattr(resource, "setrlimit", fail)
    says = f"{NEEDED} files must be open at once, but the limit is {NEEDED - 1}; lower --threads"
    with pytest.raises(DiskError, match=says):
        files_to_spare(settings_of(4, 2))
