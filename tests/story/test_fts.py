"""--fts: an FTS3 server copies from site to site, and gridsync follows its jobs."""

from __future__ import annotations

import json
import random
import re
import signal
import time

import pytest

from gridsync_parts.fts import FILES
from tests.grid.fts import TERMINAL
from tests.grid.guests import token
from tests.support.ships import SIZES, Handing, last_line
from tests.support.user import wait_until, write_secret


@pytest.fixture
def handing(grid, fts, tmp_path, folder) -> Handing:
    return Handing(grid, tmp_path, folder)


def submissions(fts) -> int:
    """How many jobs were asked for."""
    return fts.log.count(method="POST", path="/jobs")


def wait_for_end(fts) -> None:
    """Wait until the server has done all that it has to do."""
    wait_until(lambda: fts.states() and all(state in TERMINAL for state in fts.states()))


def test_a_folder_is_there_verified_and_a_further_run_submits_nothing(handing, fts):
    done = handing.list_and_start()
    assert done.status == 0 and re.search(last_line(copied=len(SIZES)), done.out), done
    assert f"...starting to copy the {len(SIZES)} requested files from LYON to CNAF by {fts.url}" in done.out
    assert done.err.startswith(f"{fts.url} acts for you with your proxy\n") and "gridsync.py:" not in done.err
    assert handing.there() == handing.sent() and len(handing.there()) == len(SIZES)
    assert {(row["downloaded"], row["verified"]) for row in handing.rows().values()} == {("yes", "adler32")}
    for row in handing.noted().values():
        assert (row["site"], row["verified"], row["temp"], row["error"], row["job"]) == ("CNAF", "adler32", "", "", "")
    again = handing.ship("--start")
    assert again.status == 0 and re.search(last_line(skipped=len(SIZES)), again.out), again
    assert submissions(fts) == fts.log.count(path="/whoami") == 1  # where there is nothing to do it is not asked


@pytest.mark.long
def test_files_on_tape_are_brought_online_in_the_job(handing, fts):
    handing.add("sub/taped", 40_000, tape=True)
    done = handing.ship("--sync")
    assert done.status == 0 and re.search(last_line(copied=len(SIZES) + 1), done.out), done
    assert handing.there() == handing.sent()
    staged = [job for job in fts.jobs.values() if job.params["bring_online"] > 0]
    assert len(fts.jobs) == 2 and [len(job.files) for job in staged] == [1]
    assert staged[0].params["copy_pin_lifetime"] == 7 * 86400
    assert handing.rows()["sub/taped"]["locality"] == "ONLINE" and not handing.rows()["sub/taped"]["request"]
    assert not handing.pinned()  # as the server gives it back


def test_what_has_failed_is_named_with_its_reason_and_copied_by_a_further_run(handing, fts):
    fts.failing["*/sub/mid"] = "TRANSFER [70] the pool has caught fire"
    done = handing.list_and_start()
    assert done.status == 1 and re.search(last_line(copied=3, failed=1), done.out), done
    says = f"{handing.top}/sub/mid: the FTS3 server could not copy it: TRANSFER [70] the pool has caught fire"
    assert says in done.err
    assert handing.rows()["sub/mid"]["error"] == says and handing.noted()["sub/mid"]["job"] == ""
    fts.failing.clear()
    again = handing.ship("--start")
    assert again.status == 0 and re.search(last_line(copied=1, skipped=3), again.out), again
    assert handing.there() == handing.sent()


@pytest.mark.long
def test_sync_submits_again_what_has_failed(handing, fts):
    assert handing.ship("--build_list").status == 0
    fts.failing["*/small"] = "TRANSFER [70] the pool has caught fire"
    with handing.running(f"--sync --to=CNAF {handing.more}", "file = Backoff(0.5, HOUR, DAY)") as run:
        wait_until(lambda: "FAILED" in fts.states())
        fts.failing.clear()
        out, err = run.communicate(timeout=60)
    assert run.returncode == 0 and re.search(last_line(copied=len(SIZES)), out), (out, err)
    assert "the pool has caught fire" in err and submissions(fts) == 2
    assert handing.there() == handing.sent()


