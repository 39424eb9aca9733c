"""Proxies that are made of the user's for a server: who takes them, and what can't be signed."""

from __future__ import annotations

import contextlib
import http.client
import os
import random
import ssl
import subprocess
import time
from pathlib import Path

import pytest

from gridsync_parts.errors import CredentialError, DoorError
from gridsync_parts.keys.proxy import read_proxy
from gridsync_parts.keys.signing import sign
from tests.grid import Grid
from tests.grid.pki import PASSPHRASE
from tests.grid.xrootd import SCRATCH


def openssl(*words: str) -> None:
    subprocess.run(["openssl", *words], check=True, capture_output=True)


class Server:
    """One that asks for a proxy."""

    def __init__(self, folder: Path, kind: str = "rsa:2048") -> None:
        self.folder, self.key = folder, folder / "key.pem"
        ec = ["-pkeyopt", "ec_paramgen_curve:prime256v1"] if kind == "ec" else []
        openssl("req", "-new", "-newkey", kind, *ec, "-nodes", "-keyout", str(self.key), "-out", str(folder / "csr"),
                "-subj", "/CN=whatever")  # fmt: skip
        self.csr = (folder / "csr").read_bytes()

    def take(self, chain: bytes) -> str:
        """A file with what it can show from now on."""
        first, end, rest = chain.partition(b"-----END CERTIFICATE-----\n")
        path = self.folder / "made"
        path.touch(mode=0o600)
        path.write_bytes(first + end + self.key.read_bytes() + rest)
        return str(path)


def is_let_in(grid: Grid, path: str) -> bool:
    """Whether a real XRootD lets in who shows this."""
    context = ssl.create_default_context(capath=grid.env["X509_CERT_DIR"])
    context.load_cert_chain(path)
    with contextlib.closing(
        http.client.HTTPSConnection("localhost", grid.copier.ports[0], timeout=30, context=context)
    ) as line:
        line.request("PROPFIND", f"/{SCRATCH}/", headers={"Depth": "0"})
        return line.getresponse().status == 207


def test_a_proxy_for_a_server_is_let_in_as_the_user_s_own_and_ends_with_it(grid, tmp_path):
    own = str(grid.pki.proxy())
    for number, kind in enumerate(["rsa:2048", "ec"]):
        folder = tmp_path / str(number)
        folder.mkdir()
        server = Server(folder, kind)
        path = server.take(sign(server.csr, own, 1))
        found = read_proxy(path)
        assert abs(found.ends - time.time() - 3600) < 60
        assert found.subject.startswith(read_proxy(own).subject + "/CN=")
        assert is_let_in(grid, path)
    assert read_proxy(server.take(sign(server.csr, own, 10_000))).ends == read_proxy(own).ends


def own_proxy(grid: Grid, path: Path, *options: str) -> str:
    """A proxy of Alice's without a VO."""
    files = ["-cert", str(grid.pki.folder / "alice.pem"), "-key", str(grid.pki.folder / "alice.key"), "-out", str(path)]
    command = ["voms-proxy-fake", *options, "-rfc", "-bits", "2048", "-hours", "5", *files]
    command += ["-certdir", grid.env["X509_CERT_DIR"]]
    env = {**os.environ, **grid.pki.environment()}
    subprocess.run(command, env=env, input=PASSPHRASE, text=True, check=True, capture_output=True)
    return str(path)


def test_no_proxy_is_made_of_one_that_may_have_no_more(grid, tmp_path):
    server = Server(tmp_path)
    for room in (0, 1, 2):
        path = own_proxy(grid, tmp_path / f"own{room}", "-path-length", str(room))
        for _ in range(room):
            path = server.take(sign(server.csr, path, 1))
            command = ["openssl", "verify", "-allow_proxy_certs", "-CApath", grid.env["X509_CERT_DIR"]]
            subprocess.run([*command, "-untrusted", path, path], check=True, capture_output=True)
        with pytest.raises(CredentialError, match="no further proxy may be made of"):
            sign(server.csr, path, 1)


def test_a_limited_proxy_makes_limited_ones(grid, tmp_path):
    server = Server(tmp_path)
    path = server.take(sign(server.csr, own_proxy(grid, tmp_path / "own", "-limited"), 1))
    look = ["openssl", "x509", "-in", path, "-noout", "-text"]
    assert b"1.3.6.1.4.1.3536.1.1.1.9" in subprocess.run(look, capture_output=True, check=True).stdout


def test_what_can_t_be_signed_is_one_sentence(grid, tmp_path):
    own = str(grid.pki.proxy())
    noise = random.Random(1).randbytes(300)
    for junk in (b"", b"junk", noise, b"\x30\x80", b"-----BEGIN CERTIFICATE REQUEST-----\nAAAA\n"):
        with pytest.raises(DoorError, match="what a server asks a proxy for makes no sense"):
            sign(junk, own, 1)
    server = Server(tmp_path)
    for half in range(0, len(server.csr), 50):
        with pytest.raises(DoorError):
            sign(server.csr[:half], own, 1)


def test_a_proxy_that_can_t_sign_is_one_sentence(grid, tmp_path):
    server = Server(tmp_path)
    with pytest.raises(CredentialError, match="there is no proxy at"):
        sign(server.csr, str(tmp_path / "nowhere"), 1)
    with pytest.raises(CredentialError, match="has expired; make a new one with --new_proxy"):
        sign(server.csr, str(grid.pki.proxy("expired")), 1)
    text = grid.pki.proxy().read_text()
    other = server.key.read_text()
    for content in ("", text.partition("-----BEGIN PRIVATE")[0].partition("-----BEGIN RSA")[0], other):
        broken = tmp_path / "broken"
        broken.touch(mode=0o600)
        broken.write_text(content)
        with pytest.raises(CredentialError, match="cannot be read"):
            sign(server.csr, str(broken), 1)
