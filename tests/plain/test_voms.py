"""VOMS servers: which lines name them, what their answers mean, and what is said of a client that makes no proxy."""

from __future__ import annotations

import base64
import re

import pytest

from gridsync_parts.errors import CredentialError
from gridsync_parts.keys.client import CLEAR, CLIENT_ERRORS, client_error
from gridsync_parts.keys.voms_aa import Membership, membership_in
from gridsync_parts.vomses import VOMS_SERVERS, VomsServer, own_servers, server_in, servers_of, voms_server

VO = "vo.agata.org"
X = VomsServer("voms-x.cloud.cnaf.infn.it", 443, "/DC=org/CN=voms-x")


@pytest.mark.parametrize(
    ("line", "server"),
    [
        (f'"{VO}" "voms-x.cloud.cnaf.infn.it" "443" "/DC=org/CN=voms-x" "{VO}"', X),
        (f'"voms-primary"\t"voms-x.cloud.cnaf.infn.it"  "443"\t"/DC=org/CN=voms-x" "{VO}" "24"', X),
        (f'"{VO}" "https://voms-x.cloud.cnaf.infn.it" "443" "/DC=org/CN=voms-x" "{VO}"', X),
        (f'"{VO}" "https://voms-x.cloud.cnaf.infn.it/" "443" "/DC=org/CN=voms-x" "{VO}"', X),
        (f'"{VO}" "h" "15000" "" "{VO}"', VomsServer("h", 15000, "")),
        (f'"{VO}" "h/generate-ac" "443" "/CN=x" "{VO}"', None),
        (f'"{VO}" "" "443" "/CN=x" "{VO}"', None),
        (f'"{VO}" "https://h:8443/" "443" "/CN=x" "{VO}"', None),
        (f'"{VO}" "https://me:secret@h" "443" "/CN=x" "{VO}"', None),
        (f'"{VO}" "::1" "443" "/CN=x" "{VO}"', None),
        (f'"{VO}" "--help" "443" "/CN=x" "{VO}"', None),
        (f'"{VO}" "a b" "443" "/CN=x" "{VO}"', None),
        (f'"{VO}" "h" "65536" "/CN=x" "{VO}"', None),
        (f'"{VO}" "h" "" "/CN=x" "{VO}"', None),
        (f'"{VO}" "h" "https" "/CN=x" "{VO}"', None),
        (f'"{VO}" "h" "443" "/CN=x"', None),
        (f"{VO} h 443 /CN=x {VO}", None),
        ("", None),
    ],
)
def test_which_server_a_line_names(line, server):
    assert server_in(line) == server


def vomses(tmp_path, monkeypatch, *lines):
    """A vomses file of the user's own."""
    path = tmp_path / "vomses"
    path.write_text("\n".join(lines) + "\n")
    monkeypatch.setenv("X509_VOMSES", str(path))
    return path


def test_lines_of_the_vo_are_those_with_its_name_first_or_last(tmp_path, monkeypatch):
    rest = '"443" "/CN=x"'
    lines = (f'"{VO}" "a" {rest} "{VO}"', f'"b" "b" {rest} "{VO}"', f'"{VO}" "c" {rest} "c"', f'"d" "d" {rest} "d"')
    vomses(tmp_path, monkeypatch, "# a comment", "", *lines, f'"{VO}" broken', f'"e" "a" {rest} "{VO}"')
    assert [server.host for server in own_servers(VO, "")] == ["a", "b", "c"]


def test_the_mark_of_windows_editors_is_no_part_of_a_line(tmp_path, monkeypatch):
    vomses(tmp_path, monkeypatch, f'\ufeff"{VO}" "a" "443" "/CN=x" "{VO}"')
    assert [server.host for server in own_servers(VO, "")] == ["a"]


def test_lines_that_are_all_broken_are_named_and_none_are_no_matter(tmp_path, monkeypatch):
    path = vomses(tmp_path, monkeypatch, "", f'"{VO}" "a" "port" "/CN=x" "{VO}"')
    with pytest.raises(CredentialError, match=f"{path}, line 2: expected .*; correct it"):
        servers_of(VO, "")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert servers_of("vo.nobody.knows", "") == []