@pytest.mark.long
def test_another_file_there_is_left_alone_unless_it_is_to_be_replaced(handing, fts):
    handing.put_there("small", b"another one")
    handing.put_there("sub/mid", bytes(SIZES["sub/mid"]))
    done = handing.list_and_start()
    assert done.status == 1 and re.search(last_line(copied=2, failed=2), done.out), done
    for name in ("small", "sub/mid"):
        assert f"{handing.top}/{name}: another file has this name at the site; --overwrite replaces it\n" in done.err
    assert handing.there()["small"] == b"another one"
    done = handing.ship("--start", "--overwrite")
    assert done.status == 0, done.err
    assert handing.there() == handing.sent()


@pytest.mark.long
def test_what_arrives_with_other_bytes_is_no_success(handing, fts):
    fts.wrong = "*/small"
    done = handing.list_and_start()
    assert done.status == 1 and re.search(last_line(copied=3, failed=1), done.out), done
    assert re.search(rf"{handing.top}/small: the door has adler32:\w+, but adler32:\w+ was sent; --overwrite", done.err)
    assert handing.rows()["small"]["downloaded"] == "no"


@pytest.mark.long
def test_ctrl_c_leaves_the_job_to_the_server_and_a_further_run_follows_it(handing, fts):
    assert handing.ship("--build_list").status == 0
    fts.hold()
    with handing.running(f"--start --to=CNAF {handing.more}") as run:
        wait_until(lambda: fts.log.count(method="GET", status=200) and fts.states())
        wait_until(lambda: any(record.path.endswith("/files") for record in fts.log))
        run.send_signal(signal.SIGINT)
        _, err = run.communicate(timeout=60)
    assert run.returncode == 130
    assert f"1 job(s) go on at {fts.url}; the same line follows them, and --cancel ends them\n" in err
    (id,) = fts.jobs
    assert {row["job"] for row in handing.noted().values()} == {f"{fts.url}/jobs/{id}"}
    plain = handing("--start --to=CNAF --trust_target")
    assert plain.status == 2 and f"are in jobs of an FTS3 server; --fts={fts.url} follows them" in plain.err
    fts.go()
    again = handing.ship("--start")
    assert again.status == 0 and re.search(last_line(copied=len(SIZES)), again.out), again
    assert f"1 job(s) of an earlier run are followed at {fts.url}\n" in again.err
    assert submissions(fts) == 1 and handing.there() == handing.sent()


@pytest.mark.long
@pytest.mark.parametrize(
    "moment",
    [
        pytest.param("before it is heard", marks=pytest.mark.long),
        "before it is answered",
        pytest.param("after it", marks=pytest.mark.long),
    ],
)
def test_kill_9_around_the_submission_gives_no_second_job(handing, fts, moment):
    assert handing.ship("--build_list").status == 0
    fts.hold()
    if moment == "before it is heard":
        fts.faults.add("/jobs", "stall", method="POST", seconds=30)
    elif moment == "before it is answered":
        fts.is_silent = True
    with handing.running(f"--start --to=CNAF {handing.more}") as run:
        wait_until(lambda: submissions(fts))
        wait_until(lambda: moment != "before it is answered" or fts.jobs)
        wait_until(lambda: moment != "after it" or any(record.path.endswith("/files") for record in fts.log))
        run.kill()
    noted = {row["job"] for row in handing.noted().values()}
    assert len(noted) == 1 and ("#" in noted.pop()) == (moment != "after it")
    fts.faults.clear()
    fts.is_silent = False
    fts.go()
    again = handing.ship("--start")
    assert again.status == 0 and re.search(last_line(copied=len(SIZES)), again.out), again
    assert len(fts.jobs) == 1 and handing.there() == handing.sent()


def test_a_job_whose_answer_is_lost_is_there_once(handing, fts):
    fts.faults.add("/jobs", "lost", method="POST", count=1)
    done = handing.list_and_start()
    assert done.status == 0 and re.search(last_line(copied=len(SIZES)), done.out), done
    assert len(fts.jobs) == 1 and submissions(fts) == 2


@pytest.mark.long
def test_a_job_that_the_server_has_forgotten_is_looked_for_at_the_target(handing, fts):
    assert handing.ship("--build_list").status == 0
    fts.hold()
    with handing.running(f"--start --to=CNAF {handing.more}") as run:
        wait_until(lambda: any(record.path.endswith("/files") for record in fts.log))
        run.kill()
    fts.forget()
    handing.put_there("small", handing.sent()["small"])
    fts.go()
    done = handing.ship("--start")
    assert done.status == 0 and re.search(last_line(copied=3, skipped=1), done.out), done
    assert "the FTS3 server has no job " in done.err and "what is missing at CNAF is submitted anew\n" in done.err
    assert handing.there() == handing.sent()


