"""A row of the table of settings is all that a key needs, and the sites that gridsync knows are whole."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from gridsync_parts.conf import default_conf
from gridsync_parts.errors import UsageError
from gridsync_parts.kinds import find_kind, kind_of
from gridsync_parts.settings import Change, Config
from gridsync_parts.sites import KNOWN
from gridsync_parts.table import GENERAL_KEYS, SITE_KEYS, Settings, Site
from tests.support import TOP

CONTROL = "it contains a control character"
BLANKS = "Grid.conf keeps no blanks around it; remove them"
ROWS = {
    "class Settings": """
    pause: Annotated[int, Key(
        "PAUSE", "Seconds between two files.", number(least=2), option="pause", metavar="N", meaning="seconds to wait",
    )] = 3
""",
    "class Site": '    mood: Annotated[str, Key("MOOD", "how the site is today", TEXT, "fine")] = "good"\n',
}


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The program with two more rows in its table, and the pages made anew."""
    top = tmp_path_factory.mktemp("copy")
    for name in ("README.md", "gridsync.py", "gridsync.1", "Grid.conf.example", "do_grid_completion.sh"):
        shutil.copy(TOP / name, top)
    for name in ("gridsync_parts", "docs", "tools"):
        shutil.copytree(TOP / name, top / name, ignore=shutil.ignore_patterns("__pycache__"))
    deviations = top / "tests/contract/deviations.py"  # which a page names, too
    deviations.parent.mkdir(parents=True)
    shutil.copy(TOP / deviations.relative_to(top), deviations)
    table = top / "gridsync_parts/table.py"
    text = table.read_text()
    for head, row in ROWS.items():
        above, _, below = text.partition(head)
        fields, end, rest = below.partition("\n\n\n")
        text = f"{above}{head}{fields}\n{row}{end}{rest}"
    table.write_text(text)
    subprocess.run(["/usr/bin/python3", top / "tools/pages.py"], check=True)
    return top


def run(copy: Path, line: str) -> subprocess.CompletedProcess[str]:
    command = ["/usr/bin/python3", str(copy / "gridsync.py"), "--workdir", str(copy / "docs"), *line.split()]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.mark.slow
def test_a_row_is_enough_for_what_users_read(copy: Path):
    pages = {path.name: path.read_text() for path in copy.iterdir() if path.is_file()}
    assert "# Seconds between two files.\nPAUSE = 3\n" in pages["Grid.conf.example"]
    assert "#   MOOD = fine            how the site is today\n" in pages["Grid.conf.example"]
    assert " --pause=" in pages["do_grid_completion.sh"]
    assert ".B \\-\\-pause=N\nseconds to wait\n" in pages["gridsync.1"]
    assert ".B MOOD\nhow the site is today (default: good)\n" in pages["gridsync.1"]
    options = (copy / "docs/options.md").read_text()
    assert "`PAUSE` | Seconds between two files (default: 3) | a whole number, 2 or more | `--pause` |" in options
    assert "| `--pause=N` | seconds to wait |" in options


@pytest.mark.slow
def test_a_row_is_enough_for_help_checks_hints_and_what_is_remembered(copy: Path):
    assert "--pause=N" in run(copy, "--help").stdout
    assert run(copy, "--pause 1").stderr == "gridsync.py: --pause is '1'; expected a whole number, 2 or more\n"
    assert run(copy, "--paus 1").stderr == "gridsync.py: no such option: --paus; did you mean --pause\n"
    assert run(copy, "--pause 4").stderr == "remembered: PAUSE = 4 (was 3)\n"
    path = copy / "docs/Grid.conf"
    path.write_text("[gridsync]\nPAUSS = 2\nPAUSE = soon\n[LYON]\nMOODS = 1\nSERVER = https://a/\n")
    done = run(copy, "--show_conf")
    assert "line 2: unknown key PAUSS in [gridsync] is ignored; did you mean PAUSE\n" in done.stderr
    assert "line 5: unknown key MOODS in [LYON] is ignored; did you mean MOOD\n" in done.stderr
    assert "PAUSE in [gridsync] is 'soon'; expected a whole number, 2 or more\n" in done.stderr


