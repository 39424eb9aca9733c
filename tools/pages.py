#!/usr/bin/python3
"""Make from the tables of options, settings and sites what tells of them: gridsync.1, Grid.conf.example, the tables in
docs/ and what do_grid_completion.sh completes; and the files in voms/.

    tools/pages.py          # write all of them anew; a test compares them with what this would write
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

TOP = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(TOP))

from gridsync import HELP, LIST, OPTIONS, Option  # noqa: E402 - it stands in the folder above
from gridsync_parts.conf import default_conf  # noqa: E402
from gridsync_parts.kinds import KINDS, WEB, Can, find_kind, is_tried  # noqa: E402
from gridsync_parts.sites import KNOWN  # noqa: E402
from gridsync_parts.stats import meanings  # noqa: E402
from gridsync_parts.table import GENERAL, GENERAL_KEYS, SITE_KEYS, Key  # noqa: E402
from gridsync_parts.vomses import VOMS_SERVERS  # noqa: E402
from tests.contract.deviations import DEVIATIONS  # noqa: E402

DOCS = TOP / "docs"
VOMS = TOP / "voms"
MAN = TOP / "gridsync.1"
EXAMPLE = TOP / "Grid.conf.example"
COMPLETION = TOP / "do_grid_completion.sh"

STATUSES = (  # with what a script does next
    (0, "all that was asked is done", "go on"),
    (1, "some files failed, wait on tape or remain",
     "run the same command again later; the catalog's column `error` says why"),
    (2, "wrong usage or configuration", "correct Grid.conf, or correct the command; repeating it will not help"),
    (3, "no valid credentials", "get a new proxy or token, then run the same command again"),
    (4, "the door cannot be reached or refuses", "run the same command again later"),
    (5, "the local disk or catalog", "make room, mount the disk, or correct the catalog"),
    (6, "another run holds the work folder", "nothing: that run is doing it"),
    (70, "a fault of gridsync's own", "report it, with what `--debug` shows"),
    (130, "interrupted", "by Ctrl-C or SIGTERM; the same command continues"),
)  # fmt: skip
ABOVE = r"""'\" t
.TH GRIDSYNC 1
.SH NAME
gridsync \- a folder of Grid data on a local disk, complete and verified
.SH SYNOPSIS
.B gridsync.py
.RI [ options ]
.br
.B gridsync.py
.I URL DIR
.RI [ options ]
.SH DESCRIPTION
Lists a folder of a Grid site, has its files brought from tape to disk, copies them in parallel, verifies each by its
checksum, goes on where it was interrupted, and gives the disk space at the site back. Settings given on the command
line are remembered once the command was accepted. Several actions on one line run in this order: ACTIONS; after status
1 the next one still runs, after 2 and above none.
.PP
The second form does what \-\-sync does for the folder or file of a URL, into the local folder DIR. Nothing of it is
remembered, and of Grid.conf the folders and patterns are not used.
.SH OPTIONS
"""
SETTINGS = r""".SH SETTINGS
Keys of Grid.conf, by its sections.
"""
BELOW = r""".SH FILES
.TP
.I Grid.conf
settings and sites; made at the first run, see its comments
.TP
.I grid_summary.csv
the catalog: a row for each file, what is known of it and whether it is here
.TP
.I grid_uploads.csv
what \-\-put has sent and \-\-to has copied, and what is left of it
.TP
.I grid_folders.txt
remote folders that listings have shown, for the TAB key
.TP
.I grid_records.txt
what the words of an INPUTDIR meant at a portal of open data when they were last looked for
.PP
All are in the work folder: \fB\-\-workdir\fR, else \fBGRIDSYNC_DIR\fR, else the current one. A file that is being
copied has a name ending in
.IR .gridsync-part .
.SH ENVIRONMENT
\fBGRIDSYNC_DIR\fR, \fBX509_USER_PROXY\fR (else /tmp/x509up_u\fIuid\fR), \fBX509_CERT_DIR\fR, \fBX509_USER_CERT\fR and
\fBX509_USER_KEY\fR (else ~/.globus/usercert.pem and userkey.pem), \fBX509_VOMSES\fR, \fBX509_VOMS_DIR\fR,
\fBBEARER_TOKEN\fR, \fBBEARER_TOKEN_FILE\fR, \fBHTTPS_PROXY\fR, \fBNO_PROXY\fR, \fBNO_COLOR\fR
.SH EXAMPLES
.nf
gridsync.py \-\-new_proxy
gridsync.py https://door.example.org:2880/path/of/run_1 data
gridsync.py \-\-ls_dir e680/e680
gridsync.py \-\-input_dir e680/e680/run_0003.dat.11-05-15_09h55m42s \-\-inc '.*/03./.*' \-\-exc '.*.adf'
gridsync.py \-\-build_list \-\-bring_online
gridsync.py \-\-start
gridsync.py \-\-sync \-\-quiet
.fi
.SH EXIT STATUS
"""


def spelling(option: Option) -> str:
    """An option as the help writes it."""
    if option.metavar.startswith("["):
        return f"--{option.name} {option.metavar}"
    return f"--{option.name}={option.metavar}" if option.metavar else f"--{option.name}"


def meaning(option: Option) -> str:
    """What the help says of it."""
    return (option.help or (option.do.__doc__ or "" if option.do else "")).replace("\n", " ")


SECTIONS = {f"[{GENERAL}]": GENERAL_KEYS, "a site": SITE_KEYS}


def meaning_of(key: Key) -> str:
    """What a key is for, and what stands for it where it is not set."""
    return key.help.rstrip(".") + (f" (default: {key.default})" if key.default != "" else "")


def roff(text: str) -> str:
    """Text that roff shows as it is."""
    return text.replace("\\", r"\\").replace("-", r"\-")


def man() -> str:
    """The manual page."""
    options = "".join(f".TP\n.B {roff(spelling(option))}\n{roff(meaning(option))}\n" for option in HELP)
    statuses = "".join(f".TP\n.B {status}\n{text}\n" for status, text, _ in STATUSES)
    actions = ", ".join(option.name for option in OPTIONS if option.do)
    keys = "".join(
        f".SS {roff(section)}\n" + "".join(f".TP\n.B {key.name}\n{roff(meaning_of(key))}\n" for key in keys.values())
        for section, keys in SECTIONS.items()
    )
    return ABOVE.replace("ACTIONS", actions) + options + SETTINGS + keys + BELOW + statuses


def table(*rows: tuple[object, ...]) -> str:
    """A table of a page; the first row is its head."""
    return "".join(f"| {' | '.join(map(str, row))} |\n" for row in (rows[0], ("---",) * len(rows[0]), *rows[1:]))


def filled(page: Path, **parts: str) -> str:
    """A page with what is to stand between its comments now."""
    text = page.read_text(encoding="utf-8")
    for name, part in parts.items():
        place = re.compile(f"(?<=<!-- {name} -->\n).*?(?=<!-- end of {name} -->)", re.DOTALL)
        text = place.sub(lambda _, part=part: part, text)
    return text


def takes_files(can: Can) -> str:
    """Whether a door does, and whether it gives them back."""
    return "no" if not can.writes else "yes" if can.removes else "yes, for good"


def short_doors() -> str:
    """The same in short, of those that were tried."""
    rows = [
        (
            ", ".join(f"`{scheme}://`" for scheme in kind.schemes[:2])
            + (f", `ENGINE = {kind.engine}`" if find_kind("auto", kind.schemes[0]) is not kind else ""),
            kind.what,
            kind.credential.value,
            "checksum" if kind.can.checksums else "size",
            takes_files(kind.can),
        )
        for kind in KINDS
        if is_tried(kind) and not (kind.engine == "gfal2" and kind.schemes == WEB)  # which is the other engine's
    ]
    made = table(("SERVER", "what it is", "is shown", "verified by", "takes files"), *rows)
    return made.replace(" --- |", "---|").replace("| ---", "|---")


def tape_of(can: Can) -> str:
    """What can be done with files on tape."""
    if can.by_record:
        return "asked for by record"
    return "if the door names it" if can.tape else "no"


def doors() -> str:
    """The kinds of doors, and what each can."""
    rows = [
        (
            ", ".join(f"`{scheme}://`" for scheme in kind.schemes),
            f"`{kind.engine}`",
            kind.what,
            kind.credential.value,
            ", ".join(kind.can.checksums) or "none, so the size is compared",
            tape_of(kind.can),
            takes_files(kind.can),
        )
        for kind in KINDS
    ]
    return table(("SERVER", "ENGINE", "what it is", "is shown", "checksums", "tape", "takes files"), *rows)


def deviations() -> str:
    """What doors are known not to keep of what all promise."""
    return "".join(f"- {deviation.who} {deviation.reason}.\n" for deviation in DEVIATIONS)


def voms() -> dict[Path, str]:
    """The VOMS servers that gridsync knows, for other programs: as in /etc/vomses and /etc/grid-security/vomsdir."""
    lines = {VOMS / "vomses" / f"{vo}-{server.host}": server.line(vo) for vo, server in VOMS_SERVERS.items()}
    signers = {VOMS / "vomsdir" / vo / f"{server.host}.lsc": server.lsc() for vo, server in VOMS_SERVERS.items()}
    return lines | signers


def completion() -> str:
    """The completion script with the options and sites of now."""
    import textwrap

    text = COMPLETION.read_text(encoding="utf-8")
    options = ["--help", *(f"--{option.name}{'=' * (option.metavar[:1] not in '[')}" for option in HELP)]
    for name, words in (("options", options), ("sites", [LIST, *KNOWN])):
        lines = textwrap.fill(" ".join(words), 120, initial_indent="  ", subsequent_indent="  ", break_on_hyphens=False)
        text = re.sub(rf"(?<=_gridsync_{name}=\(\n).*?(?=^\))", lines + "\n", text, flags=re.DOTALL | re.MULTILINE)
    return text


def pages() -> dict[Path, str]:
    """All that is made here."""
    options = table(("option", "meaning"), *((f"`{spelling(option)}`", meaning(option)) for option in HELP))
    order = ", ".join(f"`--{option.name}`" for option in OPTIONS if option.do) + "\n"
    keys = table(
        ("section", "key", "what it is", "value", "option"),
        *(
            (section, f"`{key.name}`", meaning_of(key), key.form.said, f"`--{key.option}`" if key.option else "")
            for section, keys in SECTIONS.items()
            for key in keys.values()
        ),
    )
    statuses = table(("status", "meaning", "for a script"), *STATUSES)
    stats = table(("field", "what it is"), *((f"`{name}`", meaning) for name, meaning in meanings().items()))
    return {
        MAN: man(),
        EXAMPLE: default_conf("./data/", KNOWN),
        COMPLETION: completion(),
        TOP / "README.md": filled(TOP / "README.md", doors=short_doors()),
        DOCS / "options.md": filled(DOCS / "options.md", options=options, order=order, keys=keys),
        DOCS / "doors.md": filled(DOCS / "doors.md", doors=doors(), deviations=deviations()),
        DOCS / "exit-status.md": filled(DOCS / "exit-status.md", statuses=statuses),
        DOCS / "stats.md": filled(DOCS / "stats.md", stats=stats),
        **voms(),
    }


if __name__ == "__main__":
    for path, text in pages().items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
