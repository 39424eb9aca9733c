"""What --workers says, what it needs, and the keys that it makes."""

from __future__ import annotations

import os
import re
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from gridsync_parts.errors import DiskError, UsageError
from gridsync_parts.farm.batch import scheduler_words
from gridsync_parts.farm.hiring import Where, caution, check_where, read_where
from gridsync_parts.farm.tls import DAYS, make_keys
from tests.support import TOP


@pytest.mark.parametrize(
    "text, where",
    [
        ("local:1", Where("local", "", 1)),
        ("local:64", Where("local", "", 64)),
        ("slurm:16", Where("slurm", "", 16)),
        ("htcondor:999", Where("htcondor", "", 999)),
        ("tls://host.example.org:8786", Where("tls", "tls://host.example.org:8786", 0)),
        ("tls://[2001:db8::1]:8786", Where("tls", "tls://[2001:db8::1]:8786", 0)),
        ("tcp://localhost:8786", Where("tcp", "tcp://localhost:8786", 0)),
        ("tcp://127.0.0.5:8786", Where("tcp", "tcp://127.0.0.5:8786", 0)),
        ("tcp://[::1]:8786", Where("tcp", "tcp://[::1]:8786", 0)),
    ],
)
def test_workers_are_named_in_four_ways(text, where):
    assert read_where(text) == where


@pytest.mark.parametrize(
    "text",
    [
        "", "4", "local", "local:", "local:0", "local:-1", "local:1.5", "local:1000", "pbs:4", "slurm:", "LOCAL:2",
        "localhost:8786", "tls://localhost", "tls://localhost:0", "tls://localhost:70000", "tls://:8786", "tls://a b:1",
        "ws://localhost:8786", "inproc://localhost:1", "tls://localhost:8786/path", "local:2 ", "local:٣",
    ],
)  # fmt: skip
def test_other_words_are_refused_with_the_four(text):
    with pytest.raises(UsageError) as error:
        read_where(text)
    assert str(error.value) == (
        f"--workers={text} names no workers; give local:N, slurm:N, htcondor:N, or a scheduler's address such as "
        "tls://HOST:8786"
    )


@pytest.mark.parametrize("host", ["host.example.org", "192.0.2.1", "[2001:db8::1]", "0.0.0.0", "127.example.org"])
def test_an_address_without_tls_is_for_this_machine_alone(host):
    with pytest.raises(UsageError, match="has no TLS: whoever hears or reaches it"):
        read_where(f"tcp://{host}:8786")


def test_more_workers_of_this_machine_than_ever_work_at_once_are_refused():
    with pytest.raises(UsageError, match="--workers=local:65 are too many; give at most local:64"):
        read_where("local:65")


def test_who_uses_no_tls_is_warned():
    assert caution(read_where("tls://localhost:8786")) == caution(read_where("local:2")) == ""
    assert caution(read_where("tcp://localhost:8786")) == (
        "tcp://localhost:8786 has no TLS: every user of this machine could have its workers, and this run, do "
        "anything as you"
    )


@pytest.mark.slow
@pytest.mark.parametrize(
    "text, module, sentence",
    [
        ("local:2", "distributed",
         "--workers needs distributed, which is not installed; on Debian: apt install python3-distributed, or pip "
         "install 'gridsync[workers]'"),
        ("slurm:2", "dask_jobqueue",
         "--workers needs dask-jobqueue, which is not installed; pip install 'gridsync[workers]'"),
    ],
)  # fmt: skip
def test_a_package_that_is_missing_is_named(text, module, sentence, monkeypatch):
    monkeypatch.setitem(sys.modules, "distributed", sys)  # it is there
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(UsageError) as error:
        check_where(text)
    assert str(error.value) == sentence


def test_keys_are_for_one_run_and_a_week(tmp_path):
    keys, others = make_keys(str(tmp_path)), make_keys(str(tmp_path))
    assert {stat.S_IMODE(os.stat(path).st_mode) for path in keys} == {0o700, 0o600}
    assert Path(keys.key).read_text() != Path(others.key).read_text()
    for days, is_good in ((DAYS - 1, True), (DAYS + 1, False)):
        command = ["openssl", "x509", "-noout", "-in", keys.certificate, "-checkend", str(days * 86400)]
        assert (subprocess.run(command, stdout=subprocess.DEVNULL, check=False).returncode == 0) is is_good
    keys.remove()
    others.remove()
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "openssl, sentence",
    [
        ("", "--workers needs openssl, which is not installed; on Debian: apt install openssl"),
        ("#!/bin/sh\necho one >&2; echo 'unknown option' >&2; exit 1\n",
         "openssl cannot make keys for workers (unknown option); see that OpenSSL 1.1.1 or newer is installed"),
    ],
)  # fmt: skip
def test_without_openssl_there_are_no_keys(openssl, sentence, tmp_path, monkeypatch):
    (tmp_path / "keys").mkdir()
    if openssl:
        (tmp_path / "openssl").write_text(openssl)
        (tmp_path / "openssl").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UsageError) as error:
        make_keys(str(tmp_path / "keys"))
    assert str(error.value) == sentence
    assert not list((tmp_path / "keys").iterdir())


def test_keys_that_can_not_be_written_are_one_sentence(tmp_path):
    with pytest.raises(DiskError, match=r"no keys for workers can be written below .*nowhere: No such file"):
        make_keys(str(tmp_path / "nowhere"))


@pytest.mark.slow
def test_a_scheduler_listens_where_jobqueue_yaml_says():
    pytest.importorskip("distributed")
    assert scheduler_words({}) == []
    there = ["--host", "127.0.0.1", "--port", "9000"]
    assert scheduler_words({"interface": "lo", "scheduler-options": {"port": 9000}}) == there
    assert scheduler_words({"interface": "no0", "scheduler-options": {"port": 9000, "host": "127.0.0.1"}}) == there
    with pytest.raises(UsageError, match=r"this machine has no network no0; correct interface in jobqueue\.yaml"):
        scheduler_words({"interface": "no0"})


@pytest.mark.slow
def test_a_configuration_of_dasks_that_makes_no_sense_is_one_sentence(tmp_path):
    pytest.importorskip("distributed")
    (tmp_path / "own.yaml").write_text("a: [1\n")
    code = "from gridsync_parts.farm.hiring import check_where; check_where('local:2')"
    around = {**os.environ, "DASK_CONFIG": str(tmp_path)}
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, cwd=TOP, env=around, capture_output=True, text=True, check=False)
    last = done.stderr.strip().splitlines()[-1]
    assert re.fullmatch(r".*UsageError: Dask cannot read its configuration \(.*own\.yaml.*\); correct that file", last)
