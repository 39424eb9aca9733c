"""The stage of transcripts: command lines are run for real, and the screen is compared with what the transcript shows.

A transcript is read line by line:

    # words for the reader
    * a direction: what the grid does meanwhile, or which key is pressed; DIRECTIONS lists them
    $ a command line, run by bash on a terminal, in a work folder that lasts until the end of the case
    what then stands on the terminal, exactly
    (status 1)

The last line is there when the status is not 0. A blank line in front of the next step belongs to neither. Some words
in brackets stand for what can't be known; PLACEHOLDERS, ENGINE, BLOCK and AND_SO_ON are all of them.
"""

from __future__ import annotations

import contextlib
import difflib
import fcntl
import re
import shlex
import shutil
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path
from typing import NamedTuple

from gridsync_parts.conf import with_setting
from tests.grid import Grid
from tests.grid.door import Door, kindly
from tests.grid.openid import CLIENT, CLIENT_SECRET
from tests.grid.pki import HOST_DN, P12_PASSWORD, PASSPHRASE, VO
from tests.grid.tree import BOTH, TAPE
from tests.support import SCRIPT
from tests.support.agent import Agent
from tests.support.constants import script_with
from tests.support.disk import Disk
from tests.support.strangers import context_of, stranger
from tests.support.terminal import CTRL_C, Answers, dialogue, last_states

LESSON = "agata/lesson"  # where directions put files
UNITS = {"B": 1, "kB": 1 << 10, "MB": 1 << 20}

PAIR = ("usercert.pem", "userkey.pem")
FAKETIME = "/usr/$LIB/faketime/libfaketimeMT.so.1"  # the loader knows LIB
ELSEWHERE = {  # what stands for ports that are not the door's
    "door": "ccdavegee.in2p3.fr:2880",
    "pool": "ccdcapool.in2p3.fr:20017",
    "tape service": "ccdcatape.in2p3.fr:3880",
}

# == What stands for what varies ========================================================================
# Places of the grid stand under the manual's names: the door, the VOMS server, the file of the proxy (Stage.run).
# A placeholder stands only where a case has it written. All else is compared as it is: sizes, counts, names, sentences.

MANUALS_DOOR = "https://ccdavegee.in2p3.fr:2880"
STORMS = {"CNAF": "xfer-archive.cr.cnaf.infn.it:8443", "BARI": "storm.example.org:8443"}
MANUALS_VOMS = (
    "voms-agata.ijclab.in2p3.fr:443 [/DC=org/DC=terena/DC=tcs/C=FR/L=Paris"
    "/O=Centre national de la recherche scientifique/CN=voms-agata.ijclab.in2p3.fr]"
)
PROVIDER = "https://iam.example.org"
FTS = "https://fts.example.org:8446"
REPOSITORY = "https://repository.example.org"
MANUALS_PROXY = "/tmp/x509up_u0"
ANOTHER_VO = "vo.example.org"
ANOTHER_VOMS = ("voms.example.org", "443", "/DC=org/DC=example/CN=voms.example.org")
SIZE = r"\d+\.\d (B|[kMGT]B)"
PLACEHOLDERS = {
    "[size]": SIZE,
    "[rate]": SIZE + "/s",
    "[time]": r"(\d+h\d\dm|\d+m\d\ds)",
    "[percent]": r"\d\d?%",
    "[workers]": r"\d+ workers?",
    "[date]": r"\w{3} \w{3} [ \d]\d \d\d:\d\d:\d\d UTC \d{4}",
    "[day]": r"\d\d \w{3} \d{4}",
    "[machine]": r"OpenSSL .*",
    "[checksum]": "[0-9a-f]{8}",
    "[id]": r"[0-9a-z]{5}-[0-9a-z]{5}",  # of a record
    "[number]": r"\d+(\.\d+)*",
    "[the door's words]": r"[^()]+",
}
ENGINE = "[engine]"  # the one that the case is played with
BLOCK = "[configuration]"  # where it is not what the case is about
CONFIGURATION = re.compile(r"\*{32}\n\*\* GridDataSync configuration \*\*\n\*{32}\n\n([\w ]{20}: .*\n)+")
AND_SO_ON = "...\n"  # the manual's own: what follows is left out


