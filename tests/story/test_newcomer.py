"""A machine on which nothing of the Grid is set up but a VOMS client: no vomses, no LSC files, no X509_* variables."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from gridsync_parts.keys import CA_REMEDY
from gridsync_parts.keys.client import client_error
from gridsync_parts.keys.proxy import read_proxy
from gridsync_parts.vomses import VOMS_SERVERS, voms_server
from tests.grid import Grid
from tests.grid.pki import CA_DN, HOST_DN, PASSPHRASE, VO
from tests.support import SCRIPT
from tests.support.user import CLIENTS, Result, User

pytestmark = pytest.mark.skipif(os.path.exists("/etc/vomses"), reason="this machine is set up for VOMS")

# A client that leaves its exit status, by which it says whether it could verify what the VO has signed.
NOTED = '#!/bin/sh\n{} "$@"\nstatus=$?\necho $status >"$HOME/status"\nexit $status\n'
PLACES = (  # etc is beside the bin of the client, as conda and Homebrew have it
    *("home/.glite/vomses", "home/.glite/vomses/agata", "home/.voms/vomses", "etc/vomses"),
    *("X509_VOMSES", "VOMS_USERCONF"),
)
CONTACT = VOMS_SERVERS[VO].contact
PAGE = SCRIPT.with_name("docs").joinpath("certificate.md").read_text(encoding="utf-8")
PROGRAM = [SCRIPT, *SCRIPT.with_name("gridsync_parts").rglob("*.py")]


class Newcomer(User):
    """Somebody with a certificate; the row of the VO in VOMS_SERVERS is that of the grid's own server."""

    def __init__(self, grid: Grid, folder: Path):
        super().__init__(grid, folder)
        self.home, self.programs = folder / "home", folder / "bin"
        self.programs.mkdir()
        self.port = grid.voms.port
        self.know(self.row())
        self.env = {"LC_ALL": "C", "GRIDSYNC_DIR": str(folder), "PYTHONPATH": str(SCRIPT.parent)}
        self.env["X509_USER_PROXY"] = str(folder / "proxy")  # lest it lie in /tmp, where somebody's own may be
        self.set("CA_DIR", str(grid.pki.certificates))

    def row(self, **values: object) -> str:
        """The code of a row for the grid's server, with other values of some fields."""
        fields = {"host": "localhost", "port": self.port, "dn": HOST_DN, "ca_dn": CA_DN, "contact": CONTACT, **values}
        return f"VomsServer(**{fields!r})"

    def know(self, row: str) -> None:
        """Have this row in the table; none if it is empty."""
        self.changed = f"VOMS_SERVERS = {{{VO!r}: {row}}}" if row else "VOMS_SERVERS = {}"

    def become(self, name: str, client: str) -> None:
        shutil.copytree(self.grid.pki.user(name) / ".globus", self.home / ".globus")
        java = self.grid.pki.environment(name, self.home)["VOMS_CLIENTS_JAVA_OPTIONS"]
        path = f"{self.programs}:/usr/bin:/bin"
        self.env.update(HOME=str(self.home), PATH=path, VOMS_CLIENTS_JAVA_OPTIONS=java)
        program = self.programs / f"noted{CLIENTS[client][-1]}"
        program.write_text(NOTED.format(CLIENTS[client]))
        program.chmod(0o755)
        (self.programs / "voms-proxy-init").symlink_to(program)

    def new_proxy(self, **env: str) -> Result:
        return self("--new_proxy", PASSPHRASE + "\n", **env)

    def line(self, vo: str = VO) -> str:
        """The line of a vomses file for the grid's server."""
        return f'"{vo}" "localhost" "{self.port}" "{HOST_DN}" "{vo}"\n'

    def client_status(self) -> int:
        return int((self.home / "status").read_text())


@pytest.fixture
def newcomer(grid: Grid, tmp_path: Path) -> Callable[..., Newcomer]:
    def make(client: str = "C++", name: str = "alice") -> Newcomer:
        user = Newcomer(grid, tmp_path)
        user.become(name, client)
        return user

    return make


@pytest.mark.long
@pytest.mark.parametrize("client", CLIENTS)
def test_the_server_that_comes_with_gridsync_makes_a_proxy_that_opens_the_door(newcomer, client):
    user = newcomer(client)
    assert not [name for name in user.env if re.match("(X509|VOMS)_(?!USER_PROXY|CLIENTS_JAVA)", name)]
    status, out, err = user.new_proxy()
    assert (status, err) == (0, "") and out.startswith(f"Contacting localhost:{user.port} ")
    assert user.client_status() == 0, "it has found no LSC file, or another one"
    assert read_proxy(user.env["X509_USER_PROXY"]).vo == VO
    assert not list(user.folder.glob(".gridsync-*")) and not (user.home / ".glite").exists()
    assert user("--ls_dir e680").status == 0


