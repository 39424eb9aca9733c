"""gen_cert.sh: from what a browser exports to the pair of files that both VOMS clients take."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
from pathlib import Path

import pytest

from tests.grid import Grid
from tests.grid.pki import P12_PASSWORD, VO
from tests.support import TOP
from tests.support.terminal import dialogue

SCRIPT = str(TOP / "gen_cert.sh")
PHRASE = " a naïve  phrase "  # every blank of it counts
MAC = "MAC verified OK\n"
PASSWORD, ENTER, VERIFY = "Enter Import Password:", "Enter PEM pass phrase:", "Verifying - Enter PEM pass phrase:"
ANSWERS = [(PASSWORD, P12_PASSWORD), (PASSWORD, P12_PASSWORD), (ENTER, PHRASE), (VERIFY, PHRASE)]

# As the manual prints it.
TRANSCRIPT = """\
Enter Import Password:
MAC verified OK
Enter Import Password:
MAC verified OK
Enter PEM pass phrase:
Verifying - Enter PEM pass phrase:
The files usercert.pem and userkey.pem have been created and moved to {}/.globus
"""

# How else than by default a .p12 may be made: options of openssl pkcs12 -export.
FORMS = {
    "modern": "",
    "old": "-legacy",  # the certificates in RC2
    "triple_des": "-certpbe PBE-SHA1-3DES -keypbe PBE-SHA1-3DES -macalg sha1",
}
CLIENTS = {"c++": "voms-proxy-init2", "java": "voms-proxy-init3 --enable_legacy_protocol"}


@pytest.fixture
def home(grid: Grid, tmp_path: Path) -> Path:
    """The home of Alice before she has a ~/.globus."""
    return grid.pki.furnish(tmp_path / "home")


def export(grid: Grid, file: Path, options: str, contents: str = "-inkey alice.key -certfile ca.pem") -> Path:
    """A .p12 of Alice's certificate with these contents."""
    command = ["openssl", "pkcs12", "-export", "-in", "alice.pem", *contents.split(), *options.split()]
    command += ["-name", "Société d'Élèves (essai) 2026", "-passout", f"pass:{P12_PASSWORD}", "-out", str(file)]
    subprocess.run(command, cwd=grid.pki.folder, env=grid.env, check=True, capture_output=True)
    return file


def gen_cert(grid: Grid, home: Path, *words: object, answers: list[tuple[str, str]] = ANSWERS) -> tuple[int, str]:
    return dialogue([SCRIPT, *map(str, words)], grid.pki.environment(home=home), answers)


def left_in(home: Path) -> list[str]:
    return sorted(str(path.relative_to(home)) for path in home.rglob("*"))


def proxy_made(grid: Grid, home: Path, client: str) -> bool:
    """Does the VOMS server give a client a proxy for the pair?"""
    globus, proxy = home / ".globus", home / "proxy"
    command = [*CLIENTS[client].split(), "-pwstdin", "-voms", VO, "-out", proxy]
    command += ["-cert", globus / "usercert.pem", "-key", globus / "userkey.pem"]
    grid.voms  # noqa: B018  # it starts when asked for
    run = subprocess.run(
        command, env=grid.pki.environment(home=home), input=PHRASE + "\n", text=True, capture_output=True, timeout=30
    )
    assert run.returncode == 0, run.stderr
    return proxy.exists()


@pytest.mark.parametrize("form", FORMS)
def test_any_p12_becomes_a_pair_that_a_client_takes(grid: Grid, home: Path, tmp_path: Path, form: str) -> None:
    p12 = export(grid, tmp_path / "alice.p12", FORMS[form])
    assert gen_cert(grid, home, p12) == (0, TRANSCRIPT.format(home))
    globus = home / ".globus"
    modes = {path.name: oct(stat.S_IMODE(path.stat().st_mode)) for path in (globus, *globus.iterdir())}
    assert modes == {".globus": "0o700", "usercert.pem": "0o644", "userkey.pem": "0o400"}
    certificate = (globus / "usercert.pem").read_text()
    assert certificate == (grid.pki.folder / "alice.pem").read_text()  # without the chain, without attributes
    assert proxy_made(grid, home, "c++")


