"""Interactive shells that complete with TAB."""

from __future__ import annotations

import contextlib
import fcntl
import os
import pty
import shutil
import struct
import subprocess
import termios
import threading
from pathlib import Path

from tests.support import TOP
from tests.support.ready import is_readable

SCRIPT = TOP / "do_grid_completion.sh"
PATIENCE = 30  # seconds until a shell must have answered
SHELLS = {
    "bash": ["/bin/bash", "--noprofile", "--norc", "-i"],
    "zsh": ["/bin/zsh", "-f", "-i"],
}

# Control-T tells what is on the line; a command tells its arguments instead of running.
TELLS = {
    "bash": r"""bind -x '"\C-t": printf "%s\0" "$READLINE_LINE" >"$ANSWER"'""",
    "zsh": r"""tell() { printf "%s\0" "$BUFFER" >$ANSWER }; zle -N tell; bindkey '^T' tell""",
}

ARGUMENTS = r"""gridsync.py() { local IFS='|'; printf '%s\0' "$*" >"$ANSWER"; }"""


def look_away(screen: int) -> None:
    """Read what is shown, or the shell would wait for it; from a descriptor of its own, as another's may be reused."""
    with contextlib.suppress(OSError):  # the shell has ended
        while os.read(screen, 65536):
            pass
    os.close(screen)


class Shell:
    """An interactive shell that has the script; of programs it finds awk alone."""

    def __init__(self, name: str, folder: Path, settings: str = "", loading: str = f". '{SCRIPT}'"):
        self.name = name
        self.folder = folder
        self.is_plain = True  # with no settings of its user's
        self.is_exact = True  # nothing but TAB puts a name on the line, and no name is left out
        os.mkfifo(folder / "answer")
        self.answers = os.open(folder / "answer", os.O_RDWR)  # with a writer in any case, so it never ends
        (folder / "bin").mkdir()
        (folder / "bin" / "awk").symlink_to(shutil.which("awk") or "")
        env = {
            "HOME": str(folder), "PATH": str(folder / "bin"), "LC_ALL": "C.UTF-8", "TERM": "xterm",
            "ANSWER": str(folder / "answer"), "GRIDSYNC_DIR": str(folder),
        }  # fmt: skip
        self.ours, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 120, 0, 0))  # without a size nothing is listed
        command = ["/usr/bin/setsid", "--ctty", *SHELLS[name]]
        self.process = subprocess.Popen(command, env=env, cwd=folder, stdin=theirs, stdout=theirs, stderr=theirs)
        os.close(theirs)
        threading.Thread(target=look_away, args=[os.dup(self.ours)], daemon=True).start()
        for line in ("set -u", loading, TELLS[name], ARGUMENTS, f"{settings}\n"):
            self._type(line + "\n")

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        os.close(self.ours)
        os.close(self.answers)

    def line(self, typed: str) -> str:
        """What is on the line after these keys."""
        self._type("\x05\x15" + typed + "\x14")
        return self._told()

    def arguments(self, typed: str) -> str:
        """What the command gets once Enter follows these keys, | between the words."""
        self._type("\x05\x15" + typed + "\n")
        return self._told()

    def _type(self, keys: str) -> None:
        os.write(self.ours, keys.encode())

    def _told(self) -> str:
        told = b""
        while not told.endswith(b"\0"):
            assert is_readable(self.answers, PATIENCE), f"{self.name} says nothing"
            told += os.read(self.answers, 65536)
        return told[:-1].decode()
