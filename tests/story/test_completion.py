"""do_grid_completion.sh at the TAB key of real shells: what is on the line then, and what it hands over."""

from __future__ import annotations

import itertools
import os
import re
import shlex
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from gridsync import HELP
from gridsync_parts.sites import KNOWN
from tests.support.shell import SCRIPT, SHELLS, Shell

FOLDERS = """\
LYON	e680/e680/run_1
LYON	e680/e680/run_2
LYON	e680/e680
LYON	only/one/way
LYON	odd/my folder/x
LYON	odd/it's/x
LYON	odd/say "so"/x
LYON	odd/$HOME/x
LYON	odd/`date`/x
LYON	odd/(1)/x
LYON	odd/star*/x
LYON	odd/back\\slash/x
LYON	odd/colon:ed/x
LYON	odd/wow!x/x
LYON	odd/ümlaut ß/x
LYON	~tilde/x
LYON	=equal/x
LYON	evil\x1b[31m/x
LYON	csi\u009b31m/x
LYON	a	tab
CNAF	bologna/b
"""
ODD = [line.split("/")[1] for line in FOLDERS.splitlines() if "odd/" in line]


@pytest.fixture(scope="module", params=SHELLS)
def shell(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shell]:
    folder = tmp_path_factory.mktemp(request.param)
    (folder / "grid_folders.txt").write_text(FOLDERS, encoding="utf-8")
    for name in ("a file.txt", "my run.jsonl", "table.csv", "usercert.p12", "odd$(: >PWN).csv"):
        (folder / name).touch()
    (folder / "local folder").mkdir()
    other = folder / "other work"
    other.mkdir()
    (other / "Grid.conf").write_text("[CNAF]\nSITE = KRAKOW\n[gridsync]\n#SITE = LYON\nSITE = cnaf\n[LYON]\n[KRAKOW]\n")
    (other / "grid_folders.txt").write_text("CNAF\tother/c\nLYON\tother/l\nKRAKOW\tother/k\n")
    shell = Shell(request.param, folder)
    yield shell
    shell.close()


def sourced(name: str, commands: str, **env: str) -> subprocess.CompletedProcess[str]:
    """Commands in a shell without terminal, below the script."""
    return subprocess.run(
        [*SHELLS[name][:-1], "-c", f'. "$0"\n{commands}', str(SCRIPT)],
        env={"PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8", **env}, capture_output=True, text=True, check=False,
    )  # fmt: skip


@pytest.mark.parametrize("name", SHELLS)
def test_the_options_are_those_of_the_tool(name: str, tmp_path: Path):
    known = ["--help", *(f"--{option.name}{'=' * (option.metavar[:1] not in '[')}" for option in HELP)]
    listed = sourced(name, r'printf "%s\n" "${_gridsync_options[@]}"', HOME=str(tmp_path)).stdout.split()
    assert listed == known


@pytest.mark.every(1)
@pytest.mark.parametrize("awk", ["mawk", "gawk", "original-awk"])
@pytest.mark.parametrize(
    ("style", "quoted"),
    [
        ("'", r"""it'\''s "$x" `y` b!"""),
        ('"', r"""it's \"\$x\" \`y\` b"\!" """[:-1]),
        ("\\", r"""it\'s\ \"\$x\"\ \`y\`\ b\!"""),
    ],
    ids=["single", "double", "none"],
)
def test_every_awk_quotes_a_name_alike(awk: str, style: str, quoted: str, tmp_path: Path):
    """That of Debian, of EL9, and of macOS."""
    found = shutil.which(awk)
    assert found, f"make test installs {awk}"
    (tmp_path / "awk").symlink_to(found)
    command = 'value= avoided= site=; printf "%s\\n" "$NAME" | _gridsync_rests "a " "$STYLE" " "'
    name = {"NAME": """it's "$x" `y` b!""", "STYLE": style}
    done = sourced("bash", command, PATH=f"{tmp_path}:{os.environ['PATH']}", **name)
    assert (done.stdout.rstrip(), done.stderr) == (f"a {quoted}", "")