BRACKET = re.compile("|".join(map(re.escape, (ENGINE, *PLACEHOLDERS))))


def expression(line: str) -> re.Pattern[str]:
    """What a line with placeholders stands for."""
    text = re.escape(line)
    for name, stands in PLACEHOLDERS.items():
        text = text.replace(re.escape(name), stands)
    return re.compile(text)


@dataclass
class Stage:
    """Where a transcript is played."""

    grid: Grid
    door: Door
    folder: Path
    answers: Answers = field(default_factory=list)
    phrase: str = PASSPHRASE  # what is typed where one is asked for
    typed: dict[str, str] = field(default_factory=dict)  # what stands for what in command lines
    asked: Answers = field(default_factory=list)  # what each command may ask for
    closing: ExitStack = field(default_factory=ExitStack)  # what is let go in the end
    disk: Disk | None = None

    def __post_init__(self) -> None:
        self.work, self.programs, self.home = (self.folder / name for name in ("work", "bin", "home"))
        self.work.mkdir()
        self.programs.mkdir()
        self.proxy = self.folder / "proxy"
        shutil.copy(self.grid.pki.proxy("good"), self.proxy)
        path = f"{self.programs}:{self.grid.env['PATH']}"
        self.env = {**self.grid.env, "PATH": path, "X509_USER_PROXY": str(self.proxy), "LC_ALL": "C", "NO_COLOR": "1"}
        self.places = {
            **{self.door.url: MANUALS_DOOR, self.door.url[len("https://") :]: MANUALS_DOOR[len("https://") :]},
            **{f"localhost:{url.rpartition(':')[2].partition('/')[0]}": name for url, name in (
                (self.door.pool_url, ELSEWHERE["pool"]), (self.door.tape_url, ELSEWHERE["tape service"])
            )},
            self.env["X509_CERT_DIR"]: "/etc/grid-security/certificates",
            **{str(self.proxy): MANUALS_PROXY, str(self.home): "~", str(self.work): "/home/alice/e680"},
        }
        self.install()

    def install(self, changed: str = "") -> None:
        """Make the command gridsync.py, with other values of some constants."""
        command = self.programs / "gridsync.py"
        run = f"-c {shlex.quote(script_with(changed))}" if changed else SCRIPT
        command.write_text(f'#!/bin/sh\nPYTHONPATH={SCRIPT.parent} exec /usr/bin/python3 {run} "$@"\n')
        command.chmod(0o755)
        shutil.copy(SCRIPT.with_name("gen_cert.sh"), self.programs)

    def configure(self, engine: str) -> None:
        """A Grid.conf of which LYON is the door of the play."""
        conf = self.grid.conf("./data/").replace("[gridsync]\n", "[gridsync]\nRETRIES = 1\n")
        for key, value in (("SERVER", f"{self.door.url}/"), ("ENGINE", engine)):
            conf = with_setting(conf, "LYON", key, value)
        (self.work / "Grid.conf").write_text(conf)

    def run(self, line: str) -> str:
        """What a command line leaves on the screen, and its status if it is not 0."""
        line = line.replace(MANUALS_DOOR[len("https://") :], self.door.url[len("https://") :])
        if "--new_proxy" in line:
            self.places.setdefault(f"localhost:{self.grid.voms.port} [{HOST_DN}]", MANUALS_VOMS)
            self.answers.append(("Enter GRID pass phrase for this identity:", self.phrase))
        for there, here in self.typed.items():
            line = line.replace(there, here)
        if "--new_token" in line:
            self.answers.append(("Secret of the client", CLIENT_SECRET))
            self.answers += [("Pass phrase for the account", self.phrase), ("The same again:", self.phrase)]
        if "--doctor" in line:
            self.places[f"localhost:{self.grid.voms.port}"] = MANUALS_VOMS.partition(" ")[0]
        before = self.disk.before if self.disk else ()
        command = [*before, "env", "-C", str(self.work), "bash", "-c", line]
        status, text = dialogue(command, self.env, [*self.answers, *self.asked])
        self.answers.clear()
        for here in sorted(self.places, key=len, reverse=True):
            text = text.replace(here, self.places[here])
        return last_states(text) + (f"(status {status})\n" if status else "")

    def files(self, pattern: str) -> list[str]:
        found = [path for path in self.grid.tree.files("agata") if fnmatchcase(path, f"agata/{pattern}")]
        assert found, f"no file of the grid is {pattern}"
        return found


