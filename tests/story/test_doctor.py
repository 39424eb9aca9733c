"""--doctor: what it says of a set-up that is good, and of one that is broken at one place; it changes nothing."""

from __future__ import annotations

import fcntl
import json
import os
import platform
import re
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Optional

import pytest

from gridsync_parts.doctor import Look, found_by
from gridsync_parts.patient import Patient
from gridsync_parts.values import Finding
from tests.grid.pki import P12_PASSWORD, PASSPHRASE
from tests.support.disk import MB, Disk
from tests.support.stage import FAKETIME
from tests.support.terminal import on_terminal
from tests.support.user import Result, User, write_secret

ALWAYS = (
    "gridsync", "requests", "tqdm", "libdeflate", "VOMS client", "CA folder", "clock", "VOMS server", "certificate",
    "key", "proxy", "Grid.conf", "work folder", "OUTPUTDIR", "door", "tape service", "pools",
)  # fmt: skip
OF_PROXIES = ("VOMS client", "VOMS server", "certificate", "key", "proxy")
Plant = Callable[[User], Optional[dict[str, str]]]


@pytest.fixture
def well(user: User, folder: str, tmp_path: Path) -> Iterator[User]:
    """A user with all that a run needs, and a list of two files, one of them on tape."""
    user.grid.voms  # noqa: B018 - it is up from here on
    become(user, "alice")
    shutil.copy(user.grid.pki.proxy("good"), tmp_path / "proxy")
    user.env["X509_USER_PROXY"] = str(tmp_path / "proxy")
    user.grid.tree.add(f"agata/{folder}/disk", 1000)
    user.grid.tree.add(f"agata/{folder}/tape", 2000, tape=True)
    user.data.mkdir()
    assert user(f"--input_dir {folder} --build_list").status == 0
    yield user
    user.grid.door.faults.clear()
    user.grid.door.switches.wellknown = "present"


def become(user: User, name: str) -> None:
    """Live at a copy of somebody's home."""
    home = user.folder / "home"
    shutil.rmtree(home, ignore_errors=True)
    shutil.copytree(user.grid.pki.user(name), home, symlinks=True)
    user.env.update(user.grid.pki.environment(name, home), GRIDSYNC_DIR=str(user.folder))


def rows(result: Result) -> dict[str, tuple[str, str]]:
    """Label and text of each row."""
    lines = [re.fullmatch(r"(ok|FAIL|--) +(.{13}) (.*)", line) for line in result.out.splitlines()]
    assert all(lines), result
    return {line[2].strip(): (line[1], line[3]) for line in lines if line}


def tree(folder: Path) -> dict[str, object]:
    """All that is below a folder, and since when."""
    found: dict[str, object] = {}
    for path in sorted(folder.rglob("*")):
        stat = path.lstat()
        found[str(path)] = (stat.st_mode, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns)
    return found


def test_all_is_well(well):
    before = tree(well.folder)
    result = well("--doctor")
    found = rows(result)
    assert (result.status, re.sub("(?m)^Looking at: .*\n", "", result.err)) == (0, "")  # said of what takes long
    assert tuple(found) == ALWAYS and {label for label, _ in found.values()} == {"ok"}
    text = {name: text for name, (_, text) in found.items()}
    assert re.fullmatch(r"[\d.]+, Python 3\.[\d.]+ with OpenSSL .*, .*", text["gridsync"])
    assert text["CA folder"].startswith(f"1 CA(s) in {well.grid.pki.certificates}, the newest of ")
    assert re.fullmatch(r"within \d s of the door's", text["clock"])
    assert text["VOMS server"] == f"localhost:{well.grid.voms.port} takes connections, for vo.agata.org"
    assert re.fullmatch(r"\S+/usercert\.pem, 36\d days left, until \d\d \w{3} \d{4}", text["certificate"])
    assert text["key"].endswith("/userkey.pem, with a pass phrase")
    assert re.fullmatch(r"\S+/proxy, of vo\.agata\.org, 71h\d\dm left, until .* UTC \d{4}", text["proxy"])
    assert text["work folder"] == f"{well.folder}, 2 files in the list, 0 of them here"
    assert re.fullmatch(rf"{well.data}, [\d.]+ [kMGT]B free", text["OUTPUTDIR"])
    url = f"{well.grid.door.url}/"
    assert re.fullmatch(rf"{url} answers as dCache [\d.]+, 2 entries in tests/\w+", text["door"])
    assert text["tape service"] == f"{well.grid.door.tape_url} answers"
    pool = well.grid.door.pool_url.removeprefix("https://")
    assert text["pools"] == f"1000.0 B of {next(iter(well.catalog()))} came from {pool}"
    assert tree(well.folder) == before