def test_the_clients_are_told_of_good_lines_alone_with_the_vo_in_front(tmp_path, monkeypatch):
    vomses(tmp_path, monkeypatch, f'"b" "https://b/" "443" "/CN=b" "{VO}" "24"', f'"{VO}" broken')
    (tmp_path / "private").mkdir()
    options, env = voms_server(VO, "", str(tmp_path / "private"))
    assert env == {} and (tmp_path / "private/vomses").read_text() == f'"{VO}" "b" "443" "/CN=b" "{VO}"\n'
    assert options == ["--vomses", str(tmp_path / "private/vomses")]


GIVEN = base64.b64encode(b"0\x82attribute").decode()
REFUSED = "<voms><error><code>1004</code><message>{}</message></error></voms>"


@pytest.mark.parametrize(
    ("status", "text", "expected"),
    [
        (200, f"<voms><ac>{GIVEN}</ac></voms>", Membership(b"0\x82attribute", "AT")),
        (200, f"<voms><ac>{GIVEN[:4]}&#13;\n{GIVEN[4:]}&#13;\n</ac><warning>x</warning></voms>",
         Membership(b"0\x82attribute", "AT")),
        (403, f"<voms><ac>{GIVEN}</ac></voms>", Membership(b"", "AT\nError: no membership: status 403")),
        (200, REFUSED.format("It&apos;s &lt;over&gt;"), Membership(b"", "AT\nError: It's <over>", True)),
        (200, REFUSED.format("No" * 500), Membership(b"", f"AT\nError: {'No' * 100}...", True)),
        (403, REFUSED.format("No"), Membership(b"", "AT\nError: No", True)),
        (500, REFUSED.format("No"), Membership(b"", "AT\nError: status 500")),
        (503, "", Membership(b"", "AT\nError: status 503")),
        (400, "<html>400 The SSL certificate error", Membership(b"", "AT\nError: SSL certificate error")),
        (400, "<html>400 Bad Request", Membership(b"", "AT\nError: no membership: status 400")),
        (302, "", Membership(b"", "AT\nError: no membership: status 302")),
        (200, "<!doctype HTML><HTML>", Membership(b"", "AT\nError: no membership: a web page")),
        (200, "", Membership(b"", "AT\nError: no membership: nothing of use")),
        (200, "<voms><ac>QQ==</ac></voms>", Membership(b"", "AT\nError: no membership: nothing of use")),
        (200, "<voms><ac>Q</ac></voms>", Membership(b"", "AT\nError: no membership: nothing of use")),
        (200, "<voms><ac>\u20ac</ac></voms>", Membership(b"", "AT\nError: no membership: nothing of use")),
    ],
)  # fmt: skip
def test_what_an_answer_means(status, text, expected):
    assert membership_in(status, text, "AT") == expected


@pytest.mark.parametrize(
    ("said", "is_clear", "says"),
    [
        ("bad decrypt", True, "the pass phrase of your key is wrong"),
        ("User unknown to this VO: 'CN=Bob'", True, "you are not a member of x.vo, or this certificate is not linked"),
        ("User is not authorized to request attribute '/x.vo' or", True, "but you are not in its group x.vo; ask the"),
        ("User a needs to sign AUP for this", True, "x.vo asks you to sign its terms of use (AUP) again"),
        ("Error decoding AC.\nError: ", False, "the VOMS server v.x:443 refuses you, and voms-proxy-init cannot tell"),
        ("Error: Connection stuck during read: timeout reached.", False, "the VOMS server v.x:443 cannot be reached"),
        ("Error contacting v.x for VO x.vo: peer not authenticated", False, "it says: Error contacting v.x"),
        ("Error: Client is not authenticated.", False, "the VOMS server v.x:443 does not accept your certificate"),
        ("Unrecognized option: --includeac", False, "on Debian: apt install voms-clients"),
        (f"Error: {'long ' * 500}", False, "long ..."),
    ],
)
def test_what_is_said_of_a_client_that_makes_no_proxy(said, is_clear, says):
    error = str(client_error(f"Contacting v.x:443 [/CN=x]\n{said}", "x.vo", ""))
    assert says in error and len(error) < 400
    assert any(re.search(pattern, said, re.IGNORECASE) for pattern, _ in CLEAR) == is_clear


def test_every_sentence_has_all_its_words():
    for saying in CLIENT_ERRORS:
        words = dict.fromkeys(("vo", "ca", "said", "contact", "server", "reason", "join", "gen_cert"), "X")
        assert "{" not in saying.sentence.format(**words)
    assert all(server.contact and server.ca_dn for server in VOMS_SERVERS.values())