# == Directions =========================================================================================


def take_tokens(stage: Stage) -> None:
    """Have a site that takes tokens of a provider, and an oidc-agent."""
    agent = Agent(stage.grid, stage.folder)
    agent.start()
    stage.closing.callback(agent.stop)
    stage.env.update(agent.env, PATH=f"{agent.programs}:{stage.env['PATH']}")
    stage.env["XDG_RUNTIME_DIR"] = str(stage.folder)
    stage.places[stage.grid.openid.url] = PROVIDER
    conf = stage.work / "Grid.conf"
    for key, value in (("ISSUER", stage.grid.openid.url), ("CLIENT_ID", CLIENT)):
        conf.write_text(with_setting(conf.read_text(), "LYON", key, value))


def put(stage: Stage, place: str, path: str, number: str, unit: str) -> None:
    stage.grid.tree.add(f"{LESSON}/{path}", int(float(number) * UNITS[unit]), tape=place == "tape")


def leave(stage: Stage, path: str, number: str, unit: str) -> None:
    """Have a local file."""
    (stage.work / path).parent.mkdir(parents=True, exist_ok=True)
    (stage.work / path).write_bytes(bytes(int(float(number) * UNITS[unit])))


def move(stage: Stage, place: str, pattern: str) -> None:
    for path in stage.files(pattern):
        stage.grid.tree.file(path).locality = TAPE if place == "tape" else BOTH


def quiet(stage: Stage) -> None:
    """Wait until the robot has brought all that was asked for."""
    ends = time.monotonic() + 10
    while any(request.completed is None for request in stage.door.staging.requests.values()):
        assert time.monotonic() < ends, "the tape robot never ends"
        time.sleep(0.01)


def live_at(stage: Stage, user: str, *kept: str) -> None:
    """Be that user, with only some of what they have in ~/.globus."""
    shutil.rmtree(stage.home, ignore_errors=True)
    shutil.copytree(stage.grid.pki.user(user), stage.home, symlinks=True)
    for path in (stage.home / ".globus").iterdir():
        if path.name not in kept:
            path.unlink()
    if not kept:
        (stage.home / ".globus").rmdir()
    stage.env.update(stage.grid.pki.environment(user, stage.home), PATH=stage.env["PATH"])


def export(stage: Stage) -> None:
    """Have nothing but what the browser exports."""
    shutil.copy(stage.grid.pki.p12(), stage.work)
    once, twice = ("Enter Import Password:", P12_PASSWORD), ("Enter PEM pass phrase:", PASSPHRASE)
    stage.answers += [once, once, twice, ("Verifying - Enter PEM pass phrase:", PASSPHRASE)]


def hold(stage: Stage, kind: str) -> None:
    """Hold a proxy of that kind."""
    shutil.copy(stage.grid.pki.proxy(kind.replace(" ", "_")), stage.proxy)


def refuse(stage: Stage, path: str) -> None:
    """Have a folder that the door refuses, and does not just show empty."""
    stage.door.switches.unreadable, stage.door.switches.unreadable_status = {path}, 403


def block(stage: Stage, what: str) -> None:
    """Have a firewall that drops what goes to some ports: so does a port with a queue that is full."""
    deaf = stage.closing.enter_context(socket.create_server(("127.0.0.1", 0), backlog=0))
    port = deaf.getsockname()[1]
    for _ in range(4):
        line = stage.closing.enter_context(socket.socket())
        line.setblocking(False)
        line.connect_ex(("127.0.0.1", port))
    stage.install("CONNECT = 0.5")
    host, url = ELSEWHERE[what], f"https://localhost:{port}"
    stage.places.update({f"localhost:{port}": host})
    if what == "door":
        conf = stage.work / "Grid.conf"
        conf.write_text(with_setting(conf.read_text(), "LYON", "SERVER", url))
    elif what == "pool":
        stage.door.faults.add("/agata/*", "redirect", role="door", method="GET", to=url)
    else:
        stage.door.switches.wellknown = f"{url}/api/v1/tape"


