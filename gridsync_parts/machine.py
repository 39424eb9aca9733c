"""What this machine has too little of: memory, threads, open files."""

from __future__ import annotations

import contextlib
import errno

from gridsync_parts.errors import DiskError
from gridsync_parts.table import Settings

CONNECTIONS = 64  # at the most, of all threads and streams together
UNSETTLED = 200  # files that wait to be made durable at the most: each is an open one
FOLDERS_HELD = 16  # open at the most, besides those that are in use


def has_memory() -> bool:
    """Whether some more can be had."""
    with contextlib.suppress(MemoryError):
        return bool(bytearray(64 << 20))
    return False


def scarcity(error: BaseException | None) -> DiskError | None:
    """The sentence for what this machine has too little of, if that is what was behind an error."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:  # what is raised again may have led to itself
        seen.add(id(error))
        number = error.errno if isinstance(error, OSError) else 0
        if number in (errno.EMFILE, errno.ENFILE) or "Too many open files" in str(error):
            return DiskError("too many files are open; lower --threads, or raise the limit (ulimit -n)")
        said = str(error)
        is_starved = "CERTIFICATE_VERIFY_FAILED" in said and not has_memory()  # OpenSSL had no room for the CA
        is_starved = is_starved or any(words in said for words in ("start new thread", "can't allocate lock"))
        if is_starved or isinstance(error, MemoryError) or number == errno.ENOMEM:
            return DiskError("this machine has no memory or threads left; lower --threads, or see ulimit -a")
        error = error.__cause__ or error.__context__
    return None


def fault_text(error: Exception) -> str:
    """The sentence for a fault of gridsync's own."""
    return f"a fault of gridsync, please report it with what --debug shows: {type(error).__name__}: {error}"


def unforeseen_error(error: Exception) -> tuple[str, int]:
    """Sentence and exit status for what no part of the program has caught."""
    if scarce := scarcity(error):
        return str(scarce), scarce.status
    if isinstance(error, OSError):  # the work folder's disk, say, has gone
        place = error.filename or "the current folder, or its disk,"
        return f"{place} cannot be used: {error.strerror}; check it, or change to another folder", DiskError.status
    return fault_text(error), 70


def files_to_spare(settings: Settings) -> int:
    """How many files may wait to be made durable: what the limit on open ones leaves, which is raised if it can be."""
    import resource

    needed = settings.threads * (settings.streams + 4) + 16  # its file, folder, connections, bell; Python's and ours
    wanted = needed + CONNECTIONS + FOLDERS_HELD + UNSETTLED  # idle connections, too
    limit, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    if 0 <= limit < wanted:
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted if most < 0 else min(wanted, most), most))
        limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
        if limit < needed:
            raise DiskError(f"{needed} files must be open at once, but the limit is {limit}; lower --threads and "
                            "--streams, or raise the limit (ulimit -n)")  # fmt: skip
    return UNSETTLED if limit < 0 else max(0, min(UNSETTLED, UNSETTLED + limit - wanted))
