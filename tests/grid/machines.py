"""Machines with lines of their own: network namespaces, each with a line to this machine that is held to a rate.

They share processors, memory and disks with this machine, so all see the same files; what each of them can fetch and
send a second is its own. They need root and Debian's iproute2; whoever has not both is told so by NoMachines.
"""

from __future__ import annotations

import contextlib
import fcntl
import ipaddress
import json
import os
import shutil
import signal
import subprocess
import time
from pathlib import Path

NAME = "gridsync-line"  # of all that is made: the next one knows by it what a killed one has left
LOCK = Path("/run") / f"{NAME}.lock"
PATIENCE = 600  # seconds until another run has no more need of its machines
RANGES = ("10.213.117.0/24", "172.29.117.0/24", "192.168.117.0/24")  # the first that nobody uses here is taken
GATES = tuple(str(ipaddress.ip_network(some)[1]) for some in RANGES)  # this machine, as they see it
RATE = "20mbit"
BURST = "32kb"  # what may go at once after a rest; more than a packet, and nothing beside a file
QUEUE = "100ms"  # what waits longer in front of a line is dropped, as a router does


class NoMachines(RuntimeError):
    """There can be none here: a sentence."""


class Machines:
    """So many of them, for `with`; `gate` is this machine's address for them."""

    def __init__(self, count: int, rate: str = RATE) -> None:
        self.count, self.rate = count, rate
        self.gate = ""
        self.addresses: list[str] = []

    def __enter__(self) -> Machines:
        if os.getuid():
            raise NoMachines("machines with lines of their own need root")
        if lacking := [name for name in ("ip", "tc") if not shutil.which(name)]:
            raise NoMachines(f"machines with lines of their own need {' and '.join(lacking)}: apt install iproute2")
        self.lock = take_lock()
        try:
            remove_all()
            self.make()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        try:
            remove_all()
        finally:
            os.close(self.lock)

    def make(self) -> None:
        """Make a bridge, which is this machine's end of all lines, and the machines."""
        network = free_range()
        size = network.prefixlen
        self.gate, *addresses = (str(network[number]) for number in range(1, self.count + 2))
        self.addresses = addresses
        call(f"ip link add {NAME} type bridge")
        call(f"ip addr add {self.gate}/{size} dev {NAME}")
        call(f"ip link set {NAME} up")
        held = f"root tbf rate {self.rate} burst {BURST} latency {QUEUE}"
        for number, address in enumerate(addresses):
            name = name_of(number)
            call(f"ip netns add {name}")
            call(f"ip link add {name} type veth peer name eth0 netns {name}")
            call(f"ip link set {name} master {NAME} up")
            call(f"ip -n {name} addr add {address}/{size} dev eth0")
            for device in ("lo", "eth0"):
                call(f"ip -n {name} link set {device} up")
            call(f"tc qdisc add dev {name} {held}")
            call(f"tc -n {name} qdisc add dev eth0 {held}")

    def command(self, number: int, *words: str) -> list[str]:
        """A command that runs at one of them; it ends with whoever starts it."""
        return ["setpriv", "--pdeathsig", "KILL", "ip", "netns", "exec", name_of(number), *words]


def name_of(number: int) -> str:
    """The namespace of a machine, and its end of the line here; 15 characters at most."""
    return f"{NAME}{number}"


def take_lock() -> int:
    """Wait until nobody else has machines; the lock goes with the process."""
    fd = os.open(LOCK, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
    ends = time.monotonic() + PATIENCE
    while True:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return fd
        except BlockingIOError:
            if time.monotonic() > ends:
                os.close(fd)
                raise NoMachines(f"another run has machines, as {LOCK} says") from None
        time.sleep(0.1)


def free_range() -> ipaddress.IPv4Network:
    """Addresses that nobody uses here."""
    used = [route["dst"] for route in json.loads(call("ip -j -4 route show table all")) if route["dst"] != "default"]
    for text in RANGES:
        network = ipaddress.IPv4Network(text)
        if not any(network.overlaps(ipaddress.IPv4Network(dst, strict=False)) for dst in used):
            return network
    raise NoMachines(f"machines with lines of their own need one of {', '.join(RANGES)}, which all are in use here")


def remove_all() -> None:
    """Remove machines and lines, with whatever runs there."""
    names = [item["name"] for item in json.loads(call("ip -j netns list") or "[]") if item["name"].startswith(NAME)]
    for name in names:
        end_all(name)
        call(f"ip netns del {name}")
    links = [item["ifname"] for item in json.loads(call("ip -j link show"))]
    for link in links:
        if link.startswith(NAME):
            with contextlib.suppress(NoMachines):  # it may have gone with its other end
                call(f"ip link del {link}")


def end_all(name: str) -> None:
    """End what runs at a machine; its processes see the others, so nothing else tells whose they are."""
    ends = time.monotonic() + 10
    while (pids := call(f"ip netns pids {name}").split()) and time.monotonic() < ends:
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(int(pid), signal.SIGKILL)
        time.sleep(0.05)


def call(line: str) -> str:
    """What a command prints; NoMachines if it fails, as without the rights or in a kernel without such lines."""
    done = subprocess.run(line.split(), capture_output=True, text=True, check=False)
    if done.returncode:
        raise NoMachines(f"there can be no machines with lines of their own here: {line}: {done.stderr.strip()}")
    return done.stdout
