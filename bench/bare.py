"""What Python alone takes to fetch files over https: its http.client in threads, and each file is written.

Nothing is verified, resumed or noted, and no file gets its name only when it is whole: gridsync.py does that besides.
"""

from __future__ import annotations

import http.client
import os
import queue
import ssl
import sys
import threading
from urllib.parse import urlsplit


def fetch(todo: queue.SimpleQueue[tuple[str, str]], context: ssl.SSLContext) -> None:
    """Fetch one file after the other, over one connection."""
    buffer = memoryview(bytearray(128 << 10))
    connection = None
    while True:
        try:
            url, path = todo.get_nowait()
        except queue.Empty:
            return
        parts = urlsplit(url)
        connection = connection or http.client.HTTPSConnection(parts.netloc, context=context)
        connection.request("GET", parts.path)
        answer = connection.getresponse()
        with open(path, "wb", buffering=0) as file:
            while count := answer.readinto(buffer):
                file.write(buffer[:count])


def main(count: str, folder: str, urls: str) -> None:
    """Fetch with so many threads, into a folder, what a file lists: a URL, a path and a checksum in each line."""
    context = ssl.create_default_context()
    context.load_cert_chain(os.environ["X509_USER_PROXY"])
    if int(count) > 1:
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})  # else Python's lock would go from one to the other
    todo: queue.SimpleQueue[tuple[str, str]] = queue.SimpleQueue()
    with open(urls, encoding="utf-8") as file:
        for line in file:
            url, path, _ = line.split()
            os.makedirs(os.path.dirname(os.path.join(folder, path)), exist_ok=True)
            todo.put((url, os.path.join(folder, path)))
    threads = [threading.Thread(target=fetch, args=(todo, context), daemon=True) for _ in range(int(count))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


if __name__ == "__main__":
    main(*sys.argv[1:])