def test_all_options_are_offered_but_those_given():
    offer = 'COMP_POINT=${#COMP_LINE}; _gridsync_bash x "" x; printf "<%s>" "${COMPREPLY[@]}"'
    every = sourced("bash", "COMP_LINE='gridsync.py '; " + offer).stdout
    assert every.count("<") == len(HELP) + 1
    rest = sourced("bash", "COMP_LINE='gridsync.py --dry-run --from=LYON --threads 4 --exc --start '; " + offer).stdout
    gone = ["<--dry_run >", "<--from=>", "<--threads=>", "<--exc=>"]  # --start is what --exc shall leave out
    assert [option for option in every.replace("><", ">\n<").split("\n") if option not in rest] == sorted(
        gone, key=every.index
    )


@pytest.mark.parametrize("command", ["gridsync.py", "./gridsync.py", "gridsync", "GridDataSync.py", "/any/gridsync.py"])
def test_each_name_of_the_command_completes(shell: Shell, command: str):
    assert shell.line(f"{command} --star\t") == f"{command} --start "


@pytest.mark.every(1)
@pytest.mark.parametrize(
    ("typed", "line"),
    [
        ("--str", "--streams="),
        ("--ls", "--ls_dir "),
        ("--ls-", "--ls-dir "),  # the tool takes that, too
        ("--start", "--start "),
        ("--start --star", "--start --star"),
        ("--fro", "--from"),
        ("--from", "--from"),
        ("--from C", "--from C"),
        ("--from CN", "--from CNAF "),
        ("--from CTA_", "--from CTA_DCACHE "),
        ("--from=l", "--from=list "),
        ("--from=L", "--from=LYON "),
        ("--to=CNA", "--to=CNAF "),
        ("--to=l", "--to=l"),
        ("--workdir 'other work' --to K", "--workdir 'other work' --to KRAKOW "),
        ("--inc n", "--inc none "),
        ("--exc=", "--exc=none "),
        ("word", "word"),
        ("--input_dir on", "--input_dir only/"),
        ("--input_dir=on", "--input_dir=only/"),
        ("--input-dir /on", "--input-dir /only/"),
        ("--input_dir=only/", "--input_dir=only/one/"),
        ("--ls_dir only/one", "--ls_dir only/one/"),
        ("--ls_dir=only/one/", "--ls_dir=only/one/way/"),
        ("--ls_dir only/one/way/", "--ls_dir only/one/way/"),
        ("--ls_dir e6", "--ls_dir e680/"),
        ("--ls_dir e680/e680/", "--ls_dir e680/e680/run_"),
        ("--ls_dir --star", "--ls_dir --start "),
        ("--ls_dir odd/my\\", "--ls_dir odd/my\\ folder/"),
        ("--ls_dir evil", "--ls_dir evil"),
        ("--ls_dir csi", "--ls_dir csi"),
        ("--ls_dir tab", "--ls_dir tab"),
        ("--ls_dir bol", "--ls_dir bol"),
        ("--input_dir 5500:on", "--input_dir 5500:only/"),
        ("--input_dir=5500:cms-6:on", "--input_dir=5500:cms-6:only/"),
        ("--input_dir 10.7483/ON:on", "--input_dir 10.7483/ON:only/"),
        ("--input_dir 5500:nothing", "--input_dir 5500:nothing"),
        ("--input_dir '?q=on", "--input_dir '?q=on"),
        ("--input_dir '?experiment:CMS&q=on' --over", "--input_dir '?experiment:CMS&q=on' --overwrite "),
        ("--ls_dir ?on --over", "--ls_dir ?on --overwrite "),
        ("--from CNAF --ls_dir ", "--from CNAF --ls_dir bologna/"),
        ("--from=cnaf --ls_dir ", "--from=cnaf --ls_dir bologna/"),
        ("--from-CNAF --ls_dir ", "--from-CNAF --ls_dir bologna/"),
        ("--workdir 'other work' --from K", "--workdir 'other work' --from KRAKOW "),
        ("--workdir=other\\ work --ls_dir other/", "--workdir=other\\ work --ls_dir other/c/"),
        ("--workdir ~/other\\ work --ls_dir other/", "--workdir ~/other\\ work --ls_dir other/c/"),
        ("--workdir='other work' --from LYON --ls_dir=o", "--workdir='other work' --from LYON --ls_dir=other/"),
        ("--workdir 'other work' --from_LYON --ls_dir=other/", "--workdir 'other work' --from_LYON --ls_dir=other/l/"),
        ("--workdir nowhere --ls_dir on", "--workdir nowhere --ls_dir on"),
        ("--output_dir loc", "--output_dir local\\ folder/"),
        ("--output_dir=a", "--output_dir=a"),
        ("--workdir=oth", "--workdir=other\\ work/"),
        ("--log_file=a\\ ", "--log_file=a\\ file.txt "),
        ("--files_from a\\ ", "--files_from a\\ file.txt "),
        ("--stats=my", "--stats=my\\ run.jsonl "),
        ("--stats my\\ r", "--stats my\\ run.jsonl "),
        ("--stats=tab", "--stats=table.csv "),
        ("--stats=us", "--stats=us"),
        ("--stats=a\\ f", "--stats=a\\ f"),
        ("--stats=loc", "--stats=local\\ folder/"),
        ("--stats=~/tab", "--stats=~/table.csv "),
        ("--stats=odd", "--stats=odd\\$\\(:\\ \\>PWN\\).csv "),
        ("--report=a\\ ", "--report=a\\ file.txt "),
        ("--put a\\ ", "--put a\\ file.txt "),
        ("--put=loc", "--put=local\\ folder/"),
        ("https://door/a loc", "https://door/a local\\ folder/"),
        ("--quiet https://door:2880/a loc", "--quiet https://door:2880/a local\\ folder/"),
        ("https://door/a data --st", "https://door/a data --st"),
        ("https://door/a data --star", "https://door/a data --start "),
        ("https://door/a data loc", "https://door/a data loc"),
        ("https://door/a --thr", "https://door/a --threads="),
        ("https://door/a local\\ folder --exc n", "https://door/a local\\ folder --exc none "),
        ("https://door/a", "https://door/a"),
        ("--input_dir https://door/a --st", "--input_dir https://door/a --st"),
    ],
)
def test_tab(shell: Shell, typed: str, line: str):
    assert shell.line(f"gridsync.py {typed}\t") == f"gridsync.py {line}"


