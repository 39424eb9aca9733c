"""What must be the user's alone: the proxy, files of tokens, and a Grid.conf that names where a token comes from."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from gridsync_parts.disk import is_open
from gridsync_parts.errors import CredentialError, UsageError
from gridsync_parts.keys import open_secret
from gridsync_parts.settings import Config
from tests.grid import Grid
from tests.grid.pki import PASSPHRASE
from tests.support.constants import replace
from tests.support.places import place_at, site_of
from tests.support.user import User, wait_until, write_secret

STRANGER = 65534


def give_away(path: Path) -> None:
    """Make a file or folder somebody else's."""
    if os.getuid():
        pytest.skip("only root can give a file to another user")
    os.chown(path, STRANGER, STRANGER)


# == The proxy ==========================================================================================


def link(path: Path) -> None:
    path.rename(path.with_name("real"))
    path.symlink_to(path.with_name("real"))


def fifo(path: Path) -> None:
    path.unlink()
    os.mkfifo(path, 0o600)


def device(path: Path) -> None:
    path.unlink()
    path.symlink_to("/dev/zero")


SPOILED: dict[str, tuple[Callable[[Path], object], str]] = {
    "link": (link, "your proxy {} is a link and could lead to another user's file"),
    "link to a device": (device, "your proxy {} is a link"),
    "FIFO": (fifo, "your proxy {} is not a regular file"),
    "another user's": (give_away, "your proxy {} belongs to another user; use one of your own"),
    "for the group to read": (lambda path: path.chmod(0o640), "others can read your proxy {0}; chmod 600 {0}"),
    "for all to read": (lambda path: path.chmod(0o604), "others can read your proxy {0}; chmod 600 {0}"),
}


@pytest.fixture
def proxy(grid: Grid, tmp_path: Path) -> Path:
    path = tmp_path / "proxy"
    shutil.copy(grid.pki.proxy("good"), path)
    return path


@pytest.mark.parametrize("kind", SPOILED)
@pytest.mark.parametrize("line", ["--proxy_status", "--ls_dir e680", "--input_dir e680 --build_list"])
def test_a_proxy_that_is_not_the_users_alone_is_refused_and_shown_to_nobody(user: User, proxy: Path, line, kind):
    spoil, says = SPOILED[kind]
    spoil(proxy)
    user.limit = 10
    user.grid.door.log.clear()
    status, out, err = user(line, X509_USER_PROXY=str(proxy))
    assert status == 3 and says.format(proxy) in err and err.count("\n") == 1 and "VO  " not in out
    assert user.grid.door.log.count() == 0


@pytest.mark.parametrize("kind", SPOILED)
@pytest.mark.parametrize("engine", ["http", "gfal2"])
def test_a_proxy_that_is_put_there_in_mid_run_is_judged_too(grid: Grid, proxy: Path, folder, engine, kind):
    spoil, says = SPOILED[kind]
    place = place_at(grid, site_of(grid, f"{engine} dcache"), path=str(proxy))
    place.lister.folder(folder)
    spoil(proxy)
    time.sleep(0.2)  # it is looked at ten times a second
    grid.door.log.clear()
    with pytest.raises(CredentialError) as caught:
        place.lister.folder(folder)
    assert says.format(proxy) in str(caught.value)
    assert grid.door.log.count() == 0


def test_what_was_judged_is_what_is_shown(grid: Grid, proxy: Path, folder, monkeypatch):
    """Between the look and the handshake somebody puts another proxy there."""
    place = place_at(grid, site_of(grid, "http dcache"), path=str(proxy))
    look = open_secret

    def replaced(path, *arguments):
        file = look(path, *arguments)
        os.replace(shutil.copy(grid.pki.proxy("other_vo"), proxy.with_name("new")), proxy)
        return file

    replace(monkeypatch, "open_secret", replaced)
    assert place.lister.folder(folder) == []  # the door takes no other VO


