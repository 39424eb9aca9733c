"""A real tinyproxy on loopback: a web proxy that lets whoever knows its password through to some ports."""

from __future__ import annotations

from pathlib import Path

from tests.grid.daemon import Daemon, free_port
from tests.grid.pki import clean_environment

NAME, PASSWORD = "alice", "opensesame4ever"
ATTEMPTS = 3  # a free port may be taken before the server binds it

CONFIG = """\
Listen 127.0.0.1
Port {port}
Timeout 60
MaxClients 100
LogLevel Info
BasicAuth {name} {password}
"""


class Relay:
    """One tinyproxy; `url` is what goes into HTTPS_PROXY."""

    def __init__(self, folder: Path, ports: list[int]):
        """It goes to these ports alone."""
        folder.mkdir()
        self._config = folder / "tinyproxy.conf"
        self._ports = ports
        self._server = Daemon(folder, ["tinyproxy", "-d", "-c", str(self._config)], clean_environment(), "Accepting")
        self._from = 0
        self.place = ""  # host and port

    @property
    def url(self) -> str:
        return f"http://{NAME}:{PASSWORD}@{self.place}"

    @property
    def asked(self) -> list[str]:
        """The host and port of each CONNECT, since they were forgotten."""
        lines = self._server.log.read_text().splitlines()[self._from :]
        return [line.partition("): CONNECT ")[2].split()[0] for line in lines if "): CONNECT " in line]

    def forget(self) -> None:
        """Let `asked` begin anew."""
        self._from = len(self._server.log.read_text().splitlines())

    def start(self) -> None:
        for _ in range(ATTEMPTS):
            port = free_port()
            rules = "".join(f"ConnectPort {port}\n" for port in self._ports)
            self._config.write_text(CONFIG.format(port=port, name=NAME, password=PASSWORD) + rules)
            self.place = f"127.0.0.1:{port}"
            self._server.start()
            if self._server.is_up():
                return
            self._server.stop()
        raise RuntimeError(f"tinyproxy does not start:\n{self._server.log.read_text()[-3000:]}")

    def stop(self) -> None:
        self._server.stop()
