"""Jobs of batch systems, as they are handed in. No batch system is here: scripts are compared, and run by the tests.

dask_jobqueue makes them, in the venv of build/dask/done, whose Dask is years newer than Debian's. There the tests of
test_crew.py are run again, too.
"""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support import TOP

pytestmark = pytest.mark.long
PYTHON = TOP / "build/dask/bin/python"
LIMIT = 300  # seconds for all that a command does
# What hands in jobs keeps each script, and its own environment; what cancels notes the jobs.
COMMANDS = {
    "sbatch": 'cp "$1" "$HERE/script.$$"; env >"$HERE/environment"; echo Submitted batch job $$; RUN',
    "scancel": 'echo "$@" >>"$HERE/cancelled"',
    "condor_submit": 'cp "$1" "$HERE/script.$$"; env >"$HERE/environment"; echo "submitted to cluster $$."; RUN',
    "condor_rm": 'echo "$@" >>"$HERE/cancelled"',
}
HIRED = """
import sys, time
from gridsync_parts.farm.hiring import hire, read_where
hired = hire(read_where(sys.argv[1]), 5, sys.argv[2])
while len(hired.jobs) < 2:
    hired.look()
    time.sleep(0.1)
print(hired.address, hired.keys.folder, *[number for _, number in hired.jobs])
hired.close()
"""
AT_WORK = """
import os, sys
from gridsync_parts.farm.loads import Back, Heard, Joined
from tests.support.crew import Team
team = Team(sys.argv[1])
team.crew.home = sys.argv[2]
team.crew.start()
workers = {team.next(Joined).worker for _ in range(2)}
for worker in workers:
    team.give(worker, "1")
    team.next(Heard)
print(sorted(team.next(Back).worker for _ in range(2)) == sorted(workers))
team.crew.close()
"""


@pytest.fixture
def batch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
    """Run a program where a batch system seems to be, with these lines of jobqueue.yaml."""
    if not PYTHON.exists():
        pytest.skip("the venv is not there; make build/dask/done makes it")

    def run(code: str, where: str, jobqueue: str = "", job: str = "") -> str:
        (tmp_path / "bin").mkdir()
        for name, words in COMMANDS.items():
            (tmp_path / "bin" / name).write_text(f"#!/bin/sh\nHERE={tmp_path}\n{words.replace('RUN', job)}\n")
            (tmp_path / "bin" / name).chmod(0o755)
        (tmp_path / "dask").mkdir()
        (tmp_path / "dask/jobqueue.yaml").write_text(jobqueue)
        around = {"PATH": f"{tmp_path}/bin:{os.environ['PATH']}", "DASK_CONFIG": str(tmp_path / "dask")}
        around.update(HOME=str(tmp_path), BEARER_TOKEN="a-secret", SLURM_CONF="/etc/slurm.conf", PYTHONPATH=str(TOP))
        done = subprocess.run(
            [PYTHON, "-c", code, where, str(tmp_path)], env=around, capture_output=True, text=True, timeout=LIMIT,
        )  # fmt: skip
        assert (done.returncode, done.stderr) == (0, "")
        return done.stdout

    return run


def told(folder: Path, line: str) -> str:
    """A script as it was handed in, with words in place of what is new each time."""
    address, keys, first, _ = line.split()
    script = (folder / f"script.{first.split('.')[0]}").read_text()
    for words, name in ((keys, "KEYS"), (address, "SCHEDULER"), (str(PYTHON), "PYTHON"), (str(TOP), "TOP")):
        script = script.replace(words, name)
    return re.sub(r"export DASK_[^;\n]*(; |\n)", "", script)


WORKER = (
    "PYTHON -m distributed.cli.dask_worker SCHEDULER --name gridsync-0 --nthreads {threads} --memory-limit {memory} "
    "--nanny --death-timeout 60 --local-directory {directory} {more}--nthreads {hands} --memory-limit 0 --no-dashboard "
    "--dashboard-address 127.0.0.1:0 --protocol tls:// --tls-ca-file KEYS/certificate.pem --tls-cert "
    "KEYS/certificate.pem --tls-key KEYS/key.pem"
)