@pytest.mark.every(1)
def test_a_site_behind_the_cursor_counts(shell: Shell):
    assert shell.line("gridsync.py --ls_dir  --from CNAF" + "\x02" * 12 + "\t") == (
        "gridsync.py --ls_dir bologna/ --from CNAF"
    )


def is_closed(line: str) -> bool:
    """Whether all quotes of a line are closed."""
    try:
        return bool(shlex.split(line))
    except ValueError:
        return False


@pytest.mark.every(1)
@pytest.mark.parametrize("typed", ["--ls_dir='5500:on", '--ls_dir "5500:10.7483/X:on', "--input_dir=?experiment:on"])
def test_the_last_of_several_records_is_completed_in_quotes_too(shell: Shell, typed: str):
    line = shell.line(f"gridsync.py {typed}\t")
    words = shlex.split(line if is_closed(line) else line + re.sub("[^'\"]", "", typed))
    assert words[1:] == shlex.split(re.sub("['\"]", "", f"{typed}ly/"))


@pytest.mark.every(1)
@pytest.mark.parametrize("quote", ["", "'", '"'])
def test_an_odd_file_of_stats_reaches_the_tool_as_it_is(shell: Shell, quote: str):
    line = shell.line(f"gridsync.py --stats={quote}odd\t")
    assert shell.arguments(line if is_closed(line) else line + quote) == "--stats=odd$(: >PWN).csv"
    assert not (shell.folder / "PWN").exists()


@pytest.mark.every(7)
@pytest.mark.parametrize("name", [*ODD, "~tilde", "=equal"])
@pytest.mark.parametrize("spelling", ["--input_dir ", "--input_dir=", "--ls_dir ", "--ls_dir="])
@pytest.mark.parametrize("quote", ["", "'", '"'])
def test_an_odd_name_reaches_the_tool_as_it_is(shell: Shell, name: str, spelling: str, quote: str):
    path = "odd/" * (name in ODD) + name
    needs_escape = {"": r"[^\w/]", "'": "'", '"': r'["$`\\]'}[quote]
    begun = re.sub(needs_escape, r"\\\g<0>", path[: len(path) - len(name) + 2])
    line = shell.line(f"gridsync.py {spelling}{quote}{begun}\t\t")
    if not is_closed(line):  # zsh leaves that to who types
        line += quote
    got = shell.arguments(line)
    assert got == f"{spelling.replace(' ', '|')}{path}/x/"


# == What must not run ==================================================================================
# Names that a shell would do something with; each is to be taken as it is. RUN leaves a file behind if it is ever run.

