"""A proxy that is made of the user's, for a server that asks for one: it has a key, of which it shows a request."""

from __future__ import annotations

import base64
import os
import re
import time
from typing import NamedTuple

from gridsync_parts.errors import CredentialError, DoorError
from gridsync_parts.keys.proxy import der, end_of, inner, open_proxy, proxy_error, sequences

ALLOWANCE = 300  # seconds by which clocks may differ
PROXY_INFO = bytes.fromhex("2b0601050507010e")  # the OID of what makes a certificate a proxy,
ALL = bytes.fromhex("2b06010505071501")  # with all rights of the one it is made of,
LIMITED = bytes.fromhex("2b060104019b5001010109")  # or all but that of starting programs
KEY_USAGE = bytes.fromhex("551d0f")
SIGN_AND_ENCIPHER = bytes.fromhex("030205a0")
RSA = bytes.fromhex("2a864886f70d010101")
SHA256_WITH_RSA = bytes.fromhex("2a864886f70d01010b")
DIGEST_INFO = bytes.fromhex("3031300d060960864801650304020105000420")  # what stands before a SHA-256 that is signed
MANY = 1000  # certificates of a chain
NAME = bytes.fromhex("550403")  # the OID of CN


class Signer(NamedTuple):
    """The user's proxy, as it signs others."""

    chain: list[bytes]  # its certificates, itself first
    n: int  # of its RSA key
    e: int
    d: int


