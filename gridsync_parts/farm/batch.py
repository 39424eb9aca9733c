"""Jobs of a batch system, each with workers, as dask_jobqueue makes them of its jobqueue.yaml."""

from __future__ import annotations

import contextlib
import os
import re
import shlex
import subprocess
import tempfile
import threading
from typing import Any

from gridsync_parts.errors import CrewError, UsageError, brief
from gridsync_parts.farm.beside import NO_PAGE, PLAIN, TOP, Scheduler, end_all, need
from gridsync_parts.farm.tls import Keys, make_keys
from gridsync_parts.keys import helper_env
from gridsync_parts.log import log
from gridsync_parts.secrets import make_printable

CLUSTERS = {"slurm": "SLURM", "htcondor": "HTCondor"}  # as dask_jobqueue calls their classes
COMMANDS_TAKE = 20  # seconds for one of a batch system
BATCH_ENV = "SLURM_.*|SBATCH_.*|CONDOR_.*|_CONDOR_.*|KRB5.*"  # what commands of batch systems go by


def scheduler_words(options: dict[str, Any]) -> list[str]:
    """Where the scheduler listens: as jobqueue.yaml says, or on all networks of this machine."""
    from distributed.utils import get_ip_interface

    told = {"interface": options.get("interface"), **(options.get("scheduler-options") or {})}
    if (network := told.get("interface")) and not told.get("host"):
        try:
            told["host"] = get_ip_interface(network)  # Dask's command line can't be told it where there is TLS
        except (ValueError, KeyError) as error:
            raise UsageError(f"this machine has no network {network}; correct interface in jobqueue.yaml") from error
    words = [(f"--{name}", str(told[name])) for name in ("host", "port") if told.get(name)]
    return [word for pair in words for word in pair]


def make_job(
    kind: str, options: dict[str, Any], scheduler: str, keys: Keys, name: str, count: int, threads: int
) -> Any:
    """A job of dask_jobqueue's; what jobqueue.yaml does not say are little wants."""
    from distributed import Security

    processes = options.get("processes") or 1
    wants = {"cores": 1, "memory": "2GB", "processes": 1, "local-directory": "${TMPDIR:-/tmp}"}
    wants.update({"disk": "1GB"} if kind == "htcondor" else {})
    lines = [f"export PYTHONPATH={shlex.quote(TOP)}${{PYTHONPATH:+:$PYTHONPATH}}"]
    lines += [f"export {key}={shlex.quote(value)}" for key, value in PLAIN.items()]
    more = ["--nthreads", str(-(-threads // (count * processes))), "--memory-limit", "0", *NO_PAGE]
    security = Security(
        tls_ca_file=keys.certificate, tls_worker_cert=keys.certificate, tls_worker_key=keys.key, require_encryption=True
    )
    job_class = getattr(need(f"dask_jobqueue.{kind}"), f"{CLUSTERS[kind]}Job")
    try:
        return job_class(
            scheduler=scheduler, name=name, security=security, protocol="tls://",
            job_script_prologue=[*(options.get("job-script-prologue") or []), *lines],
            worker_extra_args=[*(options.get("worker-extra-args") or []), *more],
            **{key.replace("-", "_"): value for key, value in wants.items() if not options.get(key)},
        )  # fmt: skip
    except (ValueError, TypeError) as error:
        said = brief(make_printable(str(error)))
        raise UsageError(f"of jobqueue.{kind} no job can be made ({said}); correct jobqueue.yaml") from error


def ask_batch(command: list[str]) -> str:
    """What a command of the batch system says. It hands its environment on to jobs: there is no secret in it."""
    more = {name: value for name, value in os.environ.items() if re.fullmatch(BATCH_ENV, name)}
    try:
        done = subprocess.run(
            command, env=helper_env(**more), stdin=subprocess.DEVNULL, capture_output=True, timeout=COMMANDS_TAKE,
            text=True, errors="replace", check=False,
        )  # fmt: skip
    except FileNotFoundError as error:
        raise UsageError(f"{command[0]} is not installed; start gridsync where jobs are submitted") from error
    except (OSError, subprocess.TimeoutExpired) as error:
        raise CrewError(f"{command[0]} does not answer; try again when the batch system does") from error
    if done.returncode:
        raise CrewError(f"{command[0]} refuses ({brief(make_printable(done.stderr.strip()))}); see jobqueue.yaml")
    return done.stdout


def submit(job: Any, folder: str) -> str:
    """Hand in a job; its number."""
    with tempfile.NamedTemporaryFile("w", suffix=".sh", dir=folder) as file:
        file.write(job.job_script())
        file.flush()
        said = ask_batch([*shlex.split(job.submit_command), file.name])
    try:
        return str(job._job_id_from_submit_output(said))
    except ValueError as error:
        raise CrewError(f"{job.submit_command} names no job ({brief(make_printable(said))})") from error


class Batch:
    """Jobs of a batch system, each with a worker, as dask_jobqueue would start them."""

    patience = 0.0  # they may wait for days
    remedy = ""

    def __init__(self, kind: str, count: int, threads: int, home: str):
        import dask.config

        need("dask_jobqueue")
        options = dask.config.get(f"jobqueue.{kind}", {}) or {}
        self.is_over = False
        self.fault: Exception | None = None  # why a job could not be handed in
        self.keys = make_keys(os.path.abspath(options.get("shared-temp-directory") or home))
        self.jobs: list[tuple[Any, str]] = []
        try:
            self.scheduler = Scheduler(self.keys, scheduler_words(options))
            self.address = self.scheduler.address
            names = [f"gridsync-{number}" for number in range(count)]
            jobs = [make_job(kind, options, self.address, self.keys, name, count, threads) for name in names]
            self.thread = threading.Thread(target=self.submit, args=[jobs], daemon=True)
            self.thread.start()
        except BaseException:
            self.close()
            raise

    def submit(self, jobs: list[Any]) -> None:
        """Hand in jobs, one after the other; nobody waits for it."""
        try:
            for job in jobs:
                if self.is_over:
                    break
                self.jobs.append((job, submit(job, self.keys.folder)))
        except Exception as error:
            self.fault = error
            log.info("%d of %d jobs were handed in: %s", len(self.jobs), len(jobs), error)

    def look(self) -> None:
        """Jobs that have ended are not started again: they may have used up what the user has."""
        if self.fault and not self.jobs:
            raise self.fault
        self.scheduler.look()

    def end(self, pid: int) -> None:
        """It is on another machine."""

    def close(self) -> bool:
        """Take them out of the batch system, which may take its time."""
        self.is_over = True
        if hasattr(self, "thread"):
            self.thread.join(COMMANDS_TAKE)
        if self.jobs:
            with contextlib.suppress(CrewError, UsageError):
                command = shlex.split(self.jobs[0][0].cancel_command)
                ask_batch([*command, *(number for _, number in self.jobs)])
        if hasattr(self, "scheduler"):
            end_all([self.scheduler.child])
        self.keys.remove()
        return False