RUN = ": >PWN"
EXPANSIONS = [
    # commands
    f"$({RUN})", f"`{RUN}`", f"$(`{RUN}`)", f"<({RUN})", f">({RUN})", f"=({RUN})", f"${{ {RUN};}}", f"${{|{RUN};}}",
    # parameters
    f"${{x:-$({RUN})}}", f"${{x-$({RUN})}}", f"${{x:=$({RUN})}}", f"${{x=$({RUN})}}", f"${{x:?$({RUN})}}",
    f"${{HOME:+$({RUN})}}", f"${{HOME+$({RUN})}}", f"${{HOME:$({RUN})}}", f"${{HOME:0:$({RUN})}}", f"${{#a[$({RUN})]}}",
    f"${{HOME#$({RUN})}}", f"${{HOME##$({RUN})}}", f"${{HOME%$({RUN})}}", f"${{HOME%%$({RUN})}}",
    f"${{HOME/$({RUN})}}", f"${{HOME//$({RUN})/y}}", f"${{HOME/#$({RUN})}}", f"${{HOME^$({RUN})}}",
    f"${{HOME^^$({RUN})}}", f"${{HOME,$({RUN})}}", f"${{HOME,,$({RUN})}}", f"${{HOME~$({RUN})}}", f"${{a[$({RUN})]}}",
    f"${{x:-`{RUN}`}}", f"${{x:-${{y:-$({RUN})}}}}", f"${{x:-<({RUN})}}",
    "${evil@P}", "${evil@E}", "${evil@A}", "${!ref}", "${!x*}", "${!x@}", "${ref[@]}", "$HOME", "$*", "$$", "$",
    "${(e)evil}", "${(%)evil}", "${(P)ref}", "${(e):-$evil}", "${~evil}", "$~evil", "${^x}", "${=evil}",
    # arithmetic
    f"$((a[$({RUN})]))", f"$[a[$({RUN})]]", f"$[$({RUN})]", f"$(($({RUN})))", f"${{x:-$((a[$({RUN})]))}}", "$((1+1))",
    "$[1+1]", "((x=1))",
    # braces, tildes, patterns
    f"{{a,$({RUN})}}", "{1..3}", "{a,b}", "~", "~root", "~+", "~-", "=ls", "a=~", "*", "?", "[a-z]", "[!a]",
    "[[:alpha:]]", f"@(x|$({RUN}))", "?(x)", "*(x)", "+(x)", "!(x)", "**", "^a", "a~b", "a#", f"*(e:'{RUN}':)",
    f"*(e{{'{RUN}'}})", f"(e:'{RUN}':)", f"*(+{RUN})", "x(#i)", "<1-9>", "(a|b)",
    # history
    "!!", "!g", "!$", "!#", "!?g?", "!-1", "^a^b", "a!b", f"!x;{RUN};", f"a!\";{RUN};\"", "it's!x",
    # the end of a word, a quote or a command
    f"a;{RUN}", f"a&{RUN}", f"a|{RUN}", f"a||{RUN}", f"a;{RUN};#", "#", "#a", "a >PWN", ">PWN", "a<b", "2>PWN", "&>PWN",
    f"';{RUN};'", f"\";{RUN};\"", f"a';{RUN};'b", f"a\";{RUN};\"b", f"'';{RUN};''", f"'$({RUN})'", f"\"$({RUN})\"",
    f"a\\';{RUN};", f"a\\\";{RUN};", f"\\$({RUN})", f"\\\\$({RUN})", f"\\`{RUN}`", "\\", "a\\", "\\n",
    f"$'\\47;{RUN};\\47'", f"$'a\\';{RUN};'", f"$\"$({RUN})\"", f"$'\\x24({RUN})'", f"$';{RUN};'", f"$\";{RUN};\"",
    # what prompts and formats know
    f"%{{$({RUN})%}}", "%F{red}", "%d", "%s%n", f"%(?.$({RUN}).)", f"\\$({RUN})\\[\\]", "%1", "%%",
    # plain, but seldom
    "a b", " a", "a ", "-x", "ü ß", "a:b", "a,b", "a@b", "a=b",
]  # fmt: skip
LOOKS = {  # settings of users on which it may depend
    "bash": ("bash", ""),
    "bash that expands": ("bash", "shopt -s direxpand dirspell extglob globstar nullglob dotglob cdable_vars; set -H"),
    "bash as POSIX": ("bash", "set -o posix"),
    "bash that looks at files": (
        "bash",
        "; ".join(f"bind 'set {name} on'" for name in ("visible-stats", "colored-stats", "mark-symlinked-directories",
                  "show-all-if-ambiguous", "colored-completion-prefix", "completion-ignore-case")),
    ),
    "bash with a menu": ("bash", "bind 'TAB:menu-complete'; bind 'set show-all-if-unmodified on'"),
    "zsh": ("zsh", ""),
    "zsh that expands": (
        "zsh",
        "setopt prompt_subst prompt_bang glob_subst extended_glob ksh_glob magic_equal_subst brace_ccl rc_quotes "
        "interactive_comments bang_hist sh_word_split auto_param_slash list_types; PS1='%~ '",
    ),
    "zsh that tries all": (
        "zsh",
        "setopt prompt_subst menu_complete; zmodload zsh/complist; zstyle ':completion:*' completer _expand _complete "
        "_approximate; zstyle ':completion:*' menu yes; zstyle ':completion:*' list-colors ''; "
        "zstyle ':completion:*' format '%B%d%b'; zstyle ':completion:*' list-prompt '%S%p %l'; "
        "zstyle ':completion:*' verbose yes; zstyle ':completion:*' group-name ''",
    ),
}  # fmt: skip
# What a listing has shown, what is typed of it, and what TABs make of that; {} is the name.
PLAYS = {
    "unique": ("LYON\tsome/run{}/x\n", "some/", "some/run{}/x/"),
    "first": ("LYON\t{}/x\n", "", "{}/x/"),
    "several": ("LYON\tsome/{}1/x\nLYON\tsome/{}2/x\n", "some/", "some/{}1/x/"),
}
TURNS = list(itertools.product(PLAYS, ("", "'", '"')))


