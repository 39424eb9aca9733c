"""gridsync.py where nothing is that Linux alone has: there is no macOS here, so that is taken away."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.support import SCRIPT
from tests.support.user import BIG, User, find_wrong, flip

PYTHONS = os.environ.get("OTHER_PYTHONS", "").split()  # as docs/install.md says

# Loaded by each Python before anything else. What is not there cannot be called by mistake.
OF_LINUX = """
import builtins, ctypes, os, select, socket

for module, names in (
    (os, "sched_getaffinity sched_setaffinity posix_fadvise posix_fallocate fdatasync preadv pwritev getxattr setxattr "
         "listxattr removexattr copy_file_range splice memfd_create pidfd_open eventfd getrandom O_PATH O_TMPFILE"),
    (select, "epoll"),
    (socket, "TCP_QUICKACK TCP_USER_TIMEOUT TCP_KEEPIDLE SO_PEERCRED SO_BINDTODEVICE MSG_NOSIGNAL MSG_ERRQUEUE"),
):
    for name in names.split():
        if hasattr(module, name):
            delattr(module, name)


class CDLL(ctypes.CDLL):
    def __getattr__(self, name):
        if name in ("syncfs", "renameat2", "copy_file_range", "fallocate", "splice"):
            raise AttributeError(name)
        return super().__getattr__(name)


def without_proc(call):
    def told(path, *more, **others):
        if str(path).startswith("/proc"):
            raise FileNotFoundError(2, "No such file or directory", path)
        return call(path, *more, **others)
    return told


ctypes.CDLL = CDLL
for module, name in ((builtins, "open"), (os, "open"), (os, "stat"), (os, "readlink"), (os, "link"), (os, "listdir")):
    setattr(module, name, without_proc(getattr(module, name)))
"""


@pytest.fixture
def plain(user: User, tmp_path: Path) -> User:
    """A user on such a system."""
    (tmp_path / "lib").mkdir()
    (tmp_path / "lib" / "sitecustomize.py").write_text(OF_LINUX)
    user.before = ("env", f"PYTHONPATH={tmp_path / 'lib'}")
    return user


def fetch_and_send(user: User, folder: str, tmp_path: Path) -> None:
    """What most people do in a week."""
    for name, size in (("empty", 0), ("small", 20_000), ("sub/big", BIG)):
        user.grid.tree.add(f"agata/{folder}/{name}", size)
    done = user(f"--input_dir {folder} --streams 2 --build_list --start --stats={tmp_path}/stats.jsonl --debug")
    assert (done.status, "Traceback" in done.err) == (0, False) and "Copied: 3," in done.out
    flip(user.data / folder / "small", 100)
    assert user("--verify").status == 1
    assert user("--repair").status == 0 and "Verified: 3," in user("--verify").out
    assert find_wrong(user, folder) == []
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "sent").write_bytes(b"abc" * 10_000)
    done = user(f"--input_dir {folder}/new --put {tmp_path}/out")
    assert (done.status, done.err) == (0, "") and "Sent: 1," in done.out
    assert user(f"--input_dir {folder} --sync").status == 0
    assert (user.data / folder / "new" / "sent").read_bytes() == b"abc" * 10_000


@pytest.mark.long
def test_files_come_and_go_without_what_linux_alone_has(plain: User, folder: str, tmp_path: Path):
    look = "import os, socket; print(hasattr(os, 'preadv'), hasattr(socket, 'TCP_QUICKACK'), os.path.exists('/proc'))"
    done = subprocess.run([*plain.before, "/usr/bin/python3", "-c", look], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "False", "False"]
    fetch_and_send(plain, folder, tmp_path)


@pytest.mark.long
@pytest.mark.parametrize("python", PYTHONS)
def test_other_pythons_do_the_same_and_without_gfal2_they_say_so(
    python: str, user: User, folder: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    found = shutil.which(python)
    assert found, f"{python} is not there"
    monkeypatch.setattr(user, "command", lambda line: [found, str(SCRIPT), *shlex.split(line)])
    user.before = ("this is a process of its own",)
    fetch_and_send(user, folder, tmp_path)
    user.set("ENGINE", "gfal2")
    done = user("--ls_dir")
    assert done.status == 2 and "needs gfal2, which is not installed" in done.err and "Traceback" not in done.err
