"""Where the VOMS server of a VO is: what the user or the system has, else what comes with the tool."""

from __future__ import annotations

import contextlib
import os
import re
from typing import NamedTuple

from gridsync_parts.errors import CredentialError

VOMS_DIR = "/etc/grid-security/vomsdir"
VOMSES_LINE = r'"[^"]*"\s+"([^"]+)"\s+"([0-9]{1,5})"(?:\s+"[^"]*"){2}'  # alias, host, port, DN, VO


class VomsServer(NamedTuple):
    """Where a VO's proxies are signed, as the clients want to know it, and who helps people to join."""

    host: str
    port: int
    dn: str
    ca_dn: str
    contact: str

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


def lines_of_vo(path: str, vo: str) -> list[tuple[str, str]]:
    """Place and text of each line for the VO in a vomses file, or a folder of them; the unreadable is not there."""
    files: list[str] = [path]
    found: list[tuple[str, str]] = []
    with contextlib.suppress(OSError):  # else it is a file, or nothing
        files = [os.path.join(path, name) for name in sorted(os.listdir(path))]
    for file in filter(os.path.isfile, files):
        with contextlib.suppress(OSError), open(file, encoding="utf-8", errors="surrogateescape") as lines:
            some = [(f"{file}, line {number}", line.strip()) for number, line in enumerate(lines, 1)]
            found += [(where, line) for where, line in some if line.startswith(f'"{vo}"')]
    return found


def vomses_of(vo: str, client: str) -> list[str]:
    """The lines in which the user, or else the system, names the VOMS servers of the VO."""
    home, prefix = os.path.expanduser("~"), os.path.dirname(os.path.dirname(client))
    places = [os.environ.get("X509_VOMSES"), os.environ.get("VOMS_USERCONF")]
    places += [f"{home}/.glite/vomses", f"{home}/.voms/vomses", "/etc/vomses", f"{prefix}/etc/vomses"]
    for place in filter(None, places):
        lines = lines_of_vo(place, vo)
        good = [line for _, line in lines if re.match(VOMSES_LINE, line)]
        if lines and not good:
            raise CredentialError(f'{lines[0][0]}: expected "{vo}" "HOST" "PORT" "DN OF THE HOST" "{vo}"; correct it')
        if good:
            return good
    return []


def voms_server(vo: str, client: str, private: str) -> tuple[list[str], dict[str, str]]:
    """The options and the environment that lead a VOMS client to the VO's server.

    What the user or the system has wins, wherever it is: by themselves the clients look into different places, and
    a broken line, even of another VO, stops them. So the good ones go into the private folder; what is known, if none.
    """
    lines, server = vomses_of(vo, client), VOMS_SERVERS.get(vo)
    has_own = bool(lines)
    if server and not has_own:
        lines = [server.line(vo).strip()]
    if not lines:
        return [], {}
    place = os.path.join(private, "vomses")
    with open(place, "w", encoding="utf-8", errors="surrogateescape") as file:
        file.write("\n".join([*lines, ""]))
    if has_own or not server:
        return ["--vomses", place], {}
    if os.path.isdir(os.path.join(os.environ.get("X509_VOMS_DIR") or VOMS_DIR, vo)):
        return ["--vomses", place], {}
    os.makedirs(os.path.join(private, "vomsdir", vo))
    with open(os.path.join(private, "vomsdir", vo, f"{server.host}.lsc"), "w", encoding="utf-8") as file:
        file.write(server.lsc())
    return ["--vomses", place], {"X509_VOMS_DIR": os.path.join(private, "vomsdir")}