@pytest.fixture(
    scope="module",
    params=[pytest.param(look, marks=() if look in SHELLS else pytest.mark.long) for look in LOOKS],
)
def wary(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shell]:
    """A shell with the settings of some user, who has a work folder for each such name."""
    folder = tmp_path_factory.mktemp("wary")
    for play, (listed, _, _) in PLAYS.items():
        for number, name in enumerate(EXPANSIONS):
            (folder / f"{play}{number}").mkdir()
            (folder / f"{play}{number}" / "grid_folders.txt").write_text(listed.replace("{}", name), "utf-8")
    kind, settings = LOOKS[request.param]
    shell = Shell(kind, folder, f"set +u; {settings}\nevil='$({RUN})'; ref='a[$({RUN})]'")
    shell.is_plain = not settings
    shell.is_exact = "bind" not in settings and request.param in ("zsh", *(look for look in LOOKS if "bash" in look))
    yield shell
    shell.close()


def has_run(shell: Shell) -> bool:
    """Whether a name has run, and left the marker."""
    marker = shell.folder / "PWN"
    found = marker.exists()
    marker.unlink(missing_ok=True)
    return found


def word_of(shell: Shell, line: str, quote: str) -> str:
    """What the command gets for --ls_dir once Enter follows, and the marker if anything has run until then."""
    if not is_closed(line):
        line += quote
    if not is_closed(line):
        return f"not closed: {line}"
    word = shell.arguments(line).rpartition("--ls_dir")[2][1:]
    return f"it has run: {line}" if has_run(shell) else word


@pytest.mark.parametrize(
    ("play", "quote"),
    [
        pytest.param(
            play, quote, marks=pytest.mark.long if play == "several" or f"{play}{quote}" == "first" else ()
        )
        for play, quote in TURNS
    ],
)
def test_a_name_is_never_more_than_a_name(wary: Shell, play: str, quote: str):
    """Not at TAB, not in a list, not at Enter, whatever a shell would make of it elsewhere."""
    wrong = {}
    for number, name in enumerate(EXPANSIONS):
        if not wary.is_plain and number % len(TURNS) != TURNS.index((play, quote)):
            continue  # there are many settings, and so each name has one turn with them
        _, typed, path = PLAYS[play]
        path = path.replace("{}", name)
        tabs = "\t" * (path.count("/") - typed.count("/"))
        if play == "several":
            shown = "\t" * (wary.name == "bash")  # one TAB more, and there is the list; zsh would take the first match
            tabs = f"{tabs[:-1]}{shown}1\t\t"
        line = wary.line(f"gridsync.py --workdir {play}{number} --ls_dir {quote}{typed}{tabs}")
        word = word_of(wary, line, quote)
        if wary.name == "zsh" and quote == '"' and "$'" in name:
            path = typed + "1" * (play == "several")  # such a name is not offered
        # Elsewhere it may also be the beginning of a name, or the other one of the two.
        word, path = (word, path) if wary.is_exact else (re.sub("[/12]", "", text) for text in (word, path))
        if not (word == path if wary.is_exact else path.startswith(word)):
            wrong[name] = word
    assert wrong == {}


