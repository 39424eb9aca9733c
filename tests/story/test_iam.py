"""New proxies of a VO whose VOMS server is an INDIGO IAM: made by either client, or after gridsync has asked itself."""

from __future__ import annotations

import base64
import os
import re
import shutil
import signal
import stat
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from gridsync_parts.keys.proxy import read_proxy
from tests.grid import Grid
from tests.grid.iam import Iam, attribute_in
from tests.grid.pki import HOST_DN, PASSPHRASE, VO
from tests.grid.relay import Relay
from tests.support.user import CLIENTS, User, wait_for, wait_until


@pytest.fixture
def iam(grid: Grid) -> Iterator[Iam]:
    grid.iam.reset()
    yield grid.iam
    grid.iam.reset()


@pytest.fixture
def member(as_user, iam: Iam) -> Callable[..., User]:
    """One of the grid's people whose VO is at the IAM, with one of the clients."""

    def make(client: str = "C++", name: str = "alice", lines: str = "") -> User:
        user = as_user(name, client)
        place = Path(user.env["HOME"], ".glite/vomses")
        place.unlink()
        place.write_text(lines or f"{iam.line}\n")
        return user

    return make


def listing(user: User, url: str) -> int:
    """What a door says to the user's proxy."""
    proxy, cas = user.env["X509_USER_PROXY"], user.env["X509_CERT_DIR"]
    command = ["curl", "-s", "-o", "/dev/null", "-w", "%{http_code}", "-X", "PROPFIND", "-H", "Depth: 0"]
    command += ["--capath", cas, "--cert", proxy, "--key", proxy, f"{url}/agata/"]
    return int(subprocess.run(command, capture_output=True, text=True, timeout=30, check=True).stdout)


def info(user: User, *options: str) -> list[str]:
    """What voms-proxy-info says of the user's proxy."""
    command = ["voms-proxy-info2", "-file", user.env["X509_USER_PROXY"], *options]
    return subprocess.run(command, env=user.env, capture_output=True, text=True, check=False).stdout.splitlines()


def left_over(user: User) -> list[Path]:
    """What is beside the proxy and should not be there."""
    return list(Path(user.env["X509_USER_PROXY"]).parent.glob(".gridsync-*"))


def methods(iam: Iam) -> list[str]:
    """How it was asked: the C++ client says a 0 before all else."""
    return [record.method for record in iam.log]


@pytest.mark.parametrize("client", CLIENTS)
def test_the_clients_make_a_proxy_that_all_doors_take(member, iam, client):
    iam.hours = 72
    user = member(client)
    status, out, err = user("--new_proxy", PASSPHRASE)
    assert (status, err) == (0, "") and out.startswith(f'Contacting localhost:{iam.port} [{HOST_DN}] "{VO}"...\n')
    assert methods(iam) == ["0GET" if client == "C++" else "GET"]
    assert [listing(user, door.url) for door in (user.grid.door, user.grid.storm, user.grid.xrootd)] == [207] * 3


@pytest.mark.long
def test_where_the_cpp_client_is_not_understood_gridsync_asks_itself(member, iam):
    iam.httpg = False
    user = member()
    status, out, err = user("--new_proxy", PASSPHRASE)
    assert status == 0 and out.startswith(f'Contacting localhost:{iam.port} [{HOST_DN}] "{VO}"...\n')
    assert re.fullmatch(r"Its vo\.agata\.org membership lasts 1[12]h\d\dm: the server allows no more, .*\n", err)
    assert methods(iam) == ["0GET", "GET"]
    path = user.env["X509_USER_PROXY"]
    proxy = read_proxy(path)
    assert (proxy.vo, stat.S_IMODE(os.stat(path).st_mode), left_over(user)) == (VO, 0o600, [])
    assert info(user, "-type", "-vo", "-fqan") == ["RFC compliant proxy", VO, f"/{VO}"]
    assert abs(int(info(user, "-actimeleft")[0]) - 12 * 3600) < 60 and int(info(user, "-timeleft")[0]) > 71 * 3600
    assert [listing(user, door.url) for door in (user.grid.door, user.grid.storm, user.grid.xrootd)] == [207] * 3
    assert user("--ls_dir e680").status == 0
    user.set("SERVER", f"{user.grid.xrootd.root_url}/", "XROOTD")  # through gfal2, and GSI
    assert user("--from=XROOTD --ls_dir e680").status == 0


