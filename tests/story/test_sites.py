"""Sites that gridsync knows by itself: how one is chosen, and what --from=list says of all."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from gridsync_parts.sites import KNOWN
from tests.support.user import User, contents


def test_a_site_is_chosen_by_its_name_and_its_section_is_written(user: User):
    before = (user.folder / "Grid.conf").read_text()
    server = KNOWN["CTA"].keys["SERVER"]
    status, out, err = user("--from=CTA")
    assert status == 0 and f"SERVER              : {server}\n" in out
    assert err == f"remembered: SITE = CTA (was LYON)\nremembered: SERVER of [CTA] = {server}\n"
    section = "\n".join(["", "", *KNOWN["CTA"].lines("CTA"), ""])
    assert (user.folder / "Grid.conf").read_text() == before.replace("SITE = LYON", "SITE = CTA").rstrip() + section
    assert user("--from=CTA").err == ""
    assert user("--from=LYON --ls_dir").status == 0


@pytest.mark.parametrize("name", [name for name in KNOWN if KNOWN[name].blank])
@pytest.mark.parametrize("action", ["--ls_dir", "--input_dir a --build_list", "--input_dir a --sync"])
def test_a_site_whose_server_is_not_complete_ends_with_one_sentence_and_is_not_remembered(user: User, name, action):
    before = (user.folder / "Grid.conf").read_bytes()
    status, _, err = user(f"--from={name} {action}")
    assert status == 2 and err.count("\n") == 1
    assert err.startswith(f"gridsync.py: SERVER of the site {name} is not complete")
    assert (user.folder / "Grid.conf").read_bytes() == before
    assert user(f"--from={name}").status == 0 and user(action).err == err


def test_the_list_says_what_is_at_hand_and_remembers_nothing(user: User):
    user.set("TOKEN", "env:MY_TOKEN", "CNAF")
    before = {path.name: path.read_bytes() for path in user.folder.iterdir() if path.is_file()}
    status, out, err = user("--from=list", MY_TOKEN="abc", HOME=str(user.folder), SSH_AUTH_SOCK="")
    said = dict(line.split(maxsplit=1) for line in out.splitlines())
    assert (status, err) == (0, "") and said.keys() >= KNOWN.keys()
    assert re.fullmatch(r"https +proxy, \d+h\d\dm left, until .*", said["LYON"])
    assert said["CNAF"] == "https     token from env:MY_TOKEN, does not say when it ends"
    assert said["CTA"].startswith("hub       env:JUPYTERHUB_API_TOKEN gives no usable token as JUPYTERHUB_API_TOKEN is")
    assert said["CTA_DCACHE"] == (
        "davs      oidc-agent does not run here; start it, and set its variables: eval $(oidc-agent-service use)"
    )
    assert said["DIAMOND"] == "sftp      write your user name for USER in SERVER"
    assert said["DESY"] == "ftps      user name and password, asked for then"
    assert said["CERN_OPENDATA"] == "opendata  nothing"
    assert said["ZENODO"].startswith("invenio   nothing, for public records: env:ZENODO_TOKEN gives no usable token")
    assert {path.name: path.read_bytes() for path in user.folder.iterdir() if path.is_file()} == before


def test_the_list_is_there_before_grid_conf_and_makes_none(user: User, tmp_path: Path):
    fresh = tmp_path / "fresh"
    fresh.mkdir()
    expired = str(user.grid.pki.proxy("expired"))
    status, out, err = user("--from=list", GRIDSYNC_DIR=str(fresh), X509_USER_PROXY=expired)
    assert (status, err) == (0, "") and re.search(r"(?m)^LYON +https +your proxy .* expired", out)
    assert list(fresh.iterdir()) == []


def test_keys_of_ssh_are_looked_for(user: User):
    user.set("SERVER", "sftp://me@ssh.diamond.ac.uk/", "DIAMOND")
    lines = {"none": "keys of ssh; none was found here", "agent": "keys of ssh", "file": "keys of ssh"}
    env = {"HOME": str(user.folder), "SSH_AUTH_SOCK": ""}
    assert f"DIAMOND        sftp      {lines['none']}\n" in user("--from=list", **env).out
    agent = {**env, "SSH_AUTH_SOCK": str(user.folder)}
    assert f"DIAMOND        sftp      {lines['agent']}\n" in user("--from=list", **agent).out
    agent["SSH_AUTH_SOCK"] += "/gone"
    (user.folder / ".ssh").mkdir()
    (user.folder / ".ssh/id_ed25519.pub").touch()
    assert f"DIAMOND        sftp      {lines['none']}\n" in user("--from=list", **agent).out
    (user.folder / ".ssh/id_ed25519").touch()
    assert f"DIAMOND        sftp      {lines['file']}\n" in user("--from=list", **env).out


def test_the_list_as_json(user: User):
    user.set("SERVER", "nonsense", "CNAF")
    user.set("SERVER", "https://me:hush@h/", "XROOTD")
    status, out, err = user("--from=list --json", HOME=str(user.folder))
    document = json.loads(out)
    assert (status, err, document["status"]) == (0, "", 0)
    sites = {site["name"]: site for site in document["sites"]}
    assert sites.keys() >= KNOWN.keys()
    assert sites["LYON"]["at_hand"] is True and sites["LYON"]["server"] == f"{user.grid.door.url}/"
    assert sites["CNAF"]["at_hand"] is False and "SERVER of [CNAF] is 'nonsense'" in sites["CNAF"]["text"]
    assert sites["XROOTD"]["server"] == "https://h/" and "hush" not in out
    assert sites["DESY"]["at_hand"] is None and sites["DESY"]["kind"] == "ftps"


def test_the_list_runs_no_command_of_a_token(user: User, tmp_path: Path):
    user.set("TOKEN", f"cmd:touch {tmp_path}/trace", "CNAF")
    assert "CNAF           https     token, touch is asked for it\n" in user("--from=list").out
    assert not (tmp_path / "trace").exists()


def test_a_site_that_there_is_not_is_told_with_those_that_there_are(user: User):
    status, _, err = user("--from=nope --show_conf")
    known = ", ".join(name for name in KNOWN if name not in ("LYON", "CNAF"))
    says = f"it has LYON, CNAF, XROOTD; gridsync also knows {known} (--from=list prints all)"
    assert (status, err) == (2, f"gridsync.py: there is no site nope in {user.folder}/Grid.conf; {says}\n")
    assert "; did you mean ZENODO\n" in user("--from=ZENODOO --show_conf").err


@pytest.mark.every(1)
@pytest.mark.parametrize("other", ["start", "threads=99", "inc=("])
def test_the_list_goes_with_nothing_else(user: User, other):
    status, out, err = user(f"--from=list '--{other}'")
    assert (status, out) == (2, "")
    name = other.partition("=")[0]
    assert err == f"gridsync.py: --from=list only prints the sites; leave out --{name}, or name a site\n"


def test_a_command_that_is_none_is_named_and_the_others_go_on(user: User):
    user.set("TOKEN", "cmd:it's", "CNAF")
    status, out, _ = user("--from=list")
    assert status == 0 and "cmd:it's is no command (No closing quotation); correct TOKEN in Grid.conf\n" in out
    assert "\nNRP " in out


# == What cannot be spoken to ===========================================================================


ACTIONS = ["--ls_dir", "--input_dir a --build_list --start", "--sync", "--put results --input_dir a"]


@pytest.mark.every(5)
@pytest.mark.parametrize("line", ACTIONS)
@pytest.mark.parametrize(
    ("key", "value", "says"),
    [
        ("ENGINE", "htpp", "ENGINE of [LYON] is 'htpp'; expected auto, http, "),
        ("ENGINE", "GFAL", "ENGINE of [LYON] is 'GFAL'; expected auto, http, "),
        ("SERVER", "htps://door.example.org/", "htps:// is not known; did you mean https"),
        ("SERVER", "s3://door.example.org/", "s3:// is not known; gridsync speaks https, root, sftp, "),
        ("SERVER", "ftp://door.example.org/", "use ftps://, if the server has it"),
        ("SERVER", "door.example.org", "SERVER of [LYON] is 'door.example.org'"),
        ("SERVER", "", "SERVER of [LYON] is"),
    ],
)
def test_a_site_that_cannot_be_spoken_to_is_one_sentence_and_nothing_is_done(user: User, key, value, says, line):
    user.set(key, value)
    (user.folder / "results").mkdir()
    (user.folder / "results/a").write_bytes(b"a")
    before = contents(user.folder)
    status, _, err = user(line.replace("results", str(user.folder / "results")))
    assert (status, err.count("\n")) == (2, 1) and says in err, err
    assert contents(user.folder) == before


def test_a_url_that_cannot_be_spoken_to_is_one_sentence_and_nothing_is_done(user: User):
    before = sorted(user.folder.rglob("*"))
    status, _, err = user(f"s3://door.example.org/a {user.folder}/here")
    assert (status, err.count("\n")) == (2, 1) and "s3:// is not known; gridsync speaks https, root" in err, err
    assert sorted(user.folder.rglob("*")) == before
