"""A site behind FTP with TLS: what a user types and sees, at each server that there is."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.grid import Grid
from tests.grid.ftpd import KINDS, PASSWORD, USER
from tests.support import SCRIPT
from tests.support.ftp import Member, folder_of
from tests.support.terminal import Seen, dialogue
from tests.support.user import wait_for, wait_until

DATA = bytes(range(256)) * 1200


@pytest.fixture
def at(grid: Grid, tmp_path: Path, request: pytest.FixtureRequest) -> Callable[[str], Member]:
    """A user at a server of a kind."""
    return lambda kind: Member(grid, tmp_path, grid.ftpd(kind), folder_of(request.node.name))


@pytest.fixture
def member(at: Callable[[str], Member]) -> Member:
    return at("proftpd")


# There and back.


@pytest.mark.parametrize("kind", KINDS)
def test_a_folder_comes_is_verified_by_size_and_is_not_fetched_again(at, kind):
    user = at(kind)
    for name in ("raw/run 1/a.dat", "raw/run 1/.hidden", "raw/caf\u00e9", "raw/empty", "raw/#1?;&%20"):
        user.lay(name, b"" if name.endswith("empty") else DATA, 1_600_000_000)
    status, out, err = user("--input_dir=raw --sync")
    assert status == 0, out + err
    assert "Copied: 5, skipped: 0, failed: 0, " in out and "verified by checksum: 0, by size only: 5\n" in out
    rows = user.catalog()
    assert {path: row["verified"] for path, row in rows.items()} == dict.fromkeys(user.there(), "size")
    assert {path: (user.data / path).read_bytes() for path in user.files()} == user.there()
    assert {int((user.data / path).stat().st_mtime) for path in user.files()} == {1_600_000_000}
    status, out, err = user("--sync")
    assert (status, err) == (0, "") and "Copied: 0, skipped: 5, failed: 0, " in out, out + err


@pytest.mark.parametrize("kind", KINDS)
def test_a_folder_is_sent_under_other_names_first_and_not_sent_again(at, kind):
    user, source = at(kind), at(kind).folder / "mine"
    for name in ("deep/er/a", "b", "empty"):
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        (source / name).write_bytes(b"" if name == "empty" else DATA)
        os.utime(source / name, (1_500_000_000, 1_500_000_000))
    status, out, err = user(f"--put={source} --input_dir=new")
    assert (status, err) == (0, ""), out + err
    assert user.there() == {f"new/{name}": (source / name).read_bytes() for name in ("deep/er/a", "b", "empty")}
    mtime = (user.server.data / user.top / "new/b").stat().st_mtime
    assert (mtime == 1_500_000_000) is (kind in ("proftpd", "pure-ftpd"))  # the others know no MFMT
    status, out, err = user(f"--put={source} --input_dir=new")
    assert status == 0 and "Sent: 0, skipped: 3, failed: 0; " in out, out + err


@pytest.mark.long
@pytest.mark.parametrize("kind", KINDS)
def test_another_file_there_is_left_alone_unless_it_is_to_be_replaced(at, kind):
    user = at(kind)
    user.lay("new/a", b"theirs")
    (user.folder / "a").write_bytes(b"mine, and longer")
    status, _, err = user(f"--put={user.folder}/a --input_dir=new")
    assert status == 1 and "another file has this name at the site; --overwrite replaces it" in err
    assert user.there() == {"new/a": b"theirs"}
    assert user(f"--put={user.folder}/a --input_dir=new --overwrite").status == 0
    assert user.there() == {"new/a": b"mine, and longer"}


def test_a_name_that_the_server_would_not_take_is_named_and_the_others_are_sent(at):
    user = at("pure-ftpd")
    (user.folder / "mine").mkdir()
    for each in ("a", "back\\slash"):
        (user.folder / "mine" / each).write_bytes(b"1")
    status, _, err = user(f"--put={user.folder}/mine --input_dir=new")
    assert status == 1 and "the door takes no file of this name" in err
    assert user.there() == {"new/a": b"1"}


@pytest.mark.long
@pytest.mark.parametrize("kind", KINDS)
def test_a_large_file_comes_in_several_streams_and_the_rest_of_one_that_was_cut_off(at, kind):
    user = at(kind)
    data = os.urandom(1 << 20) * 40
    user.lay("raw/large", data, 1_600_000_000)
    assert user("--input_dir=raw --sync --streams=2").status == 0
    assert (user.data / "raw/large").read_bytes() == data
    (user.data / "raw/large").unlink()
    with user.running("--sync") as run:  # which does not wait, though the listing does not say that it is on disk
        part = user.data / "raw/large.gridsync-part"
        wait_until(lambda: run.poll() is not None or (part.exists() and part.stat().st_size > 9 << 20))
    status, out, err = user("--start")
    assert status == 0 and (user.data / "raw/large").read_bytes() == data, out + err


@pytest.mark.parametrize("kind", KINDS)
def test_links_to_files_are_files_and_what_cannot_be_had_is_named(at, kind):
    user = at(kind)
    file = user.lay("raw/file", DATA, 1_600_000_000)
    (file.parent / "link").symlink_to("file")
    (file.parent / "nowhere").symlink_to("nothing")
    (file.parent / "folder").symlink_to("/")
    (file.parent / "two\nlines").write_bytes(b"1")
    (file.parent / "sub").mkdir()
    user.server.give(file.parent)
    status, out, err = user("--input_dir=raw --sync")
    assert status == 1, out + err
    assert user.files() == ["raw/file", "raw/link"]
    assert "raw/folder is a link to a folder, or to nothing; it is left out, ask the site" in err
    if kind != "proftpd":  # which does not list it
        assert "raw/nowhere is a link to a folder, or to nothing; it is left out, ask the site" in err
    if kind != "pure-ftpd":
        assert r"'two\nlines' has a line end in its name, which FTP cannot ask for; it is left out, ask the site" in err


# The login.


def test_the_list_of_sites_says_where_the_login_comes_from(member):
    def said() -> str:
        return member("--from=list").out.partition("BEAM")[2].partition("\n")[0].strip()

    assert said() == "ftps      user name and password, from ~/.netrc"
    member.know(user="somebody")
    assert said() == "ftps      user name and password, asked for then"
    (member.folder / ".netrc").chmod(0o644)
    assert f"others can read the file of passwords {member.folder}/.netrc; chmod 600" in said()


def test_a_login_that_is_refused_is_tried_once_by_all_threads_together(at):
    user = at("proftpd")
    for number in range(30):
        user.lay(f"raw/{number}/a", DATA)
    user.know(password="wrong")
    before = user.server.tries()
    status, out, err = user("--input_dir=raw --sync --threads=8")
    assert (status, err.count("\n")) == (3, 1), out + err
    assert f"the server refuses the login of {USER} with the password of ~/.netrc (530 Login incorrect.); it was" in err
    assert "it was tried once, as accounts lock after a few tries" in err and "wrong" not in err
    assert user.server.tries() == before + 1


@pytest.mark.long
def test_a_password_that_ends_while_files_come_is_shown_once_more_at_the_most(at):
    """The session that DESY gives lasts some days."""
    user = at("proftpd")
    user.lay("raw/a", DATA)
    assert user("--input_dir=raw --sync").status == 0
    user.know(password="over")
    before = user.server.tries()
    assert user("--sync").status == 3
    assert user.server.tries() == before + 1


def test_who_has_no_password_is_told_where_to_put_it_or_asked(member):
    (member.folder / ".netrc").unlink()
    status, _, err = member("--ls_dir")
    assert (status, err.count("\n")) == (3, 1)
    assert f"no password is known for localhost; write `machine localhost login {USER} password PASSWORD` into" in err
    asked = [(f"Password of {USER} at localhost: ", PASSWORD)]
    member.lay("raw/a", DATA)
    status, text = dialogue(member.command("--input_dir=raw --sync"), member.env, asked)
    assert status == 0 and member.files() == ["raw/a"], text
    assert text.count("Password of") == 1 and PASSWORD not in text


def test_the_user_name_is_asked_for_too_where_server_has_none(member):
    (member.folder / ".netrc").unlink()
    member.set("SERVER", member.server.url.replace(f"{USER}@", "") + "/", "BEAM")
    asked = [("User name at localhost: ", Seen(USER)), (f"Password of {USER} at localhost: ", PASSWORD)]
    status, text = dialogue(member.command("--ls_dir"), member.env, asked)
    assert status == 0, text


def test_a_password_of_the_keyring_is_taken(member):
    (member.folder / ".netrc").unlink()
    (member.folder / "ring.py").write_text(
        "import keyring.backend, keyring.credentials\n"
        "class Ring(keyring.backend.KeyringBackend):\n"
        "    priority = 9\n"
        "    def get_password(self, service, name):\n"
        f"        return {PASSWORD!r} if (service, name) == ('localhost', {USER!r}) else None\n"
        "    def set_password(self, *_): pass\n"
        "    def delete_password(self, *_): pass\n"
    )
    env = {"PYTHON_KEYRING_BACKEND": "ring.Ring", "PYTHONPATH": str(member.folder)}
    member.lay("raw/a", DATA)
    status, out, err = member("--input_dir=raw --sync", **env)
    assert (status, member.files()) == (0, ["raw/a"]), out + err


def test_the_dialogue_can_be_seen_without_the_password(member):
    member.lay("raw/a", DATA)
    status, out, err = member("--input_dir=raw --sync --debug")
    assert status == 0 and "> PASS ...\n" in err and f"> USER {USER}\n" in err
    assert "< 234 " in err and "> PROT P\n" in err and "< 226 " in err
    assert not any(word in out + err for word in PASSWORD.split(", "))


@pytest.mark.parametrize(("keys", "says"), [
    ({"TOKEN": "env:A"}, "[BEAM] is shown user name and password alone; remove TOKEN and CREDENTIAL there"),
    ({"CREDENTIAL": "proxy"}, "[BEAM] is shown user name and password alone; remove TOKEN and CREDENTIAL there"),
    ({"SERVER": "ftps://me:hush@localhost/"}, "SERVER of [BEAM] contains a password or an unused user name; remove it"),
    ({"SERVER": "ftp://localhost/"}, "ftp:// would send passwords and data for all to read; use ftps://"),
])
def test_what_does_not_go_with_ftps_is_refused(member, keys, says):
    for key, value in keys.items():
        member.set(key, value, "BEAM")
    status, _, err = member("--ls_dir")
    assert (status, err.count("\n")) == (2, 1) and says in err and "hush" not in err


def test_ftp_as_a_url_is_refused_too(member):
    status, _, err = member("ftp://localhost/raw here")
    assert (status, err.count("\n")) == (2, 1)
    assert "ftp:// would send passwords and data for all to read; use ftps://, if the server has it" in err


# TLS.


@pytest.mark.long
def test_the_cas_may_be_one_file(member):
    member.lay("raw/a", DATA)
    member.env.pop("X509_CERT_DIR")
    status, _, err = member("--input_dir=raw --sync")
    assert status == 4 and "is not signed by any CA in the system" in err
    member.set("CA_DIR", str(member.grid.pki.folder / "ca.pem"), "BEAM")
    assert member("--input_dir=raw --sync").status == 0 and member.files() == ["raw/a"]
    member.set("CA_DIR", str(member.folder / "Grid.conf"), "BEAM")
    status, _, err = member("--ls_dir")
    assert status == 2 and "Grid.conf has no certificates of CAs in PEM that can be read; correct CA_DIR" in err


@pytest.mark.parametrize(("netrc", "status", "says"), [
    (0o600, 0, "The site BEAM is shown user name and password, from ~/.netrc\n"),
    (None, 0, "The site BEAM is shown user name and password, asked for then\n"),
    (0o644, 3, "others can read the file of passwords"),
])
def test_proxy_status_says_where_the_password_comes_from(member, netrc, status, says):
    path = member.folder / ".netrc"
    path.chmod(netrc) if netrc else path.unlink()
    done = member("--proxy_status")
    assert done.status == status and says in done.out + done.err


@pytest.mark.long
def test_ctrl_c_ends_a_run_whose_server_stands_still(member):
    member.lay("raw/large", bytes(300 << 20))
    member.set("SILENCE", "120", "BEAM")
    part = member.data / "raw/large.gridsync-part"
    with member.running("--input_dir=raw --sync") as run:
        wait_until(lambda: run.poll() is not None or (part.exists() and part.stat().st_size > 5 << 20))
        children = subprocess.run(["pgrep", "-P", str(member.server.pid)], capture_output=True, text=True, check=False)
        for child in children.stdout.split():
            os.kill(int(child), signal.SIGSTOP)
        try:
            time.sleep(0.5)  # until it waits
            run.send_signal(signal.SIGINT)
            status, _, err = wait_for(run)
        finally:
            for child in children.stdout.split():
                os.kill(int(child), signal.SIGKILL)
    assert status == 130 and "fault of gridsync" not in err, err


@pytest.mark.long
def test_the_doctor_looks_at_the_site(member):
    member.lay("raw/a", DATA)
    member.set("CA_DIR", str(member.grid.pki.folder / "ca.pem"), "BEAM")
    assert member("--input_dir=raw --build_list").status == 0
    out = member("--doctor").out
    assert re.search(r"(?m)^ok +CA folder +1 CA\(s\) in the file .*ca\.pem$", out)
    assert re.search(r"(?m)^ok +door .* answers, 1 entries in raw$", out)
    assert re.search(r"(?m)^ok +pools .* of raw/a came$", out)


def test_python_programs_have_the_site_too(member):
    member.lay("raw/a", DATA)
    code = (
        "import gridsync; site = gridsync.open_site('BEAM'); print([row.path for row in site.ls('raw')]); "
        "site.get('raw', 'here'); print(site.open('raw/a').read(3))"
    )
    line = ["/usr/bin/python3", "-c", code]
    env = {**member.env, "PYTHONPATH": str(SCRIPT.parent)}
    done = subprocess.run(line, cwd=member.folder, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0 and done.stdout == "['raw/a']\nb'\\x00\\x01\\x02'\n", done.stderr
    assert (member.folder / "here/raw/a").read_bytes() == DATA