TRAP = f"${{x:-$({RUN})}}"
TRICKS = [  # what is typed behind --ls_dir, and what is on the line then
    ('"live/a$\t', '"live/a$'),  # of a$(...), the rest alone would be a command
    ("live/a$\t", "live/a$"),
    ("$'live/a\t", "$'live/a"),
    ('"live/a`\t', '"live/a`'),
    ("live/a!\t", "live/a!"),
    ("live/a;\t", "live/a;"),
    ('"half/\t', '"half/a\\'),  # what a\$ and a\" share
    ('"half/\t\t', '"half/a\\'),
    ('"half/a\\\t', '"half/a\\'),
    ('"half/a\\$\t', '"half/a\\$x/"'),
    ("'trap/\x1b*", "'trap/"),  # readline's insert-completions takes the quote away
    ('"trap/\x1b*', '"trap/'),
    ("'trap/\x1b?", "'trap/"),
    ("'trap/\x1b?\x1b?\t\t", f"'trap/{TRAP}"),
    ("''\x02\t", "''"),
]


@pytest.fixture(scope="module", params=["", "bind 'set colored-stats on'; bind 'set visible-stats on'"])
def tricked(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shell]:
    """A bash whose listings, sites and local folders have such names."""
    folder = tmp_path_factory.mktemp("tricked")
    names = (f"live/a$({RUN})", f"live/a`{RUN}`", "live/a!x", f"live/a;{RUN}", f"live/a\\'; {RUN};'", "half/a$x")
    names = (*names, 'half/a"y', f"trap/{TRAP}1", f"trap/{TRAP}2")
    (folder / "grid_folders.txt").write_text("".join(f"LYON\t{name}\n" for name in names))
    (folder / "Grid.conf").write_text(f"[{TRAP}1]\n[{TRAP}2]\n[o{TRAP}]\n[es\x1b[31m]\n[bi\u202edi]\n[c1\x9b31m]\n")
    for name in (f"local{TRAP}", f"several/{TRAP}1/in", f"several/{TRAP}2/in"):
        (folder / name).mkdir(parents=True)
    shell = Shell("bash", folder, f"set +u; {request.param}")
    yield shell
    shell.close()


@pytest.mark.every(1)
@pytest.mark.parametrize(("typed", "line"), TRICKS)
def test_what_is_typed_and_what_is_completed_are_no_command_together(tricked: Shell, typed: str, line: str):
    assert tricked.line(f"gridsync.py --ls_dir {typed}") == f"gridsync.py --ls_dir {line}"
    assert not has_run(tricked)


@pytest.mark.every(1)
@pytest.mark.parametrize("quote", ["", "'", '"'])
@pytest.mark.parametrize("typed", ["--from {}\t\t", "--from {}o\t", "--from={}\t\t", "--from={}$\t\t"])
def test_a_site_is_never_more_than_a_name(tricked: Shell, typed: str, quote: str):
    typed = typed.replace("{}", quote)
    line = tricked.line(f"gridsync.py {typed}")
    assert not has_run(tricked)
    if "o\t" in typed:
        assert tricked.arguments(line) == f"--from|o{TRAP}"
    assert not has_run(tricked)


@pytest.mark.every(1)
@pytest.mark.parametrize("quote", ["", "'", '"'])
@pytest.mark.parametrize("typed", ["loc\t\t", "several/\t\t", "several/\t\t1\t\t"])
@pytest.mark.parametrize("option", ["--output_dir ", "--workdir=", "--log_file=", "--put "])
def test_tab_runs_no_local_name(tricked: Shell, option: str, typed: str, quote: str):
    """They have such names where they were copied."""
    tricked.line(f"gridsync.py {option}{quote}{typed}")
    assert not has_run(tricked)


