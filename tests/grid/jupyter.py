"""A real JupyterHub with its proxy, and CTA's services (hub.py) behind it: tokens and pages are the hub's."""

from __future__ import annotations

import contextlib
import http.client
import json
import secrets
import shutil
import subprocess
import time
from pathlib import Path
from typing import Any

from tests.grid.daemon import Daemon, free_port
from tests.grid.hub import Guest, Hub
from tests.grid.pki import Pki
from tests.grid.tape import Robot
from tests.grid.tree import Tree

TOP = Path(__file__).resolve().parents[2]
VENV = TOP / "build/hub"
ATTEMPTS = 3  # a free port may be taken before a server binds it
CACHED = 60  # seconds for which the service believes what the hub has said of a token
SERVICES = ("downloadservice", "certificateservice")
ENTER = [f"access:services!service={service}" for service in SERVICES]
CONFIG = """
import json

given = json.load(open("hub.json"))
c = get_config()  # noqa: F821
c.JupyterHub.bind_url = given["url"]
c.JupyterHub.hub_bind_url = given["hub"]
c.JupyterHub.authenticator_class = "dummy"
c.JupyterHub.db_url = "sqlite:///hub.sqlite"
c.JupyterHub.services = [
    *({"name": name, "url": given["service"], "api_token": given[name]} for name in given["services"]),
    {"name": "tests", "api_token": given["tests"]},
]
c.JupyterHub.load_roles = [
    {"name": "user", "scopes": ["self", *given["enter"]]},
    {"name": "tests", "services": ["tests"], "scopes": ["admin:users", "tokens"]},
]
c.Authenticator.allowed_users = {"alice"}
c.ConfigurableHTTPProxy.should_start = False
c.ConfigurableHTTPProxy.api_url = given["api"]
c.ConfigurableHTTPProxy.auth_token = given["proxy"]
"""


class Jupyter(Hub):
    """The same services; `token` is one that Alice has asked the hub for, `guests_token` one that opens no service."""

    def __init__(self, folder: Path, tree: Tree, pki: Pki, robot: Robot) -> None:
        super().__init__(tree, pki, robot, self.asked, secure=False)
        self.folder = folder
        self.keys = {name: secrets.token_hex(16) for name in (*SERVICES, "tests", "proxy")}
        self.known: dict[str, tuple[float, Guest | None]] = {}
        self.of_alice = self.guests_token = ""
        self._daemons: list[Daemon] = []

    @property
    def token(self) -> str:
        return self.of_alice

    def start(self) -> None:
        """Start all, and wait until it serves."""
        subprocess.run(["make", "-s", "build/hub/done"], cwd=TOP, check=True)
        super().start()
        self.folder.mkdir(parents=True)
        for name in ("host.pem", "host.key"):
            shutil.copy(self.pki.folder / name, self.folder)
        (self.folder / "jupyterhub_config.py").write_text(CONFIG)
        for _ in range(ATTEMPTS):
            if self._is_started():
                break
            self._end()
        else:
            raise RuntimeError("\n".join(daemon.log.read_text()[-3000:] for daemon in self._daemons))
        for scopes in ([*ENTER, "read:users:name!user"], ["read:users:name!user"]):
            made = self._hub("POST", "users/alice/tokens", {"note": "tests", "scopes": scopes})
            self.of_alice, self.guests_token = self.of_alice or made["token"], made["token"]

    def _is_started(self) -> bool:
        """Start proxy and hub on free ports; whether they serve."""
        self.front, self.back, api = free_port(), free_port(), free_port()
        self.root = f"https://localhost:{self.front}"
        given = {
            "url": f"{self.root}/", "hub": f"http://127.0.0.1:{self.back}", "api": f"http://127.0.0.1:{api}",
            "service": f"http://127.0.0.1:{self.port}", "services": SERVICES, "enter": ENTER, **self.keys,
        }  # fmt: skip
        (self.folder / "hub.json").write_text(json.dumps(given))
        (self.folder / "hub.sqlite").unlink(missing_ok=True)
        env = {**self.pki.environment(), "HOME": str(self.folder), "CONFIGPROXY_AUTH_TOKEN": self.keys["proxy"]}
        proxy = [
            f"{VENV}/npm/node_modules/.bin/configurable-http-proxy", "--ip", "127.0.0.1", "--port", str(self.front),
            "--api-ip", "127.0.0.1", "--api-port", str(api), "--ssl-key", "host.key", "--ssl-cert", "host.pem",
            "--default-target", given["hub"], "--error-target", f"{given['hub']}/hub/error",
        ]  # fmt: skip
        hub = [f"{VENV}/bin/python", "-m", "jupyterhub", "--config", "jupyterhub_config.py"]
        for name, command, up in (("proxy", proxy, "Proxying https"), ("hub", hub, "JupyterHub is now running")):
            here = self.folder / name
            here.mkdir(exist_ok=True)
            daemon = Daemon(self.folder, command, env, up)
            daemon.log = here / "log"
            self._daemons.append(daemon)
            daemon.start()
            if not daemon.is_up():
                return False
        return True

    def _end(self) -> None:
        for daemon in self._daemons:
            daemon.stop()

    def stop(self) -> None:
        self._end()
        super().stop()

    def asked(self, token: str) -> Guest | None:
        """Who a token is of, as the hub says; the service believes that for a while."""
        ends, guest = self.known.get(token, (0.0, None))
        if time.monotonic() < ends:
            return guest
        status, user = self._ask_hub("GET", "user", token)
        guest = None
        if status == 200:
            guest = Guest(user["name"], {*ENTER} <= {*user["scopes"]}, bool(user.get("admin")))
        self.known[token] = time.monotonic() + CACHED, guest
        return guest

    def _hub(self, method: str, path: str, document: object = None) -> Any:
        """A request of the tests to the hub's API, which does as it is told."""
        status, answer = self._ask_hub(method, path, self.keys["tests"], document)
        if status >= 400:
            raise RuntimeError(f"{method} {path}: {status} {answer}")
        return answer

    def _ask_hub(self, method: str, path: str, token: str, document: object = None) -> tuple[int, Any]:
        line = http.client.HTTPConnection("127.0.0.1", self.back, timeout=60)
        with contextlib.closing(line):
            body = None if document is None else json.dumps(document)
            line.request(method, f"/hub/api/{path}", body, {"Authorization": f"token {token}"})
            answer = line.getresponse()
            return answer.status, json.loads(answer.read() or b"{}")
