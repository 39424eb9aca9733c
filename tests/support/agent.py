"""A real oidc-agent, for somebody who may log in at the grid's provider."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
from pathlib import Path

from tests.grid import Grid
from tests.grid.openid import CLIENT, CLIENT_SECRET, SCOPES
from tests.support.user import wait_until

PHRASE = "of the account"


class Agent:
    """One process, with a folder of its own."""

    def __init__(self, grid: Grid, folder: Path) -> None:
        self.grid = grid
        self.home = folder / "agent_home"
        (self.home / ".oidc-agent").mkdir(parents=True, mode=0o700)
        self.programs = folder / "agent_bin"
        self.programs.mkdir()
        # The provider's certificate is of the grid's CA, which is none of the machine's.
        wrapper = self.programs / "oidc-gen"
        ca = grid.pki.folder / "ca.pem"
        real = shutil.which("oidc-gen")
        wrapper.write_text(f'#!/bin/sh\necho "$0 $*" >>{folder}/typed\nexec {real} --cp={ca} "$@"\n')
        wrapper.chmod(0o755)
        self.typed = folder / "typed"  # the command lines of oidc-gen
        self.socket = folder / "agent.sock"
        path = f"{self.programs}:{os.environ['PATH']}"
        self.env = {"HOME": str(self.home), "OIDC_SOCK": str(self.socket), "PATH": path}
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it; it ends with whoever has started it."""
        command = ["setpriv", "--pdeathsig", "KILL", "oidc-agent", "--console", "-a", str(self.socket)]
        quiet = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        self.process = subprocess.Popen(command, env=self.env, start_new_session=True, **quiet)
        wait_until(self.is_up)

    def is_up(self) -> bool:
        with socket.socket(socket.AF_UNIX) as probe:
            return probe.connect_ex(str(self.socket)) == 0

    def stop(self) -> None:
        if self.process:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
            self.socket.unlink(missing_ok=True)

    def log_in(self, account: str) -> None:
        """Have an account, without gridsync.py."""
        (self.home / "client").write_text(json.dumps({"client_id": CLIENT, "client_secret": CLIENT_SECRET}))
        command = ["oidc-gen", account, "--manual", f"--iss={self.grid.openid.url}", f"--scope={SCOPES}"]
        command += ["--flow=device", "--redirect-uri=", "--no-url-call", "--no-scheme", "--confirm-default"]
        command += ["--prompt=none", f"--file={self.home}/client", "--pw-env=PHRASE"]
        env = {**self.env, "PHRASE": PHRASE}
        quiet = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
        done = subprocess.run(command, env=env, **quiet, text=True, timeout=60, check=False)
        assert done.returncode == 0, done.stdout