def program(text: str) -> Plant:
    """A module that can't be imported."""

    def plant(user: User) -> dict[str, str]:
        (user.folder / f"{text}.py").write_text("raise ImportError('not here')")
        return {"PYTHONPATH": str(user.folder)}

    return plant


def empty_tqdm(user: User) -> dict[str, str]:
    (user.folder / "tqdm").mkdir()
    (user.folder / "tqdm/__init__.py").touch()
    return {"PYTHONPATH": str(user.folder)}


def conf(key: str, value: str, section: str = "LYON") -> Plant:
    return lambda user: user.set(key, value, section)


def edited(name: str, edit: Callable[[str], str]) -> Plant:
    """A file of the work folder that somebody has edited."""

    def plant(user: User) -> None:
        path = user.folder / name
        path.write_text(edit(path.read_text()))

    return plant


def mode(name: str, bits: int) -> Plant:
    return lambda user: (user.folder / name).chmod(bits)


def env(**variables: str) -> Plant:
    return lambda user: variables


def lives(name: str) -> Plant:
    return lambda user: become(user, name)


def no_gfal2(user: User) -> dict[str, str]:
    user.set("ENGINE", "gfal2")
    return program("gfal2")(user) or {}


def empty_folder(user: User) -> dict[str, str]:
    (user.folder / "empty").mkdir()
    return {"X509_CERT_DIR": str(user.folder / "empty")}


def old_lists(user: User) -> dict[str, str]:
    return {"X509_CERT_DIR": str(with_list(user, "20200101000000Z", "20200201000000Z"))}


def with_list(user: User, since: str, until: str) -> Path:
    """The CA folder with a revocation list."""
    pki, folder = user.grid.pki, user.folder / "certificates"
    shutil.copytree(pki.certificates, folder, symlinks=True)
    ca = ["-name", "issue", "-cert", "ca.pem", "-keyfile", "ca.key"]
    command = ["openssl", "ca", "-config", "openssl.cnf", *ca, "-gencrl", "-crl_lastupdate", since]
    command += ["-crl_nextupdate", until, "-out", str(folder / "agata-test.crl")]
    names = {**os.environ, "ALTERNATIVE": "", "PASSPHRASE": PASSPHRASE, "P12_PASSWORD": P12_PASSWORD}
    subprocess.run(command, cwd=pki.folder, env=names, check=True, capture_output=True)
    for name in [path.name for path in folder.glob("*.0")]:
        (folder / name.replace(".0", ".r0")).symlink_to("agata-test.crl")
    return folder


def clock(off: str) -> Plant:
    return env(LD_PRELOAD=FAKETIME, FAKETIME=off, FAKETIME_DONT_FAKE_MONOTONIC="1")


def deaf_voms(user: User) -> None:
    (user.folder / "home/.glite/vomses").unlink()
    (user.folder / "home/.glite/vomses").write_text('"vo.agata.org" "localhost" "1" "/CN=x" "vo.agata.org"\n')


def no_certificate(user: User) -> None:
    shutil.rmtree(user.folder / "home/.globus")
    (user.folder / "proxy").unlink()


def no_proxy(user: User) -> None:
    (user.folder / "proxy").unlink()


def ended_proxy(user: User) -> None:
    shutil.copy(user.grid.pki.proxy("expired"), user.folder / "proxy")


