"""Grid.conf: what is kept, what is refused, and with which words."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from gridsync_parts.conf import default_conf, with_setting
from gridsync_parts.errors import UsageError
from gridsync_parts.settings import Config, patterns_of
from gridsync_parts.sites import KNOWN, SHOWN
from gridsync_parts.table import GENERAL_KEYS, SITE_KEYS
from gridsync_parts.words import grid_path


def config(folder: Path, text: str) -> Config:
    (folder / "Grid.conf").write_text(text)
    return Config(str(folder))


def test_a_new_grid_conf_has_every_general_key_and_tells_of_the_others():
    general, sites = default_conf("./data/").split("\n[LYON]\n")
    assert re.findall(r"(?m)^([A-Z_]+) =", general) == list(GENERAL_KEYS)
    assert list(dict.fromkeys(re.findall(r"(?m)^(?:#   )?([A-Z_]+) =", sites))) == list(SITE_KEYS)


def test_a_new_grid_conf_means_the_defaults_and_has_no_long_line(tmp_path):
    new, empty = Config(str(tmp_path)), config(tmp_path, "[gridsync]\n")
    empty.change({"SITE": "LYON"})
    assert new.settings()._replace(output_dir="") == empty.settings()._replace(output_dir="")
    assert new.own_sites() == list(SHOWN)
    assert [line for line in default_conf("./data/", KNOWN).splitlines() if len(line) > 79] == []


def test_the_defaults_make_sense(tmp_path):
    settings = Config(str(tmp_path)).settings()
    assert settings.site.server == "https://ccdavegee.in2p3.fr:2880"
    assert (settings.site.base, settings.threads, settings.pin_days) == ("agata", 4, 7)


def test_a_change_keeps_comments_and_unknown_keys(tmp_path):
    before = "# mine\n[gridsync]\n  # why\nSITE = A\nTUNE = fine\n\n[B]\nSERVER = https://b/\n# end\n"
    config(tmp_path, before).save({"SITE": "B", "INPUTDIR": "run"})
    assert (tmp_path / "Grid.conf").read_text() == before.replace("SITE = A", "SITE = B").replace(
        "TUNE = fine\n", "TUNE = fine\nINPUTDIR = run\n"
    )


def test_what_the_command_line_gives_is_a_value_at_once_and_text_when_it_is_saved(tmp_path):
    text = "[gridsync]\nINCLUDE = a\nTHREADS = 4\n[LYON]\nSERVER = https://a/\nTUNE = fine\n"
    mine = config(tmp_path, text)
    given = {"INCLUDE": "", "THREADS": "3", "STREAMS": "2"}
    mine.change(given)
    settings = mine.settings()
    assert (settings.include, settings.threads, settings.streams, mine.file.text) == ("", 3, 2, text)
    assert "line 6: unknown key TUNE" in mine.unknown()[0].sentence  # in the file as it is
    assert mine.save(given) == [("INCLUDE", "a", ""), ("THREADS", "4", "3"), ("STREAMS", "", "2")]
    assert (tmp_path / "Grid.conf").read_text() == (
        "[gridsync]\nINCLUDE =\nTHREADS = 3\nSTREAMS = 2\n[LYON]\nSERVER = https://a/\nTUNE = fine\n"
    )
    assert Config(str(tmp_path)).settings() == settings


@pytest.mark.parametrize(
    ("text", "after"),
    [
        ("", "\n\n[s]\nK = v\n"),
        ("[s]", "[s]\nK = v\n"),
        ("[s]\nk=1\n", "[s]\nK = v\n"),
        ("[t]\nK = 1\n[s]\n\n[u]\n", "[t]\nK = 1\n[s]\nK = v\n\n[u]\n"),
        ("[s]\nKK = 1\n", "[s]\nKK = 1\nK = v\n"),
        ("  [s]\n  k = 1\n  l = 2\n", "  [s]\n  K = v\n  l = 2\n"),
        ("[s]\nK = a\n  b\n  c\nL = 1\n", "[s]\nK = v\nL = 1\n"),
        ("[s]\r\nK = 1\r\n", "[s]\r\nK = v\r\n"),
    ],
)
def test_one_value_is_changed_and_no_other_line(text, after):
    assert with_setting(text, "s", "K", "v") == after


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("SITE = A\n", "Grid.conf, line 1: expected a [section]"),
        ("[gridsync]\nSITE = A\nwhat is this\n", "Grid.conf, line 3: expected KEY = value"),
        ("[gridsync]\nSITE = A\nsite = B\n", "Grid.conf, line 3: SITE is given twice"),
        ("[gridsync]\nSITE = LION\n[LYON]\nSERVER = https://a/\n", "; it has LYON; did you mean LYON"),
        ("[gridsync]\nSITE = A\n[A]\nSERVER = door.example.org\n", "SERVER of .A. is 'door.example.org'; expected"),
        ("[gridsync]\nSITE = A\n[A]\nSERVER = htps://a/\n", "'htps://a'; htps:// is not known; did you mean https"),
        ('[gridsync]\nVO = "a.b"\n[LYON]\nSERVER = https://a/\n', "line 2: VO is in quotes; remove them"),
        ("[gridsync]\nSITE = A\n[A]\nSERVER = https://a:port/\n", "SERVER of .A. is 'https://a:port'; expected"),
        *(
            (f"[gridsync]\nSITE = A\n[A]\nSERVER = https://{host}/\n", "SERVER of .A. is 'https://.*'; expected a URL")
            for host in ("door example.org", "a..b", "x" * 70 + ".org", ".a", "a:99999", "[::1", "a:0", ":80", "a,b")
        ),
        ("[gridsync]\nSITE = A\n[A]\nSERVER = https://a/\nTAPE_API = yes\n", "TAPE_API of .A. is 'yes'; expected"),
        (
            "[gridsync]\nSITE = A\n[A]\nSERVER = https://a/\nTAPE_API = http://a/\nTOKEN = env:A\n",
            "the TOKEN would go to .A. unencrypted; TAPE_API must be an https URL",
        ),
        *(
            (f"[gridsync]\nSITE = A\n[A]\nSERVER = https://a/\nTAPE_API = {url}\nTOKEN = env:A\n", says)
            for url, says in {
                "dav://a/": "would go to .A. unencrypted", "HTTP://a/": "would go to .A. unencrypted",
                "root://a/": "it must be an https URL", "srm://a/": "it must be an https URL",
                "https://me:pw@a/": "TAPE_API of .A. contains a password or an unused user name",
            }.items()
        ),
        *(
            (f"[gridsync]\nSITE = A\n[A]\nSERVER = {url}\n", "SERVER of .A. contains a password or an unused user name")
            for url in ("https://me:pw@a/", "https://me@a/", "DAVS://me@a/", "sftp://me:pw@a/", "https://me:p@w@a:x/")
        ),
        ("[gridsync]\nSITE = A\nTHREADS = many\n[A]\nSERVER = https://a/\n", "THREADS in .gridsync. is 'many'"),
        ("[gridsync]\nSITE = A\nTHREADS = 0\n[A]\nSERVER = https://a/\n", "expected a whole number, 1 or more"),
        (
            "[gridsync]\nSITE = A\n[A]\nSERVER = https://a/\nMIN_RATE = -1\n",
            "MIN_RATE in .A. is '-1'; expected a whole number, 0 or more",
        ),
    ],
)
def test_what_makes_no_sense_is_refused_with_its_place(tmp_path, text, says):
    with pytest.raises(UsageError, match=says.replace("[section]", r"\[section\]").replace("?", r"\?")):
        config(tmp_path, text).settings()


@pytest.mark.parametrize("host", ["a_b.example.org.", "127.0.0.1:1", "[::1]:2880", "[fe80::1%25eth0]", "grün.org"])
def test_a_host_that_there_may_be_is_one(tmp_path, host):
    text = f"[gridsync]\nSITE = A\n[A]\nSERVER = https://{host}/\n"
    assert config(tmp_path, text).settings().site.server == f"https://{host}"


def test_a_folder_of_certificates_may_be_below_home(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", "/home/me")
    text = "[gridsync]\nSITE = A\n[A]\nSERVER = https://a/\nCA_DIR = ~/certificates\n"
    assert config(tmp_path, text).settings().site.ca_dir == "/home/me/certificates"


def test_a_wrong_pattern_is_refused_with_the_place_of_the_error():
    with pytest.raises(UsageError, match=r"--inc: 'b\(' is not a regular expression: .* at character 2"):
        patterns_of("a:b(", "--inc")


def test_a_private_file_stays_private(tmp_path):
    mine = config(tmp_path, "[gridsync]\n[LYON]\nSERVER = https://a/\n")
    (tmp_path / "Grid.conf").chmod(0o600)
    mine.save({"VO": "x"})
    assert (tmp_path / "Grid.conf").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(("text", "path"), [("/", ""), ("a/b/", "a/b"), ("/a//b", "a/b"), ("./a", "a")])
def test_paths_are_written_in_one_way(text, path):
    assert grid_path(text) == path


def test_a_path_never_climbs():
    with pytest.raises(UsageError):
        grid_path("a/../../b")


UNKNOWN = [
    ("[gridsync]\n# mine\nTHREAD = 8\n", "line 3: unknown key THREAD in [gridsync] is ignored; did you mean THREADS"),
    (
        "[gridsync]\n\nserver = a\n",
        "line 3: unknown key SERVER in [gridsync] is ignored; it belongs in the section of a site",
    ),
    ("[LYON]\nSERVER = https://a/\nVO = x\n", "line 3: unknown key VO in [LYON] is ignored; it belongs in [gridsync]"),
    ("[LYON]\nSERVER = https://a/\nTUNE =\n  SERVR = 1\n", "line 3: unknown key TUNE in [LYON] is ignored"),
    ("[DEFAULT]\nVO = a\nSILENCE = 1\nTUNE=\n[A]\nENGINE = http\n", "line 4: unknown key TUNE in [DEFAULT] is ignored"),
    ("[gridsync]\n;THREADS = 5\n", ""),
    ("[gridsync]\n[my plots]\nTUNE = fine\n", ""),  # another program's section
    (default_conf("./data/", KNOWN), ""),
]


@pytest.mark.parametrize(("text", "says"), UNKNOWN)
def test_a_key_that_nobody_knows_is_named_with_its_line_and_the_nearest(tmp_path, text, says):
    expected = [f"{tmp_path}/Grid.conf, {says}"] if says else []
    assert [key.sentence for key in config(tmp_path, text).unknown()] == expected