@pytest.mark.long
def test_gridsync_asks_through_the_web_proxy(member, iam, grid):
    iam.httpg = False
    relay = Relay(grid.folder / "relay_to_iam", [iam.port])
    relay.start()
    try:
        assert member()("--new_proxy", PASSPHRASE, HTTPS_PROXY=relay.url).status == 0
        assert relay.asked == [f"localhost:{iam.port}"]
    finally:
        relay.stop()


@pytest.mark.long
def test_the_cpp_client_takes_what_gridsync_got_where_the_java_one_got_nothing(member, iam):
    iam.faults.add("/generate-ac", 502, count=1)
    user = member("Java")
    assert user("--new_proxy", PASSPHRASE).status == 0 and info(user, "-vo") == [VO]


@pytest.mark.long
def test_without_the_cpp_client_its_package_is_named(member, iam, tmp_path):
    iam.faults.add("/generate-ac", 502, count=1)
    user = member("Java")
    for name in ("java", "ls", "stat"):  # the last two tell Java who can read the key
        (tmp_path / "bin" / name).symlink_to(shutil.which(name) or "missing")
    status, _, err = user("--new_proxy", PASSPHRASE, PATH=str(tmp_path / "bin"))
    says = f"your VOMS client cannot use what the VOMS server localhost:{iam.port} gives; on Debian: apt install voms-"
    assert (status, err.count("\n")) == (3, 1) and says in err and not left_over(user), err


REFUSED = {
    "stranger": f"you are not a member of {VO}, or this certificate is not linked there; join at its INDIGO IAM page",
    "groupless": f"you have an account at the INDIGO IAM of {VO}, but you are not in its group {VO}; ask agatadp@",
    "suspended": f"{VO} has suspended your membership; ask agatadp@",
    "unsigned": f"{VO} asks you to sign its terms of use (AUP) again; log in to its INDIGO IAM page and sign",
}


@pytest.mark.long
@pytest.mark.parametrize("client", CLIENTS)
@pytest.mark.parametrize("standing", REFUSED)
def test_what_iam_refuses_is_said_whatever_the_client_makes_of_it(member, iam, client, standing):
    user = member(client)
    shutil.copy(user.grid.pki.proxy("good"), user.env["X509_USER_PROXY"])
    before = Path(user.env["X509_USER_PROXY"]).read_bytes()
    with iam.seeing("alice", standing):
        status, out, err = user("--new_proxy", PASSPHRASE)
    assert (status, out, err.count("\n")) == (3, "", 1) and REFUSED[standing] in err
    assert Path(user.env["X509_USER_PROXY"]).read_bytes() == before and not left_over(user)


LOGIN = "<!DOCTYPE html>\n<html><head><title>INDIGO IAM: log in</title></head><body>Sign in<br></body></html>"
NGINX = "<html>\r\n<head><title>400 The SSL certificate error</title></head>\r\n<body></body></html>"
CERTIFICATE = (
    "<voms><error><code>1005</code><message>SSL certificate error: invalid or missing</message></error></voms>"
)
ELSE = "answers with something else (no membership: {}); is its line in vomses right? Ask agatadp@"
TROUBLE = {
    "down": (502, {"text": "<html>502 Bad Gateway</html>"}, "fails (status 502); try again later"),
    "broken": (500, {"text": ""}, "fails (status 500); try again later"),
    "elsewhere": (404, {"text": "<html>404</html>"}, ELSE.format("status 404")),
    "login page": (200, {"text": LOGIN}, ELSE.format("a web page")),
    "empty": (200, {"text": ""}, ELSE.format("nothing of use")),
    "no attribute": (200, {"text": "<voms><ac>QQ==\n</ac></voms>"}, ELSE.format("nothing of use")),
    "no words": (403, {"text": "<voms><error><message> </message></error></voms>"}, ELSE.format("status 403")),
    "no base64": (200, {"text": "<voms><ac>Q</ac></voms>"}, ELSE.format("nothing of use")),
    "unknown CA": (400, {"text": f'<?xml version="1.0"?>{CERTIFICATE}'}, "does not accept your certificate; is its CA"),
    "nginx": (400, {"text": NGINX}, "does not accept your certificate; is its CA known there? Ask agatadp@"),
    "cut off": ("truncate", {}, "broke off its answer; try again"),
    "reset": ("reset_in_body", {}, "broke off its answer; try again"),
}