def test_the_dockerfile_and_the_files_for_other_programs_have_the_same_server(tmp_path):
    text = re.sub(r"\\\n", "", SCRIPT.with_name("Dockerfile").read_text())
    arguments = re.findall(r"(?m)^ARG (V.*)", text)
    (run,) = re.findall(r"(?m)^RUN (mkdir -p /etc/vomses.*)", text)
    etc, private = tmp_path / "etc", tmp_path / "private"
    private.mkdir()
    subprocess.run(["bash", "-ec", "\n".join([*arguments, run.replace("/etc/", f"{etc}/")])], check=True)
    options, env = voms_server(VO, "/usr/bin/voms-proxy-init", str(private))
    assert options == ["--vomses", f"{private}/vomses"] and env == {"X509_VOMS_DIR": f"{private}/vomsdir"}
    (vomses,), (lsc,) = etc.glob("vomses/*"), etc.glob("grid-security/vomsdir/*/*")
    assert vomses.read_text() == (private / "vomses").read_text()
    assert lsc.read_text() == (private / "vomsdir" / VO / lsc.name).read_text()
    for made, name in ((vomses, f"vomses/{vomses.name}"), (lsc, f"vomsdir/{VO}/{lsc.name}")):
        assert (SCRIPT.with_name("voms") / name).read_text() == made.read_text()


@pytest.mark.long
@pytest.mark.parametrize("client", CLIENTS)
@pytest.mark.parametrize("place", PLACES)
def test_what_the_user_or_the_system_has_wins(newcomer, client, place):
    user = newcomer(client)
    user.know(user.row(port=1))
    env = {place: str(user.folder / place)} if place.isupper() else {}
    (user.folder / place).parent.mkdir(parents=True, exist_ok=True)
    (user.folder / place).write_text("\n" + user.line())
    status, _, err = user.new_proxy(**env)
    assert (status, err) == (0, "")


@pytest.mark.long
def test_a_vomses_file_of_another_vo_is_no_hindrance(newcomer):
    user = newcomer()
    (user.home / ".glite").mkdir()
    (user.home / ".glite/vomses").write_text(user.line("other.vo"))
    assert user.new_proxy().status == 0


@pytest.mark.long
@pytest.mark.parametrize("client", CLIENTS)
@pytest.mark.parametrize("broken", [VO, "other.vo"])
def test_a_broken_line_or_file_beside_the_users_own_is_no_hindrance(newcomer, client, broken):
    user = newcomer(client)
    user.know(user.row(port=1))
    folder = user.home / ".glite/vomses"
    folder.mkdir(parents=True)
    (folder / "mine").write_text(f'"{broken}" broken line\n' + user.line())
    (folder / "a").symlink_to("/proc/self/mem")  # nobody can read it from its beginning
    (folder / "z").symlink_to("/proc/self/mem")
    status, _, err = user.new_proxy()
    assert (status, err) == (0, "")


@pytest.mark.long
@pytest.mark.parametrize("client", CLIENTS)
def test_a_line_of_the_vo_that_is_broken_is_named(newcomer, client):
    user = newcomer(client)
    path = user.home / ".glite/vomses"
    path.parent.mkdir()
    path.write_text(f'\n"{VO}" broken line\n')
    status, _, err = user.new_proxy()
    says = f'{path}, line 2: expected "{VO}" "HOST" "PORT" "DN OF THE HOST" "{VO}"; correct it'
    assert status == 3 and err.endswith(f": {says}\n") and err.count("\n") == 1
    assert f"FAIL  VOMS server   {says}\n" in user("--doctor").out


@pytest.mark.long
def test_the_doctor_is_content_with_one_voms_server_that_answers(newcomer):
    user = newcomer()
    path = user.home / ".glite/vomses"
    path.parent.mkdir()
    path.write_text(user.line().replace(str(user.port), "1") + user.line())
    assert f"ok    VOMS server   localhost:{user.port} takes connections, for {VO}\n" in user("--doctor").out
    assert user.new_proxy().status == 0


@pytest.mark.long
@pytest.mark.parametrize("client", CLIENTS)
def test_an_lsc_file_of_the_system_wins(newcomer, client):
    user = newcomer(client)
    user.know(user.row(ca_dn="/CN=Another CA"))
    assert user.new_proxy().status == 0 and user.client_status() == 1  # a wrong guess does no harm
    assert user.new_proxy(X509_VOMS_DIR=str(user.grid.pki.vomsdir)).status == 0 and user.client_status() == 0


@pytest.mark.parametrize("client", CLIENTS)
def test_without_a_server_the_line_and_its_place_are_named(newcomer, client):
    user = newcomer(client)
    user.know("")
    status, _, err = user.new_proxy()
    assert (status, err.count("\n")) == (3, 1)
    assert f"no VOMS server is known for {VO}; ask the VO's administrators for its line and put it into " in err
    assert f'~/.glite/vomses: "{VO}" "HOST" "PORT" "DN OF THE HOST" "{VO}"' in err