def no_token(user: User) -> dict[str, str]:
    user.set("TOKEN", "env:NONE")
    return {}


def bad_token_file(user: User) -> None:
    (user.folder / "token").write_text("hush")
    user.set("TOKEN", f"file:{user.folder}/token")


def refused_token(user: User) -> dict[str, str]:
    user.set("TOKEN", "env:MINE")
    return {"MINE": user.grid.door.token(60, iss="https://elsewhere.org/")}


def file_for_folder(user: User) -> None:
    user.data.rmdir()
    user.data.write_text("a file")


def not_mounted(user: User) -> None:
    assert user("--sync").status == 0
    shutil.rmtree(user.data)
    user.data.mkdir()


def file_for_inputdir(user: User) -> None:
    path = user.data / next(iter(user.catalog()))
    path.parent.parent.mkdir(parents=True)
    path.parent.write_text("a file")


def in_place_of_the_lock(make: Callable[[Path], object]) -> Plant:
    def plant(user: User) -> None:
        path = user.folder / "grid_summary.csv.lock"
        path.unlink(missing_ok=True)
        make(path)

    return plant


def fault(path: str, what: str | int, **more: object) -> Plant:
    return lambda user: user.grid.door.faults.add(path, what, **more) and None


def well_known(user: User) -> None:
    user.grid.door.switches.wellknown = "https://localhost:1/api"