@pytest.mark.parametrize("client", CLIENTS)
@pytest.mark.parametrize("trouble", TROUBLE)
def test_a_server_in_trouble_is_named_with_what_it_says(member, iam, client, trouble):
    what, options, says = TROUBLE[trouble]
    iam.faults.add("/generate-ac", what, **options)
    user = member(client)
    status, out, err = user("--new_proxy", PASSPHRASE)
    assert (status, out, err.count("\n")) == (3, "", 1) and f"the VOMS server localhost:{iam.port} {says}" in err, err
    assert not left_over(user) and not Path(user.env["X509_USER_PROXY"]).exists()


@pytest.mark.long
@pytest.mark.parametrize("client", CLIENTS)
@pytest.mark.parametrize(
    ("kind", "says"),
    [
        ("other_vo", ELSE.format("that of another VO, or one that is over")),
        ("broken", "gives a membership that cannot be read; ask agatadp@"),
    ],
)
def test_a_membership_that_is_none_is_said_to_be(member, iam, grid, client, kind, says):
    iam.httpg = False
    attribute = attribute_in(grid.pki.proxy("other_vo"))
    text = base64.b64encode(attribute if kind == "other_vo" else attribute[:-50]).decode()
    iam.faults.add("/generate-ac", 200, text=f"<voms><ac>{text}</ac></voms>")
    user = member(client)
    status, out, err = user("--new_proxy", PASSPHRASE)
    assert (status, out, err.count("\n")) == (3, "", 1) and f"the VOMS server localhost:{iam.port} {says}" in err, err
    assert not left_over(user) and not Path(user.env["X509_USER_PROXY"]).exists()


@pytest.mark.parametrize("client", CLIENTS)
@pytest.mark.parametrize("key", ["of another", "none", "cut off"])
def test_a_key_that_is_not_the_certificates_is_said_to_be(member, iam, grid, client, key):
    user = member(client)
    path = Path(user.env["HOME"], ".globus/userkey.pem")
    other = (grid.pki.user("bob") / ".globus/userkey.pem").read_bytes()
    path.write_bytes({"of another": other, "none": b"nothing", "cut off": path.read_bytes()[:400]}[key])
    status, _, err = user("--new_proxy", PASSPHRASE)
    assert (status, err.count("\n")) == (3, 1)
    assert "your key cannot be read, or is not that of your certificate; make both anew: " in err


@pytest.mark.long
@pytest.mark.parametrize("client", CLIENTS)
def test_a_slow_server_is_waited_for(member, iam, client):
    iam.faults.add("/generate-ac", "stall", seconds=6)
    assert member(client)("--new_proxy", PASSPHRASE).status == 0


@pytest.mark.long
@pytest.mark.parametrize("client", CLIENTS)
def test_a_server_that_never_answers_is_given_up(member, iam, client):
    iam.faults.add("/generate-ac", "stall", seconds=20)
    user = member(client)
    key = Path(user.env["HOME"], ".globus/userkey.pem")
    key.unlink()
    shutil.copy(user.grid.pki.folder / "alice.key", key)  # which has no pass phrase, as nothing is typed here
    with user.running("--new_proxy", "CLIENT_LIMIT = 2; FIRST_BYTE = 1") as run:
        status, _, err = wait_for(run)
    assert (status, err.count("\n")) == (3, 1) and f"the VOMS server of {VO} cannot be reached" in err, err
    assert not left_over(user)


@pytest.mark.long
def test_an_endless_answer_comes_to_an_end(member, iam):
    iam.faults.add("/generate-ac", 200, text="<voms>" + "x" * (3 << 20))
    status, _, err = member("Java")("--new_proxy", PASSPHRASE)
    assert status == 3 and "broke off its answer; try again" in err


def test_a_wrong_pass_phrase_is_no_matter_for_the_server(member, iam):
    status, _, err = member()("--new_proxy", "wrong")
    assert status == 3 and "the pass phrase of your key is wrong" in err and not methods(iam)


@pytest.mark.long
@pytest.mark.parametrize("client", CLIENTS)
def test_a_server_that_is_down_is_passed_over(member, iam, client):
    dead = iam.line.replace(str(iam.port), "1")
    user = member(client, lines=f"{dead}\n{iam.line}\n")
    for _ in range(3):  # the clients take them in any order
        status, out, err = user("--new_proxy", PASSPHRASE)
        assert status == 0 and out.startswith(f"Contacting localhost:{iam.port} "), err


@pytest.mark.long
def test_so_it_is_by_gridsync_itself(member, iam):
    iam.httpg = False
    dead = iam.line.replace(str(iam.port), "1")
    status, out, err = member(lines=f"{dead}\n{iam.line}\n")("--new_proxy", PASSPHRASE)
    assert status == 0 and out.startswith(f"Contacting localhost:{iam.port} "), err


