"""A line of our own: a TCP relay on loopback that delays what passes and holds each connection to a rate.

Bytes are passed on as they are, so TLS goes through; a delay is added to each direction, half a round trip each.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import signal
import socket
from collections import deque
from typing import cast

from bench.measure import cpu_of

WINDOW = 8 << 20  # bytes under way in one direction of a connection, as a line of 30 ms would hold
BACKLOG = 0.05  # seconds of a held connection that wait for their turn; so it is never idle for want of them


class Relay:
    """`with Relay(port, delay=0.03) as relay:` and clients that connect to relay.port."""

    def __init__(self, target: int, delay: float = 0.0, rate: float = 0.0, up: float = 0.0) -> None:
        """Round trips to the target last `delay` seconds more; it sends `rate` bytes a second, and gets `up`."""
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=256)
        self.port: int = self._listener.getsockname()[1]
        arguments = (self._listener, target, delay / 2, rate, up)
        self._process = multiprocessing.get_context("fork").Process(target=_served, args=arguments, daemon=True)

    def __enter__(self) -> Relay:
        self._process.start()
        self._listener.close()
        return self

    @property
    def cpu(self) -> float:
        """Seconds of processor that it has taken."""
        return cpu_of(self._process.pid or 0)

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        self._process.join()


class End(asyncio.Protocol):
    """One end of a connection: what comes in here goes out at the other end, so much later and not faster than that."""

    def __init__(self, delay: float, rate: float) -> None:
        self.loop = asyncio.get_running_loop()
        self.delay, self.rate = delay, rate
        self.window = int(rate * (delay + BACKLOG)) or WINDOW
        self.free_at = 0.0  # when the line has sent what came so far
        self.under_way: deque[bytes] = deque()  # the last one is empty
        self.size = 0  # of what is under way
        self.other: End
        self.other_is_full = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        # asyncio does it only where it has made the socket; packets that wait for an acknowledgement wait 40 ms for it.
        transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def data_received(self, data: bytes) -> None:
        self.free_at = max(self.free_at, self.loop.time()) + (len(data) / self.rate if self.rate else 0)
        self.under_way.append(data)
        self.size += len(data)
        self.loop.call_at(self.free_at + self.delay, self.arrive)
        self.read_on()

    def arrive(self) -> None:
        data = self.under_way.popleft()
        self.size -= len(data)
        if not data:
            self.other.transport.close()
            return
        self.other.transport.write(data)
        self.read_on()

    def read_on(self) -> None:
        """Or wait until there is room."""
        if self.transport.is_closing():
            return
        if self.size >= self.window or self.other_is_full:
            self.transport.pause_reading()
        else:
            self.transport.resume_reading()

    def pause_writing(self) -> None:
        self.other.other_is_full = True
        self.other.read_on()

    def resume_writing(self) -> None:
        self.other.other_is_full = False
        self.other.read_on()

    def connection_lost(self, _: Exception | None) -> None:
        self.under_way.append(b"")
        self.loop.call_at(max(self.free_at, self.loop.time()) + self.delay, self.arrive)


async def _joined(client: socket.socket, target: int, delay: float, rate: float, up: float) -> None:
    """Connect the two ends, after the handshake of TCP."""
    await asyncio.sleep(2 * delay)
    loop = asyncio.get_running_loop()
    here, there = End(delay, up), End(delay, rate)
    here.other, there.other = there, here
    try:
        await loop.create_connection(lambda: there, "127.0.0.1", target)
    except OSError:
        client.close()
        return
    await loop.connect_accepted_socket(lambda: here, client)  # clients speak first


async def _serve(listener: socket.socket, target: int, delay: float, rate: float, up: float) -> None:
    listener.setblocking(False)
    joining = set()
    while True:
        client, _ = await asyncio.get_running_loop().sock_accept(listener)
        task = asyncio.create_task(_joined(client, target, delay, rate, up))
        joining.add(task)  # the loop itself would forget it
        task.add_done_callback(joining.discard)


def _served(listener: socket.socket, target: int, delay: float, rate: float, up: float) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    asyncio.run(_serve(listener, target, delay, rate, up))
