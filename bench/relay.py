"""A line of our own: a TCP relay on loopback that delays what passes and holds each connection to a rate.

Bytes are passed on as they are, so TLS goes through; a delay is added to each direction, half a round trip each.
"""

from __future__ import annotations

import asyncio
import contextlib
import multiprocessing
import socket

PIECE = 64 << 10  # bytes of one read
WINDOW = 8 << 20  # bytes under way in one direction of a connection, as a line of 30 ms would hold


class Relay:
    """`with Relay(port, delay=0.03) as relay:` and clients that connect to relay.port."""

    def __init__(self, target: int, delay: float = 0.0, rate: float = 0.0) -> None:
        """Round trips to the target last `delay` seconds more; `rate` is bytes a second of each connection."""
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=256)
        self.port: int = self._listener.getsockname()[1]
        arguments = (self._listener, target, delay / 2, rate)
        self._process = multiprocessing.get_context("fork").Process(target=_served, args=arguments, daemon=True)

    def __enter__(self) -> Relay:
        self._process.start()
        self._listener.close()
        return self

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        self._process.join()


def _served(listener: socket.socket, target: int, delay: float, rate: float) -> None:
    asyncio.run(_serve(listener, target, delay, rate))


async def _serve(listener: socket.socket, target: int, delay: float, rate: float) -> None:
    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(2 * delay)  # the handshake of TCP
        try:
            there_reader, there_writer = await asyncio.open_connection("127.0.0.1", target)
        except OSError:
            writer.close()
            return
        there = _passed(reader, there_writer, delay, 0.0)
        back = _passed(there_reader, writer, delay, rate)
        await asyncio.gather(there, back, return_exceptions=True)
        for end in (writer, there_writer):
            end.close()

    server = await asyncio.start_server(connected, sock=listener)
    await server.serve_forever()


async def _passed(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, delay: float, rate: float) -> None:
    """Pass one direction on: each piece so long after it came, and not faster than the rate."""
    loop = asyncio.get_running_loop()
    under_way: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue(WINDOW // PIECE)

    async def take() -> None:
        free_at = loop.time()
        while data := await reader.read(PIECE):
            now = loop.time()
            if rate:
                free_at = max(free_at, now - 0.01) + len(data) / rate
                await asyncio.sleep(max(free_at - now, 0))
            await under_way.put((loop.time() + delay, data))
        await under_way.put((loop.time() + delay, b""))

    async def give() -> None:
        while True:
            due, data = await under_way.get()
            await asyncio.sleep(max(due - loop.time(), 0))
            if not data:
                with contextlib.suppress(OSError):
                    writer.write_eof()
                return
            writer.write(data)
            await writer.drain()

    await asyncio.gather(take(), give(), return_exceptions=True)
