"""A plain client of the simulated doors: no redirect is followed, and everything an answer says can be looked at."""

from __future__ import annotations

import contextlib
import http.client
import json
import ssl
import time
import xml.etree.ElementTree as ET
from collections.abc import Callable
from typing import Any, NamedTuple
from urllib.parse import quote, urlsplit

from tests.grid import Grid
from tests.grid.door import Door
from tests.grid.tape import Robot
from tests.grid.tree import Tree

SIZE = 100_000
NAMES = """<propfind xmlns="DAV:" xmlns:s="http://srm.lbl.gov/StorageResourceManager"
xmlns:c="http://www.dcache.org/2013/webdav" xmlns:t="http://storm.italiangrid.org/2014/webdav"><prop>
<getcontentlength/><getetag/>{}</prop></propfind>"""
TAPE = {"files": [{"path": "/agata/tape"}]}  # what to stage
SILENCE = 0.3  # seconds after which a client here takes an answer for silence
BOTH_SORTS = NAMES.format("<s:FileLocality/><c:Checksums/><t:Checksum/>")
DCACHE_ONLY = NAMES.format("<s:FileLocality/><c:Checksums/>")


class Answer(NamedTuple):
    status: int
    reason: str
    headers: http.client.HTTPMessage
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def properties(self) -> dict[str, str]:
        """The properties that a listing of one resource gives."""
        stats = ET.fromstring(self.body).iter("{DAV:}propstat")
        found = [stat for stat in stats if " 200 " in stat.findtext("{DAV:}status", "")]
        return {prop.tag.rpartition("}")[2]: prop.text or "" for stat in found for prop in stat[0]}


class Client:
    """Alice at a door with a small tree of its own; no redirect is followed."""

    def __init__(self, grid: Grid, profile: str, proxy: str, make: Callable[..., Client]) -> None:
        self.make = make  # another one, at another door
        self.tree = Tree()
        self.tree.add("agata/disk", SIZE)
        self.tree.add("agata/tape", SIZE, tape=True)
        self.tree.add("agata/empty", 0)
        self.tree.add("agata/short", 1)  # its adler32 begins with zeros
        self.tree.add("agata/lost", 10).locality = "LOST"
        self.robot = Robot(self.tree, 4, 0)
        self.robot.hold()
        self.door = Door(self.tree, grid.pki, self.robot, profile)
        self.door.switches.mover_timeout = 0.1
        self.door.start()
        self.tls = ssl.create_default_context(capath=grid.env["X509_CERT_DIR"])
        self.tls.load_cert_chain(grid.pki.proxy(proxy))
        self.bare = ssl.create_default_context(capath=grid.env["X509_CERT_DIR"])

    def connect(self, url: str, timeout: float = 5, token: str = "") -> http.client.HTTPConnection:
        parts = urlsplit(url)
        if parts.scheme == "http":
            return http.client.HTTPConnection(parts.netloc, timeout=timeout)
        return http.client.HTTPSConnection(parts.netloc, timeout=timeout, context=self.bare if token else self.tls)

    def ask(
        self, method: str, where: str, body: Any = None, timeout: float = 5, token: str = "", **headers: str
    ) -> Answer:
        """One request on a connection of its own; `where` is a URL or a name in agata/."""
        url = where if "//" in where else f"{self.door.url}/agata/{quote(where)}"
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        if token:
            named["Authorization"] = f"Bearer {token}"
        body = json.dumps(body) if isinstance(body, (dict, list)) else body
        with contextlib.closing(self.connect(url, timeout, token)) as connection:
            parts = urlsplit(url)
            connection.request(method, parts.path + "?" * bool(parts.query) + parts.query, body, named)
            response = connection.getresponse()
            return Answer(response.status, response.reason, response.headers, response.read())

    def get(self, name: str = "disk", **headers: str) -> Answer:
        """Read a file wherever it is: one redirect is followed, and the wish for a digest repeated."""
        answer = self.ask("GET", name, **headers)
        return self.ask("GET", answer.headers["Location"], **headers) if answer.status == 302 else answer

    def listing(self, name: str = "disk", names: str = DCACHE_ONLY, depth: str = "0", **more: Any) -> Answer:
        return self.ask("PROPFIND", name, names, Depth=depth, **more)

    def tape(self, method: str, call: str, document: Any = None, token: str = "") -> Answer:
        kind = {"Content_Type": "application/json"}
        return self.ask(method, f"{self.door.tape_url}/{call}", document, token=token, **kind)

    def stage(self, *names: str, root: str = "", **more: str) -> str:
        files = [{"path": f"{root}/agata/{name}", **more} for name in names or ("tape",)]
        return str(self.tape("POST", "stage", {"files": files}).json["requestId"])

    def macaroon(self, *activities: str, **more: str) -> str:
        """What this door gives for a proxy."""
        wish = {"caveats": [f"activity:{','.join(activities)}"], "validity": "PT1H", **more}
        kind = {"Content_Type": "application/macaroon-request"}
        return str(self.ask("POST", self.door.url + "/agata", wish, **kind).json["macaroon"])

    def copy(
        self, name: str, other: Client, token: str, theirs: str = "disk", way: str = "Source", patient: bool = True,
        timeout: float = 5, **headers: str
    ) -> Answer:
        """A third-party copy from or to another door; who is not patient leaves at the first mark."""
        url = f"{other.door.url}/agata/{quote(theirs)}"
        handed_on = {"TransferHeaderAuthorization": f"Bearer {token}", "Credential": "none", way: url, **headers}
        with contextlib.closing(self.connect(self.door.url, timeout)) as connection:
            connection.request("COPY", f"/agata/{quote(name)}", headers={k: v for k, v in handed_on.items() if v})
            response = connection.getresponse()
            body = response.read() if patient else response.read1()
            return Answer(response.status, response.reason, response.headers, body)

    def stop(self) -> None:
        self.robot.go()
        self.door.stop()


def seen(call: Callable[[], Answer]) -> Any:
    """What a client sees of an answer that may not come."""
    try:
        return call().status
    except http.client.IncompleteRead:
        return "cut"
    except (http.client.RemoteDisconnected, ssl.SSLEOFError):  # the other is how it looks to one who still sends
        return "closed"
    except (ConnectionResetError, BrokenPipeError):
        return "reset"
    except ConnectionRefusedError:
        return "refused"
    except TimeoutError:
        return "silence"


# == What a door says of ===============================================================================


def locality(user: Client, name: str, root: str = "") -> str:
    row = user.tape("POST", "archiveinfo", {"paths": [f"{root}/agata/{name}"]}).json[0]
    return str(row.get("locality") or row["error"])


def times(user: Client) -> dict[str, Any]:
    document = user.tape("GET", f"stage/{user.stage()}").json
    return {"created": len(str(document["createdAt"])), "completed": document.get("completedAt", "omitted")}


def staged(user: Client, name: str) -> dict[str, Any]:
    return dict(user.tape("GET", f"stage/{user.stage(name)}").json["files"][0])


def entries(user: Client) -> tuple[int, int]:
    """A listing's status, and how many it lists."""
    answer = user.listing("", depth="1")
    return answer.status, answer.body.count(b"<d:response>")


def pin(user: Client, **more: str) -> float:
    return user.door.staging.requests[user.stage(**more)].targets["agata/tape"].lifetime


def lasts(user: Client, seconds: float, name: str = "disk") -> bool:
    """Does reading take so long?"""
    began = time.monotonic()
    user.get(name)
    return time.monotonic() - began > seconds