NO_LOCK = "cannot be locked: it is a link or not a regular file; choose another --workdir"
CASES: list[tuple[str, Plant, str]] = [
    ("tqdm", program("tqdm"), "tqdm is not installed, which draws progress; on Debian: apt install python3-tqdm"),
    ("tqdm", empty_tqdm, "tqdm is not installed, which draws progress; on Debian: apt install python3-tqdm"),
    ("tape service", program("requests"), "the site LYON needs requests, which cannot be loaded .not here.; on .*"),
    ("gfal2", no_gfal2, "the site LYON needs gfal2, which is not installed; on Debian: apt install python3-gfal2 .*"),
    ("VOMS client", env(PATH="/nonexistent"), "voms-proxy-init is not installed; on Debian: apt install voms-clients"),
    ("CA folder", conf("CA_DIR", "/nonexistent"), "the folder of CA certificates /nonexistent does not exist; .*"),
    ("CA folder", empty_folder, ".*/empty has no certificate under a name that OpenSSL looks for, .*"),
    ("CA folder", old_lists, "the revocation lists of the CAs are too old; run fetch-crl as root"),
    ("web proxy", env(HTTPS_PROXY="ftp://me:hush@x/"), "HTTPS_PROXY does not name a web proxy that .*"),
    ("clock", clock("+2h"), r"this machine's clock is (1h59m|2h00m) fast, so .*; set it, .*"),
    ("clock", clock("-3d"), r"the certificate of localhost:\d+ is not valid now; is this machine's clock .*"),
    ("VOMS server", conf("VO", "vo.example.org", "gridsync"), "no VOMS server is known for vo.example.org; .*"),
    ("VOMS server", deaf_voms, "the VOMS server localhost:1 cannot be reached: .*"),
    ("certificate", lives("carol"), "your certificate expired on .*; ask your CA for a new one"),
    ("certificate", mode("home/.globus/usercert.pem", 0o666), "others can write your certificate .*; chmod 644 .*"),
    ("certificate", no_certificate, r"there is no .*/\.globus/usercert\.pem; make it from the file .*"),
    ("key", mode("home/.globus/userkey.pem", 0o644), r"others can read your key .*; chmod 600 .*"),
    ("proxy", no_proxy, "there is no proxy at .*/proxy; make a new one with --new_proxy"),
    ("proxy", ended_proxy, "your proxy .*/proxy expired .* ago; make a new one with --new_proxy"),
    ("proxy", mode("proxy", 0o644), "others can read your proxy .*; chmod 600 .*|.*others can read your proxy.*"),
    ("token", no_token, "env:NONE gives no usable token as NONE is not set; set it, or correct TOKEN in Grid.conf"),
    ("token", bad_token_file, "others can read your token .*; chmod 600 .*"),
    ("Grid.conf", conf("THREAD", "8", "gridsync"), r".*, line \d+: unknown key THREAD in .* THREADS"),
    ("Grid.conf", conf("THREADS", "many", "gridsync"), "THREADS in .gridsync. is 'many'; .*|.*THREADS in .*"),
    ("Grid.conf", conf("INCLUDE", "a(", "gridsync"), "--inc: 'a.' is not a regular expression: .*"),
    ("Grid.conf", conf("ENGINE", "curl"), ".*: ENGINE of .LYON. is 'curl'; expected auto, http, gfal2.*"),
    ("Grid.conf", edited("Grid.conf", lambda text: text + "what is this\n"), r".*, line \d+: expected KEY = value"),
    ("Grid.conf", mode("Grid.conf", 0o666), "others can write .*/Grid.conf; check what is in it, then chmod go-w .*"),
    ("work folder", edited("grid_summary.csv", lambda text: text.replace(",1000,", ",x,")), ".*, line 2: .*"),
    ("work folder", mode("grid_summary.csv", 0o666), "others can write .*/grid_summary.csv; .*"),
    ("work folder", in_place_of_the_lock(Path.mkdir), f".*/grid_summary.csv.lock {NO_LOCK}"),
    ("work folder", in_place_of_the_lock(lambda path: path.symlink_to("x")), f".*/grid_summary.csv.lock {NO_LOCK}"),
    ("OUTPUTDIR", not_mounted, "2 files were copied, but there is nothing in .*/data: is a disk not mounted, or .*"),
    ("OUTPUTDIR", file_for_inputdir, "OUTPUTDIR .*/data/tests/.* cannot be made: Not a directory; choose another .*"),
    ("OUTPUTDIR", file_for_folder, "OUTPUTDIR .*/data cannot be made: Not a directory; choose another --output_dir"),
    ("door", conf("SERVER", "https://localhost:1/"), "localhost:1 refuses the connection: .*"),
    ("door", conf("SERVER", "https://no.such.host.invalid/"), "no address is known for no.such.host.invalid:443; .*"),
    ("door", conf("INPUTDIR", "no/such", "gridsync"), "https:.*/no/such: there is no such file or folder; .*"),
    ("door", conf("INPUTDIR", "agata/tests", "gridsync"),
     "there is no agata/tests below BASE_DIR_ON_GRID agata/; paths begin below it: --input_dir tests"),
    ("door", conf("INPUTDIR", "tesst", "gridsync"), "https:.*/tesst: there is no such .*; did you mean tests?.*"),
    ("door", fault("/agata/*", 403, method="PROPFIND"), "https:.*: the door refuses .*"),
    ("door", fault("*", "status", code=503, text="later", method="PROPFIND"), ".* the door answers 503 .later."),
    ("door", refused_token, ".* the door does not accept your proxy or token .*"),
    ("door", env(HTTPS_PROXY="http://127.0.0.1:1"), "the web proxy 127.0.0.1:1 of HTTPS_PROXY cannot be reached .*"),
    ("tape service", fault("/.well-known/*", 500), "https:.*/wlcg-tape-rest-api: the door answers 500 .*"),
    ("tape service", well_known, ".*tape service.*localhost:1 refuses the connection.*"),
    ("tape service", fault("*", 500, role="tape"), ".*the tape service answers 500 .*"),
    (
        "pools",
        fault("/agata/*", "redirect", role="door", method="GET", to="https://localhost:1"),
        "tests/.*: its pool cannot be reached: localhost:1 refuses .*; ask whoever runs your network to open it",
    ),
]  # fmt: skip
# Where one thing that is broken breaks another: what else says FAIL.
TOO: dict[str, set[str]] = {
    "CA folder": {"door"},
    "clock": {"door", "certificate", "VOMS server"},
    "certificate": {"proxy"},
    "VOMS server": {"proxy"},
}