def test_cancel_ends_the_job_and_says_what_was_copied(handing, fts):
    nothing = handing.ship("--cancel")
    assert (nothing.status, nothing.err) == (0, "") and f" No job is under way at {fts.url}\n" in nothing.out, nothing
    assert handing.ship("--build_list").status == 0
    fts.hold()
    with handing.running(f"--start --to=CNAF {handing.more}") as run:
        wait_until(lambda: any(record.path.endswith("/files") for record in fts.log))
        run.kill()
    dry = handing.ship("--cancel", "--dry_run")
    assert dry.status == 0 and f" (DRY RUN) would end 1 job(s) at {fts.url}\n" in dry.out
    assert "CANCELED" not in fts.states()
    done = handing.ship("--cancel")
    says = f" ** 1 job(s) ended at {fts.url}: 0 file(s) were copied before, {len(SIZES)} cancelled **\n"
    assert done.status == 0 and says in done.out, done
    assert set(fts.states()) == {"CANCELED"}
    assert {row["job"] for row in handing.noted().values()} == {""}
    fts.go()
    again = handing.ship("--start")
    assert again.status == 0 and handing.there() == handing.sent(), again


@pytest.mark.long
def test_cancel_counts_what_had_come(handing, fts):
    assert handing.ship("--build_list").status == 0
    with handing.running(f"--start --to=CNAF {handing.more}", "poll_first: float = 30.0") as run:
        wait_for_end(fts)
        run.kill()
    done = handing.ship("--cancel")
    assert done.status == 0 and f": {len(SIZES)} file(s) were copied before, 0 cancelled **" in done.out, done
    assert {row["verified"] for row in handing.rows().values()} == {"adler32"}


def test_a_dry_run_submits_nothing(handing, fts):
    assert handing.ship("--build_list").status == 0
    done = handing.ship("--start", "--dry_run")
    assert done.status == 0 and f"would copy {len(SIZES)} files" in done.out, done
    assert f"(DRY RUN) from LYON to CNAF, in 1 job(s) of the FTS3 server {fts.url}\n" in done.out
    assert not fts.jobs and not (handing.folder / "grid_uploads.csv").exists()


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (
            "--fts=http://localhost:1",
            "--fts=http://localhost:1 must be an https address, as your proxy or tokens go there",
        ),
        ("--fts=there", "--fts is 'there'; expected a URL"),
        ("--fts=https://me:secret@localhost:1", "--fts contains a password"),
    ],
)
def test_an_address_that_can_be_none_is_refused(handing, words, says):
    done = handing(f"--start --to=CNAF {words}")
    assert done.status == 2 and says in done.err and "secret" not in done.err, done


def test_what_is_no_fts3_server_is_one_sentence(handing, grid):
    assert handing.ship("--build_list").status == 0
    done = handing(f"--start --to=CNAF --fts={grid.door.url}")
    assert done.status == 4 and done.err.count("\n") == 1 and "is it the address of an FTS3 server?" in done.err, done


def test_a_server_that_does_not_know_the_user_is_one_sentence(handing, fts):
    assert handing.ship("--build_list").status == 0
    fts.faults.add("/whoami", 403)
    done = handing.ship("--start")
    assert done.status == 3 and done.err.count("\n") == 1 and "the FTS3 server refuses (" in done.err, done


@pytest.mark.long
def test_sync_takes_in_new_files_while_others_are_copied(handing, fts):
    fts.hold()
    with handing.running(f"--sync --to=CNAF {handing.more}", "list = 2.0") as run:
        wait_until(lambda: fts.jobs)
        handing.add("late", 5_000)
        wait_until(lambda: len(fts.jobs) == 2)
        fts.go()
        out, err = run.communicate(timeout=60)
    assert run.returncode == 0 and re.search(last_line(copied=len(SIZES) + 1), out), (out, err)
    assert handing.there() == handing.sent() and "late" in handing.there()


def test_max_duration_leaves_the_job_to_the_server(handing, fts):
    assert handing.ship("--build_list").status == 0
    fts.hold()
    done = handing.ship("--start", "--max_duration=8s")  # in which a busy machine has handed it over
    assert done.status == 1 and f"1 job(s) go on at {fts.url}; " in done.err, done
    fts.go()
    again = handing.ship("--start")
    assert again.status == 0 and submissions(fts) == 1 and handing.there() == handing.sent()