def test_all_that_there_is_to_say_of_a_key_is_said():
    assert [key.name for key in (*GENERAL_KEYS.values(), *SITE_KEYS.values()) if not (key.help and key.form.said)] == []
    assert len(GENERAL_KEYS) == len(Settings._fields) and len(SITE_KEYS) == len(Site._fields) - 1
    assert [key.name for key in GENERAL_KEYS.values() if bool(key.option) != bool(key.metavar and key.meaning)] == []


@pytest.mark.parametrize(
    ("key", "text", "kept"),
    [
        ("INPUTDIR", "/a//b/", "a/b"),
        ("INPUTDIR", "//", "/"),
        ("INPUTDIR", "https://a//b/", "https://a//b/"),  # which is taken for a path later
        ("INPUTDIR", "1://b", "1:/b"),
        ("INCLUDE", "none", ""),
        ("EXCLUDE", "None", "None"),
        ("THREADS", "007", "007"),
        ("OUTPUTDIR", "data", "/here/data"),
        ("OUTPUTDIR", "data//", "/here/data/"),
        ("OUTPUTDIR", "~/data/", "/home/me/data/"),
        ("SITE", "", "--from is empty; give it a value, / for all folders or none for no pattern"),
        ("INPUTDIR", "a/../b", "'a/../b' is not a path on the grid; leave out '..'"),
        ("THREADS", "0", "--threads is '0'; expected a whole number, 1 or more"),
        ("STREAMS", "1000000", "--streams is '1000000'; expected a whole number, 1 or more"),
        ("STREAMS", "\u0663", "--streams is '\u0663'; expected a whole number, 1 or more"),
        ("INCLUDE", "a\n[x]", f"'a\\n[x]' cannot be a value of INCLUDE: {CONTROL}"),
        ("INPUTDIR", " https://me:hush@a/b\t", "https://me:hush@a/b"),  # which is taken apart then
        ("INPUTDIR", "https://me:hush@a/\x1b", f"'https://a/\\x1b' cannot be a value of INPUTDIR: {CONTROL}"),
        ("SITE", "https://me:hush@a/ ", f"'https://a/ ' cannot be a value of SITE: {BLANKS}"),
        ("SITE", "A ", f"'A ' cannot be a value of SITE: {BLANKS}"),
    ],
)
def test_what_grid_conf_is_to_have_of_a_text_of_the_command_line(tmp_path, monkeypatch, key, text, kept):
    monkeypatch.setenv("HOME", "/home/me")
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path)
    try:
        found = GENERAL_KEYS[key].kept(text, "elsewhere")
    except UsageError as error:
        found = str(error)
    assert found == kept.replace("/here", str(tmp_path))


