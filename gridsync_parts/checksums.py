"""Checksums that grow with the bytes."""

from __future__ import annotations

import functools
import os
import sys
import zlib
from typing import Any, Callable

from gridsync_parts.disk import CHUNK


@functools.cache
def adler_maker() -> Callable[[bytes | memoryview, int], int]:
    """What makes adler32: libdeflate, where it is installed, in a tenth of the time that zlib takes."""
    import ctypes

    try:
        fast = ctypes.PyDLL("libdeflate.so.0").libdeflate_adler32  # PyDLL keeps Python's lock
    except (OSError, AttributeError):
        return zlib.adler32
    fast.restype, fast.argtypes = ctypes.c_uint32, [ctypes.c_uint32, ctypes.c_void_p, ctypes.c_size_t]

    def adler32(data: bytes | memoryview, value: int) -> int:
        if isinstance(data, bytes) or data.readonly or not data:
            return int(fast(value, bytes(data), len(data)))
        return int(fast(value, ctypes.byref(ctypes.c_char.from_buffer(data)), len(data)))

    return adler32


class Crc32:
    """The one that zips have of their members, with the face of hashlib's."""

    def __init__(self) -> None:
        self.value = 0

    def update(self, data: bytes | memoryview) -> None:
        """Take in more bytes."""
        self.value = zlib.crc32(data, self.value)

    def hexdigest(self) -> str:
        """As the catalog writes it."""
        return f"{self.value:08x}"


class Checksum:
    """A checksum that grows with the bytes."""

    def __init__(self, kind: str):
        self.kind = kind
        self.adler = 1
        self.more = adler_maker()
        self.hash: Any = None
        if kind == "crc32":
            self.hash = Crc32()
        elif kind not in ("adler32", "size"):
            import hashlib

            self.hash = hashlib.new(kind)

    def update(self, data: bytes | memoryview) -> None:
        """Take in more bytes."""
        if self.hash is not None:
            self.hash.update(data)
        elif self.kind == "adler32":
            self.adler = self.more(data, self.adler)

    def append(self, other: Checksum, size: int) -> None:
        """Take in the adler32 of the bytes that follow, so many of them."""
        base = 65521
        low, high = self.adler & 0xFFFF, self.adler >> 16
        other_low, other_high = other.adler & 0xFFFF, other.adler >> 16
        high += other_high + size * (low - 1)
        self.adler = (high % base) << 16 | (low + other_low - 1) % base

    def text(self) -> str:
        """As the catalog writes it."""
        return f"{self.kind}:{self.hash.hexdigest() if self.hash is not None else f'{self.adler:08x}'}"


def checksum_kind(checksum: str, wanted: bool) -> str:
    """What a file is verified by: the kind of its checksum, or its size alone."""
    return sys.intern(checksum.partition(":")[0]) if checksum and wanted else "size"


def checksum_of(fd: int, kind: str, size: int, seen: Callable[[int], None] = lambda count: None) -> str:
    """The checksum of the first so many bytes of a local file, which is read for it; seen is told how many remain."""
    running, at = Checksum(kind), 0
    while at < size and (data := os.pread(fd, min(CHUNK, size - at), at)):
        running.update(data)
        at += len(data)
        seen(size - at)
    return running.text()