def tlv(tag: int, *parts: bytes) -> bytes:
    """Contents in DER."""
    content = b"".join(parts)
    size = len(content)
    if size < 0x80:
        return bytes([tag, size]) + content
    length = size.to_bytes((size.bit_length() + 7) // 8, "big")
    return bytes([tag, 0x80 + len(length)]) + length + content


def sequence(*parts: bytes) -> bytes:
    """A SEQUENCE."""
    return tlv(0x30, *parts)


def integer(number: int) -> bytes:
    """An INTEGER that is not negative."""
    return tlv(0x02, number.to_bytes(number.bit_length() // 8 + 1, "big"))


def moment(seconds: float) -> bytes:
    """A time."""
    text = time.strftime("%Y%m%d%H%M%SZ", time.gmtime(seconds))
    return tlv(0x17, text[2:].encode()) if text < "2050" else tlv(0x18, text.encode())


def blocks(text: str, what: str) -> list[bytes]:
    """What stands in PEM under a title."""
    found = re.findall(f"-----BEGIN (?:{what})-----(.*?)-----END (?:{what})-----", text, re.DOTALL)
    return [base64.b64decode(body) for body in found]


def pem(certificate: bytes) -> bytes:
    """A certificate in PEM."""
    lines = base64.b64encode(certificate)
    body = b"\n".join(lines[at : at + 64] for at in range(0, len(lines), 64))
    return b"-----BEGIN CERTIFICATE-----\n" + body + b"\n-----END CERTIFICATE-----\n"


def key_in(text: str) -> bytes:
    """The parts of an RSA key; ValueError if it is none."""
    if found := blocks(text, "RSA PRIVATE KEY"):
        return inner(found[0], 1)
    _, (_, kind), (_, key), *_ = der(inner(blocks(text, "PRIVATE KEY")[0], 1))
    if inner(kind, 1) != RSA:
        raise ValueError("its key is not of the kind RSA")
    return inner(key, 1)


def room_in(certificate: bytes) -> int:
    """How many proxies may follow one, each made of the one before."""
    for _, extension in der(inner(der(inner(certificate, 2))[-1][1], 1)):
        (_, kind), *_, (_, value) = der(extension)
        tag, limit = der(inner(value, 1))[0] if kind == PROXY_INFO else (0, b"")
        if tag == 0x02:
            return int.from_bytes(limit, "big")
    return MANY


def read_signer(path: str) -> Signer:
    """The user's proxy, with its key."""
    try:
        with open_proxy(path) as file:
            text = file.read()
        chain = blocks(text, "CERTIFICATE")
        _, n, e, d, *_ = (int.from_bytes(value, "big") for _, value in der(key_in(text)))
        if not chain:
            raise ValueError("it has no certificate")
    except (OSError, ValueError, IndexError) as error:
        raise proxy_error(path, error) from error
    return Signer(chain, n, e, d)


def signed(signer: Signer, body: bytes) -> bytes:
    """A certificate, signed with SHA-256."""
    import hashlib

    size = (signer.n.bit_length() + 7) // 8
    info = DIGEST_INFO + hashlib.sha256(body).digest()
    padded = b"\x00\x01" + b"\xff" * (size - len(info) - 3) + b"\x00" + info
    number = int.from_bytes(padded, "big")
    signature = pow(number, signer.d, signer.n)
    if pow(signature, signer.e, signer.n) != number:
        raise ValueError("its key makes no sense")
    algorithm = sequence(tlv(0x06, SHA256_WITH_RSA), b"\x05\x00")
    return sequence(body, algorithm, tlv(0x03, b"\x00", signature.to_bytes(size, "big")))


def public_key(csr: bytes) -> bytes:
    """The key that a request is about, as a certificate has it; ValueError if there is none."""
    text = csr.decode("ascii", "replace")
    found = blocks(text, "(?:NEW )?CERTIFICATE REQUEST") if "-----BEGIN" in text else [csr]
    if not found:
        raise ValueError("there is none")
    _, _, (tag, key), *_ = der(inner(found[0], 2))  # version, name, key
    algorithm, bits = der(key)
    if (tag, algorithm[0], bits[0]) != (0x30, 0x30, 0x03):
        raise ValueError("it has no key")
    return sequence(key)


def body_of(parent: bytes, key: bytes, ends: float, now: float) -> bytes:
    """What a new proxy says."""
    parts = sequences(inner(parent, 2))
    issuer = parts[3]  # after algorithm, issuer and validity comes the subject
    serial = int.from_bytes(os.urandom(8), "big") >> 2
    is_limited = LIMITED in parent
    last = der(inner(der(issuer)[-1][1], 1))[1][1]
    is_old = PROXY_INFO not in parent and last in (b"proxy", b"limited proxy")
    name = last if is_old else str(serial).encode()
    subject = sequence(issuer, tlv(0x31, sequence(tlv(0x06, NAME), tlv(0x13, name))))
    policy = sequence(sequence(tlv(0x06, LIMITED if is_limited else ALL)))
    extensions = [sequence(tlv(0x06, KEY_USAGE), b"\x01\x01\xff", tlv(0x04, SIGN_AND_ENCIPHER))]
    if not is_old:
        extensions.append(sequence(tlv(0x06, PROXY_INFO), b"\x01\x01\xff", tlv(0x04, policy)))
    return sequence(
        tlv(0xA0, integer(2)),
        integer(serial),
        sequence(tlv(0x06, SHA256_WITH_RSA), b"\x05\x00"),
        sequence(issuer),
        sequence(moment(now - ALLOWANCE), moment(ends)),
        subject,
        key,
        tlv(0xA3, sequence(*extensions)),
    )


def sign(csr: bytes, proxy_path: str, hours: float) -> bytes:
    """A proxy of the user's for the key of a request, good for so long or as long as the user's: in PEM, and its chain.

    It has all rights of the user's, who has to be told so.
    """
    signer, now = read_signer(proxy_path), time.time()
    ends = min([now + hours * 3600, *(end_of(sequences(inner(one, 2))[2]) for one in signer.chain)])
    if ends <= now:
        raise CredentialError(f"your proxy {proxy_path} has expired; make a new one with --new_proxy")
    if any(room_in(one) <= place for place, one in enumerate(signer.chain[:-1])):
        raise CredentialError(f"no further proxy may be made of {proxy_path}; make a new one with --new_proxy")
    try:
        key = public_key(csr)
    except (ValueError, IndexError) as error:
        raise DoorError(f"what a server asks a proxy for makes no sense ({error}); ask the site") from error
    try:
        made = signed(signer, body_of(signer.chain[0], key, ends, now))
    except (ValueError, IndexError) as error:
        raise proxy_error(proxy_path, error) from error
    return b"".join(pem(certificate) for certificate in [made, *signer.chain])