IDS = [f"{name}-{at}" for at, (name, _, _) in enumerate(CASES)]


@pytest.mark.parametrize(("name", "plant", "says"), CASES, ids=IDS)
def test_what_is_broken_says_what_to_do_and_the_others_go_on(well, name, plant, says):
    variables = plant(well) or {}
    before = tree(well.folder)
    result = well("--doctor", **variables)
    found = rows(result)
    assert result.status == 1 and found[name][0] == "FAIL" and re.fullmatch(says, found[name][1]), result.out
    assert {row for row, (label, _) in found.items() if label == "FAIL"} <= {name} | TOO.get(name, set()), result.out
    conf = (well.folder / "Grid.conf").read_text()
    hidden = set(OF_PROXIES if "TOKEN" in conf else ()) | set(["requests"] if "ENGINE = gfal2" in conf else ())
    assert found.keys() >= set(ALWAYS) - hidden
    assert "hush" not in result.out and "Traceback" not in result.err
    if name not in ("tqdm", "gfal2") and "PYTHONPATH" not in variables:  # Python writes what it has compiled
        assert tree(well.folder) == before


@pytest.mark.long
def test_requests_is_needed_only_where_there_is_a_tape_service(well):
    env = program("requests")(well)
    well.set("SITE", "XROOTD", "gridsync")
    well.set("INPUTDIR", "e680_1to64", "gridsync")
    result = well("--doctor", **env)
    label, text = rows(result)["requests"]
    assert label == "ok" and text.startswith("not needed unless there is a tape service (the site XROOTD needs ")
    assert result.status == 0 and rows(result)["tape service"][0] != "FAIL", result.out


def test_what_was_not_looked_at_says_why_and_is_no_failure(well):
    well.grid.tree.remove(f"agata/{next(iter(well.catalog()))}")
    result = well("--doctor")
    assert result.status == 0
    label, text = rows(result)["pools"]
    assert label == "--" and text.startswith("not looked at: no file on disk was found in tests/")


def test_without_a_proxy_it_is_still_seen_whether_the_door_can_be_reached(well):
    no_proxy(well)
    found = rows(well("--doctor"))
    says = "https:.* answers as dCache .*; its listing was not looked at: needs the proxy"
    assert re.fullmatch(says, found["door"][1])
    assert found["tape service"] == found["pools"] == ("--", "not looked at: needs the proxy")


def test_a_machine_to_which_a_proxy_is_brought_needs_nothing_to_make_one(well):
    shutil.rmtree(well.folder / "home")
    result = well("--doctor", PATH="/nonexistent")
    found = rows(result)
    assert result.status == 0, result.out
    assert {name for name, (label, _) in found.items() if label == "--"} == set(OF_PROXIES) - {"proxy"}


def test_with_a_token_nothing_of_proxies_is_looked_at(well):
    well.set("TOKEN", "env:MINE")
    token = well.grid.door.token(3600)
    result = well("--doctor", MINE=token)
    found = rows(result)
    assert result.status == 0, result.out
    assert re.match("from env:MINE, 59m[0-9]{2}s left", found["token"][1])
    assert not set(OF_PROXIES) & found.keys() and token not in result.out + result.err
    assert token not in well("--doctor --json --debug", MINE=token).out


def test_a_web_proxy_is_named(well):
    found = rows(well("--doctor", HTTPS_PROXY="http://me:hush@127.0.0.1:1", NO_PROXY="localhost"))
    assert found["web proxy"] == ("ok", "127.0.0.1:1 of HTTPS_PROXY is not for the door (NO_PROXY)")


def test_what_is_no_file_among_the_cas_counts_for_nothing(well):
    folder = well.folder / "certificates"
    shutil.copytree(well.grid.pki.certificates, folder, symlinks=True)
    for name in ("0a1b2c3d.0", "0a1b2c3d.r0"):
        (folder / name).symlink_to("gone.pem")
    (folder / "4e5f6a7b.0").mkdir()
    label, text = rows(well("--doctor", X509_CERT_DIR=str(folder)))["CA folder"]
    assert label == "ok" and text.startswith(f"1 CA(s) in {folder}, ") and "revocation" not in text