def unblock(stage: Stage) -> None:
    stage.door.faults.clear()
    stage.door.switches.wellknown = "present"
    conf = stage.work / "Grid.conf"
    conf.write_text(with_setting(conf.read_text(), "LYON", "SERVER", stage.door.url))


def misname(stage: Stage) -> None:
    """Have a pool whose certificate has another name than readers are sent to."""
    port = stage.closing.enter_context(stranger(b"", context_of(stage.grid, "other")))
    stage.places.update({f"localhost:{port}": ELSEWHERE["pool"]})
    stage.door.faults.add("/agata/*", "redirect", role="door", method="GET", to=f"https://localhost:{port}")


def trust(stage: Stage, whom: str) -> None:
    """Have the CA certificates of the grid, those of others alone, or no folder of them."""
    stage.env.pop("X509_CERT_DIR", None)
    stage.install('GRID_CAS = "/nonexistent"')
    if whom != "no":
        folder = stage.folder / "others"
        folder.mkdir(exist_ok=True)
        place = folder if whom == "only other" else stage.grid.pki.certificates
        stage.places[str(place)] = "/etc/grid-security/certificates"
        stage.install(f'GRID_CAS = "{place}"')


def join_another(stage: Stage) -> None:
    """Be in another VO; it is the grid's own under another name, and gridsync knows nothing of it."""
    (stage.home / ".glite" / "vomses").unlink()
    (stage.home / ".glite").rmdir()
    stage.install("VOMS_SERVERS = {}")
    host, port, dn = ANOTHER_VOMS
    here = ("localhost", str(stage.grid.voms.port), HOST_DN)
    stage.typed = {'"{}" "{}" "{}"'.format(*ANOTHER_VOMS): '"{}" "{}" "{}"'.format(*here), ANOTHER_VO: VO}
    stage.places.update({"{}:{} [{}]".format(*here): f"{host}:{port} [{dn}]", VO: ANOTHER_VO})


def move_to_iam(stage: Stage) -> None:
    """Have the VO's members at a stand-in of IAM."""
    vomses, iam = stage.home / ".glite" / "vomses", stage.grid.iam
    vomses.unlink()
    vomses.write_text(f"{iam.line}\n")
    stage.places[f"localhost:{iam.port} [{HOST_DN}]"] = MANUALS_VOMS
    stage.places[f"localhost:{iam.port}"] = MANUALS_VOMS.partition(" ")[0]


IAM = {
    "wants the terms of use signed": "unsigned",
    "has suspended the user": "suspended",
    "has the user in no group": "groupless",
    "does not know the certificate": "stranger",
    "is content with the user": "member",
}


def shift(stage: Stage, days: str) -> None:
    """Have a clock that is so many days off."""
    stage.env.update(LD_PRELOAD=FAKETIME, FAKETIME=f"{int(days):+}d", FAKETIME_DONT_FAKE_MONOTONIC="1")


def take_records(stage: Stage) -> None:
    """Have a repository for NRP, and a token for it."""
    repository, conf = stage.grid.repository, stage.work / "Grid.conf"
    repository.reset()
    stage.closing.callback(repository.reset)
    stage.env["NRP_TOKEN"] = repository.token
    stage.places[repository.base] = REPOSITORY
    keys = {"SERVER": repository.base, "ENGINE": "invenio", "TOKEN": "env:NRP_TOKEN"}
    for key, value in {**keys, "CA_DIR": stage.env["X509_CERT_DIR"]}.items():
        conf.write_text(with_setting(conf.read_text(), "NRP", key, value))


def take_copies(stage: Stage, site: str, path: str) -> None:
    """Have an empty folder for copies at a StoRM, whose door has the same files as LYON's."""
    door = stage.grid.storm if site == "CNAF" else stage.grid.at("storm-1.6")
    stage.grid.tree.folder(f"{LESSON}/{path}")
    conf = stage.work / "Grid.conf"
    for key, value in (("SERVER", door.url), ("BASE_DIR_ON_GRID", f"{LESSON}/{path}")):
        conf.write_text(with_setting(conf.read_text(), site, key, value))
    stage.places[door.url.partition("//")[2]] = STORMS[site]