@pytest.mark.long
@pytest.mark.parametrize("client", CLIENTS)
def test_lines_as_an_iam_has_them_are_understood(member, iam, client):
    """With an alias for each host, with the host as a URL, and each of them twice."""
    line = f'"https://localhost/" "{iam.port}" "{HOST_DN}" "{VO}"'
    user = member(client, lines=f'"voms-primary" {line}\n"voms-replica" {line}\t"24"\n"other" {line[:-1]}.else"\n')
    status, _, err = user("--new_proxy", PASSPHRASE)
    assert status == 0, err
    assert len(iam.log.matching()) == 1


@pytest.mark.parametrize("client", CLIENTS)
def test_ctrl_c_leaves_nothing(member, iam, client):
    iam.faults.add("/generate-ac", "stall", seconds=20)
    user = member(client)
    pipe = subprocess.PIPE
    with subprocess.Popen(
        user.command("--new_proxy"), env=user.env, stdin=pipe, stdout=pipe, stderr=pipe, text=True
    ) as run:
        assert run.stdin
        run.stdin.write(PASSPHRASE + "\n")
        run.stdin.flush()
        wait_until(lambda: methods(iam))
        children = Path(f"/proc/{run.pid}/task/{run.pid}/children").read_text().split()
        own = [Path(f"/tmp/tmp_x509up_u{os.getuid()}_{child}") for child in children]
        assert [path.exists() for path in own] == [client == "C++"]
        run.send_signal(signal.SIGINT)
        status, _, err = wait_for(run)
    assert status == 130, err
    assert not left_over(user) and not any(path.exists() for path in own)


def test_what_a_killed_run_has_left_is_removed_by_a_later_one(member, iam):
    """But nothing of a run that may be going on, and nothing behind a link."""
    user = member()
    folder = Path(user.env["X509_USER_PROXY"]).parent
    for name in ("old", "new", "target"):
        (folder / f".gridsync-{name}" if name != "target" else folder / name).mkdir()
    (folder / ".gridsync-old/proxy").write_text("secret")
    (folder / ".gridsync-link").symlink_to("target")
    for path in (folder / ".gridsync-old", folder / ".gridsync-link", folder / "target"):
        os.utime(path, (1, 1), follow_symlinks=False)
    assert user("--new_proxy", PASSPHRASE).status == 0
    assert sorted(path.name for path in left_over(user)) == [".gridsync-link", ".gridsync-new"]
    assert (folder / "target").exists()


def test_the_pass_phrase_is_neither_in_arguments_nor_in_the_environment(member, iam):
    iam.httpg = False
    user = member()
    programs, seen = Path(user.env["PATH"].split(":")[0]), Path(user.env["HOME"], "seen")
    for name in ("voms-proxy-init", "voms-proxy-init2"):
        (programs / name).unlink(missing_ok=True)
        (programs / name).write_text(
            f'#!/bin/sh\necho "$0 $*" >>"{seen}"; env >>"{seen}"; exec /usr/bin/voms-proxy-init2 "$@"\n'
        )
        (programs / name).chmod(0o755)
    status, out, err = user("--new_proxy --debug", PASSPHRASE)
    text = seen.read_text()
    assert status == 0 and "--includeac" in text and "--voms" in text
    assert PASSPHRASE not in text + out + err


@pytest.fixture
def impostor(grid: Grid) -> Iterator[Iam]:
    """One whose certificate another CA has signed."""
    iam = Iam(grid.pki, "untrusted")
    iam.start()
    yield iam
    iam.stop()


@pytest.mark.long
@pytest.mark.parametrize("client", CLIENTS)
def test_a_server_that_nobody_has_to_trust_is_told_nothing(member, impostor, client):
    user = member(client, lines=f"{impostor.line}\n")
    status, _, err = user("--new_proxy", PASSPHRASE)
    says = "the certificate of the VOMS server, or yours, is not signed by any CA in "
    assert (status, err.count("\n")) == (3, 1) and says in err and not methods(impostor), err
    says = f"the certificate of localhost:{impostor.port} is not signed by any CA in {user.env['X509_CERT_DIR']}; "
    assert f"FAIL  VOMS server   {says}" in user("--doctor").out


def test_the_doctor_is_content_with_an_iam_and_with_one_of_several(member, iam):
    user = member(lines=f"{iam.line.replace(str(iam.port), '1')}\n{iam.line}\n")
    says = f"ok    VOMS server   localhost:{iam.port} takes connections, for {VO}\n"
    assert says in user("--doctor").out and not methods(iam)
