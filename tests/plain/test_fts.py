"""What is decided of FTS3 servers and their jobs without asking one."""

from __future__ import annotations

import pytest

from gridsync_parts.errors import UsageError
from gridsync_parts.fts import check_sites, count_jobs, endpoint_in, ends_of, file_of, transfer_of, web_url
from gridsync_parts.ftsfiles import Noted, noted_in
from gridsync_parts.table import Site
from gridsync_parts.values import Locality, Row

ID = "8852f90c-0968-5119-a445-03fe047abadf"
ROW = Row("run/a b%.dat", 7, 1, "adler32:0a1b2c3d", Locality.ONLINE, False, "", "", "A>B", "")
A = Site("A", "davs://a.example.org:2880", "data/top")
B = Site("B", "https://b.example.org")


@pytest.mark.parametrize("text", ["https://fts3.example.org:8446", "https://fts3.example.org:8446/"])
def test_the_address_of_a_server_is_kept_without_its_last_slash(text):
    assert endpoint_in(text) == "https://fts3.example.org:8446"


@pytest.mark.parametrize(
    "text",
    ["", "fts3.example.org", "http://fts3.example.org", "davs://fts3.example.org", "https://me:pw@fts3.example.org",
     "https://fts3.example.org?a=b", "https://fts3.example.org#a", "https://", "https://fts3.example.org:port"],
)  # fmt: skip
def test_what_can_be_no_server_is_refused(text):
    with pytest.raises(UsageError, match="--fts"):
        endpoint_in(text)


def test_a_file_is_told_of_by_its_url():
    assert web_url(A, ROW.path) == "https://a.example.org:2880/data/top/run/a%20b%25.dat"
    assert web_url(B, ROW.path) == "https://b.example.org/run/a%20b%25.dat"


def test_a_file_of_a_job_has_size_and_checksum():
    assert transfer_of(A, B, ROW) == {
        "sources": [web_url(A, ROW.path)],
        "destinations": [web_url(B, ROW.path)],
        "filesize": 7,
        "checksum": "ADLER32:0a1b2c3d",
    }
    assert "checksum" not in transfer_of(A, B, ROW._replace(checksum="md5:0123"))


def test_sites_without_https_are_refused():
    check_sites("https://fts3.example.org", A, B)
    with pytest.raises(UsageError, match="B has SERVER root"):
        check_sites("https://fts3.example.org", A, B._replace(server="root://b.example.org"))


@pytest.mark.parametrize("word", ["", "0123abcd"])
def test_what_is_noted_of_a_job_is_read_again(word):
    noted = Noted("https://fts3.example.org:8446", ID, word)
    assert noted_in(noted.text()) == noted


@pytest.mark.parametrize(
    "text", ["", "https://fts3.example.org/jobs/", f"http://fts3.example.org/jobs/{ID}", "../jobs"]
)
def test_what_names_no_job_is_none(text):
    assert noted_in(text) is None


@pytest.mark.parametrize(
    ("on_disk", "on_tape", "jobs"), [(0, 0, 0), (1, 0, 1), (1000, 0, 1), (1001, 0, 2), (1, 1, 2), (2500, 1001, 5)]
)
def test_jobs_have_at_most_1000_files_and_those_on_tape_are_in_jobs_of_their_own(on_disk, on_tape, jobs):
    rows = [ROW] * on_disk + [ROW._replace(locality=Locality.NEARLINE)] * on_tape
    assert count_jobs(rows) == jobs


def test_an_empty_file_comes_from_no_tape():
    assert count_jobs([ROW, ROW._replace(size=0, locality=Locality.NEARLINE)]) == 1


@pytest.mark.parametrize("said", [None, {}, {"termination_time": None}, {"termination_time": "soon"}, [], "x"])
def test_of_a_proxy_that_is_not_there_nothing_is_left(said):
    assert ends_of(said) == 0


def test_a_delegated_proxy_ends_when_it_is_said_in_utc():
    assert ends_of({"termination_time": "1970-01-02T00:00:01"}) == 86401
    assert ends_of({"termination_time": "1970-01-02T00:00:01.500000"}) == 86401


def test_a_reason_is_one_line():
    said = {"dest_surl": "https://b/x", "file_state": "FAILED", "reason": "it\nhas  failed", "tx_duration": None}
    assert file_of(said).reason == "it has failed" and file_of(said).seconds == 0
