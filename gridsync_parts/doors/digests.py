"""Checksums, in the words of doors."""

from __future__ import annotations

import contextlib
import re

from gridsync_parts.doors.answers import Answer

# adler32 comes first: XRootD would make any other one anew, from the whole file.
WANTED = {"Want-Digest": "adler32", "Want-Repr-Digest": "adler=10"}
ANY_WANTED = {
    "Want-Digest": "adler32;q=1, sha-256;q=0.5, sha-512;q=0.4, md5;q=0.3, sha;q=0.2",
    "Want-Repr-Digest": "adler=10, sha-256=5, sha-512=4, md5=3, sha=2",
}
ADLER = re.compile("[0-9a-fA-F]{1,8}")

# What doors call checksums, the strongest first: our name for it, and its bytes. RFC 9530 calls adler32 adler.
DIGESTS = {
    "sha-512": ("sha512", 64), "sha-256": ("sha256", 32), "sha": ("sha1", 20), "md5": ("md5", 16),
    "adler32": ("adler32", 4), "adler": ("adler32", 4),
}  # fmt: skip


def digest_of(text: str) -> str:
    """The strongest checksum of a Checksums property or of headers, as the catalog writes it."""
    import base64

    if text.startswith("adler32=") and ADLER.fullmatch(text, 8):  # alone, as most are
        return f"adler32:{int(text[8:], 16):08x}"
    given = dict(part.strip().split("=", 1) for part in text.split(",") if "=" in part)
    found = {name.lower(): value for name, value in given.items()}
    for name, (kind, size) in DIGESTS.items():
        if name not in found:
            continue
        value = found[name].partition(";")[0]
        if kind == "adler32" and ADLER.fullmatch(value):
            return f"adler32:{int(value, 16):08x}"
        if len(value) > 1 and value[0] == value[-1] == ":":  # so are bytes written in headers of RFC 9530
            value = value[1:-1]
        with contextlib.suppress(ValueError):  # as good as none
            data = base64.b64decode(value, validate=True)
            if len(data) == size:
                return f"{kind}:{data.hex()}"
    return ""


def digest_in(answer: Answer) -> str:
    """The strongest checksum that an answer has in its headers."""
    return digest_of(",".join(filter(None, (answer.header("Digest"), answer.header("Repr-Digest")))))