def test_without_ca_certificates_the_line_to_type_is_named_before_the_pass_phrase_is_asked_for(newcomer):
    user = newcomer()
    user.set("CA_DIR", "")
    user.changed = "GRID_CAS = '/nonexistent'"
    status, _, err = user("--new_proxy")
    assert (status, err.count("\n")) == (3, 1)
    assert "no CA certificates of the Grid are installed; on Debian: apt install igtf-policy-classic igtf-" in err
    assert "pass phrase" not in err


@pytest.mark.long
@pytest.mark.parametrize("client", CLIENTS)
def test_a_server_of_a_ca_that_is_not_installed_gets_the_same_remedy(newcomer, client):
    user = newcomer(client)
    (user.folder / "others").mkdir()
    user.set("CA_DIR", str(user.folder / "others"))
    status, _, err = user.new_proxy()
    assert (status, err.count("\n")) == (3, 1)
    assert f"is not signed by any CA in {user.folder}/others; on Debian: apt install igtf-policy-classic igtf-" in err


@pytest.mark.long
@pytest.mark.skipif(not shutil.which("apt-get"), reason="no system with Debian's packages")
def test_debian_has_the_packages_of_the_readme_and_of_the_remedy():
    (line,) = re.findall(r"(?m)^    apt (.*)", SCRIPT.with_name("README.md").read_text(encoding="utf-8"))
    done = subprocess.run(["apt-get", "--simulate", *line.split()], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    (packages,) = re.findall(r"apt install (.*?);", CA_REMEDY)
    assert line.endswith(packages)


def test_the_sentences_of_the_page_are_those_of_the_screen():
    table = PAGE[PAGE.index("## What can go wrong") : PAGE.index("## Another experiment")]
    told = [re.findall("`([^`]+)`", row.split("|")[1]) for row in table.splitlines() if row.startswith("| `")]
    source = re.sub(r'"\s+f?"', "", "".join(map(Path.read_text, PROGRAM)))
    assert len(told) > 10
    assert [text for row in told for text in row if text not in source] == []


@pytest.mark.long
@pytest.mark.parametrize("client", CLIENTS)
def test_somebody_else_is_told_whom_to_ask(newcomer, client):
    user = newcomer(client, "bob")
    status, _, err = user.new_proxy()
    assert (status, err.count("\n")) == (3, 1)
    assert f"you are not a member of {VO}, or " in err and "INDIGO IAM" in err and "agatadp@ip2i.in2p3.fr" in err
    (user.home / ".glite").mkdir()
    (user.home / ".glite/vomses").write_text(user.line())
    user.know("")
    assert "ask the VO's administrators" in user.new_proxy().err


@pytest.mark.every(1)
@pytest.mark.parametrize(
    ("said", "says"),
    [  # the last but one is what the C++ client makes of each of the others, the last all that it says without DNS
        ("User unknown to this VO: 'CN=Bob' (issued by 'CN=CA')", "you are not a member of x.vo, or this certificate"),
        ("User 'CN=Dave, CN=CA' is not active.", "x.vo has suspended your membership; ask the VO's administrators"),
        ("User dave needs to sign AUP for this organization in order to proceed.", "x.vo asks you to sign its terms"),
        ("Contacting  v.x:443 []\nError: Server Answer was incorrectly formatted.", "the VOMS server v.x:443 refuses"),
        ('Contacting  v.x:443 [/CN=x] "x.vo" Failed\n\nNone of the contacted servers for x.vo were capable',
         "no address is known for the VOMS server v.x:443; check your network"),
    ],
)
def test_the_words_of_an_indigo_iam_are_understood(said, says):
    assert says in str(client_error(said, "x.vo", ""))


@pytest.mark.long
def test_the_example_of_another_experiment_works_as_it_stands(newcomer):
    """docs/certificate.md: what stands in its files, and the lines that are typed, at the places of the grid."""
    example = PAGE[PAGE.index("## Another experiment") :]
    conf, vomses, typed = (re.sub("(?m)^    ", "", block) for block in re.findall(r"(?m)(?:^    .*\n)+", example))
    user = newcomer()
    user.know("")
    for there, here in (
        ("vo.example.org", VO),
        ('"voms.example.org" "443" "/DC=org/DC=example/CN=voms.example.org"', f'"localhost" "{user.port}" "{HOST_DN}"'),
        ("https://door.example.org:2880", user.grid.door.url),
        ("experiment/data/", "agata/"),
        ("2026/run_12", "e680/ReadATCA"),
    ):
        assert there in conf + vomses + typed
        conf, vomses, typed = (text.replace(there, here) for text in (conf, vomses, typed))
    (user.folder / "Grid.conf").write_text(f"{conf}CA_DIR = {user.grid.pki.certificates}\n")
    subprocess.run(["sh", "-ec", vomses], env=user.env, check=True)
    assert (user.home / ".glite/vomses").read_text() == user.line()
    for line in typed.splitlines():
        result = user(line.removeprefix("gridsync.py "), PASSPHRASE + "\n")
        assert result.status == 0, result.err
    assert user.files() == ["e680/ReadATCA/ReadATCA.tar"]