def take_jobs(stage: Stage) -> None:
    """Have an FTS3 server."""
    fts = stage.grid.fts
    fts.reset()
    stage.closing.callback(fts.reset)
    stage.typed[FTS] = fts.url
    stage.places[fts.url] = FTS


def mount(stage: Stage) -> None:
    """Have a small disk at data."""
    (stage.work / "data").mkdir()
    stage.disk = stage.closing.enter_context(contextlib.closing(Disk(stage.work / "data")))
    stage.disk.expect()


def be_at_work(stage: Stage) -> None:
    """Have another run at work, as long as the lock is held here."""
    path = stage.work / "grid_summary.csv.lock"
    path.write_text("process 4711, since 09:12:03\n")
    fcntl.flock(stage.closing.enter_context(path.open()), fcntl.LOCK_EX)


DIRECTIONS: dict[str, Callable[..., object]] = {
    # at the site
    r"on (disk|tape): lesson/(\S+), (\S+) (\S+)": put,
    r"an empty folder: lesson/(\S+)": lambda stage, path: stage.grid.tree.folder(f"{LESSON}/{path}"),
    r"now on (disk|tape): (\S+)": move,
    r"gone: (\S+)": lambda stage, path: stage.grid.tree.remove(f"agata/{path}"),
    r"the tape robot stops": lambda stage: stage.grid.robot.hold(),
    r"the tape robot brings (\d+) files": lambda stage, count: stage.grid.robot.go(int(count)),
    r"the tape robot works again": lambda stage: stage.grid.robot.go(),
    r"all is quiet at the tape": quiet,
    r"the door refuses: (\S+)": lambda stage, path: refuse(stage, f"agata/{path}"),
    r"the site has wrong checksums": lambda stage: stage.door.faults.add("*", "digest"),
    r"the site has mended it": lambda stage: stage.door.faults.clear(),
    r"(CNAF|BARI) takes copies below: lesson/(\S+)": take_copies,
    r"an FTS3 server takes jobs": take_jobs,
    r"the FTS3 server is busy with others": lambda stage: stage.grid.fts.hold(),
    # on the way
    r"the line is slow for: (\S+)": lambda stage, path: stage.door.faults.add(f"/agata/{path}", "drip", speed=15e6),
    r"the line spoils: (\S+)": lambda stage, path: stage.door.faults.add(f"/agata/{path}", "wrong_bytes"),
    r"the line is good again": lambda stage: stage.door.faults.clear(),
    r"a firewall blocks the port of the (door|pool|tape service)": block,
    r"the firewall is opened": unblock,
    r"a pool's certificate has another name": misname,
    # here
    r"in the work folder: (\S+), (\S+) (\S+)": leave,
    r"Ctrl-C is pressed at: (.*)": lambda stage, text: stage.answers.append((text, CTRL_C)),
    r"the browser exports alice_grid.p12": export,
    r"nothing is in ~/.globus": lambda stage: live_at(stage, "alice"),
    r"another pass phrase is typed": lambda stage: setattr(stage, "phrase", "letmein"),
    r"the right pass phrase is typed": lambda stage: setattr(stage, "phrase", PASSPHRASE),
    r"the user is (\w+), who is (not )?in the VO": lambda stage, name, _: live_at(stage, name.lower(), *PAIR),
    r"the user is in vo.example.org, of which gridsync.py knows nothing": join_another,
    r"the VO has moved to an INDIGO IAM": move_to_iam,
    rf"IAM ({'|'.join(IAM)})": lambda stage, words: stage.grid.iam.standings.update(alice=IAM[words]),
    r"before IAM is a plain web server": lambda stage: setattr(stage.grid.iam, "httpg", False),
    r"IAM is down": lambda stage: stage.grid.iam.faults.add("*", 502),
    r"(no|only other|the right) CA certificates are installed": trust,
    r"the proxy is of the kind: (.*)": hold,
    r"the site takes tokens, and an oidc-agent runs": take_tokens,
    r"a repository takes records, and NRP_TOKEN has a token for it": take_records,
    r"a token lies in BEARER_TOKEN": lambda stage: stage.env.update(BEARER_TOKEN=stage.grid.openid.token(7200)),
    r"the proxy is lost": lambda stage: stage.proxy.unlink(),
    r"the clock is wrong by (\S+) days": shift,
    r"the clock is right": lambda stage: stage.env.pop("LD_PRELOAD"),
    r"a disk of 48 MB is mounted at data": mount,
    r"the disk is full": lambda stage: stage.disk.fill(),
    r"there is room on the disk": lambda stage: stage.disk.make_room(),
    r"the disk is pulled out at: (.*)": lambda stage, text: stage.answers.append((text, stage.disk.pull)),
    r"another disk is mounted at data": lambda stage: stage.disk.mount(),
    r"another run is at work": be_at_work,
    r"the other run ends": lambda stage: stage.closing.close(),
    r"a day goes by": lambda stage: stage.install("stuck = 0"),
}


