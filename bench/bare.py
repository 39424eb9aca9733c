"""What Python alone takes to fetch files over https: its http.client in threads, verified, written and renamed.

Nothing is resumed, noted or made durable: gridsync.py does that besides.
"""

from __future__ import annotations

import http.client
import os
import queue
import ssl
import sys
import threading
import zlib
from urllib.parse import urlsplit


def fetch(todo: queue.SimpleQueue[tuple[str, str, str]], context: ssl.SSLContext) -> None:
    """Fetch one file after the other, over one connection."""
    buffer = memoryview(bytearray(128 << 10))
    connection = None
    while True:
        try:
            url, path, checksum = todo.get_nowait()
        except queue.Empty:
            return
        parts = urlsplit(url)
        connection = connection or http.client.HTTPSConnection(parts.netloc, context=context)
        connection.request("GET", parts.path)
        answer = connection.getresponse()
        made = 1
        with open(f"{path}.part", "wb", buffering=0) as file:
            while count := answer.readinto(buffer):
                file.write(buffer[:count])
                made = zlib.adler32(buffer[:count], made)
        if f"{made:08x}" != checksum:
            os._exit(1)  # from a thread
        os.rename(f"{path}.part", path)


def main(count: str, folder: str, urls: str) -> None:
    """Fetch with so many threads, into a folder, what a file lists: a URL, a path and an adler32 in each line."""
    context = ssl.create_default_context()
    context.load_cert_chain(os.environ["X509_USER_PROXY"])
    todo: queue.SimpleQueue[tuple[str, str, str]] = queue.SimpleQueue()
    with open(urls, encoding="utf-8") as file:
        for line in file:
            url, path, checksum = line.split()
            os.makedirs(os.path.dirname(os.path.join(folder, path)), exist_ok=True)
            todo.put((url, os.path.join(folder, path), checksum))
    threads = [threading.Thread(target=fetch, args=(todo, context), daemon=True) for _ in range(int(count))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


if __name__ == "__main__":
    main(*sys.argv[1:])