@pytest.mark.long
def test_stats_and_json_say_what_came_of_files(handing, fts, tmp_path):
    fts.failing["*/sub/mid"] = "TRANSFER [70] the pool has caught fire"
    assert handing.ship("--build_list").status == 0
    done = handing.ship("--start", f"--json --stats={tmp_path}/stats.jsonl")
    said = json.loads(done.out)
    assert done.status == 1 and (said["copy"]["copied"], said["copy"]["failed"]) == (3, 1)
    lines = [json.loads(line) for line in (tmp_path / "stats.jsonl").read_text().splitlines()]
    assert {(line["site"], line["direction"]) for line in lines} == {("LYON>CNAF", "copy")}
    by_name = {line["key"][len(handing.top) + 1 :]: line for line in lines}
    assert {name: line["status"] for name, line in by_name.items()} == {
        "empty": "ok", "small": "ok", "sub/deep/big": "ok", "sub/mid": "failed",
    }  # fmt: skip
    big = by_name["sub/deep/big"]
    assert (big["bytes"], big["verified"]) == (SIZES["sub/deep/big"], "adler32") and big["rate_Bps"] > 0
    assert "the pool has caught fire" in by_name["sub/mid"]["error"]


def test_tokens_go_to_the_server_where_both_sites_take_them(handing, fts, tmp_path):
    for site in ("LYON", "CNAF"):
        write_secret(tmp_path / site, token(3600, jti=site))
        handing.set("TOKEN", f"file:{tmp_path / site}", site)
    done = handing.list_and_start()
    assert done.status == 0 and handing.there() == handing.sent(), done
    assert f"{fts.url} acts for you with your tokens for LYON and CNAF\n" in done.err
    assert not any(record.path.startswith("/delegation") or record.certificate for record in fts.log)
    shown = {pair for job in fts.jobs.values() for file in job.files for pair in [file.tokens]}
    assert shown == {((tmp_path / "LYON").read_text(), (tmp_path / "CNAF").read_text())}
    state = (tmp_path / "grid_uploads.csv").read_text() + done.out + done.err
    assert not any((tmp_path / site).read_text() in state for site in ("LYON", "CNAF"))


def test_cancel_is_for_a_line_of_its_own(handing):
    done = handing.ship("--start --cancel")
    assert done.status == 2 and "--cancel ends jobs that are under way; run it on a line of its own" in done.err


def test_a_token_at_one_site_alone_is_refused(handing, fts, tmp_path):
    write_secret(tmp_path / "token", token(3600))
    handing.set("TOKEN", f"file:{tmp_path / 'token'}", "CNAF")
    assert handing.ship("--build_list").status == 0
    done = handing.ship("--start")
    assert done.status == 2 and "and LYON is shown no token; set TOKEN" in done.err and not fts.jobs, done


@pytest.mark.long
@pytest.mark.parametrize("lifetime", [600, 7200])
def test_a_delegated_proxy_that_ends_soon_is_made_anew(handing, fts, lifetime):
    assert handing.ship("--build_list").status == 0
    fts.failing["*"] = "TRANSFER [70] the pool has caught fire"
    assert handing.ship("--start").status == 1
    puts = fts.log.count(method="PUT")
    assert puts == 1
    fts.failing.clear()
    assert handing.ship("--start", "--dry_run").status == 0
    fts.lifetime = lifetime
    done = handing.ship("--start")
    assert done.status == 0 and fts.log.count(method="PUT") == 2, done


@pytest.mark.long
def test_a_busy_server_is_asked_again(handing, fts):
    for fault in (503, 429):
        fts.faults.add("/jobs", fault, method="POST", count=1, retry_after=1)
    fts.faults.add("/jobs/*", 503, method="GET", count=1, retry_after=1)
    handing.set("RETRIES", "5", "gridsync")
    done = handing.list_and_start()
    assert done.status == 0 and len(fts.jobs) == 1 and handing.there() == handing.sent(), done