@pytest.mark.long
def test_a_new_proxy_takes_the_place_of_a_link_and_not_of_where_it_leads(user: User, tmp_path: Path):
    proxy, victim = tmp_path / "proxy", tmp_path / "victim"
    victim.write_text("mine")
    proxy.symlink_to(victim)
    user.grid.voms  # noqa: B018 - it is up from here on
    env = {**user.grid.pki.environment("alice"), "X509_USER_PROXY": str(proxy)}
    status, _, err = user("--new_proxy", PASSPHRASE, **env)
    assert status == 0, err
    assert victim.read_text() == "mine" and not proxy.is_symlink()
    assert {path.name for path in tmp_path.iterdir()} == {"Grid.conf", "proxy", "victim"}


# == Files of tokens ====================================================================================


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o666])
def test_a_token_that_others_can_read_is_refused(user: User, mode):
    write_secret(user.folder / "token", user.grid.door.token(600))
    user.set("TOKEN", f"file:{user.folder / 'token'}")
    assert user("--ls_dir e680").status == 0
    (user.folder / "token").chmod(mode)
    for line in ("--ls_dir e680", "--proxy_status"):
        status, _, err = user(line)
        assert status == 3 and f"others can read your token {user.folder}/token; chmod 600 {user.folder}/token" in err


def test_a_token_in_a_fifo_holds_nothing_up(user: User):
    os.mkfifo(user.folder / "token", 0o600)
    user.set("TOKEN", f"file:{user.folder / 'token'}")
    user.limit = 10
    status, _, err = user("--ls_dir e680")
    assert status == 3 and "is not a regular file" in err


# == Grid.conf ==========================================================================================


def in_open_folder(conf: Path) -> None:
    conf.parent.chmod(0o775)


def in_sticky_folder(conf: Path) -> None:
    conf.parent.chmod(0o1777)


def linked_in(conf: Path) -> None:
    """Somebody has made a link to a file of the user's."""
    home = conf.parent / "home"
    home.mkdir(mode=0o700)
    conf.rename(home / "Grid.conf")
    conf.symlink_to(home / "Grid.conf")
    conf.parent.chmod(0o1777)


def linked_twice(conf: Path) -> None:
    os.link(conf, conf.parent / "other")
    conf.parent.chmod(0o1777)


def led_out(conf: Path) -> None:
    """It is a link to a file in a folder that others can write."""
    away = conf.parent / "away"
    away.mkdir()
    conf.rename(away / "Grid.conf")
    conf.symlink_to(away / "Grid.conf")
    away.chmod(0o777)


DOUBTFUL: dict[str, tuple[Callable[[Path], object], str]] = {
    "another user's": (give_away, "belongs to another user; copy it into a folder of your own"),
    "in another user's folder": (lambda conf: give_away(conf.parent), "belongs to another user; copy it into a folder"),
    "for the group to write": (lambda conf: conf.chmod(0o664), "others can write "),
    "for all to write": (lambda conf: conf.chmod(0o646), "others can write "),
    "in a folder for the group to write": (in_open_folder, "others can write its folder "),
    "a link that others may have made": (linked_in, "others can write its folder "),
    "a second name that others may have made": (linked_twice, "others can write its folder "),
    "led to where others can write": (led_out, "others can write its folder "),
}


@pytest.fixture
def token_user(user: User) -> User:
    """A user whose site has a token that a command gives, which leaves a trace."""
    program = user.folder / "give"
    program.write_text(f"#!/bin/sh\ntouch {user.folder}/trace\necho {user.grid.door.token(600)}\n")
    program.chmod(0o755)
    user.set("TOKEN", f"cmd:{program}")
    return user


@pytest.mark.parametrize("kind", DOUBTFUL)
@pytest.mark.parametrize("line", ["--ls_dir e680", "--proxy_status", "--threads 3 --input_dir e680 --build_list"])
def test_no_command_of_a_strangers_grid_conf_is_run(token_user: User, kind, line):
    spoil, says = DOUBTFUL[kind]
    conf = token_user.folder / "Grid.conf"
    before = conf.read_text()
    spoil(conf)
    status, _, err = token_user(line)
    assert status == 2 and says in err and err.count("\n") == 1, err
    assert not (token_user.folder / "trace").exists()
    assert conf.read_text() == before