def check_all(folder: Path, line: str) -> None:
    """What holds for all batch systems: nothing stays, and nothing secret goes there."""
    _, keys, *numbers = line.split()
    assert not os.path.exists(keys) and os.path.dirname(keys) == str(folder)
    assert (folder / "cancelled").read_text().split() == numbers
    environment = (folder / "environment").read_text()
    assert "a-secret" not in environment and "SLURM_CONF=/etc/slurm.conf" in environment


def test_a_job_of_slurm_is_as_jobqueue_yaml_says(batch, tmp_path):
    line = batch(HIRED, "slurm:2", """
jobqueue:
  slurm:
    queue: long
    account: agata
    walltime: "08:00:00"
    cores: 4
    memory: 8GB
    processes: 2
    local-directory: /scratch
    job-script-prologue: [module load python]
    worker-extra-args: [--resources, GPU=1]
""")  # fmt: skip
    worker = WORKER.format(
        threads=2, memory="3.73GiB", directory="/scratch", more="--resources GPU=1 ", hands=2
    ).replace("--nanny", "--nworkers 2 --nanny")
    assert told(tmp_path, line) == f"""#!/usr/bin/env bash

#SBATCH -J dask-worker
#SBATCH -p long
#SBATCH -A agata
#SBATCH -n 1
#SBATCH --cpus-per-task=4
#SBATCH --mem=8G
#SBATCH -t 08:00:00
module load python
export PYTHONPATH=TOP${{PYTHONPATH:+:$PYTHONPATH}}
{worker}
"""
    check_all(tmp_path, line)


def test_a_job_of_slurm_needs_no_jobqueue_yaml(batch, tmp_path):
    line = batch(HIRED, "slurm:2")
    worker = WORKER.format(threads=1, memory="1.86GiB", directory="${TMPDIR:-/tmp}", more="", hands=3)
    assert told(tmp_path, line).endswith(f"PYTHONPATH:+:$PYTHONPATH}}\n{worker}\n")
    check_all(tmp_path, line)


def test_a_job_of_htcondor_is_as_jobqueue_yaml_says(batch, tmp_path):
    line = batch(HIRED, "htcondor:2", "jobqueue: {htcondor: {memory: 4GB, disk: 2GB, cores: 1}}")
    script = told(tmp_path, line)
    worker = WORKER.format(threads=1, memory="3.73GiB", directory="${TMPDIR:-/tmp}", more="", hands=3)
    assert f"Arguments = \"-c 'export PYTHONPATH=TOP${{PYTHONPATH:+:$PYTHONPATH}}; {worker}'\"" in script
    assert "Executable = /bin/sh" in script and "MY.DaskWorkerMemory = 4000000000" in script
    check_all(tmp_path, line)


def test_what_a_job_runs_is_a_worker(batch, tmp_path):
    job = '(setsid env -i PATH="$PATH" HOME="$HOME" timeout 120 bash "$HERE/script.$$" >"$HERE/log.$$" 2>&1 &)'
    assert batch(AT_WORK, "slurm:2", "jobqueue: {slurm: {interface: lo}}", job) == "True\n"


def test_a_batch_system_that_refuses_is_one_sentence(batch, tmp_path):
    code = """
import sys, time
from gridsync_parts.errors import CrewError
from gridsync_parts.farm.hiring import hire, read_where
hired = hire(read_where(sys.argv[1]), 5, sys.argv[2])
try:
    while True:
        hired.look()
        time.sleep(0.1)
except CrewError as error:
    print(error)
hired.close()
"""
    said = batch(code, "slurm:2", "", "exec >&2; echo 'Invalid account'; exit 1")
    assert said == "sbatch refuses (Invalid account); see jobqueue.yaml\n"


def test_all_of_the_crew_holds_with_the_dask_of_pypi():
    if not PYTHON.exists():
        pytest.skip("the venv is not there; make build/dask/done makes it")
    command = [PYTHON, "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests/contract/test_crew.py"]
    done = subprocess.run(command, cwd=TOP, capture_output=True, text=True, timeout=2 * LIMIT)
    assert done.returncode == 0, done.stdout[-5000:]