@pytest.mark.long
def test_java_takes_the_pair_too(grid: Grid, home: Path) -> None:
    assert gen_cert(grid, home, grid.pki.p12("alice", old=True))[0] == 0
    assert proxy_made(grid, home, "java")


@pytest.mark.parametrize("name", ["Élodie d'Été 2026 (1).p12", " a $HOME `id` *.p12", "no suffix", "décomposé.p12"])
def test_name_of_the_file_does_not_matter(grid: Grid, home: Path, tmp_path: Path, name: str) -> None:
    p12 = tmp_path / name
    shutil.copy(grid.pki.p12("alice"), p12)
    assert gen_cert(grid, home, p12) == (0, TRANSCRIPT.format(home))


def test_four_lines_do_without_a_terminal(grid: Grid, home: Path) -> None:
    lines = "".join(answer + "\n" for _, answer in ANSWERS)
    command, env = [SCRIPT, str(grid.pki.p12("alice"))], grid.pki.environment(home=home)
    run = subprocess.run(command, env=env, input=lines, text=True, capture_output=True, timeout=30)
    assert (run.returncode, run.stdout, run.stderr) == (0, TRANSCRIPT.splitlines(True)[-1].format(home), MAC * 2)


def test_secrets_are_in_no_argument_and_no_environment(grid: Grid, home: Path, tmp_path: Path) -> None:
    spy = tmp_path / "openssl"  # openssl, but it writes down how it was called
    spy.write_text(f'#!/bin/sh\n{{ echo "$@"; env; }} >>{tmp_path}/calls\nexec /usr/bin/openssl "$@"\n')
    spy.chmod(0o755)
    env = {**grid.pki.environment(home=home), "PATH": f"{tmp_path}:{os.environ['PATH']}"}
    status, _ = dialogue([SCRIPT, str(grid.pki.p12("alice", old=True))], env, ANSWERS)
    calls = (tmp_path / "calls").read_text()
    assert (status, "-legacy" in calls) == (0, True)
    assert P12_PASSWORD not in calls and PHRASE not in calls


WRONG = [(PASSWORD, "wrong")]
FAILURES = {
    "wrong": (WRONG, "This is not the password of {}; nothing was changed.\n"),
    "wrong the second time": (ANSWERS[:1] + WRONG, "This is not the password of {}; nothing was changed.\n"),
    "differs": ([*ANSWERS[:3], (VERIFY, "another")], "The two pass phrases differ; nothing was changed.\n"),
    "short": ([*ANSWERS[:2], (ENTER, "abc")], "A pass phrase needs at least 4 characters; nothing was changed.\n"),
    "given up": ([*ANSWERS[:2], (ENTER, "\x04")], "Nothing was entered; nothing was changed.\n"),
}


@pytest.mark.parametrize("old", [False, True])
@pytest.mark.parametrize("case", FAILURES)
def test_failure_is_one_sentence_and_leaves_nothing(grid: Grid, home: Path, case: str, old: bool) -> None:
    answers, sentence = FAILURES[case]
    p12, before = grid.pki.p12("alice", old), left_in(home)
    status, text = gen_cert(grid, home, p12, answers=answers)
    asked = [line for line in text.splitlines(keepends=True) if line.strip() not in (PASSWORD, ENTER, VERIFY)]
    assert (status, "".join(asked).replace(MAC, "")) == (3, sentence.format(p12))
    assert left_in(home) == before


def test_what_is_no_p12_is_told_before_any_question(grid: Grid, home: Path, tmp_path: Path) -> None:
    before = left_in(home)
    for file in (SCRIPT, grid.pki.folder / "alice.pem"):
        sentence = f"{file} is not a .p12 file; export your certificate with its key from the browser.\n"
        assert gen_cert(grid, home, file) == (3, sentence)
    nowhere = tmp_path / "no where.p12"
    assert gen_cert(grid, home, nowhere) == (2, f"{nowhere} is not a readable file.\n")
    assert gen_cert(grid, home, tmp_path) == (2, f"{tmp_path} is not a readable file.\n")
    assert gen_cert(grid, home, "a\x1b[31m.p12") == (2, "a?[31m.p12 is not a readable file.\n")
    for words in ([], ["one", "two"], ["--help"]):
        assert gen_cert(grid, home, *words) == (2, f"usage: {SCRIPT} FILE.p12\n")
    assert left_in(home) == before