@pytest.mark.parametrize("source", ["env:MY_TOKEN", "file:{}/token"])
def test_no_token_of_a_strangers_grid_conf_is_read(user: User, source):
    write_secret(user.folder / "token", user.grid.door.token(600))
    user.set("TOKEN", source.format(user.folder))
    given = {"MY_TOKEN": user.grid.door.token(600)}
    assert user("--ls_dir e680", **given).status == 0
    (user.folder / "Grid.conf").chmod(0o664)
    user.grid.door.log.clear()
    status, _, err = user("--ls_dir e680", **given)
    assert status == 2 and "TOKEN is not used because others can write " in err and "; check what is in it" in err
    assert user.grid.door.log.count() == 0


def linked(conf: Path) -> None:
    """It is a link to a file of the user's own elsewhere, which nobody else can write."""
    home = conf.parent / "home"
    home.mkdir(mode=0o700)
    conf.rename(home / "Grid.conf")
    conf.symlink_to(home / "Grid.conf")


@pytest.mark.parametrize("arrange", [in_sticky_folder, linked])
def test_a_grid_conf_that_only_the_user_can_have_written_is_good(token_user: User, arrange):
    arrange(token_user.folder / "Grid.conf")
    assert token_user("--ls_dir e680").status == 0
    assert (token_user.folder / "trace").exists()


@pytest.mark.parametrize("kind", DOUBTFUL)
def test_with_a_proxy_a_shared_grid_conf_works(user: User, kind, folder):
    spoil, _ = DOUBTFUL[kind]
    user.grid.tree.add(f"agata/{folder}/a", 10)
    assert user(f"--input_dir {folder}").status == 0
    spoil(user.folder / "Grid.conf")
    status, _, err = user("--build_list --start --quiet")
    assert (status, err) == (0, "")


@pytest.mark.every(1)
@pytest.mark.parametrize("line", ["--threads 3", "--threads 3 --show_conf", "--threads 3 --ls_dir e680"])
def test_a_remembered_setting_makes_no_strangers_file_the_users(user: User, line):
    conf = user.folder / "Grid.conf"
    before = conf.read_text()
    give_away(conf)
    user.grid.door.log.clear()
    status, _, err = user(line)
    assert status == 2 and f"settings are not remembered because {conf} belongs to another user; copy it" in err
    assert (conf.read_text(), conf.stat().st_uid) == (before, STRANGER)
    assert user.grid.door.log.count() == 0


def test_a_strangers_file_that_is_put_there_in_mid_run_is_not_made_the_users(tmp_path: Path):
    conf = tmp_path / "Grid.conf"
    conf.write_text("[gridsync]\n[LYON]\nSERVER = https://a/\n")
    mine = Config(str(tmp_path))
    give_away(conf)
    with pytest.raises(UsageError, match=r"settings are not remembered because .* belongs to another user"):
        mine.save({"THREADS": "3"})
    assert conf.stat().st_uid == STRANGER


def test_a_grid_conf_that_is_no_file_holds_nothing_up(user: User):
    (user.folder / "Grid.conf").unlink()
    os.mkfifo(user.folder / "Grid.conf")
    user.limit = 10
    status, _, err = user("--show_conf")
    assert status == 2 and "Grid.conf is not a regular file" in err


# == What others say of where files go, and which are replaced ==========================================