@pytest.mark.long
def test_a_refused_job_leaves_nothing_noted(handing, fts):
    fts.most = 100
    done = handing.list_and_start()
    assert done.status == 4 and "takes no job of this size" in done.err and done.err.count("gridsync.py:") == 1, done
    assert {row["job"] for row in handing.noted().values()} == {""}
    fts.most = 0
    assert handing.ship("--start").status == 0 and handing.there() == handing.sent()


@pytest.mark.long
def test_2500_files_are_three_jobs(handing, fts):
    """With all numbers a fiftieth of that."""
    assert FILES == 1000
    handing.changed = "FILES = 20"
    for number in range(50 - len(SIZES)):
        handing.add(f"many/{number:04}", 10)
    done = handing.list_and_start()
    assert done.status == 0 and re.search(last_line(copied=50), done.out), done
    assert sorted(len(job.files) for job in fts.jobs.values()) == [10, 20, 20]
    assert handing.there() == handing.sent()


@pytest.mark.long
def test_between_two_real_xrootd(real, fts):
    assert real.ship("--build_list").status == 0
    done = real.ship("--start", f"--fts={fts.url}")
    assert done.status == 0 and re.search(last_line(copied=len(SIZES)), done.out), done
    assert real.there() == real.sent()
    assert {row["verified"] for row in real.rows().values()} == {"adler32"}


@pytest.mark.long
def test_awkward_names_arrive(real, fts):
    names = ["a b", "comma,equals=1", "plus+tilde~"]
    for name in names:
        real.add(f"odd {name}/{name}", b"x" * 100)
    assert real.ship("--build_list").status == 0
    done = real.ship("--start", f"--fts={fts.url}")
    assert done.status == 0 and re.search(last_line(copied=len(SIZES) + len(names)), done.out), done
    assert real.there() == real.sent()


@pytest.mark.long
def test_what_the_target_does_not_show_is_no_success(handing, fts):
    handing.add("a b", 100)  # StoRM takes such a name, and says 404 of it
    done = handing.list_and_start()
    assert done.status == 1 and re.search(last_line(copied=len(SIZES), failed=1), done.out), done
    assert f"{handing.top}/a b: the FTS3 server says that it is copied, but CNAF has no such file" in done.err


@pytest.mark.long
def test_a_run_about_some_of_the_files_leaves_the_others_in_their_job(handing, fts):
    assert handing.ship("--build_list").status == 0
    fts.hold()
    with handing.running(f"--start --to=CNAF {handing.more}") as run:
        wait_until(lambda: any(record.path.endswith("/files") for record in fts.log))
        run.kill()
    fts.go()
    done = handing.ship("--start", "--inc=small")
    assert done.status == 0 and re.search(last_line(copied=1), done.out), done
    jobs = {name: bool(row["job"]) for name, row in handing.noted().items()}
    assert jobs == {"empty": True, "small": False, "sub/deep/big": True, "sub/mid": True}
    again = handing.ship("--start", "--inc=.")
    assert again.status == 0 and submissions(fts) == 1 and handing.there() == handing.sent(), again


@pytest.mark.long
def test_files_on_tape_at_storm_go_to_dcache(grid, fts, tmp_path, folder):
    handing = Handing(grid, tmp_path, folder, source="CNAF")
    handing.add("sub/taped", 40_000, tape=True)
    done = handing.list_and_start()
    assert done.status == 0 and re.search(last_line(copied=len(SIZES) + 1), done.out), done
    assert handing.there() == handing.sent()
    assert sum(job.params["bring_online"] > 0 for job in fts.jobs.values()) == 1


@pytest.mark.long
@pytest.mark.parametrize("seed", range(3))
def test_runs_that_are_killed_at_any_moment_submit_no_file_twice(handing, fts, seed):
    dice = random.Random(seed)
    for number in range(20):
        handing.add(f"many/{number}", 5_000, tape=number % 3 == 0)
    assert handing.ship("--build_list").status == 0
    for _ in range(6):
        with handing.running(f"--start --to=CNAF {handing.more}") as run:
            time.sleep(dice.uniform(0.2, 2.0))
            run.kill()
    done = handing.ship("--start")
    assert done.status == 0, done
    assert handing.there() == handing.sent()
    submitted = [file.dest_surl for job in fts.jobs.values() for file in job.files]
    assert len(submitted) == len(set(submitted)) == len(SIZES) + 20
    assert {row["job"] for row in handing.noted().values()} == {""}
    assert {row["downloaded"] for row in handing.rows().values()} == {"yes"}