def test_a_file_that_cannot_be_used_is_named(user):
    look = Look("x", lambda patient: str(os.listdir(user.folder / "none")))
    says = f"{user.folder}/none cannot be used: No such file or directory; check it"
    assert found_by(look, Patient(str(user.folder), {})) == Finding("x", False, says)


def test_good_revocation_lists_are_counted(well):
    folder = with_list(well, "20200101000000Z", "20990201000000Z")
    found = rows(well("--doctor", X509_CERT_DIR=str(folder)))
    assert found["CA folder"][0] == "ok" and found["CA folder"][1].endswith("; 1 revocation list(s), 0 of them too old")


@pytest.mark.parametrize("engine", ["http", "gfal2"])
@pytest.mark.parametrize("site", ["LYON", "CNAF", "XROOTD"])
def test_each_kind_of_door_is_well(well, site, engine):
    well.set("ENGINE", engine, site)
    (well.folder / "grid_summary.csv").unlink()
    result = well(f"--doctor --from={site} --input_dir=/")
    found = rows(result)
    assert result.status == 0 and {label for label, _ in found.values()} <= {"ok", "--"}, result.out
    assert {name for name, (label, _) in found.items() if label == "--"} <= {"clock"}, result.out
    assert ("gfal2" in found) == (engine == "gfal2")


@pytest.mark.long
def test_a_root_door_is_looked_at_through_gfal2(well):
    well.set("SERVER", well.grid.xrootd.root_url)
    well.set("INPUTDIR", "awkward", "gridsync")
    found = rows(well("--doctor"))
    assert found["door"][0] == found["pools"][0] == "ok", found
    assert found["clock"] == ("--", "not looked at: only an https door tells the time")


def test_the_document_has_what_the_lines_have(well):
    no_proxy(well)
    shown = rows(well("--doctor"))
    result = well("--doctor --json")
    document = json.loads(result.out)
    labels = {True: "ok", False: "FAIL", None: "--"}
    found = {row["name"]: (labels[row["ok"]], row["text"]) for row in document["doctor"]}
    for lines in (shown, found):
        lines["clock"] = (lines["clock"][0], re.sub(r"\d", "", lines["clock"][1]))
        lines["OUTPUTDIR"] = (lines["OUTPUTDIR"][0], "")
    assert found == shown and list(found) == list(shown)
    assert (result.status, document["status"], result.err) == (1, 1, "") and document.keys() == {"doctor", "status"}


def test_quiet_says_only_what_is_to_be_done(well):
    assert well("--doctor --quiet") == (0, "", "")
    no_proxy(well)
    assert list(rows(well("--doctor --quiet"))) == ["proxy"]


def test_without_grid_conf_the_defaults_are_looked_at_and_none_is_made(well):
    (well.folder / "Grid.conf").unlink()
    before = tree(well.folder)
    says = "there is no .*/Grid.conf, so the defaults: site CNAF, VO vo.agata.org, .*"
    assert re.fullmatch(says, rows(well("--doctor --from=CNAF"))["Grid.conf"][1])
    assert tree(well.folder) == before


def test_what_is_given_is_looked_at_and_not_remembered(well):
    before = tree(well.folder)
    assert "site CNAF" in rows(well("--from=CNAF --doctor"))["Grid.conf"][1]
    assert tree(well.folder) == before
    assert well("--threads 0 --doctor").status == 2


def test_another_programs_grid_conf_is_left_where_it_is(well):
    (well.folder / "Grid.conf").write_text("SERVER=https://x/\nINPUTDIR=e680\n")
    before = tree(well.folder)
    says = ".*/Grid.conf was made by another program and is not used, so the defaults: site LYON, .*"
    assert re.fullmatch(says, rows(well("--doctor"))["Grid.conf"][1])
    assert tree(well.folder) == before


