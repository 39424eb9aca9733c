"""Where the VOMS server of a VO is: what the user or the system has, else what comes with the tool."""

from __future__ import annotations

import contextlib
import os
import re
from typing import NamedTuple

from gridsync_parts.errors import CredentialError

VOMS_DIR = "/etc/grid-security/vomsdir"
VOMSES_LINE = (  # alias, host, port, DN, VO; INDIGO IAM's host may be written as a URL
    r'"[^"]*"\s+"(?:https://)?([A-Za-z0-9][\w.-]*)/?"\s+"([0-9]{1,5})"\s+"([^"]*)"\s+"([^"]*)"'
)


class VomsServer(NamedTuple):
    """Where a VO's proxies are signed, as the clients want to know it, and who helps people to join."""

    host: str
    port: int
    dn: str
    ca_dn: str = ""
    contact: str = ""

    def line(self, vo: str) -> str:
        """Of a vomses file."""
        return f'"{vo}" "{self.host}" "{self.port}" "{self.dn}" "{vo}"\n'

    def lsc(self) -> str:
        """What an LSC file says: who signs for the VO, and who answers for that."""
        return f"{self.dn}\n{self.ca_dn}\n"


# For users and systems that have nothing of their own for the VO. The Dockerfile and the files in voms/, which
# tools/pages.py makes for other programs, have the same; tests compare them.
VOMS_SERVERS = {
    "vo.agata.org": VomsServer(
        "voms-agata.ijclab.in2p3.fr",
        443,
        "/DC=org/DC=terena/DC=tcs/C=FR/L=Paris/O=Centre national de la recherche scientifique"
        "/CN=voms-agata.ijclab.in2p3.fr",
        # A guess, as another VOMS server of this institute has it. If it is wrong, proxies are made nevertheless.
        "/C=GR/O=Hellenic Academic and Research Institutions CA/CN=GEANT TLS RSA 1",
        "agatadp@ip2i.in2p3.fr",
    ),
}


def server_in(line: str) -> VomsServer | None:
    """The server that a good line of a vomses file names."""
    match = re.match(VOMSES_LINE, line)
    return VomsServer(match[1], int(match[2]), match[3]) if match and int(match[2]) < 1 << 16 else None


def is_of(line: str, vo: str) -> bool:
    """Whether a line is of the VO, which may have another name in front: an alias."""
    match = re.match(VOMSES_LINE, line)
    return line.startswith(f'"{vo}"') or bool(match and match[4] == vo)


def lines_of_vo(path: str, vo: str) -> list[tuple[str, str]]:
    """Place and text of each line for the VO in a vomses file, or a folder of them; the unreadable is not there."""
    files: list[str] = [path]
    found: list[tuple[str, str]] = []
    with contextlib.suppress(OSError):  # else it is a file, or nothing
        files = [os.path.join(path, name) for name in sorted(os.listdir(path))]
    for file in filter(os.path.isfile, files):
        with contextlib.suppress(OSError), open(file, encoding="utf-8-sig", errors="surrogateescape") as lines:
            some = [(f"{file}, line {number}", line.strip()) for number, line in enumerate(lines, 1)]
            found += [(where, line) for where, line in some if is_of(line, vo)]
    return found


def own_servers(vo: str, client: str) -> list[VomsServer]:
    """The VOMS servers of the VO that the user, or else the system, names."""
    home, prefix = os.path.expanduser("~"), os.path.dirname(os.path.dirname(client))
    places = [os.environ.get("X509_VOMSES"), os.environ.get("VOMS_USERCONF")]
    places += [f"{home}/.glite/vomses", f"{home}/.voms/vomses", "/etc/vomses", f"{prefix}/etc/vomses"]
    for place in filter(None, places):
        lines = lines_of_vo(place, vo)
        good = [server for server in (server_in(line) for _, line in lines) if server]
        if lines and not good:
            raise CredentialError(f'{lines[0][0]}: expected "{vo}" "HOST" "PORT" "DN OF THE HOST" "{vo}"; correct it')
        if good:
            return list(dict.fromkeys(good))  # IAM has a line for each alias
    return []


def servers_of(vo: str, client: str) -> list[VomsServer]:
    """The VOMS servers that proxies of the VO are made with."""
    known = VOMS_SERVERS.get(vo)
    return own_servers(vo, client) or ([known] if known else [])


def voms_server(vo: str, client: str, private: str) -> tuple[list[str], dict[str, str]]:
    """The options and the environment that lead a VOMS client to the VO's servers.

    What the user or the system has wins, wherever it is: by themselves the clients look into different places, and
    a broken line, even of another VO, stops them. So the good ones go into the private folder, with the VO in front as
    the C++ client looks for that alone; what is known, if there are none.
    """
    servers = servers_of(vo, client)
    if not servers:
        return [], {}
    place = os.path.join(private, "vomses")
    with open(place, "w", encoding="utf-8", errors="surrogateescape") as file:
        file.writelines(server.line(vo) for server in servers)
    known = [server for server in servers if server.ca_dn]
    if not known or os.path.isdir(os.path.join(os.environ.get("X509_VOMS_DIR") or VOMS_DIR, vo)):
        return ["--vomses", place], {}
    os.makedirs(os.path.join(private, "vomsdir", vo))
    with open(os.path.join(private, "vomsdir", vo, f"{known[0].host}.lsc"), "w", encoding="utf-8") as file:
        file.write(known[0].lsc())
    return ["--vomses", place], {"X509_VOMS_DIR": os.path.join(private, "vomsdir")}