def direct(stage: Stage, words: str) -> None:
    for pattern, action in DIRECTIONS.items():
        if found := re.fullmatch(pattern, words):
            action(stage, *found.groups())
            return
    raise AssertionError(f"no direction is called {words!r}; DIRECTIONS has them all")


# == The play ===========================================================================================


class Step(NamedTuple):
    kind: str
    words: str
    shows: slice  # where in the text it says what stands on the terminal then


def steps(text: str) -> Iterator[Step]:
    """The steps of a transcript; a fence of Markdown is one that has no meaning."""
    marks = [*re.finditer(r"^([#*$]|```)(?: (.*)|\w*)\n", text, re.MULTILINE)]
    for mark, after in zip(marks, [*(mark.start() for mark in marks[1:]), len(text)]):
        shows = text[mark.end() : after]
        is_apart = after < len(text) and (shows == "\n" or shows.endswith("\n\n"))
        yield Step(mark[1], mark[2], slice(mark.end(), after - is_apart))


@contextmanager
def on_stage(grid: Grid, folder: Path, kind: str = "dcache") -> Iterator[Stage]:
    """A stage on one kind of door; afterwards the grid is as it was."""
    stage = Stage(grid, grid.storm if kind == "storm" else grid.door, folder)
    stage.door.staging.requests.clear()  # what other tests have left is nobody's any more,
    move(stage, "tape", "e680*")  # and what they have brought online is on tape again
    try:
        yield stage
    finally:
        grid.robot.go()
        quiet(stage)
        stage.door.faults.clear()
        stage.door.switches.unreadable = ()
        stage.door.switches.unreadable_status = kindly(stage.door.profile).unreadable_status
        stage.door.switches.wellknown = "present"
        stage.closing.close()
        grid.iam.reset()
        grid.tree.folder(LESSON)
        grid.tree.remove(LESSON)
        move(stage, "tape", "e680*")


def played(stage: Stage, text: str, engine: str) -> str:
    """The transcript as it really goes, with its words for what can't be known where they fit."""
    parts, at = [], 0
    for step in steps(text):
        if step.kind == "*":
            direct(stage, step.words)
        elif step.kind == "$":
            parts += [text[at : step.shows.start], shown(stage, step.words, text[step.shows], engine)]
            at = step.shows.stop
    return "".join([*parts, text[at:]])


def shown(stage: Stage, line: str, told: str, engine: str) -> str:
    """What a command line shows, in the words of what was told."""
    text = stage.run(line)
    if told.startswith(f"{BLOCK}\n"):
        text = CONFIGURATION.sub(f"{BLOCK}\n", text, count=1)
    lines = told.splitlines(keepends=True)
    fitting = [(line, expression(line.replace(ENGINE, engine))) for line in lines if BRACKET.search(line)]
    found = text.splitlines(keepends=True)
    found = [next((line for line, fits in fitting if fits.fullmatch(one)), one) for one in found]
    if lines[-1:] == [AND_SO_ON]:
        found[len(lines) - 1 :] = [AND_SO_ON]
    return "".join(found)


def difference(told: str, text: str, name: str, where: str) -> str:
    """Where a transcript and a play differ; empty if they don't."""
    return "".join(difflib.unified_diff(told.splitlines(True), text.splitlines(True), name, where, n=5))