@pytest.mark.parametrize("kind", DOUBTFUL)
def test_a_grid_conf_that_others_may_have_written_leads_nowhere_else(user: User, kind, folder, tmp_path_factory):
    home, spoil = tmp_path_factory.mktemp("home"), DOUBTFUL[kind][0]
    user.grid.tree.add(f"agata/{folder}/.bash_aliases", 10)
    assert user(f"--input_dir {folder} --output_dir {home} --build_list").status == 0
    spoil(user.folder / "Grid.conf")
    for line in ("--start", "--sync", "--build_list --start --overwrite"):
        status, _, err = user(line)
        assert status == 2 and f"OUTPUTDIR {home} is not used because " in err and DOUBTFUL[kind][1] in err, err
    assert list(home.iterdir()) == []


def test_nor_does_a_link_beside_it(user: User, folder, tmp_path_factory):
    home = tmp_path_factory.mktemp("home")
    user.grid.tree.add(f"agata/{folder}/.bash_aliases", 10)
    assert user(f"--input_dir {folder} --build_list").status == 0
    user.data.symlink_to(home)
    (user.folder / "Grid.conf").chmod(0o666)
    status, _, err = user("--start")
    assert status == 2 and "OUTPUTDIR" in err and list(home.iterdir()) == []


def test_what_the_line_itself_says_is_used(user: User, folder, tmp_path_factory):
    home = tmp_path_factory.mktemp("home")
    user.grid.tree.add(f"agata/{folder}/a", 10)
    (user.folder / "Grid.conf").chmod(0o666)
    status, _, err = user(f"--input_dir {folder} --output_dir {home} --build_list --start")
    assert status == 0 and (home / folder / "a").exists(), err


@pytest.fixture
def damaged(user: User, folder) -> tuple[User, Path]:
    """A user, and a file of the user's that the catalog calls damaged."""
    user.grid.tree.add(f"agata/{folder}/a", 10)
    assert user(f"--input_dir {folder} --build_list --start").status == 0
    path = user.data / folder / "a"
    path.write_text("my own...\n")
    assert user("--verify").status == 1
    return user, path


@pytest.mark.parametrize("spoil", [give_away, lambda path: path.chmod(0o666)], ids=["another user's", "for all"])
@pytest.mark.parametrize("line", ["--repair", "--start --overwrite", "--sync --overwrite", "--check_status --repair"])
def test_a_catalog_that_others_may_have_written_replaces_nothing(damaged, spoil, line):
    user, path = damaged
    spoil(user.folder / "grid_summary.csv")
    status, _, err = user(line)
    assert path.read_text() == "my own...\n"
    is_forgotten = "repair" in line and spoil is give_away
    assert is_forgotten or (status == 2 and "files are not replaced because " in err and "grid_summary.csv" in err), err
    user("--check_status")
    if is_forgotten:  # not even once the catalog is the user's again
        assert user("--repair").status in (0, 1) and path.read_text() == "my own...\n"


def test_what_is_to_be_pasted_is_quoted(user: User, tmp_path):
    work = tmp_path / "a b; touch x"
    work.mkdir()
    text = (user.folder / "Grid.conf").read_text()
    (work / "Grid.conf").write_text(text.replace("[LYON]", f"[LYON]\nTOKEN = file:{work}/t"))
    write_secret(work / "t", "x")
    (work / "t").chmod(0o644)
    assert f"; chmod 600 '{work}/t'\n" in user("--ls_dir", GRIDSYNC_DIR=str(work)).err
    shutil.copy(user.grid.pki.proxy("good"), work / "proxy")
    (work / "proxy").chmod(0o644)
    assert f"; chmod 600 '{work}/proxy'\n" in user("--from CNAF --proxy_status", X509_USER_PROXY=f"{work}/proxy").err
    (work / "Grid.conf").chmod(0o666)
    assert f", then chmod go-w '{work}/Grid.conf'\n" in user("--ls_dir", GRIDSYNC_DIR=str(work)).err
    (work / "Grid.conf").chmod(0o600)
    work.chmod(0o777)
    assert f", then chmod go-w '{work}'\n" in user("--ls_dir", GRIDSYNC_DIR=str(work)).err


# == A proxy without what it is good for ================================================================