def test_a_folder_that_is_given_in_the_work_folder_stays_as_it_is_written(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert GENERAL_KEYS["OUTPUTDIR"].kept("./data/", ".") == "./data/"


def test_a_change_says_what_was_before():
    said = {
        ("THREADS", "", "3"): "THREADS = 3",
        ("INCLUDE", "a", ""): "INCLUDE = none (was a)",
        ("INPUTDIR", "https://me:secret@a/b?c", "d"): "INPUTDIR = d (was https://a/b)",
    }
    assert {change: str(Change(*change)) for change in said} == said


@pytest.mark.parametrize("name", KNOWN)
def test_a_site_that_is_known_can_be_chosen_and_gets_its_section(tmp_path, name):
    path = tmp_path / "Grid.conf"
    path.write_text("[gridsync]\nVO = x\n[A]\nSERVER = https://a/\n")
    changes = Config(str(tmp_path)).save({"SITE": name.lower()})
    server = KNOWN[name].keys["SERVER"]
    assert changes == [Change("SITE", "", name.lower()), Change(f"SERVER of [{name}]", "", server)]
    text, section = path.read_text(), "\n".join(["", *KNOWN[name].lines(name), ""])
    assert text.startswith("[gridsync]\nVO = x\nSITE = ") and text.endswith(section)
    assert Config(str(tmp_path)).settings().site.server == server.rstrip("/")
    assert Config(str(tmp_path)).save({"SITE": name}) == [Change("SITE", name.lower(), name)]
    assert path.read_text() == text.replace(name.lower() + "\n", name + "\n")


def test_a_section_of_ones_own_wins_entirely(tmp_path):
    (tmp_path / "Grid.conf").write_text("[gridsync]\n[cta]\nSERVER = https://a.example.org/\n")
    config = Config(str(tmp_path))
    assert config.site("CTA") == Site("cta", "https://a.example.org", engine="http")
    assert config.save({"SITE": "CTA"}) == [Change("SITE", "", "CTA")]
    assert "CTA" not in config.sites() and "ZENODO" in config.sites()


@pytest.mark.parametrize(("text", "says"), [
    ("[gridsync]\nSITE = LYON\n[LYONN]\nSERVER = https://a/\n", "it has LYONN; did you mean LYONN"),
    ("[gridsync]\nSITE = CTA\n[A]\nSERVER = https://a/\n", "it has A; --from=CTA adds it"),
    ("", "it has none; --from=LYON adds it"),
])
def test_a_site_that_was_never_chosen_does_not_stand_in_for_a_section_that_is_gone(tmp_path, text, says):
    (tmp_path / "Grid.conf").write_text(text)
    config = Config(str(tmp_path))
    with pytest.raises(UsageError, match=rf"there is no site \w+ in .*Grid\.conf; {says}$"):
        config.settings()
    config.change({"SITE": "LYON"})
    assert config.settings().site.server == "https://ccdavegee.in2p3.fr:2880"


@pytest.mark.parametrize(("server", "engine", "says"), [
    ("hub://h/", "auto", "hub:// is not known"), ("https://h/", "sftp", "expected auto, http, gfal2, ssh, ftps, hub"),
])
def test_what_is_to_come_as_an_engine_is_no_scheme_and_the_other_way_round(tmp_path, server, engine, says):
    (tmp_path / "Grid.conf").write_text(f"[gridsync]\n[A]\nSERVER = {server}\nENGINE = {engine}\n")
    with pytest.raises(UsageError, match=says):
        Config(str(tmp_path)).site("A")


def test_a_site_that_is_known_is_known_to_hints_and_urls(tmp_path):
    (tmp_path / "Grid.conf").write_text("[gridsync]\n[A]\nSERVER = https://a.example.org/\n")
    config = Config(str(tmp_path))
    with pytest.raises(UsageError, match=r"there is no site ZENOD0 in .*; it has A; did you mean ZENODO"):
        config.site("ZENOD0")
    with pytest.raises(UsageError, match="belongs to the site LYON; use --from LYON"):
        config.path_of("https://ccdavegee.in2p3.fr:2880/agata/e680", "A")


@pytest.mark.parametrize("name", KNOWN)
def test_a_site_that_is_known_is_of_a_kind_or_says_what_it_lacks(tmp_path, name):
    site = Config(str(tmp_path)).site(name)
    if KNOWN[name].blank:
        says = f"SERVER of the site {name} is not complete; write {KNOWN[name].blank} in its section of Grid.conf"
        with pytest.raises(UsageError, match=says):
            kind_of(site)
        site = site._replace(server=site.server.replace("USER", "me").replace("REPOSITORY", "a.example.org"))
    assert find_kind(site.engine, site.server.partition(":")[0]) == kind_of(site)


def test_windows_line_ends_stay_when_a_section_is_added(tmp_path):
    path = tmp_path / "Grid.conf"
    path.write_bytes(default_conf("./data/").replace("\n", "\r\n").encode())
    Config(str(tmp_path)).save({"SITE": "CTA"})
    assert b"\n" not in path.read_bytes().replace(b"\r\n", b"")