@pytest.mark.parametrize("lacking", ["its key", "its certificate"])
def test_half_an_identity_is_not_enough(grid: Grid, home: Path, tmp_path: Path, lacking: str) -> None:
    contents = {"its key": "-nokeys", "its certificate": "-inkey alice.key -nocerts"}[lacking]
    refused_for_its_number(grid, home, export(grid, tmp_path / "half.p12", "", contents))


@pytest.mark.long
def test_backup_of_several_certificates_is_refused(grid: Grid, home: Path, tmp_path: Path) -> None:
    both = shutil.copy(grid.pki.p12("alice"), tmp_path / "both.p12")
    command = ["keytool", "-importkeystore", "-noprompt", "-srckeystore", grid.pki.p12("bob"), "-destkeystore", both]
    command += ["-srcstorepass", P12_PASSWORD, "-deststorepass", P12_PASSWORD]
    subprocess.run(command, env=grid.env, check=True, capture_output=True, timeout=30)
    refused_for_its_number(grid, home, both)


def refused_for_its_number(grid: Grid, home: Path, p12: Path) -> None:
    before = left_in(home)
    status, text = gen_cert(grid, home, p12)
    assert (status, text.splitlines()[-1]) == (
        3,
        f"{p12} does not contain exactly one certificate with its key; export only these. Nothing was changed.",
    )
    assert left_in(home) == before


def test_existing_folder_stays_as_it_is(grid: Grid) -> None:
    home = grid.pki.home
    before = {path: path.read_bytes() for path in (home / ".globus").iterdir()}
    status, text = gen_cert(grid, home, grid.pki.p12("alice"))
    remedy = f"to make a new one, first move the old one away: mv {home}/.globus {home}/.globus.old"
    assert (status, text) == (2, f"{home}/.globus exists already; {remedy}\n")
    assert {path: path.read_bytes() for path in (home / ".globus").iterdir()} == before


def test_what_is_to_be_pasted_is_quoted(grid: Grid, tmp_path: Path) -> None:
    home = tmp_path / "my $(home)"
    (home / ".globus").mkdir(parents=True)
    status, text = gen_cert(grid, home, grid.pki.p12("alice"))
    assert status == 2
    moved = text.rpartition("away: ")[2].strip()
    subprocess.run(["bash", "-c", moved], check=True, timeout=30)
    assert left_in(home) == [".globus.old"]


# What the tools of macOS know of options; they refuse all others, long ones above all.
BSD = {
    "mv": "fhinv", "rm": "dfiPRrvWx", "sed": "Eailnue", "grep": "EFGcehilnoqsvwx", "mktemp": "dqtup", "cat": "belnstuv",
}  # fmt: skip
REFUSING = """#!/bin/sh
for word; do
  case $word in
    --) break ;;
    -*[!{letters}]*) echo "{name}: illegal option: $word" >&2; exit 64 ;;
  esac
done
exec {real} "$@"
"""


def test_it_needs_no_gnu_tools(grid: Grid, home: Path, tmp_path: Path):
    (tmp_path / "bsd").mkdir()
    for name, letters in BSD.items():
        tool = tmp_path / "bsd" / name
        tool.write_text(REFUSING.format(name=name, letters=f"-{letters}", real=shutil.which(name)))
        tool.chmod(0o755)
    file = export(grid, tmp_path / "alice.p12", "-legacy")
    env = {**grid.pki.environment(home=home), "PATH": f"{tmp_path / 'bsd'}:{os.environ['PATH']}"}
    status, said = dialogue([SCRIPT, str(file)], env, ANSWERS)
    assert (status, "illegal" in said) == (0, False)
    assert left_in(home / ".globus") == ["usercert.pem", "userkey.pem"]
