"""FTS3's own client at the server of the tests: that shows the stand-in to answer as that client expects.

It needs M2Crypto, which pip would have to compile; that of Debian does."""

from __future__ import annotations

import json
import os
import re
import subprocess
from pathlib import Path

import pytest

from tests.grid.fts import TERMINAL
from tests.support.ships import SIZES, Handing
from tests.support.user import wait_until

pytestmark = pytest.mark.long
VENV = Path(__file__).resolve().parents[2] / "build/fts3"


@pytest.fixture
def theirs(grid, fts):
    """A program of the client, which shows alice's proxy."""
    if not (VENV / "done").exists():
        pytest.skip("the venv is not there; make build/fts3/done makes it")

    def run(program: str, *words: str) -> subprocess.CompletedProcess[str]:
        proxy = str(grid.pki.proxy("good"))
        command = [str(VENV / f"bin/fts-rest-{program}"), "-s", fts.url, "--capath", str(grid.pki.certificates)]
        return subprocess.run(
            [*command, "--cert", proxy, "--key", proxy, *words], env={**os.environ, **grid.env}, capture_output=True,
            text=True, timeout=60, check=False,
        )  # fmt: skip

    return run


@pytest.fixture
def handing(grid, fts, tmp_path, folder) -> Handing:
    return Handing(grid, tmp_path, folder)


def test_it_is_told_who_it_is_and_delegates(theirs, fts):
    done = theirs("whoami")
    assert done.returncode == 0 and "vo.agata.org" in done.stdout, done
    done = theirs("delegate", "--hours", "2")
    assert done.returncode == 0 and len(fts.credentials) == 1, done


def test_it_follows_and_cancels_a_job_of_gridsync(theirs, handing, fts):
    assert handing.ship("--build_list").status == 0
    fts.hold()
    with handing.running(f"--start --to=CNAF {handing.more}") as run:
        wait_until(lambda: any(record.path.endswith("/files") for record in fts.log))
        run.kill()
    (id,) = fts.jobs
    done = theirs("transfer-status", "-j", id)
    assert done.returncode == 0, done
    job = json.loads(done.stdout)
    assert job["job_state"] == "SUBMITTED" and len(job["files"]) == len(SIZES)
    assert theirs("transfer-cancel", id).returncode == 0
    assert set(fts.states()) == {"CANCELED"}
    done = handing.ship("--start")
    assert done.status == 1 and done.err.count("was cancelled at") == len(SIZES), done
    fts.go()
    assert handing.ship("--start").status == 0 and handing.there() == handing.sent()


def test_it_submits_a_job(theirs, handing, fts):
    source, target = (f"{door.url}/agata" for door in (handing.grid.door, handing.grid.storm))
    mirror = handing.mirror.removeprefix("agata/")
    done = theirs("transfer-submit", f"{source}/{handing.top}/small", f"{target}/{mirror}/theirs")
    assert done.returncode == 0 and re.search("[0-9a-f-]{36}", done.stdout), done
    wait_until(lambda: fts.states() and all(state in TERMINAL for state in fts.states()))
    assert fts.states() == ["FINISHED"], [file.reason for job in fts.jobs.values() for file in job.files]