def without_key(path: Path) -> None:
    """Leave the certificates alone."""
    key = r"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?-----END [A-Z ]*PRIVATE KEY-----\n"
    path.write_text(re.sub(key, "", path.read_text(), flags=re.DOTALL))


def with_encrypted_key(path: Path) -> None:
    """Give the key a pass phrase."""
    command = ["openssl", "pkey", "-in", path, "-aes128", "-passout", "pass:hush"]
    key = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    without_key(path)
    path.write_text(path.read_text() + key)


USELESS: dict[str, tuple[Callable[[Path], object], str]] = {
    "none": (Path.unlink, "there is no proxy at {}; make a new one with --new_proxy"),
    "without key": (without_key, "the proxy {} cannot be read (its key is missing, wrong or encrypted)"),
    "encrypted": (with_encrypted_key, "the proxy {} cannot be read (its key is missing, wrong or encrypted)"),
}


@pytest.mark.parametrize("engine", ["http", "gfal2"])
@pytest.mark.parametrize("kind", USELESS)
@pytest.mark.parametrize("line", ["--proxy_status", "--ls_dir e680", "--input_dir e680 --build_list"])
def test_a_useless_proxy_is_refused_and_nobody_is_asked_for_a_pass_phrase(user: User, proxy: Path, line, kind, engine):
    spoil, says = USELESS[kind]
    spoil(proxy)
    user.set("ENGINE", engine)
    user.limit = 20
    user.grid.door.log.clear()
    status, _, err = user(line, X509_USER_PROXY=str(proxy))
    assert status == 3 and says.format(proxy) in err and err.count("\n") == 1, err
    assert "pass phrase" not in err and user.grid.door.log.count() == 0


@pytest.mark.parametrize("kind", USELESS)
@pytest.mark.parametrize("engine", ["http", "gfal2"])
def test_a_proxy_that_becomes_useless_in_mid_run_is_told_as_such(grid: Grid, proxy: Path, folder, engine, kind):
    spoil, says = USELESS[kind]
    place = place_at(grid, site_of(grid, f"{engine} dcache"), path=str(proxy))
    place.lister.folder(folder)
    spoil(proxy)
    time.sleep(0.2)  # it is looked at ten times a second
    grid.door.log.clear()
    for _ in range(2):
        with pytest.raises(CredentialError) as caught:
            place.lister.folder(folder)
        assert says.format(proxy) in str(caught.value)
    assert grid.door.log.count() == 0


@pytest.mark.parametrize("engine", ["http", "gfal2"])
def test_a_run_whose_proxy_goes_ends_for_want_of_it(user: User, proxy: Path, folder, engine):
    for number in range(40):
        user.grid.tree.add(f"agata/{folder}/{number:02d}", 300_000)
    user.set("ENGINE", engine)
    env = {"X509_USER_PROXY": str(proxy)}
    assert user(f"--input_dir {folder} --build_list", **env).status == 0
    user.grid.door.switches.bandwidth = 1 << 20
    try:
        with user.running("--start --threads 2", **env) as run:
            wait_until(lambda: len(user.files()) > 3)
            proxy.unlink()
            _, err = run.communicate(timeout=60)
    finally:
        user.grid.door.switches.bandwidth = 0
    assert run.returncode == 3 and f"there is no proxy at {proxy}" in err, err


@pytest.mark.every(1)
@pytest.mark.parametrize(("group", "mode", "others"), [
    (1, 0o664, False), (1, 0o666, True), (STRANGER, 0o664, True), (0, 0o664, True), (STRANGER, 0o644, False),
])  # fmt: skip
def test_a_group_that_is_the_users_alone_is_no_others(tmp_path, group, mode, others):
    """As of daemon, who has a group of the same name; with a umask of 002 all that users of such groups make is 664."""
    path = tmp_path / "Grid.conf"
    path.touch()
    give_away(path)
    os.chown(path, 1, group)
    path.chmod(mode)
    assert is_open(path.stat()) is others