@pytest.mark.every(1)
@pytest.mark.parametrize(
    "name", ["es\x1b[31m", "bi\u202edi", "ze\u200bro", "c1\u009b31m", b"c1\x9b31m", b"half\xc3", "de\x7fl"]
)
@pytest.mark.parametrize("what", ["--ls_dir", "--from"])
def test_what_a_terminal_would_obey_or_hide_is_not_offered(what: str, name: str | bytes, tmp_path: Path):
    raw = name if isinstance(name, bytes) else name.encode()
    (tmp_path / "grid_folders.txt").write_bytes(b"LYON\t" + raw + b"/x\nLYON\tfine\n")
    (tmp_path / "Grid.conf").write_bytes(b"[" + raw + b"]\n[fine]\n")
    offer = f"_gridsync_read 'gridsync.py --workdir {tmp_path} --from=LYON {what} ' ''; _gridsync_offers '' ''"
    offered = sourced("bash", offer).stdout.split("\n")
    assert {name.rstrip("/") for name in offered if name} - {"list", *KNOWN} == {"fine"}


def test_a_list_shows_names_and_not_paths(tmp_path: Path):
    (tmp_path / "grid_folders.txt").write_text("LYON\te680/my data/run_1\nLYON\te680/my data/run_2\n")
    offer = "COMP_POINT=${#COMP_LINE}; _gridsync_bash x 'e680/my\\ data/run_' x; printf '<%s>' \"${COMPREPLY[@]}\""
    line = f"GRIDSYNC_DIR='{tmp_path}'; COMP_LINE='gridsync.py --ls_dir e680/my\\ data/run_'; "
    assert sourced("bash", f"{line} COMP_TYPE=63; {offer}").stdout in ("<run_1/><run_2/>", "<run_2/><run_1/>")
    assert "<e680/my\\ data/run_1/>" in sourced("bash", f"{line} COMP_TYPE=9; {offer}").stdout


def test_of_very_many_folders_only_what_they_share_is_completed(shell: Shell, tmp_path: Path):
    many = "".join(f"LYON\tflat/dir_{number:06}/x\n" for number in range(1001, 2500))
    (tmp_path / "grid_folders.txt").write_text(many)
    start = f"gridsync.py --workdir {tmp_path} --ls_dir flat/"
    assert shell.line(start + "\t") == start + "dir_00"
    assert shell.line(start + "dir_001001\t") == start + "dir_001001/"
    offer = "option=--ls_dir site=LYON value=flat/ folder=$PWD; _gridsync_offers flat/ ''"
    offered = sourced("bash", f"cd '{tmp_path}'; {offer}").stdout
    assert offered.splitlines() == ["flat/dir_001001/", "flat/dir_002499/"]


@pytest.mark.parametrize("name", SHELLS)
def test_sourcing_is_silent_and_leaves_only_names_of_its_own(name: str, tmp_path: Path):
    first, names = {
        "bash": ("set -u", "compgen -A variable; compgen -A function"),
        "zsh": ("set -u; autoload -Uz compinit && compinit -i", "typeset +m '*'; print -rl -- ${(k)functions}"),
    }[name]
    script = f'{first}\n{names}\necho ----\n. "$0" || exit\necho ----\n{names}'
    done = subprocess.run(
        [*SHELLS[name][:-1], "-c", script, str(SCRIPT)],
        env={"PATH": os.environ["PATH"], "HOME": str(tmp_path)}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    before, said, after = done.stdout.split("----\n")
    new = {line.split()[-1] for line in after.splitlines()} - {line.split()[-1] for line in before.splitlines()}
    assert (said, done.stderr) == ("", "")
    assert "_gridsync_options" in new
    assert [name for name in new if not name.startswith("_gridsync")] == []


@pytest.mark.long
def test_zsh_gets_its_completion_system_quietly(tmp_path: Path):
    done = sourced("zsh", "print -r -- $_comps[gridsync.py]", HOME=str(tmp_path))
    assert (done.stdout, done.stderr) == ("_gridsync_zsh\n", "")


def test_another_shell_hears_a_sentence():
    done = subprocess.run(["sh", "-c", f'. "{SCRIPT}"; echo $?'], capture_output=True, text=True, check=False)
    assert done.stdout == "2\n"
    assert done.stderr.count("\n") == 1 and "bash" in done.stderr