def test_a_pasted_url_is_looked_at(well):
    url = f"{well.grid.door.url}/agata/tests"
    assert rows(well(f"--doctor --input_dir={url}"))["door"][1].endswith(" entries in tests")


def test_without_an_inputdir_the_option_is_named(well):
    well.set("INPUTDIR", "", "gridsync")
    label, text = rows(well("--doctor"))["Grid.conf"]
    assert label == "ok" and text.endswith("INPUTDIR not chosen yet (--input_dir)")


def test_it_takes_no_lock(well):
    with open(well.folder / "grid_summary.csv.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert well("--doctor").status == 0


@pytest.mark.long
def test_it_comes_before_the_others_on_its_line_and_after_a_new_proxy(well):
    no_proxy(well)
    result = well("--ls_dir tests --doctor --new_proxy", PASSPHRASE)
    assert result.status == 0
    places = [result.out.index(text) for text in ("Created proxy", "ok    proxy", " -- List")]
    assert places == sorted(places)
    no_proxy(well)
    result = well("--doctor --ls_dir tests")
    assert result.status == 3 and "FAIL  proxy" in result.out


def test_a_key_of_another_program_is_no_failure(well):
    well.set("MOOD", "fine", "gridsync")
    result = well("--doctor")
    assert result.status == 0 and rows(result)["Grid.conf"][1].endswith("; 1 key(s) are unknown to gridsync")


@pytest.fixture
def disk(well: User) -> Iterator[Disk]:
    """OUTPUTDIR is a small disk."""
    disk = Disk(well.data)
    try:
        disk.expect()
        well.before = disk.before
        yield disk
    finally:
        disk.close()


@pytest.mark.long
def test_a_disk_that_is_full_or_too_small_or_read_only_is_seen(well, disk):
    assert rows(well("--doctor"))["OUTPUTDIR"] == ("ok", f"{well.data}, 48.0 MB free")
    disk.fill()
    assert rows(well("--doctor"))["OUTPUTDIR"] == ("FAIL", f"{well.data} has 0.0 B free, but 1000.0 B are needed; "
        "make room, choose another --output_dir, or fetch less with --inc")  # fmt: skip
    (well.folder / "grid_summary.csv").unlink()
    assert re.match("the disk of .*/data is full; make room", rows(well("--doctor"))["OUTPUTDIR"][1])
    disk.make_room()
    disk.remount("ro")
    says = "cannot be written: Read-only file system; choose another --output_dir"
    assert rows(well("--doctor"))["OUTPUTDIR"] == ("FAIL", f"OUTPUTDIR {well.data} {says}")


def test_a_pool_that_is_busy_is_no_matter_of_the_network(well):
    well.grid.door.faults.add("/agata/*", 500, role="door", method="GET")
    label, text = rows(well("--doctor"))["pools"]
    assert label == "FAIL" and "too many readers" in text and "your network" not in text


def test_a_large_file_is_read_at_its_beginning_alone(well):
    path = next(iter(well.catalog()))
    well.grid.tree.add(f"agata/{path}", 300 * MB)
    assert well("--build_list").status == 0
    well.grid.door.log.clear()
    assert rows(well("--doctor"))["pools"][1].startswith("64.0 kB of ")


@pytest.mark.parametrize(
    ("path", "method", "name"),
    [("/", "OPTIONS", "door"), ("/agata/*", "PROPFIND", "door"), ("/.well-known/*", "GET", "tape service"),
     ("/agata/*", "GET", "pools")],
)  # fmt: skip
def test_a_server_that_hangs_holds_it_up_for_a_while_only(well, path, method, name):
    well.grid.door.faults.add(path, "stall", method=method)
    began = time.monotonic()
    result = well("--doctor", changed="LOOK_LIMIT = 2; REPEAT = 0.1; EARLIEST = 1")
    found = rows(result)
    assert time.monotonic() - began < 15 and result.status == 1
    assert found[name][0] == "FAIL" and "does not answer" in found[name][1]
    assert "Looking at: " in result.err


@pytest.mark.parametrize(("scheme", "said"), [("root", "does not answer within 4 s"), ("sftp", "does not answer")])
def test_so_does_one_that_speaks_no_http(well, scheme, said):
    with socket.create_server(("localhost", 0)) as silent:
        place = f"localhost:{silent.getsockname()[1]}"
        well.set("SERVER", f"{scheme}://{place}/")
        began = time.monotonic()
        result = well("--doctor", changed="LOOK_LIMIT = 2")
    found = rows(result)
    assert time.monotonic() - began < 20 and result.status == 1
    assert found["door"] == ("FAIL", f"{place} {said}: overloaded, or blocked by a firewall")
    assert found["tape service"] == found["pools"] == ("--", "not looked at: needs the door")


def test_a_terminal_shows_what_is_waited_for_and_what_is_wrong_in_red(well):
    well.grid.door.faults.add("/agata/*", "stall", method="PROPFIND", seconds=1.5, count=1)
    deaf_voms(well)
    colours = {name: value for name, value in well.env.items() if name != "NO_COLOR"}
    status, text = on_terminal(well.command("--doctor"), {**colours, "TERM": "xterm"})
    assert status == 1 and "Looking at: door ..." in text
    assert "\033[31mFAIL\033[m  VOMS server" in text and "\033[32mok\033[m    door" in text


def test_a_door_that_cannot_be_asked_without_a_proxy_is_not_called_ok(well):
    well.set("SERVER", "root://nosuch.example.org:1094/")
    (well.folder / "proxy").unlink(missing_ok=True)
    well.env["X509_USER_PROXY"] = str(well.folder / "no-proxy")
    found = rows(well("--doctor"))
    assert found["door"] == ("--", "not looked at: needs the proxy")


@pytest.mark.parametrize(
    ("text", "system"),
    [(b"ID=mine\n", platform.platform()), (b'PRETTY_NAME="M\xfcll"\n', f"M\ufffdll, {platform.machine()}")],
)
def test_a_system_may_have_any_name(well, text, system):
    (well.folder / "os-release").write_bytes(text)
    result = well("--doctor", changed=f"OS_RELEASE = {str(well.folder / 'os-release')!r}")
    assert rows(result)["gridsync"][1].endswith(f", {system}")


def test_a_look_that_nobody_has_foreseen_to_fail_holds_up_no_other(user):
    def stumbles(patient: Patient) -> str:
        return str(patient.found["nothing"])

    found = found_by(Look("x", stumbles), Patient(str(user.folder), {}))
    says = "a fault of gridsync, please report it with what --debug shows: KeyError: 'nothing'"
    assert found == Finding("x", False, says)


@pytest.mark.parametrize("plant", [program("tqdm"), empty_tqdm])
def test_without_tqdm_a_terminal_gets_the_lines_alone(well, plant):
    well.grid.door.faults.add("/agata/*", "stall", method="PROPFIND", seconds=1, count=1)
    status, text = on_terminal(well.command("--doctor"), {**well.env, **plant(well)})
    assert status == 1 and "FAIL  tqdm" in text and "ok    pools" in text


def test_a_command_that_gives_no_token_is_waited_for_as_such_and_once(well):
    well.set("TOKEN", "cmd:sleep 300")
    began = time.monotonic()
    result = well("--doctor", changed="CLIENT_LIMIT = 3; REPEAT = 0.1; EARLIEST = 1")
    assert rows(result)["token"][0] == "FAIL" and time.monotonic() - began < 8
    said = result.err.count
    assert said("Looking at: token ...") > 5 * said("Looking at: clock ...")  # which is soon done


def test_a_token_in_a_file_is_read_and_not_told(well):
    write_secret(well.folder / "token", well.grid.door.token(3600))
    well.set("TOKEN", f"file:{well.folder}/token")
    result = well("--doctor")
    assert result.status == 0 and "eyJ" not in result.out
